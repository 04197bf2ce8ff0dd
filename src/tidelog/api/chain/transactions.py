"""Transactions: one by its hash, with receipt and logs; those of an address, in order."""

from collections.abc import Awaitable
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from msgspec import UNSET, Meta, Struct, UnsetType

from tidelog.api.access.turns import turn
from tidelog.api.chain.answers import CONDITIONAL, ChainAnswer, ChainState, require_whole, revalidated, the_chain
from tidelog.api.http.backend import Backend
from tidelog.api.http.damage import each, expected, of_block
from tidelog.api.http.pagination import page_of
from tidelog.api.http.parameters import (
    Address,
    AtMost,
    Chain,
    Cursor,
    From,
    Hash,
    Limit,
    Order,
    To,
    from_hex,
)
from tidelog.api.http.problems import Refused
from tidelog.batch import Row
from tidelog.chain.rows.tables import LOGS, TRANSACTIONS
from tidelog.chain.select.selection import is_hash_only
from tidelog.chain.written import Log, Transaction, log_of, transaction_of
from tidelog.store import Snapshot
from tidelog.store.merged import merged

__all__ = ["ROUTES"]

PARTIES = ("from_address", "to_address", "contract_address")
OTHERS_MAX = 10  # earlier places of one hash that are named: who sends it a thousand times makes no large answer
_NUMBER, _INDEX = TRANSACTIONS.index("block_number"), TRANSACTIONS.index("tx_index")


class TransactionPlace(Struct, frozen=True):
    """Where a transaction is."""

    block_number: int
    tx_index: int


class TransactionAnswer(ChainAnswer, frozen=True, kw_only=True):
    """One transaction, with its receipt and its logs.

    A few chains take one transaction into several blocks. The latest one that is shown counts, as at a node.
    """

    data: Transaction
    also_at: Annotated[
        list[TransactionPlace],
        Meta(description=f"Earlier places of the same hash, the latest first, at most {OTHERS_MAX}; hardly ever any."),
    ]


class Transactions(ChainAnswer, frozen=True, kw_only=True):
    """Transactions in order."""

    data: list[Transaction]
    next: str | None


@get(
    "/v1/chains/{chain:str}/transactions/{tx_hash:str}",
    operation_id="get_transaction",
    summary="One transaction",
    tags=["chain"],
    opt=CONDITIONAL,
)
async def get_transaction(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    chain: Chain,
    tx_hash: Hash,
    at_most: AtMost = "latest",
) -> Response[TransactionAnswer]:
    """With its receipt and its logs. Of a selection the logs are left out unless all of them are held."""

    async def look(snapshot: Snapshot) -> TransactionAnswer:
        state = await the_chain(snapshot, chain)
        rows = await _by_hash(snapshot, chain, from_hex(tx_hash), state.bound(at_most))
        if not rows:
            require_whole(state, "other transactions")
            raise Refused(404, f"chain {chain} has no transaction {tx_hash} in the blocks that are shown")
        row, *others = rows
        if is_hash_only(row):
            require_whole(state, f"more of transaction {tx_hash} than its hash, and the logs that were asked for,")
        logs = await _logs_shown(snapshot, state, row)
        (found,) = each(chain, [row], lambda tx: transaction_of(tx, logs))
        also_at = [TransactionPlace(_int(other, _NUMBER), _int(other, _INDEX)) for other in others]
        return TransactionAnswer(data=found, also_at=also_at, **state.envelope(found.block_number))

    answer = await backend.store.read(look)
    final = answer.finality == "finalized" and answer.data.logs is not UNSET  # a contract may be added that has them
    return revalidated(request, answer, final=final, named=True)


async def _by_hash(snapshot: Snapshot, chain: int, tx_hash: bytes, bound: int) -> list[Row]:
    """The rows with a hash up to the block `bound`, the latest first."""
    return await snapshot.select(
        TRANSACTIONS, scope=chain, high=bound, where={"hash": tx_hash}, descending=True, limit=OTHERS_MAX + 1
    )


async def _logs_shown(snapshot: Snapshot, state: ChainState, row: Row) -> list[Log] | UnsetType:
    """All logs of a transaction; unset where a selection holds some of them only."""
    if state.position.selection:
        number, where = _int(row, _NUMBER), {"tx_index": row[_INDEX]}
        held = await snapshot.count(LOGS, scope=state.chain_id, low=number, high=number, where=where)
        if held < _int(row, TRANSACTIONS.index("log_count")):
            return UNSET
    return each(state.chain_id, await _logs_of(snapshot, state.chain_id, row), log_of)


async def _logs_of(snapshot: Snapshot, chain: int, row: Row) -> list[Row]:
    if not row[TRANSACTIONS.index("log_count")]:
        return []
    number = _int(row, _NUMBER)
    logs = await snapshot.select(LOGS, scope=chain, low=number, high=number, where={"tx_index": row[_INDEX]})
    with of_block(chain, number):
        expected(_int(row, TRANSACTIONS.index("log_count")), logs, "logs of this transaction")
    return logs


@get(
    "/v1/chains/{chain:str}/addresses/{address:str}/transactions",
    operation_id="list_address_transactions",
    summary="Transactions of an address",
    tags=["chain"],
    opt=CONDITIONAL,
)
async def list_address_transactions(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    chain: Chain,
    address: Address,
    from_: From = None,
    to: To = None,
    order: Order = "desc",
    at_most: AtMost = "latest",
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[Transactions]:
    """Sent from it or to it, or creating it; the newest first, unless `order` says otherwise.

    Calls from contract to contract are in no list of a block's, and in none here. An answer with `next` may have fewer
    transactions than `limit`: then they are large.
    """
    identity = ("address", chain, address.lower(), from_, to, order)
    page = page_of(backend.options, TRANSACTIONS, identity, limit, cursor)
    descending = order == "desc"

    async def look(snapshot: Snapshot) -> tuple[Transactions, int]:
        state = await the_chain(snapshot, chain)
        require_whole(state, "all transactions of an address")
        high = state.bound(at_most) if to is None else min(to, state.bound(at_most))

        def read(limit: int, after: Row | None) -> Awaitable[list[Row]]:
            return merged(
                snapshot,
                TRANSACTIONS,
                column=PARTIES,
                values=[from_hex(address)],
                limit=limit,
                scope=chain,
                low=from_,
                high=high,
                after=after,
                descending=descending,
            )

        rows, following = await page.read(read)
        highest = high if descending or following is None else _int(rows[-1], _NUMBER)
        found = each(chain, rows, transaction_of)
        return Transactions(data=found, next=following, **state.envelope(highest)), high

    async with turn(request):
        answer, high = await backend.store.read(look)
    final = answer.finality == "finalized" and to is not None and to <= high
    return revalidated(request, answer, final=final, named=False)


def _int(row: Row, index: int) -> int:
    value = row[index]
    assert isinstance(value, int)
    return value


ROUTES = [get_transaction, list_address_transactions]
