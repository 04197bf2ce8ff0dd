"""`tidelog demo`: both main jobs on the embedded store, against a lying node, a faulty exchange, and kill -9.

Every step is the real command in a process of its own; the narration is between them.
"""

import shutil
from pathlib import Path

from tidelog.errors import ConfigError

__all__ = ["demo"]

MARK = ".tidelog-demo"  # in a folder that a demo made, and may make again


def demo(*, folder: Path = Path("demo-out"), keep: bool = False, live: bool = False, port: int = 8420) -> None:
    """Play both main jobs through, with lies, a reorg, a wrong checksum and two kill -9, in less than a minute.

    Args:
        folder: where the stores go; it is made again.
        keep: leave the folder there afterwards.
        live: run simulated peers and an API over them until Ctrl-C instead, for `tidelog top` to look at.
        port: of that API.
    """
    from tidelog.runtime import run

    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise ConfigError(f"--folder {folder} is not empty, and was not made by an earlier demo")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    if live:
        run(_show(folder, port))
        if not keep:
            shutil.rmtree(folder)
        return
    run(_play(folder))
    if keep:
        print(f"\nThe stores are in {folder}: try `tidelog chain status --db sqlite:///{folder}/chain.db`")
        print(f"or `tidelog market trades BTC/USD --db sqlite:///{folder}/market.db`")
    else:
        shutil.rmtree(folder)


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
