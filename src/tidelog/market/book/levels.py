"""An order book in exact integers. What proves it is a part of its own: see `proof`.

No socket, no clock. A caller applies what the exchange sends, in order, and is told what each message proved. Whether
a book is stale is the caller's to know.

A side is two lists in step, best first: the keys (price in units, negated for bids, so that both sides ascend), and
the fragments, each level as text: the digits of its price, then those of its quantity, which is what checksums are
made over. `bisect` finds a price; an insertion moves at most a thousand pointers.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from operator import add, lt, neg
from typing import NamedTuple

from msgspec import UNSET, Struct, UnsetType

from tidelog.market.book.proof import Check, Evidence, NewProof, Proof
from tidelog.market.events import BookDelta, BookSnapshot, Level

PRICES_REMEMBERED = 4096  # per side: four times the deepest book
DIGITS_MAX = 120  # of a level: beyond any market, and far below what is slow to convert
NUMBER_SHOWN = 40  # characters of a refused number
ONE_BY_ONE_MAX = 4096  # levels of a side: each insertion moves what is behind it, and a message may have half a million


# a look-up in the enum costs more than a message's own
_MATCHED, _MISMATCHED, _OUTDATED, _REFUSED = Check.MATCHED, Check.MISMATCHED, Check.OUTDATED, Check.REFUSED


class Precision(Struct, frozen=True):
    """The decimals with which an instrument's numbers are written."""

    price: int
    qty: int


class ScaledLevel(NamedTuple):
    """A level as scaled integers: in units of the book's precision, 10**-decimals."""

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
    bids: tuple[ScaledLevel, ...]
    asks: tuple[ScaledLevel, ...]
    stamp: datetime | None = None  # the latest of the exchange's times; journals of older versions have none
    proof: int | UnsetType = UNSET  # what the proof knows of earlier messages; in no encoding where that is nothing


class BookContent(NamedTuple):
    """A book's levels, each side as prices and fragments, and the latest of the exchange's times."""

    bids: tuple[list[int], list[str]]
    asks: tuple[list[int], list[str]]
    stamp: datetime | None


class _Prices(dict[str, tuple[int, str]]):
    """What a price's text means on one side: its key, and its digits as a fragment has them.

    The same few prices come again and again, so they are read once. A plain dictionary but for its limit.
    """

    def __init__(self, sign: int, scale: int) -> None:
        self._sign = sign
        self.scale = scale

    def __missing__(self, text: str) -> tuple[int, str]:
        digits = _digits(text, self.scale)
        if not digits:
            raise ValueError(f"a price of {text[:NUMBER_SHOWN]}")
        if len(self) >= PRICES_REMEMBERED:
            self.clear()
        meaning = self[text] = (int(digits) * self._sign, digits)
        return meaning


class _Side:
    """One side, best first."""

    __slots__ = ("changed", "fragments", "keys", "point", "prices", "scale", "sign", "watched")

    def __init__(self, sign: int, precision: Precision, watched: int) -> None:
        self.sign = sign  # of a key: 1 for asks, -1 for bids
        self.scale = precision.qty
        self.point = -1 - precision.qty  # where a quantity that is written in full has its point
        self.prices = _Prices(sign, precision.price)
        self.keys: list[int] = []  # ascending, no duplicates
        self.fragments: list[str] = []  # in step with `keys`
        self.watched = watched  # best levels that the proof reads
        self.changed = False  # something among those, since the proof has looked

    def put(self, levels: Sequence[Level], depth: int) -> int:
        """Apply the levels of a message in order, then cut to `depth`; how many removals named no level.

        Raises:
            ValueError: a number is none, or has more decimals than the book. What came before it is done.
        """
        if len(levels) > ONE_BY_ONE_MAX:
            return self._put_many(levels, depth)
        prices, keys, fragments = self.prices, self.keys, self.fragments
        point, after, watched = self.point, self.point + 1, self.watched
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
            if at < watched:
                self.changed = True
        if len(keys) > depth:
            del keys[depth:], fragments[depth:]
        return misses

    def _put_many(self, levels: Sequence[Level], depth: int) -> int:
        """As `put`, in a time that does not grow with the square of their number."""
        point, after, misses = self.point, self.point + 1, 0
        by_key = dict(zip(self.keys, self.fragments, strict=True))
        for level in levels:
            key, price = self.prices[level.price_text]
            text = level.qty_text
            qty = text.replace(".", "", 1).lstrip("0")
            fragment = price + qty
            if text[point:after] != "." or not fragment.isdecimal() or len(fragment) > DIGITS_MAX:
                qty = _digits(text, self.scale)
                fragment = price + qty
            if qty:
                by_key[key] = fragment
            elif by_key.pop(key, None) is None:
                misses += 1
        self.keys = sorted(by_key)[:depth]
        self.fragments = [by_key[key] for key in self.keys]
        self.changed = True
        return misses

    def put_at_once(self, texts: "_Texts", depth: int) -> bool:
        """Put a whole side into this one, which is empty, as `put` would, in a third of the time.

        False: it is not written as usual, and nothing is done. Usual is: all decimals are there, the best level comes
        first, no price comes twice, and nothing is removed.
        """
        prices, qtys = texts
        if not prices:
            return False
        at, qty_at = -1 - self.prices.scale, self.point
        if [text[at : at + 1] for text in prices] != ["."] * len(prices):
            return False
        if [text[qty_at : qty_at + 1] for text in qtys] != ["."] * len(qtys):
            return False
        digits = [text.replace(".", "", 1).lstrip("0") for text in prices]
        lots = [text.replace(".", "", 1).lstrip("0") for text in qtys]
        fragments = list(map(add, digits, lots))
        longest = max(*map(len, prices), *map(len, fragments))
        if not (all(digits) and all(lots) and "".join(fragments).isdecimal() and longest <= DIGITS_MAX):
            return False
        keys = list(map(int, digits))
        if self.sign < 0:
            keys = list(map(neg, keys))
        if not all(map(lt, keys, islice(keys, 1, None))):
            return False
        self.keys, self.fragments = keys[:depth], fragments[:depth]
        self.changed = True
        return True

    def fill(self, levels: Sequence[ScaledLevel]) -> None:
        """Take levels as `levels` gave them, into an empty side."""
        self.keys = [level.price * self.sign for level in levels]
        self.fragments = [f"{level.price}{level.qty}" for level in levels]
        self.changed = True

    def levels(self, limit: int | None) -> tuple[ScaledLevel, ...]:
        prices = [key * self.sign for key in self.keys[:limit]]
        return tuple(
            [
                ScaledLevel(price, int(fragment[len(str(price)) :]))
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

    Args:
        depth: levels of each side to which it is cut.
        proof: makes what proves it: a new one whenever the book starts from empty sides.
        precision: of its numbers.

    `precision` may be left out where the exchange writes all decimals, as both of its protocols do: then the
    numbers of the first message that has any say it, mostly the snapshot's. The exchange's documentation
    prints numbers without trailing zeros; such ones need the instrument's.
    """

    precision: Precision  # of all levels
    proven: bool  # the last message matched, and the sides do not cross
    _bids: _Side
    _asks: _Side
    _proof: Proof
    _ordered: bool  # what the proof says of itself, looked up once
    _ready: bool  # there was a snapshot, and nothing was refused since

    def __init__(self, symbol: str, depth: int, proof: NewProof, precision: Precision | None = None) -> None:
        self.symbol = symbol
        self._new_proof = proof
        self.depth = depth
        self.mismatches = 0
        self.unknown_removals = 0  # of prices that are not here: harmless, and counted
        self.refusal: str | None = None  # why the last message that was refused was
        self._given = precision
        self._stamp: datetime | None = None  # the latest time of a message, by the exchange's clock
        self.clear()

    @property
    def bids(self) -> tuple[ScaledLevel, ...]:
        """All levels, best first."""
        return self._bids.levels(None)

    @property
    def asks(self) -> tuple[ScaledLevel, ...]:
        return self._asks.levels(None)

    def top(self, levels: int) -> tuple[tuple[ScaledLevel, ...], tuple[ScaledLevel, ...]]:
        """The best `levels` of bids and asks."""
        return self._bids.levels(levels), self._asks.levels(levels)

    @property
    def proven_depth(self) -> int:
        """How many levels of each side are proven; 0 where the last message proved nothing."""
        return self._proof.depth(self.depth) if self.proven else 0

    @property
    def crossed(self) -> bool:
        """The best bid is not below the best ask: a real market never does, even if the checksum matches."""
        bids, asks = self._bids.keys, self._asks.keys
        return bool(bids and asks) and -bids[0] >= asks[0]

    def evidence(self) -> Evidence:
        """What a message would carry that shows the book as it is now."""
        return self._proof.evidence(self._bids, self._asks)

    def apply(self, message: BookSnapshot | BookDelta) -> Check:
        """Take a message in: its levels in order, cut to the depth, then what proves it.

        After MISMATCHED the levels stay, unproven, and later messages are applied: one of them may match
        again. A message is REFUSED where a level is no number, has more decimals than the book, or no
        snapshot came before it; so is every other, then, until the next snapshot. It is OUTDATED where the
        exchange's time in it is before that of an earlier message: it says how the book was, and a checksum
        that holds proves no more than that. After a GAP nothing matches until the next snapshot. Raises nothing.
        """
        stamp = message.timestamp
        late, is_whole = False, (False, False)
        if stamp is not None:
            late = self._stamp is not None and stamp < self._stamp
            if not late:  # also of what is refused: a snapshot that comes after it and is older proves nothing
                self._stamp = stamp
        try:
            if not isinstance(message, BookDelta):
                bids, asks = _texts(message.bids), _texts(message.asks)
                self._start(self._given or _written_precision(bids, asks), ready=True)
                is_whole = self._bids.put_at_once(bids, self.depth), self._asks.put_at_once(asks, self.depth)
            elif not self._ready:
                raise ValueError("a book update without a snapshot before it")
            elif self._ordered and not self._proof.admits(message):
                return _MATCHED if self.proven else Check.UNCHECKED
            elif not self._bids.keys and not self._asks.keys and self._given is None:
                self._refine(_written_precision(_texts(message.bids), _texts(message.asks)))
            if message.bids and not is_whole[0]:
                self.unknown_removals += self._bids.put(message.bids, self.depth)
            if message.asks and not is_whole[1]:
                self.unknown_removals += self._asks.put(message.asks, self.depth)
        except ValueError as error:
            self._start(self._given or Precision(0, 0), ready=False)
            self.refusal = str(error)
            return _REFUSED
        if late:
            self.proven = False
            return _OUTDATED
        check = self._proof.check(message, self._bids, self._asks)
        if check is _MATCHED:
            bid_keys, ask_keys = self._bids.keys, self._asks.keys
            self.proven = not (bid_keys and ask_keys and -bid_keys[0] >= ask_keys[0])
            return check
        self.proven = False
        if check is _MISMATCHED:
            self.mismatches += 1
        return check

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
            self._proof.state,
        )

    @property
    def ready(self) -> bool:
        """Whether it takes updates: there was a snapshot, and nothing was refused since."""
        return self._ready

    def content(self) -> BookContent:
        """What a copy of it has to know to take updates as it would, as far as they have checksums."""
        bids, asks = self._bids, self._asks
        bid_prices = [-key for key in bids.keys]
        return BookContent((bid_prices, [*bids.fragments]), ([*asks.keys], [*asks.fragments]), self._stamp)

    def resume(self, content: BookContent) -> None:
        """Go on where a copy has come to."""
        for side, (prices, fragments) in ((self._bids, content.bids), (self._asks, content.asks)):
            side.keys, side.fragments = [price * side.sign for price in prices], fragments
            side.changed = True
        self._stamp = content.stamp

    @classmethod
    def restored(cls, state: BookState, proof: NewProof) -> "Book":
        """The book that had this state: it takes every further message in the same way."""
        book = cls(state.symbol, state.depth, proof, state.given)
        book._start(state.precision, ready=state.ready)
        book.mismatches, book.unknown_removals = state.mismatches, state.unknown_removals
        book.refusal, book.proven, book._stamp = state.refusal, state.proven, state.stamp
        book._bids.fill(state.bids)
        book._asks.fill(state.asks)
        book._proof.resume(state.proof)
        return book

    def clear(self) -> None:
        """Drop everything, and accept nothing but a snapshot that is not older than the last message."""
        self._start(self._given or Precision(0, 0), ready=False)

    def begin(self) -> None:
        """It is subscribed again: accept only a snapshot, of any time."""
        self.clear()
        self._stamp = None

    def suspect(self) -> None:
        """A message that may have been about this book was lost: it is not proven until one matches again."""
        self.proven = False

    def _refine(self, written: Precision) -> None:
        """Take the decimals of a message into an empty book, which holds no number that says them."""
        precision = Precision(max(self.precision.price, written.price), max(self.precision.qty, written.qty))
        if precision != self.precision:
            proven_by = self._proof.state
            self._start(precision, ready=True)
            self._proof.resume(proven_by)

    def _start(self, precision: Precision, *, ready: bool) -> None:
        self.precision = precision
        self.proven = False
        self._proof = self._new_proof()
        self._ordered = self._proof.ordered
        self._bids = _Side(-1, precision, self._proof.watched)
        self._asks = _Side(1, precision, self._proof.watched)
        self._ready = ready


class _Texts(NamedTuple):
    """The numbers of a side, as they are written."""

    prices: list[str]
    qtys: list[str]


def _texts(levels: Sequence[Level]) -> _Texts:
    return _Texts([level.price_text for level in levels], [level.qty_text for level in levels])


def _written_precision(bids: _Texts, asks: _Texts) -> Precision:
    """The most decimals that a message writes; ValueError if that is absurd."""
    price = _most_decimals(bids.prices + asks.prices)
    qty = _most_decimals(bids.qtys + asks.qtys)
    if price + qty > DIGITS_MAX:
        raise ValueError(f"a message whose numbers have {max(price, qty)} decimals")
    return Precision(price, qty)


def _most_decimals(texts: list[str]) -> int:
    together = "".join(texts)
    if "E" in together or "e" in together:
        texts = list(map(plain_number, texts))
    return max([len(text.partition(".")[2]) for text in texts], default=0)
