"""A recording of private channels under simulation, by a program of its own beside the one of the public channels.

Feed, session, tokens and journal are those of production; there is nothing to load, as no table holds an account.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from tidelog.errors import Unreachable
from tidelog.market.journal.reader import JournalReader
from tidelog.market.kraken.auth import ApiKey
from tidelog.market.kraken.urls import REST_URL
from tidelog.market.live.feed import Feed
from tidelog.market.live.limits import FeedLimits
from tidelog.market.live.tokens import RestTokens
from tidelog.market.replay.position import events_after
from tidelog.net.http import HttpResponse
from tidelog.sim.exchange import SimExchange
from tidelog.sim.exchange.protocol.tokens import API_KEY, API_SECRET
from tidelog.sim.exchange.wire.rest import DENIALS, ExchangeRest
from tidelog.sim.oracle.chain import require
from tidelog.sim.runs.account_oracle import every_happening
from tidelog.sim.runs.transport import CheckedTransport, CheckedWire
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.supervisor import Supervisor
from tidelog.sim.world.world import Process, World

LATENCY_S = 0.05  # of a request for a token
GOING_AWAY = 1001


class PrivateRun:
    """The account's channels of one scenario, and who records them."""

    def __init__(
        self,
        world: World,
        exchange: SimExchange,
        protocol: str,
        channels: tuple[str, ...],
        journal: str,
        transport: CheckedTransport,
        limits: FeedLimits,
    ) -> None:
        self.channels = channels
        self.transport = transport
        self._limits = limits
        self.denial: str | None = None  # instead of tokens; see `rest.DENIALS`
        self.feed: Feed | None = None
        self._world = world
        self._exchange = exchange
        self._protocol = protocol
        self._journal = journal
        self._stop: asyncio.Event | None = None
        self._whole_us = 0  # when it was found whole first, after it was settled, by the exchange's clock

    def keep(self, on_killed: Callable[[], None]) -> Supervisor:
        """Keep the program running from now on."""

        def ended(process: Process, killed: bool) -> None:
            self.transport.gone(process, killed)
            if killed:
                on_killed()

        return Supervisor(self._world, "private", self._main, on_end=ended)

    async def _main(self, process: Process) -> None:
        runtime = SimRuntime(process)
        key, rest = ApiKey(API_KEY, API_SECRET), _NetworkRest(self, ExchangeRest(self._exchange), process, runtime)
        feed = Feed(
            [],
            self.channels,
            journal=self._journal,
            protocol=self._protocol,
            url=f"ws://ws-auth.exchange/{'v2' if self._protocol == 'v2' else ''}",
            tokens=RestTokens(key, rest, runtime, REST_URL),
            runtime=runtime,
            transport=CheckedWire(self.transport, process, runtime, lambda symbol, levels: None),
            vfs=process.mount.name,
            limits=self._limits,
        )
        stop = asyncio.Event()
        try:
            async with feed:
                self.feed, self._stop = feed, stop
                tasks = [asyncio.create_task(stop.wait()), asyncio.create_task(feed.finished())]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            if self.feed is feed:
                self.feed = self._stop = None

    def stop(self) -> None:
        """Ask the program to end in order."""
        if self._stop is not None:
            self._stop.set()

    def settle(self) -> None:
        """Nothing goes wrong any more, from now on.

        That a private channel has gone silent cannot be told from an account that is quiet: where the exchange has
        forgotten a subscription, it ends the connection.
        """
        self.denial = None
        for session in tuple(self._exchange.sessions):
            stalled = [one for one in session.subscriptions.values() if one.stalled]
            if any(one.key.channel in self.channels for one in stalled):
                session.close(GOING_AWAY)
        self._whole_us = 0

    def is_whole(self) -> bool:
        """Every channel is acknowledged. From the first time that this is so, everything has to be reported."""
        progress = None if self.feed is None else self.feed.progress
        whole = progress is not None and progress.subscriptions == progress.held == len(self.channels)
        if whole and not self._whole_us:
            self._whole_us = self._exchange.now_us
        return whole

    def judge(self, vfs: str, *, bits_flip: bool) -> None:
        """What the journal tells, at the end."""
        for token, shown in self._exchange.tokens.refused.items():
            require(shown <= len(self.channels), f"a token that was refused is not shown again: {token}, {shown} times")
        reader = JournalReader(self._journal, vfs)
        try:
            every_happening(
                events_after(reader), self.channels, self._exchange.account, self._whole_us, bits_flip=bits_flip
            )
        finally:
            reader.close()


class _NetworkRest:
    """`HttpTransport` of one process to where tokens are had."""

    def __init__(self, run: PrivateRun, inner: ExchangeRest, process: Process, runtime: SimRuntime) -> None:
        self._run = run
        self._inner = inner
        self._process = process
        self._rng = runtime.random("rest")
        self._reached = runtime.reached

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[HttpResponse]:
        self._process.check()
        self._process.world.trace.add(f"ask for a token {hashlib.sha256(body).hexdigest()[:16]}")
        await asyncio.sleep(self._rng.random() * LATENCY_S)
        self._process.check()
        self._reached("token")
        if self._run.transport.refusing:
            raise Unreachable("no connection (refused)")
        self._inner.denial = None if self._run.denial is None else DENIALS[self._run.denial]
        async with self._inner.post(url, body, headers=headers, timeout_s=timeout_s) as response:
            yield response
        self._process.check()

    async def close(self) -> None:
        self._process.check()
