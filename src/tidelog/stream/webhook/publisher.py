"""A backlog to a receiver: one signed POST a message, in order, each again until it is taken.

The place is kept beside the store after each change. A publisher that is killed sends the last one again, by the same
id: who keeps the ids of what he has taken has each once.
"""

from typing import NoReturn

from msgspec import Struct

from tidelog.backoff import delays
from tidelog.chain.forks.bookmarks import Ahead, Place, parse_place
from tidelog.config import EndpointUrl
from tidelog.errors import ConfigError, Unreachable
from tidelog.net.http import HttpTransport
from tidelog.runtime import Runtime
from tidelog.stream.backlog import Backlog, looked_at
from tidelog.stream.envelope import ID, PART, PLACE, lasting_id
from tidelog.stream.port import Message
from tidelog.stream.webhook.answers import Away, Gone, Refused, Taken, Verdict, verdict_on
from tidelog.stream.webhook.kept import Aside, Kept
from tidelog.stream.webhook.signing import signed_headers
from tidelog.telemetry import StreamFigures, logger

__all__ = ["WebhookLimits", "WebhookPublisher"]

_log = logger("stream")


class WebhookLimits(Struct, frozen=True):
    """How long an answer may take, and how often a message is sent."""

    answer_s: float = 15.0  # up to the head of the answer: its body is not read
    failures: int = 8  # that a receiver answers, before a message is put aside: within some two minutes
    first_s: float = 1.0  # between the first failure and the next try
    most_s: float = 60.0  # between two tries
    poll_s: float = 0.2  # between looks at a backlog that has nothing further
    look_s: float = 2.0  # between looks how far a backlog is, whether or not the receiver takes it
    payload_bytes: int = 900_000  # of a body and its headers: many servers take a megabyte


LIMITS = WebhookLimits()


class WebhookPublisher:
    """Sends a backlog, until it is cancelled.

    Args:
        url: of the receiver.
        key: of its secret.
        kept: its place, and what was put aside.
    """

    def __init__(
        self,
        backlog: Backlog,
        url: EndpointUrl,
        key: bytes,
        kept: Kept,
        http: HttpTransport,
        runtime: Runtime,
        *,
        metrics: StreamFigures | None = None,
        limits: WebhookLimits = LIMITS,
    ) -> None:
        self._backlog = backlog
        self._url = url
        self._key = key
        self._kept = kept
        self._http = http
        self._runtime = runtime
        self._metrics = metrics or StreamFigures()
        self._limits = limits
        self._waits = False  # for a backlog that ends before our place, and has said so

    async def run(self) -> NoReturn:
        """Send what there is and what comes, until it is cancelled.

        Raises:
            ConfigError: the receiver answers that it is gone.
            StoreError: the backlog was away for longer than the limit, or the state's file cannot be written.
            Corruption: it has a hole.
        """
        await looked_at(self._backlog, self._runtime, self._limits.look_s, self._run())

    async def _run(self) -> NoReturn:
        metrics = self._metrics
        place = self._kept.place
        metrics.published_seq, metrics.put_aside, metrics.connected = place.seq, self._kept.count(), True
        _log.info("webhook_publishing", source=self._backlog.source, receiver=self._url.name, after=place.seq)
        while True:
            for aside in self._kept.due():
                await self._send_again(aside)
            page = await self._backlog.next(place, self._limits.payload_bytes)
            self._tell_waiting(isinstance(page.verdict, Ahead), place.seq)
            for message in page.messages:
                place = await self._send(message) or place
                metrics.published_seq = place.seq
            if page.place != place:  # behind the last message there is what nothing is said of
                place = page.place
                self._kept.advance(place)
            metrics.published_seq = place.seq
            if page.until_us:
                metrics.published_us = page.until_us
            metrics.put_aside = self._kept.count()
            if not page.more:
                await self._runtime.sleep(self._limits.poll_s)

    async def _send(self, message: Message) -> Place | None:
        """Send a message until it is taken, or put it aside; the place that is kept with that, if one is."""
        number, _, count = message.headers[PART].partition("/")
        behind = parse_place(message.headers[PLACE]) if number == count else None
        refused = await self._delivered(message)
        if refused is not None:
            self._kept.put_aside(self._aside(message, refused), behind)
            _log.error(
                "webhook_put_aside", source=self._backlog.source, receiver=self._url.name, id=lasting_id(message),
                failures=self._limits.failures, reason=refused.reason,
            )  # fmt: skip
        elif behind is not None:
            self._kept.advance(behind)
        return behind

    async def _send_again(self, aside: Aside) -> None:
        refused = await self._delivered(aside.message)
        if refused is None:
            self._kept.forget(aside.id)
        else:
            self._kept.put_aside(self._aside(aside.message, refused), None)
        self._metrics.put_aside = self._kept.count()

    def _aside(self, message: Message, refused: Refused) -> Aside:
        at_us = int(self._runtime.now() * 1e6)
        return Aside(lasting_id(message), message, at_us, self._limits.failures, refused.reason, False)

    async def _delivered(self, message: Message) -> Refused | None:
        """None: it was taken. The last refusal: it was refused so often that it is put aside."""
        limits, failures = self._limits, 0
        pauses = delays(self._runtime.random("stream"), first_s=limits.first_s, max_s=limits.most_s)
        while True:
            said = await self._post(message)
            if isinstance(said, Taken):
                self._metrics.connected = True
                self._metrics.messages += 1
                return None
            if isinstance(said, Gone):
                raise ConfigError(
                    f"the receiver at {self._url.name} answers 410: it wants no more messages; give another URL, or "
                    "leave the webhook out"
                )
            pause_s = next(pauses)
            if isinstance(said, Away):
                if self._metrics.connected is not False:
                    _log.warning("stream_away", source=self._backlog.source, stream=self._url.name, error=said.reason)
                self._metrics.connected = False
                pause_s = max(pause_s, said.after_s)
            else:
                self._metrics.connected = True
                failures += 1
                if failures >= limits.failures:
                    return said
                _log.warning(
                    "webhook_refused", source=self._backlog.source, receiver=self._url.name, id=lasting_id(message),
                    failures=failures, reason=said.reason,
                )  # fmt: skip
            await self._runtime.sleep(pause_s)

    async def _post(self, message: Message) -> Verdict:
        """One attempt."""
        headers = {name: text for name, text in message.headers.items() if name != ID}
        headers |= signed_headers(self._key, lasting_id(message), int(self._runtime.now()), message.payload)
        try:
            async with self._http.post(
                self._url.reveal(), message.payload, headers=headers, timeout_s=self._limits.answer_s
            ) as response:
                return verdict_on(response.status, response.headers)
        except Unreachable as error:
            return Away(self._url.redact(str(error)))

    def _tell_waiting(self, waits: bool, seq: int) -> None:
        if waits and not self._waits:
            _log.warning(
                "stream_ahead", source=self._backlog.source, stream=self._url.name, seq=seq, stored=self._backlog.last
            )
        self._waits = waits
