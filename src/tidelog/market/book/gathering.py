"""Books of a live feed, lent to the compiled core, which takes many frames of a socket at a time. Pure.

As `lending`, for who decides: what its session has to see by itself ends what is taken at once, and it is told of the
rest of a book when that counts; trades and tickers are followed only until it has to look at them. So what is noted of
many frames is what would have been noted of each.
"""

from collections.abc import Callable, Sequence

from tidelog.market.book.lending import Gathered, Lending, LendingBooks, Room
from tidelog.market.book.levels import ScaledLevel
from tidelog.market.book.proof import NewProof
from tidelog.market.book.watch import Watcher
from tidelog.market.events import Event, EventId

__all__ = ["GatheringBooks"]

FRAMES_MAX = 1024  # in one go: what a go costs by itself is lost in so many


class GatheringBooks(LendingBooks):
    """`Books` that lends what is proven. By `gather`, frames are applied many at a time; by the rest, one by one."""

    def __init__(self, decode: Callable[[bytes], Event], proof: NewProof, lending: Lending, watcher: Watcher) -> None:
        """`watcher`: the session."""
        super().__init__(decode, proof, lending)
        self._watcher = watcher
        self._followed_until_us: dict[tuple[str, str], int] = {}  # of channels and symbols that are followed
        lending.watch_for(watcher.note_alike)

    def follow(self, channel: str, symbol: str, last: int | None) -> None:
        """See `Lending.follow`; until the session has to look."""
        until_us = self._watcher.alike_until_us(channel, symbol)
        if self._lending.follow(channel, symbol, last, due_us=until_us):
            self._followed_until_us[channel, symbol] = until_us

    def forget(self) -> None:
        """See `Lending.forget`. Whether a book's snapshots mean more is seen when it is looked at again."""
        self._lending.forget()
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
            self._lend()
        if not (self._lending or self._followed_until_us):
            return None
        return self._lending.gather(frames, begin, FRAMES_MAX, first, at_us, room, encode=encode)

    def _lend(self) -> None:
        for symbol in self._due:
            watch = self._watcher.watch_of(symbol)
            if watch is not None:  # else the next one is looked at, and then the book is due again
                # it began with a snapshot, by which its subscription was held: another one changes nothing there
                self._lending.lend(self._books[symbol], takes_snapshots=True)
                if symbol in self._lending:
                    self._lending.watch(symbol, watch)
        self._due.clear()

    def tell(self, symbol: str | None = None) -> None:
        """Tell the session what came of a symbol's book, or of all, since it was told last."""
        self._lending.tell(symbol)

    def noted_us(self, symbol: str) -> int | None:
        """When the last message of a book came that the session was not told of yet; None: it was told of all."""
        return self._lending.noted_us(symbol)

    def suspect(self, symbols: Sequence[str] | None) -> tuple[str, ...]:
        suspected = super().suspect(symbols)
        self.look_again(suspected)
        return suspected

    def look_again(self, symbols: Sequence[str] | None = None) -> None:
        """The session has noted something of these books that are lent, or may have of any: watch them as it says now.

        What has to be looked at comes back.
        """
        for symbol in self._lending if symbols is None else symbols:
            if symbol not in self._lending:
                continue
            self.tell(symbol)
            watch = self._watcher.watch_of(symbol)
            if watch is None:
                self._lending.recall(symbol)
            else:
                self._lending.watch(symbol, watch)

    def follow_again(self, gathered: Gathered) -> None:
        """The session has noted what was taken: follow channels and symbols until it has to look again."""
        for channel, symbol, last in gathered.followed:
            if self._watcher.alike_until_us(channel, symbol) != self._followed_until_us.get((channel, symbol)):
                self.follow(channel, symbol, last)

    def top(self, symbol: str, levels: int | None) -> tuple[tuple[ScaledLevel, ...], tuple[ScaledLevel, ...]]:
        lent = self._lending.top(symbol, levels)
        return super().top(symbol, levels) if lent is None else lent
