"""A line of the log is one write: processes that share standard error do not write into each other's lines."""

import os
import socket
import subprocess
import sys
from typing import TextIO

import pytest

LINES = 20
PROGRAM = f"""
from tidelog.telemetry import configure_logs, logger
configure_logs(form="json")
for number in range({LINES}):
    logger("test").warning("told", number=number)
"""


def test_a_line_is_one_write_also_where_python_does_not_buffer() -> None:
    """Of a socket that keeps the bounds of messages, each message is one write."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stderr=theirs.fileno(), env=os.environ | {"PYTHONUNBUFFERED": "1"}
        )
        theirs.close()
        writes = list(iter(lambda: ours.recv(65_536), b""))
        assert child.wait() == 0
    assert len(writes) == LINES
    assert all(write.startswith(b"{") and write.endswith(b"}\n") for write in writes)


TOLD_ANYWAY = """
from tidelog.telemetry import configure_logs, logger
for configure in (lambda: None, lambda: configure_logs(form="json"), lambda: configure_logs(form="human")):
    configure()
    for _ in range(1_000):
        logger("test").warning("told")
print("went on")
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("target", ["full", "left"])
def test_a_line_that_cannot_be_written_ends_nothing(target: str, unbuffered: str) -> None:
    with log_to(target) as log:
        ended = subprocess.run(
            [sys.executable, "-c", TOLD_ANYWAY],
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    assert ended.stdout == b"went on\n"


def log_to(target: str) -> TextIO:
    """A disk that is full, or a pipe whose reader has left."""
    if target == "full":
        return open("/dev/full", "w")
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w")
