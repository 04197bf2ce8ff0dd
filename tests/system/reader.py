"""A reader that polls a store from a thread of its own, and remembers the first thing that could not be."""

import threading
from itertools import pairwise
from types import TracebackType

from tests.patience import HANGS_S
from tests.system.sql import Sql
from tests.system.truth import Standing, assert_whole

PAUSE_S = 0.0005  # between looks: a state that is not whole would last for some milliseconds


class Reader:
    """`with Reader(url, chain_id) as reader:` polls until it is left, and then says what it saw that is wrong.

    Every look is one state of the database: whole, without a gap, and not lower than the one before unless
    `shrinks` many times.
    """

    def __init__(self, url: str, chain_id: int, *, shrinks: int = 0, pause_s: float = PAUSE_S) -> None:
        self._url = url
        self._chain_id = chain_id
        self._shrinks = shrinks
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._poll, name="reader")
        self.standings: list[Standing] = []  # each differs from the one before

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(HANGS_S)
        assert not self._thread.is_alive(), "the reader has not ended"
        if kind is None:
            if self._failure is not None:
                raise self._failure
            assert self.standings, "the reader saw nothing"
            assert self.shrunk == self._shrinks

    @property
    def head(self) -> int | None:
        """The last that it saw."""
        return self.standings[-1].head if self.standings else None

    @property
    def shrunk(self) -> int:
        """How often the head was lower than before."""
        heads = [standing.head for standing in self.standings]
        return sum(later < earlier for earlier, later in pairwise(heads))

    def _poll(self) -> None:
        try:
            with Sql(self._url) as database:
                while not self._stop.wait(self._pause_s):
                    with database.view() as view:
                        standing = assert_whole(view, self._chain_id)
                    if standing is not None and standing not in self.standings[-1:]:
                        self.standings.append(standing)
        except BaseException as error:
            self._failure = error
