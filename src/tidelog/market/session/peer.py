"""What the exchange has said beside data: refusals, its own state, why a connection ended. In its words, cut short.

Each cause is news once: a refusal that is repeated with every try is reported when it first comes, and again only after
it was different or over. Pure.
"""

from collections.abc import Collection, Iterable

from msgspec import Struct

from tidelog.market.events import Rejection

WORDS_MAX = 200  # characters of what it says
UNNAMED_MAX = 64  # refusals that name no subscription, which are remembered by their words alone

STATUSES = ("online", "maintenance", "cancel_only", "post_only", "limit_only")
OTHER_STATUS = "other"


class Refusal(Struct, frozen=True):
    """A request that the exchange did not grant. Without a channel it does not say which."""

    channel: str | None
    symbol: str | None
    words: str


class Peer:
    """The exchange as of its last word. Give it each refusal, acknowledgement, status and end of a connection."""

    def __init__(self) -> None:
        self.status: str | None = None  # as it says it; None: it has not, on this connection
        self.ended: str | None = None  # why there is no connection; None: there is one, or there was none yet
        self._told_status: str | None = None
        self._refusals: dict[tuple[str, str | None], str] = {}  # those in force, by channel and symbol
        self._unnamed: dict[str, None] = {}
        self._denied: str | None = None  # why there was no token, last

    @property
    def refusals(self) -> list[Refusal]:
        """Of subscriptions that it has not granted since."""
        return [Refusal(channel, symbol, words) for (channel, symbol), words in self._refusals.items()]

    def refused(self, rejection: Rejection, about: Iterable[tuple[str, str | None]]) -> list[Refusal]:
        """Take a refusal in; what of it is news. `about`: channel and symbol of the subscriptions that it means."""
        words = clipped(rejection.error)
        news = []
        named = False
        for key in about:
            named = True
            if self._refusals.get(key) != words:
                self._refusals[key] = words
                news.append(Refusal(*key, words))
        if not named and words not in self._unnamed:
            if len(self._unnamed) >= UNNAMED_MAX:
                self._unnamed.clear()
            self._unnamed[words] = None
            news.append(Refusal(rejection.channel, rejection.symbol, words))
        return news

    def accepted(self, channel: str, symbol: str | None) -> None:
        """Take in that a subscription was granted: what was refused of it is over."""
        self._refusals.pop((channel, symbol), None)

    def keep(self, refused: Collection[tuple[str, str | None]]) -> None:
        """Take in which subscriptions are still refused: what was refused of others is over."""
        self._refusals = {key: words for key, words in self._refusals.items() if key in refused}

    def said(self, status: str) -> bool:
        """Take its state in; whether that is news."""
        self.status = clipped(status)
        news = self.status != self._told_status
        self._told_status = self.status
        return news

    def denied(self, words: str) -> bool:
        """No token was had; whether the reason is news."""
        news = words != self._denied
        self._denied = words
        return news

    def authorized(self) -> None:
        """Take in that a token was had."""
        self._denied = None

    def left(self, reason: str) -> None:
        """There is no connection, or it has ended."""
        self.ended, self.status = clipped(reason), None

    def connected(self) -> None:
        """Take in that there is a connection."""
        self.ended = None


def clipped(text: str) -> str:
    """A peer's words on one line."""
    return " ".join(text[: 4 * WORDS_MAX].split())[:WORDS_MAX]
