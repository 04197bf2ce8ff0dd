"""Transactions: one by its hash, with receipt and logs; those of an address, in order."""

from typing import Any

from litestar import Request, Response, get

from tidelog.api.answers import CONDITIONAL, ChainAnswer, NoChain, chain_state, revalidated
from tidelog.api.backend import Backend
from tidelog.api.chain_fields import Transaction, log_of, transaction_of
from tidelog.api.cursors import open_cursor, seal
from tidelog.api.parameters import Address, AtMost, Chain, Cursor, From, Hash, Limit, Order, To, from_hex, page_size
from tidelog.api.problems import Refused
from tidelog.batch import LOGS, TRANSACTIONS, Row
from tidelog.store import Snapshot
from tidelog.store.query import key_of

__all__ = ["ROUTES"]

_NUMBER, _INDEX = TRANSACTIONS.index("block_number"), TRANSACTIONS.index("tx_index")


class TransactionAnswer(ChainAnswer, frozen=True, kw_only=True):
    """One transaction, with its receipt and its logs."""

    data: Transaction


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
    request: Request[Any, Any, Any], backend: Backend, chain: Chain, tx_hash: Hash, at_most: AtMost = "latest"
) -> Response[TransactionAnswer]:
    """With its receipt and its logs."""
    row: Row | None = None
    logs: list[Row] = []
    async with backend.store.snapshot() as snapshot:
        state = await chain_state(snapshot, chain)
        if state is not None:
            row = await _by_hash(snapshot, chain, from_hex(tx_hash), state.bound(at_most))
        if row is not None and row[TRANSACTIONS.index("log_count")]:
            logs = await _logs_of(snapshot, chain, row)
    if state is None:
        raise NoChain(chain)
    if row is None:
        raise Refused(404, f"chain {chain} has no transaction {tx_hash} in the blocks that are shown")
    found = transaction_of(row, [log_of(each) for each in logs])
    answer = TransactionAnswer(data=found, **state.envelope(found.block_number))
    return revalidated(request, answer, final=answer.finality == "finalized", named=True)


async def _by_hash(snapshot: Snapshot, chain: int, tx_hash: bytes, bound: int) -> Row | None:
    rows = await snapshot.select(TRANSACTIONS, scope=chain, where={"hash": tx_hash}, limit=1)
    return rows[0] if rows and _int(rows[0], _NUMBER) <= bound else None


async def _logs_of(snapshot: Snapshot, chain: int, row: Row) -> list[Row]:
    number = _int(row, _NUMBER)
    return await snapshot.select(LOGS, scope=chain, low=number, high=number, where={"tx_index": row[_INDEX]})


@get(
    "/v1/chains/{chain:str}/addresses/{address:str}/transactions",
    operation_id="list_address_transactions",
    summary="Transactions of an address",
    tags=["chain"],
    opt=CONDITIONAL,
)
async def list_address_transactions(
    request: Request[Any, Any, Any],
    backend: Backend,
    chain: Chain,
    address: Address,
    from_: From = None,
    to: To = None,
    order: Order = "desc",
    at_most: AtMost = "latest",
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[Transactions]:
    """Sent from it or to it, the newest first unless `order` says otherwise. Internal calls leave no trace here."""
    size = page_size(limit, backend.options.page_default, backend.options.page_max)
    identity = ("address", chain, address.lower(), from_, to, order)
    after = open_cursor(cursor, TRANSACTIONS, identity)
    descending = order == "desc"
    found: dict[Row, Row] = {}
    async with backend.store.snapshot() as snapshot:
        state = await chain_state(snapshot, chain)
        if state is not None:
            high = state.bound(at_most) if to is None else min(to, state.bound(at_most))
            for column in ("from_address", "to_address"):  # two searches in an index each, and no scan for both
                rows = await snapshot.select(
                    TRANSACTIONS,
                    scope=chain,
                    low=from_,
                    high=high,
                    where={column: from_hex(address)},
                    after=after,
                    descending=descending,
                    limit=size + 1,
                )
                found |= {key_of(TRANSACTIONS, row): row for row in rows}
    if state is None:
        raise NoChain(chain)
    keys = sorted(found, key=lambda key: key[1:], reverse=descending)
    more, keys = len(keys) > size, keys[:size]
    following = seal(TRANSACTIONS, identity, keys[-1]) if more else None
    highest = int(str(keys[-1][1])) if more and not descending else high
    answer = Transactions(data=[transaction_of(found[key]) for key in keys], next=following, **state.envelope(highest))
    final = answer.finality == "finalized" and to is not None and to <= high
    return revalidated(request, answer, final=final, named=False)


def _int(row: Row, index: int) -> int:
    value = row[index]
    assert isinstance(value, int)
    return value


ROUTES = [get_transaction, list_address_transactions]
