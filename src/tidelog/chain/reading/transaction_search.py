"""Transactions by senders and receivers, by the index that names the fewest of them. Asks a `Snapshot`, no SQL."""

from collections.abc import Sequence
from typing import Any

from tidelog.batch import Row, Value
from tidelog.chain.rows.tables import TRANSACTIONS
from tidelog.store import Snapshot
from tidelog.store.merged import merged

__all__ = ["select_transactions"]


async def select_transactions(
    snapshot: Snapshot,
    chain: int,
    senders: Sequence[bytes],
    receivers: Sequence[bytes],
    *,
    low: int | None,
    high: int | None,
    limit: int,
    descending: bool,
) -> list[Row]:
    """The first `limit` transactions of blocks `low` to `high`, in the order of the chain or its reverse.

    Read by the index of the senders, or by that of the receivers where at most one sender is given.

    Args:
        senders: any of them; none given, any at all.
        receivers: any of them, as the recipient or as the contract that was made. At most one if several senders are
            given.
    """
    order: dict[str, Any] = {"scope": chain, "low": low, "high": high, "descending": descending, "limit": limit}
    if receivers and len(senders) <= 1:
        where = {"from_address": senders[0]} if senders else None
        columns = ("to_address", "contract_address")
        return await merged(snapshot, TRANSACTIONS, column=columns, values=receivers, where=where, **order)
    if not senders:
        return await snapshot.select(TRANSACTIONS, **order)
    if not receivers:
        return await merged(snapshot, TRANSACTIONS, column="from_address", values=senders, **order)
    found: dict[tuple[Value, ...], Row] = {}
    (receiver,) = receivers
    number, index = TRANSACTIONS.index("block_number"), TRANSACTIONS.index("tx_index")
    for column in ("to_address", "contract_address"):
        for row in await merged(
            snapshot, TRANSACTIONS, column="from_address", values=senders, where={column: receiver}, **order
        ):
            found[row[number], row[index]] = row
    return [found[place] for place in sorted(found, reverse=descending)][:limit]
