"""What opens a file, a socket, a database or a process, found in the source: ARCHITECTURE.md names all of it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tidelog"
OUTSIDE = ("sim/", "cli/demo/", "cli/sim/")  # simulated peers and what shows them

OPENS = re.compile(
    r"^(open|os\.open|tempfile\.\w+|socket\.(socket|create_server|create_connection)|subprocess\.\w+"
    r"|asyncio\.(start_server|start_unix_server|open_connection|create_subprocess_exec)"
    r"|apsw\.Connection|asyncpg\.connect|aiohttp\.ClientSession|(picows\.)?ws_connect"
    r"|.*\.(read_text|read_bytes|write_text|write_bytes))$"
)


def opening() -> Iterator[str]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        calls = (ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        if not name.startswith(OUTSIDE) and any(OPENS.match(call) for call in calls):
            yield name


def named() -> list[str]:
    """The modules in the table under "The doors"."""
    section = (ROOT / "ARCHITECTURE.md").read_text().partition("## The doors")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \|", section, re.MULTILINE)
    return sorted(name for row in rows for name in re.findall(r"`([\w/]+\.py)`", row))


def test_the_architecture_names_every_module_that_opens_something() -> None:
    assert named() == sorted(opening())


def test_the_scan_finds_each_kind_of_door() -> None:
    for call in ("open", "os.open", "socket.socket", "apsw.Connection", "Path(name).read_text", "tempfile.mkdtemp"):
        assert OPENS.match(call), call
    for call in ("live.open", "self._transport.connect", "ChainWriter.open"):
        assert not OPENS.match(call), call
