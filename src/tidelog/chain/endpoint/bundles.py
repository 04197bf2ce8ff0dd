"""Whole blocks from one endpoint: a block and its receipts, in whichever way the endpoint gives them.

The receipts of a block are one call where that works, by the block's hash or, on nodes that take numbers only,
by its number; otherwise each transaction's receipt is a call. A way that failed is left alone for a while and
then tried again. Nothing is judged here but that something came: the root in the header decides.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from tidelog.chain.blocks import RawBlock
from tidelog.chain.endpoint import jsonrpc
from tidelog.chain.endpoint.budget import Way
from tidelog.chain.endpoint.jsonrpc import Call, misread
from tidelog.errors import Overloaded, Pruned, Rejected, SourceError, TooLarge, Unsupported

BLOCK_KINDS = ("eth_getBlockByNumber in full", "eth_getBlockReceipts")  # of a block's calls, as budgets name them

HEADER_KIND = "eth_getBlockByNumber"


class Requester(Protocol):
    """How the calls of several blocks are asked: as `Endpoint.request`."""

    async def __call__(self, calls: Sequence[Call], *, rank: int) -> list[bytes | SourceError]: ...


class _Transaction(Struct):
    hash: str


class _Block(Struct):
    number: str
    hash: str
    transactions: list[_Transaction]


class _Brief(Struct):
    transactions: list[str]


class _Receipt(Struct):
    blockHash: str  # noqa: N815  # as JSON-RPC has it


_blocks = msgspec.json.Decoder(_Block)
_briefs = msgspec.json.Decoder(_Brief)
_receipts = msgspec.json.Decoder(list[_Receipt])
_members = msgspec.json.Decoder(dict[str, Raw])


class Bundles:
    """Asks one endpoint for whole blocks."""

    def __init__(
        self, name: str, request: Requester, redact: Callable[[str], str], monotonic: Callable[[], float]
    ) -> None:
        self._name = name
        self._request = request
        self._redact = redact
        self._monotonic = monotonic
        self._whole = Way()  # eth_getBlockReceipts
        self._by_hash = Way()  # ... of a hash

    def judged(self, right: bool) -> None:
        """Whether receipts that eth_getBlockReceipts gave turned out to be the block's."""
        if right:
            self._whole.worked()
        else:
            self._whole.failed(self._monotonic())

    async def headers(self, keys: Sequence[int | bytes], *, rank: int) -> list[bytes | SourceError]:
        """Blocks without their transactions, by number or by hash, as answered; null where there is none.

        Raises:
            SourceError: the endpoint answered nothing at all.
        """
        return await self._request([_block_call(key, False) for key in keys], rank=rank)

    async def blocks(self, keys: Sequence[int | bytes], *, rank: int) -> list[RawBlock | SourceError]:
        """Whole blocks, by number or by hash, or why there is none.

        Raises:
            SourceError: the endpoint answered nothing at all.
        """
        now = self._monotonic()
        whole = [
            self._whole.is_open(now) and (isinstance(key, int) or self._by_hash.is_open(now)) for key in keys
        ]  # whose receipts are asked for together with the block
        calls: list[Call] = []
        for key, together in zip(keys, whole, strict=True):
            calls.append(_block_call(key, True))
            if together:
                calls.append(Call("eth_getBlockReceipts", (_text(key),)))
        answers = iter(await self._request(calls, rank=rank))
        outcomes: list[RawBlock | SourceError] = []
        lacking: dict[int, bytes | SourceError | None] = {}  # by place: what came in the place of receipts
        for place, (key, together) in enumerate(zip(keys, whole, strict=True)):
            block, receipts = next(answers), next(answers) if together else None
            if isinstance(block, TooLarge | Overloaded):
                block = await self._in_parts(key, block, rank=rank)
            outcome = self._present(block, _text(key))
            if isinstance(outcome, SourceError):
                outcomes.append(outcome)
                continue
            if isinstance(receipts, Pruned):
                outcomes.append(receipts)
            elif receipts is None or isinstance(receipts, SourceError) or receipts == jsonrpc.NULL:
                lacking[place] = receipts
                outcomes.append(RawBlock(outcome, b"[]"))
            else:
                outcomes.append(RawBlock(outcome, receipts))
        if lacking:
            await self._complete(keys, outcomes, lacking, rank=rank)
        return outcomes

    async def _complete(
        self,
        keys: Sequence[int | bytes],
        outcomes: list[RawBlock | SourceError],
        lacking: dict[int, bytes | SourceError | None],
        *,
        rank: int,
    ) -> None:
        """Put receipts into the outcomes that lack them."""
        now = self._monotonic()
        for receipts in lacking.values():
            if isinstance(receipts, Unsupported):
                self._whole.close(now)
        numbered = [
            place
            for place, receipts in lacking.items()
            if isinstance(keys[place], bytes)
            and self._whole.is_open(now)
            and (receipts is None or isinstance(receipts, SourceError))
        ]
        wanted = {place: outcome for place in lacking if isinstance(outcome := outcomes[place], RawBlock)}
        found = await self._by_number({place: wanted[place] for place in numbered}, rank=rank) if numbered else {}
        for place, raw in found.items():
            outcomes[place] = raw
            if lacking[place] is not None:
                self._by_hash.close(now)
        left = {place: raw for place, raw in wanted.items() if place not in found}
        for place, outcome in zip(left, await self.singly(list(left.values()), rank=rank), strict=True):
            outcomes[place] = outcome
            if lacking[place] is not None and isinstance(outcome, RawBlock):
                self._whole.failed(now)

    async def _by_number(self, wanted: dict[int, RawBlock], *, rank: int) -> dict[int, RawBlock]:
        """The blocks whose receipts came by number, and are of the block with this hash."""
        heads = {place: self._decoded(raw.block) for place, raw in wanted.items()}
        calls = {
            place: Call("eth_getBlockReceipts", (head.number,))
            for place, head in heads.items()
            if isinstance(head, _Block) and head.transactions
        }
        answers = await self._request(list(calls.values()), rank=rank)
        found: dict[int, RawBlock] = {}
        for place, answer in zip(calls, answers, strict=True):
            head = heads[place]
            if isinstance(answer, bytes) and isinstance(head, _Block) and _are_of(answer, head):
                found[place] = RawBlock(wanted[place].block, answer)
        return found

    async def singly(self, raws: Sequence[RawBlock], *, rank: int) -> list[RawBlock | SourceError]:
        """The same blocks with the receipt of each transaction asked for."""
        hashes: list[list[str] | SourceError] = []
        for raw in raws:
            head = self._decoded(raw.block)
            hashes.append(head if isinstance(head, SourceError) else [tx.hash for tx in head.transactions])
        calls = [
            Call("eth_getTransactionReceipt", (tx_hash,))
            for of_one in hashes
            if not isinstance(of_one, SourceError)
            for tx_hash in of_one
        ]
        answers = iter(await self._request(calls, rank=rank))
        outcomes: list[RawBlock | SourceError] = []
        for raw, of_one in zip(raws, hashes, strict=True):
            if isinstance(of_one, SourceError):
                outcomes.append(of_one)
                continue
            parts = [self._present(next(answers), f"the receipt of {tx_hash}") for tx_hash in of_one]
            outcomes.append(_joined(raw.block, parts))
        return outcomes

    async def _in_parts(self, key: int | bytes, refusal: SourceError, *, rank: int) -> bytes | SourceError:
        """A block that is too much for one answer: without its transactions, and those one by one."""
        (answer,) = await self._request([_block_call(key, False)], rank=rank)
        if isinstance(answer, SourceError) or answer == jsonrpc.NULL:
            return answer
        try:
            hashes, members = _briefs.decode(answer).transactions, _members.decode(answer)
        except msgspec.DecodeError:
            return refusal
        calls = [Call("eth_getTransactionByHash", (tx_hash,)) for tx_hash in hashes]
        parts: list[bytes] = []
        for tx_hash, one in zip(hashes, await self._request(calls, rank=rank), strict=True):
            part = self._present(one, f"transaction {tx_hash}")
            if isinstance(part, SourceError):
                return part
            parts.append(part)
        return msgspec.json.encode(members | {"transactions": Raw(_array(parts))})

    def _decoded(self, block: bytes) -> _Block | SourceError:
        try:
            return _blocks.decode(block)
        except msgspec.DecodeError as error:
            return Rejected(self._redact(misread("block", block, error)), endpoint=self._name)

    def _present(self, answer: bytes | SourceError, what: str) -> bytes | SourceError:
        """The answer; null is an error, and never a block without anything in it."""
        if answer == jsonrpc.NULL:
            return Rejected(f"null for {what}", endpoint=self._name)
        return answer


def _are_of(receipts: bytes, head: _Block) -> bool:
    """Whether there are receipts, all of this block and no other of its height."""
    try:
        found = _receipts.decode(receipts)
    except msgspec.DecodeError:
        return False
    return bool(found) and all(receipt.blockHash.lower() == head.hash.lower() for receipt in found)


def _joined(block: bytes, parts: Sequence[bytes | SourceError]) -> RawBlock | SourceError:
    """A block with these receipts; the first error, if one is."""
    receipts: list[bytes] = []
    for part in parts:
        if isinstance(part, SourceError):
            return part
        receipts.append(part)
    return RawBlock(block, _array(receipts), singly=True)


def _array(parts: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(parts) + b"]"


def _block_call(key: int | bytes, full: bool) -> Call:
    return Call("eth_getBlockByHash" if isinstance(key, bytes) else "eth_getBlockByNumber", (_text(key), full))


def _text(key: int | bytes) -> str:
    return "0x" + key.hex() if isinstance(key, bytes) else hex(key)
