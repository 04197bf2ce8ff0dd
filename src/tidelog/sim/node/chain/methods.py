"""What an honest node answers: one JSON-RPC method over one chain, as seen from one tip, like geth. Pure.

Envelopes, batches, replicas and lies are the business of `node`; here there are only methods, results as
encoded JSON, and errors.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Raw, Struct

from tidelog.sim.node.chain.pages import Page

INVALID_PARAMS = -32602
METHOD_NOT_FOUND = -32601
SERVER_ERROR = -32000
LIMIT_EXCEEDED = -32005  # EIP-1474
NULL_ROUND = 12  # Filecoin's Lotus and Forest

LOG_RANGE_MAX = 10_000  # blocks that one eth_getLogs may span; providers allow about as much
CLIENT_VERSION = "tidelog-sim/v1"


class RpcError(Exception):
    """Becomes the `error` member of an answer."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class Held(Protocol):
    """A block that a chain holds."""

    @property
    def number(self) -> int: ...
    @property
    def hash(self) -> bytes: ...
    @property
    def parent_hash(self) -> bytes: ...
    @property
    def page(self) -> Page: ...


class Chain(Protocol):
    """What a node serves: blocks by number, as seen from a tip, and by hash."""

    @property
    def chain_id(self) -> int: ...
    @property
    def head(self) -> Held: ...
    @property
    def finalized(self) -> int | None: ...
    @property
    def safe(self) -> int | None: ...
    def at(self, number: int, tip: Held) -> Held | None:
        """The block at `number` on the branch that ends in `tip`."""
        ...

    def by_hash(self, block_hash: bytes) -> Held | None: ...
    def holding(self, transaction_hash: bytes) -> Sequence[Held]: ...
    def rival(self, block: Held) -> Held | None:
        """Another block on the same parent, as a node on another fork would hold it, if there can be one."""
        ...

    def dropped(self, number: int) -> Held | None:
        """The block of that number that the last reorg there has dropped, if there was one."""
        ...


class Result(Struct, frozen=True):
    """A `result` as encoded JSON, and the block that it speaks of, if it is one."""

    json: bytes
    block: Held | None = None


class Question(Struct, frozen=True):
    """One call, put to one view of a chain."""

    chain: Chain
    tip: Held
    method: str
    params: Sequence[Any]

    def answer(self) -> Result:
        """Raises RpcError for a method or parameters that do not exist."""
        handler = METHODS.get(self.method)
        if handler is None:
            raise RpcError(METHOD_NOT_FOUND, f"the method {self.method} does not exist/is not available")
        return handler(self)

    def seen_from(self, tip: Held) -> "Question":
        return msgspec.structs.replace(self, tip=tip)

    def param(self, index: int) -> Any:
        if index >= len(self.params):
            raise RpcError(INVALID_PARAMS, f"missing value for required argument {index}")
        return self.params[index]

    def flag(self, index: int) -> bool:
        value = self.param(index)
        if not isinstance(value, bool):
            raise RpcError(INVALID_PARAMS, f"invalid argument {index}: json: cannot unmarshal into bool")
        return value

    def hash(self, index: int) -> bytes:
        return _data(self.param(index), index, 32)

    def number(self, value: Any, index: int) -> int:
        """The number that a number or a tag stands for."""
        if value in ("latest", "pending"):
            return self.tip.number
        if value == "earliest":
            return 0
        if value in ("finalized", "safe"):
            number = self.chain.finalized if value == "finalized" else self.chain.safe
            if number is None:
                raise RpcError(SERVER_ERROR, f"{value} block not found")
            return min(number, self.tip.number)
        if not isinstance(value, str) or not value.startswith("0x"):
            raise RpcError(INVALID_PARAMS, f"invalid argument {index}: hex string without 0x prefix")
        try:
            return int(value[2:], 16)
        except ValueError:
            raise RpcError(INVALID_PARAMS, f"invalid argument {index}: invalid hex string")

    def by_number(self, index: int) -> Held | None:
        return self.at(self.number(self.param(index), index))

    def at(self, number: int) -> Held | None:
        """The block of that number; of one that the chain has left out, what such nodes answer."""
        block = self.chain.at(number, self.tip)
        how = getattr(self.chain, "null_rounds", "null")
        if block is not None or number > self.tip.number or how == "null":
            return block
        if how == "error":
            raise RpcError(NULL_ROUND, f"requested epoch was a null round ({number})")
        return self.at(number - 1)

    def by_hash(self, block_hash: bytes) -> Held | None:
        """The block of that hash, unless it is above what this view has got to."""
        block = self.chain.by_hash(block_hash)
        return block if block is not None and block.number <= self.tip.number else None

    def by_number_or_hash(self, index: int) -> Held | None:
        """EIP-1898: a number, a tag, a hash, or an object with one of them."""
        value = self.param(index)
        if isinstance(value, dict):
            value = value.get("blockHash", value.get("blockNumber"))
        if isinstance(value, str) and len(value) == 66:
            return self.by_hash(_data(value, index, 32))
        return self.at(self.number(value, index))

    def holder(self, index: int) -> tuple[Held, str] | None:
        """The block on this branch that holds the transaction of that hash, and the hash as text."""
        wanted = self.hash(index)
        for block in self.chain.holding(wanted):
            if self.chain.at(block.number, self.tip) is block:
                return block, "0x" + wanted.hex()
        return None


def _data(value: Any, index: int, size: int) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise RpcError(INVALID_PARAMS, f"invalid argument {index}: hex string without 0x prefix")
    try:
        data = bytes.fromhex(value[2:])
    except ValueError:
        raise RpcError(INVALID_PARAMS, f"invalid argument {index}: invalid hex string")
    if len(data) != size:
        raise RpcError(
            INVALID_PARAMS,
            f"invalid argument {index}: hex string has length {len(value) - 2}, want {2 * size}",
        )
    return data


NULL = Result(b"null")


def _json(value: Any, block: Held | None = None) -> Result:
    return Result(msgspec.json.encode(value), block)


def _block(block: Held | None, full: bool) -> Result:
    if block is None:
        return NULL
    return Result(block.page.full if full else block.page.brief, block)


def _block_receipts(question: Question) -> Result:
    block = question.by_number_or_hash(0)
    return NULL if block is None else Result(block.page.receipts, block)


def _receipt(question: Question) -> Result:
    place = question.holder(0)
    if place is None:
        return NULL
    block, wanted = place
    receipt = block.page.single_receipts.get(wanted)
    return NULL if receipt is None else Result(bytes(receipt), block)


def _transaction(question: Question) -> Result:
    place = question.holder(0)
    if place is None:
        return NULL
    block, wanted = place
    return Result(bytes(block.page.transactions[block.page.transaction_hashes.index(wanted)]), block)


def _uncle(question: Question, block: Held | None) -> Result:
    index = question.number(question.param(1), 1)
    if block is None or index >= len(block.page.uncles):
        return NULL
    return Result(block.page.uncles[index], block)


def _uncle_count(block: Held | None) -> Result:
    return NULL if block is None else _json(hex(len(block.page.uncles)), block)


class _Filter(Struct, rename="camel"):
    """The argument of eth_getLogs. Topics go by position: null for any, a list for one of these."""

    block_hash: str | None = None
    from_block: str | None = None
    to_block: str | None = None
    address: str | list[str] | None = None
    topics: list[str | list[str] | None] | None = None

    def takes(self, log: "_LogKey") -> bool:
        topics = self.topics or ()
        if self.address and log.address not in _lowered(self.address):
            return False
        return len(topics) <= len(log.topics) and all(
            wanted is None or topic in _lowered(wanted) for wanted, topic in zip(topics, log.topics, strict=False)
        )


class _LogKey(Struct):
    address: str
    topics: list[str]


_log_key = msgspec.json.Decoder(_LogKey)


def _lowered(wanted: str | list[str]) -> list[str]:
    return [text.lower() for text in ([wanted] if isinstance(wanted, str) else wanted)]


def _logs(question: Question) -> Result:
    try:
        wanted = msgspec.convert(question.param(0), _Filter)
    except msgspec.ValidationError as error:
        raise RpcError(INVALID_PARAMS, f"invalid argument 0: {error}")
    blocks = _logged_blocks(question, wanted)
    pages = [block.page for block in blocks]
    if wanted.address:
        addresses = _lowered(wanted.address)
        pages = [page for page in pages if not page.log_addresses.isdisjoint(addresses)]
    logs: list[Raw] = [log for page in pages for log in page.logs if wanted.takes(_log_key.decode(log))]
    return _json(logs, blocks[0] if len(blocks) == 1 else None)


def _logged_blocks(question: Question, wanted: _Filter) -> list[Held]:
    if wanted.block_hash is not None:
        block = question.by_hash(_data(wanted.block_hash, 0, 32))
        if block is None:
            raise RpcError(SERVER_ERROR, "unknown block")
        return [block]
    first = question.number(wanted.from_block or "latest", 0)
    last = question.number(wanted.to_block or "latest", 0)
    if first > last:
        raise RpcError(INVALID_PARAMS, "invalid block range params")
    if last - first >= LOG_RANGE_MAX:
        raise RpcError(LIMIT_EXCEEDED, f"query exceeds max block range {LOG_RANGE_MAX}")
    numbers = range(first, min(last, question.tip.number) + 1)
    return [block for number in numbers if (block := question.chain.at(number, question.tip)) is not None]


METHODS: dict[str, Callable[[Question], Result]] = {
    "eth_chainId": lambda question: _json(hex(question.chain.chain_id)),
    "net_version": lambda question: _json(str(question.chain.chain_id)),
    "web3_clientVersion": lambda question: _json(CLIENT_VERSION),
    "eth_syncing": lambda question: _json(False),
    "eth_blockNumber": lambda question: _json(hex(question.tip.number), question.tip),
    "eth_getBlockByNumber": lambda question: _block(question.by_number(0), question.flag(1)),
    "eth_getBlockByHash": lambda question: _block(question.by_hash(question.hash(0)), question.flag(1)),
    "eth_getBlockReceipts": _block_receipts,
    "eth_getTransactionReceipt": _receipt,
    "eth_getTransactionByHash": _transaction,
    "eth_getLogs": _logs,
    "eth_getUncleByBlockHashAndIndex": lambda question: _uncle(question, question.by_hash(question.hash(0))),
    "eth_getUncleByBlockNumberAndIndex": lambda question: _uncle(question, question.by_number(0)),
    "eth_getUncleCountByBlockHash": lambda question: _uncle_count(question.by_hash(question.hash(0))),
    "eth_getUncleCountByBlockNumber": lambda question: _uncle_count(question.by_number(0)),
}
