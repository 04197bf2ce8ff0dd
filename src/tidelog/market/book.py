"""An order book that can be proven: levels in exact integers, and the exchange's CRC-32 over the top.

No socket, no clock. A caller applies what the exchange sends, in order, and is told whether the checksum
that came with it holds. Whether a book is stale is the caller's to know.

**Proven means: the top 10 of each side equal the exchange's at that message.** Deeper levels follow from
the stream and are not covered. Nor is the checksum a gap detector: a lost message that touched no level of
the top 10, or whose levels were overwritten since, goes unnoticed.

A side is two lists in step, best first: the keys (price in units, negated for bids, so that both sides
ascend), and the fragments, each level's piece of the text under the checksum: the digits of its price, then
those of its quantity. `bisect` finds a price; an insertion moves at most a thousand pointers. The text is
put together again only when the top changed.

https://docs.kraken.com/api/docs/guides/spot-ws-book-v2 has the algorithm, and the guide for v1 beside it.
"""

import enum
import re
from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from zlib import crc32

from msgspec import Struct

from tidelog.market.events import BookDelta, BookSnapshot, Level

CHECKED_LEVELS = 10  # of each side, that the exchange's checksum covers, whatever the depth
PRICES_REMEMBERED = 4096  # per side: four times the deepest book
DIGITS_MAX = 120  # of a level: beyond any market, and far below what is slow to convert
NUMBER_SHOWN = 40  # characters of a refused number


class Check(enum.Enum):
    """What a message proved about the book."""

    MATCHED = "matched"
    MISMATCHED = "mismatched"  # we are not where the exchange is: ask for a new snapshot
    UNCHECKED = "unchecked"  # it came without a checksum
    OUTDATED = "outdated"  # the exchange's time in it is before that of a message before it: ask for a new snapshot
    REFUSED = "refused"  # it could not be applied, `Book.refusal` says why; the book is empty now


_MATCHED, _MISMATCHED, _UNCHECKED, _OUTDATED, _REFUSED = Check  # a look-up in the enum costs more than a message's own


class Precision(Struct, frozen=True):
    """The decimals with which an instrument's numbers enter the checksum."""

    price: int
    qty: int


class Units(NamedTuple):
    """A level in units of the book's precision."""

    price: int
    qty: int


class BookState(Struct, frozen=True):
    """All that a book holds, for a later `Book.restored`."""

    symbol: str
    depth: int
    given: Precision | None
    precision: Precision
    ready: bool
    proven: bool
    mismatches: int
    unknown_removals: int
    refusal: str | None
    bids: tuple[Units, ...]
    asks: tuple[Units, ...]
    stamp: datetime | None = None  # the latest of the exchange's times; journals of older versions have none


class _Prices(dict[str, tuple[int, str]]):
    """What a price's text means on one side: its key, and its digits as the checksum takes them.

    The same few prices come again and again, so they are read once. A plain dictionary but for its limit.
    """

    def __init__(self, sign: int, scale: int) -> None:
        self._sign = sign
        self._scale = scale

    def __missing__(self, text: str) -> tuple[int, str]:
        digits = _digits(text, self._scale)
        if not digits:
            raise ValueError(f"a price of {text[:NUMBER_SHOWN]}")
        if len(self) >= PRICES_REMEMBERED:
            self.clear()
        meaning = self[text] = (int(digits) * self._sign, digits)
        return meaning


class _Side:
    """One side, best first."""

    __slots__ = ("changed", "fragments", "keys", "point", "prices", "scale", "sign", "text")

    def __init__(self, sign: int, precision: Precision) -> None:
        self.sign = sign  # of a key: 1 for asks, -1 for bids
        self.scale = precision.qty
        self.point = -1 - precision.qty  # where a quantity that is written in full has its point
        self.prices = _Prices(sign, precision.price)
        self.keys: list[int] = []  # ascending, no duplicates
        self.fragments: list[str] = []  # in step with `keys`
        self.text = b""  # the first CHECKED_LEVELS fragments, joined, as of the last checksum
        self.changed = False  # something among them, since

    def put(self, levels: Sequence[Level], depth: int) -> int:
        """Apply the levels of a message in order, then cut to `depth`; how many removals named no level.

        Raises:
            ValueError: a number is none, or has more decimals than the book. What came before it is done.
        """
        prices, keys, fragments = self.prices, self.keys, self.fragments
        point, after = self.point, self.point + 1
        misses = 0
        for level in levels:
            key, price = prices[level.price_text]
            text = level.qty_text
            qty = text.replace(".", "", 1).lstrip("0")
            fragment = price + qty
            if text[point:after] != "." or not fragment.isdecimal() or len(fragment) > DIGITS_MAX:
                qty = _digits(text, self.scale)  # not written in full, or no number: the long way
                fragment = price + qty
            at = bisect_left(keys, key)
            if at < len(keys) and keys[at] == key:
                if qty:
                    fragments[at] = fragment
                else:
                    del keys[at], fragments[at]
            elif qty:
                keys.insert(at, key)
                fragments.insert(at, fragment)
            else:
                misses += 1
            if at < CHECKED_LEVELS:
                self.changed = True
        if len(keys) > depth:
            del keys[depth:], fragments[depth:]
        return misses

    def fill(self, levels: Sequence[Units]) -> None:
        """Take levels as `levels` gave them, into an empty side."""
        self.keys = [level.price * self.sign for level in levels]
        self.fragments = [f"{level.price}{level.qty}" for level in levels]
        self.changed = True

    def levels(self, limit: int | None) -> tuple[Units, ...]:
        prices = [key * self.sign for key in self.keys[:limit]]
        return tuple(
            [
                Units(price, int(fragment[len(str(price)) :]))
                for price, fragment in zip(prices, self.fragments, strict=False)
            ]
        )


_EXPONENT = re.compile(r"([0-9]+)(?:\.([0-9]+))?[eE]([+-]?[0-9]{1,3})")  # 9.30E-6


def plain_number(text: str) -> str:
    """A number without its exponent, all of its decimals kept: 9.30E-6 is 0.00000930. Other text is left as it is."""
    parts = _EXPONENT.fullmatch(text) if "E" in text or "e" in text else None
    if parts is None:
        return text
    whole, fraction, exponent = parts[1], parts[2] or "", int(parts[3])
    if abs(exponent) > DIGITS_MAX:
        return text
    point = len(whole) + exponent
    digits = "0" * max(0, 1 - point) + whole + fraction + "0" * max(0, point - len(whole) - len(fraction))
    point = max(1, point)
    return f"{digits[:point]}.{digits[point:]}" if digits[point:] else digits


def _digits(text: str, scale: int) -> str:
    """The digits of a number in units of 10**-scale, without leading zeros: empty for zero.

    Raises:
        ValueError: it is no decimal number, or has more decimals than `scale`.
    """
    whole, _, fraction = plain_number(text).partition(".")
    if not (whole + fraction).isdecimal() or len(text) > DIGITS_MAX:
        raise ValueError(f"{text[:NUMBER_SHOWN]!r} is no decimal number")
    if len(fraction) > scale:
        raise ValueError(f"{text[:NUMBER_SHOWN]} has more than {scale} decimals")
    return f"{whole}{fraction:0<{scale}}".lstrip("0")


class Book:
    """The book of one symbol, empty until its first snapshot.

    `precision` may be left out where the exchange writes all decimals, as both of its protocols do: then the
    numbers of the first message that has any say it, mostly the snapshot's. The exchange's documentation
    prints numbers without trailing zeros; such ones need the instrument's.
    """

    precision: Precision  # of everything that is held
    proven: bool  # the last message's checksum held, and the sides do not cross
    _bids: _Side
    _asks: _Side
    _asks_crc: int  # the checksum runs over the asks first: where it stands after them
    _ready: bool  # there was a snapshot, and nothing was refused since

    def __init__(self, symbol: str, depth: int, precision: Precision | None = None) -> None:
        self.symbol = symbol
        self.depth = depth
        self.mismatches = 0
        self.unknown_removals = 0  # of prices that are not here: harmless, and counted
        self.refusal: str | None = None  # why the last message that was refused was
        self._given = precision
        self._stamp: datetime | None = None  # the latest time of a message, by the exchange's clock
        self.clear()

    @property
    def bids(self) -> tuple[Units, ...]:
        """All levels, best first."""
        return self._bids.levels(None)

    @property
    def asks(self) -> tuple[Units, ...]:
        return self._asks.levels(None)

    def top(self, levels: int) -> tuple[tuple[Units, ...], tuple[Units, ...]]:
        """The best `levels` of bids and asks."""
        return self._bids.levels(levels), self._asks.levels(levels)

    @property
    def proven_depth(self) -> int:
        """How many levels of each side are proven."""
        return CHECKED_LEVELS if self.proven else 0

    @property
    def crossed(self) -> bool:
        """The best bid is not below the best ask: no market looks so, whatever the checksum says."""
        bids, asks = self._bids.keys, self._asks.keys
        return bool(bids and asks) and -bids[0] >= asks[0]

    def checksum(self) -> int:
        """The CRC-32 of what is held: asks from the best up, then bids from the best down."""
        asks, bids = self._asks, self._bids
        if asks.changed:
            asks.text = "".join(asks.fragments[:CHECKED_LEVELS]).encode()
            asks.changed = False
            self._asks_crc = crc32(asks.text)
        if bids.changed:
            bids.text = "".join(bids.fragments[:CHECKED_LEVELS]).encode()
            bids.changed = False
        return crc32(bids.text, self._asks_crc)

    def apply(self, message: BookSnapshot | BookDelta) -> Check:
        """Take a message in: its levels in order, cut to the depth, then its checksum.

        After MISMATCHED the levels stay, unproven, and later messages are applied: one of them may match
        again. A message is REFUSED where a level is no number, has more decimals than the book, or no
        snapshot came before it; so is every other, then, until the next snapshot. It is OUTDATED where the
        exchange's time in it is before that of an earlier message: it says how the book was, and a checksum
        that holds proves no more than that. Raises nothing.
        """
        stamp = message.timestamp
        late = stamp is not None and self._stamp is not None and stamp < self._stamp
        if stamp is not None and not late:
            self._stamp = stamp  # also of what is refused: a snapshot that comes after it and is older proves nothing
        try:
            if not isinstance(message, BookDelta):
                self._start(self._given or _written_precision(message), ready=True)
            elif not self._ready:
                raise ValueError("a book update without a snapshot before it")
            elif not self._bids.keys and not self._asks.keys and self._given is None:
                self._refine(_written_precision(message))
            if message.bids:
                self.unknown_removals += self._bids.put(message.bids, self.depth)
            if message.asks:
                self.unknown_removals += self._asks.put(message.asks, self.depth)
        except ValueError as error:
            self._start(self._given or Precision(0, 0), ready=False)
            self.refusal = str(error)
            return _REFUSED
        if late:
            self.proven = False
            return _OUTDATED
        promised = message.checksum
        if promised is None:
            self.proven = False
            return _UNCHECKED
        if promised != self.checksum():
            self.proven = False
            self.mismatches += 1
            return _MISMATCHED
        bids, asks = self._bids.keys, self._asks.keys
        self.proven = not (bids and asks and -bids[0] >= asks[0])
        return _MATCHED

    @property
    def state(self) -> BookState:
        return BookState(
            self.symbol,
            self.depth,
            self._given,
            self.precision,
            self._ready,
            self.proven,
            self.mismatches,
            self.unknown_removals,
            self.refusal,
            self.bids,
            self.asks,
            self._stamp,
        )

    @classmethod
    def restored(cls, state: BookState) -> "Book":
        """The book that had this state: it takes every further message in the same way."""
        book = cls(state.symbol, state.depth, state.given)
        book._start(state.precision, ready=state.ready)
        book.mismatches, book.unknown_removals = state.mismatches, state.unknown_removals
        book.refusal, book.proven, book._stamp = state.refusal, state.proven, state.stamp
        book._bids.fill(state.bids)
        book._asks.fill(state.asks)
        return book

    def clear(self) -> None:
        """Drop everything, and accept nothing but a snapshot that is not older than the last message."""
        self._start(self._given or Precision(0, 0), ready=False)

    def begin(self) -> None:
        """It is subscribed anew: accept nothing but a snapshot, whatever its time."""
        self.clear()
        self._stamp = None

    def doubt(self) -> None:
        """A message that may have been about this book was lost: it is not proven until a checksum holds again."""
        self.proven = False

    def _refine(self, written: Precision) -> None:
        """Take the decimals of a message into an empty book, which holds no number that says them."""
        precision = Precision(max(self.precision.price, written.price), max(self.precision.qty, written.qty))
        if precision != self.precision:
            self._start(precision, ready=True)

    def _start(self, precision: Precision, *, ready: bool) -> None:
        self.precision = precision
        self.proven = False
        self._bids = _Side(-1, precision)
        self._asks = _Side(1, precision)
        self._asks_crc = 0
        self._ready = ready


def _written_precision(message: BookSnapshot | BookDelta) -> Precision:
    """The most decimals that a message writes; ValueError if that is absurd."""
    levels = (*message.bids, *message.asks)
    price = max([_decimals(level.price_text) for level in levels], default=0)
    qty = max([_decimals(level.qty_text) for level in levels], default=0)
    if price + qty > DIGITS_MAX:
        raise ValueError(f"a message whose numbers have {max(price, qty)} decimals")
    return Precision(price, qty)


def _decimals(text: str) -> int:
    return len(plain_number(text).partition(".")[2])
