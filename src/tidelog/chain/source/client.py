"""One JSON-RPC endpoint: calls in batches as its budget allows, typed answers.

What an endpoint says is checked for shape here and for truth in `proof`; which endpoint is asked, and what
happens after a failure, is decided in `pool`. Every text that leaves this module is redacted.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from tidelog.chain.blocks import Header, RawBlock
from tidelog.chain.decode.lenient import KINDS, Oddities
from tidelog.chain.decode.strict import ReadHeader, decode_header
from tidelog.chain.encoding.headers import as_hashed, hash_of, hashed_beyond
from tidelog.chain.endpoint import jsonrpc
from tidelog.chain.endpoint.asking import Asking
from tidelog.chain.endpoint.budget import LIMITS, Budget, BudgetLimits, Said
from tidelog.chain.endpoint.bundles import BLOCK_KINDS, HEADER_KIND, Bundles
from tidelog.chain.endpoint.jsonrpc import Call
from tidelog.chain.endpoint.log_ranges import LOG_RANGE_LIMITS, LogRangeLimits, LogRanges
from tidelog.chain.endpoint.pulse import Pulse
from tidelog.chain.source.gate import PATIENCE_S, URGENT, Gate
from tidelog.config import EndpointUrl
from tidelog.errors import (
    Overloaded,
    Pruned,
    Rejected,
    SourceError,
    Throttled,
    TooLarge,
    TooManyAddresses,
    TooWide,
    Unreachable,
    Unsupported,
)
from tidelog.net.http import HttpTransport
from tidelog.runtime import Runtime
from tidelog.telemetry import ChainMetrics, logger

CHAIN_ID_MAX = 2**53  # EIP-2294 asks for less, and JSON's readers know no more
_HEADERS = {"content-type": "application/json", "accept": "application/json"}

_log = logger("rpc")

LATEST, SAFE, FINALIZED = "latest", "safe", "finalized"


class RpcLimits(Struct, frozen=True):
    """What one answer may be, how long it may take, and how often a call is tried."""

    answer_bytes_max: int = 128 * 1024 * 1024  # receipts of a few of the largest blocks (8 MiB of data each)
    request_timeout_s: float = 30.0  # providers cut long queries at 10 to 30 s
    throttled_max: int = 3  # refusals by rate in a row before the pool asks another endpoint: by then others do better
    overloads_max: int = 1  # calls that run out of time alone, of one question: each may take all of its time
    said_s: float = 10.0  # between two lines of the log about an endpoint's limits


RPC_LIMITS = RpcLimits()


class Heads(Struct, frozen=True):
    """What one endpoint reports: headers by tag, None where it has no such block."""

    latest: Header
    safe: Header | None
    finalized: Header | None


class Endpoint:
    """One endpoint. `name` is what logs, metrics, rows and errors call it."""

    def __init__(
        self,
        url: EndpointUrl,
        http: HttpTransport,
        runtime: Runtime,
        metrics: ChainMetrics,
        *,
        name: str | None = None,
        said: Said | None = None,
        limits: BudgetLimits = LIMITS,
        rpc: RpcLimits = RPC_LIMITS,
        log_ranges: LogRangeLimits = LOG_RANGE_LIMITS,
    ) -> None:
        """`said` is what the user says of its plan."""
        self.name = name or url.name
        self.budget = Budget(said, limits)
        self._url = url
        self._http = http
        self._rpc = rpc
        self._runtime = runtime
        self._metrics = metrics
        self.proves_headers = False  # whether a header's hash can be recomputed, as the chain's spec says
        self._gate = Gate(self.budget, runtime)
        self._bundles = Bundles(self.name, self.request, self.redact, runtime.monotonic)
        self.pulse = Pulse()
        self.log_ranges = LogRanges(log_ranges)
        self._said_at = -rpc.said_s  # when its limits were last logged
        self._tags: set[str] = set()  # the tags that it has named a block by
        for kind in KINDS:
            metrics.oddities.labels(kind, self.name)  # there from the start, so that a first one shows
        self._odd: set[str] = set()  # the kinds of oddities in its answers that were said

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"

    @property
    def redact(self) -> Callable[[str], str]:
        """`text` without anything of the endpoint's URL that may be a key."""
        return self._url.redact

    # -- typed requests ---------------------------------------------------------------------------------

    async def chain_id(self) -> int:
        """The chain that the endpoint says it serves; Rejected if that is no number, or none that can be stored."""
        answer = await self._call(Call("eth_chainId"))
        try:
            text = msgspec.json.decode(answer, type=str)
            chain_id = int(text, 16)
        except (ValueError, RecursionError):
            text, chain_id = "", -1
        if len(text) > 1 and text.isdecimal():
            said = f"{text[:20]} without 0x, which is one number in hex and another in decimal"
            raise Rejected(f"eth_chainId answered {self.redact(said)}", endpoint=self.name)
        if chain_id < 0:
            raise Rejected("eth_chainId answered no hex number", endpoint=self.name)
        if chain_id > CHAIN_ID_MAX:  # never in decimal: Python refuses to write a number of many digits so
            raise Rejected("eth_chainId answered a number beyond 2^53 (EIP-2294): no chain has it", endpoint=self.name)
        return chain_id

    async def heads(self) -> Heads:
        """The latest, safe and finalized headers. A tag that the node does not know, or has at 0, is None.

        Raises:
            Rejected: a tag that the node has named a block by is gone: without it, finality would be guessed.
        """
        calls = [Call("eth_getBlockByNumber", (tag, False)) for tag in (LATEST, SAFE, FINALIZED)]
        latest, safe, finalized = await self.request(calls)
        header = self._header(_result(latest))
        if header is None:
            raise Rejected("null for the latest block", endpoint=self.name)
        return Heads(header, self._tagged(SAFE, safe), self._tagged(FINALIZED, finalized))

    def _tagged(self, tag: str, answer: bytes | SourceError) -> Header | None:
        if isinstance(answer, Throttled | Overloaded):
            raise answer
        # nodes that do not know the tag answer with errors of their own
        header = None if isinstance(answer, SourceError) else self._header(answer)
        if header is not None and header.number > 0:
            self._tags.add(tag)
            return header
        if tag in self._tags:
            raise Rejected(f"no {tag} block any more", endpoint=self.name)
        return None

    async def header_by_number(self, number: int) -> Header | None:
        """The header of that number, or None. Rejected if another one is answered."""
        header = self._header(await self._call(Call("eth_getBlockByNumber", (hex(number), False))))
        if header is not None and header.number != number:
            raise Rejected(f"block {header.number} where {number} was asked for", endpoint=self.name)
        return header

    async def header_by_hash(self, block_hash: bytes) -> Header | None:
        """The header of that hash, or None. Rejected if another one is answered."""
        header = self._header(await self._call(Call("eth_getBlockByHash", (_hex(block_hash), False))))
        if header is not None and header.hash != block_hash:
            raise Rejected(f"block {_hex(header.hash)} where {_hex(block_hash)} was asked for", endpoint=self.name)
        return header

    async def headers_by_number(self, first: int, last: int) -> list[Header | None]:
        """Headers in order; None where there is no such block, or a wrong answer: it costs that one only."""
        calls = [Call("eth_getBlockByNumber", (hex(number), False)) for number in range(first, last + 1)]
        headers: list[Header | None] = []
        for answer in await self.request(calls):
            try:
                headers.append(self._header(_result(answer)))
            except Rejected:
                headers.append(None)
        return headers

    @property
    def blocks_at_once(self) -> int:
        """How many blocks the next request can have, with their receipts."""
        return self.budget.request_blocks(BLOCK_KINDS)

    @property
    def headers_at_once(self) -> int:
        """How many headers the next request can have."""
        return self.budget.request_blocks((HEADER_KIND,))

    @property
    def load(self) -> float:
        """How busy it is: requests that it has or that wait, by how many it may have; and the seconds they wait."""
        budget, waiting = self.budget, self._gate.waiting
        load = (budget.in_flight + waiting) / budget.in_flight_max + budget.rate.shut_s(self._runtime.monotonic())
        rate = budget.rate.calls_per_s
        return load if rate is None else load + (waiting + 1) * budget.request_calls / rate

    async def header_answers(self, keys: Sequence[int | bytes], *, rank: int = URGENT) -> list[bytes | SourceError]:
        """Blocks without their transactions, by number or by hash, as answered; null where there is none.

        Raises:
            SourceError: there is no answer at all.
        """
        return await self._bundles.headers(keys, rank=rank)

    async def blocks(self, keys: Sequence[int | bytes]) -> list[RawBlock]:
        """Whole blocks with receipts, by number or by hash.

        Raises:
            Rejected: a block or its receipts are null: near the head that is a node not yet, or no longer, there.
            SourceError: there is no answer, or none that says anything.
        """
        found = []
        for outcome in await self.bundles(keys):
            if isinstance(outcome, SourceError):
                raise outcome
            found.append(outcome)
        return found

    async def bundles(self, keys: Sequence[int | bytes], *, rank: int = URGENT) -> list[RawBlock | SourceError]:
        """Whole blocks with receipts, by number or by hash, or why one is not there.

        Args:
            rank: of its requests among those that wait: lower ones are sent first.

        Raises:
            SourceError: there is no answer at all.
        """
        return await self._bundles.blocks(keys, rank=rank) if keys else []

    async def singly(self, raw: RawBlock, *, rank: int = URGENT) -> RawBlock:
        """The same block with the receipt of each transaction asked for: eth_getBlockReceipts gave wrong ones."""
        (outcome,) = await self._bundles.singly([raw], rank=rank)
        if isinstance(outcome, SourceError):
            raise outcome
        return outcome

    def judged(self, receipts_right: bool) -> None:
        """Whether the receipts that eth_getBlockReceipts gave for a block are the block's."""
        self._bundles.judged(receipts_right)

    def _header(self, answer: bytes) -> Header | None:
        if answer == jsonrpc.NULL:
            return None
        try:
            read = decode_header(answer)
        except Rejected as error:
            raise Rejected(self.redact(error.reason), endpoint=self.name) from None
        header = self._proven(read) if self.proves_headers else read.header
        self.notice(read.oddities, header.number)
        return header

    def _proven(self, read: ReadHeader) -> Header:
        """The header in the reading that its hash is of.

        One that cannot be computed is taken: whole blocks are checked by their spec all the same. So is one with a
        field of a later fork, or the sync would not go up to the last block that it can prove.
        """
        header, extra, oddities = read
        computed = hash_of(header)
        if computed is None or computed == header.hash:
            return header
        reading = as_hashed(header)
        if reading is not None:
            oddities.note("zero_for_absent", "$")
            return reading
        if oddities.absent:
            places = ", ".join(f"`$.{name}`" for name in oddities.absent)
            reason = f"block {header.number} leaves out a field, and its hash is not the one without it - at {places}"
            raise Rejected(reason, endpoint=self.name)
        if hashed_beyond(header, extra):
            return header
        raise Rejected(f"the header of block {header.number} does not hash to its hash", endpoint=self.name)

    def notice(self, oddities: Oddities, number: int) -> None:
        """Count what was odd in an answer that was read all the same, and say each kind once."""
        for kind, where in oddities.found.items():
            self._metrics.oddities.labels(kind, self.name).inc()
            if kind not in self._odd:
                self._odd.add(kind)
                _log.warning(
                    "answer_odd", endpoint=self.name, kind=kind, what=KINDS[kind], at=self.redact(where), block=number
                )

    # -- transport --------------------------------------------------------------------------------------

    async def _call(self, call: Call) -> bytes:
        return _result((await self.request([call]))[0])

    async def request(self, calls: Sequence[Call], *, rank: int = URGENT) -> list[bytes | SourceError]:
        """Ask the calls, in as many HTTP requests as the budget says; results and per-call errors in order.

        What is refused for its size is asked again in halves, and what is refused by rate later.

        Raises:
            SourceError: asking for less does not help. Its text is redacted and names the endpoint.
        """
        asking = Asking(calls)
        while asking.waiting:
            workers = min(int(self.budget.in_flight_max), -(-len(calls) // self.budget.request_calls))
            if workers < 2:
                await self._work(asking, rank)
                continue
            tasks = [asyncio.ensure_future(self._work(asking, rank)) for _ in range(workers)]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return asking.results()

    async def _work(self, asking: Asking, rank: int) -> None:
        """Send one request after the other until none of the calls waits any more."""
        while asking.waiting:
            async with self._gate.turn(rank, lambda: self.budget.fitting(asking.kinds)) as fitting:
                part = asking.next_part(fitting)
                if part:
                    await self._send(asking, part)

    async def _send(self, asking: Asking, part: Sequence[int]) -> None:
        """One HTTP request; what it brings, and what the budget learns from it."""
        calls = [asking.calls[place] for place in part]
        sent_at = self._runtime.monotonic()
        outcomes, heard = Counter((call.method, "cancelled") for call in calls), False
        self.pulse.sent(sent_at)
        try:
            answers = await self._exchange(calls)
            heard = True
            outcomes = Counter((call.method, outcome_of(answer)) for call, answer in zip(calls, answers, strict=True))
        except SourceError as error:
            outcomes = Counter((call.method, outcome_of(error)) for call in calls)
            heard = not isinstance(error, Unreachable)
            self._refused(asking, part, sent_at, self._named(error))
            return
        finally:
            now, blocks = self._runtime.monotonic(), any(_is_heavy(call) for call in calls)
            self.pulse.ended(now, sent_at, heard=heard, blocks=blocks)
            self._count(outcomes, now - sent_at)
        self._answered(asking, part, sent_at, answers)

    async def _exchange(self, calls: Sequence[Call]) -> list[bytes | SourceError]:
        """Raises TooLarge for an answer that does not fit a batch: fewer calls may be answered rightly."""
        body = await self._post(jsonrpc.encode(calls))
        try:
            return jsonrpc.decode(body, calls)
        except Rejected as error:
            if len(calls) > 1 and type(error) is Rejected:
                raise TooLarge(error.reason, of="calls") from None
            raise

    def _refused(self, asking: Asking, part: Sequence[int], sent_at: float, error: SourceError) -> None:
        """A request failed as a whole: ask for less, or later; raise where that does not help."""
        now, alone = self._runtime.monotonic(), len(part) == 1
        if isinstance(error, Throttled):
            self._throttled(asking, sent_at, error)
            asking.put_back(part)
        elif isinstance(error, Overloaded):
            self.budget.overtaxed(now, sent_at, len(part))
            asking.overloads += 1
            if not alone or asking.overloads > self._rpc.overloads_max:
                raise error
            asking.found(part[0], error)
        elif _of_logs(error) and alone:
            asking.found(part[0], error)
        elif isinstance(error, TooLarge):
            self.budget.too_large(now, [asking.calls[place].kind for place in part], error.of)
            if alone:
                asking.found(part[0], error)
            else:
                asking.halve(part)
        elif isinstance(error, Unsupported):  # some refuse a request as a whole for one of its methods
            if alone:
                asking.refuse_method(part[0], error)
            else:
                asking.divide(part)
        else:
            if isinstance(error, Unreachable):
                self.budget.broken(now, sent_at)
            elif alone:
                self.budget.calls.forgive()  # one alone fails as well: it was not the size
            raise error
        self._tell(error)

    def _tell(self, error: SourceError) -> None:
        """Log that the endpoint has limits, in its words, and what follows; now and then only."""
        now = self._runtime.monotonic()
        if now - self._said_at >= self._rpc.said_s:
            self._said_at, rate = now, self.budget.rate.calls_per_s
            _log.info(
                "endpoint_limited",
                endpoint=self.name,
                error=error.reason,
                calls_per_s=None if rate is None else round(rate, 1),
                calls_per_request=self.budget.request_calls,
            )

    def _answered(
        self, asking: Asking, part: Sequence[int], sent_at: float, answers: Sequence[bytes | SourceError]
    ) -> None:
        """Keep what was answered; what was refused call by call waits again."""
        now, sizes = self._runtime.monotonic(), dict[str, list[int]]()
        late: list[int] = []
        large: list[int] = []
        refusals: dict[type[SourceError], SourceError] = {}
        for place, answer in zip(part, answers, strict=True):
            if isinstance(answer, SourceError):
                self._named(answer)
                if isinstance(answer, Throttled):
                    late.append(place)
                elif isinstance(answer, TooLarge | Overloaded) and len(part) > 1 and not _of_logs(answer):
                    large.append(place)
                else:
                    asking.found(place, answer)
                    continue
                refusals[type(answer)] = answer
                continue
            asking.found(place, answer)
            if answer != jsonrpc.NULL:
                sizes.setdefault(asking.calls[place].kind, []).append(len(answer))
        self.budget.answered(now, sent_at, len(part), len(part) - len(late) - len(large), sizes)
        if late:
            throttled = refusals[Throttled]
            assert isinstance(throttled, Throttled)
            self._throttled(asking, sent_at, throttled, progress=len(late) < len(part))
            asking.put_back(late)
        if large:
            too_large = refusals.get(TooLarge)
            of = too_large.of if isinstance(too_large, TooLarge) else "calls"
            self.budget.too_large(now, [asking.calls[place].kind for place in part], of)
            if len(large) == len(part):
                asking.halve(large)
            else:
                asking.put_back(large)
        for refusal in refusals.values():
            self._tell(refusal)

    def _throttled(self, asking: Asking, sent_at: float, error: Throttled, *, progress: bool = False) -> None:
        self.budget.throttled(
            self._runtime.monotonic(),
            sent_at,
            retry_after_s=error.retry_after_s,
            plan=error.calls_per_s,
            crowded=error.crowded,
        )
        self._gate.refusal = error.reason
        asking.refusals = 0 if progress else asking.refusals + 1
        if asking.refusals > self._rpc.throttled_max or self.budget.rate.shut_s(self._runtime.monotonic()) > PATIENCE_S:
            raise error

    def _count(self, outcomes: Mapping[tuple[str, str], int], seconds: float) -> None:
        for (method, outcome), calls in outcomes.items():
            self._metrics.requests.labels(method, self.name, outcome).inc(calls)
            self._metrics.request_seconds.labels(method, self.name, outcome).observe(seconds)

    async def _post(self, body: bytes) -> bytes:
        url = self._url.reveal()
        async with self._http.post(url, body, headers=_HEADERS, timeout_s=self._rpc.request_timeout_s) as response:
            parts, size = [], 0
            async for chunk in response.chunks():
                parts.append(chunk)
                size += len(chunk)
                if size > self._rpc.answer_bytes_max:
                    raise TooLarge(f"an answer of more than {self._rpc.answer_bytes_max} bytes", of="bytes")
            answer = b"".join(parts)
            error = jsonrpc.http_error(response.status, dict(response.headers), answer, now=self._runtime.now())
            if error is not None:
                raise error
            return answer

    def _named(self, error: SourceError) -> SourceError:
        """The same error with the endpoint's name, and without its key."""
        error.reason = self.redact(error.reason)
        error.endpoint = self.name
        error.args = (error.reason,)
        return error


_OUTCOMES = {
    Unreachable: "unreachable",
    Overloaded: "overloaded",
    Throttled: "throttled",
    Rejected: "rejected",
    TooLarge: "too_large",
    TooWide: "too_large",
    TooManyAddresses: "too_large",
    Unsupported: "unsupported",
    Pruned: "pruned",
}


def outcome_of(answer: bytes | SourceError) -> str:
    """What a metric calls it: one of a few words, never what the endpoint said."""
    return _OUTCOMES.get(type(answer), "failed") if isinstance(answer, SourceError) else "ok"


def _of_logs(error: SourceError) -> bool:
    """Whether it is the question itself, a filter of logs, that asks for too much."""
    return isinstance(error, TooWide | TooManyAddresses)


def _result(answer: bytes | SourceError) -> bytes:
    if isinstance(answer, SourceError):
        raise answer
    return answer


def _is_heavy(call: Call) -> bool:
    """Whether it is for a whole block, or for receipts."""
    return "in full" in call.kind or "Receipt" in call.method


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
