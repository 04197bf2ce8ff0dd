"""Cursors of lists: the key of the last row shown, sealed into text that clients hand back unchanged.

A cursor is a position in the data, not in an answer: rows that are ingested again keep their keys, and after
a reorg the list continues after the same key. It belongs to one list with one set of filters; any other
text is refused. The seal detects mistakes, not forgery: a forged cursor reads no more than the list
shows anyway, since its key is checked against the shape of the list's key.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence

import msgspec

from tidelog.api.http.problems import Refused
from tidelog.batch import INT_MAX, NUMBER_MAX, UINT64_MAX, Kind, Row, Table, Value, decode_row, encode_row

__all__ = ["CURSOR_MAX", "foreign", "open_cursor", "seal"]

VERSION = b"\x01"
SEAL_BYTES = 8
CURSOR_MAX = 2_048  # characters: the longest key is a trade's, under 300 bytes

_encode = msgspec.msgpack.Encoder().encode
_INTEGERS = {Kind.INT: INT_MAX, Kind.UINT64: UINT64_MAX, Kind.NUMBER: NUMBER_MAX}  # the largest of each


def seal(table: Table, identity: Sequence[object], key: Row) -> str:
    """The cursor behind the row of this key.

    Args:
        identity: what distinguishes this list from every other one: its name, and its filters but for the page size.
    """
    body = encode_row(key)
    return _text(VERSION + _seal(table, identity, body) + body)


def open_cursor(text: str | None, table: Table, identity: Sequence[object]) -> Row | None:
    """The key inside; None without a cursor. Raises Refused for what is no cursor of this list."""
    if text is None:
        return None
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (ValueError, Base64Error):
        raise foreign() from None
    version, mark, body = raw[:1], raw[1 : 1 + SEAL_BYTES], raw[1 + SEAL_BYTES :]
    # compared as text too: base64 has several spellings of the same bytes
    if version != VERSION or mark != _seal(table, identity, body) or _text(raw) != text:
        raise foreign()
    try:
        key = decode_row(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise foreign() from None
    if len(key) != len(table.key) or not all(map(_fits, key, _kinds(table))):
        raise foreign()
    return key


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def foreign() -> Refused:
    """The refusal of what is no cursor of a list."""
    return Refused(400, "cursor: this is no cursor of this list with these filters; begin without one")


def _seal(table: Table, identity: Sequence[object], body: bytes) -> bytes:
    return hashlib.sha256(_encode([table.name, *map(str, identity)]) + body).digest()[:SEAL_BYTES]


def _kinds(table: Table) -> list[Kind]:
    return [table.columns[table.index(name)].kind for name in table.key]


def _fits(value: Value, kind: Kind) -> bool:
    if kind in _INTEGERS:
        return type(value) is int and 0 <= value <= _INTEGERS[kind]
    if kind is Kind.TEXT:
        return isinstance(value, str) and "\0" not in value
    return isinstance(value, bytes)
