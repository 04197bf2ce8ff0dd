"""Arguments of calls and logs as the words that a contract has them in. Written apart from the engine's decoders."""

from collections.abc import Sequence

from tidelog.sim.node.chain.transactions import keccak

WORD = 32

Part = (
    int | bytes | str | Sequence["Part"]
)  # an int is a word, 20 bytes an address, other bytes and text stand elsewhere


class Inline(tuple[Part, ...]):
    """Parts of fixed size that stand where they are: a tuple of words, an array of fixed length."""


def word(value: int) -> bytes:
    """A number as a word, a negative one in two's complement."""
    return (value % (1 << 256)).to_bytes(WORD)


def address_word(address: bytes) -> bytes:
    return address.rjust(WORD, b"\0")


def encoded(parts: Sequence[Part]) -> bytes:
    """The parts one after the other, those of no fixed size behind them. 32 bytes are a word, and 20 an address."""
    heads: list[bytes | None] = []
    tails: list[bytes] = []
    for part in parts:
        fixed = _fixed(part)
        heads.append(fixed)
        tails.append(b"" if fixed is not None else _elsewhere(part))
    offset = sum(WORD if head is None else len(head) for head in heads)
    front = []
    for head, tail in zip(heads, tails, strict=True):
        front.append(word(offset) if head is None else head)
        offset += len(tail)
    return b"".join((*front, *tails))


def _fixed(part: Part) -> bytes | None:
    if isinstance(part, int):
        return word(part)
    if isinstance(part, bytes) and len(part) in (20, WORD):
        return address_word(part)
    if isinstance(part, Inline):
        return encoded(part)
    return None


def _elsewhere(part: Part) -> bytes:
    if isinstance(part, str):
        part = part.encode()
    if isinstance(part, bytes):
        return word(len(part)) + part + bytes(-len(part) % WORD)
    assert not isinstance(part, int)
    return word(len(part)) + encoded(part)


def topic(signature: str) -> bytes:
    """What the first topic of an event's logs is."""
    return keccak(signature.encode())


def selector(signature: str) -> bytes:
    """What the input of a call to a function begins with."""
    return keccak(signature.encode())[:4]


def call(signature: str, *parts: Part) -> bytes:
    """The input of a call."""
    return selector(signature) + encoded(parts)


def arguments(data: bytes) -> list[int]:
    """The words behind the selector, as numbers from 0."""
    body = data[4:]
    return [int.from_bytes(body[start : start + WORD]) for start in range(0, len(body) - WORD + 1, WORD)]


def as_address(value: int) -> bytes:
    return (value % (1 << 160)).to_bytes(20)


def as_signed(value: int) -> int:
    return value - (1 << 256) if value >> 255 else value
