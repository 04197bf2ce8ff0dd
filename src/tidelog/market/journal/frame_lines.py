"""A file of frames, line by line, in any of its forms: packed, with times before the frames, inside other objects.

Reads as it goes and holds one line, so that a file may be of any size. What is no frame comes out as it is in
the file: its decoder says what is wrong with it.
"""

import codecs
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import zstandard
from msgspec import Raw, Struct

from tidelog.errors import ConfigError
from tidelog.market.events import micros

CHUNK_BYTES = 256 * 1024
LINE_BYTES_MAX = 64 * 1024 * 1024  # a frame of the largest size, with every byte escaped
PREFIX_BYTES_MAX = 64  # before a frame on its line: a time, a direction, a connection's number
NESTING_MAX = 3  # arrays and objects that a frame may lie in

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PACKED_OTHERWISE = {b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z"}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PLAIN_BEGINNINGS = (b'{"channel"', b'{"method"', b'{"event"')
_V1_ARRAY = re.compile(rb"\[\s*\d+\s*,")  # its first element is the number of the channel
_FRAME_KEYS = frozenset({"channel", "method", "event", "Error", "errorMessage", "channelID", "connectionID"})
_TIME_KEY = re.compile(r"(?i)ts|at|.*(time|recv|received).*|.*_(ts|at)(_[umn]s)?")
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?")
_NUMBER = re.compile(r"\d{9,19}(\.\d+)?")

_Json = msgspec.json.Decoder(dict[str, Raw] | list[Raw] | str | int | float | bool | None)


class FrameLine(Struct, frozen=True, gc=False):
    """A frame and where it was. `time_us`: Unix time that the line says beside it, 0: it says none."""

    number: int  # of the line, from 1
    frame: bytes
    time_us: int = 0


def read_lines(path: str, notes: list[str]) -> Iterator[bytes]:
    """The lines of a file, without their ends; unpacked if it is gzip or zstd, as UTF-8 if it is UTF-16.

    Args:
        notes: gets a sentence if the packed data end early or are damaged; what came before is read.

    Raises:
        ConfigError: it cannot be read, is packed otherwise, or has a line beyond all limits.
    """
    rest = b""
    number = 1
    for chunk in _text(_unpacked(path, notes)):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        number += len(lines)
        if len(rest) > LINE_BYTES_MAX:
            raise ConfigError(f"{path}: line {number} has more than {LINE_BYTES_MAX} bytes: no frame has")
    if rest:
        yield rest


def _text(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Without a byte order mark, and as UTF-8."""
    first = next(chunks, b"")
    if first.startswith(_UTF16):
        decode = codecs.getincrementaldecoder("utf-16")(errors="replace").decode
        yield decode(first).encode()
        for chunk in chunks:
            yield decode(chunk).encode()
        return
    yield first.removeprefix(codecs.BOM_UTF8)
    yield from chunks


def _unpacked(path: str, notes: list[str]) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            head = file.read(8)
            file.seek(0)
            other = next((name for magic, name in _PACKED_OTHERWISE.items() if head.startswith(magic)), None)
            if other is not None:
                raise ConfigError(f"{path} is packed with {other}: unpack it first; gzip and zstd are read as they are")
            if head.startswith(_GZIP):
                yield from _gunzipped(iter(lambda: file.read(CHUNK_BYTES), b""), notes)
            elif head.startswith(_ZSTD):
                with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as reader:
                    yield from iter(lambda: reader.read(CHUNK_BYTES), b"")
            else:
                yield from iter(lambda: file.read(CHUNK_BYTES), b"")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (zlib.error, zstandard.ZstdError) as error:
        notes.append(f"the packed data are damaged, and what follows is not read: {error}")


def _gunzipped(chunks: Iterator[bytes], notes: list[str]) -> Iterator[bytes]:
    """Several members one after the other are one file; a bounded piece at a time, whatever they unpack to."""
    unpacker, begun = zlib.decompressobj(31), False
    for chunk in chunks:
        data = chunk
        while data:
            begun = True
            yield unpacker.decompress(data, CHUNK_BYTES)
            data = unpacker.unconsumed_tail
            if unpacker.eof:
                data = unpacker.unused_data.lstrip(b"\0")  # tapes pad with zeros
                unpacker, begun = zlib.decompressobj(31), False
    if begun:
        yield unpacker.flush()
        if not unpacker.eof:
            notes.append("the packed data end early: the file is cut")


def frames_of(path: str, notes: list[str]) -> Iterator[FrameLine]:
    """The frames of a file, in order; see `read_lines` for what it raises."""
    for number, line in enumerate(read_lines(path, notes), 1):
        text = line.strip().removesuffix(b",")
        if text.startswith(_PLAIN_BEGINNINGS) or _V1_ARRAY.match(text):
            yield FrameLine(number, text)
        elif text not in (b"", b"[", b"]"):  # the ends of an array that has a frame a line
            yield from _taken_out(number, text)


def _taken_out(number: int, text: bytes) -> Iterator[FrameLine]:
    """The frames that a line holds that does not begin with one."""
    begins = min([at for at in (text.find(b"{"), text.find(b"[")) if at >= 0], default=-1)
    if 0 <= begins <= PREFIX_BYTES_MAX:
        time_us = time_in(text[:begins].decode("latin-1")) if begins else 0
        found = list(_inside(Raw(text[begins:]), time_us, NESTING_MAX))
        if found:
            yield from [FrameLine(number, frame, at_us) for frame, at_us in found]
            return
    yield FrameLine(number, text)


def _inside(raw: Raw, time_us: int, depth: int) -> Iterator[tuple[bytes, int]]:
    """The frames in a value, each with its time."""
    try:
        value = _Json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if _is_frame(value):
        yield bytes(raw), time_us
    elif depth and isinstance(value, str) and value[:1] in ("{", "["):
        yield from _inside(Raw(value.encode()), time_us, depth - 1)
    elif depth and isinstance(value, dict):
        times = [_time_of(raw) for key, raw in value.items() if _TIME_KEY.fullmatch(key)]
        time_us = next((time for time in times if time), time_us)
        for each in value.values():
            yield from _inside(each, time_us, depth - 1)
    elif depth and isinstance(value, list):
        times = [_time_of(each) for each in value[:2]] if len(value) <= NESTING_MAX else []
        time_us = next((time for time in times if time), time_us)
        for each in value:
            yield from _inside(each, time_us, depth - 1)


def _is_frame(value: object) -> bool:
    if isinstance(value, dict):
        return not _FRAME_KEYS.isdisjoint(value)
    if not isinstance(value, list) or len(value) < 3:
        return False
    first, name, last = [bytes(value[at]) for at in (0, -2, -1)]
    if name[:1] != b'"':
        return False
    if len(value) == 3:  # v1's private channels
        return first[:1] == b"[" and last[:1] == b"{" and b'"sequence"' in last
    return first.isdigit() and last[:1] == b'"'


def _time_of(raw: Raw) -> int:
    text = bytes(raw)
    return time_in(text[:PREFIX_BYTES_MAX].decode("latin-1")) if text[:1] not in (b"{", b"[") else 0


def time_in(text: str) -> int:
    """A time within a short text as Unix µs: ISO, or a number in s, ms, µs or ns; 0: there is none."""
    found = _ISO.search(text)
    if found is not None:
        try:
            time = datetime.fromisoformat(found[0])
        except ValueError:
            return 0
        return max(0, micros(time if time.tzinfo is not None else time.replace(tzinfo=UTC)))
    number = _NUMBER.search(text)
    if number is None:
        return 0
    whole, _, fraction = number[0].partition(".")
    if len(whole) <= 11:  # seconds
        return int(whole) * 1_000_000 + int(fraction[:6].ljust(6, "0") or 0)
    per_second: int = 10 ** (3 * ((len(whole) - 9) // 3))  # by how large a present time is: ms, µs or ns
    return int(whole) * 1_000_000 // per_second
