"""JSON-RPC questions put to a `SimNode` directly, without a transport."""

import json
from typing import Any

from tidelog.sim.node.chain.block_builder import LONDON, Shape
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.node import SimNode

FULL = Shape(transactions=(8, 12), logs=(1, 4), withdrawals=(1, 3), failing=0.0)


def full_node(**options: Any) -> SimNode:
    """A node with 20 blocks, each with transactions, logs and withdrawals."""
    return SimNode(BlockTree(shape=FULL, blocks=20, finalized_depth=8, safe_depth=4), **options)


def mined_node() -> SimNode:
    """A node with 20 blocks of before the merge, each from the second on with two uncles."""
    shape = Shape(transactions=(1, 2), uncles=(2, 2))
    return SimNode(BlockTree(shape=shape, forks=((0, LONDON),), blocks=20, finalized_depth=8, safe_depth=4))


def call(method: str, *params: Any, call_id: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call_id, "method": method, "params": list(params)}


def reply(node: SimNode, body: Any, path: str = "/") -> Any:
    """The parsed answer to a request, which is JSON to be or bytes as they are."""
    answer = node.handle(path, body if isinstance(body, bytes) else json.dumps(body).encode())
    return json.loads(answer.body)


def ask(node: SimNode, method: str, *params: Any, path: str = "/") -> Any:
    """The result of one call; the error, if it is one, as (code, message)."""
    parsed = reply(node, call(method, *params), path)
    assert (parsed["jsonrpc"], parsed["id"]) == ("2.0", 1)
    if "error" in parsed:
        return parsed["error"]["code"], parsed["error"]["message"]
    return parsed["result"]


def ledger_of(node: SimNode) -> BlockTree:
    assert isinstance(node.chain, BlockTree)
    return node.chain
