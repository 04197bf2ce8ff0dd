"""`tidelog market record --shards N`: a process for each shard, supervised as those of `tidelog run` are.

There is no file: what the options say is handed to the processes as a file's tables are.
"""

import hashlib
import os
import tempfile

import msgspec

from tidelog.cli.options import LogLevel
from tidelog.cli.run import logs
from tidelog.cli.run.file.processes import SOCKET_PATH_MAX
from tidelog.cli.run.file.settings import (
    SUPERVISOR,
    ApiSettings,
    JournalSize,
    LogSettings,
    MarketSettings,
    RunSettings,
    Settings,
    StoreSettings,
    StoreUrl,
)
from tidelog.cli.run.supervisor import Supervisor
from tidelog.cli.sources.market import MarketSource
from tidelog.config import FilePath, Loaded, Name, PeerUrl, Reading
from tidelog.config.values import SocketUrl
from tidelog.errors import ConfigError
from tidelog.market.shards.layout import SHARDS_MAX, Layout
from tidelog.market.symbols import normal_symbols
from tidelog.runtime import SystemRuntime, run

__all__ = ["settings_of", "supervise_shards"]


def supervise_shards(source: MarketSource, layout: Layout, status: str | None, log_level: LogLevel) -> None:
    """Record until interrupted. ConfigError: it cannot be meant."""
    settings = settings_of(source, layout, log_level)
    logs.configure(settings.logs, SUPERVISOR)
    loaded = Loaded(settings, "", frozenset(), (), ())

    async def main() -> None:
        supervisor = Supervisor(None, loaded, os.environ, SystemRuntime(), stored=source.db is not None, status=status)
        await supervisor.run()

    run(main())


def settings_of(source: MarketSource, layout: Layout, log_level: LogLevel) -> Settings:
    """What a file with these options would say."""
    reading = Reading(os.getcwd(), os.environ)
    try:
        name = Name.read(source.name, reading)
    except ValueError as error:
        raise ConfigError(f"--name {source.name[:40]!r}: {error}") from None
    symbols = normal_symbols(source.symbols)
    market = MarketSettings(
        name=name,
        symbols=symbols,
        shards=layout.of,
        shard_symbols=_lists(layout),
        channels=tuple(source.channels),
        depth=source.depth,  # type: ignore[arg-type]
        interval=source.interval,
        protocol=source.protocol,  # type: ignore[arg-type]
        url=None if source.url is None else SocketUrl(source.url),
        rest=PeerUrl(source.rest),
        journal=FilePath(os.path.abspath(source.journal)),
        journal_max=None if source.journal_max is None else JournalSize(source.journal_max),
        keep_days=source.keep_days,
        **{f"keep_{what}_days": days for what, days in msgspec.structs.asdict(source.keep).items()},
    )
    store = StoreSettings() if source.db is None else StoreSettings(url=StoreUrl.read(source.db, reading))
    return Settings(
        store=store,
        market=(market,),
        api=ApiSettings(enabled=False),
        logs=LogSettings(level=log_level),
        run=RunSettings(directory=FilePath(_directory(market.journal, name))),
    )


def _lists(layout: Layout) -> tuple[tuple[str, ...], ...]:
    """The lists of a layout, as a file has them."""
    last = max(layout.pinned.values(), default=0)
    return tuple(
        [tuple([symbol for symbol, its in layout.pinned.items() if its == number]) for number in range(1, last + 1)]
    )


def _directory(journal: str, name: str) -> str:
    """Where the processes have their locks and sockets: beside the journal, unless that is too long for a socket."""
    beside = f"{journal}.run"
    longest = os.path.join(beside, f"{name}.{SHARDS_MAX}.sock")
    if len(os.fsencode(longest)) <= SOCKET_PATH_MAX:
        return beside
    known = hashlib.sha256(os.fsencode(journal)).hexdigest()[:16]
    path = os.path.join(tempfile.gettempdir(), f"tidelog-{os.getuid()}-{known}")
    if os.path.lexists(path) and os.lstat(path).st_uid != os.getuid():
        raise ConfigError(f"{path}, where the sockets of the shards would be, is another user's: remove it")
    return path
