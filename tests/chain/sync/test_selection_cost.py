"""What a selection costs in calls and bytes, counted at the node: beside `eth_getLogs`, and beside all headers."""

import json
from collections import Counter
from typing import Any

from msgspec.structs import replace

from tests.chain.rig import Rig, a_node
from tests.chain.sync.test_asking import asked, opened
from tests.chain.sync.test_contracts import SHAPE, TIDE
from tests.chain.sync.test_factories import FACTORY, POOL
from tests.chain.sync.test_selecting import proven
from tests.sim.asking import ask
from tidelog.chain.abi.signatures import parse_event
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.select.selection import Selection
from tidelog.sim.node.chain.block_builder import RARE
from tidelog.sim.node.node import SimNode

BLOCKS = 402
FINAL = BLOCKS - 8  # of `a_node`
SELDOM = Contract("seldom", RARE, (parse_event("Rare()"),))
TRANSFERS = replace(TIDE, events=tuple(event for event in TIDE.events if event.name == "Transfer"))


class Counted:
    """What a node is asked for, and the bytes that it answers."""

    def __init__(self, r: Rig, node: SimNode) -> None:
        self.calls: Counter[Any] = Counter()
        self.size = 0
        handle: Any = node.handle

        def counting(path: str, body: bytes, **more: Any) -> Any:
            asked_for = json.loads(body)
            for call in asked_for if isinstance(asked_for, list) else [asked_for]:
                self.calls[call["method"], *[each for each in call["params"] if isinstance(each, bool)]] += 1
            answer = handle(path, body, **more)
            self.size += len(answer.body)
            return answer

        node.handle = counting  # type: ignore[method-assign]

    def taken(self) -> tuple[Counter[Any], int]:
        """What was counted since the last time."""
        found = self.calls, self.size
        self.calls, self.size = Counter(), 0
        return found


async def the_start(
    node: SimNode, tmp_path: Any, contracts: tuple[Contract, ...]
) -> tuple[Counter[tuple[str, Any]], int]:
    """What a run of one block costs: the first contact, and looks at the head."""
    async with opened(f"sqlite:///{tmp_path}/start.db", node, contracts) as r:
        counted = Counted(r, node)
        await r.once(first=FINAL, to=FINAL)
        return counted.taken()


def answered(node: SimNode, method: str, *params: Any) -> int:
    """The bytes of one answer."""
    return len(json.dumps(ask(node, method, *params), separators=(",", ":")))


async def test_what_is_asked_costs_hardly_more_than_eth_get_logs(tmp_path: Any) -> None:
    node = a_node(BLOCKS, shape=SHAPE)
    contracts = asked(TRANSFERS)
    logs = ask(
        node,
        "eth_getLogs",
        {
            "fromBlock": "0x0",
            "toBlock": hex(FINAL - 1),
            "address": "0x" + TIDE.address.hex(),
            "topics": ["0x" + (TRANSFERS.events[0].topic0 or b"").hex()],
        },
    )
    assert len(logs) > 200
    of_logs = len(json.dumps(logs, separators=(",", ":")))
    with_logs = sorted({log["blockNumber"] for log in logs})
    headers = sum(answered(node, "eth_getBlockByNumber", number, False) for number in with_logs)
    _, start = await the_start(node, tmp_path, contracts)
    async with opened(f"sqlite:///{tmp_path}/asked.db", node, contracts) as r:
        counted = Counted(r, node)
        await r.once(to=FINAL)
        position = await r.position()
        assert (position.first, position.asked_from) == (FINAL, 0)
        calls, size = counted.taken()
    print(f"{size - start} bytes beyond {start}; eth_getLogs {of_logs}, {len(with_logs)} headers {headers}")
    assert calls["eth_getLogs",] <= 2
    assert size - start <= 1.2 * of_logs + headers


async def test_what_is_asked_of_a_factory_and_its_children_costs_hardly_more_than_two_filters(tmp_path: Any) -> None:
    """One question for who creates, and one for all children together; and a header of each block that they name."""
    node = a_node(BLOCKS, shape=SHAPE)
    contracts = asked(FACTORY, POOL)

    def said(addresses: list[str], contract: Contract) -> list[Any]:
        topics = ["0x" + (event.topic0 or b"").hex() for event in contract.events]
        query = {"fromBlock": "0x0", "toBlock": hex(FINAL - 1), "address": addresses, "topics": [topics]}
        found: list[Any] = ask(node, "eth_getLogs", query)
        return found

    of_factory = said(["0x" + FACTORY.address.hex()], FACTORY)
    of_pools = said(["0x" + log["data"][-40:] for log in of_factory], POOL)
    assert len(of_factory) > 2
    assert len(of_pools) > 50
    headers = sum(
        answered(node, "eth_getBlockByNumber", number, False)
        for logs in (of_factory, of_pools)
        for number in sorted({log["blockNumber"] for log in logs})
    )
    of_logs = sum(len(json.dumps(logs, separators=(",", ":"))) for logs in (of_factory, of_pools))
    held = answered(node, "eth_getBlockByNumber", hex(FINAL), True) + answered(node, "eth_getBlockReceipts", hex(FINAL))
    _, start = await the_start(node, tmp_path, contracts)
    async with opened(f"sqlite:///{tmp_path}/asked.db", node, contracts) as r:
        counted = Counted(r, node)
        await r.once(to=FINAL)
        calls, size = counted.taken()
    print(f"{size - start} bytes beyond {start}; eth_getLogs {of_logs}, headers {headers}, a whole block {held}")
    assert calls["eth_getLogs",] <= 2
    assert calls["eth_getBlockReceipts",] <= 1, "of the one block that is held"
    assert size - start <= 1.2 * of_logs + headers + held


async def test_what_is_proven_costs_all_headers_and_the_blocks_that_match(tmp_path: Any) -> None:
    node = a_node(BLOCKS, shape=replace(SHAPE, contracts=False, logs=(1, 3), rare=0.003))
    contracts = proven(SELDOM)
    selection = Selection(contracts)
    matching = [
        number
        for number in range(BLOCKS + 1)
        if selection.may_have(
            number, bytes.fromhex(ask(node, "eth_getBlockByNumber", hex(number), False)["logsBloom"][2:])
        )
    ]
    assert 3 <= len(matching) <= 20, "about one in fifty"
    whole = sum(
        answered(node, "eth_getBlockByNumber", hex(number), True) + answered(node, "eth_getBlockReceipts", hex(number))
        for number in matching
    )
    headers = sum(answered(node, "eth_getBlockByNumber", hex(number), False) for number in range(BLOCKS + 1))
    first_calls, start = await the_start(node, tmp_path, contracts)
    async with opened(f"sqlite:///{tmp_path}/proven.db", node, contracts) as r:
        counted = Counted(r, node)
        await r.once(to=FINAL)
        calls, size = counted.taken()
    print(f"{size - start} bytes beyond {start}; {BLOCKS} headers {headers}, {len(matching)} whole {whole}")
    fetched = {name: calls[name] - first_calls[name] for name in calls}
    assert fetched["eth_getBlockByNumber", True] <= len(matching)
    assert fetched["eth_getBlockReceipts",] <= len(matching)
    assert size - start <= 1.05 * (headers + whole), "but for JSON-RPC's envelopes"
