"""`tidelog demo`: both main jobs on the embedded store, against a lying node, a faulty exchange, and kill -9.

Every step is the real command in a process of its own; the narration is between them.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tidelog.errors import ConfigError

if TYPE_CHECKING:
    from tidelog.filelock import FileLock

__all__ = ["demo"]

MARK = ".tidelog-demo"  # in a folder that a demo made, and may make again; locked while one is in it


def demo(*, folder: Path = Path("demo-out"), keep: bool = False, live: bool = False, port: int = 8420) -> None:
    """Play both main jobs through, with lies, a reorg, a wrong checksum and two kill -9, in less than a minute.

    Args:
        folder: where the stores go; it is made again.
        keep: leave the folder there afterwards.
        live: run simulated peers and an API over them until Ctrl-C instead, for `tidelog top` to look at.
        port: of that API.
    """
    from tidelog.runtime import run

    with _emptied(folder):
        run(_show(folder, port) if live else _play(folder))
        if not keep:
            shutil.rmtree(folder)
    if keep and not live:
        print(f"\nThe stores are in {folder}: try `tidelog chain status --db sqlite:///{folder}/chain.db`")
        print(f"or `tidelog market trades BTC/USD --db sqlite:///{folder}/market.db`")


def _emptied(folder: Path) -> "FileLock":
    """The lock of a demo's folder, in which there is nothing else.

    Raises:
        ConfigError: it is not a demo's, cannot be made, or another demo is in it.
    """
    from tidelog.filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--folder {folder} cannot be made: {error.strerror}") from None
    if any(folder.iterdir()) and not (folder / MARK).exists():
        raise ConfigError(f"--folder {folder} is not empty, and was not made by an earlier demo")
    lock = FileLock(str(folder / MARK))
    if not lock.take():
        raise ConfigError(
            f"--folder {folder} is another demo's, process {lock.holder()}: end it, or name another folder"
        )
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARK:
            path.unlink()
    return lock


async def _show(folder: Path, port: int) -> None:
    from tidelog.cli.demo.live import LiveShow
    from tidelog.cli.demo.stage import Stage

    async with Stage(folder) as stage:
        await LiveShow(stage, port).play()


async def _play(folder: Path) -> None:
    from tidelog.cli.demo.chain import ChainStory
    from tidelog.cli.demo.market import MarketStory
    from tidelog.cli.demo.stage import Stage

    async with Stage(folder) as stage:
        await ChainStory(stage).play()
        await MarketStory(stage).play()
