"""NATS JetStream behind the port for streams. Needs `tidelog[nats]`.

The connection does not mend itself: after any fault another one is made, and what the stream has is read again.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import ParseResult, SplitResult, urlsplit

import msgspec
from msgspec import Struct

from tidelog.config import EndpointUrl
from tidelog.errors import ConfigError, Rejected, Unreachable
from tidelog.stream.durable import Kept
from tidelog.stream.envelope import ID
from tidelog.stream.login import Login, options_of, refuse_seed
from tidelog.stream.naming import judge_stream
from tidelog.stream.port import Ends, Message, Moved, Stored, StreamSettings

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

__all__ = ["JetStream", "NatsLimits"]

PORTS = {"nats": 4222, "tls": 4222, "ws": 80, "wss": 443}  # by scheme, of a server whose address names none
EXPECTED_LAST, EXPECTED_LAST_ID = "Nats-Expected-Last-Sequence", "Nats-Expected-Last-Msg-Id"
EXPECTED_STREAM, STATUS = "Nats-Expected-Stream", "Status"
EXPECTED_LAST_OF_SUBJECT = "Nats-Expected-Last-Subject-Sequence"
PLACES, PLACES_SUBJECT = "tidelog-places", "tidelog.places"  # of readers by name
WRONG_LAST = (10070, 10071)  # the server's own numbers of these errors: by id, by sequence
NEVER = -1  # the sequence of no message
ACCOUNT_WITHOUT_JETSTREAM = (10039, 10076)
# an invalid configuration, subjects of another stream, replicas without a cluster
NEVER_MADE = (10052, 10065, 10074)
FOREVER = 0
NO_LIMIT = -1


class NatsLimits(Struct, frozen=True):
    """How long an answer may take, and how much is asked for at once."""

    connect_s: float = 5.0
    answer_s: float = 10.0  # a cluster elects a leader in less
    silence_s: float = 2.0  # without messages, then the reader looks whether the stream is what it was
    batch: int = 256  # messages of one request


LIMITS = NatsLimits()


class JetStream:
    """A stream of a NATS server.

    Args:
        servers: one server, or several of one cluster.
        settings: of the stream.
    """

    def __init__(
        self,
        servers: Sequence[str],
        settings: StreamSettings,
        login: Login | None = None,
        limits: NatsLimits = LIMITS,
    ) -> None:
        self._servers = [EndpointUrl(server, schemes=tuple(PORTS)) for server in servers]
        if not self._servers:
            raise ConfigError("no NATS server is given")
        judge_stream(settings)
        self._connected: EndpointUrl | None = None  # the one that it talks to, or talked to last
        self._settings = settings
        self._login = login or Login()
        self._limits = limits
        _client_library()

    @property
    def name(self) -> str:
        return f"stream {self._settings.name} at {self.server}"

    @property
    def server(self) -> str:
        """The server that it talks to, or talked to last; before that all of them. Without secrets."""
        return ", ".join(server.name for server in self._servers) if self._connected is None else self._connected.name

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["JetStreamSession"]:
        with self.translated():
            async with asyncio.timeout(self._limits.connect_s * len(self._servers) + self._limits.answer_s):
                client = await self._client()
        try:
            yield JetStreamSession(self, client, self._settings, self._limits)
        finally:
            with suppress(Exception):  # it is of no use any more, whatever it says
                async with asyncio.timeout(self._limits.connect_s):
                    await client.close()

    async def _client(self) -> "Client":
        from nats.aio.client import Client
        from nats.errors import Error, NoServersError

        options = options_of(self._login) | {"connect_timeout": self._limits.connect_s}
        client, self._connected = Client(), None
        last: list[Exception] = []

        async def note(error: Exception) -> None:
            last[:] = [error]  # later on, what goes wrong is raised where it is asked for

        try:
            await client.connect(
                [server.reveal() for server in self._servers],
                name="tidelog",
                allow_reconnect=False,
                max_reconnect_attempts=1,  # without it, a server that refuses is tried again until our own time is up
                reconnect_time_wait=0,
                error_cb=note,
                **options,
            )
        except BaseException as error:
            if (transport := getattr(client, "_transport", None)) is not None:
                transport.close()  # the library leaves it open, and its own `close` waits for the server
            if not isinstance(error, OSError | Error):
                refuse_seed(self._login, error)
            if isinstance(error, NoServersError) and last and isinstance(last[0], OSError | Error):
                raise last[0] from None  # why the last of them could not be had
            raise
        self._connected = self._named(client)
        return client

    def _named(self, client: "Client") -> EndpointUrl:
        """Which of the servers the library has chosen, by chance. The first, where it is one that the cluster named."""
        url = client.connected_url
        assert url is not None
        chosen = _host_of(url)
        return next((each for each in self._servers if _host_of(urlsplit(each.reveal())) == chosen), self._servers[0])

    @contextmanager
    def translated(self) -> Iterator[None]:
        """The library's errors as ours, without secrets."""
        from nats.errors import Error
        from nats.js.errors import APIError

        try:
            yield
        except TimeoutError:  # nats' own is one
            raise Unreachable("no answer in time", endpoint=self.server) from None
        except APIError as error:
            words = self.redact(error.description or type(error).__name__)
            if error.err_code in ACCOUNT_WITHOUT_JETSTREAM:
                raise ConfigError(f"{self.server}: {words}: start the server with JetStream") from None
            raise Unreachable(words, endpoint=self.server) from None
        except (Error, OSError) as error:
            words = self.redact(str(error) or type(error).__name__)
            if "authorization violation" in words.lower() or "authentication" in words.lower():
                raise ConfigError(f"{self.server} refuses the credentials: {words}") from None
            raise Unreachable(words, endpoint=self.server) from None

    def redact(self, text: str) -> str:
        """The text without secrets."""
        for server in self._servers:
            text = server.redact(text)
        return text if self._login.token is None else text.replace(self._login.token, "***")


class JetStreamSession:
    """A connection to a server, and one stream of it."""

    def __init__(self, owner: JetStream, client: "Client", settings: StreamSettings, limits: NatsLimits) -> None:
        self._translated = owner.translated
        self._redact = owner.redact
        self._name = owner.server
        self._client = client
        self._js: JetStreamContext = client.jetstream(timeout=limits.answer_s)
        self._settings = settings
        self._limits = limits
        self._message_max = NO_LIMIT  # of this stream, headers included; the server has its own

    @property
    def payload_max(self) -> int:
        server = self._client.max_payload
        return server if self._message_max <= NO_LIMIT else min(server, self._message_max)

    async def ensure(self) -> None:
        from nats.js.errors import NotFoundError

        with self._translated():
            try:
                info = await self._js.stream_info(self._settings.name)
            except NotFoundError:
                await self._make()
                return
        _require(info.config, self._settings)
        self._message_max = info.config.max_msg_size or NO_LIMIT

    async def _make(self) -> None:
        from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
        from nats.js.errors import APIError

        wanted = self._settings
        try:
            await self._js.add_stream(
                StreamConfig(
                    name=wanted.name,
                    subjects=[f"{wanted.subjects}.>"],
                    retention=RetentionPolicy.LIMITS,
                    storage=StorageType.FILE,
                    discard=DiscardPolicy.OLD,
                    num_replicas=wanted.limits.replicas,
                    max_bytes=NO_LIMIT if wanted.limits.bytes_max is None else wanted.limits.bytes_max,
                    max_age=FOREVER if wanted.limits.age_max_s is None else wanted.limits.age_max_s,
                    allow_direct=False,  # what is read back has to be the leader's word
                )
            )
        except APIError as error:
            if error.err_code in NEVER_MADE:
                said = self._redact(error.description or "")
                raise ConfigError(f"{self._name} refuses to make the stream {wanted.name}: {said}") from None
            raise

    async def ends(self) -> Ends | None:
        from nats.js.errors import NotFoundError

        with self._translated():
            try:
                state = (await self._js.stream_info(self._settings.name)).state
            except NotFoundError:
                return None
        if state.messages == 0:
            return Ends(state.last_seq + 1, state.last_seq)
        return Ends(state.first_seq, state.last_seq)

    async def get(self, sequence: int) -> Stored | None:
        from nats.js.errors import NotFoundError

        with self._translated():
            try:
                found = await self._js.get_msg(
                    self._settings.name, sequence, subject=f"{self._settings.subjects}.>", next=True
                )
            except NotFoundError:
                return None
        assert found.seq is not None
        return Stored(found.seq, dict(found.headers or {}), found.data or b"")

    async def since(self, at_us: int) -> int:
        from nats.js.api import DeliverPolicy

        at = datetime.fromtimestamp(at_us / 1e6, UTC)
        with self._translated():
            reader = await self._reader(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=at)
            try:
                (found,) = await reader.fetch(1, timeout=self._limits.silence_s)
            except TimeoutError:
                ends = await self.ends()
                return 1 if ends is None else ends.last + 1
            finally:
                await reader.unsubscribe()
        return int(found.metadata.sequence.stream)

    async def kept(self, name: str) -> Kept | None:
        """See `DurableSession`."""
        from nats.js.errors import NotFoundError

        with self._translated():
            try:
                found = await self._js.get_last_msg(PLACES, self._place_subject(name))
            except NotFoundError:
                return None
        try:
            said = msgspec.json.decode(found.data or b"", type=Kept)
        except msgspec.MsgspecError as error:
            raise Rejected(f"message {found.seq} of the stream {PLACES} is no place of tidelog's: {error}") from None
        return msgspec.structs.replace(said, revision=found.seq or 0)

    async def keep(self, name: str, kept: Kept) -> int:
        """See `DurableSession`. The stream of places is made with the first of them."""
        from nats.js.errors import APIError, NoStreamResponseError

        headers = {EXPECTED_LAST_OF_SUBJECT: str(kept.revision), EXPECTED_STREAM: PLACES}
        subject, payload = self._place_subject(name), msgspec.json.encode(kept)
        with self._translated():
            try:
                try:
                    return (await self._js.publish(subject, payload, headers=headers)).seq
                except NoStreamResponseError:
                    await self._make_places()
                    return (await self._js.publish(subject, payload, headers=headers)).seq
            except APIError as error:
                if error.err_code in WRONG_LAST:
                    raise Moved from None
                raise

    def _place_subject(self, name: str) -> str:
        return f"{PLACES_SUBJECT}.{self._settings.name}.{name}"

    async def _make_places(self) -> None:
        from nats.js.api import StorageType, StreamConfig
        from nats.js.errors import NotFoundError

        try:
            replicas = (await self._js.stream_info(self._settings.name)).config.num_replicas
        except NotFoundError:
            replicas = None
        await self._js.add_stream(
            StreamConfig(
                name=PLACES,
                subjects=[f"{PLACES_SUBJECT}.>"],
                storage=StorageType.FILE,
                max_msgs_per_subject=1,
                num_replicas=replicas or 1,
                allow_direct=False,
            )
        )

    async def publish(self, messages: Sequence[Message], after: int) -> int:
        """See the port. All are sent before the first is answered; each names the one before it.

        By its number, and by its id: after one that is refused, another publisher's may have the number.
        """
        with self._translated():
            inbox = self._client.new_inbox()
            answers = await self._client.subscribe(f"{inbox}.*")
            try:
                previous: str | None = None
                for nth, message in enumerate(messages):
                    headers = message.headers | {
                        EXPECTED_LAST: str(after + nth),
                        EXPECTED_STREAM: self._settings.name,
                    }
                    if previous is not None:
                        headers[EXPECTED_LAST_ID] = previous
                    previous = message.headers[ID]
                    await self._client.publish(
                        message.subject, message.payload, reply=f"{inbox}.{nth}", headers=headers
                    )
                async with asyncio.timeout(self._limits.answer_s):
                    found = [_answer(await answers.next_msg(timeout=None)) for _ in messages]
            finally:
                await answers.unsubscribe()
        found.sort(key=lambda answer: answer.nth)
        for answer in found:
            if answer.sequence is None:
                raise Unreachable(self._redact(answer.words), endpoint=self._name)
            if answer.sequence != after + 1 + answer.nth:  # refused, or there already, at another place
                raise Moved
        return after + len(messages)

    async def read(self, first: int) -> AsyncGenerator[list[Stored], None]:
        from nats.js.api import DeliverPolicy

        with self._translated():
            reader = await self._reader(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=first)
        try:
            while True:
                with self._translated():
                    try:
                        found = await reader.fetch(self._limits.batch, timeout=self._limits.silence_s)
                    except TimeoutError:
                        if not self._client.is_connected:
                            raise
                        found = []
                yield [Stored(each.metadata.sequence.stream, dict(each.headers or {}), each.data) for each in found]
        finally:
            with suppress(Exception):  # the server forgets it by itself
                await reader.unsubscribe()

    async def _reader(self, **where: Any) -> Any:
        """A consumer that the server forgets: where we are is ours to know."""
        from nats.js.api import AckPolicy, ConsumerConfig

        return await self._js.pull_subscribe(
            f"{self._settings.subjects}.>",
            stream=self._settings.name,
            config=ConsumerConfig(
                ack_policy=AckPolicy.NONE,
                inactive_threshold=60.0,
                mem_storage=True,
                num_replicas=1,
                **where,
            ),
        )


class _Answer(NamedTuple):
    """What the server says to one published message."""

    nth: int  # of the messages
    sequence: int | None  # that it has; NEVER: it was refused, since another one is the last; None: see `words`
    words: str = ""


def _answer(said: "Msg") -> _Answer:
    nth = int(said.subject.rpartition(".")[2])
    if (said.headers or {}).get(STATUS) == "503":
        return _Answer(nth, None, "no stream takes the subject")
    try:
        found = msgspec.json.decode(said.data, type=_PubAck)
    except msgspec.MsgspecError as error:
        return _Answer(nth, None, f"an acknowledgement that cannot be read: {error}")
    if found.error is None:
        return _Answer(nth, found.seq)
    return _Answer(nth, NEVER if found.error.err_code in WRONG_LAST else None, found.error.description)


class _ApiError(Struct):
    err_code: int = 0
    description: str = ""


class _PubAck(Struct):
    seq: int = 0
    error: _ApiError | None = None


def _require(found: Any, wanted: StreamSettings) -> None:
    """ConfigError where a stream that is there is not what is wanted."""
    subjects = f"{wanted.subjects}.>"

    def refuse(what: str, advice: str) -> None:
        raise ConfigError(f"the stream {wanted.name} {what}: {advice}, or publish to another --stream")

    if found.subjects != [subjects]:
        refuse(f"takes {', '.join(found.subjects or [])} instead of {subjects}", "delete it")
    if str(found.storage) != "file":
        refuse("is kept in memory", "make it one on files")
    if str(found.retention) != "limits":
        refuse(f"forgets messages by {found.retention}", "make it one with limits alone")
    if (found.max_msgs_per_subject or NO_LIMIT) > NO_LIMIT:
        refuse(
            f"keeps {found.max_msgs_per_subject} messages of a subject, and so drops some between others", "lift that"
        )
    limits = (found.max_msgs, found.max_bytes)
    if str(found.discard) == "new" and any((limit or NO_LIMIT) > NO_LIMIT for limit in limits):
        refuse("takes no more messages once it is full (discard: new)", "let it drop the oldest (discard: old)")
    if (found.num_replicas or 1) < wanted.limits.replicas:
        refuse(f"is on {found.num_replicas} servers instead of {wanted.limits.replicas}", "give it more replicas")
    bytes_max, age_max_s = wanted.limits.bytes_max, wanted.limits.age_max_s
    if bytes_max is not None and 0 < (found.max_bytes or 0) < bytes_max:
        refuse(f"keeps {found.max_bytes} bytes instead of {bytes_max}", "let it keep more")
    if age_max_s is not None and 0 < (found.max_age or 0) < age_max_s:
        refuse(f"keeps messages for {found.max_age:g} s instead of {age_max_s}", "let it keep them longer")


def _host_of(url: SplitResult | ParseResult) -> tuple[str | None, int | None]:
    """The library gives a port to some addresses, not to a WebSocket's."""
    return url.hostname, url.port or PORTS.get(url.scheme)


def _client_library() -> None:
    try:
        import nats  # noqa: F401
    except ImportError:
        raise ConfigError("streams need nats-py: pip install 'tidelog[nats]'") from None
