"""What the settings mean: which processes there are, what each of them is told, and what cannot be meant."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tidelog.api.options import ApiOptions, JournalSource
from tidelog.cli.run.settings import API, SOURCES_MAX, SUPERVISOR, MarketSettings, Settings
from tidelog.config import Loaded, load
from tidelog.errors import ConfigError

if TYPE_CHECKING:  # a process of one kind of source does not load what the others run on
    from tidelog.cli.chain_source import ChainSource
    from tidelog.cli.market_source import MarketSource

__all__ = [
    "api_options_of",
    "chain_source_of",
    "checked",
    "journals_of",
    "judge",
    "market_source_of",
    "symbols_alone",
    "told",
    "warnings_of",
]

STABLE_S_MIN = 1.0  # below it a process that fails at once would be started again without a pause
SOCKET_PATH_MAX = 107  # bytes that the system has room for

T = TypeVar("T", bound=Hashable)


def chain_source_of(settings: Settings, name: str) -> ChainSource:
    """What `chain sync --follow` would be told. ConfigError: it cannot be meant."""
    from tidelog.cli.chain_source import RpcEndpoint, chain_source

    (chain,) = (each for each in settings.chain if each.name == name)
    told = {each.name: getattr(chain, each.name) for each in msgspec.structs.fields(chain)}
    del told["name"]
    told["rpc"] = tuple(RpcEndpoint(url.reveal(), url.rate, url.batch) for url in chain.rpc)
    told["ws"] = None if chain.ws is None else chain.ws.reveal()
    return chain_source(_spelled("chain", name), db=settings.store.url.reveal(), to=None, follow=True, **told)


def market_source_of(settings: Settings, name: str) -> MarketSource:
    """What `market record` would be told. ConfigError: it cannot be meant."""
    from tidelog.cli.market_source import MarketSource
    from tidelog.market.expiry import Keep
    from tidelog.market.kraken.auth import ApiKey
    from tidelog.market.symbols import normal_symbols

    (market,) = (each for each in settings.market if each.name == name)
    key, secret = market.key, market.secret
    if (key is None) != (secret is None):
        raise ConfigError(f"market.{name}: give key and secret, or neither")
    try:
        symbols = list(normal_symbols(market.symbols))
    except ConfigError as error:
        raise ConfigError(f"market.{name}: symbols: {error}") from None
    return MarketSource(
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


def api_options_of(settings: Settings) -> ApiOptions:
    """What `serve` would be told; what it scrapes are the sockets of the others."""
    options = {
        option: getattr(settings.api, key)
        for option, key in ((each.name, _key_of(each.name)) for each in msgspec.structs.fields(ApiOptions))
        if option != "scrape"
    }
    return ApiOptions(
        **options, scrape={name: f"unix:{settings.socket(name)}" for name in (SUPERVISOR, *settings.sources)}
    )


def journals_of(settings: Settings) -> tuple[JournalSource, ...]:
    """What live market streams of the API follow."""
    return tuple(JournalSource(each.name, each.journal) for each in settings.market)


def told(settings: Settings) -> dict[str, Hashable]:
    """What each process is told, by name, in the order of their start: one whose part changes has to start anew."""
    shared = (settings.store, settings.logs.format)
    parts: dict[str, Hashable] = {chain.name: (chain, shared) for chain in settings.chain}
    parts |= {market.name: (market, shared) for market in settings.market}
    if settings.api.enabled:
        parts[API] = (settings.api, settings.sources, journals_of(settings), shared)
    return parts


def symbols_alone(before: Hashable, after: Hashable) -> tuple[str, ...] | None:
    """The symbols that a recording is to follow, if nothing else of what it is told has changed."""
    if not (isinstance(before, tuple) and isinstance(after, tuple) and before[1:] == after[1:]):
        return None
    old, new = before[0], after[0]
    if not (isinstance(old, MarketSettings) and isinstance(new, MarketSettings) and old.symbols and new.symbols):
        return None
    return new.symbols if msgspec.structs.replace(old, symbols=new.symbols) == new else None


def _key_of(option: str) -> str:
    """The key of an API's option: units of time are in the values of a file."""
    return {"hosts": "allow_host"}.get(option, option.removesuffix("_s"))


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
    names = settings.sources
    for name in (API, SUPERVISOR):
        if name in names:
            raise ConfigError(f"a source is called {name}, which is a name of tidelog's own: give it another")
    if not names and not settings.api.enabled:
        raise ConfigError("there is nothing to run: add a [[chain]] or a [[market]]")
    if len(names) > SOURCES_MAX:
        raise ConfigError(f"there are {len(names)} sources: {SOURCES_MAX} at most, the others in a file of their own")
    for name in _repeated(names):
        raise ConfigError(f"two sources are called {name}: give one another name")
    if len(settings.chain) > 1:
        for chain in settings.chain:
            if chain.chain_id is None:
                raise ConfigError(f"chain.{chain.name}: there are several chains in one store: give each its chain_id")
    for chain_id in _repeated(each.chain_id for each in settings.chain):
        raise ConfigError(f"two sources are chain {chain_id}: one source with the endpoints of both fails over")
    for journal in _repeated(os.path.realpath(each.journal) for each in settings.market):
        raise ConfigError(f"two recordings write {journal}: give each a journal of its own")
    if settings.run.stable < STABLE_S_MIN:
        raise ConfigError(f"run.stable: give {STABLE_S_MIN:g}s or more")
    for chain in settings.chain:
        chain_source_of(settings, chain.name)
    for market in settings.market:
        market_source_of(settings, market.name)
    api_options_of(settings)
    for name in (*settings.names, SUPERVISOR):
        if len(os.fsencode(settings.socket(name))) > SOCKET_PATH_MAX:
            raise ConfigError(
                f"run.directory: {settings.socket(name)} is longer than {SOCKET_PATH_MAX} bytes, which is the longest "
                "path of a socket: give a shorter one, such as /run/tidelog"
            )


def _repeated(values: Iterable[T | None]) -> list[T]:
    return [value for value, count in Counter(values).items() if count > 1 and value is not None]
