"""What a provider's plan allows, and how it says no: calls a second with a burst, calls and bytes a request, time.

Pure: the moment is an argument. Each call of a batch counts, as it does at providers; the words are theirs.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from tidelog.sim.node.answers import Answer
from tidelog.sim.node.chain.methods import RpcError

RATE_REFUSED = -32007  # QuickNode's code
UNITS_REFUSED = 429  # Alchemy's
BATCH_ANSWER_TOO_LARGE = -32011  # reth's
INVALID_REQUEST = -32600
COMPUTE_UNITS = {"eth_getBlockReceipts": 20, "eth_getBlockByNumber": 20, "eth_getBlockByHash": 20, "eth_chainId": 0}
COMPUTE_UNITS_ELSE = 20


class Limits(Struct, frozen=True):
    """What a request and its answer may measure, and how many there may be. None: no limit.

    The sizes are go-ethereum's defaults; `refusal` is how a request that comes too soon is refused: by HTTP 429,
    by an error with HTTP 200, or call by call, those that fit being answered.
    """

    batch_calls: int | None = 1_000
    request_bytes: int = 5 * 1024 * 1024
    response_bytes: int | None = 25_000_000  # of a call, or of a batch's calls together
    as_a_whole: bool = False  # a batch whose answer is too large is refused as a whole, and not call by call
    rate: float | None = None  # calls a second, or compute units
    burst_s: float = 1.0  # of the rate, which may come at once
    compute_units: bool = False
    refusal: Literal["429", "200", "each"] = "429"
    retry_after_s: int | None = None
    receipts_s: float = 0.0  # that the receipts of a block take, one block after the other
    gateway_s: float | None = None  # what takes longer is 504


PLANS: dict[str, Limits] = {
    "25 calls a second": Limits(rate=25),
    "25 calls a second, HTTP 200": Limits(rate=25, refusal="200"),
    "25 calls a second, call by call": Limits(rate=25, refusal="each"),
    "25 calls a second, Retry-After": Limits(rate=25, retry_after_s=1),
    "500 compute units a second": Limits(rate=500, burst_s=2.0, compute_units=True),
    "no batches": Limits(batch_calls=1),
    "batches of 2": Limits(batch_calls=2),
    "batches of 3, 10 calls a second": Limits(batch_calls=3, rate=10),
    "4 kB an answer": Limits(response_bytes=4_000, as_a_whole=True),
    "4 kB an answer, call by call": Limits(response_bytes=4_000),
    "slow receipts": Limits(receipts_s=0.5),
    "slow receipts behind a gateway": Limits(receipts_s=0.5, gateway_s=3.0),
}
"""Plans by name, for scenarios: small, so that small blocks meet them."""


class Meter:
    """What one client has used of a plan, and how often it was refused."""

    def __init__(self) -> None:
        self.asked = 0  # calls
        self.refused = 0  # of these, for the plan
        self._tokens: float | None = None
        self._at = 0.0

    def room(self, limits: Limits, methods: Sequence[str], now: float) -> int:
        """How many of the first of these calls the plan serves now; they are taken if it is all, or call by call."""
        self.asked += len(methods)
        if limits.rate is None:
            return len(methods)
        burst = limits.rate * limits.burst_s
        before = burst if self._tokens is None else self._tokens
        filled = min(burst, before + max(0.0, now - self._at) * limits.rate)
        self._at = now
        count, left = 0, filled
        for method in methods:
            cost = COMPUTE_UNITS.get(method, COMPUTE_UNITS_ELSE) if limits.compute_units else 1
            if cost > left + 1e-9:
                break
            count, left = count + 1, left - cost
        whole = count == len(methods)
        self._tokens = left if whole or limits.refusal == "each" else filled
        if not whole:
            self.refused += len(methods) - (count if limits.refusal == "each" else 0)
        return count


def too_soon(limits: Limits) -> RpcError:
    """How the plan refuses a call."""
    if limits.compute_units:
        return RpcError(UNITS_REFUSED, "Your app has exceeded its compute units per second capacity.")
    rate = f"{limits.rate:g}"
    return RpcError(RATE_REFUSED, f"{rate}/second request limit reached - reduce calls per second or upgrade")


def refused_as_a_whole(limits: Limits) -> Answer:
    """The answer to a request that came too soon."""
    error = too_soon(limits)
    text = msgspec.json.encode({"jsonrpc": "2.0", "id": None, "error": {"code": error.code, "message": error.message}})
    headers = [("content-type", "application/json")]
    if limits.retry_after_s is not None:
        headers.append(("retry-after", str(limits.retry_after_s)))
    return Answer(429 if limits.refusal == "429" else 200, text, tuple(headers))


def timed(limits: Limits, methods: Sequence[str], answer: Answer) -> Answer:
    """The answer with the time that it takes."""
    seconds = limits.receipts_s * sum(method == "eth_getBlockReceipts" for method in methods)
    if limits.gateway_s is not None and seconds > limits.gateway_s:
        page = b"<html>504 Gateway Time-out</html>"
        return Answer(504, page, (("content-type", "text/html"),), delay_s=limits.gateway_s)
    return msgspec.structs.replace(answer, delay_s=answer.delay_s + seconds) if seconds else answer
