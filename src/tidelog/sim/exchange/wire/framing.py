"""WebSocket framing as a server does it (RFC 6455), in plain sight: what is wrong on the wire is wrong on purpose."""

import base64
import hashlib
import zlib
from asyncio import StreamReader

from msgspec import Struct

from tidelog.sim.exchange.delivery import Manner

CONTINUATION, TEXT, CLOSE, PING, PONG = 0x0, 0x1, 0x8, 0x9, 0xA
FIN, RSV1, RSV2 = 0x80, 0x40, 0x20
REQUEST_BYTES_MAX = 1024 * 1024  # of a message from a client: hundreds of symbols are a few kB
FRAGMENTS = 3
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Received(Struct, frozen=True):
    opcode: int
    payload: bytes


def accept_key(key: str) -> str:
    """The answer to a client's Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()).decode()


def encode(payload: bytes, first: int = FIN | TEXT) -> bytes:
    """One frame; `first` is its first byte: the opcode and the flags."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def encode_message(payload: bytes, manner: Manner) -> bytes:
    """A message as it is to go over the wire; that a trickle is slow is the sender's part."""
    if manner is Manner.COMPRESSED:
        deflate = zlib.compressobj(wbits=-15)
        data = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
        return encode(data.removesuffix(b"\x00\x00\xff\xff"), FIN | RSV1 | TEXT)
    if manner is Manner.RESERVED:
        return encode(payload, FIN | RSV2 | TEXT)
    if manner is not Manner.FRAGMENTS:
        return encode(payload)
    first, *middle, last = fragments(payload)
    inner = b"".join([encode(piece, CONTINUATION) for piece in middle])
    return encode(first, TEXT) + inner + encode(last, FIN | CONTINUATION)


def fragments(payload: bytes) -> list[bytes]:
    """A message in pieces."""
    size = -(-len(payload) // FRAGMENTS)
    return [payload[at * size : (at + 1) * size] for at in range(FRAGMENTS)]


def encode_close(code: int) -> bytes:
    return encode(code.to_bytes(2, "big"), FIN | CLOSE)


async def read(reader: StreamReader) -> Received:
    """The next message or control frame of a client.

    Raises:
        ValueError: it breaks the protocol or a limit.
        OSError, EOFError: the connection is gone.
    """
    message = b""
    while True:
        first, second = await reader.readexactly(2)
        if not second & 0x80:
            raise ValueError("a client's frame is masked")
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await reader.readexactly(8), "big")
        if len(message) + size > REQUEST_BYTES_MAX:
            raise ValueError("too large a message")
        mask = await reader.readexactly(4)
        payload = _unmasked(await reader.readexactly(size), mask)
        opcode = first & 0x0F
        if opcode >= CLOSE:
            return Received(opcode, payload)
        message += payload
        if first & FIN:
            return Received(TEXT, message)


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
