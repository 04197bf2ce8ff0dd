"""What a collector gets of a real recording: each batch of frames is one trace, from the socket to the API."""

import json
import re
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.collector import Collector, Told
from tests.command import Running, environment, serving, until
from tests.patience import HANGS_S
from tidelog.market.events import EventId
from tidelog.market.tracing import batch_trace


@pytest.fixture
def exchange() -> Iterator[str]:
    """`tidelog sim exchange` in a process of its own: its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tidelog", "sim", "exchange", "--port", "0"],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"ws://[^\s,]+", process.stdout.readline())
        assert found is not None
        yield found[0]
    finally:
        process.terminate()
        process.wait(HANGS_S)
        if process.stdout is not None:
            process.stdout.close()


def named(spans: list[Told], name: str) -> Told:
    (only,) = [span for span in spans if span.name == name]
    return only


def test_a_batch_is_one_trace_of_recorder_loader_and_api(exchange: str, tmp_path: Path) -> None:
    journal, db = tmp_path / "market.journal", f"sqlite:///{tmp_path}/market.db"
    command = ("market", "record", "--symbols", "BTC/USD", "--url", exchange, "--journal", str(journal), "--db", db)
    with Collector() as collector:
        env = collector.environment
        with Running(*command, log=tmp_path / "record", env=env) as run:
            collector.until(lambda spans: {"batch", "commit"} <= {span.name for span in spans}, "the first commit")
            with serving(db, "--journal", str(journal), log=tmp_path / "serve", env=env) as url:
                trades = next_trades(f"{url}/v1/markets/BTC-USD/live/trades")
                _, trace, root, flags = trades["traceparent"].split("-")
                whole = {"batch", "socket", "wait", "journal", "core", "loader", "commit", "publish"}
                collector.until(
                    lambda spans: whole == {span.name for span in spans if span.trace == trace}, "all of one batch"
                )
            assert run.interrupt() == 0
    spans = collector.by_trace()[trace]
    batch = named(spans, "batch")
    assert (batch.parent, batch.id, flags) == ("", root, "01")
    assert {span.parent for span in spans if span is not batch} == {root}
    socket, wait, commit = named(spans, "socket"), named(spans, "wait"), named(spans, "commit")
    in_order = [socket.began_ns, socket.ended_ns, wait.ended_ns, batch.ended_ns, commit.ended_ns]
    assert in_order == sorted(in_order)
    assert named(spans, "journal").ended_ns == batch.ended_ns
    assert socket.attributes["tidelog.endpoint"] == exchange.removesuffix("/v2")
    assert socket.attributes["tidelog.frames"] > 0
    assert named(spans, "core").attributes["tidelog.core.busy_ms"] > 0
    assert named(spans, "loader").attributes["tidelog.source"] == "market:kraken"
    assert named(spans, "publish").resource["tidelog.process"] == "serve"
    place = EventId(batch.attributes["tidelog.run"], batch.attributes["tidelog.first_seq"])
    with sqlite3.connect(journal) as file:
        (id_,) = file.execute("SELECT id FROM identity").fetchone()
        (count,) = file.execute("SELECT count FROM blocks WHERE run = ? AND first_seq = ?", place).fetchone()
    file.close()
    assert batch_trace(id_, place).id.hex() == trace, "who reads the journal knows the trace"
    assert batch.attributes["tidelog.records"] == count


def next_trades(url: str) -> dict[str, Any]:
    """The first trades that a stream tells, once the journal is followed."""

    def opened() -> Any:
        try:
            return urllib.request.urlopen(url)
        except urllib.error.HTTPError as error:  # 503: it is not followed yet
            error.close()
            return None

    with until(opened, "the stream") as stream:
        for line in stream:
            if line.startswith(b"data: {"):
                found: dict[str, Any] = json.loads(line[6:])
                next(iter(stream))  # the end of the event, so that the server has sent it
                return found
    raise AssertionError("the stream ended")
