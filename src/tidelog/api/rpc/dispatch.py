"""Read-only JSON-RPC over a store: the bytes of a request to the bytes of its answer. No HTTP in here.

One snapshot serves a request, and so a whole batch: what its calls say fits together, whatever is committed
meanwhile. Bad input never raises; what the store itself does is said to the caller in general words only.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from tidelog.api.http.damage import DamagedBlock, sentence
from tidelog.api.rpc import envelope
from tidelog.api.rpc.envelope import INTERNAL_ERROR, LIMIT_EXCEEDED, UNAVAILABLE, Call, Refusal, Requests
from tidelog.api.rpc.limits import RpcLimits
from tidelog.api.rpc.methods import METHODS, result_of
from tidelog.api.rpc.view import View, view_of
from tidelog.errors import Busy, TidelogError, TimedOut
from tidelog.store import Snapshot, Store
from tidelog.telemetry import logger

__all__ = ["METHODS", "RpcLimits", "answer"]

Turn = Callable[[], AbstractAsyncContextManager[None]]  # of those who may read for long, see `turns`

SEARCHES = frozenset({"eth_getLogs"})  # what may read for long
SHORT_CALLS = 10  # of one batch: customary clients gather a few

_log = logger("rpc")


async def answer(body: bytes, store: Store, chain_id: int, limits: RpcLimits, turn: Turn = nullcontext) -> bytes | None:
    """The answer to a JSON-RPC 2.0 request or batch; None if none of its calls wants one.

    Args:
        store: open read-only, with a limit on a statement's time.
        chain_id: of the chain that is asked about; one that the store does not hold is an error.
        turn: is waited for, and kept, where the request may take long.
    """
    try:
        requests = envelope.read_requests(body, limits)
    except Refusal as refusal:
        return envelope.refusal_bytes(envelope.NULL, refusal)
    answers = await _answers(requests, store, chain_id, limits, turn)
    if not answers:
        return None
    return envelope.batch_bytes(answers) if requests.is_batch else answers[0]


async def _answers(requests: Requests, store: Store, chain_id: int, limits: RpcLimits, turn: Turn) -> list[bytes]:
    """One answer for each call that wants one, in their order."""
    # a notification asks for nothing but an effect, and reading has none
    wanted = [call for call in requests.calls if call.id is not None]
    if not any(isinstance(call, Call) for call in wanted):
        return [_answered(call.id or envelope.NULL, _refused(call)) for call in wanted]

    async def look(snapshot: Snapshot) -> list[bytes]:
        return await _answer_all(wanted, await view_of(snapshot, chain_id, limits))

    try:
        async with turn() if _may_be_long(wanted) else nullcontext():
            if len(wanted) == 1:
                return await store.read(look)
            async with store.snapshot() as snapshot:  # each call has the time of a read
                return await look(snapshot)
    except Refusal as refusal:
        failed = refusal
    except Exception as error:  # of any kind: a JSON-RPC caller gets a JSON-RPC error
        failed = _meaning(error, chain_id)
    return [_answered(call.id or envelope.NULL, _refused(call) or failed) for call in wanted]


def _may_be_long(calls: Sequence[Call | envelope.Invalid]) -> bool:
    return len(calls) > SHORT_CALLS or any(isinstance(call, Call) and call.method in SEARCHES for call in calls)


def _refused(call: Call | envelope.Invalid) -> Refusal | None:
    return call.refusal if isinstance(call, envelope.Invalid) else None


async def _answer_all(calls: list[Call | envelope.Invalid], view: View) -> list[bytes]:
    answers: list[bytes] = []
    size, ended = 0, None
    for call in calls:
        outcome: bytes | Refusal | None = _refused(call) or ended
        if outcome is None and isinstance(call, Call):
            outcome = await _outcome(call, view)
        answers.append(_answered(call.id or envelope.NULL, outcome))
        size += len(answers[-1])
        if isinstance(outcome, Refusal) and outcome.ends_view:
            ended = Refusal(outcome.code, "a call before this one ended the batch: send this one again")
        elif size > view.limits.response_bytes_max:
            ended = Refusal(LIMIT_EXCEEDED, f"the batch's answer exceeds {view.limits.response_bytes_max} bytes")
    return answers


async def _outcome(call: Call, view: View) -> bytes | Refusal:
    try:
        return await result_of(view, call.method, call.params)
    except Refusal as refusal:
        return refusal
    except Exception as error:
        return _meaning(error, view.chain_id)


def _meaning(error: Exception, chain_id: int) -> Refusal:
    """What the caller gets for a failure of the store; the log has the rest."""
    if isinstance(error, TimedOut):
        return Refusal(LIMIT_EXCEEDED, "the answer takes longer than it may: ask for less at once", ends_view=True)
    if isinstance(error, Busy):
        return Refusal(UNAVAILABLE, "the store is busy: try again", ends_view=True)
    _log.error("rpc_failed", chain=chain_id, error=_reason(error))
    if isinstance(error, DamagedBlock):
        return Refusal(INTERNAL_ERROR, sentence(error))
    return Refusal(INTERNAL_ERROR, "the store cannot answer: its operator finds the reason in the log")


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, TidelogError | ValueError) else f"{type(error).__name__}: {error}"


def _answered(call_id: bytes, outcome: bytes | Refusal | None) -> bytes:
    assert outcome is not None, "a call has a result or a refusal"
    if isinstance(outcome, Refusal):
        return envelope.refusal_bytes(call_id, outcome)
    return envelope.result_bytes(call_id, outcome)
