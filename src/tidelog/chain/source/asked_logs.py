"""Ask one endpoint by eth_getLogs what contracts logged, by ranges that it takes, and for the headers of these blocks.

Nothing is judged here but that something came: `select.asked` compares.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from tidelog.chain.decode.lenient import Oddities
from tidelog.chain.endpoint.jsonrpc import Call
from tidelog.chain.select.asked import AskedLog, LogFilter, LogQuery, decode_logs, require_apart
from tidelog.chain.source.client import Endpoint
from tidelog.errors import Overloaded, Rejected, SourceError, TooLarge, TooManyAddresses, TooWide
from tidelog.runtime import Runtime

__all__ = ["ASKED_LOGS_LIMITS", "AskedLogsLimits", "SaidLogs", "ask_headers", "ask_logs"]

NARROWED_MAX = 40  # times in a row: from the widest range to one block takes 17


class AskedLogsLimits(Struct, frozen=True):
    """How much is held of one range."""

    logs: int = 50_000  # of all addresses: tens of megabytes; where there are more, the range is halved


ASKED_LOGS_LIMITS = AskedLogsLimits()


class SaidLogs(NamedTuple):
    """All that was logged in the blocks `low` up to where it was asked, as an endpoint says; None: it refuses one."""

    low: int
    logs: list[AskedLog] | None


async def ask_logs(
    endpoint: Endpoint,
    runtime: Runtime,
    wanted: LogFilter,
    low: int,
    high: int,
    *,
    rank: int,
    limits: AskedLogsLimits = ASKED_LOGS_LIMITS,
) -> SaidLogs:
    """What was logged in the newest of the blocks `low` to `high`, as many as the endpoint takes.

    Many addresses are asked about one part after the other. The first part's range is that of all; what the endpoint
    does not say of it at once is asked for again.

    Raises:
        SourceError: it does not say; or asking for less does not help.
    """
    found: list[AskedLog] = []
    place, lowest = 0, low
    while place < len(wanted.addresses):
        count = min(endpoint.log_ranges.addresses, len(wanted.addresses) - place)
        query, begins = wanted.query(place, count), max(lowest, wanted.addresses[place][0])
        top = high
        try:
            while top >= begins:
                said = await _ask_range(endpoint, runtime, query, begins, top, rank=rank)
                if said.logs is None and top == high:
                    return said
                if said.logs is None or (place == 0 and said.low > begins):
                    lowest = begins = said.low + (said.logs is None)
                found += said.logs or ()
                top = said.low - 1
                while len(found) > limits.logs and lowest < high:
                    lowest = (lowest + high + 1) // 2
                    begins = max(begins, lowest)
                    found = [log for log in found if log.number >= lowest]
        except TooManyAddresses as error:
            if count == 1:
                raise
            endpoint.log_ranges.too_many(count, error)
            found = [log for log in found if log.address not in query.addresses]
            continue
        endpoint.log_ranges.took(count)
        place += count
    logs = sorted([log for log in found if log.number >= lowest])
    try:
        require_apart(logs)  # those of one part are; each part is an answer of its own
    except Rejected as error:
        raise Rejected(error.reason, endpoint=endpoint.name) from None
    return SaidLogs(lowest, logs)


async def _ask_range(
    endpoint: Endpoint, runtime: Runtime, query: LogQuery, low: int, high: int, *, rank: int
) -> SaidLogs:
    asked = endpoint.log_ranges.blocks
    for _ in range(NARROWED_MAX):
        first = max(low, high - asked + 1)
        width = high - first + 1
        (answer,) = await endpoint.request([Call("eth_getLogs", (query.params(first, high),))], rank=rank)
        if isinstance(answer, bytes):
            oddities = Oddities()
            try:
                logs = decode_logs(answer, query, first, high, oddities)
            except Rejected as error:
                raise Rejected(endpoint.redact(error.reason), endpoint=endpoint.name) from None
            endpoint.notice(oddities, high)
            endpoint.log_ranges.served(width, len(logs), runtime.monotonic())
            return SaidLogs(first, logs)
        if isinstance(answer, TooManyAddresses) or not isinstance(answer, TooLarge | Overloaded):
            raise answer
        if width == 1:
            return SaidLogs(high, None)
        endpoint.log_ranges.refused(width, answer, runtime.monotonic())
        asked = min(endpoint.log_ranges.blocks, width - 1)
        if isinstance(answer, TooWide) and answer.through is not None and first <= answer.through < high:
            asked = answer.through - first + 1  # so many would do, it says
    raise Rejected(
        f"eth_getLogs is refused for {width} blocks, after {NARROWED_MAX} times less", endpoint=endpoint.name
    )


async def ask_headers(endpoint: Endpoint, numbers: Sequence[int], *, rank: int) -> dict[int, bytes]:
    """Blocks without their transactions, by number, as answered; null where there is none. SourceError: none says."""
    if not numbers:
        return {}
    answers = await endpoint.header_answers(numbers, rank=rank)
    for answer in answers:
        if isinstance(answer, SourceError):
            raise answer
    return {number: answer for number, answer in zip(numbers, answers, strict=True) if isinstance(answer, bytes)}
