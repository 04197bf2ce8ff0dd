"""eth_getLogs: a filter to the logs of the store, within limits that say which range would do instead."""

from collections.abc import Mapping, Sequence

from tidelog.api.http.damage import FAULTS, each, of_block
from tidelog.api.rpc.envelope import INVALID_PARAMS, LIMIT_EXCEEDED, NOT_FOUND, Refusal
from tidelog.api.rpc.objects import logs_answer, place_at
from tidelog.api.rpc.params import LogFilter
from tidelog.api.rpc.view import View
from tidelog.batch import Row
from tidelog.chain.reading.held import NotHeld, covered_from
from tidelog.chain.reading.places import BlockFacts, block_facts, transaction_hashes
from tidelog.chain.rows.columns import BlockColumns, LogColumns
from tidelog.chain.rows.tables import LOGS
from tidelog.errors import TimedOut
from tidelog.store import PRESENT, Condition
from tidelog.store.merged import ALTERNATIVES_MAX, merged
from tidelog.store.portions import PORTION_ROWS, PORTION_ROWS_MAX
from tidelog.store.query import key_of

# the words of the official tests (ethereum/execution-apis, tests/eth_getLogs), which clients look for
BEYOND_HEAD = "block range extends beyond current head block"
NO_RANGE = "invalid block range params"
LOG_BYTES = 640  # of a log in an answer, beside its data


async def logs(view: View, asked: LogFilter) -> bytes:
    """The JSON of the logs that match, in the order of the chain."""
    low, high = await _bounds(view, asked)
    first = asked.topics[0] if asked.topics and asked.topics[0] else None
    try:
        await covered_from(view.snapshot, view.chain_id, view.position, asked.addresses, first, low, high)
    except NotHeld as error:
        raise Refusal(NOT_FOUND, str(error)) from None
    try:
        found = await _matching(view, asked, low, high)
        logs = [LogColumns._make(row) for row in found]
        facts = await block_facts(view.snapshot, view.chain_id, (log.block_number for log in logs))
        positions = ((log.block_number, log.tx_index) for log in logs)
        hashes = await transaction_hashes(view.snapshot, view.chain_id, positions)
        return _told(view.chain_id, found, facts, hashes)
    except TimedOut:
        if low == high:
            said = f"query of block {low} alone timed out: there is no narrower range; name addresses, or topics"
            raise Refusal(LIMIT_EXCEEDED, said, ends_view=True) from None
        half = low + (high - low) // 2
        raise _narrower("query takes longer than it may", low, half, ends_view=True) from None


def _told(
    chain_id: int,
    found: Sequence[Row],
    facts: Mapping[int, BlockFacts],
    hashes: Mapping[tuple[int, int], bytes],
) -> bytes:
    """The logs as JSON; DamagedBlock if one of them, or its block or transaction, cannot be read."""
    places = {}
    for number, fact in facts.items():
        with of_block(chain_id, number):
            places[number] = place_at(*fact)
    try:
        return logs_answer(found, places, hashes)
    except FAULTS:
        each(chain_id, found, lambda row: logs_answer([row], places, hashes))
        raise


async def _bounds(view: View, asked: LogFilter) -> tuple[int, int]:
    """The blocks that are searched, both ends included. Words and codes are those of the official tests."""
    if asked.block_hash is not None:
        block = await view.block(asked.block_hash)
        if block is None:
            raise Refusal(NOT_FOUND, "unknown block")
        number = BlockColumns._make(block).number
        return number, number
    low, high = view.number(asked.low, of_logs=True), view.number(asked.high, of_logs=True)
    if high is None:
        raise Refusal(INVALID_PARAMS, f"{BEYOND_HEAD}: {view.range_text}")
    if low is None:
        raise Refusal(INVALID_PARAMS, f"{NO_RANGE}: {view.range_text}, and fromBlock is above them")
    if low > high:
        raise Refusal(INVALID_PARAMS, f"{NO_RANGE}: fromBlock {low} is above toBlock {high}")
    if high - low >= view.limits.blocks_max:
        spans = f"query spans {high - low + 1} blocks, at most {view.limits.blocks_max}"
        raise _narrower(spans, low, low + view.limits.blocks_max - 1)
    return low, high


def _narrower(reason: str, low: int, high: int, *, ends_view: bool = False) -> Refusal:
    """In the words and the data of a large provider, since clients look for them and try again by themselves."""
    bounds = f"[{hex(low)}, {hex(high)}]"
    data = {"from": hex(low), "to": hex(high)}
    return Refusal(LIMIT_EXCEEDED, f"{reason}. Try with this block range {bounds}.", data, ends_view=ends_view)


def _conditions(asked: LogFilter) -> dict[str, Condition]:
    """A log has at least as many topics as the filter has positions: `[A, null]` finds none of one topic (geth)."""
    columns = (("address", asked.addresses), *((f"topic{i}", topic) for i, topic in enumerate(asked.topics)))
    where: dict[str, Condition] = {
        name: values[0] if len(values) == 1 else values for name, values in columns if values
    }
    if asked.topics and not asked.topics[-1]:
        where[f"topic{len(asked.topics) - 1}"] = PRESENT
    return where


async def _matching(view: View, asked: LogFilter, low: int, high: int) -> list[Row]:
    """The rows that match. One block's are always given: there is no narrower range to ask for."""
    limits, where = view.limits, _conditions(asked)
    found: list[Row] = []
    size, after, portion = 0, None, PORTION_ROWS
    while True:
        page = await _page(view, where, low, high, after, portion)
        found += page
        size += sum(each(view.chain_id, page, _size))
        if low < high and (len(found) > limits.logs_max or size > limits.response_bytes_max):
            raise _too_many(found, limits.logs_max, limits.response_bytes_max, low)
        if len(page) < portion:
            return found
        after, portion = key_of(LOGS, page[-1]), min(2 * portion, PORTION_ROWS_MAX)


def _size(row: Row) -> int:
    return LOG_BYTES + 2 * len(LogColumns._make(row).data)


async def _page(
    view: View, where: Mapping[str, Condition], low: int, high: int, after: Row | None, limit: int
) -> list[Row]:
    """The next logs, by an index of addresses or of first topics if the filter names one of these."""
    scope = view.chain_id
    indexed = "address" if "address" in where else "topic0"
    values = where.get(indexed)
    if not isinstance(values, tuple) or len(values) > ALTERNATIVES_MAX:
        return await view.snapshot.select(LOGS, scope=scope, low=low, high=high, where=where, after=after, limit=limit)
    others = {name: condition for name, condition in where.items() if name != indexed}
    return await merged(
        view.snapshot,
        LOGS,
        column=indexed,
        values=values,
        scope=scope,
        low=low,
        high=high,
        where=others,
        after=after,
        limit=limit,
    )


def _too_many(found: Sequence[Row], count_max: int, bytes_max: int, low: int) -> Refusal:
    size = 0
    for count, log in enumerate(map(LogColumns._make, found), 1):
        size += LOG_BYTES + 2 * len(log.data)
        if count > count_max or size > bytes_max:
            break
    reason = f"query returned more than {count_max if count > count_max else count - 1} results"
    return _narrower(reason, low, max(low, log.block_number - 1))
