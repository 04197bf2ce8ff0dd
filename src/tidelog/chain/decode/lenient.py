"""Answers in other words, put into the words of the specification: the second try of `tidelog.chain.decode.strict`.

Nodes write numbers as JSON numbers, names in snake case, and nothing as "0x", "" or null. Where a text has one reading
only, it is rewritten here and counted in `Oddities`; what has several (a number of decimal digits in quotes, a
number beyond 2^53, a hash that lacks digits) stays as it is, so that the strict decoder refuses it with its path.
JSON in, JSON out: what tidelog does not know keeps its text. No proof: whether a reading is right, the commitments say.
"""

import re
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from tidelog.chain.encoding.trie import EMPTY_ROOT
from tidelog.chain.header_fields import HEADER_FIELDS, Kind

NUMBER_MAX = (
    2**53 - 1
)  # the largest that every JSON library keeps exact (RFC 8259, 6); beyond it a node may have rounded

KINDS: Mapping[str, str] = {
    "number": "a JSON number, or true or false, where a hex text belongs",
    "uppercase": "upper-case digits, or the prefix 0X",
    "leading_zeros": "a quantity with leading zeros",
    "empty_number": '"0x" for zero',
    "snake_case": "a field's name in snake case",
    "none": 'nothing said as "0x", "", null, [] or the zero address',
    "absent": "a field left out that can be done without",
    "input_as_data": "a transaction's input under the name `data`",
    "zero_for_absent": "zero in a header field that the header's hash leaves out",
    "root_and_status": "a receipt with a state root beside its status",
    "unread": "a field that is dropped is of another type than specified",
    "extra_dropped": "more fields of the node's own than are kept",
}
"""What is counted, by the name that metric and log give it."""


class Oddities(Struct):
    """What was odd in one answer, or a block's answers: where each kind occurred first, and header fields left out."""

    found: dict[str, str] = {}
    absent: list[str] = []  # of the header: read as nothing, which its hash has to confirm where it can be computed

    def note(self, kind: str, where: str) -> None:
        """Remember a kind of `KINDS` with the path of its first place."""
        self.found.setdefault(kind, where)

    def merge(self, other: "Oddities") -> None:
        """Add what another answer of the same block showed."""
        for kind, where in other.found.items():
            self.note(kind, where)
        self.absent += [name for name in other.absent if name not in self.absent]


# -- what each object has ------------------------------------------------------------------------------------


class _Field(NamedTuple):
    name: str
    snake: str
    quantity: bool = False
    data: bool = False  # of any length, "0x" included
    needed: bool = False  # no null instead


def _table(quantities: str, fixed: str, data: str = "", *, needed: str = "") -> dict[str, _Field]:
    must = needed.split()
    fields = {}
    for name in f"{quantities} {fixed} {data}".split():
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        fields[name] = _Field(name, snake, name in quantities.split(), name in data.split(), name in must)
    return fields


def _json_names(wanted: Callable[[Kind], bool]) -> str:
    return " ".join([field.json for field in HEADER_FIELDS if wanted(field.kind)])


HEADER = _table(
    _json_names(lambda kind: kind.is_integer),
    _json_names(lambda kind: kind.size is not None),
    _json_names(lambda kind: kind is Kind.DATA),
    needed="number hash parentHash miner stateRoot transactionsRoot receiptsRoot gasUsed timestamp",
)
TRANSACTION = _table(
    "blockNumber transactionIndex type nonce value gas gasPrice maxFeePerGas maxPriorityFeePerGas maxFeePerBlobGas "
    "chainId v r s mint yParity",
    "blockHash hash from to sourceHash",
    "input",
    needed="blockHash blockNumber transactionIndex hash from input",
)
RECEIPT = _table(
    "blockNumber transactionIndex type status cumulativeGasUsed gasUsed effectiveGasPrice depositNonce "
    "depositReceiptVersion blobGasPrice blobGasUsed",
    "blockHash transactionHash root contractAddress logsBloom",
    needed="blockHash blockNumber transactionHash transactionIndex cumulativeGasUsed gasUsed",
)
LOG = _table(
    "blockNumber transactionIndex logIndex",
    "blockHash transactionHash address",
    "data",
    needed="address data",
)
WITHDRAWAL = _table("index validatorIndex amount", "address", needed="index validatorIndex amount address")
ACCESS = _table("", "address", needed="address")
AUTHORIZATION = _table("chainId nonce r s yParity v", "address", needed="chainId nonce r s address")

_LISTS = ("accessList", "blobVersionedHashes", "authorizationList", "storageKeys")
_SNAKE_LISTS = {name: re.sub(r"(?=[A-Z])", "_", name).lower() for name in _LISTS}

_fields = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])
_encode = msgspec.json.Encoder().encode

_NULL, _NO_ITEMS = b"null", b"[]"
_EMPTY_BLOOM = b'"0x%s"' % (b"00" * 256)
# what stands for a header field that is not there; none of them can be seen to be wrong but by the header's hash
_DONE_WITHOUT: Mapping[str, bytes] = {
    "logsBloom": _EMPTY_BLOOM,
    "sha3Uncles": b'"0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"',
    "difficulty": b'"0x0"',
    "gasLimit": b'"0x0"',
    "extraData": b'"0x"',
}


class _Object:
    """One object of an answer, as its fields' texts."""

    def __init__(self, answer: bytes | Raw, path: str, oddities: Oddities) -> None:
        self.fields: dict[str, bytes | Raw] = dict(_fields.decode(answer))
        self.path = path
        self.oddities = oddities

    def note(self, kind: str, name: str) -> None:
        self.oddities.note(kind, f"{self.path}.{name}")

    def rename(self, name: str, other: str, kind: str) -> None:
        """Take the field `other` for `name`, if only that is there."""
        if name not in self.fields and other in self.fields:
            self.fields[name] = self.fields.pop(other)
            self.note(kind, other)

    def scalars(self, table: Mapping[str, _Field]) -> None:
        """Put every scalar of the table into plain words, as far as it has one reading."""
        for name, field in table.items():
            if name not in self.fields:
                self.rename(name, field.snake, "snake_case")
            value = self.fields.get(name)
            if value is not None:
                self.fields[name] = self._scalar(bytes(value), field)

    def _scalar(self, value: bytes, field: _Field) -> bytes:
        if value[:3] == b'"0x' and len(value) > 4:
            return value
        number = _number(value, field) if field.quantity else None
        if number is not None:
            self.note("number", field.name)
            return b'"%#x"' % number
        if value[:3] == b'"0X':
            self.note("uppercase", field.name)
            return b'"0x' + value[3:]
        if field.data and value in (_NULL, b'""'):
            self.note("none", field.name)
            return b'"0x"'
        if not field.needed and (value == b'""' or (value == b'"0x"' and not field.quantity and not field.data)):
            self.note("none", field.name)
            return _NULL
        return value

    def items(self, name: str, change: Callable[[Raw, str], bytes]) -> None:
        """Change each item of a list; what is no list stays."""
        value = bytes(self.fields.get(name, b""))
        if not value.startswith(b"["):
            return
        items = [change(item, f"{self.path}.{name}[{i}]") for i, item in enumerate(_items.decode(value))]
        self.fields[name] = b"[" + b",".join(items) + b"]"

    def hashes(self, name: str) -> None:
        """The prefix of the hashes of a list."""
        value = bytes(self.fields.get(name, b""))
        if b'"0X' in value:
            self.note("uppercase", name)
            self.fields[name] = value.replace(b'"0X', b'"0x')

    def encoded(self) -> bytes:
        return _encode({name: Raw(value) for name, value in self.fields.items()})


def _number(value: bytes, field: _Field) -> int | None:
    """The number that a JSON text is, if it has one reading."""
    if field.name == "status" and value in (b"true", b"false"):
        return int(value == b"true")
    digits = len(str(NUMBER_MAX))
    return int(value) if value.isdigit() and len(value) <= digits and int(value) <= NUMBER_MAX else None


def plain_block(answer: bytes | Raw, oddities: Oddities) -> bytes:
    """An eth_getBlockBy.. answer in plain words; ValueError if it is no object of objects."""
    block = _Object(answer, "$", oddities)
    fields = block.fields
    extra_data = bytes(fields.get("extraData", fields.get("extra_data", _NULL)))
    block.scalars(HEADER)
    for name, nothing in _DONE_WITHOUT.items():
        value = extra_data if name == "extraData" else bytes(fields.get(name, _NULL))
        if value in (_NULL, b'""'):
            fields[name] = nothing
            oddities.absent.append(name)
            block.note("absent", name)
    if bytes(fields.get("transactions", b"")) == _NULL and _is_hash(fields.get("transactionsRoot"), EMPTY_ROOT):
        fields["transactions"] = _NO_ITEMS
        block.note("none", "transactions")
    block.hashes("uncles")
    block.items("withdrawals", lambda item, path: _plain_fields(item, WITHDRAWAL, path, oddities))
    block.items("transactions", lambda item, path: _transaction(item, path, oddities))
    return block.encoded()


def _is_hash(value: bytes | Raw | None, wanted: bytes) -> bool:
    return value is not None and bytes(value).lower() == b'"0x%s"' % wanted.hex().encode()


def _plain_fields(answer: Raw, table: Mapping[str, _Field], path: str, oddities: Oddities) -> bytes:
    if not bytes(answer).startswith(b"{"):
        return bytes(answer)
    plain = _Object(answer, path, oddities)
    plain.scalars(table)
    return plain.encoded()


def _transaction(answer: Raw, path: str, oddities: Oddities) -> bytes:
    if not bytes(answer).startswith(b"{"):
        return bytes(answer)
    tx = _Object(answer, path, oddities)
    if bytes(tx.fields.get("input", _NULL)) == _NULL and "data" in tx.fields:
        tx.fields.pop("input", None)
        tx.rename("input", "data", "input_as_data")
    tx.scalars(TRANSACTION)
    for name in _LISTS[:3]:
        tx.rename(name, _SNAKE_LISTS[name], "snake_case")
    tx.hashes("blobVersionedHashes")
    tx.items("accessList", lambda item, where: _access(item, where, oddities))
    tx.items("authorizationList", lambda item, where: _plain_fields(item, AUTHORIZATION, where, oddities))
    return tx.encoded()


def _access(answer: Raw, path: str, oddities: Oddities) -> bytes:
    if not bytes(answer).startswith(b"{"):
        return bytes(answer)
    entry = _Object(answer, path, oddities)
    entry.scalars(ACCESS)
    entry.rename("storageKeys", _SNAKE_LISTS["storageKeys"], "snake_case")
    entry.hashes("storageKeys")
    return entry.encoded()


def plain_receipts(answer: bytes | Raw, oddities: Oddities) -> bytes:
    """A list of receipts in plain words; ValueError if it is no list."""
    receipts = [_receipt(item, f"$[{i}]", oddities) for i, item in enumerate(_items.decode(answer))]
    return b"[" + b",".join(receipts) + b"]"


def _receipt(answer: Raw, path: str, oddities: Oddities) -> bytes:
    if not bytes(answer).startswith(b"{"):
        return bytes(answer)
    receipt = _Object(answer, path, oddities)
    receipt.scalars(RECEIPT)
    bloom = bytes(receipt.fields.get("logsBloom", b""))
    if bytes(receipt.fields.get("logs", b"")) == _NULL and bloom == _EMPTY_BLOOM:
        receipt.fields["logs"] = _NO_ITEMS  # the bloom says that there are none
        receipt.note("none", "logs")
    receipt.items("logs", lambda item, where: _log(item, where, oddities))
    return receipt.encoded()


def plain_logs(answer: bytes | Raw, oddities: Oddities) -> bytes:
    """An eth_getLogs answer in plain words; ValueError if it is no list."""
    return b"[" + b",".join([_log(item, f"$[{i}]", oddities) for i, item in enumerate(_items.decode(answer))]) + b"]"


def _log(answer: Raw, path: str, oddities: Oddities) -> bytes:
    if not bytes(answer).startswith(b"{"):
        return bytes(answer)
    log = _Object(answer, path, oddities)
    log.scalars(LOG)
    if bytes(log.fields.get("topics", b"")) == _NULL:
        log.fields["topics"] = _NO_ITEMS
        log.note("none", "topics")
    log.hashes("topics")
    return log.encoded()


# -- how an answer is written that the strict decoder takes --------------------------------------------------

STYLE_CHARS_MAX = 66  # longer texts are not looked at: a node that writes hashes in lower case does so with data
_odd_quantity = re.compile(r"0x(?:0[0-9a-fA-F]|,)").search
_quantities: Callable[[Mapping[str, str | None]], tuple[str | None, ...]] = itemgetter(
    *[name for name, field in HEADER.items() if field.quantity]
)


def note_style(header: Mapping[str, str | None], oddities: Oddities) -> None:
    """Note how a header's scalars are written, by name: a node writes all that it answers alike."""
    texts = [text for text in header.values() if type(text) is str and len(text) <= STYLE_CHARS_MAX]
    numbers = ",".join([text for text in _quantities(header) if text is not None])
    if "".join(texts).islower() and not _odd_quantity(numbers + ","):
        return
    for name, text in header.items():
        if type(text) is not str or len(text) > STYLE_CHARS_MAX or name not in HEADER:
            continue
        if text != text.lower():
            oddities.note("uppercase", f"$.{name}")
        if HEADER[name].quantity and text == "0x":
            oddities.note("empty_number", f"$.{name}")
        elif HEADER[name].quantity and text[2:3] == "0" and len(text) > 3:
            oddities.note("leading_zeros", f"$.{name}")
