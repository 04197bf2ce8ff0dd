"""What a collector gets of a real sync: one trace for each block, in whichever process its parts were."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.collector import Collector, Told
from tests.command import Finished, Running, digest, environment, serving, tidelog
from tests.simulated import Simulated
from tidelog.chain.tracing import BLOCKS_MAX, block_trace
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.telemetry.otel import FLUSH_MS

CHAIN_ID = 1337
BLOCKS = 40
KEY = "canary0123456789"
ROOT_ONLY = "the first span of a trace has no parent, and all others are its children"


@pytest.fixture
def node() -> Iterator[Simulated]:
    with Simulated(BlockTree(seed=3, blocks=BLOCKS)) as served:
        yield served


def synced(node: Simulated, db: str, env: dict[str, str], *flags: str) -> Finished:
    done = tidelog("chain", "sync", "--rpc", node.path(f"v2/{KEY}"), "--db", db, *flags, env=env)
    assert done.code == 0, done.err
    return done


def named(spans: list[Told], name: str) -> Told:
    (only,) = [span for span in spans if span.name == name]
    return only


def test_each_block_is_one_trace_from_the_request_to_the_commit(node: Simulated, tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/chain.db"
    with Collector() as collector:
        before_ns = time.time_ns()
        synced(node, db, {**collector.environment, "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"})
        traces = collector.by_trace()
    after_ns = time.time_ns()
    blocks = {}
    for spans in traces.values():
        root = named(spans, "block")
        assert root.parent == "", ROOT_ONLY
        assert {span.parent for span in spans if span is not root} == {root.id}, ROOT_ONLY
        assert sorted({span.name for span in spans}) == ["block", "commit", "fetch", "verify", "wait"]
        fetch, verify, wait, commit = (named(spans, name) for name in ("fetch", "verify", "wait", "commit"))
        in_order = [fetch.began_ns, fetch.ended_ns, verify.began_ns, verify.ended_ns, wait.ended_ns, commit.ended_ns]
        assert in_order == sorted(in_order)
        assert (wait.began_ns, wait.ended_ns) == (verify.ended_ns, commit.began_ns)
        assert before_ns <= root.began_ns == fetch.began_ns
        assert commit.ended_ns == root.ended_ns <= after_ns
        assert fetch.attributes["tidelog.endpoint"] == node.url.rstrip("/")
        assert root.resource["service.name"] == "tidelog"
        assert root.resource["tidelog.process"] == "chain sync"
        assert root.resource["deployment.environment.name"] == "test"
        blocks[root.attributes["tidelog.block"]] = root
    assert sorted(blocks) == list(range(BLOCKS + 1))
    for number, root in blocks.items():
        block = node.tree.canonical(number)
        assert root.attributes["tidelog.block.hash"] == "0x" + block.hash.hex()
        assert root.attributes["tidelog.chain"] == CHAIN_ID
    assert not any(KEY.encode() in body for body in collector.bodies), "an endpoint's key is in no span"


def test_a_failed_request_is_in_the_trace_of_the_block_with_its_reason(node: Simulated, tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/chain.db"
    number = next(number for number in range(7, BLOCKS) if node.tree.canonical(number).page.transaction_hashes)
    node.do(lambda: node.node.tell("transaction_altered", blocks=[number], times=2))
    with Collector() as collector:
        synced(node, db, collector.environment)
        failed = [span for span in collector.spans if span.name == "fetch" and span.error is not None]
        traces = collector.by_trace()
    assert failed
    assert all(f"block {number} from" in (span.error or "") and "differs" in (span.error or "") for span in failed)
    for span in failed:
        spans = traces[span.trace]
        assert [each.error for each in spans if each.name == "fetch"][-1] is None, "the last one gave it"
        assert span.parent == named(spans, "block").id
        assert KEY not in str(span)


def test_proofs_in_other_processes_are_timed_where_they_were_made(node: Simulated, tmp_path: Path) -> None:
    with Simulated(BlockTree(seed=3, blocks=300)) as large, Collector() as collector:
        synced(large, f"sqlite:///{tmp_path}/chain.db", collector.environment, "--jobs", "2")
        verified = sorted((span for span in collector.spans if span.name == "verify"), key=lambda span: span.began_ns)
    assert len(verified) > BLOCKS_MAX
    assert all(span.began_ns < span.ended_ns for span in verified)


def test_of_a_large_commit_some_blocks_are_told_and_all_that_is_sampled_is_the_same_everywhere(
    tmp_path: Path,
) -> None:
    with Simulated(BlockTree(seed=3, blocks=400)) as large, Collector() as collector:
        env = {**collector.environment, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
        synced(large, f"sqlite:///{tmp_path}/chain.db", env)
        traces = collector.by_trace()
    assert 0 < len(traces) < 200
    # OpenTelemetry's ratio goes by the last eight bytes of the id: so do all processes
    assert all(int(trace[16:], 16) < 0.25 * 2**64 for trace in traces)


def test_a_change_goes_on_with_its_blocks_trace_in_another_process(node: Simulated, tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/chain.db"
    with Collector() as collector:
        env = collector.environment
        synced(node, db, env)
        command = ("chain", "sync", "--rpc", node.url, "--db", db, "--follow", "--poll", "0.1")
        with (
            Running(*command, log=tmp_path / "sync", env=env),
            serving(db, log=tmp_path / "serve", env=env) as url,
            urllib.request.urlopen(f"{url}/v1/chains/{CHAIN_ID}/live/changes?after={BLOCKS}") as stream,
        ):
            old = next_data(stream)
            node.do(lambda: node.tree.extend(1))
            new = next_data(stream)
            assert (old["number"], new["number"]) == (BLOCKS, BLOCKS + 1)
            version, trace, root, flags = new["traceparent"].split("-")
            assert (version, flags) == ("00", "01")
            collector.until(
                lambda spans: {"block", "publish"} <= {span.name for span in spans if span.trace == trace},
                "both processes' spans",
            )
            spans = collector.by_trace()[trace]
    block, publish = named(spans, "block"), named(spans, "publish")
    assert block.id == root == publish.parent
    assert block.attributes["tidelog.block"] == BLOCKS + 1
    assert publish.attributes["tidelog.change"] == new["seq"]
    assert (block.resource["tidelog.process"], publish.resource["tidelog.process"]) == ("chain sync", "serve")
    told_before = [span for span in collector.by_trace()[old["traceparent"].split("-")[1]] if span.name == "publish"]
    assert told_before == [], "what was there before a listener came is no news"


def next_data(stream: Any) -> dict[str, Any]:
    for line in stream:
        if line.startswith(b"data: "):
            found: dict[str, Any] = json.loads(line[6:])
            return found
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("trouble", ["hang", "refuse", "away"])
def test_a_collector_that_hangs_refuses_or_is_away_costs_spans_and_nothing_else(
    trouble: str, node: Simulated, tmp_path: Path
) -> None:
    db, plain = f"sqlite:///{tmp_path}/chain.db", f"sqlite:///{tmp_path}/plain.db"
    synced(node, plain, {})
    with Collector(hang=trouble == "hang", refuse=trouble == "refuse") as collector:
        env = {**collector.environment, "OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "50"}
        del env["OTEL_BSP_EXPORT_TIMEOUT"]
        if trouble == "away":
            env["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
        done = synced(node, db, env)
    assert digest(db) == digest(plain)
    events = [json.loads(line) for line in done.err.splitlines()]
    lost = sum(event["spans"] for event in events if event["event"] == "traces_lost")
    assert lost == 5 * (BLOCKS + 1), "each span that was not sent is counted"
    ended = next(event["timestamp"] for event in events if event["event"] == "done")
    assert ended
    assert "Traceback" not in done.err
    assert {event["event"] for event in events} <= {"core", "done", "traces_lost", "progress"}
    assert FLUSH_MS <= 2_000


def test_without_the_variables_nothing_of_opentelemetry_is_loaded(node: Simulated, tmp_path: Path) -> None:
    program = (
        "import sys; from tidelog.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'google.protobuf', 'requests'))])"
    )
    arguments = ["chain", "sync", "--rpc", node.url, "--db", f"sqlite:///{tmp_path}/chain.db"]
    for off in ({}, {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, {"OTEL_TRACES_EXPORTER": "none"}):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=environment(off),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER is 'zipkin': traces are sent by otlp"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc': traces are sent by http"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT is no URL"),
    ],
)
def test_a_way_that_there_is_not_is_one_sentence(
    variable: str, value: str, words: str, node: Simulated, tmp_path: Path
) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", variable: value}
    done = tidelog("chain", "sync", "--rpc", node.url, "--db", f"sqlite:///{tmp_path}/chain.db", env=env)
    assert done.code == 2
    assert done.err.startswith(f"tidelog: {words}")
    assert done.err.count("\n") == 1


def test_the_trace_of_a_block_is_made_of_chain_writer_and_hash() -> None:
    one = block_trace(1, 5, b"\1" * 32)
    assert one == block_trace(1, 5, b"\1" * 32)
    others = {block_trace(2, 5, b"\1" * 32), block_trace(1, 6, b"\1" * 32), block_trace(1, 5, b"\2" * 32)}
    assert one not in others
    assert len(others) == 3
    assert (len(one.id), len(one.root)) == (16, 8)
