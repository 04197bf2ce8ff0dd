"""What the settings mean: which processes there are, the options of each, and which settings are refused."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tidelog.api.http.options import ApiOptions
from tidelog.cli.run.file.parts import Published, journals_of, published_of
from tidelog.cli.run.file.settings import API, SOURCES_MAX, SUPERVISOR, MarketSettings, Settings
from tidelog.cli.run.file.shards import active_shards, layout_for, recording_of, shards_here, symbols_of
from tidelog.config import Loaded, load
from tidelog.errors import ConfigError
from tidelog.market.shards.layout import WHOLE

if TYPE_CHECKING:  # a process of one kind of source does not load what the others run on
    from tidelog.cli.run.file.streams import StreamSettings
    from tidelog.cli.sources.chain import ChainSource
    from tidelog.cli.sources.market import MarketSource
    from tidelog.cli.stream.belonging import Source
    from tidelog.cli.stream.engines import Destination
    from tidelog.cli.stream.running import Publishing
    from tidelog.stream.port import Limits

__all__ = [
    "api_options_of",
    "chain_source_of",
    "checked",
    "judge",
    "market_source_of",
    "options_by_process",
    "publishing_of",
    "symbols_alone",
    "warnings_of",
]

STABLE_S_MIN = 1.0  # below it a process that fails at once would be started again without a pause
SOCKET_PATH_MAX = 107  # bytes that the system has room for

T = TypeVar("T", bound=Hashable)


def chain_source_of(settings: Settings, name: str) -> ChainSource:
    """The options of `chain sync --follow`. ConfigError: they cannot be meant."""
    from tidelog.chain.source.opening import RpcEndpoint
    from tidelog.cli.sources.chain import chain_source
    from tidelog.cli.sources.contracts import contracts_of

    (chain,) = (each for each in settings.chain if each.name == name)
    options = {each.name: getattr(chain, each.name) for each in msgspec.structs.fields(chain)}
    del options["name"], options["contract"]
    contracts = contracts_of(chain.contract, lambda name, key: _spelled("chain", chain.name, "contract", name)(key))
    options["rpc"] = tuple(RpcEndpoint(url.reveal(), url.rate, url.batch) for url in chain.rpc)
    options["ws"] = None if chain.ws is None else chain.ws.reveal()
    return chain_source(
        _spelled("chain", name), db=settings.store.url.reveal(), to=None, follow=True, contracts=contracts, **options
    )


def market_source_of(settings: Settings, name: str) -> MarketSource:
    """The options of `market record`, of the process of that name. ConfigError: they cannot be meant."""
    from tidelog.cli.sources.market import MarketSource
    from tidelog.cli.sources.shards import divided
    from tidelog.market.kraken.auth import ApiKey
    from tidelog.market.live.config import feed_config
    from tidelog.market.load.expiry import Keep
    from tidelog.market.symbols import normal_symbols

    (market,) = (each for each in settings.market if each.name == recording_of(name))
    key, secret = market.key, market.secret
    if (key is None) != (secret is None):
        raise ConfigError(f"market.{market.name}: give key and secret, or neither")
    try:
        symbols = list(normal_symbols(market.symbols))
    except ConfigError as error:
        raise ConfigError(f"market.{market.name}: symbols: {error}") from None
    source = MarketSource(
        symbols=symbols,
        channels=list(market.channels),
        depth=market.depth,
        interval=market.interval,
        journal=market.journal,
        db=settings.store.url.reveal(),
        name=market.name,
        protocol=market.protocol,
        url=None if market.url is None else market.url.reveal(),
        keep_days=market.keep_days,
        keep=Keep(market.keep_trades_days, market.keep_candles_days, market.keep_books_days, market.keep_coverage_days),
        journal_max=market.journal_max,
        rest=market.rest.reveal(),
        key=None if key is None or secret is None else ApiKey(key.reveal(), secret.reveal()),
    )
    try:
        feed_config(
            symbols,
            source.channels,
            protocol=source.protocol,
            depth=source.depth,
            interval=source.interval,
            url=source.url,
            has_tokens=source.key is not None,
        )
        layout, here = layout_for(market), shards_here(market)
        return source if layout is None else divided(source, layout, here[name])[here[name].number]
    except ConfigError as error:
        raise ConfigError(f"market.{market.name}: {error}") from None


def publishing_of(settings: Settings, name: str, published: Published) -> Publishing:
    """The options of `stream run`."""
    from tidelog.cli.stream.running import ChainPublishing, MarketPublishing

    (stream,) = (each for each in settings.stream if each.name == name)
    destination, limits = destination_of(stream), _limits_of(stream)
    if published.journal is not None:
        kinds = () if stream.frames else stream.events
        return MarketPublishing(
            destination, stream.stream, limits, published.journal, published.recording, kinds, stream.encoding
        )
    db = settings.store.url.reveal()
    return ChainPublishing(
        destination, stream.stream, limits, db, published.chain_id, stream.detail, stream.delivery, stream.encoding
    )


def _limits_of(stream: StreamSettings) -> Limits:
    from tidelog.stream.port import Limits

    return Limits(stream.replicas, stream.max_bytes, None if stream.max_age is None else int(stream.max_age))


def destination_of(stream: StreamSettings) -> Destination:
    """Where messages go. ConfigError: nothing is named, or several are, or it can have no such stream."""
    from tidelog.cli.stream.engines import judge_kept

    try:
        destination = _destination_of(stream)
        judge_kept(destination, stream.stream, _limits_of(stream))
    except ConfigError as error:
        raise ConfigError(f"stream.{stream.name}: {error}") from None
    return destination


def _destination_of(stream: StreamSettings) -> Destination:
    from tidelog.cli.stream.engines import KafkaBrokers, NatsServers, receiver
    from tidelog.stream import KafkaLogin, Login
    from tidelog.stream.kafka.login import broker_addresses, client_options

    ca, cert, key = stream.tls_ca, stream.tls_cert, stream.tls_key
    if [bool(stream.nats), stream.kafka is not None, stream.url is not None].count(True) != 1:
        raise ConfigError("say where it goes: nats, kafka, or url")
    if stream.url is not None:
        secret = None if stream.secret is None else stream.secret.reveal()
        return receiver(stream.url.reveal(), secret, stream.state, stream.encoding, stream.frames)
    if stream.kafka is None:
        token = None if stream.token is None else stream.token.reveal()
        urls = tuple([url.reveal() for url in stream.nats or ()])
        return NatsServers(urls, Login(stream.creds, stream.nkey, token, ca, cert, key))
    password = None if stream.password is None else stream.password.reveal()
    login = KafkaLogin(stream.user, password, stream.sasl, stream.tls, ca, cert, key)
    client_options(login)
    return KafkaBrokers(tuple(broker_addresses(stream.kafka.split(","))), login)


def _refuse_foreign(stream: StreamSettings, published: Published) -> None:
    """ConfigError: a key is for another source, or for another destination."""
    from tidelog.cli.stream.belonging import destined_for, refuse_foreign

    keys = msgspec.structs.fields(stream)
    given = [key.name for key in keys if not key.required and getattr(stream, key.name) != key.default]
    source: Source = "a chain" if published.journal is None else "a recording"
    refuse_foreign(given, source, destined_for(stream.kafka, stream.url), lambda key: f"stream.{stream.name}.{key}")


def api_options_of(settings: Settings, sources: Sequence[str]) -> ApiOptions:
    """The options of `serve`; what it scrapes are the sockets of the supervisor and these sources."""
    options = {
        option: getattr(settings.api, key)
        for option, key in ((each.name, _key_of(each.name)) for each in msgspec.structs.fields(ApiOptions))
        if option != "scrape"
    }
    return ApiOptions(**options, scrape={name: f"unix:{settings.socket(name)}" for name in (SUPERVISOR, *sources)})


def options_by_process(settings: Settings) -> dict[str, Hashable]:
    """The options of each process, by name, in the order of their start: one whose options change has to restart."""
    shared = (settings.store, settings.logs.format)
    parts: dict[str, Hashable] = {chain.name: (chain, shared) for chain in settings.chain}
    for market in settings.market:
        for name, shard in shards_here(market).items():
            own = market if shard == WHOLE else msgspec.structs.replace(market, symbols=symbols_of(market, shard))
            parts[name] = (own, shared)
    parts |= {each.name: (each, published_of(settings, each.source), shared) for each in settings.stream}
    if settings.api.enabled:
        # which symbol is in which of its journals: streams of it have to begin anew
        divided = tuple((market.shards, market.shard_symbols) for market in settings.market)
        parts[API] = (settings.api, settings.processes, settings.streams, journals_of(settings), divided, shared)
    return parts


def symbols_alone(before: Hashable, after: Hashable) -> tuple[str, ...] | None:
    """The symbols that a recording is to follow, if none of its other options has changed."""
    if not (isinstance(before, tuple) and isinstance(after, tuple) and before[1:] == after[1:]):
        return None
    old, new = before[0], after[0]
    if not (isinstance(old, MarketSettings) and isinstance(new, MarketSettings) and old.symbols and new.symbols):
        return None
    return new.symbols if msgspec.structs.replace(old, symbols=new.symbols) == new else None


def _key_of(option: str) -> str:
    """The key of an API's option: units of time are in the values of a file."""
    return {"hosts": "allow_host", "trusted_proxies": "trusted_proxy"}.get(option, option.removesuffix("_s"))


def _spelled(*where: str) -> Callable[[str], str]:
    return lambda key: ".".join((*where, key))


def checked(file: str, environ: Mapping[str, str]) -> Loaded[Settings]:
    """The file, if it can be run. ConfigError: why it cannot."""
    if not os.path.exists(file):
        raise ConfigError(f"{file} cannot be read: No such file or directory; `tidelog init` writes one")
    loaded = load(file, Settings, environ)
    judge(loaded.value, file)
    return loaded


def warnings_of(loaded: Loaded[Settings], file: str) -> list[str]:
    """What is no mistake, and not good either."""
    warnings = []
    if loaded.exposed and os.stat(file).st_mode & stat.S_IROTH:
        key = ".".join(loaded.exposed[0])
        warnings.append(f"everybody on this machine can read {file}, and {key} has a secret in it: chmod 600 {file}")
    warnings += [
        f"{override.variable} replaces {'.'.join(override.path)} of {file}"
        for override in loaded.overrides
        if override.path in loaded.given
    ]
    for market in loaded.value.market:
        layout = layout_for(market)
        idle = [] if layout is None else [*{*range(1, layout.of + 1)} - {*active_shards(market, layout)}]
        if idle:
            warnings.append(
                f"market.{market.name}: no symbol falls to shard {', '.join(map(str, idle))}: it is not run"
            )
        if market.shard is not None and loaded.value.store.url.reveal().startswith("sqlite:"):
            warnings.append(
                f"market.{market.name}: only shard {market.shard} is run here, and shards on other machines cannot "
                "write to a SQLite store: give one of PostgreSQL"
            )
    if not loaded.value.sources:
        warnings.append(f"{file} has no [[chain]] and no [[market]]: only what is in the store is served")
    return warnings


def judge(settings: Settings, file: str) -> None:
    """What no single key is wrong about.

    Raises:
        ConfigError: a sentence with the file's name.
    """
    try:
        _judge(settings)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def _judge(settings: Settings) -> None:
    names = (*settings.sources, *settings.streams)
    for name in (API, SUPERVISOR):
        if name in names:
            raise ConfigError(f"a source is called {name}, which is a name of tidelog's own: give it another")
    for stream in settings.stream:
        published = published_of(settings, stream.source)
        if published is None:
            raise ConfigError(f"stream.{stream.name}: there is no [[chain]] and no [[market]] called {stream.source}")
        destination_of(stream)
        _refuse_foreign(stream, published)
    if not names and not settings.api.enabled:
        raise ConfigError("there is nothing to run: add a [[chain]] or a [[market]]")
    for market in settings.market:
        try:
            shards_here(market)
        except ConfigError as error:
            raise ConfigError(f"market.{market.name}: {error}") from None
    count = len(settings.processes) + len(settings.streams)
    shards = " and shards" if settings.processes != settings.sources else ""
    if count > SOURCES_MAX:
        raise ConfigError(
            f"there are {count} sources{shards}: {SOURCES_MAX} at most, the others in a file of their own"
        )
    for name in _repeated(names):
        raise ConfigError(f"two sources are called {name}: give one another name")
    if len(settings.chain) > 1:
        for chain in settings.chain:
            if chain.chain_id is None:
                raise ConfigError(f"chain.{chain.name}: there are several chains in one store: give each its chain_id")
    for chain_id in _repeated(each.chain_id for each in settings.chain):
        raise ConfigError(f"two sources are chain {chain_id}: one source with the endpoints of both fails over")
    for journal in _repeated(os.path.realpath(each.path) for each in journals_of(settings)):
        raise ConfigError(f"two recordings write {journal}: give each a journal of its own")
    if settings.run.stable < STABLE_S_MIN:
        raise ConfigError(f"run.stable: give {STABLE_S_MIN:g}s or more")
    for chain in settings.chain:
        chain_source_of(settings, chain.name)
    for market in settings.market:
        for name in shards_here(market):
            market_source_of(settings, name)
    api_options_of(settings, (*settings.processes, *settings.streams))
    for name in (*settings.names, SUPERVISOR):
        if len(os.fsencode(settings.socket(name))) > SOCKET_PATH_MAX:
            raise ConfigError(
                f"run.directory: {settings.socket(name)} is longer than {SOCKET_PATH_MAX} bytes, which is the longest "
                "path of a socket: give a shorter one, such as /run/tidelog"
            )


def _repeated(values: Iterable[T | None]) -> list[T]:
    return [value for value, count in Counter(values).items() if count > 1 and value is not None]
