"""What a live feed waits for and how long: one value that the caller may give. Pure."""

from msgspec import Struct

from tidelog.market.journal.writer import LIMITS as JOURNAL_LIMITS
from tidelog.market.journal.writer import JournalLimits
from tidelog.market.live.monitoring.loop_watch import LIMITS as LOOP_WATCH_LIMITS
from tidelog.market.live.monitoring.loop_watch import LoopWatchLimits
from tidelog.market.session.limits import SessionLimits

__all__ = ["LIMITS", "FeedLimits"]


class FeedLimits(Struct, frozen=True):
    """Seconds and microseconds of the feed's own clock; those of its parts beside them."""

    connect_s: float = 10.0  # for a connection to be open
    token_s: float = 15.0  # for a token to be had
    wait_s_max: float = 60.0  # without a look at the clock
    frames_at_once: int = 256  # between which others get their turn, however fast the exchange sends ...
    gathered_as_one: int = 16  # ... where the compiled core takes so many in the time of one
    snapshot_every_us: int = 60_000_000  # between snapshots: what a reader has to read again at most, on restarting
    throttled_s: float = 30.0  # where the exchange throttles us and says no time: it bans for ten minutes
    throttled_s_min: float = 5.0  # ... and at least, whatever it says: as rarely as it wants attempts after an outage
    clock_step_us: int = (
        5_000_000  # after a longer step of the clock the connection's data are too old to continue with
    )
    late_s: float = 1.0  # that a wait may end after its time before it means that the event loop was held
    catch_up_us: int = 1_000_000  # then, to take what waits in the socket: its silence was ours
    journal: JournalLimits = JOURNAL_LIMITS
    loop_watch: LoopWatchLimits = LOOP_WATCH_LIMITS
    session: SessionLimits | None = None  # None: the exchange's own

    @property
    def received_at_once(self) -> int:
        """Frames that are taken from a socket at once: no turn takes more."""
        return self.frames_at_once * self.gathered_as_one


LIMITS = FeedLimits()
