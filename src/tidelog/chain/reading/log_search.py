"""Logs by addresses and topics, by the index that names the fewest of them. Asks a `Snapshot`, and knows no SQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from tidelog.batch import Row
from tidelog.chain.rows.tables import LOGS
from tidelog.store import Condition, Snapshot
from tidelog.store.merged import ALTERNATIVES_MAX, merged

__all__ = ["TOPICS", "select_logs"]

TOPICS = ("topic0", "topic1", "topic2", "topic3")


async def select_logs(
    snapshot: Snapshot,
    chain: int,
    *,
    addresses: Sequence[bytes],
    topics: Mapping[str, Condition],
    low: int | None,
    high: int | None,
    limit: int,
    after: Row | None = None,
    descending: bool = False,
) -> list[Row]:
    """The first `limit` logs of blocks `low` to `high`, in the order of the chain.

    Addresses have an index, and so does the first topic; the others are compared log by log.

    Args:
        addresses: any of them; none given, any at all.
        topics: by column; of the first one, a tuple of those of which any will do.
    """
    where = dict(topics)
    column, values = "address", addresses
    first = where.get("topic0")
    if not values and isinstance(first, tuple):
        column, values = "topic0", first
        del where["topic0"]
    order: dict[str, Any] = {"scope": chain, "low": low, "high": high, "after": after, "descending": descending}
    if len(values) > ALTERNATIVES_MAX:
        where[column] = tuple(values)
        return await snapshot.select(LOGS, where=where, limit=limit, **order)
    if len(values) > 1:
        return await merged(snapshot, LOGS, column=column, values=values, where=where, limit=limit, **order)
    if values:
        where[column] = values[0]
    return await snapshot.select(LOGS, where=where, limit=limit, **order)
