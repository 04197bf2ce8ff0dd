"""The README's program for markets is examples/market.py; it runs, and prints what people can read."""

import asyncio
import re
import sys
from pathlib import Path

from tests.market.exchange import Script, serve, until
from tests.patience import HANGS_S

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "market.py"


def test_readme_shows_the_example_as_it_is() -> None:
    code = EXAMPLE.read_text()
    assert f"```python\n{code[code.index('import asyncio') :]}```\n" in (ROOT / "README.md").read_text()


async def test_example_prints_trades_and_the_touch_of_a_proven_book(tmp_path: Path) -> None:
    script = Script()
    async with serve(script) as server:
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            "-u",
            str(EXAMPLE),
            server.url,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert program.stdout is not None
        await until(lambda: "BTC/USD" in script.subscribed and "BTC/USD" in script.books)
        lines: list[str] = []
        async with asyncio.timeout(HANGS_S):
            while len(lines) < 2:
                for frame in (script.update("BTC/USD", 5), script.trade("BTC/USD")):
                    server.push(frame)
                try:
                    line = await asyncio.wait_for(program.stdout.readline(), 1)
                except TimeoutError:
                    continue
                if line.decode().strip() not in lines:
                    lines.append(line.decode().strip())
        program.kill()
        await program.communicate()
    shown = sorted(lines)
    assert re.fullmatch(r"07:49:37\.708706  buy 1\.00000000 at 100\.0", shown[0])
    assert shown[1] == "bid 99.9 x 5.00000000  ask 100.1 x 2.00000000"
