"""The headers of uncles: asked for block by block, since a block names its uncles by their hashes only.

Only blocks from before the merge have any, about one in fifteen of Ethereum's. What comes is proven with the block:
the ommers hash of its header is over the list of these headers.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tidelog.chain.blocks import RawBlock
from tidelog.chain.encoding.items import keccak
from tidelog.chain.encoding.rlp import EMPTY_LIST
from tidelog.chain.endpoint import jsonrpc
from tidelog.chain.endpoint.jsonrpc import Call
from tidelog.chain.source.client import Endpoint
from tidelog.errors import Rejected, SourceError, Throttled, TooLarge, Unreachable, Unsupported

METHOD = "eth_getUncleByBlockHashAndIndex"
UNCLES_MAX = 2  # of a block, by Ethereum's rules (Yellow Paper 11.1)
REFUSALS_MAX = 3  # null or errors, for one block: a node that is behind has it at a later try
GIVEN_UP_MAX = 5  # headers, of an endpoint that has given none yet: it has none
BLOCKS_REMEMBERED = 1_000  # of which uncles were refused

_NO_UNCLES = keccak(EMPTY_LIST).hex().encode()  # its text is in every block without uncles


class _Named(Struct):
    hash: str
    uncles: list[str] | None = None


_named = msgspec.json.Decoder(_Named)


class UncleSource:
    """Asks endpoints for the headers of uncles, and remembers who does not give them."""

    def __init__(self) -> None:
        self._without: set[str] = set()  # endpoints that do not offer the method
        self._given: set[str] = set()  # endpoints that gave a header
        self._given_up: Counter[str] = Counter()  # headers, by endpoint
        self._refusals: Counter[tuple[str, str]] = Counter()  # by endpoint and block: null, and errors

    async def added(
        self, endpoint: Endpoint, outcomes: Sequence[RawBlock | SourceError], *, rank: int
    ) -> list[RawBlock | SourceError]:
        """The blocks with their uncles' headers, as far as the endpoint gives them.

        A block whose uncles are null, or an error, fails by that: another endpoint is asked, or the same one later, a
        few times. One of an endpoint that does not give uncles at all comes as it was.
        """
        found = list(outcomes)
        if endpoint.name in self._without:
            return found
        calls = [
            (place, Call(METHOD, (named.hash, hex(at))))
            for place, outcome in enumerate(outcomes)
            if isinstance(outcome, RawBlock) and (named := _with_uncles(outcome)) is not None
            for at in range(len(named.uncles or ()))
        ]
        answers = await self._asked(endpoint, [call for _, call in calls], rank)
        if any(isinstance(answer, Unsupported) for answer in answers):
            self._without.add(endpoint.name)
            return found
        headers: dict[int, list[bytes | SourceError | None]] = {}
        for (place, call), answer in zip(calls, answers, strict=True):
            headers.setdefault(place, []).append(self._header(endpoint, call, answer))
        for place, parts in headers.items():
            block = found[place]
            failure = next((part for part in parts if isinstance(part, SourceError)), None)
            if failure is not None:
                found[place] = failure
            elif None not in parts and isinstance(block, RawBlock):
                found[place] = replace(block, uncles=tuple(part for part in parts if isinstance(part, bytes)))
        return found

    async def _asked(self, endpoint: Endpoint, calls: list[Call], rank: int) -> list[bytes | SourceError]:
        if not calls:
            return []
        try:
            return await endpoint.request(calls, rank=rank)
        except SourceError as error:  # some refuse a request as a whole for one method
            return [error] * len(calls)

    def _header(self, endpoint: Endpoint, call: Call, answer: bytes | SourceError) -> bytes | SourceError | None:
        """A header, or why it is not there; None once it was refused too often: that must not cost the block."""
        if isinstance(answer, Throttled | Unreachable | TooLarge):
            return answer  # that says nothing about uncles
        if isinstance(answer, bytes) and answer != jsonrpc.NULL:
            self._given.add(endpoint.name)
            return answer
        block_hash = str(call.params[0])
        if len(self._refusals) >= BLOCKS_REMEMBERED:
            self._refusals.clear()
        self._refusals[endpoint.name, block_hash] += 1
        if self._refusals[endpoint.name, block_hash] > REFUSALS_MAX:
            self._given_up[endpoint.name] += 1
            if self._given_up[endpoint.name] >= GIVEN_UP_MAX and endpoint.name not in self._given:
                self._without.add(endpoint.name)
            return None
        said = answer.reason if isinstance(answer, SourceError) else "null"
        return Rejected(f"{said} for an uncle of {block_hash}", endpoint=endpoint.name)


def _with_uncles(raw: RawBlock) -> _Named | None:
    """The block's hash and its uncles', if it has some that are worth asking for."""
    if _NO_UNCLES in raw.block:
        return None
    try:
        named = _named.decode(raw.block)
    except msgspec.DecodeError:
        return None  # the proof says what is wrong with it
    return named if named.uncles and len(named.uncles) <= UNCLES_MAX else None
