"""Answers in other words: read as what they say, counted, and the same rows as from the plain words."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chain.answers import Answers, answers_of, bundle_of, proven, recorded, simulated
from tests.sim.asking import full_node, ledger_of
from tidelog.chain import extra as own
from tidelog.chain.decode.lenient import KINDS, NUMBER_MAX, Oddities
from tidelog.chain.decode.strict import decode_header
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.proof.outcome import Outcome
from tidelog.chain.proof.spec import ALL, ChainSpec
from tidelog.chain.rows.reading import to_bundle
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.chain.verify import prove_reading, read_bundle
from tidelog.errors import NewerNeeded, ProofFailure, Rejected
from tidelog.sim.node.chain.methods import Question
from tidelog.sim.node.lies import LIES, Asked

FORKS = ("frontier", "berlin", "london", "shanghai", "cancun", "prague")
ODDITIES = sorted(name for name, lie in LIES.items() if lie.harmless)
STYLES = ("zero_as_0x", "leading_zeros", "uppercase_hex")  # lies that change no meaning

Change: TypeAlias = Callable[[dict[str, Any], list[dict[str, Any]]], object]


def told(name: str, answers: Answers) -> Answers:
    """The answers as a node with this oddity gives them."""
    node = full_node()
    chain, lie = ledger_of(node), LIES[name]
    parts: dict[str, Any] = {}
    for method, part in (("eth_getBlockByNumber", "block"), ("eth_getBlockReceipts", "receipts")):
        text = getattr(answers, part)
        if method in lie.methods:
            assert lie.call is not None
            question = Question(chain, chain.head, method, ("latest", True))
            parts[part] = json.dumps(lie.call(Asked(question, json.loads(text), None, None))).encode()  # type: ignore[arg-type]
    return answers._replace(**parts)


def content(answers: Answers) -> list[Any]:
    """What the store's digest is over."""
    rows, _ = proven(answers)
    return [
        tuple(value for column, value in zip(table.columns, row, strict=True) if column.content)
        for table, kind in (
            (BLOCKS, [rows.block]),
            (TRANSACTIONS, rows.transactions),
            (LOGS, rows.logs),
            (WITHDRAWALS, rows.withdrawals),
        )
        for row in kind
    ]


def oddities_of(answers: Answers, spec: ChainSpec | None = None) -> dict[str, str]:
    found = Oddities()
    bundle = read_bundle(answers.block, answers.receipts, found, chain_id=answers.chain_id)
    prove_reading(bundle, answers.receipts, spec or answers.spec, found)
    return found.found


def changed(fork: str, change: Change) -> Answers:
    block, receipts = simulated(fork).parsed()
    change(block, receipts)
    return answers_of(block, receipts, 1)


# -- every oddity, and any mixture of them -------------------------------------------------------------------


@pytest.mark.parametrize("fork", FORKS)
@pytest.mark.parametrize("name", [*ODDITIES, *STYLES])
def test_an_odd_answer_gives_the_same_rows_as_the_plain_one(name: str, fork: str) -> None:
    assert content(told(name, simulated(fork))) == content(simulated(fork))


@settings(max_examples=60)
@given(st.sampled_from(FORKS), st.lists(st.sampled_from([*ODDITIES, *STYLES]), unique=True, max_size=8))
def test_any_mixture_of_oddities_gives_the_same_rows(fork: str, names: list[str]) -> None:
    answers = simulated(fork)
    if "odd_snake_case" in names:  # other oddities are told of names in camel case
        names = [*(name for name in names if name != "odd_snake_case"), "odd_snake_case"]
    for name in names:
        answers = told(name, answers)
    assert content(answers) == content(simulated(fork))


@pytest.mark.parametrize("fork", FORKS)
@pytest.mark.parametrize("name", sorted({*ODDITIES, *STYLES} - {"odd_own_fields"}))
def test_no_field_of_a_header_in_other_words_is_taken_for_the_nodes_own(name: str, fork: str) -> None:
    odd = decode_header(told(name, simulated(fork)).block)
    assert own.own_fields(odd.extra).keys() == {"size"}


def test_plain_answers_are_not_odd() -> None:
    for fork in FORKS:
        assert oddities_of(simulated(fork)) == {}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("odd_numbers", "number"),
        ("odd_snake_case", "snake_case"),
        ("odd_prefix", "uppercase"),
        ("odd_none_0x", "none"),
        ("odd_none_empty", "none"),
        ("odd_contract_zero", "none"),
        ("odd_receipt_type_missing", "absent"),
        ("odd_receipt_type_null", "absent"),
        ("odd_type_null", "absent"),
        ("odd_bloom_0x", "absent"),
        ("odd_root_beside_status", "root_and_status"),
        ("odd_logs_null", "none"),
        ("odd_header_short", "absent"),
        ("odd_zero_for_absent", "zero_for_absent"),
        ("odd_lists", "none"),
        ("odd_input_as_data", "input_as_data"),
        ("odd_timestamps", "unread"),
        ("odd_own_fields", "extra_dropped"),
        ("zero_as_0x", "empty_number"),
        ("leading_zeros", "leading_zeros"),
        ("uppercase_hex", "uppercase"),
    ],
)
def test_each_oddity_is_counted_by_its_kind(name: str, kind: str) -> None:
    counted = set().union(*(oddities_of(told(name, simulated(fork))) for fork in ("london", "prague")))
    assert kind in counted
    assert counted <= KINDS.keys()


@pytest.mark.parametrize("fork", FORKS[:-1])  # an authorization's chain id and parity have no other source
def test_a_transaction_without_its_chain_id_signs_the_chains(fork: str) -> None:
    assert content(told("optional_missing", simulated(fork))) == content(simulated(fork))


def test_every_oddity_of_the_simulated_node_is_tried() -> None:
    assert len(ODDITIES) >= 18


# -- what has one reading, and what has several --------------------------------------------------------------


def test_an_oddity_is_counted_with_the_path_of_its_first_place() -> None:
    answers = changed("prague", lambda b, r: b["transactions"][2].update(nonce=int(b["transactions"][2]["nonce"], 16)))
    assert oddities_of(answers) == {"number": "$.transactions[2].nonce"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("gasUsed", "21000"),  # decimal or hex: nobody can say
        ("gasUsed", NUMBER_MAX + 1),
        ("gasUsed", 21000.0),
        ("gasUsed", True),
        ("stateRoot", "0x1"),
        ("transactionsRoot", None),
        ("transactions", None),
    ],
)
def test_what_has_several_readings_is_refused_with_its_path(path: str, value: object) -> None:
    with pytest.raises(Rejected, match=rf"{path}|Expected `array`"):
        proven(changed("prague", lambda b, r: b.update({path: value})))


def test_no_transactions_are_null_only_where_the_root_says_so() -> None:
    block, _ = simulated("prague").parsed()
    empty = {**block, "transactions": None, "transactionsRoot": "0x" + EMPTY_ROOT_HEX}
    found = Oddities()
    assert read_bundle(json.dumps(empty).encode(), b"[]", found).block.transactions == ()
    assert found.found["none"] == "$.transactions"


EMPTY_ROOT_HEX = "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


def test_logs_are_null_only_where_the_bloom_says_that_there_are_none() -> None:
    def hide(block: dict[str, Any], receipts: list[dict[str, Any]]) -> None:
        next(receipt for receipt in receipts if receipt["logs"])["logs"] = None

    with pytest.raises(Rejected, match="logs"):
        proven(changed("prague", hide))


def test_a_type_that_no_hash_fits_is_refused_by_its_path() -> None:
    def hide(block: dict[str, Any], receipts: list[dict[str, Any]]) -> None:
        at = next(i for i, tx in enumerate(block["transactions"]) if tx["type"] == "0x2")
        block["transactions"][at] |= {"type": None, "value": "0x7"}

    with pytest.raises((Rejected, ProofFailure), match=r"type` *$|its hash"):
        proven(changed("prague", hide))


@pytest.mark.parametrize("name", ["difficulty", "sha3Uncles", "gasLimit", "extraData"])
def test_a_field_left_out_that_the_hash_needs_is_named(name: str) -> None:
    block, receipts = simulated("berlin").parsed()  # its difficulty is not zero
    if name == "sha3Uncles":
        block["gasUsed"] = hex(int(block["gasUsed"], 16) + 1)  # of no uncles it can be computed: another field is wrong
    del block[name]
    with pytest.raises(Rejected, match=rf"leaves out a field.*`\$\.{name}`"):
        proven(answers_of(block, receipts, 1))


def test_a_header_field_of_a_later_fork_is_named() -> None:
    block, receipts = simulated("prague").parsed()
    wrong = {**block, "inclusionListRoot": "0x" + "11" * 32}
    with pytest.raises(ProofFailure, match="hash") as caught:  # its presence makes no right hash: it may be a lie
        proven(answers_of({**wrong, "stateRoot": "0x" + "22" * 32}, receipts, 1))
    assert not isinstance(caught.value, NewerNeeded)
    assert "`inclusionListRoot`" in str(caught.value)
    assert content(answers_of(wrong, receipts, 1)) == content(simulated("prague")), "not hashed: the node's own"


def test_a_status_beside_the_root_of_old_receipts_is_read_by_the_receipts_root() -> None:
    """Before Byzantium the root is under the receipts root; some nodes compute a status for it."""
    answers = changed("frontier", lambda b, r: [receipt.update(status="0x1") for receipt in r])
    assert content(answers) == content(simulated("frontier"))
    assert "root_and_status" in oddities_of(answers)


# -- where the hash cannot be checked, nothing is stored that nobody told --------------------------------------

BLIND = ChainSpec("blind", checks=tuple(name for name in ALL if name not in ("hash", "uncles")))


def test_a_bloom_that_nothing_proves_is_not_computable() -> None:
    block, receipts = told("odd_header_short", told("odd_bloom_0x", simulated("prague"))).parsed()
    found = Oddities()
    bundle = read_bundle(json.dumps(block).encode(), json.dumps(receipts).encode(), found)
    bundle, proof = prove_reading(bundle, b"[]", BLIND, found)
    assert proof.results["bloom"].outcome is Outcome.NOT_COMPUTABLE
    assert (bundle.block.header.logs_bloom, bundle.block.header.ommers_hash) == (b"", b"")
    assert found.absent == ["logsBloom", "sha3Uncles", "difficulty"]


# -- what a node adds of its own is bounded --------------------------------------------------------------------


def test_own_fields_are_kept_up_to_a_limit_the_smallest_first() -> None:
    def add(block: dict[str, Any], receipts: list[dict[str, Any]]) -> None:
        block["big"] = "x" * own.OBJECT_BYTES_MAX
        block["small"] = "y" * 100

    found = Oddities()
    answers = changed("prague", add)
    bundle = read_bundle(answers.block, answers.receipts, found)
    assert bundle.block.extra is not None
    assert json.loads(bundle.block.extra).keys() == {"size", "small"}
    assert found.found == {"extra_dropped": "$.big"}


def test_own_fields_of_a_whole_block_are_bounded() -> None:
    """31 blocks became 19 MB."""
    answers = told("odd_own_fields", simulated("prague"))
    bundle = read_bundle(answers.block, answers.receipts, Oddities())
    kept = [bundle.block.extra, *(item.extra for item in (*bundle.block.transactions, *bundle.receipts))]  # type: ignore[attr-defined]
    size = sum(len(text) for text in kept if text)
    assert size <= own.BLOCK_BYTES + own.TRANSACTION_BYTES * len(bundle.block.transactions)
    assert size > own.OBJECT_BYTES_MAX / 2


def test_a_field_that_some_chain_hashes_is_kept_where_it_can_be_one() -> None:
    """Megabytes under the name of one were stored with every block."""
    for size, is_kept in ((1_000, True), (5_000, False)):

        def add(block: dict[str, Any], receipts: list[dict[str, Any]], size: int = size) -> None:
            block["signature"] = "0x" + "ab" * (size // 2)
            block["big"] = "x" * own.OBJECT_BYTES_MAX
            block["others"] = "y" * (own.OBJECT_BYTES_MAX - 500)
            block["transactions"][0]["queueIndex"] = receipts[0]["baseFee"] = "0x" + "0" * 8 * own.OBJECT_BYTES_MAX

        found = Oddities()
        answers = changed("prague", add)
        bundle = read_bundle(answers.block, answers.receipts, found)
        assert own.own_fields(bundle.block.extra).keys() == {"size", "signature" if is_kept else "others"}
        assert bundle.block.transactions[0].extra is bundle.receipts[0].extra is None


@pytest.mark.parametrize("name", ["own", "step"])
def test_own_fields_that_are_nested_deeply_are_not_kept(name: str) -> None:
    """They were, as deep as the stack of who took them in allowed; who had less of it could not read the block."""

    def add(block: dict[str, Any], receipts: list[dict[str, Any]]) -> None:
        block["flat"] = block["transactions"][0]["flat"] = [['"[{\\'] for _ in range(100)]
        block[name] = block["transactions"][0][name] = receipts[0][name] = "DEEP"

    for depth, is_kept in ((30, True), (200, False)):
        block, receipts, _ = changed("prague", add)
        nested = b"[" * depth + b"]" * depth
        found = Oddities()
        bundle = read_bundle(block.replace(b'"DEEP"', nested), receipts.replace(b'"DEEP"', nested), found)
        of_block = own.own_fields(bundle.block.extra).keys() - {"size"}
        assert of_block == own.own_fields(bundle.block.transactions[0].extra).keys() == {"flat", *[name] * is_kept}
        assert (bundle.receipts[0].extra is not None) == is_kept
        assert found.found == ({} if is_kept else {"extra_dropped": f"$.{name}"})


def test_what_is_remembered_of_own_fields_is_bounded() -> None:
    """A node that adds megabytes to each block filled the memory with the last thousand of them."""
    before = own._parsed.cache_info().misses
    for size, remembered in ((8, 1), (own.OBJECT_BYTES_MAX, 0)):
        text = json.dumps({"step": "x" * size, "of": "the test of what is remembered"})
        assert own.own_fields(text)["step"] == "x" * size
        assert own._parsed.cache_info().misses - before == remembered
        before = own._parsed.cache_info().misses


def test_own_fields_of_usual_size_are_all_kept(shared: Any) -> None:
    for chain, number in (("arbitrum", 150000000), ("polygon", 50000000), ("cronos", 68215)):
        answers = recorded(shared, chain, number)
        assert "extra_dropped" not in oddities_of(answers)
        whole = bundle_of(answers)
        bounded = read_bundle(answers.block, answers.receipts, Oddities())
        assert [tx.extra for tx in bounded.block.transactions] == [tx.extra for tx in whole.block.transactions]


def test_rows_of_a_block_told_oddly_are_the_block() -> None:
    rows, proof = proven(told("odd_bloom_0x", simulated("cancun")))
    assert to_bundle(rows).block.header == bundle_of(simulated("cancun")).block.header
    assert proof.results["bloom"].outcome is Outcome.PASSED
    assert PROFILES[1].name == "ethereum"


def test_the_page_on_odd_answers_lists_every_kind() -> None:
    page = (Path(__file__).parents[3] / "docs" / "odd-answers.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page.partition("## How")[0], re.MULTILINE))
    assert listed == KINDS
