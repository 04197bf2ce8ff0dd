"""What was really so: for each book frame that was sent the book's top 10 at that moment."""

from collections import OrderedDict

from tidelog.sim.exchange.markets.book import TrueTop

REMEMBERED = 20_000  # frames, some 50 MB: a client is compared with them as it runs


class Truth:
    """`connection` is the number in the status frame, `index` counts the messages a client got on it, from 0.

    Prices are in the units in which the connection's protocol writes them, as a client's book holds them.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._by_frame: OrderedDict[tuple[int, int], TrueTop] = OrderedDict()
        self._by_checksum: OrderedDict[tuple[str, int], TrueTop] = OrderedDict()

    def sent(self, connection: int, index: int, top: TrueTop) -> None:
        self._by_frame[connection, index] = top
        self._by_checksum[top.symbol, top.checksum] = top
        for known in (self._by_frame, self._by_checksum):
            if len(known) > self._remembered:
                known.popitem(last=False)

    def top10(self, connection: int, index: int) -> TrueTop | None:
        """The truth behind a client's `index`-th message; None: it was no book frame, or is forgotten."""
        return self._by_frame.get((connection, index))

    def tops(self) -> list[TrueTop]:
        """All that are remembered, by the time they were sent."""
        return list(self._by_frame.values())

    def with_checksum(self, symbol: str, checksum: int) -> TrueTop | None:
        """The last true top 10 that had this checksum."""
        return self._by_checksum.get((symbol, checksum))
