"""Blocks as nodes of many chains answered them, odd in one way each: what is right of every one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.chain.oracle import held_position
from tests.chain.rig import rig
from tests.conftest import missing
from tidelog.api.rpc.objects import block_answer, place_of, receipts_answer
from tidelog.chain.decode.lenient import Oddities
from tidelog.chain.maintenance.verify import verify_range
from tidelog.chain.proof.checks import prove, rooted_count
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.proof.outcome import Outcome, Proof
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.reading.blocks import read_block
from tidelog.chain.rows.layout import BlockRows, to_rows
from tidelog.chain.rows.reading import to_bundle
from tidelog.chain.verify import prove_reading, read_bundle
from tidelog.errors import NewerNeeded, ProofFailure
from tidelog.sim.node.chain.pages import Page
from tidelog.sim.node.node import SimNode
from tidelog.sim.node.recorded import RecordedBlock, RecordedChain

CHECKED = {"hash", "uncles", "transactions", "receipts", "derived", "bloom"}
UNPROVEN = ChainSpec("chain-747", checks=("derived", "bloom"))  # neither hash nor roots are Ethereum's there


@pytest.fixture
def cases(shared: Path) -> Path:
    folder = shared / "cases" / "chain"
    if not folder.is_dir():
        missing(f"no recorded cases at {folder}: set TIDELOG_SHARED to a folder that holds cases/chain")
    return folder


def lines(cases: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (cases / f"{name}.jsonl").read_text().splitlines()]


def taken(line: dict[str, Any], spec: ChainSpec | None = None) -> tuple[BlockRows, Proof, Oddities]:
    """One block, as `tidelog.chain.verify` takes it in."""
    found = Oddities()
    known = spec or PROFILES.get(line["chain_id"], ChainSpec(f"chain-{line['chain_id']}"))
    block, receipts = (json.dumps(line[part]).encode() for part in ("block", "receipts"))
    bundle = read_bundle(block, receipts, found, chain_id=line["chain_id"])
    bundle, proof = prove_reading(bundle, receipts, known, found, senders=True)
    covered = rooted_count(bundle, known)
    rows = to_rows(line["chain_id"], bundle, proof, covered=covered, endpoint="http://node", ingested_at_ms=7)
    assert str(prove(to_bundle(rows), known, senders=True)) == str(proof), "the rows alone prove the same"
    return rows, proof, found


def unproven(proof: Proof, names: Sequence[str] = sorted(CHECKED | {"senders"})) -> dict[str, str]:
    return {name: proof.results[name].reason for name in names if proof.results[name].outcome is not Outcome.PASSED}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bera", None),
        ("contract-0x", "none"),
        ("contract-zero", "none"),
        ("dup", None),
        ("gaslimit", None),
        ("gaslimit-tx", None),
        ("no-receipt-type", "absent"),
        ("null-receipt-type", "absent"),
        ("null-tx-type", "absent"),
        ("number-ts", "unread"),
        ("root-0x", "none"),
        ("root-empty", "none"),
        ("scroll-rare", None),
        ("snake", "snake_case"),
        ("to-empty", "none"),
        ("withdrawals-null", "none"),
    ],
)
def test_a_harmless_oddity_is_read_proven_and_counted(cases: Path, name: str, kind: str | None) -> None:
    found: set[str] = set()
    for line in lines(cases, name):
        _, proof, oddities = taken(line)
        assert unproven(proof) == {}
        found |= oddities.found.keys()
    assert found == ({kind} if kind else set())


def test_a_bloom_that_is_nothing_is_not_computable_where_no_hash_proves_it(cases: Path) -> None:
    for line in lines(cases, "bloom-0x"):
        rows, proof, oddities = taken(line, UNPROVEN)
        assert unproven(proof, ("derived", "bloom")) == {"bloom": "the answer has no logsBloom"}
        assert oddities.absent == ["logsBloom"]
        assert b"logsBloom" not in block_answer(rows, full=False)
        assert b'"logsBloom":"0x' in receipts_answer(place_of(rows.block), rows.transactions, rows.logs)


def test_a_header_field_of_a_later_fork_is_named_and_a_newer_tidelog_wanted(cases: Path) -> None:
    good, *later = lines(cases, "newfield-known")
    assert unproven(taken(good)[1]) == {}
    for line in later:
        with pytest.raises(NewerNeeded, match=r"`inclusionListRoot`.*a newer tidelog is needed") as caught:
            taken(line)
        assert caught.value.fields == ("inclusionListRoot",)
        assert caught.value.exit_code == 2


def test_state_sync_transactions_under_the_roots_cannot_be_recomputed_and_their_receipts_can(cases: Path) -> None:
    """PIP-74: type 0x7f, whose fields are in no answer."""
    for line in lines(cases, "pip74"):
        _, proof, _ = taken(line)
        kinds = {tx["type"] for tx in line["block"]["transactions"]}
        reasons = {"transactions": "type 0x7f", "senders": "type 0x7f"} if "0x7f" in kinds else {}
        assert unproven(proof) == reasons
        if "0x7f" in kinds:
            line["receipts"][-1]["logs"][0]["data"] = "0x" + "08" * 32
            with pytest.raises(ProofFailure, match="receipts root"):
                taken(line)


@pytest.mark.parametrize(("name", "field"), [("scroll-rare", "queueIndex"), ("bera", "gasPrice")])
def test_a_field_of_type_0x7e_that_is_altered_is_refused_on_its_chain(cases: Path, name: str, field: str) -> None:
    line = next(line for line in lines(cases, name) if line["block"]["transactions"][0]["type"] == "0x7e")
    line["block"]["transactions"][0][field] = "0x12345"
    with pytest.raises(ProofFailure, match="transactions differs"):
        taken(line)


def test_type_0x7e_of_no_known_form_is_kept_raw_and_said(cases: Path) -> None:
    line = next(line for line in lines(cases, "scroll-rare") if line["block"]["transactions"][0]["type"] == "0x7e")
    line["block"]["transactions"][0]["queueIndex"] = "0x12345"
    rows, proof, _ = taken(line, ChainSpec("chain-534352"))
    assert unproven(proof, ("transactions", "receipts")) == {"transactions": "type 0x7e"}
    assert json.loads(block_answer(rows, full=True))["transactions"][0]["queueIndex"] == "0x12345"


@pytest.mark.parametrize("name", ["scroll-rare", "bera"])
def test_transactions_of_type_0x7e_are_given_back_as_they_came(cases: Path, name: str) -> None:
    for line in lines(cases, name):
        rows, _, _ = taken(line)
        given = json.loads(block_answer(rows, full=True))
        for tx, other in zip(line["block"]["transactions"], given["transactions"], strict=True):
            assert {field: other.get(field) for field in tx} == tx
        assert {field: given.get(field) for field in line["block"] if field not in ("transactions", "size")} == {
            field: value for field, value in line["block"].items() if field not in ("transactions", "size")
        }


def test_a_deposit_without_its_source_hash_is_refused_on_the_op_stack(cases: Path) -> None:
    line = next(line for line in lines(cases, "scroll-rare") if line["block"]["transactions"][0]["type"] == "0x7e")
    del line["block"]["transactions"][0]["queueIndex"]
    with pytest.raises(ProofFailure, match="sourceHash"):
        taken(line, PROFILES[10])


def test_a_receipt_too_many_is_refused_with_both_counts(cases: Path) -> None:
    """Celo's epoch blocks have a receipt that is no transaction's."""
    assert len(lines(cases, "celo-extra")) == 3
    first, _, last = lines(cases, "celo-extra")
    for line in (first, last):
        assert unproven(taken(line)[1]) == {}


# -- the whole way: a node that answers so, a sync, the store verified, JSON-RPC back out -------------------------


def node_of(told: list[dict[str, Any]]) -> SimNode:
    """A node that has these blocks, all of them final."""
    blocks = []
    for line in told:
        block, receipts = (json.dumps(line[part]).encode() for part in ("block", "receipts"))
        own, parent = (bytes.fromhex(line["block"][name][2:]) for name in ("hash", "parentHash"))
        blocks.append(RecordedBlock(int(line["block"]["number"], 16), own, parent, Page(block, receipts)))
    return SimNode(RecordedChain(told[0]["chain_id"], blocks))


WHOLE = (
    *("bera", "contract-0x", "contract-zero", "gaslimit", "gaslimit-tx", "no-receipt-type", "null-receipt-type"),
    *("null-tx-type", "number-ts", "pip74", "root-0x", "root-empty", "scroll-rare", "snake", "to-empty"),
    "withdrawals-null",
)


@pytest.mark.parametrize("name", WHOLE)
async def test_odd_blocks_are_synced_counted_verified_and_served(
    cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    told = lines(cases, name)
    chain_id = told[0]["chain_id"]
    if chain_id not in PROFILES:  # too few blocks to probe the chain by
        monkeypatch.setitem(PROFILES, chain_id, ChainSpec(f"chain-{chain_id}"))
    first, last = (int(line["block"]["number"], 16) for line in (told[0], told[-1]))
    async with rig(tmp_path, node_of(told)) as r:
        await r.once(first=first, to=last, senders=True)
        assert (await held_position(r.store, chain_id)).head == last  # type: ignore[union-attr]
        report = await verify_range(r.store, r.runtime, chain_id, first, last)
        assert report.findings == []
        async with r.store.snapshot() as snapshot:
            rows = await read_block(snapshot, chain_id, last)
        assert rows is not None
        answer = json.loads(block_answer(rows, full=True))
        for field in ("hash", "gasLimit", "gasUsed", "transactionsRoot"):
            assert answer[field] == told[-1]["block"][field]


async def test_a_sync_goes_up_to_the_last_block_that_proves_before_a_later_fork(cases: Path, tmp_path: Path) -> None:
    told = lines(cases, "newfield-known")
    async with rig(tmp_path, node_of(told)) as r:
        with pytest.raises(NewerNeeded, match=r"block 40 .*`inclusionListRoot`"):
            await r.once(first=39, to=41)
        assert (await held_position(r.store, 1)).head == 39  # type: ignore[union-attr]
