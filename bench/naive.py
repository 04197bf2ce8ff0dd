"""The naive indexer, to measure against: one call a receipt, one INSERT a row, one transaction a block.

What the model of tidelog's indexer does, in Python, on the same schema, with nothing proven.
Run as `python -m bench.naive URL DB LAST`.
"""

import asyncio
import json
import sys
from typing import Any

import aiohttp
import apsw
import asyncpg

from tidelog.runtime import SystemRuntime
from tidelog.store import open_store


async def call(session: aiohttp.ClientSession, url: str, method: str, *params: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with session.post(url, json=body) as response:
        return json.loads(await response.read())["result"]


def data(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text[2:])


def number(text: str | None) -> int | None:
    return None if text is None else int(text, 16)


def word(text: str | None) -> bytes | None:
    return None if text is None else int(text, 16).to_bytes(32, "big")


class Sqlite:
    """One INSERT a row, on the loop's own thread."""

    def __init__(self, db: str) -> None:
        self._connection = apsw.Connection(db.removeprefix("sqlite:///"))
        self._connection.pragma("synchronous", 2)

    async def execute(self, text: str) -> None:
        self._connection.execute(text)

    async def insert(self, table: str, row: dict[str, Any]) -> None:
        marks = ", ".join("?" * len(row))
        self._connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


class Postgres:
    """One INSERT a row, each awaited."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def execute(self, text: str) -> None:
        await self._connection.execute(text.removesuffix(" IMMEDIATE"))

    async def insert(self, table: str, row: dict[str, Any]) -> None:
        marks = ", ".join(f"${i}" for i in range(1, len(row) + 1))
        values = [int.from_bytes(row[name]) if name in WORDS and row[name] else row[name] for name in row]
        await self._connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", *values)


WORDS = frozenset({"difficulty", "value", "gas_price", "max_fee_per_gas", "max_priority_fee_per_gas"})


def block_row(block: dict[str, Any]) -> dict[str, Any]:
    return {
        "chain_id": 1,
        "number": number(block["number"]),
        "hash": data(block["hash"]),
        "parent_hash": data(block["parentHash"]),
        "ommers_hash": data(block["sha3Uncles"]),
        "miner": data(block["miner"]),
        "state_root": data(block["stateRoot"]),
        "transactions_root": data(block["transactionsRoot"]),
        "receipts_root": data(block["receiptsRoot"]),
        "logs_bloom": data(block["logsBloom"]),
        "difficulty": word(block["difficulty"]),
        "gas_limit": number(block["gasLimit"]),
        "gas_used": number(block["gasUsed"]),
        "timestamp": number(block["timestamp"]),
        "extra_data": data(block["extraData"]),
        "uncles": b"",
        "transaction_count": len(block["transactions"]),
        "log_count": 0,
        "proof": "",
        "endpoint": "",
        "ingested_at": 0,
        "rows_digest": b"",
    }


def transaction_row(tx: dict[str, Any], receipt: dict[str, Any]) -> dict[str, Any]:
    return {
        "chain_id": 1,
        "block_number": number(tx["blockNumber"]),
        "tx_index": number(tx["transactionIndex"]),
        "hash": data(tx["hash"]),
        "type": number(tx["type"]),
        "from_address": data(tx["from"]),
        "to_address": data(tx["to"]),
        "nonce": number(tx["nonce"]),
        "value": word(tx["value"]),
        "gas": number(tx["gas"]),
        "gas_price": word(tx.get("gasPrice")),
        "max_fee_per_gas": word(tx.get("maxFeePerGas")),
        "max_priority_fee_per_gas": word(tx.get("maxPriorityFeePerGas")),
        "input": data(tx["input"]),
        "v": number(tx["v"]),
        "r": word(tx["r"]),
        "s": word(tx["s"]),
        "status": number(receipt["status"]),
        "cumulative_gas_used": number(receipt["cumulativeGasUsed"]),
        "gas_used": number(receipt["gasUsed"]),
        "log_count": len(receipt["logs"]),
        "covered": 1,
    }


def log_row(log: dict[str, Any]) -> dict[str, Any]:
    topics = [data(topic) for topic in log["topics"]] + [None] * 4
    return {
        "chain_id": 1,
        "block_number": number(log["blockNumber"]),
        "log_index": number(log["logIndex"]),
        "tx_index": number(log["transactionIndex"]),
        "address": data(log["address"]),
        "topic0": topics[0],
        "topic1": topics[1],
        "topic2": topics[2],
        "topic3": topics[3],
        "data": data(log["data"]),
        "covered": 1,
    }


async def index(url: str, db: str, last: int) -> None:
    store = await open_store(db, SystemRuntime())  # the same schema, and the partitions
    await store.close()
    database: Sqlite | Postgres
    if db.startswith("sqlite"):
        database = Sqlite(db)
    else:
        connection = await asyncpg.connect(db)
        await connection.execute("SET tidelog.segment = 0")  # the columns' default: rows of a stranger have none
        await connection.execute("CREATE TABLE transactions_naive PARTITION OF transactions FOR VALUES IN (1)")
        await connection.execute("CREATE TABLE logs_naive PARTITION OF logs FOR VALUES IN (1)")
        database = Postgres(connection)
    async with aiohttp.ClientSession() as session:
        for at in range(last + 1):
            block = await call(session, url, "eth_getBlockByNumber", hex(at), True)
            receipts = [
                await call(session, url, "eth_getTransactionReceipt", tx["hash"]) for tx in block["transactions"]
            ]
            await database.execute("BEGIN IMMEDIATE")
            await database.insert("blocks", block_row(block))
            for tx, receipt in zip(block["transactions"], receipts, strict=True):
                await database.insert("transactions", transaction_row(tx, receipt))
                for log in receipt["logs"]:
                    await database.insert("logs", log_row(log))
            await database.execute("COMMIT")


if __name__ == "__main__":
    asyncio.run(index(sys.argv[1], sys.argv[2], int(sys.argv[3])))
