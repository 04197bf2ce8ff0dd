"""A line of the log is one write: processes that share standard error do not write into each other's lines."""

import os
import socket
import subprocess
import sys

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
