"""What a view is drawn from."""

from typing import NamedTuple

from tidelog.printable import printable
from tidelog.tui.lines import Glyphs
from tidelog.tui.metrics import Samples
from tidelog.tui.place import Place
from tidelog.tui.questions import METRICS
from tidelog.tui.world import World

__all__ = ["Scene"]

NO_SAMPLES = Samples({})


class Scene(NamedTuple):
    """One moment, one place, one size of a terminal."""

    world: World
    place: Place
    now_s: float  # of the monotonic clock, as in the world
    now_us: int  # Unix time
    columns: int
    rows: int  # of the view alone
    glyphs: Glyphs
    mean: int = 10  # candles of the mean
    large_qty: float | None = None  # from which on a trade is marked
    large_value: float | None = None
    playing: str = "live"  # or where a replay stands

    @property
    def samples(self) -> Samples:
        """The metrics; none where there are none."""
        found = self.world.answer(METRICS)
        return found if isinstance(found, Samples) else NO_SAMPLES

    def says(self, text: object) -> str:
        """What others wrote, as it may be shown."""
        return printable(str(text), "ascii" if self.glyphs.ascii_only else "utf-8")

    def window(self, count: int, room: int, *, before: int = 0) -> range:
        """The entries of a list that are seen: the cursor is among them, unless it is among those `before` them."""
        room = max(1, room)
        begin = max(0, min(self.place.cursor - before - room // 2, count - room))
        return range(begin, min(count, begin + room))
