"""What a lie is, and the table of all of them; the modules beside this one fill it."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tidelog.sim.node.answers import Answer
from tidelog.sim.node.chain.methods import Held, Question

BLOCK = ("eth_getBlockByNumber", "eth_getBlockByHash")
SINGLE = ("eth_getTransactionReceipt", "eth_getTransactionByHash")
RECEIPTS = ("eth_getBlockReceipts", "eth_getTransactionReceipt")


class Asked(Struct, frozen=True):
    """One call and its true result, decoded afresh: a lie may change it in place."""

    question: Question
    result: Any
    block: Held | None
    rng: random.Random

    def seen_from(self, tip: Held) -> Any:
        """The result as a node with another tip gives it."""
        return msgspec.json.decode(self.question.seen_from(tip).answer().json)

    def behind(self, count: int) -> Held:
        """The block `count` below the tip."""
        tip = self.question.tip
        return self.question.chain.at(max(tip.number - count, 0), tip) or tip


class Exchange(Struct, frozen=True):
    """One HTTP request: its path and body, the moment in Unix seconds, the random source of the lie."""

    path: str
    body: bytes
    now: float
    rng: random.Random


CallLie = Callable[[Asked], Any]
ReplyLie = Callable[[Exchange, Answer], Answer]
PushLie = Callable[[Sequence[Held], random.Random], Sequence[Held]]


class Lie(Struct, frozen=True):
    """One switch. Exactly one of `call`, `reply` and `push` is there; `methods` belongs to `call`.

    What is `harmless` is no lie but an oddity: it says the same in other words.
    """

    name: str
    doc: str
    methods: tuple[str, ...] = ()  # empty: all
    call: CallLie | None = None
    reply: ReplyLie | None = None
    push: PushLie | None = None
    harmless: bool = False

    @property
    def last(self) -> tuple[bool, bool]:
        """The order in which they are told: oddities behind lies, other names behind other values."""
        return self.harmless, self.name == "odd_snake_case"


LIES: dict[str, Lie] = {}


def _doc(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").partition("\n")[0]


def on_call(*methods: str, harmless: bool = False) -> Callable[[CallLie], CallLie]:
    """Register a lie, or an oddity, about the results of these methods; none named: of all."""

    def register(function: CallLie) -> CallLie:
        LIES[function.__name__] = Lie(function.__name__, _doc(function), methods, call=function, harmless=harmless)
        return function

    return register


def on_reply(function: ReplyLie) -> ReplyLie:
    """Register a lie in the HTTP answer."""
    LIES[function.__name__] = Lie(function.__name__, _doc(function), reply=function)
    return function


def on_push(function: PushLie) -> PushLie:
    """Register a lie in what a newHeads subscriber is sent."""
    LIES[function.__name__] = Lie(function.__name__, _doc(function), push=function)
    return function
