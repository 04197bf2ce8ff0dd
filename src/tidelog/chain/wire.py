"""JSON-RPC answers to typed structs, strictly: what is of the wrong shape is `Rejected` with its path.

Two steps: msgspec checks the JSON shape (every scalar is a hex string, of the right length where that is
fixed), then the strings become bytes and ints, a whole column at a time, since one conversion of all hashes
of a block costs a fifth of one for each. Fields that tidelog does not know are kept as JSON text in `extra`,
so that what an endpoint adds to a block, a transaction or a receipt is not lost; it is its word only, no
root covers it. What a log adds repeats its block. No I/O, no proof.

Shapes: the execution-apis specification (eth_getBlockByNumber, eth_getBlockReceipts). Accepted beyond it,
since real nodes send them: "0x" for zero, upper-case digits, leading zeros, absent optional fields.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from tidelog.batch import INT_MAX
from tidelog.chain.blocks import (
    TYPE_MAX,
    AccessEntry,
    Authorization,
    Block,
    Header,
    Log,
    Receipt,
    Transaction,
    Withdrawal,
)
from tidelog.errors import Rejected

UINT256_MAX = 2**256 - 1
T = TypeVar("T")


# -- scalars: columns of hex strings to bytes or ints; ValueError says what is wrong ----------------------

Hash = Annotated[str, Meta(min_length=66, max_length=66)]
Address = Annotated[str, Meta(min_length=42, max_length=42)]
_Bloom = Annotated[str, Meta(min_length=514, max_length=514)]
_Nonce = Annotated[str, Meta(min_length=18, max_length=18)]

_Texts = Sequence[str]
_Convert = Callable[[Any], Sequence[Any]]


def _once(convert: Callable[[_Texts], list[T]]) -> Callable[[_Texts], list[T]]:
    """A converter that looks at a column of equal texts once: of block hashes and numbers, types, statuses."""

    def convert_once(texts: _Texts) -> list[T]:
        count = len(texts)
        if count > 1 and texts[0] == texts[-1] and texts.count(texts[0]) == count:
            return convert(texts[:1]) * count
        return convert(texts)

    return convert_once


def _fixed(size: int) -> Callable[[_Texts], list[bytes]]:
    """A column whose every text has `2 * size + 2` characters, as msgspec has checked."""
    width = 2 * size + 2

    @_once
    def convert(texts: _Texts) -> list[bytes]:
        count = len(texts)
        joined = "".join(texts)
        if joined[::width] == "0" * count and joined[1::width] == "x" * count:
            values = [bytes.fromhex(text[2:]) for text in texts]
            if len(b"".join(values)) == size * count:  # fromhex forgives white space
                return values
        raise ValueError(f"is not {size} bytes of 0x-prefixed hex")

    return convert


_hash32 = _fixed(32)
_address20 = _fixed(20)


def _data(texts: _Texts) -> list[bytes]:
    values = [bytes.fromhex(text[2:]) for text in texts]
    digits = sum(map(len, texts)) - 2 * len(texts)
    if digits != 2 * sum(map(len, values)) or not all(text.startswith("0x") for text in texts):
        raise ValueError("is not 0x-prefixed hex")
    return values


@_once
def _uint256(texts: _Texts) -> list[int]:
    joined = "".join(texts)
    # int() forgives signs, white space, underscores and a missing prefix
    if not (joined.isascii() and joined.isalnum() and joined.count("x") == len(texts)):
        raise ValueError("is not 0x-prefixed hex")
    values = [int(text, 16) if text != "0x" else 0 for text in texts]
    if max(values) > UINT256_MAX:
        raise ValueError("is beyond 256 bits")
    return values


def _integer(texts: _Texts) -> list[int]:
    """Quantities that fit a signed 64-bit column. No client makes larger gas limits, nonces or times."""
    values = _uint256(texts)
    if max(values) > INT_MAX:
        raise ValueError("is beyond 63 bits")
    return values


def _type(texts: _Texts) -> list[int]:
    values = _uint256(texts)
    if max(values) > TYPE_MAX:
        raise ValueError("is beyond 8 bits")
    return values


def _hash_lists(lists: Sequence[list[str]]) -> list[tuple[bytes, ...]]:
    hashes = iter(_hash32([text for texts in lists for text in texts]))
    return [tuple(islice(hashes, len(texts))) for texts in lists]


def _access_lists(lists: Sequence[list["_WireAccess"]]) -> list[tuple[AccessEntry, ...]]:
    entries = [entry for wires in lists for entry in wires]
    addresses = _address20([entry.address for entry in entries])
    keys = _hash_lists([entry.storage_keys or [] for entry in entries])
    made = iter(list(map(AccessEntry, addresses, keys)))
    return [tuple(islice(made, len(wires))) for wires in lists]


def _authorization_lists(lists: Sequence[list["_WireAuthorization"]]) -> list[tuple[Authorization, ...]]:
    return [tuple([_authorization(wire) for wire in wires]) for wires in lists]


def _authorization(wire: "_WireAuthorization") -> Authorization:
    parity = wire.v if wire.y_parity is None else wire.y_parity
    chain_id, nonce, y_parity, r, s = _uint256((wire.chain_id, wire.nonce, parity or "", wire.r, wire.s))
    return Authorization(chain_id, _address20((wire.address,))[0], nonce, y_parity, r, s)


def _same(values: Sequence[Any]) -> Sequence[Any]:
    return values


def _optional(convert: _Convert) -> _Convert:
    """The converter of a column whose texts may be None."""

    def convert_optional(texts: Sequence[Any]) -> Sequence[Any]:
        if None not in texts:
            return convert(texts)
        present = [text for text in texts if text is not None]
        if not present:
            return texts
        values = iter(convert(present))
        return [None if text is None else next(values) for text in texts]

    return convert_optional


def _optionals(*converters: _Convert) -> tuple[_Convert, ...]:
    return tuple(_optional(convert) for convert in converters)


# -- the JSON shapes; the converters of their fields stand below each, in the same order -------------------


class _Wire(Struct, rename="camel"):
    pass


class _WireAccess(_Wire, kw_only=True):
    address: Address
    storage_keys: list[Hash] | None


class _WireAuthorization(_Wire, kw_only=True):
    chain_id: str
    address: Address
    nonce: str
    r: str
    s: str
    y_parity: str | None = None
    v: str | None = None


class _WireHeader(_Wire, kw_only=True):
    number: str
    hash: Hash
    parent_hash: Hash
    ommers_hash: Hash = msgspec.field(name="sha3Uncles")
    miner: Address
    state_root: Hash
    transactions_root: Hash
    receipts_root: Hash
    logs_bloom: _Bloom
    difficulty: str
    gas_limit: str
    gas_used: str
    timestamp: str
    extra_data: str
    mix_hash: Hash | None = None
    nonce: _Nonce | None = None
    base_fee_per_gas: str | None = None
    withdrawals_root: Hash | None = None
    blob_gas_used: str | None = None
    excess_blob_gas: str | None = None
    parent_beacon_block_root: Hash | None = None
    requests_hash: Hash | None = None
    block_access_list_hash: Hash | None = None
    slot_number: str | None = None


_HEADER: tuple[_Convert, ...] = (
    _integer, _hash32, _hash32, _hash32, _address20, _hash32, _hash32, _hash32, _fixed(256), _uint256,
    _integer, _integer, _integer, _data, *_optionals(
        _hash32, _fixed(8), _uint256, _hash32, _integer, _integer, _hash32, _hash32, _hash32, _integer,
    ),
)  # fmt: skip


class _WireTransaction(_Wire, kw_only=True, forbid_unknown_fields=True):
    block_hash: Hash
    block_number: str
    transaction_index: str
    hash: Hash
    type: str = "0x0"  # nodes from before Berlin do not send one
    from_: Address = msgspec.field(name="from")
    to: Address | None = None
    nonce: str | None = None
    value: str | None = None
    gas: str | None = None
    gas_price: str | None = None
    max_fee_per_gas: str | None = None
    max_priority_fee_per_gas: str | None = None
    max_fee_per_blob_gas: str | None = None
    input: str | None = None
    chain_id: str | None = None
    access_list: list[_WireAccess] | None = None
    blob_versioned_hashes: list[Hash] | None = None
    authorization_list: list[_WireAuthorization] | None = None
    v: str | None = None
    r: str | None = None
    s: str | None = None
    source_hash: Hash | None = None
    mint: str | None = None
    is_system_tx: bool | None = None
    y_parity: str | None = None
    block_timestamp: str | None = None


_TRANSACTION: tuple[_Convert, ...] = (
    _hash32, _integer, _integer, _hash32, _type, _address20, *_optionals(
        _address20, _integer, _uint256, _integer, _uint256, _uint256, _uint256, _uint256, _data, _integer,
        _access_lists, _hash_lists, _authorization_lists, _integer, _uint256, _uint256, _hash32, _uint256,
        _same, _integer, _same,
    ),
)  # fmt: skip

# what each type signs; the transaction's hash cannot be computed without
_SIGNED = ("nonce", "value", "gas", "input", "v", "r", "s")
_CAPPED = (*_SIGNED, "chain_id", "max_fee_per_gas", "max_priority_fee_per_gas", "access_list")
REQUIRED: dict[int, tuple[str, ...]] = {
    0: (*_SIGNED, "gas_price"),
    1: (*_SIGNED, "chain_id", "gas_price", "access_list"),
    2: _CAPPED,
    3: (*_CAPPED, "to", "max_fee_per_blob_gas", "blob_versioned_hashes"),
    4: (*_CAPPED, "to", "authorization_list"),
    0x7E: ("source_hash", "value", "gas", "input"),
}


class _WireWithdrawal(_Wire, kw_only=True):
    index: str
    validator_index: str
    address: Address
    amount: str


_WITHDRAWAL: tuple[_Convert, ...] = (_integer, _integer, _address20, _integer)


class _WireBlock(_WireHeader, kw_only=True):
    transactions: Raw
    uncles: list[Hash] | None = None
    withdrawals: list[_WireWithdrawal] | None = None


class _WireLog(_Wire, kw_only=True):
    address: Address
    topics: Annotated[list[Hash], Meta(max_length=4)]
    data: str
    block_hash: Hash | None = None
    block_number: str | None = None
    transaction_hash: Hash | None = None
    transaction_index: str | None = None
    log_index: str | None = None


_LOG: tuple[_Convert, ...] = (
    _address20, _hash_lists, _data, *_optionals(_hash32, _integer, _hash32, _integer, _integer),
)  # fmt: skip


class _WireReceipt(_Wire, kw_only=True, forbid_unknown_fields=True):
    block_hash: Hash
    block_number: str
    transaction_hash: Hash
    transaction_index: str
    type: str = "0x0"
    status: str | None = None
    root: Hash | None = None
    cumulative_gas_used: str
    gas_used: str
    effective_gas_price: str | None = None
    contract_address: Address | None = None
    logs_bloom: _Bloom | None = None
    logs: list[_WireLog]
    deposit_nonce: str | None = None
    deposit_receipt_version: str | None = None
    blob_gas_price: str | None = None  # this one and the next go into `extra`: no commitment covers them
    blob_gas_used: str | None = None
    from_: Any = msgspec.field(name="from", default=None)  # this one and the next two repeat the transaction
    to: Any = None
    block_timestamp: Any = None


_RECEIPT: tuple[_Convert, ...] = (
    _hash32, _integer, _hash32, _integer, _type, _optional(_integer), _optional(_hash32), _integer,
    _integer, _optional(_uint256), _optional(_address20), _optional(_fixed(256)), _same, _optional(_integer),
    _optional(_integer), _same, _same, _same, _same, _same,
)  # fmt: skip


class _LooseTransaction(_WireTransaction, kw_only=True, forbid_unknown_fields=False):
    pass


class _LooseReceipt(_WireReceipt, kw_only=True, forbid_unknown_fields=False):
    pass


class _Objects:
    """A decoder of a list of objects that also finds the fields it does not know.

    Most answers hold none, so the strict decoder comes first: it is one pass, and refuses unknown fields.
    """

    def __init__(self, strict: type[Struct], loose: type[Struct]) -> None:
        self._known = frozenset(strict.__struct_encode_fields__)
        self._strict = msgspec.json.Decoder(list[strict])  # type: ignore[valid-type]
        self._loose = msgspec.json.Decoder(list[loose])  # type: ignore[valid-type]

    def decode(self, answer: bytes | Raw) -> tuple[list[Any], list[str | None]]:
        try:
            wires = self._strict.decode(answer)
        except msgspec.ValidationError:
            wires = self._loose.decode(answer)
            return wires, [_extra(fields, self._known) for fields in _objects_fields.decode(answer)]
        return wires, [None] * len(wires)


_objects_fields = msgspec.json.Decoder(list[dict[str, Raw]])
_object_fields = msgspec.json.Decoder(dict[str, Raw])
_block = msgspec.json.Decoder(_WireBlock)
_transactions = _Objects(_WireTransaction, _LooseTransaction)
_receipts = _Objects(_WireReceipt, _LooseReceipt)
_BLOCK_KNOWN = frozenset(_WireBlock.__struct_encode_fields__)


def decode_header(answer: bytes | Raw) -> Header:
    """The header of an eth_getBlockBy.. answer, with or without full transactions."""
    return _shaped("block", lambda: _header(_block.decode(answer)))


def decode_block(answer: bytes | Raw) -> Block:
    """An eth_getBlockBy.. answer with full transactions."""

    def decode() -> Block:
        wire = _block.decode(answer)
        return Block(
            header=_header(wire),
            transactions=_decode_transactions(wire.transactions),
            uncles=_hash_lists([wire.uncles or []])[0],
            withdrawals=None
            if wire.withdrawals is None
            else tuple(map(Withdrawal, *_columns(wire.withdrawals, _WITHDRAWAL, "$.withdrawals"))),
            extra=_extra(_object_fields.decode(answer), _BLOCK_KNOWN),
        )

    return _shaped("block", decode)


def decode_receipts(answer: bytes | Raw) -> tuple[Receipt, ...]:
    """An eth_getBlockReceipts answer, or a list of eth_getTransactionReceipt answers."""
    return _shaped("receipts", lambda: _decode_receipts(answer))


def _shaped(what: str, decode: Callable[[], T]) -> T:
    try:
        return decode()
    except RecursionError:
        raise Rejected(f"{what} answer of the wrong shape: nested too deeply") from None
    except ValueError as error:  # msgspec's errors are among them: not JSON, not UTF-8, not of the shape
        raise Rejected(f"{what} answer of the wrong shape: {error}") from None


def _header(wire: _WireBlock) -> Header:
    fields = len(_HEADER)
    columns = _columns([wire], _HEADER, "$", fields)
    return Header(*[column[0] for column in columns])


def _decode_transactions(answer: Raw) -> tuple[Transaction, ...]:
    wires, extras = _transactions.decode(answer)
    *signed, parities, _ = _columns(wires, _TRANSACTION, "$.transactions")
    if not wires:
        return ()
    v, types = Transaction.__struct_fields__.index("v"), signed[4]
    # both may appear, and beside a y parity some nodes send an EIP-155 style v
    signed[v] = [
        old if parity is None or not type_ else parity
        for old, parity, type_ in zip(signed[v], parities, types, strict=True)
    ]
    transactions = tuple(map(Transaction, *signed, extras))
    for i, transaction in enumerate(transactions):
        for name in REQUIRED.get(transaction.type, ()):
            if getattr(transaction, name) is None:
                field = f"$.transactions[{i}].{_camel(name)}"
                raise ValueError(f"missing in a transaction of type {transaction.type} - at `{field}`")
    return transactions


def _decode_receipts(answer: bytes | Raw) -> tuple[Receipt, ...]:
    wires, extras = _receipts.decode(answer)
    *columns, prices, amounts, _, _, _ = _columns(wires, _RECEIPT, "$")
    if not wires:
        return ()
    status, root, logs = (Receipt.__struct_fields__.index(name) for name in ("status", "root", "logs"))
    for i, (has_status, has_root) in enumerate(zip(columns[status], columns[root], strict=True)):
        if has_status is None and has_root is None:
            raise ValueError(f"neither status nor root - at `$[{i}]`")
    # some nodes send an empty root beside the status; EIP-658 put the status in its place
    columns[root] = [r if s is None else None for s, r in zip(columns[status], columns[root], strict=True)]
    columns[logs] = _log_lists(columns[logs])
    return tuple(map(Receipt, *columns, map(_with_blob_gas, extras, prices, amounts)))


def _with_blob_gas(extra: str | None, price: str | None, amount: str | None) -> str | None:
    """`extra` with what receipts of blob transactions say; named, or each such receipt would be read twice."""
    if price is None and amount is None:
        return extra
    said = {"blobGasPrice": price, "blobGasUsed": amount}
    fields = {name: Raw(msgspec.json.encode(text)) for name, text in said.items() if text is not None}
    if extra is not None:
        fields |= _object_fields.decode(extra)
    return msgspec.json.encode(dict(sorted(fields.items()))).decode()


def _log_lists(lists: Sequence[list[_WireLog]]) -> list[tuple[Log, ...]]:
    flat = [wire for wires in lists for wire in wires]
    try:
        logs = iter(list(map(Log, *_columns(flat, _LOG, "$"))))
    except ValueError:
        for i, wires in enumerate(lists):  # again, to say which receipt's
            _columns(wires, _LOG, f"$[{i}].logs")
        raise
    return [tuple(islice(logs, len(wires))) for wires in lists]


def _columns(
    wires: Sequence[Struct], converters: Sequence[_Convert], path: str, fields: int | None = None
) -> list[Sequence[Any]]:
    """The fields of all `wires`, converted a column at a time; ValueError names what does not convert."""
    if not wires:
        return [()] * len(converters)
    texts = list(zip(*map(msgspec.structs.astuple, wires), strict=True))[:fields]
    try:
        return [convert(column) for convert, column in zip(converters, texts, strict=True)]
    except ValueError:
        _blame(wires, converters, path)


def _blame(wires: Sequence[Struct], converters: Sequence[_Convert], path: str) -> NoReturn:
    """Raise ValueError for the first field that does not convert on its own."""
    for i, wire in enumerate(wires):
        where = path if isinstance(wire, _WireBlock) else f"{path}[{i}]"
        names = type(wire).__struct_encode_fields__
        for name, convert, value in zip(names, converters, msgspec.structs.astuple(wire), strict=False):
            try:
                convert((value,))
            except ValueError as error:
                reason = "is not hex" if "fromhex" in str(error) or "int()" in str(error) else error
                raise ValueError(f"{_short(value)} {reason} - at `{where}.{name}`") from None
    raise AssertionError("columns that did not convert did so field by field")


def _short(value: object) -> str:
    text = repr(value)  # whole or not at all: a key that is cut is recognised by nobody
    return text if len(text) <= 80 else f"{type(value).__name__} of {len(text)} characters"


def _extra(fields: dict[str, Raw], known: frozenset[str]) -> str | None:
    unknown = fields.keys() - known
    if not unknown:
        return None
    # white space does not count, the text of a number does
    kept = {name: Raw(msgspec.json.format(fields[name], indent=-1)) for name in sorted(unknown)}
    return msgspec.json.encode(kept).decode()


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)
