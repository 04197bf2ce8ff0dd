"""An API's answers for pictures: a market that moves, with a gap and an unproven book; a chain that reorganised.

Made by a seeded source, so that a second run draws the same.
"""

import random
from typing import Any

from tests.tui.scripts import ANSWERS as PLAIN
from tests.tui.scripts import COMMIT, LOG, RECORDED, TRANSACTION, TRANSFER, A, covered, ref, standing

__all__ = ["NOW_US", "answers"]

NOW_US = 1_772_370_000_000_000  # 2026-03-01T13:00:00Z
S = 1_000_000
HEAD = 22_431_907
SYMBOLS = ("ADA/USD", "BTC/EUR", "BTC/USD", "DOT/USD", "ETH/USD", "LTC/USD", "SOL/USD", "XRP/USD")
PATH = "/v1/markets/BTC%2FUSD"
LATENCY = (("0.001", 3), ("0.0025", 21), ("0.005", 96), ("0.01", 310), ("0.025", 702), ("0.05", 741), ("0.1", 745))
HANDLING = (("5e-05", 0), ("0.0001", 420), ("0.00025", 690), ("0.0005", 731), ("0.001", 745))


def moved(document: Any, by_us: int) -> Any:
    """The same, later."""
    if isinstance(document, dict):
        return {
            key: value + by_us if key.endswith("_us") and isinstance(value, int) else moved(value, by_us)
            for key, value in document.items()
        }
    return [moved(each, by_us) for each in document] if isinstance(document, list) else document


def walked(source: random.Random, count: int) -> list[float]:
    """A price, in steps."""
    price, prices = 61_240.0, []
    for _ in range(count):
        price += source.gauss(0.4, 14.0)
        prices.append(price)
    return prices


def candles(source: random.Random) -> list[dict[str, Any]]:
    prices = walked(source, 1_500)
    found = []
    for at in range(150):
        part = prices[at * 10 : at * 10 + 11]
        missing = 96 <= at < 101
        if missing:
            continue
        figures = {
            "open": f"{part[0]:.1f}",
            "high": f"{max(part):.1f}",
            "low": f"{min(part):.1f}",
            "close": f"{part[-1]:.1f}",
            "volume": f"{source.uniform(0.4, 6.0):.8f}",
            "trades": source.randrange(20, 90),
        }
        begin_us = (NOW_US // (60 * S) - (149 - at)) * 60 * S
        found.append({"time_us": begin_us, **figures, "complete": at not in (95, 101, 149)})
    return found[::-1]


def book(source: random.Random, last: float) -> dict[str, Any]:
    sides: dict[str, list[dict[str, str]]] = {"bids": [], "asks": []}
    for name, step in (("bids", -1), ("asks", 1)):
        price = last + step * 0.1
        for _ in range(10):
            sides[name].append({"price": f"{price:.1f}", "qty": f"{source.expovariate(1.4):.8f}"})
            price += step * source.choice((0.1, 0.4, 1.1, 2.3))
    data = {"origin": "journal", "time_us": NOW_US - S // 5, "age_ms": 180, "proven_depth": 10, "depth": 10, **sides}
    at_us = {"since_us": NOW_US - 412 * S, "until_us": NOW_US, "state": "proven", "reason": None}
    checkpoint = RECORDED | {"commit_seq": 4_183, "time_us": NOW_US}
    return {"recording": "kraken", "checkpoint": checkpoint, "symbol": "BTC/USD", "standing": at_us, "data": data}


def trades(source: random.Random, last: float) -> list[dict[str, Any]]:
    found, price, at_us = [], last, NOW_US - S
    for number in range(100):
        side = source.choice(("buy", "sell"))
        qty = source.expovariate(6.0) + (2.5 if number in (4, 11) else 0.0)
        found.append({"time_us": at_us, "ordinal": at_us, "side": side, "price": f"{price:.1f}", "qty": f"{qty:.8f}"})
        price += source.choice((-0.6, -0.1, 0.0, 0.1, 0.5))
        at_us -= source.randrange(S // 10, 2 * S)
    return found


COVERAGE = [
    covered("book", "proven", 900, 412 + 34),
    covered("book", "gap", 412 + 34, 412 + 12, "the peer closed the connection with code 1012"),
    covered("book", "unproven", 412 + 12, 412, "mismatched"),
    covered("book", "proven", 412, 0),
    covered("trade", "proven", 900, 412 + 34),
    covered("trade", "gap", 412 + 34, 412 + 12, "the peer closed the connection with code 1012"),
    covered("trade", "proven", 412 + 12, 0),
]
LONG = [covered("trade", "gap", 54 * 60, 49 * 60, "1012")]
GAP = {
    "scope": "connection",
    "first": NOW_US - 446 * S,
    "last": NOW_US - 424 * S,
    "reason": "the peer closed the connection with code 1012",
    "opened_at": "2026-03-01T12:52:34.000000Z",
    "closed_at": "2026-03-01T12:52:56.000000Z",
}


def hashed(source: random.Random) -> str:
    return f"0x{source.getrandbits(256):064x}"


def chain(source: random.Random) -> dict[str, Any]:
    """Blocks, and a reorg of two of them."""
    hashes = {number: hashed(source) for number in range(HEAD - 60, HEAD + 1)}
    dropped = [(HEAD - 4, hashed(source)), (HEAD - 3, hashed(source))]
    changes, seq = [], 5_000

    def change(kind: str, number: int, block_hash: str) -> None:
        nonlocal seq
        seq += 1
        changes.append({"seq": seq, "kind": kind, "number": number, "hash": block_hash, "parent_hash": A})

    for number in range(HEAD - 60, HEAD - 4):
        change("apply", number, hashes[number])
    for number, block_hash in dropped:
        change("apply", number, block_hash)
    for number, block_hash in reversed(dropped):
        change("revert", number, block_hash)
    for number in range(HEAD - 4, HEAD + 1):
        change("apply", number, hashes[number])
    checks = ("hash", "parent", "uncles", "transactions", "receipts", "derived", "bloom", "withdrawals")
    blocks = [
        {
            "number": number,
            "hash": hashes[number],
            "parent_hash": hashes.get(number - 1, A),
            "miner": f"0x{source.getrandbits(160):040x}",
            "gas_limit": 36_000_000,
            "gas_used": source.randrange(8_000_000, 35_900_000),
            "timestamp": NOW_US // S - 7 - 12 * (HEAD - number),
            "transaction_count": source.randrange(90, 260),
            "log_count": source.randrange(200, 700),
            "base_fee_per_gas": "1183920114",
            "proof": dict.fromkeys(checks, "passed") | {"senders": "not_applicable"},
        }
        for number in range(HEAD, HEAD - 60, -1)
    ]
    head = ref(HEAD, hashes[HEAD])
    reorg = {
        "seq": 5_060,
        "fork_number": HEAD - 5,
        "depth": 2,
        "old_head": HEAD - 3,
        "old_head_hash": dropped[-1][1],
        "new_head": HEAD - 3,
        "new_head_hash": hashes[HEAD - 3],
        "reason": "reorg",
        "time": "2026-03-01T12:59:17.000000Z",
    }
    shown = blocks[0] | {"transactions": transactions(source)}
    commit = COMMIT | {"commit_seq": 18_244, "first": 22_000_000, "finalized": ref(HEAD - 70, A), "changes": seq}
    one = {"chain_id": 1, "profile": "ethereum", "checks": list(checks), "head": head, "checkpoint": commit}
    return {
        "/v1/chains/1/reorgs": {"data": [reorg]},
        "/v1/chains/1/changes": {"data": changes, "place": f"{seq}-0000000000000000.0", "reset": None},
        "/v1/chains/1/blocks?": {"data": blocks},
        "/v1/chains/1/blocks/": {"finality": "unfinalized", "head": head, "data": shown},
        "/v1/chains/1/contracts": {"data": []},
        "/v1/chains/1/logs": {"data": logs(source)},
        "/v1/chains": {"data": [one]},
    }


def address(source: random.Random) -> str:
    return f"0x{source.getrandbits(160):040x}"


def transactions(source: random.Random) -> list[dict[str, Any]]:
    return [
        TRANSACTION
        | {
            "block_number": HEAD,
            "tx_index": at,
            "hash": hashed(source),
            "from_address": address(source),
            "to_address": address(source),
            "value": str(source.randrange(10**16, 10**19)),
            "extra": None,
            "receipt": {
                "status": int(at != 5),
                "gas_used": source.randrange(21_000, 180_000),
                "log_count": at % 3,
                "contract_address": None,
            },
        }
        for at in range(12)
    ]


def logs(source: random.Random) -> list[dict[str, Any]]:
    found, index = [], 0
    for at in range(12):
        for _ in range(at % 3):
            words = ["0x" + "0" * 24 + address(source)[2:] for _ in range(2)]
            topics = [TRANSFER, *words]
            data = f"0x{source.randrange(10**18):064x}"
            found.append(
                {**LOG, "block_number": HEAD, "log_index": index, "tx_index": at, "address": address(source)}
                | {"topics": topics, "data": data}
            )
            index += 1
    return found


def histogram(name: str, buckets: tuple[tuple[str, int], ...]) -> str:
    lines = [f'{name}_bucket{{le="{bound}",process="kraken"}} {count}.0' for bound, count in buckets]
    return "\n".join([*lines, f'{name}_bucket{{le="+Inf",process="kraken"}} {buckets[-1][1]}.0'])


def metrics(now_s: float) -> bytes:
    endpoints = "".join(
        f'tidelog_rpc_endpoint_{what}{{endpoint="{name}",process="mainnet"}} {value}\n'
        for name, busy in (("https://node.example", 6.4), ("https://backup.example", 0.3))
        for what, value in (
            ("identified", 1),
            ("benched", int(name.startswith("https://b"))),
            ("strikes", 2 * int(name.startswith("https://b"))),
            ("requests_in_flight", 1),
            ("requests_in_flight_max", 8),
            ("calls_per_second", busy),
            ("calls_per_second_max", 25),
        )
    )
    return f"""\
{endpoints}tidelog_up{{process="kraken"}} 1.0
tidelog_chain_blocks_behind{{chain="1",process="mainnet"}} 0.0
tidelog_chain_proof_failures_total{{check="receipts",endpoint="https://backup.example",process="mainnet"}} 1.0
tidelog_market_frames_total{{channel="book",process="kraken"}} {80_000 + int(412.6 * now_s)}.0
tidelog_market_gaps_opened_total{{process="kraken"}} 1.0
tidelog_market_checksum_mismatches_total{{symbol="BTC/USD",process="kraken"}} 1.0
tidelog_market_resyncs_total{{channel="book",process="kraken"}} 1.0
tidelog_market_journal_unsynced_frames{{process="kraken"}} 9.0
tidelog_market_loader_lag_seconds{{process="kraken"}} 0.4
{histogram("tidelog_market_event_latency_seconds", LATENCY)}
{histogram("tidelog_market_event_handling_seconds", HANDLING)}
tidelog_stream_connected{{process="nats"}} 1.0
tidelog_stream_published_seq{{process="nats"}} 5065.0
""".encode()


def market(symbol: str) -> dict[str, Any]:
    book, trades = standing("proven", 3_600), standing("proven", 3_600)
    if symbol == "SOL/USD":
        book = standing("unproven", 4, "mismatched")
    if symbol == "BTC/USD":
        book, trades = standing("proven", 412), standing("proven", 424)
    return {"recording": "kraken", "symbol": symbol, "status": "online", "book": book, "trades": trades}


def answers(now_s: float) -> dict[str, Any]:
    """By the beginning of a path, as of some seconds after the start of looking."""
    source = random.Random(7)
    made = candles(source)
    last = float(made[0]["close"])
    shift_us = NOW_US - PLAIN["/v1/markets/ETH%2FUSD/book"]["data"]["time_us"]
    recorded = RECORDED | {"commit_seq": 4_183, "time_us": NOW_US}
    stats = {"recording": "kraken", "commits": 4_183, "symbols": 8, "trades": 1_274_402}
    whole = [covered("trade", "proven", 150 * 60, 0), *LONG]
    return {
        **chain(source),
        f"{PATH}/book": book(source, last),
        f"{PATH}/trades": {"checkpoint": recorded, "data": trades(source, last)},
        f"{PATH}/candles": {"checkpoint": recorded, "interval_s": 60, "data": made},
        f"{PATH}/coverage?recording=kraken&from=2026-03-01T12": moved({"data": COVERAGE, "gaps": []}, shift_us),
        f"{PATH}/coverage": moved({"data": whole, "gaps": []}, shift_us),
        f"{PATH}/gaps": {"data": [GAP]},
        "/v1/markets": moved({"data": [market(symbol) for symbol in SYMBOLS]}, shift_us),
        "/v1/stats": {"chains": [], "recordings": [stats | {"time": "2026-03-01T12:59:59.600000Z"}]},
        "/readyz": {
            "ready": True,
            "reasons": [],
            "notes": ["mainnet: https://backup.example: HTTP 429: Too Many Requests (21 s ago)"],
        },
        "/metrics": metrics(now_s),
    }
