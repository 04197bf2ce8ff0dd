"""Books of a live feed, lent to the compiled core, which takes many frames of a socket at a time. Pure.

As `lending`, for who decides: a book is lent, and trades and tickers are followed, only until their session has to look
at them again, so that what is noted of many frames of one moment is what would have been noted of each.
"""

from collections.abc import Callable, Sequence

from tidelog.market.book.lending import Gathered, Lending, LendingBooks, Room
from tidelog.market.book.levels import ScaledLevel
from tidelog.market.book.proof import NewProof
from tidelog.market.events import Event, EventId

__all__ = ["GatheringBooks"]

FRAMES_MAX = 1024  # in one go: what a go costs by itself is lost in so many


class GatheringBooks(LendingBooks):
    """`Books` that lends what is proven. By `gather`, frames are applied many at a time; by the rest, one by one."""

    def __init__(
        self,
        decode: Callable[[bytes], Event],
        proof: NewProof,
        lending: Lending,
        alike_until_us: Callable[[str, str], int],
    ) -> None:
        """`alike_until_us`: the time before which data of a channel and symbol need not be looked at by themselves."""
        super().__init__(decode, proof, lending)
        self._alike_until_us = alike_until_us
        self._until_us: dict[str, int] = {}  # as it was when the book was lent
        self._followed_until_us: dict[tuple[str, str], int] = {}  # the same of channels and symbols that are followed

    def follow(self, channel: str, symbol: str, last: int | None) -> None:
        """See `Lending.follow`; until the session has to look."""
        until_us = self._alike_until_us(channel, symbol)
        if self._lending.follow(channel, symbol, last, due_us=until_us):
            self._followed_until_us[channel, symbol] = until_us

    def forget(self) -> None:
        super().forget()
        self._followed_until_us.clear()

    def gather(
        self, frames: Sequence[bytes], begin: int, first: EventId, at_us: int, room: Room, *, encode: bool
    ) -> Gathered | None:
        """Take frames of one moment, as far as all is well; None if the first is not for the core.

        Args:
            begin: the first one's place in `frames`.
            first: its id.
            encode: give the events' encoding, for a digest.
        """
        if self._due:
            self._lend(at_us)
        if not (self._until_us or self._followed_until_us):
            return None
        return self._lending.gather(frames, begin, FRAMES_MAX, first, at_us, room, encode=encode)

    def _lend(self, at_us: int) -> None:
        for symbol in self._due:
            until_us = self._alike_until_us("book", symbol)
            if until_us > at_us:  # else the next one is looked at, and then the book is due again
                # it began with a snapshot, by which its subscription was held: another one changes nothing there
                self._lending.lend(self._books[symbol], due_us=until_us, takes_snapshots=True)
                self._until_us[symbol] = until_us
        self._due.clear()

    def look_again(self, symbols: Sequence[str] | None = None) -> None:
        """Something was noted of these books, or may have been of any: what has to be looked at comes back."""
        until_us = self._until_us
        for symbol in [*until_us] if symbols is None else symbols:
            if self._alike_until_us("book", symbol) != until_us.get(symbol):
                self._lending.recall(symbol)
                until_us.pop(symbol, None)

    def look_again_at(self, gathered: Gathered) -> None:
        """The same of all that was taken in one go."""
        self.look_again([symbol for symbol, _, _ in gathered.books])
        for channel, symbol, last in gathered.followed:
            if self._alike_until_us(channel, symbol) != self._followed_until_us.get((channel, symbol)):
                self.follow(channel, symbol, last)

    def top(self, symbol: str, levels: int | None) -> tuple[tuple[ScaledLevel, ...], tuple[ScaledLevel, ...]]:
        lent = self._lending.top(symbol, levels)
        return super().top(symbol, levels) if lent is None else lent
