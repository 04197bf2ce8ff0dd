"""Commands without the second that it takes to import them: `python -m tests.system.forking`.

A driver that has imported the command line reads orders, one JSON object a line, and forks a child for each. It
answers with the child's process id, lets the child begin once it is told to (so that a tracer can be attached
meanwhile), and answers again with how the child ended, as `subprocess` counts: a signal is below 0.
"""

import ctypes
import os
import resource
import sys
import traceback

import msgspec
from msgspec import Struct

import tidelog.cli.chain
import tidelog.cli.market
import tidelog.market.load.loader
import tidelog.store.sqlite.writer  # noqa: F401  # the commands import them late
from tidelog.cli import main as command_line

__all__ = ["Command"]

PR_SET_PTRACER = 0x59616D61  # linux/prctl.h: who may trace us where only parents may
PR_SET_PTRACER_ANY = ctypes.c_ulong(-1)


class Command(Struct):
    """What to run, and under which limits."""

    arguments: list[str]
    err: str  # a file for standard error
    file_bytes_max: int | None = None  # RLIMIT_FSIZE


def carry_out(command: Command) -> None:
    """In the child: never returns."""
    code = 1
    try:
        for target, flags, fd in (("/dev/null", os.O_WRONLY, 1), (command.err, os.O_WRONLY | os.O_CREAT, 2)):
            os.dup2(os.open(target, flags | os.O_TRUNC, 0o600), fd)
        if command.file_bytes_max is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (command.file_bytes_max, resource.RLIM_INFINITY))
        command_line(command.arguments)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    libc = ctypes.CDLL(None)
    for line in sys.stdin.buffer:
        command = msgspec.json.decode(line, type=Command)
        gate, opener = os.pipe()
        child = os.fork()
        if child == 0:
            libc.prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)
            os.close(opener)
            os.read(gate, 1)
            os.close(gate)
            carry_out(command)
        os.close(gate)
        print(child, flush=True)
        sys.stdin.buffer.readline()
        os.close(opener)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
