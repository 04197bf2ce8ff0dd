"""What a recording of many markets adds to a run: names as users write them, and a time in which nothing goes wrong."""

from collections import Counter
from collections.abc import Collection, Sequence

from tidelog.market.events import Resync
from tidelog.market.journal.reader import JournalReader
from tidelog.market.live.feed import Feed
from tidelog.market.session.controls import decode_control
from tidelog.sim.exchange import SimExchange
from tidelog.sim.exchange.session import Subscription
from tidelog.sim.oracle.chain import require

BY_PACE = "no data for"  # how the reason of a resync begins where nothing but a market's pace spoke for it

_WRITTEN = {"BTC": "XBT", "DOGE": "xdg"}


def spelled(symbol: str) -> str:
    """The symbol as somebody might write it; names with small letters are written as they are."""
    if not symbol.isupper():
        return symbol
    base, _, quote = symbol.partition("/")
    return f"{_WRITTEN.get(base, base.lower())}-{quote.lower()}"


def has_begun(feed: Feed, untraded: Collection[str] = ()) -> bool:
    """Whether what is promised at the start of each subscription has come: a snapshot that was lost is asked for.

    Of trades in markets that are `untraded` nothing comes, or an empty list that names no market.
    """
    session = feed._core.session
    first_data_us = session.rules.limits.silence.first_data_us
    return all(
        one.data_us or first_data_us(one.stream) is None or (one.stream.channel == "trade" and one.symbol in untraded)
        for one in session.session_state.subscriptions
    )


def asked_again_rarely(journal: str, vfs: str, within_us: tuple[int, int], times_max: int) -> None:
    """Judge what a journal says of a time. Violation: data that do not come were asked for more often than that."""
    begun_us, ended_us = within_us
    if begun_us == ended_us:
        return
    reader = JournalReader(journal, vfs)
    try:
        said = [decode_control(one.payload) for one in reader.marks(begun_us) if one.at_us <= ended_us]
    finally:
        reader.close()
    again = Counter((one.channel, one.symbol) for one in said if isinstance(one, Resync))
    for (channel, symbol), times in again.items():
        require(times <= times_max, f"{channel} of {symbol} is asked for ever more rarely, and was {times} times")


class Calm:
    """From when the exchange is honest. Every subscription has begun when the calm time does; then nothing goes wrong.

    What was subscribed to before the exchange was honest may have lost an update, which shows with the next one: in a
    quiet market late, and perhaps in the calm time. It is cured once, and what its book misses meanwhile is no loss of
    ours. Nothing else is doubted because of what came or did not; and that a market's own pace makes its silence
    suspicious, as it does by chance at times, is the case of few.
    """

    def __init__(self, exchange: SimExchange) -> None:
        self._exchange = exchange
        self._earlier = self._subscriptions()
        self._ill: set[tuple[str, str | None]] = set()  # channel and symbol of those that may have lost something
        self._times_us = (0, 0)  # when it began and ended, by the program's clock
        self._missed: Counter[str] = Counter()  # updates of each book, in that time

    def _subscriptions(self) -> set[Subscription]:
        return {one for session in self._exchange.sessions for one in session.subscriptions.values()}

    def begin(self, at_us: int) -> None:
        """It begins, at this time by the program's clock."""
        self._ill = {(one.key.channel, one.key.symbol) for one in self._earlier & self._subscriptions()}
        self._times_us = (at_us, at_us)
        self._missed = self._exchange.missed.copy()

    def end(self, at_us: int) -> None:
        """It has ended, at this time by the program's clock."""
        self._times_us = (self._times_us[0], at_us)
        self._missed = self._exchange.missed - self._missed

    def judge(self, journal: str, vfs: str, markets: int) -> None:
        """Judge what the journal of so many markets says of it. Violation: what is above did not hold."""
        begun_us, ended_us = self._times_us
        reader = JournalReader(journal, vfs)
        try:
            controls = [
                decode_control(control.payload) for control in reader.marks(begun_us) if control.at_us <= ended_us
            ]
        finally:
            reader.close()
        self.judge_resyncs([control for control in controls if isinstance(control, Resync)], markets)

    def judge_resyncs(self, resyncs: Sequence[Resync], markets: int) -> None:
        """Judge what was asked for again. Violation: what is above did not hold."""
        by_pace, cured = 0, set[tuple[str, str | None]]()
        for resync in resyncs:
            if resync.reason.startswith(BY_PACE):
                by_pace += 1
                continue
            about = resync.channel, resync.symbol
            told = f"{resync.channel} of {resync.symbol} is asked for again while nothing went wrong: {resync.reason}"
            require(about in self._ill - cured, told)
            cured.add(about)
        require(by_pace <= markets // 2, f"{by_pace} resyncs of {markets} markets while nothing went wrong")
        lost = sum(count for symbol, count in self._missed.items() if ("book", symbol) not in cured)
        require(lost == 0, f"{lost} updates were lost while nothing went wrong")
