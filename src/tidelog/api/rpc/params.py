"""Parameters of JSON-RPC methods to values: hashes, quantities, blocks, log filters. Pure; refuses anything else.

Shapes: the execution-apis specification, EIP-1474 (quantities), EIP-1898 (blocks as objects). Read more
leniently than geth does: leading zeros and upper-case digits of a quantity, as anvil and reth read them.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Raw, Struct

from tidelog.api.rpc.envelope import INVALID_PARAMS, LIMIT_EXCEEDED, Refusal, members, quoted
from tidelog.api.rpc.limits import RpcLimits

TAGS = frozenset({"latest", "safe", "finalized", "earliest", "pending"})
QUANTITY_MAX = 2**64 - 1  # what nodes take for a number of a block
TOPIC_POSITIONS = 4

BlockId: TypeAlias = int | str | bytes  # a number, a tag, a hash
T = TypeVar("T")

_QUANTITY = re.compile("0[xX][0-9a-fA-F]{1,64}")
_HEX32 = re.compile("0[xX][0-9a-fA-F]{64}")
_HEX20 = re.compile("0[xX][0-9a-fA-F]{40}")


class LogFilter(Struct, frozen=True):
    """What eth_getLogs asks for. An empty tuple of addresses, or of one position's topics, is no condition."""

    block_hash: bytes | None
    low: int | str
    high: int | str
    addresses: tuple[bytes, ...]
    topics: tuple[tuple[bytes, ...], ...]


class _Filter(Struct, rename="camel", forbid_unknown_fields=True):
    from_block: str | None = None
    to_block: str | None = None
    block_hash: str | None = None
    address: str | list[str] | None = None
    topics: list[str | list[str | None] | None] | None = None


class _BlockObject(Struct, rename="camel", forbid_unknown_fields=True):
    block_hash: str | None = None
    block_number: str | None = None
    require_canonical: bool = False  # only canonical blocks are stored


_text = msgspec.json.Decoder(str)
_flag = msgspec.json.Decoder(bool)
_filter = msgspec.json.Decoder(_Filter)
_block_object = msgspec.json.Decoder(_BlockObject)


def counted(params: Sequence[Raw], wanted: int) -> Sequence[Raw]:
    """Exactly so many parameters; Refusal otherwise."""
    if len(params) != wanted:
        raise Refusal(INVALID_PARAMS, f"{len(params)} parameters: the method takes {wanted}")
    return params


def _shaped(what: str, decode: Callable[[], T]) -> T:
    try:
        return decode()
    except ValueError as error:  # msgspec's errors are among them
        raise Refusal(INVALID_PARAMS, f"{what}: {error}") from None


def flag(raw: Raw) -> bool:
    return _shaped("whether transactions are given in full", lambda: _flag.decode(raw))


def quantity(text: str, what: str) -> int:
    if _QUANTITY.fullmatch(text) is None:
        raise Refusal(INVALID_PARAMS, f"{what}: {quoted(text)} is no quantity such as 0x1b4")
    value = int(text, 16)
    if value > QUANTITY_MAX:
        raise Refusal(INVALID_PARAMS, f"{what}: {quoted(text)} is beyond 64 bits")
    return value


def _fixed(pattern: re.Pattern[str], size: int, text: str, what: str) -> bytes:
    if pattern.fullmatch(text) is None:
        raise Refusal(INVALID_PARAMS, f"{what}: {quoted(text)} is not {size} bytes of 0x-prefixed hex")
    return bytes.fromhex(text[2:])


def hash32(raw: Raw, what: str) -> bytes:
    return _fixed(_HEX32, 32, _shaped(what, lambda: _text.decode(raw)), what)


def index(raw: Raw, of: str = "transaction") -> int:
    what = f"index of the {of}"
    return quantity(_shaped(what, lambda: _text.decode(raw)), what)


def block_number(raw: Raw) -> int | str:
    """A number or a tag."""
    return _number_or_tag(_shaped("block", lambda: _text.decode(raw)), "block")


def _number_or_tag(text: str, what: str) -> int | str:
    return text if text in TAGS else quantity(text, what)


def block_id(raw: Raw) -> BlockId:
    """A number, a tag, a hash, or an object of EIP-1898."""
    if not bytes(raw).lstrip().startswith(b"{"):
        text = _shaped("block", lambda: _text.decode(raw))
        return bytes.fromhex(text[2:]) if _HEX32.fullmatch(text) else _number_or_tag(text, "block")
    named = _shaped("block", lambda: _once(raw, _block_object))
    if (named.block_hash is None) == (named.block_number is None):
        raise Refusal(INVALID_PARAMS, "block: give either blockHash or blockNumber")
    if named.block_hash is not None:
        return _fixed(_HEX32, 32, named.block_hash, "blockHash")
    return _number_or_tag(named.block_number or "", "blockNumber")


def _once(raw: Raw, decoder: "msgspec.json.Decoder[T]") -> T:
    members(raw)  # no member twice
    return decoder.decode(raw)


def log_filter(raw: Raw, limits: RpcLimits) -> LogFilter:
    """A filter object; without blocks it asks for the latest one, as nodes do.

    A null, an empty list, and a list with null in it are no condition (alloy, so anvil and reth). geth
    also wants as many topics as the filter has positions; that differs only where it ends with nulls.
    """
    asked = _shaped("filter", lambda: _once(raw, _filter))
    block_hash = None
    if asked.block_hash is not None:
        if asked.from_block is not None or asked.to_block is not None:
            raise Refusal(
                INVALID_PARAMS, "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
            )
        block_hash = _fixed(_HEX32, 32, asked.block_hash, "blockHash")
    topics = asked.topics or []
    if len(topics) > TOPIC_POSITIONS:
        raise Refusal(INVALID_PARAMS, f"filter: {len(topics)} positions of topics, and a log has at most four")
    addresses = [asked.address] if isinstance(asked.address, str) else asked.address or []
    _within("addresses", len(addresses), limits.addresses_max)
    return LogFilter(
        block_hash,
        _number_or_tag("latest" if asked.from_block is None else asked.from_block, "fromBlock"),
        _number_or_tag("latest" if asked.to_block is None else asked.to_block, "toBlock"),
        tuple(dict.fromkeys(_fixed(_HEX20, 20, address, "address") for address in addresses)),
        tuple(_alternatives(topic, limits) for topic in topics),
    )


def _alternatives(topic: str | list[str | None] | None, limits: RpcLimits) -> tuple[bytes, ...]:
    alternatives = topic if isinstance(topic, list) else [topic]
    _within("alternatives of a topic", len(alternatives), limits.topics_max)
    values = [_fixed(_HEX32, 32, item, "topic") for item in alternatives if item is not None]
    return () if len(values) < len(alternatives) else tuple(dict.fromkeys(values))


def _within(what: str, count: int, limit: int) -> None:
    if count > limit:
        raise Refusal(LIMIT_EXCEEDED, f"filter: {count} {what}, at most {limit}")
