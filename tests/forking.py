"""Commands without the half second that each takes to import what it needs: `python -m tests.forking SOCKET`.

A process that has imported tidelog takes orders from a socket and forks a command for each: with its own arguments,
environment, folder and files, and from there on as by `python -m tidelog`.
"""

import atexit
import ctypes
import gc
import os
import resource
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from importlib import import_module
from pkgutil import walk_packages
from typing import NoReturn

import msgspec
from msgspec import Struct

import tidelog
from tidelog.__main__ import main as command_line

__all__ = ["ORDER_BYTES_MAX", "Order"]

ORDER_BYTES_MAX = 1 << 17
OUT, ERR, CONTROL, GATE = range(4)  # the files that come with an order; the last one if it is held
PR_SET_PTRACER = 0x59616D61  # linux/prctl.h: who may trace us where only parents may
PR_SET_PTRACER_ANY = ctypes.c_ulong(-1)
NOT_IMPORTED = ("tidelog.tui", "tidelog.cli.top")  # few commands draw


class Order(Struct):
    """What to run, and where.

    It may be held until a byte comes through its gate: somebody is to trace it from its beginning.
    """

    arguments: list[bytes]  # in the file system's encoding, as the kernel would pass them
    environment: dict[str, str]
    folder: str
    file_bytes_max: int | None = None  # RLIMIT_FSIZE


def take(orders: socket.socket) -> Order | None:
    """Answer orders until there are no more: None; or in a process that carries one out: the order.

    Between us and that process is another one, which tells its process id and how it ended.
    """
    while True:
        order, files, *_ = socket.recv_fds(orders, ORDER_BYTES_MAX, 4)
        if not order:
            return None
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            orders.close()
            if (child := os.fork()) == 0:
                os.close(files[CONTROL])
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(files[OUT], 1)
                os.dup2(files[ERR], 2)
                if len(files) > GATE:
                    ctypes.CDLL(None).prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)
                    os.read(files[GATE], 1)
                os.closerange(3, 256)
                return msgspec.msgpack.decode(order, type=Order)
            with suppress(OSError):  # who wanted to know may have ended
                os.write(files[CONTROL], b"%d\n" % child)
            for each in files:
                if each != files[CONTROL]:
                    os.close(each)  # or who reads the output would wait for us too
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            with suppress(OSError):
                os.write(files[CONTROL], b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            os._exit(0)
        for each in files:
            os.close(each)


def main() -> None:
    for found in walk_packages(tidelog.__path__, "tidelog."):
        if not found.name.startswith(NOT_IMPORTED) and not found.name.endswith(".__main__"):
            import_module(found.name)
    gc.collect()
    gc.freeze()  # or the first collection of each command would copy all of it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        order = take(orders)
    if order is not None:
        carry_out(order)


def carry_out(order: Order) -> NoReturn:
    """Run the command and end as the interpreter does, but for taking apart what was imported: 0.1 s in a copy."""
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    if order.file_bytes_max is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_bytes_max, resource.RLIM_INFINITY))
    sys.argv = ["tidelog", *map(os.fsdecode, order.arguments)]
    code = 1
    try:
        command_line()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # as in a pipe that nobody reads
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
