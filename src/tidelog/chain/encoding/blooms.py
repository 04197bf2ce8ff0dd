"""What a header's bloom may be over: addresses and topics, one by one or thousands at once (Yellow Paper 4.3.1)."""

from functools import lru_cache

from tidelog.chain.encoding.items import keccak

__all__ = ["Bloom", "BloomIndex", "bloom_bits"]

BITS = 2048
BITS_KEPT = 1 << 14  # of items: those that are selected, and what is verified
FEW = 64  # addresses that are quicker compared one by one: the groups take 50 us to go through
_ALL = (1 << BITS) - 1


def _places(item: bytes) -> tuple[int, int, int]:
    digest = keccak(item)
    first, second, third = (int.from_bytes(digest[at : at + 2], "big") & 0x7FF for at in (0, 2, 4))
    return first, second, third


@lru_cache(BITS_KEPT)
def bloom_bits(item: bytes) -> int:
    """The three bits of an address or a topic."""
    first, second, third = _places(item)
    return 1 << first | 1 << second | 1 << third


class Bloom:
    """The bloom of one header, as it is asked many times."""

    def __init__(self, bloom: bytes) -> None:
        self._bits = int.from_bytes(bloom, "big")
        self._absent = _ALL & ~self._bits
        self._text: str | None = None

    def may_have(self, bits: int) -> bool:
        """Whether all of these bits are set. False: it is not over what has them."""
        return not bits & self._absent

    @property
    def text(self) -> str:
        """A 0 or 1 for each bit, the lowest last."""
        if self._text is None:
            self._text = f"{self._bits:0{BITS}b}"
        return self._text


class BloomIndex:
    """Many addresses, by the first of their bits: a bloom is compared with those whose first bit it has.

    Each has a number, that of the block from which on it counts. Several threads may ask while one adds.
    """

    def __init__(self) -> None:
        self._few: list[tuple[int, int]] = []
        self._groups: list[tuple[()] | list[tuple[int, int, int]]] = [()] * BITS
        self._count = 0

    def add(self, address: bytes, number: int) -> None:
        """Put an address there. It may be there already."""
        first, second, third = _places(address)
        others = (BITS - 1 - second, BITS - 1 - third, number)
        if isinstance(group := self._groups[BITS - 1 - first], list):
            group.append(others)
        else:
            self._groups[BITS - 1 - first] = [others]
        if self._count < FEW:
            self._few.append((1 << first | 1 << second | 1 << third, number))
        self._count += 1  # last: who asks meanwhile finds at least so many

    def may_have(self, bloom: Bloom, number: int) -> bool:
        """Whether a block of this number and bloom may have a log of one of them."""
        if self._count <= FEW:
            return any(bloom.may_have(bits) and born <= number for bits, born in self._few)
        text = bloom.text
        for is_set, group in zip(text, self._groups, strict=True):
            if is_set == "1" and group:
                for second, third, born in group:
                    if text[second] == "1" and text[third] == "1" and born <= number:
                        return True
        return False
