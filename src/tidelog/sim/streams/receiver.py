"""A receiver of webhooks, which lives on when their publisher dies; and what comes to it over a network that fails.

It keeps what came as whoever wants each change once has to: by the ids, in the order in which they came first. What
comes after a place that it has passed tells that the store, or the publisher's state, went back: what was behind that
place is undone, and its ids are forgotten.
"""

import asyncio
import hmac
import random
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct

from tidelog.errors import Overloaded, Unreachable
from tidelog.net.http import HttpResponse
from tidelog.sim.world.world import Process
from tidelog.stream.port import Stored

__all__ = ["ANSWERS", "ReceiverHttp", "SimReceiver"]

ANSWERS = ("refused", "busy", "late", "lost", "twice")
LATENCY_S = 0.02  # each way, at most
REFUSALS = (302, 400, 401, 404, 500)
BUSY: tuple[tuple[int, dict[str, str]], ...] = (
    (429, {"retry-after": "3"}),
    (503, {"retry-after": "soon"}),
    (503, {}),
    (502, {}),
    (504, {}),
)


class _Had(Struct):
    """A message that came."""

    id: str
    said: Stored
    taken: bool  # else it was refused, and comes again

    @property
    def is_last_part(self) -> bool:
        number, _, count = self.said.headers["Tidelog-Part"].partition("/")
        return number == count


class SimReceiver:
    """The receiver. `answers` are the next ones, then it takes whatever comes."""

    def __init__(self, key: bytes, rng: random.Random, violated: Callable[[str], None]) -> None:
        self.away = False
        self.answers: deque[str] = deque()  # of ANSWERS
        self._key = key
        self._rng = rng
        self._violated = violated
        self._had: list[_Had] = []
        self._undone: set[str] = set()
        self._resets: set[str] = set()

    @property
    def stream(self) -> list[Stored]:
        """What it has taken, and did not have to undo."""
        return [had.said for had in self._had if had.taken]

    def honest(self) -> None:
        """It takes whatever comes."""
        self.away = False
        self.answers.clear()

    def arrives(self, headers: Mapping[str, str], body: bytes, *, taken: bool) -> None:
        """A message is there: it is taken, or refused."""
        identity = headers["webhook-id"]
        signed = b".".join((identity.encode(), headers["webhook-timestamp"].encode(), body))
        mac = b64encode(hmac.digest(self._key, signed, "sha256")).decode()
        if headers["webhook-signature"] != f"v1,{mac}":
            self._violated("a webhook is signed by its secret")
        said = Stored(len(self._had) + 1, dict(headers), body)
        known = next((had for had in self._had if had.id == identity), None)
        if known is not None:
            known.said, known.taken = said, known.taken or taken
        elif identity not in self._resets:
            self._hear(_Had(identity, said, taken))

    def _hear(self, had: _Had) -> None:
        """What was never seen, or undone since."""
        headers = had.said.headers
        if msgspec.json.decode(had.said.payload).get("kind") == "reset":
            self._resets.add(had.id)
            self._go_back(headers["Tidelog-Place"])
            return
        if headers["Tidelog-After"] != self._place(len(self._had)):
            if had.id in self._undone:  # it was put aside before what it says was undone
                return
            self._go_back(headers["Tidelog-After"])
        if headers["Tidelog-Part"].startswith("1/"):  # also where what was begun is begun anew, in another cut
            while self._had and not self._had[-1].is_last_part:
                self._undone.add(self._had.pop().id)
        self._had.append(had)

    def _place(self, count: int) -> str:
        """The place behind so many messages."""
        if count == 0:
            return "0"
        last = self._had[count - 1]
        return last.said.headers["Tidelog-Place" if last.is_last_part else "Tidelog-After"]

    def _go_back(self, place: str) -> None:
        count = next((count for count in range(len(self._had), -1, -1) if self._place(count) == place), None)
        if count is None:
            self._violated(f"a webhook continues what its receiver has, or a place that it has passed: not {place}")
            return
        self._undone |= {had.id for had in self._had[count:]}
        del self._had[count:]

    def answered(self) -> tuple[str, int, dict[str, str]]:
        """How the next request is answered: of ANSWERS or "taken", and the answer, where there is one."""
        how = self.answers.popleft() if self.answers else "taken"
        if how == "refused":
            return how, self._rng.choice(REFUSALS), {}
        if how == "busy":
            return how, *self._rng.choice(BUSY)
        return how, self._rng.choice((200, 204)), {}


class _Head(Struct, frozen=True):
    """Of an answer: its body is not read."""

    status: int
    headers: Mapping[str, str]

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b""


class ReceiverHttp:
    """`HttpTransport` of one process to the receiver."""

    def __init__(self, receiver: SimReceiver, process: Process) -> None:
        self._receiver = receiver
        self._process = process
        self._rng = process.world.random(f"{process.name} receiver")

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[HttpResponse]:
        process, receiver = self._process, self._receiver
        process.check()
        await asyncio.sleep(self._rng.random() * LATENCY_S)
        process.check()
        if receiver.away:
            raise Unreachable("no connection (refused)")
        how, status, said = receiver.answered()
        process.world.trace.add(f"posted {headers['webhook-id']} {how} {status}")
        if how not in ("lost", "busy"):
            for _ in range(2 if how == "twice" else 1):  # somebody between them sends it again
                receiver.arrives(headers, body, taken=how != "refused")
        if how in ("lost", "late"):
            await asyncio.sleep(timeout_s)
            process.check()
            raise Overloaded(f"no complete answer within {timeout_s:g} s")
        await asyncio.sleep(self._rng.random() * LATENCY_S)
        process.check()
        yield _Head(status, said)
        process.check()

    async def close(self) -> None:
        self._process.check()
