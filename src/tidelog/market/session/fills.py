"""The account's own fills over outages: those that come again are recognised, and what may be missing is counted. Pure.

Fills during an outage are in no update. The snapshots of the account's channels show the last
`fills_shown`; one that knows none of them again, and is full, may be short of some.
"""

from msgspec import Struct

from tidelog.market.events import Executions, OwnTrade
from tidelog.market.session.limits import SessionLimits


class Fills(Struct, frozen=True):
    """What is known of the account's fills."""

    known: tuple[str, ...] = ()  # ids (exec_id) of the latest, oldest first
    earlier: bool = False  # there were recordings before, of whose fills nothing is known here
    doubted: int = 0  # snapshots before which fills may be missing


def apply_fills(fills: Fills, event: Executions, limits: SessionLimits) -> tuple[Fills, tuple[OwnTrade, ...]]:
    """What is known after a message, and those of its fills that are news, in its order."""
    known = set(fills.known)
    news = {trade.exec_id: trade for trade in event.trades if trade.exec_id not in known}
    full = len({trade.exec_id for trade in event.trades}) >= limits.fills_shown
    missed = event.snapshot and full and len(news) == len(event.trades) and (fills.earlier or bool(known))
    latest = (*fills.known, *news)[-limits.fills_known :]
    return Fills(latest, fills.earlier and not event.snapshot, fills.doubted + missed), tuple(news.values())
