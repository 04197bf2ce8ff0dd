"""What a view asks of the API, how often, and what the answer is read as. Pure."""

from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from tidelog.tui import answers
from tidelog.tui.metrics import Samples

__all__ = ["CHAINS", "MARKETS", "METRICS", "READY", "Question", "question"]

OFTEN_S, USUAL_S = 0.3, 0.9  # both below the age at which an answer is told to be old
ROWS_MAX = 1_000  # of a page of the API, as it is set up by default


class Question(NamedTuple):
    """A GET, or a POST if it has a body."""

    path: str
    shape: Any
    every_s: float = USUAL_S
    body: bytes | None = None
    slot: str = ""  # questions of one slot are one that moves on: its last answer stays until the next one comes
    after: str | None = None  # where the answer begins, of one that continues where its last answer ended

    @property
    def key(self) -> str:
        """By which its answer is kept."""
        return self.slot or f"{self.path} {'' if self.body is None else self.body.decode()}"


def question(path: str, shape: Any, every_s: float = USUAL_S, /, **query: object) -> Question:
    """A name that is a word of Python's is written with a line behind it: `from_`."""
    given = {name.rstrip("_"): str(value) for name, value in query.items() if value is not None}
    return Question(f"{path}?{urlencode(given)}" if given else path, shape, every_s)


READY = question("/readyz", answers.Readiness)
METRICS = question("/metrics", Samples)
CHAINS = question("/v1/chains", answers.Chains, 0.5)
MARKETS = question("/v1/markets", answers.Markets, limit=ROWS_MAX)
STATS = question("/v1/stats", answers.Stats)


def of_chain(chain: int, rest: str) -> str:
    return f"/v1/chains/{chain}/{rest}"


def of_market(symbol: str, rest: str) -> str:
    """A symbol has a slash, which `-` stands for; any other name is percent-encoded."""
    return f"/v1/markets/{quote(symbol, safe='')}/{rest}"


def reorgs(chain: int) -> Question:
    return question(of_chain(chain, "reorgs"), answers.Reorgs, limit=20)


def changes(chain: int, place: str | None, last: int) -> Question:
    """The changes behind a place; without one, the last hundred."""
    asked = question(of_chain(chain, "changes"), answers.Changes, OFTEN_S, after=place or str(max(0, last - 100)))
    return asked._replace(after=place, slot=f"changes {chain}")


def blocks(chain: int, limit: int) -> Question:
    return question(of_chain(chain, "blocks"), answers.Blocks, 0.5, limit=min(limit, ROWS_MAX))


def block(chain: int, name: str) -> Question:
    return question(of_chain(chain, f"blocks/{name}"), answers.OneBlock, transactions="full")


def transaction(chain: int, tx_hash: str) -> Question:
    return question(of_chain(chain, f"transactions/{tx_hash}"), answers.OneTransaction)


def contracts(chain: int) -> Question:
    return question(of_chain(chain, "contracts"), answers.Contracts)


def address_transactions(chain: int, address: str) -> Question:
    return question(of_chain(chain, f"addresses/{address}/transactions"), answers.Transactions, limit=100)


def logs(chain: int, **wanted: object) -> Question:
    body = msgspec.json.encode({"hashes": False, "limit": ROWS_MAX, **wanted})
    return Question(of_chain(chain, "logs"), answers.Logs, USUAL_S, body)


def book(recording: str, symbol: str, levels: int) -> Question:
    return question(of_market(symbol, "book"), answers.Book, OFTEN_S, recording=recording, depth=levels)


def trades(recording: str, symbol: str, limit: int) -> Question:
    return question(of_market(symbol, "trades"), answers.Trades, 0.5, recording=recording, limit=limit)


def candles(recording: str, symbol: str, interval: str, limit: int) -> Question:
    path = of_market(symbol, "candles")
    return question(path, answers.Candles, recording=recording, interval=interval, limit=limit)


def coverage(recording: str, symbol: str, begin: str | None) -> Question:
    path = of_market(symbol, "coverage")
    asked = question(path, answers.Coverages, recording=recording, from_=begin, limit=ROWS_MAX)
    return asked._replace(slot=f"{path} {recording}")


def gaps(recording: str, symbol: str) -> Question:
    return question(of_market(symbol, "gaps"), answers.Gaps, recording=recording, order="desc", limit=ROWS_MAX)
