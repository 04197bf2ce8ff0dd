"""Lies about the head, finality, and who the node is; lies in `newHeads`."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tidelog.sim.node.chain.methods import LIMIT_EXCEEDED, SERVER_ERROR, Held, RpcError
from tidelog.sim.node.lies.lie import Asked, on_call, on_push

CHAIN_ID_DIGITS = 1_000_000  # Python refuses to write such a number in decimal
FLAP_BLOCKS = 4  # how far back a head jumps at most


@on_call("eth_blockNumber", "eth_getBlockByNumber")
def heads_flap(asked: Asked) -> Any:
    """The head goes back and forth by up to 4 blocks."""
    if asked.question.params and asked.question.params[0] not in ("latest", "pending"):
        return asked.result
    return asked.seen_from(asked.behind(asked.rng.randint(0, FLAP_BLOCKS)))


@on_call("eth_getBlockByNumber")
def finalized_missing(asked: Asked) -> Any:
    """The tags finalized and safe are "not found"."""
    return _tagged(asked, lambda tag: _fail(f"{tag} block not found"))


@on_call("eth_getBlockByNumber")
def finalized_zero(asked: Asked) -> Any:
    """The tags finalized and safe are the genesis, as on a node without a consensus client."""
    return _tagged(asked, lambda _: asked.seen_from(asked.behind(asked.question.tip.number)))


@on_call("eth_getBlockByNumber")
def finalized_backwards(asked: Asked) -> Any:
    """The finalized block is a random older one each time."""
    low = asked.block.number if asked.block else 0
    back = asked.question.tip.number - asked.rng.randint(0, low)
    return _tagged(asked, lambda _: asked.seen_from(asked.behind(back)))


@on_call("eth_getBlockByNumber")
def finalized_conflict(asked: Asked) -> Any:
    """The finalized block is one of another branch."""
    rival = asked.question.chain.rival(asked.block) if asked.block else None
    if rival is None:
        return asked.result
    page = rival.page.full if asked.question.flag(1) else rival.page.brief
    return _tagged(asked, lambda _: msgspec.json.decode(page))


@on_call("eth_chainId", "net_version")
def chain_id_wrong(asked: Asked) -> Any:
    """The chain id is another."""
    other = asked.question.chain.chain_id + 1
    return hex(other) if asked.question.method == "eth_chainId" else str(other)


@on_call("eth_chainId")
def chain_id_huge(asked: Asked) -> Any:
    """The chain id has a million hex digits."""
    return "0x" + "f" * CHAIN_ID_DIGITS


@on_call("eth_syncing")
def syncing(asked: Asked) -> Any:
    """The node says that it is syncing."""
    head = asked.question.tip.number
    return {"startingBlock": "0x0", "currentBlock": hex(head), "highestBlock": hex(head + 1_000)}


@on_call()
def internal_error(asked: Asked) -> Any:
    """An error object with HTTP 200, for any call."""
    raise RpcError(-32603, "internal error")


@on_call()
def rate_limited_200(asked: Asked) -> Any:
    """A rate limit as an error object with HTTP 200."""
    raise RpcError(LIMIT_EXCEEDED, "request rate exceeded, slow down")


@on_push
def new_heads_skip(heads: Sequence[Held], rng: random.Random) -> Sequence[Held]:
    """newHeads sends only the last of several blocks, and now and then none."""
    return heads[-1:] if rng.random() < 0.5 else ()


@on_push
def new_heads_stall(heads: Sequence[Held], rng: random.Random) -> Sequence[Held]:
    """newHeads sends nothing any more, without a word."""
    return ()


@on_push
def new_heads_backwards(heads: Sequence[Held], rng: random.Random) -> Sequence[Held]:
    """newHeads sends each block and then the first one again: numbers go backwards."""
    return (*heads, heads[0])


def _tagged(asked: Asked, answer: Callable[[str], Any]) -> Any:
    tag = asked.question.param(0)
    return answer(tag) if tag in ("finalized", "safe") else asked.result


def _fail(message: str) -> Any:
    raise RpcError(SERVER_ERROR, message)
