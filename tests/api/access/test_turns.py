"""Short reads beside long ones: each kind has its readers, and of the long ones each client has its turn."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests.api.served import CHAIN, Filled, Reply, Served
from tests.command import until
from tests.patience import HANGS_S
from tidelog.api.access.turns import Turns

READERS = 4
LOGS = (f"{CHAIN}/logs", {"from_block": 0, "limit": 5})


def rpc(*calls: tuple[str, list[Any]]) -> tuple[str, Any]:
    made = [{"jsonrpc": "2.0", "id": 1, "method": method, "params": params} for method, params in calls]
    return "/rpc/1337", made if len(made) > 1 else made[0]


LONG: dict[str, tuple[str, Any]] = {
    "logs": LOGS,
    "eth_getLogs": rpc(("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "0x5"}])),
    "a batch": rpc(*[("eth_blockNumber", [])] * 11),
    "blocks": (f"{CHAIN}/blocks?limit=5", None),
    "changes": (f"{CHAIN}/changes", None),
    "reorgs": (f"{CHAIN}/reorgs", None),
    "transactions": (f"{CHAIN}/addresses/0x{'1' * 40}/transactions", None),
    "trades": ("/v1/markets/BTC-USD/trades", None),
    "candles": ("/v1/markets/BTC-USD/candles", None),
}
SHORT: dict[str, tuple[str, Any]] = {
    "a block": (f"{CHAIN}/blocks/7", None),
    "a transaction": (f"{CHAIN}/transactions/0x{'1' * 64}", None),
    "chains": ("/v1/chains", None),
    "stats": ("/v1/stats", None),
    "readiness": ("/readyz", None),
    "eth_getBlockByNumber": rpc(("eth_getBlockByNumber", ["0x7", False])),
    "a small batch": rpc(*[("eth_blockNumber", [])] * 3),
}


@pytest.fixture
def slow(full: Filled) -> Iterator[tuple[Served, "Slow"]]:
    with Served(full.url, readers=READERS, tokens_s=1e9, request_timeout_s=60.0) as api:
        for path, body in SHORT.values():
            asked(api, path, body)  # the readers are open, the tokens read
        slow = Slow(api)
        with slow:
            yield api, slow


class Slow:
    """Every search has a reader of the store and keeps it, until it is let go."""

    def __init__(self, api: Served) -> None:
        self._api = api
        self.reading = 0
        self.free = asyncio.Event()

    def __enter__(self) -> None:
        turns: Turns = self._api.server.app.state.turns
        self._enter, turns._enter = turns._enter, self._held  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        self.let_go()

    async def _held(self, client: str) -> None:
        await self._enter(client)
        async with self._api.store.snapshot():
            self.reading += 1
            await self.free.wait()

    def let_go(self) -> None:
        async def work() -> None:
            self.free.set()

        self._api.run(work())


def asked(api: Served, path: str, body: Any) -> Reply:
    return api.get(path) if body is None else api.post(path, body)


@pytest.mark.each_choice
@pytest.mark.parametrize("long", LONG)
def test_a_short_read_waits_for_no_long_one(slow: tuple[Served, Slow], long: str) -> None:
    """Four searches had all four readers, and a block waited for them, five seconds and more."""
    api, store = slow
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(2 * READERS))
        stack.callback(store.let_go)
        waiting = [pool.submit(asked, api, *LONG[long]) for _ in range(2 * READERS)]
        until(lambda: store.reading == READERS // 2, "the searches that have a turn")
        for name, (path, body) in SHORT.items():
            reply = asked(api, path, body)
            assert reply.status in (200, 404), (name, reply)
        assert store.reading == READERS // 2
        assert not any(each.done() for each in waiting)
        store.let_go()
        assert {each.result().status for each in waiting} == {200}


async def test_turns_go_round_by_client() -> None:
    turns, order = Turns(1), list[str]()

    async def take(client: str) -> None:
        async with turns.turn(client):
            order.append(client)
            await asyncio.sleep(0)

    async with turns.turn("first"):
        waiting = [asyncio.create_task(take(client)) for client in ("a", "a", "a", "b", "c", "b")]
        await asyncio.sleep(0.01)
        assert order == []
    await asyncio.gather(*waiting)
    assert order == ["a", "b", "c", "a", "b", "a"]


async def test_a_cancelled_waiter_takes_no_turn() -> None:
    turns = Turns(1)

    async def take() -> None:
        async with turns.turn("a"):
            await asyncio.sleep(0)

    async with turns.turn("a"):
        gone, given, stays = (asyncio.create_task(take()) for _ in range(3))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.01)
    given.cancel()  # in the moment in which it has got the turn
    await asyncio.gather(gone, given, stays, return_exceptions=True)
    assert (gone.cancelled(), given.cancelled(), stays.done()) == (True, True, True)
    async with asyncio.timeout(HANGS_S), turns.turn("b"):
        assert turns._waiting == {}
