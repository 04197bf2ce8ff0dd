"""The part of the settings and of the environment that one process gets: its own, and no secret of another.

Whoever takes a process over (the API listens to strangers) has what that process has. So the supervisor reads the file
and resolves what it refers to; a process gets its own tables through a pipe, and of the environment what is named here:
none of tidelog's own variables, which are in the tables by now, or other commands' options, with keys.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from tidelog.api.http.options import JournalSource
from tidelog.cli.run.file.settings import API, ApiSettings, Settings
from tidelog.cli.run.file.shards import recording_of, shards_here
from tidelog.compiled import VARIABLE
from tidelog.market.shards.layout import journal_of

__all__ = ["Part", "Published", "environment_of", "journals_of", "part_of", "published_of"]

SYSTEM = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "TERM", "NO_COLOR", "FORCE_COLOR"}
    | {VARIABLE}  # whether the compiled core is used
)
SYSTEM_PREFIXES = (
    *("LC_", "LD_", "MALLOC_", "PYTHON", "SSL_CERT_"),
    "OTEL_",  # of OpenTelemetry: where traces go, and what opens that door
)
PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})  # of those who go out; may have passwords
POSTGRES = "PG"  # the variables of libpq, of those whose store is PostgreSQL


class Published(Struct, frozen=True):
    """What a publisher has to know of its source: none of its keys."""

    chain_id: int | None = None  # of a chain; None: the only one of the store, or it is a recording
    journal: str | None = None  # of a recording
    recording: str = ""


class Part(Struct, frozen=True, kw_only=True):
    """Of the file, what one process needs. `settings` has no table of another source."""

    settings: Settings
    sources: tuple[str, ...] = ()  # whose metrics the API shows
    journals: tuple[JournalSource, ...] = ()  # which it follows
    published: Published | None = None  # of a publisher
    stored: bool = True  # whether there is a store


def part_of(settings: Settings, name: str) -> Part:
    """The part of the process of that name."""
    chain = tuple(each for each in settings.chain if each.name == name)
    market = tuple(each for each in settings.market if each.name == recording_of(name))
    api = settings.api if name == API else ApiSettings(enabled=False)
    stream = tuple(each for each in settings.stream if each.name == name)
    own = msgspec.structs.replace(settings, chain=chain, market=market, stream=stream, api=api)
    if name == API:
        sources = (*settings.processes, *settings.streams)
        return Part(settings=own, sources=sources, journals=journals_of(settings))
    if stream:
        return Part(settings=own, published=published_of(settings, stream[0].source))
    return Part(settings=own)


def published_of(settings: Settings, source: str) -> Published | None:
    """The source of a publisher; None: there is no such source."""
    for chain in settings.chain:
        if chain.name == source:
            return Published(chain_id=chain.chain_id)
    for market in settings.market:
        if market.name == source:
            return Published(journal=market.journal, recording=market.name)
    return None


def journals_of(settings: Settings) -> tuple[JournalSource, ...]:
    """What live market streams of the API follow."""
    return tuple(
        JournalSource(each.name, journal_of(each.journal, shard.number))
        for each in settings.market
        for shard in shards_here(each).values()
    )


def environment_of(settings: Settings, name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What of the environment the process of that name gets."""
    goes_out, on_postgres = name != API, not settings.store.url.reveal().startswith("sqlite:")

    def needed(variable: str) -> bool:
        return (
            variable in SYSTEM
            or variable.startswith(SYSTEM_PREFIXES)
            or (goes_out and variable.upper() in PROXIES)
            or (on_postgres and variable.startswith(POSTGRES))
        )

    return {variable: value for variable, value in environ.items() if needed(variable)}
