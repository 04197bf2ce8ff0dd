"""An EVM node to test and play against: replicas over one chain, each with its lag, its branch and its lies.

Bytes in, `Answer` out; no socket, no clock. `server` puts it on real HTTP and WebSocket, `inprocess` behind
the HTTP port of the engine. Everything that is random comes from the seed, one source per lie.
"""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tidelog.sim.node.answers import Answer
from tidelog.sim.node.chain.methods import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Chain,
    Held,
    Question,
    Result,
    RpcError,
)
from tidelog.sim.node.control import Action, Controls, Schedule
from tidelog.sim.node.lies import LIES, Asked, Exchange, Lie
from tidelog.sim.node.lies.lie import BLOCK
from tidelog.sim.node.limits import (
    BATCH_ANSWER_TOO_LARGE,
    Limits,
    Meter,
    refused_as_a_whole,
    timed,
    too_soon,
)
from tidelog.sim.node.witness import Said, Statement, said

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
RESPONSE_TOO_LARGE = -32003  # go-ethereum's code

HEADS_ANNOUNCED_MAX = 256  # notifications for one change: a deep reorg announces its last blocks
CONTROL_PREFIX = "sim_"


class ActiveLie:
    """A lie that is switched on: when it is told, and what is left of it."""

    def __init__(
        self, lie: Lie, rng: random.Random, probability: float, times: int | None, blocks: Collection[int]
    ) -> None:
        self.lie = lie
        self.rng = rng
        self.probability = probability
        self.times = times  # how often it will still be told; None: for ever
        self.blocks = frozenset(blocks)  # only calls about these; empty: all

    def wants(self, block: Held | None = None) -> bool:
        """Whether to try the lie now. Draws a random number unless the probability is 1."""
        if self.times == 0 or (self.blocks and (block is None or block.number not in self.blocks)):
            return False
        return self.probability >= 1 or self.rng.random() < self.probability


class Replica:
    """One node behind the endpoint."""

    def __init__(self) -> None:
        self.lag = 0  # blocks behind its branch's end
        self.tip: bytes | None = None  # the end of the branch that it sits on; None: the canonical one
        self.active: dict[str, ActiveLie] = {}
        self.limits: Limits | None = None  # of its own
        self.meter = Meter()


class _Call(Struct, frozen=True):
    method: str
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # echoed as it came
    params: Any = msgspec.UNSET


_requests = msgspec.json.Decoder(list[msgspec.Raw])
_calls = msgspec.json.Decoder(_Call)


class SimNode:
    """A node, or several behind one address.

    Paths: `/replica-N/...` is replica N, `/balanced/...` any of them at random for each request, everything
    else, such as `/v2/KEY`, replica 0.
    """

    def __init__(
        self,
        chain: Chain,
        *,
        seed: int = 0,
        replicas: int = 1,
        limits: Limits | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        self.chain = chain
        self.limits = limits or Limits()
        self.replicas = tuple([Replica() for _ in range(replicas)])
        self.told: Counter[str] = Counter()  # how often each lie changed an answer
        self.requests: Counter[str] = Counter()  # calls by method
        self.sizeless: set[bytes] = set()  # hashes of the blocks that some answer gave in full, but for their size
        self._said: list[Said] = []  # in the answer that is being made
        self._seed = seed
        self._balancer = random.Random(f"{seed} balancer")
        self._controls = Controls(self, schedule or Schedule())

    def tell(
        self,
        name: str,
        *,
        replica: int | None = None,
        probability: float = 1.0,
        times: int | None = None,
        blocks: Collection[int] = (),
    ) -> None:
        """Switch a lie on.

        Args:
            replica: whose; None: everyone's.
            probability: the chance per call (or per request, or per notification) that it is told.
            times: after so many it stops by itself.
            blocks: only calls whose answer is about one of these block numbers.

        Raises:
            KeyError: there is no such lie.
        """
        lie = LIES[name]
        for index in range(len(self.replicas)) if replica is None else (replica,):
            rng = random.Random(f"{self._seed} {index} {name}")
            self.replicas[index].active[name] = ActiveLie(lie, rng, probability, times, blocks)

    def honest(self, replica: int | None = None) -> None:
        """Switch all lies off."""
        for one in self.replicas if replica is None else (self.replicas[replica],):
            one.active.clear()

    def act(self, action: Action) -> Any:
        """Carry out one `control` action; what it gives back is JSON. RpcError if it cannot be done."""
        return self._controls.act(action)

    def tick(self) -> None:
        """One block time has passed: grow the chain, and do what the schedule says."""
        self._controls.tick()

    def tip(self, replica: Replica) -> Held:
        """The head as this replica sees it."""
        end = self.chain.by_hash(replica.tip) if replica.tip else None
        head = end or self.chain.head
        return self.chain.at(max(head.number - replica.lag, 0), head) or head

    def route(self, path: str) -> Replica | None:
        """The replica that a path leads to; None if there is no such one."""
        first = path.strip("/").partition("/")[0]
        if first == "balanced":
            return self._balancer.choice(self.replicas)
        name, _, number = first.partition("-")
        if name != "replica" or not number.isdecimal():
            return self.replicas[0]
        return self.replicas[int(number)] if int(number) < len(self.replicas) else None

    def handle(self, path: str, body: bytes, *, now: float = 0.0) -> Answer:
        """Answer one POST; `now` is Unix time in seconds, for dates in headers."""
        replica = self.route(path)
        if replica is None:
            return Answer(404, b"no such replica", (("content-type", "text/plain"),))
        if len(body) > self._limits(replica).request_bytes:
            return Answer(413, b"content length too large", (("content-type", "text/plain"),))
        self._said, lies = [], self.told.total()
        answer = self._reply(replica, body, now)
        if self._said:
            answer = msgspec.structs.replace(answer, statement=Statement(tuple(self._said), self.told.total() == lies))
        for active in list(replica.active.values()):
            if active.lie.reply is None or not active.wants():
                continue
            changed = active.lie.reply(Exchange(path, body, now, active.rng), answer)
            if changed != answer:
                self._count(active)
                answer = changed
        return answer if self.told.total() == lies else _not_plain(answer)

    def announce(self, replica: Replica, last: bytes) -> tuple[list[bytes], bytes]:
        """The newHeads due to a subscriber who last knew the head `last`: headers, and the head now."""
        tip = self.tip(replica)
        known = self.chain.by_hash(last)
        heads: list[Held] = []
        block: Held | None = tip
        while block is not None and len(heads) < HEADS_ANNOUNCED_MAX:
            if block.hash == last or (known and self.chain.at(block.number, known) is block):
                break
            heads.append(block)
            block = self.chain.by_hash(block.parent_hash) if known else None
        told: Sequence[Held] = heads[::-1]
        for active in list(replica.active.values()):
            if told and active.lie.push is not None and active.wants():
                self._count(active)
                told = active.lie.push(told, active.rng)
        return [block.page.header for block in told], tip.hash

    def _limits(self, replica: Replica) -> Limits:
        return replica.limits or self.limits

    def _reply(self, replica: Replica, body: bytes, now: float) -> Answer:
        """The answer to one call, or to a batch."""
        try:
            is_batch = body.lstrip()[:1] == b"["
            requests = _requests.decode(body) if is_batch else [msgspec.json.decode(body, type=msgspec.Raw)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Answer(200, _error(b"null", RpcError(PARSE_ERROR, "parse error")))
        if not requests:
            return Answer(200, _error(b"null", RpcError(INVALID_REQUEST, "empty batch")))
        limits, methods = self._limits(replica), [_method_of(request) for request in requests]
        most = limits.batch_calls
        if is_batch and most is not None and len(requests) > most:
            replica.meter.asked += len(requests)
            replica.meter.refused += len(requests)
            words = "batch too large" if most > 1 else "batches are not supported"
            return Answer(200, b"[" + _error(_id_of(requests), RpcError(INVALID_REQUEST, words)) + b"]")
        served = replica.meter.room(limits, methods, now)
        if served < len(requests) and limits.refusal != "each":
            return refused_as_a_whole(limits)
        reply = self._answer_batch(replica, requests, served) if is_batch else self._alone(replica, requests[0], served)
        return timed(limits, methods, Answer(200, reply))

    def _alone(self, replica: Replica, request: msgspec.Raw, served: int) -> bytes:
        if not served:
            return _error(_id_of([request]), too_soon(self._limits(replica)))
        return self._bounded(replica, request, 0)

    def _answer_batch(self, replica: Replica, requests: Sequence[msgspec.Raw], served: int) -> bytes:
        """The answers to a batch, of which the first `served` calls are within the plan."""
        limits = self._limits(replica)
        replies: list[bytes] = []
        size = 0
        for request in requests[:served]:
            reply = self._answer(replica, request) if limits.as_a_whole else self._bounded(replica, request, size)
            size += len(reply)
            if reply:
                replies.append(reply)
        if limits.as_a_whole and limits.response_bytes is not None and size > limits.response_bytes:
            replica.meter.refused += len(requests)
            return _error(b"null", RpcError(BATCH_ANSWER_TOO_LARGE, "The batch response was too large"))
        replies += [_error(_id_of([request]), too_soon(limits)) for request in requests[served:]]
        return b"[" + b",".join(replies) + b"]" if replies else b""

    def _bounded(self, replica: Replica, request: msgspec.Raw, size: int) -> bytes:
        """The answer to one call, after `size` bytes of others: an error where they get too much."""
        reply = self._answer(replica, request)
        limit = self._limits(replica).response_bytes
        if limit is None or size + len(reply) <= limit:
            return reply
        replica.meter.refused += 1
        return _error(_id_of([request]), RpcError(RESPONSE_TOO_LARGE, "response too large"))

    def _answer(self, replica: Replica, request: msgspec.Raw) -> bytes:
        """The answer to one call; empty for a notification."""
        try:
            call = _calls.decode(request)
        except msgspec.DecodeError:
            return _error(b"null", RpcError(INVALID_REQUEST, "invalid request"))
        self.requests[call.method] += 1
        call_id = None if call.id is msgspec.UNSET else bytes(call.id)
        try:
            result = self._result(replica, call)
        except RpcError as error:
            return b"" if call_id is None else _error(call_id, error)
        told = said(call.method, call.params, result)
        if told is not None:
            self._said.append(told)
        return b"" if call_id is None else b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call_id, result)

    def _result(self, replica: Replica, call: _Call) -> bytes:
        params = () if call.params is msgspec.UNSET or call.params is None else call.params
        if not isinstance(params, list | tuple):
            raise RpcError(INVALID_PARAMS, "non-array args")
        if call.method.startswith(CONTROL_PREFIX):
            return self._controlled(call.method.removeprefix(CONTROL_PREFIX), params)
        question = Question(self.chain, self.tip(replica), call.method, params)
        result = question.answer()
        if not replica.active:
            return result.json
        return self._lied(replica, question, result)

    def _lied(self, replica: Replica, question: Question, truth: Result) -> bytes:
        """The truth, after every lie that this replica tells about it."""
        text = truth.json
        # what is said in other words comes last: a lie is made of the plain ones
        for active in sorted(replica.active.values(), key=lambda active: active.lie.last):
            lie = active.lie
            if lie.call is None or text == b"null" or (lie.methods and question.method not in lie.methods):
                continue
            if not active.wants(truth.block):
                continue
            asked = Asked(question, msgspec.json.decode(text), truth.block, active.rng)
            try:
                changed = lie.call(asked)
            except RpcError:
                self._count(active)
                raise
            if changed != msgspec.json.decode(text):
                self._count(active)
                text = msgspec.json.encode(changed)
                if truth.block is not None and _is_sizeless(question, changed):
                    self.sizeless.add(truth.block.hash)
        return text

    def _count(self, active: ActiveLie) -> None:
        self.told[active.lie.name] += 1
        if active.times is not None:
            active.times -= 1

    def _controlled(self, name: str, params: Sequence[Any]) -> bytes:
        try:
            action: Action = msgspec.convert([name, *params], type=Action)
        except msgspec.ValidationError as error:
            if "Invalid value" in str(error):  # the tag: no such action
                raise RpcError(METHOD_NOT_FOUND, f"the method sim_{name} does not exist/is not available")
            raise RpcError(INVALID_PARAMS, str(error))
        return msgspec.json.encode(self.act(action))


def _is_sizeless(question: Question, result: Any) -> bool:
    """Whether a result is a block with its transactions, and without the size that true ones have."""
    return question.method in BLOCK and question.flag(1) and isinstance(result, dict) and "size" not in result


def _not_plain(answer: Answer) -> Answer:
    """The answer, of which not all that it says of blocks is what the node would have said by itself."""
    told = answer.statement
    return answer if told is None else msgspec.structs.replace(answer, statement=Statement(told.said, plain=False))


def _method_of(request: msgspec.Raw) -> str:
    """The method of a call; empty if it is none."""
    try:
        return _calls.decode(request).method
    except msgspec.DecodeError:
        return ""


def _id_of(requests: Sequence[msgspec.Raw]) -> bytes:
    """The id of the first request that is a call."""
    for request in requests:
        try:
            call = _calls.decode(request)
        except msgspec.DecodeError:
            continue
        if call.id is not msgspec.UNSET:
            return bytes(call.id)
    return b"null"


def _error(call_id: bytes, error: RpcError) -> bytes:
    text = msgspec.json.encode({"code": error.code, "message": error.message})
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (call_id, text)
