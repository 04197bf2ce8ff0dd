"""The schema of tidelog.toml. Knows no file and starts nothing.

A key that an option of `chain sync`, `market record` or `serve` has too has its name, its meaning and its default.
"""

import os
from contextlib import suppress
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from msgspec import Meta, Struct, field

from tidelog.api.http.options import ApiOptions
from tidelog.chain.sync.defaults import BEHIND_BLOCKS, POLL_S, REORG_PATIENCE_S
from tidelog.cli.run.file.shards import shards_here
from tidelog.cli.run.file.streams import StreamSettings
from tidelog.cli.sources.contracts import CONTRACTS_MAX, ContractSettings
from tidelog.config import Duration, FilePath, Name, PeerUrl, Reading, Secret, Size, are_hosts
from tidelog.config.values import Pause, SocketUrl
from tidelog.errors import ConfigError
from tidelog.market.kraken.urls import REST_URL
from tidelog.market.load.expiry import KEEP_DAYS_MAX, KEEP_DAYS_MIN
from tidelog.market.shards.layout import SHARDS_MAX

__all__ = ["API", "SUPERVISOR", "ApiSettings", "ChainSettings", "MarketSettings", "Settings", "StoreUrl"]

API = "api"  # the name of the API's process
SUPERVISOR = "supervisor"  # and of the one that starts the others
JOURNAL_BYTES_MIN = 1024 * 1024  # below that a journal of a busy market holds seconds
RPC_RATE_MIN, RPC_RATE_MAX = 0.01, 1e6  # calls a second, as `chain sync --rpc-rate` takes
SOURCES_MAX = 64  # a process each, some 100 MB: more is a job for several machines

Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
ShardCount = Annotated[int, Meta(ge=1, le=SHARDS_MAX)]
Days = Annotated[float, Meta(gt=0, le=KEEP_DAYS_MAX)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
StoreDays = Annotated[float, Meta(ge=KEEP_DAYS_MIN, le=KEEP_DAYS_MAX)]

_SQLITE = "sqlite:///"
_defaults = ApiOptions()


class StoreUrl(Secret):
    """The store's URL, which may have a password; a relative path of a SQLite file is relative to the data folder."""

    __slots__ = ()
    wanted = 'a store, such as "sqlite:///tidelog.db" or "postgresql://user@host/name"'

    @classmethod
    def judged(cls, text: str, reading: Reading) -> str:
        scheme, separator, _ = text.partition("://")
        if not separator or scheme not in ("sqlite", "postgresql", "postgres"):
            raise ValueError(f"give {cls.wanted}")
        with suppress(ConfigError, ValueError):
            if scheme == "sqlite":
                from tidelog.store.sqlite.connection import path_of

                return _SQLITE + os.path.join(reading.folder, path_of(text))
            if are_hosts(urlsplit(text).netloc.rpartition("@")[2]):
                return text
        raise ValueError(f"give {cls.wanted}")

    @classmethod
    def exposed(cls, given: str) -> bool:
        try:
            password = urlsplit(given).password
        except ValueError:
            return True
        return bool(password) and super().exposed(password or "")

    def shown(self) -> str:
        text = self.reveal()
        if text.startswith(_SQLITE):
            return text
        try:
            parts = urlsplit(text)
            if parts.password is None and not parts.query:
                return text
            host = parts.netloc.rpartition("@")[2]
        except ValueError:
            return "***"
        user = (
            f"{parts.username}:***@" if parts.password is not None else f"{parts.username}@" if parts.username else ""
        )
        return urlunsplit((parts.scheme, user + host, parts.path, "***" if parts.query else "", ""))

    def by_default(self) -> str:
        return self.reveal()


class RpcUrl(PeerUrl):
    """An endpoint: its URL, or a table that says beside it what the plan allows."""

    __slots__ = ("batch", "rate")
    wanted = 'a URL, such as "https://host/path", or {url = "https://host/path", rate = 25, batch = 10}'

    rate: float | None  # calls a second
    batch: int | None  # calls a request

    def __init__(self, text: str, rate: float | None = None, batch: int | None = None) -> None:
        super().__init__(text)
        self.rate = rate
        self.batch = batch

    @classmethod
    def read(cls, given: object, reading: Reading) -> Self:
        if not isinstance(given, dict):
            return super().read(given, reading)
        unknown = sorted(given.keys() - {"url", "rate", "batch"})
        if unknown:
            raise ValueError(f"there is no key {unknown[0]} in it; there are url, rate and batch")
        rate, batch = given.get("rate"), given.get("batch")
        if rate is not None and (type(rate) not in (int, float) or not RPC_RATE_MIN <= rate <= RPC_RATE_MAX):
            raise ValueError(f"rate: give {RPC_RATE_MIN:g} to {RPC_RATE_MAX:g} calls a second")
        if batch is not None and (type(batch) is not int or batch < 1):
            raise ValueError("batch: give 1 or more calls a request")
        return cls(super().read(given.get("url"), reading).reveal(), rate, batch)

    @classmethod
    def texts(cls, given: object) -> list[str]:
        url = given.get("url") if isinstance(given, dict) else given
        return [url] if isinstance(url, str) else []

    def plain(self) -> dict[str, Any]:
        return {"url": self.reveal(), "rate": self.rate, "batch": self.batch}

    def shown(self) -> str:
        said = [f"{self.rate:g} calls a second"] if self.rate is not None else []
        said += [f"{self.batch} calls a request"] if self.batch is not None else []
        return f"{super().shown()} ({', '.join(said)})" if said else super().shown()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RpcUrl) and super().__eq__(other) and self._plan == other._plan

    def __hash__(self) -> int:
        return hash((super().__hash__(), self._plan))

    @property
    def _plan(self) -> tuple[float | None, int | None]:
        return self.rate, self.batch


class JournalSize(Size):
    """What a journal may have at most."""

    wanted = 'a size of 1MiB or more, such as "500MiB" or "10GiB"'

    @classmethod
    def read(cls, given: object, reading: Reading) -> Self:
        size = super().read(given, reading)
        if size < JOURNAL_BYTES_MIN:
            raise ValueError(f"give {cls.wanted}")
        return size


class StoreSettings(Struct, frozen=True, kw_only=True):
    url: Annotated[
        StoreUrl,
        Meta(description="Where everything is kept: sqlite:///PATH or postgresql://USER@HOST/NAME."),
    ] = StoreUrl("sqlite:///tidelog.db")


class ChainSettings(Struct, frozen=True, kw_only=True):
    name: Annotated[Name, Meta(description="Of the source.", examples=["mainnet"])]
    rpc: Annotated[
        tuple[RpcUrl, ...],
        Meta(
            description="JSON-RPC endpoints; several fail over. Keys in them are never shown. Where a plan is known, "
            'a table says it: {url = "https://host", rate = 25, batch = 10}, calls a second and calls a request.',
            min_length=1,
            examples=[["http://127.0.0.1:8545"]],
        ),
    ]
    ws: Annotated[
        SocketUrl | None,
        Meta(description="A WebSocket endpoint whose newHeads wake the source up.", examples=["ws://127.0.0.1:8546"]),
    ] = None
    from_: Annotated[
        int | str | None,
        Meta(description='The first block: a number, or "latest"; 0 for a new store.', examples=[0]),
    ] = field(default=None, name="from")
    finality: Annotated[Literal["latest", "safe", "finalized"], Meta(description="Go no further than this tag.")] = (
        "latest"
    )
    confirmations: Annotated[int, Meta(description="Go no further than the head minus this.", ge=0)] = 0
    anchor: Annotated[
        str | None, Meta(description="The hash that the first block must have.", examples=["0x" + 64 * "0"])
    ] = None
    senders: Annotated[bool, Meta(description="Also recover each sender from its signature.")] = False
    accept_unproven: Annotated[
        tuple[str, ...],
        Meta(
            description="Checks that are not made from the next block on, which then say so.",
            examples=[["bloom"]],
        ),
    ] = ()
    chain_id: Annotated[
        Positive | None,
        Meta(description="Refuse an endpoint of another chain; needed where there are several.", examples=[1]),
    ] = None
    cross_check: Annotated[
        bool,
        Meta(
            description="Of contracts whose evidence is asked: compare what one endpoint says that they logged with "
            "what a second one says; blocks of which they say different things are fetched whole and proven."
        ),
    ] = False
    prove: Annotated[
        bool,
        Meta(
            description="Prove what was asked of contracts beside the following of the head, from the newest block "
            "down, as `tidelog chain prove` does."
        ),
    ] = False
    poll: Annotated[Pause, Meta(description="Interval between requests for the head.")] = Pause(POLL_S)
    reorg_patience: Annotated[
        Pause, Meta(description="Until a head that no endpoint knows any more is given up for a lower one.")
    ] = Pause(REORG_PATIENCE_S)
    jobs: Annotated[
        NotNegative | None,
        Meta(
            description="How many workers decode and prove history: threads with the compiled core, processes without "
            "it. If not given, one for each further core.",
            examples=[1],
        ),
    ] = None
    ready_behind: Annotated[
        int, Meta(description="Blocks that may be missing up to the head while it counts as ready.", ge=0)
    ] = BEHIND_BLOCKS

    contract: Annotated[
        tuple[ContractSettings, ...],
        Meta(
            description="Contracts of the chain whose events have tables, one table for each; those of a contract that "
            "stands here no more are removed.",
            max_length=CONTRACTS_MAX,
        ),
    ] = ()


class MarketSettings(Struct, frozen=True, kw_only=True):
    name: Annotated[Name, Meta(description="Of the recording in the store.", examples=["kraken"])]
    symbols: Annotated[tuple[str, ...], Meta(description="What to record.", examples=[["BTC/USD", "ETH/USD"]])] = ()
    channels: Annotated[
        tuple[str, ...],
        Meta(
            description="Of book, trade, ticker, ohlc, instrument (v2), spread (v1); or, with a key, of executions "
            "and balances (v2), ownTrades and openOrders (v1).",
            min_length=1,
        ),
    ] = ("book", "trade")
    shards: Annotated[
        ShardCount | None,
        Meta(
            description="Processes that it is divided into, each with a connection and a journal of its own.",
            examples=[2],
        ),
    ] = None
    shard: Annotated[
        str | None,
        Meta(
            description="The one shard that is run here; the others on other machines, into the same store.",
            examples=["2/2"],
        ),
    ] = None
    shard_symbols: Annotated[
        tuple[tuple[str, ...], ...],
        Meta(
            description="The symbols of the first shard, of the second, and so on; those in no list go by their hash.",
            examples=[[["BTC/USD"], ["ETH/USD"]]],
        ),
    ] = ()
    depth: Annotated[Literal[10, 25, 100, 500, 1000], Meta(description="Of books.")] = 10
    interval: Annotated[int, Meta(description="Of the exchange's candles, in minutes.", ge=1)] = 1
    protocol: Annotated[Literal["v2", "v1"], Meta(description="Kraken's WebSocket API.")] = "v2"
    url: Annotated[
        SocketUrl | None,
        Meta(description="The WebSocket; Kraken's if not given.", examples=["wss://ws.kraken.com/v2"]),
    ] = None
    rest: Annotated[PeerUrl, Meta(description="Where tokens for private channels are had.")] = PeerUrl(REST_URL)
    journal: Annotated[FilePath, Meta(description="The file of raw frames.")] = FilePath("market.journal")
    journal_max: Annotated[
        JournalSize | None,
        Meta(description="Size limit of the journal; beyond it the oldest records are dropped.", examples=["10GiB"]),
    ] = None
    keep_days: Annotated[
        Days | None,
        Meta(
            description="Drop what is older from the journal; not what the store has not got yet.",
            examples=[30],
        ),
    ] = None
    keep_trades_days: Annotated[
        StoreDays | None, Meta(description="Drop older trades from the store.", examples=[90])
    ] = None
    keep_candles_days: Annotated[
        StoreDays | None, Meta(description="Drop older candles from the store.", examples=[3650])
    ] = None
    keep_books_days: Annotated[
        StoreDays | None, Meta(description="Drop older book snapshots from the store.", examples=[30])
    ] = None
    keep_coverage_days: Annotated[
        StoreDays | None,
        Meta(description="Drop older coverage, and gaps of the connection, from the store.", examples=[365]),
    ] = None
    key: Annotated[Secret | None, Meta(description="The API key for private channels.", examples=["${KRAKEN_KEY}"])] = (
        None
    )
    secret: Annotated[Secret | None, Meta(description="Its secret.", examples=["${KRAKEN_SECRET}"])] = None


class ApiSettings(Struct, frozen=True, kw_only=True):
    enabled: Annotated[bool, Meta(description="Serve the store over HTTP.")] = True
    host: Annotated[str, Meta(description="Where to listen; beyond loopback every request needs a token.")] = (
        _defaults.host
    )
    port: Annotated[int, Meta(description="0 takes any free one.", ge=0, le=65_535)] = _defaults.port
    allow_host: Annotated[
        tuple[str, ...],
        Meta(description="Names under which it may be reached, beside the bound one.", examples=[["api.example"]]),
    ] = _defaults.hosts
    cors: Annotated[
        tuple[str, ...],
        Meta(description="Origins whose pages may read.", examples=[["https://app.example"]]),
    ] = _defaults.cors
    page_default: Annotated[int, Meta(description="Rows of a page.", ge=1)] = _defaults.page_default
    page_max: Annotated[int, Meta(description="Rows of a page at most.", ge=1)] = _defaults.page_max
    body_bytes_max: Annotated[Size, Meta(description="Of a request's body.")] = Size(_defaults.body_bytes_max)
    head_bytes_max: Annotated[Size, Meta(description="Of a request's line and headers.")] = Size(
        _defaults.head_bytes_max
    )
    addresses_max: Annotated[int, Meta(description="Of one log filter.", ge=1)] = _defaults.addresses_max
    topics_max: Annotated[int, Meta(description="Alternatives of one position.", ge=1)] = _defaults.topics_max
    block_range_max: Annotated[int, Meta(description="Blocks that a log filter spans.", ge=1)] = (
        _defaults.block_range_max
    )
    request_timeout: Annotated[Pause, Meta(description="For one answer.")] = Pause(_defaults.request_timeout_s)
    statement_timeout: Annotated[Pause, Meta(description="For one statement of the database.")] = Pause(
        _defaults.statement_timeout_s
    )
    readers: Annotated[int, Meta(description="Reads of the store at once; half of them may be long ones.", ge=1)] = (
        _defaults.readers
    )
    store_patience: Annotated[
        Pause, Meta(description="How long a request waits for a store that is away, before it gets 503.")
    ] = Pause(_defaults.store_patience_s)
    requests_max: Annotated[int, Meta(description="Requests at once.", ge=1)] = _defaults.requests_max
    connections_max: Annotated[int, Meta(description="Sockets at once.", ge=1)] = _defaults.connections_max
    streams_max: Annotated[int, Meta(description="Live streams at once.", ge=1)] = _defaults.streams_max
    client_connections_max: Annotated[int, Meta(description="Of these, one address's.", ge=1)] = (
        _defaults.client_connections_max
    )
    client_requests_max: Annotated[int, Meta(description="One address's requests at once.", ge=1)] = (
        _defaults.client_requests_max
    )
    client_streams_max: Annotated[int, Meta(description="One address's live streams.", ge=1)] = (
        _defaults.client_streams_max
    )
    delay_max: Annotated[
        Duration,
        Meta(description="How long a refusal is delayed at most, for a client that sends wrong tokens; 0: never."),
    ] = Duration(_defaults.delay_max_s)
    trusted_proxy: Annotated[
        tuple[str, ...],
        Meta(description="Addresses or networks whose X-Forwarded-For says who asks.", examples=[["10.0.0.0/8"]]),
    ] = _defaults.trusted_proxies
    tls_cert: Annotated[
        FilePath | None,
        Meta(
            description="Serve TLS with this certificate (PEM, with those that it is signed by); read again when it "
            "changes.",
            examples=["/etc/tidelog/cert.pem"],
        ),
    ] = None
    tls_key: Annotated[
        FilePath | None,
        Meta(description="Its key, not encrypted; in the same file, if not given.", examples=["/etc/tidelog/key.pem"]),
    ] = None
    health_port: Annotated[
        Port | None, Meta(description="A port of its own for /livez, /readyz and /metrics.", examples=[8421])
    ] = None
    keep_alive: Annotated[Pause, Meta(description="Idle connections are closed after this.")] = Pause(
        _defaults.keep_alive_s
    )
    stop: Annotated[Pause, Meta(description="Between a signal and the end of open streams.")] = Pause(_defaults.stop_s)
    standby_lag_max: Annotated[
        Pause, Meta(description="That a PostgreSQL standby may lag behind its primary and count as ready.")
    ] = Pause(_defaults.standby_lag_max_s)
    tokens: Annotated[Pause, Meta(description="How long a revoked token may still work.")] = Pause(_defaults.tokens_s)


class LogSettings(Struct, frozen=True, kw_only=True):
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least severe events that are logged.")
    ] = "info"
    format: Annotated[
        Literal["auto", "human", "json"], Meta(description="auto: human on a terminal, JSON otherwise.")
    ] = "auto"


class RunSettings(Struct, frozen=True, kw_only=True):
    directory: Annotated[
        FilePath, Meta(description="For the lock and the sockets of the processes; short, on a local disk.")
    ] = FilePath("run")
    stop_timeout: Annotated[
        Pause, Meta(description="Between SIGTERM and the end; processes that are left then are killed.")
    ] = Pause(30.0)
    stable: Annotated[
        Duration, Meta(description="A process that lived this long and fails is started again at once.")
    ] = Duration(60.0)


class Settings(Struct, frozen=True, kw_only=True):
    """All of tidelog.toml."""

    store: Annotated[StoreSettings, Meta(description="The store.")] = StoreSettings()
    chain: Annotated[
        tuple[ChainSettings, ...], Meta(description="Chains: one table for each.", max_length=SOURCES_MAX)
    ] = ()
    market: Annotated[tuple[MarketSettings, ...], Meta(description="Recordings of exchanges: one table for each.")] = ()
    stream: Annotated[
        tuple[StreamSettings, ...],
        Meta(description="What is published to NATS JetStream: one table for each.", max_length=SOURCES_MAX),
    ] = ()
    api: Annotated[ApiSettings, Meta(description="The API.")] = ApiSettings()
    logs: Annotated[LogSettings, Meta(description="The logs of all processes.")] = LogSettings()
    run: Annotated[RunSettings, Meta(description="The processes.")] = RunSettings()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the processes beside the supervisor, in the order of their start."""
        served = (API,) if self.api.enabled else ()
        return (*self.processes, *self.streams, *served)

    @property
    def processes(self) -> tuple[str, ...]:
        """Of the sources: one for each, but for a recording that is divided. ConfigError: it cannot be divided so."""
        return (
            *(chain.name for chain in self.chain),
            *(process for market in self.market for process in shards_here(market)),
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Their names: chains, then recordings."""
        return (*(chain.name for chain in self.chain), *(market.name for market in self.market))

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of what is published."""
        return tuple([stream.name for stream in self.stream])

    def socket(self, name: str) -> str:
        """Where the status of a process is asked."""
        return os.path.join(self.run.directory, f"{name}.sock")
