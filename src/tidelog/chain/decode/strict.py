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
from typing import Any, NamedTuple, NoReturn, TypeVar

import msgspec
from msgspec import Raw, Struct

from tidelog.chain.blocks import (
    Block,
    Header,
    Log,
    Receipt,
    Transaction,
    Withdrawal,
)
from tidelog.chain.decode.lenient import Oddities, note_style, plain_block, plain_receipts
from tidelog.chain.decode.scalars import (
    Convert,
    hash_lists,
)
from tidelog.chain.decode.shapes import (
    HEADER_COLUMNS,
    LOG_COLUMNS,
    RECEIPT_COLUMNS,
    TRANSACTION_COLUMNS,
    WITHDRAWAL_COLUMNS,
    LooseReceipt,
    LooseTransaction,
    WireBlock,
    WireHeader,
    WireLog,
    WireReceipt,
    WireTransaction,
    WireWithdrawal,
)
from tidelog.chain.encoding.headers import with_own_fields
from tidelog.chain.encoding.items import encode_transaction, keccak
from tidelog.chain.encoding.trie import EMPTY_ROOT
from tidelog.chain.endpoint.jsonrpc import misread
from tidelog.errors import Rejected

T = TypeVar("T")


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
_block: msgspec.json.Decoder[Any] = msgspec.json.Decoder(WireBlock)
_bare_header: msgspec.json.Decoder[Any] = msgspec.json.Decoder(WireHeader)
_transactions = _Objects(WireTransaction, LooseTransaction)
_receipts = _Objects(WireReceipt, LooseReceipt)
_HEADER_NAMES = WireHeader.__struct_encode_fields__
_BLOCK_KNOWN = frozenset(WireBlock.__struct_encode_fields__)
_NO_ADDRESS = bytes(20)


class ReadHeader(NamedTuple):
    """What is read of an eth_getBlockBy.. answer without its transactions.

    Attributes:
        header: fields that the answer leaves out are empty, or zero.
        extra: the answer's fields that are none of a block's, in the words in which it was read; None if it has none.
        oddities: what was odd, and which fields were left out.
    """

    header: Header
    extra: str | None
    oddities: Oddities


def decode_header(answer: bytes | Raw) -> ReadHeader:
    """The header of an eth_getBlockBy.. answer, with or without full transactions. Rejected: it has none."""
    oddities = Oddities()
    return _shaped("block", answer, lambda: _read(_decode_header, plain_block, answer, oddities))


def decode_headers(answers: Sequence[bytes | Raw]) -> list[ReadHeader | None]:
    """What `decode_header` gives of each answer; None: it refuses it.

    The usual ones are converted together, a column at a time.
    """
    try:
        return _decode_headers(answers)
    except (ValueError, RecursionError):
        return [_header_or_none(answer) for answer in answers]


def _decode_headers(answers: Sequence[bytes | Raw]) -> list[ReadHeader | None]:
    wires = [_block.decode(answer) for answer in answers]
    columns = _columns(wires, HEADER_COLUMNS, "$", len(HEADER_COLUMNS))
    found: list[ReadHeader | None] = []
    for wire, answer, values in zip(wires, answers, zip(*columns, strict=True), strict=True):
        oddities = Oddities()
        note_style(dict(zip(_HEADER_NAMES, msgspec.structs.astuple(wire), strict=False)), oddities)
        found.append(_with_extra(Header(*values), answer, oddities))
    return found


def _header_or_none(answer: bytes | Raw) -> ReadHeader | None:
    try:
        return decode_header(answer)
    except Rejected:
        return None


def decode_uncle(answer: bytes | Raw) -> Header:
    """An eth_getUncleBy.. answer: a block, of which some nodes leave out the body."""

    def decode(text: bytes | Raw, into: Oddities) -> Header:
        return _header(_bare_header.decode(text), into)

    return _shaped("uncle", answer, lambda: _read(decode, plain_block, answer, Oddities()))


def decode_block(answer: bytes | Raw, oddities: Oddities | None = None, *, chain_id: int | None = None) -> Block:
    """An eth_getBlockBy.. answer with full transactions.

    Args:
        oddities: collects what was odd; header fields that the answer leaves out are empty, or zero.
        chain_id: what a transaction signs that leaves its own out; its hash says whether it does.
    """
    noted = Oddities() if oddities is None else oddities

    def decode(text: bytes | Raw, into: Oddities) -> Block:
        return _decode_block(text, into, chain_id)

    return _shaped("block", answer, lambda: _read(decode, plain_block, answer, noted))


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

    return _shaped("receipts", answer, lambda: _read(decode, plain_receipts, answer, noted))


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


def _shaped(what: str, answer: bytes | Raw, decode: Callable[[], T]) -> T:
    try:
        return decode()
    except RecursionError:
        raise Rejected(f"{what} answer of the wrong shape: nested too deeply") from None
    except ValueError as error:  # msgspec's errors are among them: not JSON, not UTF-8, not of the shape
        raise Rejected(misread(what, answer, error)) from None


def _decode_header(answer: bytes | Raw, oddities: Oddities) -> ReadHeader:
    return _with_extra(_header(_block.decode(answer), oddities), answer, oddities)


def _with_extra(header: Header, answer: bytes | Raw, oddities: Oddities) -> ReadHeader:
    extra = _extra(_object_fields.decode(answer), _BLOCK_KNOWN)
    return ReadHeader(with_own_fields(header, extra), extra, oddities)


def _header(wire: Struct, oddities: Oddities) -> Header:
    note_style(dict(zip(_HEADER_NAMES, msgspec.structs.astuple(wire), strict=False)), oddities)
    columns = _columns([wire], HEADER_COLUMNS, "$", len(HEADER_COLUMNS))
    header = Header(*[column[0] for column in columns])
    if not oddities.absent:
        return header
    # what stands for these is computed, so that nothing is ever compared with a value that no answer had
    return msgspec.structs.replace(
        header,
        logs_bloom=b"" if "logsBloom" in oddities.absent else header.logs_bloom,
        ommers_hash=b"" if "sha3Uncles" in oddities.absent else header.ommers_hash,
    )


def _decode_block(answer: bytes | Raw, oddities: Oddities, chain_id: int | None) -> Block:
    wire = _block.decode(answer)
    header, extra, _ = _with_extra(_header(wire, oddities), answer, oddities)
    return Block(
        header=header,
        transactions=_decode_transactions(wire.transactions, oddities, chain_id),
        uncles=hash_lists([wire.uncles or []])[0],
        withdrawals=_decode_withdrawals(wire.withdrawals, header, oddities),
        extra=extra,
    )


def _decode_withdrawals(
    wires: list[WireWithdrawal] | None, header: Header, oddities: Oddities
) -> tuple[Withdrawal, ...] | None:
    root = header.withdrawals_root
    if (wires == [] and root is None) or (wires is None and root == EMPTY_ROOT):
        oddities.note("none", "$.withdrawals")
        return None if root is None else ()
    if wires is None:
        return None
    return tuple(map(Withdrawal, *_columns(wires, WITHDRAWAL_COLUMNS, "$.withdrawals")))


def _decode_transactions(answer: Raw, oddities: Oddities, chain_id: int | None) -> tuple[Transaction, ...]:
    wires, extras = _transactions.decode(answer)
    if not wires:
        return ()
    *signed, parities, timestamps = _columns(wires, TRANSACTION_COLUMNS, "$.transactions")
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
    *columns, prices, amounts, _, _, _ = _columns(wires, RECEIPT_COLUMNS, "$")
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


def _log_lists(lists: Sequence[list[WireLog]]) -> list[tuple[Log, ...]]:
    flat = [wire for wires in lists for wire in wires]
    try:
        logs = iter(list(map(Log, *_columns(flat, LOG_COLUMNS, "$"))))
    except ValueError:
        for i, wires in enumerate(lists):  # again, to say which receipt's
            _columns(wires, LOG_COLUMNS, f"$[{i}].logs")
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
        where = path if isinstance(wire, WireBlock) else f"{path}[{i}]"
        names = type(wire).__struct_encode_fields__
        for name, convert, value in zip(names, converters, msgspec.structs.astuple(wire), strict=False):
            try:
                convert((value,))
            except ValueError as error:
                reason = "is not hex" if "fromhex" in str(error) or "int()" in str(error) else error
                raise ValueError(f"{_short(value)} {reason} - at `{where}.{name}`") from None
    raise AssertionError("columns that did not convert did so field by field")


def _short(value: object) -> str:
    text = repr(value)  # whole or not at all: a truncated key would escape redaction
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
