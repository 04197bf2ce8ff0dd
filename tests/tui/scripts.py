"""An API's answers, written by hand: a chain that reorganised, and a recording with an unproven book."""

from typing import Any

NOW_US = 1_700_000_100_000_000
SECOND_US = 1_000_000
A, B, C = (f"0x{letter * 64}" for letter in "abc")
TOKEN = "0x" + "d" * 40
NOTE = "mainnet: https://node: HTTP 429: Too many requests (5 s ago)"
METRICS = b"""# HELP tidelog_up Whether
tidelog_up{process="kraken"} 1.0
tidelog_chain_blocks_behind{chain="1",process="mainnet"} 3.0
tidelog_chain_proof_failures_total{check="receipts",endpoint="https://node",process="mainnet"} 2.0
tidelog_rpc_endpoint_identified{endpoint="https://node",process="mainnet"} 1.0
tidelog_rpc_endpoint_benched{endpoint="https://node",process="mainnet"} 1.0
tidelog_rpc_endpoint_strikes{endpoint="https://node",process="mainnet"} 4.0
tidelog_rpc_endpoint_requests_in_flight{endpoint="https://node",process="mainnet"} 2.0
tidelog_rpc_endpoint_requests_in_flight_max{endpoint="https://node",process="mainnet"} 8.0
tidelog_rpc_endpoint_calls_per_second{endpoint="https://node",process="mainnet"} 12.5
tidelog_rpc_endpoint_calls_per_second_max{endpoint="https://node",process="mainnet"} +Inf
tidelog_market_gaps_opened_total{process="kraken"} 3.0
tidelog_market_journal_unsynced_frames{process="kraken"} 12.0
tidelog_market_loader_lag_seconds{process="kraken"} 0.2
tidelog_market_checksum_mismatches_total{symbol="BTC/USD",process="kraken"} 1.0
tidelog_market_resyncs_total{channel="book",process="kraken"} 2.0
tidelog_market_event_latency_seconds_bucket{le="0.005",process="kraken"} 90.0
tidelog_market_event_latency_seconds_bucket{le="0.05",process="kraken"} 100.0
tidelog_market_event_latency_seconds_bucket{le="+Inf",process="kraken"} 100.0
tidelog_market_event_handling_seconds_bucket{le="0.00025",process="kraken"} 70.0
tidelog_market_event_handling_seconds_bucket{le="+Inf",process="kraken"} 100.0
tidelog_stream_connected{process="nats"} 1.0
tidelog_stream_published_seq{process="nats"} 101.0
tidelog_stream_lag_changes{process="nats"} 3.0
"""


def ref(number: int, block_hash: str) -> dict[str, Any]:
    return {"number": number, "hash": block_hash}


COMMIT = {"commit_seq": 77, "first": 900, "finalized": ref(936, A), "changes": 104}
CHAIN = {"chain_id": 1, "profile": "ethereum", "checks": ["hash"], "head": ref(1_000, C), "checkpoint": COMMIT}
RECORDED = {"commit_seq": 12, "run": 1, "seq": 500, "time": None, "time_us": NOW_US}


def standing(state: str, since_s: int, reason: str | None = None) -> dict[str, Any]:
    return {"state": state, "since_us": NOW_US - since_s * SECOND_US, "until_us": NOW_US, "reason": reason}


def market(symbol: str, book: dict[str, Any]) -> dict[str, Any]:
    names = {"base": None, "quote": None, "price_precision": None, "qty_precision": None}
    trades = standing("proven", 3_600)
    return {"recording": "kraken", "symbol": symbol, "status": "online", **names, "book": book, "trades": trades}


def block(number: int, block_hash: str, **proof: str) -> dict[str, Any]:
    return {
        "number": number,
        "hash": block_hash,
        "parent_hash": A,
        "miner": TOKEN,
        "gas_limit": 30_000_000,
        "gas_used": 15_000_000,
        "timestamp": NOW_US // SECOND_US - 2,
        "transaction_count": 5,
        "log_count": 7,
        "base_fee_per_gas": "7",
        "proof": {"hash": "passed", "parent": "passed", "withdrawals": "not_applicable"} | proof,
    }


REORG = {
    "seq": 101,
    "fork_number": 998,
    "depth": 1,
    "old_head": 999,
    "old_head_hash": B,
    "new_head": 1_000,
    "new_head_hash": C,
    "reason": "reorg",
    "time": "2023-11-14T22:14:50.000000Z",
}


def change(seq: int, kind: str, number: int, block_hash: str) -> dict[str, Any]:
    return {"seq": seq, "kind": kind, "number": number, "hash": block_hash, "parent_hash": A, "writer": "0" * 16}


TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
TRANSACTION = {
    "block_number": 1_000,
    "tx_index": 0,
    "hash": "0x" + "e" * 64,
    "type": 2,
    "from_address": "0x" + "1" * 40,
    "to_address": TOKEN,
    "value": "1500000000000000000",
    "extra": {"l1Fee": "0x1"},
    "receipt": {"status": 1, "gas_used": 21_000, "log_count": 1, "contract_address": None},
}
LOG = {
    "block_number": 1_000,
    "log_index": 0,
    "tx_index": 0,
    "address": TOKEN,
    "topics": [TRANSFER, "0x" + "0" * 24 + "1" * 40, "0x" + "0" * 24 + "2" * 40],
    "data": "0x" + f"{250:064x}",
    "covered": True,
}


def level(price: str, qty: str) -> dict[str, str]:
    return {"price": price, "qty": qty}


BOOK: dict[str, Any] = {
    "recording": "kraken",
    "checkpoint": RECORDED,
    "symbol": "ETH/USD",
    "standing": standing("proven", 60),
    "data": {
        "origin": "journal",
        "time_us": NOW_US,
        "age_ms": 150,
        "proven_depth": 10,
        "depth": 10,
        "bids": [level("99.9", "3.00"), level("99.8", "1.00")],
        "asks": [level("100.1", "0.50"), level("100.3", "1.50")],
    },
}


def trade(ago_s: int, price: str, qty: str, side: str = "buy") -> dict[str, Any]:
    at_us = NOW_US - ago_s * SECOND_US
    return {"time_us": at_us, "ordinal": at_us, "side": side, "price": price, "qty": qty}


def candle(minutes_ago: int, prices: tuple[str, str, str, str], *, complete: bool = True) -> dict[str, Any]:
    begin_us = (NOW_US // (60 * SECOND_US) - minutes_ago) * 60 * SECOND_US
    first, high, low, last = prices
    figures = {"open": first, "high": high, "low": low, "close": last, "volume": "2.5", "trades": 3}
    return {"time_us": begin_us, **figures, "complete": complete}


def covered(channel: str, state: str, since_s: int, until_s: int, reason: str | None = None) -> dict[str, Any]:
    times = {"since_us": NOW_US - since_s * SECOND_US, "until_us": NOW_US - until_s * SECOND_US}
    return {"channel": channel, "state": state, **times, "reason": reason, "closed_at": None}


COVERAGE = [
    covered("book", "proven", 500, 300),
    covered("book", "gap", 300, 240, "1006"),
    covered("book", "unproven", 240, 120, "mismatched"),
    covered("book", "proven", 120, 0),
    covered("trade", "proven", 600, 300),
    covered("trade", "gap", 300, 180, "1006"),
    covered("trade", "proven", 180, 0),
]
GAP = {
    "scope": "trades:ETH/USD",
    "first": 101,
    "last": 104,
    "reason": "refused: maintenance",
    "opened_at": "2023-11-14T22:10:00.000000Z",
    "closed_at": None,
}
ANSWERS: dict[str, Any] = {
    "/v1/chains/1/reorgs": {"data": [REORG]},
    "/v1/chains/1/changes": {
        "data": [
            change(101, "revert", 999, B),
            change(102, "apply", 999, A),
            change(103, "apply", 1_000, C),
        ],
        "place": "103-0000000000000000.0",
        "reset": None,
    },
    "/v1/chains/1/blocks?": {"data": [block(1_000, C), block(999, A, senders="not_computable")]},
    "/v1/chains/1/blocks/1000": {
        "finality": "unfinalized",
        "head": ref(1_000, C),
        "data": block(1_000, C) | {"transactions": [TRANSACTION]},
    },
    "/v1/chains/1/contracts": {"data": []},
    "/v1/chains/1/logs": {"data": [LOG]},
    "/v1/chains/1/addresses/": {"data": [TRANSACTION]},
    "/v1/chains": {"data": [CHAIN]},
    "/v1/markets/ETH%2FUSD/book": BOOK,
    "/v1/markets/ETH%2FUSD/trades": {
        "checkpoint": RECORDED,
        "data": [trade(1, "100.1", "0.25"), trade(12, "100.0", "9.00", "sell"), trade(25, "99.5", "0.10")],
    },
    "/v1/markets/ETH%2FUSD/candles": {
        "checkpoint": RECORDED,
        "interval_s": 60,
        "data": [
            candle(0, ("100.2", "100.4", "100.0", "100.1"), complete=False),
            candle(1, ("99.5", "100.5", "99.0", "100.2")),
            candle(5, ("101.0", "101.0", "99.0", "99.5")),
        ],
    },
    "/v1/markets/ETH%2FUSD/coverage": {"data": COVERAGE, "gaps": [GAP]},
    "/v1/markets/ETH%2FUSD/gaps": {"data": [GAP]},
    "/v1/markets": {
        "data": [
            market("BTC/USD", standing("unproven", 12, "mismatched")),
            market("ETH/USD", standing("proven", 60)),
        ]
    },
    "/v1/stats": {
        "chains": [{"chain_id": 1, "commits": 77, "blocks": 101, "transactions": 5, "logs": 7, "changes": 104}],
        "recordings": [
            {"recording": "kraken", "commits": 12, "symbols": 2, "trades": 1_234, "time": "2023-11-14T22:14:59Z"}
        ],
    },
    "/readyz": {
        "ready": False,
        "reasons": ["kraken: a book is not proven", "mainnet: 3 blocks are missing"],
        "notes": [NOTE],
    },
    "/metrics": METRICS,
}
