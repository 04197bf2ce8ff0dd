"""The account's own fills over outages: those that come again are told apart, and what may be missing is said. Pure.

Fills of the time in which nobody listened are in no update. The snapshots of `executions` (v2) and `ownTrades` (v1)
show the last FILLS_SHOWN; one that knows none of them again, and is full, may be short of some.
"""

from msgspec import Struct

from tidelog.market.events import Executions, OwnTrade

FILLS_SHOWN = 50  # in a snapshot, as the exchange says
FILLS_KNOWN = 4 * FILLS_SHOWN  # whose ids are remembered: a snapshot may come while later fills have come already


class Fills(Struct, frozen=True):
    """What is known of the account's fills."""

    known: tuple[str, ...] = ()  # ids (exec_id) of the latest, oldest first
    earlier: bool = False  # there were recordings before, of whose fills nothing is known here
    doubted: int = 0  # snapshots before which fills may be missing


def take_fills(fills: Fills, event: Executions) -> tuple[Fills, tuple[OwnTrade, ...]]:
    """What is known after a message, and those of its fills that are news, in its order."""
    known = set(fills.known)
    news = {trade.exec_id: trade for trade in event.trades if trade.exec_id not in known}
    full = len({trade.exec_id for trade in event.trades}) >= FILLS_SHOWN
    missed = event.snapshot and full and len(news) == len(event.trades) and (fills.earlier or bool(known))
    latest = (*fills.known, *news)[-FILLS_KNOWN:]
    return Fills(latest, fills.earlier and not event.snapshot, fills.doubted + missed), tuple(news.values())
