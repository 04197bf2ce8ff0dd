"""A store with a damaged block: every route and method names the block, or answers what is not damaged."""

import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.api.served import Served
from tests.api.stored import CHAIN_ID, HEAD, asked, fill, page_of
from tidelog.api.http.damage import DamagedBlock, each, of_block
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

DAMAGED = 5  # a block with transactions, logs and withdrawals
DAMAGE = {  # what is done to its rows
    "the header is missing": "DELETE FROM blocks WHERE number = 5",
    "a transaction is missing": "DELETE FROM transactions WHERE block_number = 5 AND tx_index = 0",
    "the logs are missing": "DELETE FROM logs WHERE block_number = 5",
    "an access list is none": "UPDATE transactions SET access_list = x'ff' WHERE block_number = 5",
    "a transaction's extra fields are no JSON": "UPDATE transactions SET extra = '{' WHERE block_number = 5",
    "the block's extra fields are no JSON": "UPDATE blocks SET extra = '{' WHERE number = 5",
    "the proof is none": "UPDATE blocks SET proof = 'yes' WHERE number = 5",
}
SAID = f"block {DAMAGED} of chain {CHAIN_ID} is damaged in this store"


@pytest.fixture(params=DAMAGE)
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The damage, and the URL of the store that has it."""
    url = f"sqlite:///{tmp_path}/chain.db"

    async def make() -> None:
        store = await open_store(url, SystemRuntime())
        await fill(store, 0, HEAD, finalized=HEAD)
        await store.close()

    asyncio.run(make())
    connection = apsw.Connection(f"{tmp_path}/chain.db")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(DAMAGE[request.param])
    assert connection.changes() > 0
    connection.close()
    return request.param, url


def calls() -> list[tuple[str, list[Any]]]:
    block, receipts = page_of(DAMAGED)
    tx = block["transactions"][0]["hash"]
    span = {"fromBlock": hex(DAMAGED - 1), "toBlock": hex(DAMAGED + 1)}
    return [
        ("eth_getLogs", [span]),
        ("eth_getLogs", [{"blockHash": block["hash"]}]),
        ("eth_getLogs", [span | {"address": receipts[0]["logs"][0]["address"]}]),
        ("eth_getBlockByNumber", [hex(DAMAGED), True]),
        ("eth_getBlockByNumber", [hex(DAMAGED), False]),
        ("eth_getBlockByHash", [block["hash"], True]),
        ("eth_getBlockReceipts", [hex(DAMAGED)]),
        ("eth_getBlockTransactionCountByNumber", [hex(DAMAGED)]),
        ("eth_getTransactionByHash", [tx]),
        ("eth_getTransactionByBlockNumberAndIndex", [hex(DAMAGED), "0x0"]),
        ("eth_getTransactionReceipt", [tx]),
    ]


def test_json_rpc_names_the_damaged_block_and_answers_everything_else(damaged: tuple[str, str]) -> None:
    what, url = damaged

    async def ask() -> list[Any]:
        store = await open_store(url, SystemRuntime(), readonly=True)
        try:
            batch = [
                {"jsonrpc": "2.0", "id": i, "method": method, "params": params}
                for i, (method, params) in enumerate([*calls(), ("eth_getBlockByNumber", [hex(DAMAGED + 1), True])])
            ]
            answered: list[Any] = await asked(store, batch)
            return answered
        finally:
            await store.close()

    *answers, other = asyncio.run(ask())
    errors = [answer["error"] for answer in answers if "error" in answer]
    unknown = [error for error in errors if error["code"] == -32001]  # by the hash that only the header had
    assert not unknown or what == "the header is missing"
    errors = [error for error in errors if error not in unknown]
    assert {error["code"] for error in errors} <= {-32603}
    assert all(SAID in error["message"] for error in errors), errors
    assert other["result"]["number"] == hex(DAMAGED + 1)
    if what != "the proof is none":  # which JSON-RPC does not tell
        assert errors


def test_rest_names_the_damaged_block_and_answers_everything_else(damaged: tuple[str, str]) -> None:
    what, url = damaged
    block, _ = page_of(DAMAGED)
    root = f"/v1/chains/{CHAIN_ID}"
    with Served(url) as api:
        replies = [
            api.get(f"{root}/blocks?from=4&to=6"),
            api.get(f"{root}/blocks/{DAMAGED}?transactions=full"),
            api.get(f"{root}/blocks/{DAMAGED}?transactions=hashes"),
            api.get(f"{root}/transactions/{block['transactions'][0]['hash']}"),
            api.get(f"{root}/addresses/{block['transactions'][0]['from']}/transactions"),
            api.post(f"{root}/logs", {"from_block": 4, "to_block": 6}),
        ]
        for reply in replies:
            # by a hash that only the missing row had, there is nothing that could be damaged
            assert reply.status in ((200, 404, 500) if what == "a transaction is missing" else (200, 500))
            if reply.status == 500:
                assert SAID in reply.error
        assert any(reply.status == 500 for reply in replies), what
        assert api.get(f"{root}/blocks/{DAMAGED + 1}?transactions=full").status == 200


def test_the_first_row_that_fails_names_its_block() -> None:
    rows: list[Any] = [(1, 7, 1), (1, 8, 0), (1, 9, 0)]
    with pytest.raises(DamagedBlock, match=r"block 8 of chain 1 .*ZeroDivisionError"):
        each(1, rows, lambda row: 1 // row[2])  # type: ignore[operator]


def test_damage_inside_of_damage_keeps_its_block() -> None:
    with pytest.raises(DamagedBlock, match="block 3 "), of_block(1, 4), of_block(1, 3):
        raise KeyError("x")
