"""When a sync is ready, as a table, and that its facts are those of the run."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.chain.rig import a_node, rig
from tidelog.chain.sync.defaults import BEHIND_BLOCKS
from tidelog.chain.sync.monitoring.health import COMMIT_S, HEAD_S, Facts, Limits, readiness
from tidelog.telemetry import Readiness

GOOD = Facts(chain_id=1, head=100, goal=100, head_seen_s=0.5)


@pytest.mark.parametrize(
    ("facts", "reasons"),
    [
        (GOOD, ()),
        (Facts(), ("no endpoint has named its chain yet",)),
        (Facts(1, None, None, 0.5), ("chain 1: no block is stored yet",)),
        (Facts(1, 100, 100, None), ("chain 1: no endpoint has reported its head yet",)),
        (Facts(1, 100, 100, HEAD_S), ()),
        (Facts(1, 100, 100, HEAD_S + 1), ("chain 1: no endpoint has reported its head for 61 s",)),
        (Facts(1, 100, 100 + BEHIND_BLOCKS, 0.5), ()),
        (Facts(1, 100, 101 + BEHIND_BLOCKS, 0.5), ("chain 1: 21 blocks behind, and at most 20 are allowed",)),
        (Facts(1, 100, 50, 0.5), ()),  # the goal is below: a lagging endpoint, or --to
        (Facts(1, 100, None, 0.5), ()),
        (Facts(1, 100, 100, 0.5, COMMIT_S), ()),
        # the cause, and no symptom of it
        (Facts(1, 100, 100, 90.0, 90.0, store="db is away"), ("chain 1: the store takes no commit: db is away",)),
        (Facts(1, None, None, None, source="a: HTTP 401: key expired"), ("chain 1: a: HTTP 401: key expired",)),
        (Facts(source="a: HTTP 401: key expired"), ("the chain: a: HTTP 401: key expired",)),
        (Facts(store="db is away"), ("the chain: the store takes no commit: db is away",)),
        (
            Facts(1, 100, 100, 90.0, store="db is away", source="a: no answer"),
            ("chain 1: the store takes no commit: db is away", "chain 1: a: no answer"),
        ),
        (Facts(1, 100, 100, 0.5, COMMIT_S + 1), ("chain 1: the store has not taken a commit for 31 s",)),
    ],
)
def test_readiness_of_each_state(facts: Facts, reasons: tuple[str, ...]) -> None:
    found = readiness(facts, Limits())
    assert (found.ready, found.reasons) == (not reasons, reasons)


def test_all_reasons_are_told_and_limits_are_the_users() -> None:
    facts = Facts(1, 0, 100, HEAD_S + 1, COMMIT_S + 1)
    assert len(readiness(facts, Limits()).reasons) == 3
    assert readiness(facts, Limits(behind_blocks=100, head_s=100, commit_s=100)).ready


def test_how_endpoints_failed_of_late_is_noted_ready_or_not() -> None:
    failures = ("https://node: HTTP 429 (5 s ago)",)
    assert readiness(replace(GOOD, failures=failures), Limits()) == Readiness(True, (), failures)
    assert readiness(Facts(failures=failures), Limits()).notes == failures


async def test_facts_of_a_run(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(20)) as r:
        run = r.sync(to=17)
        assert run.facts == Facts()
        await run.run()
        facts = run.facts
        assert (facts.chain_id, facts.head, facts.goal, facts.committing_s) == (r.node.chain.chain_id, 17, 17, 0.0)
        assert facts.head_seen_s is not None
        value = r.metrics.registry.get_sample_value
        labels = {"chain": str(r.node.chain.chain_id)}
        assert value("tidelog_chain_head_block", labels) == 20
        assert value("tidelog_chain_blocks_behind", labels) == 0  # it is where it may go
        assert value("tidelog_chain_rows_total", labels | {"table": "blocks"}) == 18
        assert value("tidelog_chain_reorgs_total", labels) == 0
        assert value("tidelog_chain_head_seen_timestamp_seconds", labels) is not None
        assert value("tidelog_rpc_endpoint_identified", {"endpoint": "http://replica-0"}) == 1
        assert value("tidelog_chain_proof_failures_total", {"endpoint": "http://replica-0", "check": "bloom"}) == 0
