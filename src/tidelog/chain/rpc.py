"""One JSON-RPC endpoint: batches under limits, typed answers, an adaptive number of requests in flight.

What an endpoint says is checked for shape here and for truth in `proof`; which endpoint is asked, and what
happens after a failure, is decided in `pool`. Every text that leaves this module is redacted.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
from msgspec import Raw, Struct

from tidelog.chain import jsonrpc
from tidelog.chain.blocks import Header
from tidelog.chain.encoding import encode_header, keccak
from tidelog.chain.jsonrpc import Call
from tidelog.chain.wire import decode_header
from tidelog.config import EndpointUrl
from tidelog.errors import Pruned, Rejected, SourceError, Throttled, TooLarge, Unreachable, Unsupported
from tidelog.net.http import HttpTransport
from tidelog.runtime import Runtime
from tidelog.telemetry import ChainMetrics

ANSWER_BYTES_MAX = 128 * 1024 * 1024  # the receipts of a few of the largest blocks there are (8 MiB of data each)
REQUEST_TIMEOUT_S = 30.0  # providers cut long queries at 10 to 30 s
RECEIPTS_PER_BATCH = 100  # the lowest batch limit that providers are known for
IN_FLIGHT_MAX = 32  # requests at one endpoint; beyond it a node only queues them
_HEADERS = {"content-type": "application/json", "accept": "application/json"}

LATEST, SAFE, FINALIZED = "latest", "safe", "finalized"


class Concurrency:
    """How many requests may be in flight: one more after a round of successes, half after a refusal."""

    def __init__(self, limit: float = 4.0) -> None:
        self.limit = limit
        self.in_flight = 0
        self._changed = asyncio.Condition()

    def succeeded(self) -> None:
        self.limit = min(IN_FLIGHT_MAX, self.limit + 1.0 / self.limit)

    def refused(self) -> None:
        self.limit = max(1.0, self.limit / 2)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: self.in_flight < int(self.limit))
            self.in_flight += 1
        try:
            yield
        finally:
            async with self._changed:
                self.in_flight -= 1
                self._changed.notify_all()


class RawBlock(Struct, frozen=True):
    """A block and its receipts as answered, not yet decoded: the decoding runs off the event loop."""

    block: Raw
    receipts: Raw  # an array

    @property
    def size_bytes(self) -> int:
        return len(memoryview(self.block)) + len(memoryview(self.receipts))


class Tips(Struct, frozen=True):
    """What one endpoint reports: headers by tag, None where it has no such block."""

    latest: Header
    safe: Header | None
    finalized: Header | None


class Endpoint:
    """One endpoint. `name` is what logs, metrics, rows and errors call it."""

    def __init__(
        self, url: EndpointUrl, http: HttpTransport, runtime: Runtime, metrics: ChainMetrics, *, name: str | None = None
    ) -> None:
        self.name = name or url.name
        self.concurrency = Concurrency()
        self._url = url
        self._http = http
        self._runtime = runtime
        self._metrics = metrics
        self.proves_headers = False  # whether a header's hash can be recomputed, as the chain's profile says
        self._block_receipts = True  # until it says that it does not offer eth_getBlockReceipts
        self._tags: set[str] = set()  # the tags that it has named a block by

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"

    @property
    def redact(self) -> Callable[[str], str]:
        """`text` without anything of the endpoint's URL that may be a key."""
        return self._url.redact

    # -- typed requests ---------------------------------------------------------------------------------

    async def chain_id(self) -> int:
        answer = await self._call(Call("eth_chainId"))
        try:
            chain_id = int(msgspec.json.decode(answer, type=str), 16)
        except ValueError:
            chain_id = -1
        if chain_id < 0:
            raise Rejected("eth_chainId answered no hex number", endpoint=self.name)
        return chain_id

    async def tips(self) -> Tips:
        """The latest, safe and finalized headers. A tag that the node does not know, or has at 0, is None.

        Raises:
            Rejected: a tag that the node has named a block by is gone: without it, finality would be guessed.
        """
        calls = [Call("eth_getBlockByNumber", (tag, False)) for tag in (LATEST, SAFE, FINALIZED)]
        latest, safe, finalized = await self.request(calls)
        header = self._header(_result(latest))
        if header is None:
            raise Rejected("null for the latest block", endpoint=self.name)
        return Tips(header, self._tagged(SAFE, safe), self._tagged(FINALIZED, finalized))

    def _tagged(self, tag: str, answer: Raw | SourceError) -> Header | None:
        if isinstance(answer, Throttled):
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
        header = self._header(await self._call(Call("eth_getBlockByNumber", (hex(number), False))))
        if header is not None and header.number != number:
            raise Rejected(f"block {header.number} where {number} was asked for", endpoint=self.name)
        return header

    async def header_by_hash(self, block_hash: bytes) -> Header | None:
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

    async def blocks(self, keys: Sequence[int | bytes]) -> list[RawBlock]:
        """Whole blocks with receipts, by number or by hash, in one batch.

        Raises:
            Rejected: a block or its receipts are null: near the head that is a node not yet, or no longer, there.
            TooLarge: ask for fewer at once.
        """
        wanted = [_key(key) for key in keys]
        calls = [
            Call("eth_getBlockByHash" if isinstance(key, bytes) else "eth_getBlockByNumber", (text, True))
            for key, text in zip(keys, wanted, strict=True)
        ]
        if self._block_receipts:
            receipts = [Call("eth_getBlockReceipts", (text,)) for text in wanted]
            answers = await self.request([*calls, *receipts])
            blocks = [self._present(answer, text) for answer, text in zip(answers, wanted, strict=False)]
            lists = answers[len(calls) :]
            if not any(isinstance(answer, Unsupported) for answer in lists):
                return [
                    RawBlock(block, self._present(answer, f"the receipts of {text}"))
                    for block, answer, text in zip(blocks, lists, wanted, strict=True)
                ]
            self._block_receipts = False
        else:
            answers = await self.request(calls)
            blocks = [self._present(answer, text) for answer, text in zip(answers, wanted, strict=True)]
        return [RawBlock(block, await self._single_receipts(block)) for block in blocks]

    async def _single_receipts(self, block: Raw) -> Raw:
        try:
            hashes = [tx.hash for tx in _hashes.decode(block).transactions]
        except msgspec.DecodeError as error:
            raise Rejected(self.redact(f"block answer of the wrong shape: {error}"), endpoint=self.name) from None
        receipts: list[bytes] = []
        for start in range(0, len(hashes), RECEIPTS_PER_BATCH):
            part = hashes[start : start + RECEIPTS_PER_BATCH]
            answers = await self.request([Call("eth_getTransactionReceipt", (tx_hash,)) for tx_hash in part])
            receipts += [
                bytes(self._present(answer, f"the receipt of {tx_hash}"))
                for answer, tx_hash in zip(answers, part, strict=True)
            ]
        return Raw(b"[" + b",".join(receipts) + b"]")

    def _present(self, answer: Raw | SourceError, what: str) -> Raw:
        result = _result(answer)
        if bytes(result) == jsonrpc.NULL:
            raise Rejected(f"null for {what}", endpoint=self.name)
        return result

    def _header(self, answer: Raw) -> Header | None:
        if bytes(answer) == jsonrpc.NULL:
            return None
        try:
            header = decode_header(answer)
        except Rejected as error:
            raise Rejected(self.redact(error.reason), endpoint=self.name) from None
        if self.proves_headers and not _hashes_right(header):
            raise Rejected(f"the header of block {header.number} does not hash to its hash", endpoint=self.name)
        return header

    # -- transport --------------------------------------------------------------------------------------

    async def _call(self, call: Call) -> Raw:
        return _result((await self.request([call]))[0])

    async def request(self, calls: Sequence[Call]) -> list[Raw | SourceError]:
        """Send the calls as one request; results and per-call errors in order.

        Raises:
            SourceError: the request as a whole failed. Its text is redacted and names the endpoint.
        """
        if not calls:
            return []
        async with self.concurrency.slot():
            started = self._runtime.monotonic()
            outcomes = Counter((call.method, "cancelled") for call in calls)
            try:
                results = jsonrpc.decode(await self._post(jsonrpc.encode(calls)), calls)
                outcomes = Counter(
                    (call.method, outcome_of(answer)) for call, answer in zip(calls, results, strict=True)
                )
            except SourceError as error:
                outcomes = Counter((call.method, outcome_of(error)) for call in calls)
                if isinstance(error, Throttled | Unreachable):
                    self.concurrency.refused()
                raise self._named(error) from None
            finally:
                self._count(outcomes, self._runtime.monotonic() - started)
        if any(isinstance(result, Throttled) for result in results):
            self.concurrency.refused()  # some say so call by call
        else:
            self.concurrency.succeeded()
        return [self._named(result) if isinstance(result, SourceError) else result for result in results]

    def _count(self, outcomes: Mapping[tuple[str, str], int], seconds: float) -> None:
        for (method, outcome), calls in outcomes.items():
            self._metrics.requests.labels(method, self.name, outcome).inc(calls)
            self._metrics.request_seconds.labels(method, self.name, outcome).observe(seconds)

    async def _post(self, body: bytes) -> bytes:
        url = self._url.reveal()
        async with self._http.post(url, body, headers=_HEADERS, timeout_s=REQUEST_TIMEOUT_S) as response:
            parts, size = [], 0
            async for chunk in response.chunks():
                parts.append(chunk)
                size += len(chunk)
                if size > ANSWER_BYTES_MAX:
                    raise TooLarge(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
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
    Throttled: "throttled",
    Rejected: "rejected",
    TooLarge: "too_large",
    Unsupported: "unsupported",
    Pruned: "pruned",
}


def outcome_of(answer: Raw | SourceError) -> str:
    """What a metric calls it: one of a few words, never what the endpoint said."""
    return _OUTCOMES.get(type(answer), "failed") if isinstance(answer, SourceError) else "ok"


class _TransactionHash(Struct):
    hash: str


class _Hashes(Struct):
    transactions: list[_TransactionHash]


_hashes = msgspec.json.Decoder(_Hashes)


def _result(answer: Raw | SourceError) -> Raw:
    if isinstance(answer, SourceError):
        raise answer
    return answer


def _hashes_right(header: Header) -> bool:
    try:
        return keccak(encode_header(header)) == header.hash
    except ValueError:
        return True  # not computable: whole blocks are held to their profile all the same


def _key(key: int | bytes) -> str:
    return _hex(key) if isinstance(key, bytes) else hex(key)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
