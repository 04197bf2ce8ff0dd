"""WebSocket frames: as they are sent, and as they are read. RFC 6455, section 5."""

import asyncio
import zlib

import pytest

from tidelog.sim.exchange.delivery import Manner
from tidelog.sim.exchange.wire import framing
from tidelog.sim.exchange.wire.framing import CLOSE, FIN, PING, RSV1, TEXT, Received


def client_frame(first: int, payload: bytes, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A frame as a client sends it."""
    head = framing.encode(payload, first)[: -len(payload) or None]
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head[:1] + bytes((head[1] | 0x80,)) + head[2:] + mask + masked


async def read(*parts: bytes) -> Received:
    reader = asyncio.StreamReader()
    reader.feed_data(b"".join(parts))
    reader.feed_eof()
    return await framing.read(reader)


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
async def test_lengths_are_written_and_read(size: int, head: bytes) -> None:
    payload = b"x" * size
    assert framing.encode(payload) == head + payload
    assert await read(client_frame(FIN | TEXT, payload)) == Received(TEXT, payload)


def test_the_handshake_s_own_example() -> None:
    assert framing.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


async def test_fragments_are_put_together_and_pings_come_between() -> None:
    first, ping, last = client_frame(TEXT, b"ab"), client_frame(FIN | PING, b"p"), client_frame(FIN, b"c")
    assert await read(first, last) == Received(TEXT, b"abc")
    assert await read(ping) == Received(PING, b"p")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (framing.encode(b"unmasked"), ValueError),
        (client_frame(FIN | TEXT, b"x" * (framing.REQUEST_BYTES_MAX + 1)), ValueError),
        (client_frame(FIN | TEXT, b"cut")[:-1], EOFError),
        (b"", EOFError),
    ],
)
async def test_refuses_unreadable_frames(data: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await read(data)


@pytest.mark.parametrize("payload", [b"", b"a", b"abcd", b"x" * 1_000])
def test_manners(payload: bytes) -> None:
    whole = framing.encode(payload)
    assert framing.encode_message(payload, Manner.WHOLE) == framing.encode_message(payload, Manner.TRICKLE) == whole
    deflated = framing.encode_message(payload, Manner.COMPRESSED)
    assert deflated[0] == FIN | RSV1 | TEXT
    assert zlib.decompressobj(wbits=-15).decompress(deflated[2:] + b"\x00\x00\xff\xff") == payload
    fragments = framing.encode_message(payload, Manner.FRAGMENTS)
    assert fragments[0] == TEXT
    assert len(fragments) >= len(payload) + 6


def test_a_close_has_its_code() -> None:
    assert framing.encode_close(1012) == bytes((FIN | CLOSE, 2)) + (1012).to_bytes(2, "big")
