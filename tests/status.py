"""What a command that runs with `--status` says of itself, asked from outside."""

import json
import re
import urllib.error
import urllib.request

from tests.patience import HANGS_S

__all__ = ["metric", "readiness"]


def readiness(port: int) -> tuple[int, list[str]]:
    """What `/readyz` says: its code, and the reasons. 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=HANGS_S) as answer:
            return answer.status, json.loads(answer.read())["reasons"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())["reasons"]
    except OSError:
        return 0, []


def metric(port: int, name: str) -> float | None:
    """The value of a metric without labels; None where it is not there, or nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=HANGS_S) as answer:
            found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else float(found[1])
