"""examples/crossover.py: what it does live it does again in a replay, by the compiled core and without it."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.command import environment
from tests.patience import HANGS_S
from tests.system.test_market_kill import Exchange

EXAMPLE = Path(__file__).parents[2] / "examples" / "crossover.py"
TRADES = 400


class TroubledExchange(Exchange):
    def fault(self, *words: object) -> None:
        body = json.dumps(["fault", *words]).encode()
        with urllib.request.urlopen(f"{self._server.rest_url}/sim", body, timeout=HANGS_S) as answer:
            assert answer.status == 200


def played(path: str, folder: Path, *arguments: str) -> str:
    """The last line of a run by one of the two paths ("python", "auto")."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "--trades", str(TRADES), *arguments],
        env=environment({"TIDELOG_CORE": path}),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HANGS_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("path", ["python", "auto"])
def test_a_replay_trades_as_the_live_run_did_whichever_core_is_used(path: str, tmp_path: Path) -> None:
    exchange = TroubledExchange(7)
    with exchange:
        exchange.fault("checksum_wrong", 0.02, None, None, "book", "BTC/USD")  # some orders find an unproven book
        live = played(path, tmp_path, "--url", exchange.url, "--journal", "paper.journal")
    found = re.fullmatch(r"(\d+) trades, (\d+) orders filled, (\d+) not, cash (-?[\d.]+), holds ([\d.]+)", live)
    assert found is not None, live
    assert int(found[1]) >= TRADES
    assert int(found[2]) > 0
    for other in ("python", "auto"):
        assert played(other, tmp_path, "--replay", "paper.journal") == live
