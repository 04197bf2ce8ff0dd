"""Be woken up by new heads: an eth_subscribe over WebSocket, reconnected for as long as the run lasts.

Only a wake-up: what it says is never believed, and a subscription that goes silent costs nothing but the
time to the next poll.
"""

import asyncio

from msgspec import Struct

from tidelog.backoff import delays
from tidelog.chain.endpoint.jsonrpc import Call, encode
from tidelog.config import EndpointUrl
from tidelog.errors import SourceError, Unreachable
from tidelog.net.websocket import PicoWebSocket, WebSocketTransport
from tidelog.runtime import Runtime
from tidelog.telemetry import logger

_log = logger("wakeup")


class HeadsLimits(Struct, frozen=True):
    """How long a subscription is waited for."""

    connect_s: float = 10.0
    silent_s: float = 300.0  # longer than any chain's pause between blocks: only the socket is alive


HEADS_LIMITS = HeadsLimits()


class HeadsWatcher:
    """Sets `wake` at every message of a newHeads subscription."""

    def __init__(
        self,
        url: EndpointUrl,
        runtime: Runtime,
        wake: asyncio.Event,
        transport: WebSocketTransport | None = None,
        limits: HeadsLimits = HEADS_LIMITS,
    ) -> None:
        self._limits = limits
        self._url = url
        self._runtime = runtime
        self._wake = wake
        self._transport = transport or PicoWebSocket()

    async def run(self) -> None:
        """Watch until cancelled."""
        pauses = delays(self._runtime.random("wakeup"))
        while True:
            try:
                await self._watch()
            except SourceError as error:
                reason = self._url.redact(error.reason)
                _log.info("wakeup_lost", endpoint=self._url.name, error=reason)
            if self._heard:
                pauses = delays(self._runtime.random("wakeup"))
            await self._runtime.sleep(next(pauses))

    async def _watch(self) -> None:
        self._heard = False
        socket = await self._transport.connect(self._url.reveal(), timeout_s=self._limits.connect_s)
        try:
            socket.send(encode([Call("eth_subscribe", ("newHeads",))]))
            while True:
                try:
                    async with asyncio.timeout(self._limits.silent_s):
                        await socket.receive()
                except TimeoutError:
                    raise Unreachable(f"no new head for {self._limits.silent_s:g} s") from None
                self._heard = True
                self._wake.set()
        finally:
            await socket.close()
