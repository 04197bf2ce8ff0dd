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

from tidelog.chain.blocks import (
    AccessEntry,
    Authorization,
    Block,
    Header,
    Log,
    Receipt,
    Transaction,
    Withdrawal,
)
from tidelog.chain.encoding import encode_transaction, keccak
from tidelog.chain.headers import with_own_fields
from tidelog.chain.plain import Oddities, note_style, plain_block, plain_receipts
from tidelog.chain.scalars import (
    Address,
    Bloom,
    Convert,
    Hash,
    Nonce,
    address20,
    byte,
    fixed,
    hash32,
    hash_lists,
    hex_data,
    integer,
    optional,
    optionals,
    same,
    uint64,
    uint256,
)
from tidelog.chain.trie import EMPTY_ROOT
from tidelog.errors import Rejected

T = TypeVar("T")


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


def _access_lists(lists: Sequence[list[_WireAccess]]) -> list[tuple[AccessEntry, ...]]:
    entries = [entry for wires in lists for entry in wires]
    addresses = address20([entry.address for entry in entries])
    keys = hash_lists([entry.storage_keys or [] for entry in entries])
    made = iter(list(map(AccessEntry, addresses, keys)))
    return [tuple(islice(made, len(wires))) for wires in lists]


def _authorization_lists(lists: Sequence[list[_WireAuthorization]]) -> list[tuple[Authorization, ...]]:
    return [tuple([_authorization(wire) for wire in wires]) for wires in lists]


def _authorization(wire: _WireAuthorization) -> Authorization:
    parity = wire.v if wire.y_parity is None else wire.y_parity
    chain_id, nonce, y_parity, r, s = uint256((wire.chain_id, wire.nonce, parity or "", wire.r, wire.s))
    return Authorization(chain_id, address20((wire.address,))[0], nonce, y_parity, r, s)


class _WireHeader(_Wire, kw_only=True):
    number: str
    hash: Hash
    parent_hash: Hash
    ommers_hash: Hash = msgspec.field(name="sha3Uncles")
    miner: Address
    state_root: Hash
    transactions_root: Hash
    receipts_root: Hash
    logs_bloom: Bloom
    difficulty: str
    gas_limit: str
    gas_used: str
    timestamp: str
    extra_data: str
    mix_hash: Hash | None = None
    nonce: Nonce | None = None
    base_fee_per_gas: str | None = None
    withdrawals_root: Hash | None = None
    blob_gas_used: str | None = None
    excess_blob_gas: str | None = None
    parent_beacon_block_root: Hash | None = None
    requests_hash: Hash | None = None
    block_access_list_hash: Hash | None = None
    slot_number: str | None = None


_HEADER: tuple[Convert, ...] = (
    integer, hash32, hash32, hash32, address20, hash32, hash32, hash32, fixed(256), uint256,
    uint64, uint64, uint64, hex_data, *optionals(
        hash32, fixed(8), uint256, hash32, uint64, uint64, hash32, hash32, hash32, uint64,
    ),
)  # fmt: skip


class _WireTransaction(_Wire, kw_only=True, forbid_unknown_fields=True):
    block_hash: Hash
    block_number: str
    transaction_index: str
    hash: Hash
    type: str | None = None  # nodes from before Berlin do not send one
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
    block_timestamp: Any = None  # repeats the block's


_TRANSACTION: tuple[Convert, ...] = (
    hash32, integer, integer, hash32, optional(byte), address20, *optionals(
        address20, uint64, uint256, uint64, uint256, uint256, uint256, uint256, hex_data, uint64,
        _access_lists, hash_lists, _authorization_lists, uint64, uint256, uint256, hash32, uint256,
        same, uint64, same,
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
}
_DEPOSIT = ("value", "gas", "input")  # with `source_hash`; without it, type 0x7e is another chain's: see `variants`


class _WireWithdrawal(_Wire, kw_only=True):
    index: str
    validator_index: str
    address: Address
    amount: str


_WITHDRAWAL: tuple[Convert, ...] = (uint64, uint64, address20, uint64)


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


_LOG: tuple[Convert, ...] = (
    address20, hash_lists, hex_data, *optionals(hash32, integer, hash32, integer, integer),
)  # fmt: skip


class _WireReceipt(_Wire, kw_only=True, forbid_unknown_fields=True):
    block_hash: Hash
    block_number: str
    transaction_hash: Hash
    transaction_index: str
    type: str | None = None  # repeats the transaction's
    status: str | None = None
    root: Hash | None = None
    cumulative_gas_used: str
    gas_used: str
    effective_gas_price: str | None = None
    contract_address: Address | None = None
    logs_bloom: Bloom | None = None
    logs: list[_WireLog]
    deposit_nonce: str | None = None
    deposit_receipt_version: str | None = None
    blob_gas_price: str | None = None  # this one and the next go into `extra`: no commitment covers them
    blob_gas_used: str | None = None
    from_: Any = msgspec.field(name="from", default=None)  # this one and the next two repeat the transaction
    to: Any = None
    block_timestamp: Any = None


_RECEIPT: tuple[Convert, ...] = (
    hash32, integer, hash32, integer, optional(byte), optional(integer), optional(hash32), uint64,
    uint64, optional(uint256), optional(address20), optional(fixed(256)), same, optional(uint64),
    optional(uint64), same, same, same, same, same,
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
_bare_header = msgspec.json.Decoder(_WireHeader)
_transactions = _Objects(_WireTransaction, _LooseTransaction)
_receipts = _Objects(_WireReceipt, _LooseReceipt)
_HEADER_NAMES = _WireHeader.__struct_encode_fields__
_BLOCK_KNOWN = frozenset(_WireBlock.__struct_encode_fields__)
_NO_ADDRESS = bytes(20)


def decode_header(answer: bytes | Raw, oddities: Oddities | None = None) -> Header:
    """The header of an eth_getBlockBy.. answer, with or without full transactions.

    Args:
        oddities: is told what was odd; header fields that the answer leaves out are empty, or zero.
    """
    noted = Oddities() if oddities is None else oddities
    return _shaped("block", lambda: _read(_decode_header, plain_block, answer, noted))


def extra_of(answer: bytes | Raw) -> str | None:
    """The fields of an eth_getBlockBy.. answer that are none of a block's; None if it has none, or is no object."""
    try:
        return _extra(_object_fields.decode(answer), _BLOCK_KNOWN)
    except (ValueError, RecursionError):
        return None


def decode_uncle(answer: bytes | Raw) -> Header:
    """An eth_getUncleBy.. answer: a block, of which some nodes leave out the body."""

    def decode(text: bytes | Raw, into: Oddities) -> Header:
        return _header(_bare_header.decode(text), into)

    return _shaped("uncle", lambda: _read(decode, plain_block, answer, Oddities()))


def decode_block(answer: bytes | Raw, oddities: Oddities | None = None, *, chain_id: int | None = None) -> Block:
    """An eth_getBlockBy.. answer with full transactions.

    Args:
        oddities: as for `decode_header`.
        chain_id: what a transaction signs that leaves its own out; its hash says whether it does.
    """
    noted = Oddities() if oddities is None else oddities

    def decode(text: bytes | Raw, into: Oddities) -> Block:
        return _decode_block(text, into, chain_id)

    return _shaped("block", lambda: _read(decode, plain_block, answer, noted))


def decode_receipts(
    answer: bytes | Raw, oddities: Oddities | None = None, *, by_root: bool = False
) -> tuple[Receipt, ...]:
    """An eth_getBlockReceipts answer, or a list of eth_getTransactionReceipt answers.

    Args:
        by_root: of a receipt with both a status and a state root, keep the root.
    """
    noted = Oddities() if oddities is None else oddities

    def decode(text: bytes | Raw, into: Oddities) -> tuple[Receipt, ...]:
        return _decode_receipts(text, into, by_root=by_root)

    return _shaped("receipts", lambda: _read(decode, plain_receipts, answer, noted))


def _read(
    decode: Callable[[bytes | Raw, Oddities], T],
    plain: Callable[[bytes | Raw, Oddities], bytes],
    answer: bytes | Raw,
    oddities: Oddities,
) -> T:
    """Decode strictly; if that fails, once more what the answer says in plain words."""
    try:
        return decode(answer, oddities)
    except ValueError:
        return decode(plain(answer, oddities), oddities)


def _shaped(what: str, decode: Callable[[], T]) -> T:
    try:
        return decode()
    except RecursionError:
        raise Rejected(f"{what} answer of the wrong shape: nested too deeply") from None
    except ValueError as error:  # msgspec's errors are among them: not JSON, not UTF-8, not of the shape
        raise Rejected(f"{what} answer of the wrong shape: {error}") from None


def _decode_header(answer: bytes | Raw, oddities: Oddities) -> Header:
    header = _header(_block.decode(answer), oddities)
    if header.mix_hash is None or b"parentProposerPubkey" in bytes(answer):
        header = with_own_fields(header, _extra(_object_fields.decode(answer), _BLOCK_KNOWN))
    return header


def _header(wire: _WireHeader, oddities: Oddities) -> Header:
    note_style(dict(zip(_HEADER_NAMES, msgspec.structs.astuple(wire), strict=False)), oddities)
    columns = _columns([wire], _HEADER, "$", len(_HEADER))
    header = Header(*[column[0] for column in columns])
    if not oddities.absent:
        return header
    # what stands for these is computed, so that nothing is ever compared with a value that nobody told
    return msgspec.structs.replace(
        header,
        logs_bloom=b"" if "logsBloom" in oddities.absent else header.logs_bloom,
        ommers_hash=b"" if "sha3Uncles" in oddities.absent else header.ommers_hash,
    )


def _decode_block(answer: bytes | Raw, oddities: Oddities, chain_id: int | None) -> Block:
    wire = _block.decode(answer)
    header = _header(wire, oddities)
    extra = _extra(_object_fields.decode(answer), _BLOCK_KNOWN)
    return Block(
        header=with_own_fields(header, extra),
        transactions=_decode_transactions(wire.transactions, oddities, chain_id),
        uncles=hash_lists([wire.uncles or []])[0],
        withdrawals=_decode_withdrawals(wire.withdrawals, header, oddities),
        extra=extra,
    )


def _decode_withdrawals(
    wires: list[_WireWithdrawal] | None, header: Header, oddities: Oddities
) -> tuple[Withdrawal, ...] | None:
    root = header.withdrawals_root
    if (wires == [] and root is None) or (wires is None and root == EMPTY_ROOT):
        oddities.note("none", "$.withdrawals")
        return None if root is None else ()
    if wires is None:
        return None
    return tuple(map(Withdrawal, *_columns(wires, _WITHDRAWAL, "$.withdrawals")))


def _decode_transactions(answer: Raw, oddities: Oddities, chain_id: int | None) -> tuple[Transaction, ...]:
    wires, extras = _transactions.decode(answer)
    if not wires:
        return ()
    *signed, parities, timestamps = _columns(wires, _TRANSACTION, "$.transactions")
    if timestamps[0] is not None and type(timestamps[0]) is not str:
        oddities.note("unread", "$.transactions[0].blockTimestamp")
    v, types = Transaction.__struct_fields__.index("v"), signed[4]
    legacy_v = signed[v]
    # both may appear, and beside a y parity some nodes send an EIP-155 style v
    signed[v] = [
        old if parity is None or not type_ else parity
        for old, parity, type_ in zip(legacy_v, parities, types, strict=True)
    ]
    transactions = list(map(Transaction, *signed, extras))
    for i, transaction in enumerate(transactions):
        where = f"$.transactions[{i}]"
        if types[i] is None:
            transaction = _typed(transaction, legacy_v[i], parities[i], where, oddities)
        missing = _missing(transaction)
        if missing is not None:
            transaction = _supplied(transaction, chain_id, where, oddities)
            missing = _missing(transaction)
        if missing is not None:
            raise ValueError(f"missing in a transaction of type {transaction.type} - at `{where}.{_camel(missing)}`")
        transactions[i] = transaction
    return tuple(transactions)


_LISTED = frozenset({1, 2, 3, 4})


def _missing(transaction: Transaction) -> str | None:
    """A field that the transaction's type signs, and that is not there."""
    names = REQUIRED.get(transaction.type, ()) if transaction.source_hash is None else _DEPOSIT
    for name in names:
        if getattr(transaction, name) is None:
            return name
    return None


def _supplied(transaction: Transaction, chain_id: int | None, where: str, oddities: Oddities) -> Transaction:
    """With what can only be one thing: no access list is encoded like an empty one, and the chain has one id."""
    if transaction.type not in _LISTED:
        return transaction
    if transaction.access_list is None:
        oddities.note("none", f"{where}.accessList")
        transaction = msgspec.structs.replace(transaction, access_list=())
    if transaction.chain_id is None and chain_id is not None:
        oddities.note("absent", f"{where}.chainId")
        transaction = msgspec.structs.replace(transaction, chain_id=chain_id)
    return transaction


def _typed(transaction: Transaction, v: int | None, parity: int | None, where: str, oddities: Oddities) -> Transaction:
    """A transaction that came without a type, as the one that its hash is of.

    Where none fits the hash, some chains compute it otherwise: then it is the only type whose fields are all there.
    """
    candidates = []
    for kind in REQUIRED:
        changes: dict[str, Any] = {"type": kind, "v": v if not kind or parity is None else parity}
        if kind in _LISTED and transaction.access_list is None:
            changes["access_list"] = ()
        candidate = msgspec.structs.replace(transaction, **changes)
        if _missing(candidate) is None:
            candidates.append(candidate)
    fitting = [item for item in candidates if keccak(encode_transaction(item)) == item.hash]
    if len(fitting or candidates) != 1:
        raise ValueError(f"is missing, and the transaction's hash fits no type - at `{where}.type`")
    oddities.note("absent", f"{where}.type")
    return (fitting or candidates)[0]


def _decode_receipts(answer: bytes | Raw, oddities: Oddities, *, by_root: bool) -> tuple[Receipt, ...]:
    wires, extras = _receipts.decode(answer)
    if not wires:
        return ()
    *columns, prices, amounts, _, _, _ = _columns(wires, _RECEIPT, "$")
    names = ("status", "root", "type", "contract_address", "logs")
    status, root, kinds, contracts, logs = (Receipt.__struct_fields__.index(name) for name in names)
    for i, (has_status, has_root) in enumerate(zip(columns[status], columns[root], strict=True)):
        if has_status is None and has_root is None:
            raise ValueError(f"neither status nor root - at `$[{i}]`")
        if has_status is not None and has_root is not None:
            oddities.note("root_and_status", f"$[{i}].root")
    # some nodes send a root beside the status; EIP-658 put the status in its place
    if by_root:
        columns[status] = [s if r is None else None for s, r in zip(columns[status], columns[root], strict=True)]
    columns[root] = [r if s is None else None for s, r in zip(columns[status], columns[root], strict=True)]
    if None in columns[kinds]:
        oddities.note("absent", f"$[{list(columns[kinds]).index(None)}].type")
    if _NO_ADDRESS in columns[contracts]:  # no contract can be there: it is another word for none
        oddities.note("none", f"$[{list(columns[contracts]).index(_NO_ADDRESS)}].contractAddress")
        columns[contracts] = [None if contract == _NO_ADDRESS else contract for contract in columns[contracts]]
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
    wires: Sequence[Struct], converters: Sequence[Convert], path: str, fields: int | None = None
) -> list[Sequence[Any]]:
    """The fields of all `wires`, converted a column at a time; ValueError names what does not convert."""
    if not wires:
        return [()] * len(converters)
    texts = list(zip(*map(msgspec.structs.astuple, wires), strict=True))[:fields]
    try:
        return [convert(column) for convert, column in zip(converters, texts, strict=True)]
    except ValueError:
        _blame(wires, converters, path)


def _blame(wires: Sequence[Struct], converters: Sequence[Convert], path: str) -> NoReturn:
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
