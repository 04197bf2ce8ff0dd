"""What both demos are made of: numbered steps, commands as processes, and patience with a limit."""

import asyncio
import json
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from tidelog.chain.endpoint.jsonrpc import Call, decode, encode
from tidelog.errors import Busy, ConfigError, TidelogError
from tidelog.net.http import AioHttp

STEP_S = 30.0  # no step takes longer, or the demo says that it failed
POLL_S = 0.05  # between looks at what another process has stored
NOT_YET = (Busy, ConfigError)  # what looking raises at a store that another process is just making
LINE_CHARS_MAX = 190  # of what a command prints; its tail says the least

T = TypeVar("T")


class Stage:
    """`async with Stage(folder) as stage:` leaving it ends every process that was started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http = AioHttp()
        self._step = 0
        self._processes: list[Process] = []

    async def __aenter__(self) -> "Stage":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            await self.end(process, signal.SIGKILL)
        await self.http.close()

    def say(self, sentence: str) -> None:
        """Begin the next step."""
        self._step += 1
        print(f"\n{self._step}. {sentence}", flush=True)

    def note(self, text: str) -> None:
        print(f"   {text}", flush=True)

    def db(self, name: str) -> str:
        return f"sqlite:///{self.folder / name}"

    async def start(self, *arguments: str, log: Path | None = None) -> Process:
        """Run a command in the background. Its standard error is added to `log`."""
        with (log or Path("/dev/null")).open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tidelog.cli.demo.led", *arguments), stdin=PIPE, stdout=PIPE, stderr=stderr
            )
        self._processes.append(process)
        return process

    async def listening(self, *arguments: str) -> str:
        """Run a server in the background; the line that says where it listens."""
        process = await self.start(*arguments)
        assert process.stdout is not None
        line = (await _in_time(process.stdout.readline(), f"`tidelog {' '.join(arguments)}`")).decode().strip()
        if not line:
            raise failed(f"`tidelog {' '.join(arguments)}` did not come up")
        return line

    async def end(self, process: Process, number: int) -> str:
        """Send a signal, unless it has ended, and wait for the end; what it had printed."""
        if process.returncode is None:
            process.send_signal(number)
        return await _in_time(_printed(process), "a command that was asked to end")

    async def command(self, *arguments: str, expect: int = 0) -> str:
        """Run a command to its end; what it printed."""
        process = await self.start(*arguments)
        printed = await _in_time(_printed(process), f"`tidelog {' '.join(arguments)}`")
        if process.returncode != expect:
            raise failed(f"`tidelog {' '.join(arguments)}` ended with {process.returncode}")
        return printed

    async def ask(self, url: str, method: str, *params: Any) -> bytes:
        """The result of one JSON-RPC call, as it was answered."""
        call = Call(method, params)
        headers = {"content-type": "application/json"}
        async with self.http.post(url, encode([call]), headers=headers, timeout_s=STEP_S) as response:
            (result,) = decode(b"".join([chunk async for chunk in response.chunks()]), [call])
        if isinstance(result, Exception):
            raise result
        return bytes(result)

    async def show(self, *arguments: str, expect: int = 0) -> str:
        """The same, for everybody to see."""
        self.note(f"$ tidelog {' '.join(arguments)}")
        output = await self.command(*arguments, expect=expect)
        for line in output.splitlines():
            self.note(line if len(line) <= LINE_CHARS_MAX else line[: LINE_CHARS_MAX - 3] + "...")
        return output

    async def digest(self, db: str) -> str:
        """Of a store's whole content."""
        digest: str = json.loads(await self.command("db", "digest", "--db", db, "--json"))["store"]["sha256"]
        return digest

    async def until(self, look: Callable[[], Awaitable[T]], reached: Callable[[T], bool], log: Path) -> T:
        """Look again and again until it is reached; what was seen then."""
        started = time.monotonic()
        while not reached(seen := await look()):
            if time.monotonic() - started > STEP_S:
                raise failed(f"a step took more than {STEP_S:g} s; its log is {log}")
            await asyncio.sleep(POLL_S)
        return seen


def events(log: Path, name: str) -> list[dict[str, Any]]:
    """The structured lines of one kind so far."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
    return [entry for entry in map(json.loads, lines) if entry["event"] == name]


def failed(why: str) -> TidelogError:
    return TidelogError(f"the demo failed: {why}")


async def _printed(process: Process) -> str:
    """What it prints until it ends. Its input stays open (`communicate` closes it): it ends with that."""
    assert process.stdout is not None
    printed = await process.stdout.read()
    await process.wait()
    return printed.decode()


async def _in_time(waited: Awaitable[T], what: str) -> T:
    try:
        return await asyncio.wait_for(waited, STEP_S)
    except TimeoutError:
        raise failed(f"{what} took more than {STEP_S:g} s; is the machine busy?") from None
