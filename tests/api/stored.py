"""Stores that hold a part of a simulated chain, filled by commits alone, and JSON-RPC asked of them."""

import json
from collections.abc import Mapping
from typing import Any

from tests.chain.answers import Answers, proven
from tidelog.api.rpc.dispatch import RpcLimits, answer
from tidelog.chain.forks.checkpoint import Transition, append, finalize
from tidelog.chain.forks.position import source_of
from tidelog.chain.rows.layout import BlockRows
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.store import Store

__all__ = ["CHAIN_ID", "HEAD", "asked", "fill", "page_of", "result", "rows_of"]

CHAIN_ID = 1
HEAD = 12
LEDGER = BlockTree(
    seed=5, chain_id=CHAIN_ID, shape=Shape(transactions=(2, 4), logs=(1, 3), withdrawals=(0, 2)), blocks=HEAD
)


def page_of(number: int) -> tuple[Any, Any]:
    """The node's own block and receipts."""
    page = LEDGER.canonical(number).page
    return json.loads(page.full), json.loads(page.receipts)


def rows_of(number: int) -> BlockRows:
    page = LEDGER.canonical(number).page
    return proven(Answers(page.full, page.receipts, CHAIN_ID))[0]


async def fill(
    store: Store, first: int, last: int, *, finalized: int | None = None, rows: Mapping[int, BlockRows] | None = None
) -> None:
    """Commit the blocks `first` to `last`, and which of them is final; `rows` in the place of some blocks' own."""
    others = rows or {}
    before = await store.acquire(source_of(CHAIN_ID))
    moves: list[Transition] = [
        append(CHAIN_ID, before, [others.get(number) or rows_of(number) for number in range(first, last + 1)])
    ]
    if finalized is not None:
        moves.append(finalize(moves[0].batch.after, finalized, (others.get(finalized) or rows_of(finalized)).ref.hash))
    for move in moves:
        await store.commit(move.batch)


async def asked(store: Store, body: Any, *, limits: RpcLimits | None = None, chain_id: int = CHAIN_ID) -> Any:
    """The answer to a body: bytes as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answered = await answer(raw, store, chain_id, RpcLimits() if limits is None else limits)
    return None if answered is None else json.loads(answered)


async def result(
    store: Store, method: str, *params: Any, limits: RpcLimits | None = None, chain_id: int = CHAIN_ID
) -> Any:
    """A call's result, or its error's code and message."""
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answered = await asked(store, call, limits=limits, chain_id=chain_id)
    assert answered.keys() == {"jsonrpc", "id", "result"} or answered.keys() == {"jsonrpc", "id", "error"}
    return answered["result"] if "result" in answered else (answered["error"]["code"], answered["error"]["message"])
