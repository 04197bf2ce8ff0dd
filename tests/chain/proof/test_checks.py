"""What becomes of each check, for real blocks, broken ones, and blocks of chains with rules of their own."""

import json
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ethereum.forks.frontier import transactions as frontier
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.chain.answers import FULL, Answers, answers_of, bundle_of, proven, recorded, simulated
from tests.sim import specification
from tidelog.chain.blocks import Bundle, Receipt, Transaction
from tidelog.chain.decode.strict import decode_block, decode_receipts
from tidelog.chain.encoding.derived import contract_address, effective_gas_price, state_sync_hash
from tidelog.chain.encoding.items import encode_header, encode_receipt, encode_transaction, keccak, logs_bloom
from tidelog.chain.encoding.rlp import EMPTY_LIST
from tidelog.chain.encoding.trie import EMPTY_ROOT, ordered_root
from tidelog.chain.proof import senders
from tidelog.chain.proof.checks import assess, prove, rooted_count
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.proof.outcome import CHECKS, Outcome, Proof, Result, parse_proof, with_parent
from tidelog.chain.proof.senders import recover_sender
from tidelog.chain.proof.spec import ALL, ChainSpec
from tidelog.chain.rows.tables import TRANSACTIONS
from tidelog.errors import ConfigError, Corruption, ProofFailure
from tidelog.sim.node.chain.block_builder import FORKS
from tidelog.sim.node.chain.secp256k1 import ORDER
from tidelog.sim.node.chain.tree import BlockTree

pytestmark = pytest.mark.usefixtures("proofs_on_both_paths")

# -- the recorded blocks: + passed, ? not computable, - not applicable ------------------------------------------


@pytest.mark.parametrize(
    ("chain", "number", "hash_", "uncles", "transactions", "receipts", "derived", "bloom", "withdrawals", "senders"),
    [
        # chain       number    hash uncl txs  rcpt der  bloom wdr send
        ("ethereum", 1000000, "+", "+", "+", "+", "+", "+", "-", "+"),
        ("ethereum", 4369999, "+", "+", "+", "+", "+", "+", "-", "+"),  # the last block before Byzantium
        ("ethereum", 18000000, "+", "+", "+", "+", "+", "+", "+", "+"),
        ("ethereum", 18500000, "+", "+", "+", "+", "+", "+", "+", "+"),
        ("polygon", 50000000, "+", "+", "+", "+", "+", "+", "-", "+"),
        ("arbitrum", 150000000, "+", "+", "?", "+", "?", "+", "?", "?"),  # a transaction of type 0x6a
        ("cronos", 10000, "?", "+", "?", "?", "?", "+", "?", "+"),
        ("cronos", 6542, "?", "+", "?", "?", "?", "+", "?", "+"),
        ("cronos", 68215, "?", "+", "?", "?", "?", "+", "?", "+"),
    ],
)
def test_recorded_blocks_are_proven(
    shared: Path,
    chain: str,
    number: int,
    hash_: str,
    uncles: str,
    transactions: str,
    receipts: str,
    derived: str,
    bloom: str,
    withdrawals: str,
    senders: str,
) -> None:
    _, proof = proven(recorded(shared, chain, number), senders=True)
    signs = (hash_, "-", uncles, transactions, receipts, derived, bloom, withdrawals, senders)
    assert {name: result.outcome.value for name, result in proof.results.items()} == dict(
        zip(CHECKS, signs, strict=True)
    )
    assert proof.roots == (chain in ("ethereum", "polygon"))
    assert set(proof.lowered) == {name for name, sign in zip(CHECKS, signs, strict=True) if sign == "?"}


@pytest.mark.parametrize(
    ("number", "check", "words"),
    [
        (6541, "receipts", "the number of receipts 1, got 0"),
        (68216, "receipts", "the number of receipts 2, got 1"),
        (131465, "receipts", "the number of receipts 3, got 2"),
        (11446765, "bloom", "the block's bloom"),
    ],
)
def test_broken_answers_are_refused(shared: Path, number: int, check: str, words: str) -> None:
    with pytest.raises(ProofFailure, match=words) as caught:
        proven(recorded(shared, "cronos", number))
    assert (caught.value.check, caught.value.subject) == (check, f"block {number}")


@pytest.mark.parametrize("fork", FORKS)
def test_simulated_blocks_pass_every_check_that_their_fork_has(fork: str) -> None:
    bundle = bundle_of(simulated(fork))
    parent = bundle.block.header.parent_hash
    proof = prove(bundle, PROFILES[1], parent_hash=parent, senders=True)
    absent = {"withdrawals"} if FORKS[fork].header_fields < 17 else set()
    for name, result in proof.results.items():
        assert result == Result(Outcome.NOT_APPLICABLE if name in absent else Outcome.PASSED)
    assert proof.roots
    assert not proof.lowered


# -- each check, failing ----------------------------------------------------------------------------------------


def failure(answers: Answers, **options: Any) -> ProofFailure:
    with pytest.raises(ProofFailure) as caught:
        prove(bundle_of(answers), answers.spec, endpoint="https://node", **options)
    return caught.value


def edited(edit: Callable[[dict[str, Any], list[dict[str, Any]]], object], fork: str = "prague") -> Answers:
    block, receipts = simulated(fork).parsed()
    edit(block, receipts)
    return answers_of(block, receipts, 1)


ZEROS = "0x" + "00" * 32


@pytest.mark.parametrize(
    ("check", "edit", "words"),
    [
        ("hash", lambda b, r: b.update(stateRoot=ZEROS), "the header's hash"),
        ("hash", lambda b, r: b.pop("mixHash"), "missing"),
        ("hash", lambda b, r: b.pop("blobGasUsed"), "missing"),
        ("uncles", lambda b, r: b.update(uncles=[ZEROS]), "the number of uncles 0, got 1"),
        ("transactions", lambda b, r: b["transactions"][2].update(value="0x1"), "transaction 2: its hash"),
        ("receipts", lambda b, r: r.clear(), "the number of receipts"),
        ("receipts", lambda b, r: r.pop(), "the number of receipts"),
        ("receipts", lambda b, r: r.reverse(), "receipt 0: transactionHash"),
        ("receipts", lambda b, r: r[0].update(blockHash=ZEROS), "receipt 0: blockHash"),
        ("receipts", lambda b, r: r[0].update(blockNumber="0x9"), "receipt 0: blockNumber 3, got 9"),
        ("receipts", lambda b, r: r[1].update(transactionIndex="0x0"), "receipt 1: transactionIndex 1, got 0"),
        ("receipts", lambda b, r: r[1].update(type="0x77"), "receipt 1: type"),
        ("receipts", lambda b, r: r[1].update(status="0x2"), "the receipts root"),
        (
            "transactions",
            lambda b, r: b["transactions"][1].update(transactionIndex="0x0"),
            "transaction 1: transactionIndex",
        ),
        ("transactions", lambda b, r: b["transactions"][1].update(blockNumber="0x0"), "transaction 1: blockNumber"),
        ("transactions", lambda b, r: b["transactions"][1].update(blockHash=ZEROS), "transaction 1: blockHash"),
        ("derived", lambda b, r: r[1].update(gasUsed="0x5"), "receipt 1: gas used"),
        ("derived", lambda b, r: r[1].update(effectiveGasPrice="0x5"), "receipt 1: effective gas price"),
        ("bloom", lambda b, r: r[1].update(logsBloom="0x" + "ff" * 256), "receipt 1: its bloom"),
        ("withdrawals", lambda b, r: b["withdrawals"].pop(), "the withdrawals root"),
        ("withdrawals", lambda b, r: b.pop("withdrawals"), "the withdrawals root"),
    ],
)
def test_what_differs_is_a_failure_of_its_check(check: str, edit: Any, words: str) -> None:
    error = failure(edited(edit))
    assert (error.check, error.endpoint, error.subject) == (check, "https://node", "block 3")
    assert words in str(error)


def test_refuses_a_parent_that_is_not_the_block_below() -> None:
    assert failure(simulated("prague"), parent_hash=bytes(32)).check == "parent"


def test_refuses_withdrawals_before_there_were_any() -> None:
    withdrawal = {"index": "0x1", "validatorIndex": "0x1", "address": "0x" + "11" * 20, "amount": "0x1"}
    error = failure(edited(lambda b, r: b.update(withdrawals=[withdrawal]), "london"))
    assert error.check == "withdrawals"


def test_uncles_are_not_computable_from_their_hashes() -> None:
    """The header says that there are some, and the answer does not hold what their hash is over."""
    bundle = bundle_of(simulated("berlin"))
    header = replace(bundle.block.header, ommers_hash=bytes(32))
    header = replace(header, hash=keccak(encode_header(header)))
    moved = at_hash(Bundle(replace(bundle.block, header=header, uncles=(bytes(32),)), bundle.receipts))
    assert prove(moved, PROFILES[1]).results["uncles"].outcome is Outcome.NOT_COMPUTABLE
    hidden = Bundle(replace(moved.block, uncles=()), moved.receipts)
    with pytest.raises(ProofFailure, match="ommers hash of no uncles"):
        prove(hidden, PROFILES[1])


def at_hash(bundle: Bundle) -> Bundle:
    """The bundle with every part moved to its header's hash."""
    block_hash = bundle.block.header.hash
    transactions = tuple(replace(tx, block_hash=block_hash) for tx in bundle.block.transactions)
    receipts = tuple(
        replace(receipt, block_hash=block_hash, logs=tuple(replace(log, block_hash=block_hash) for log in receipt.logs))
        for receipt in bundle.receipts
    )
    return Bundle(replace(bundle.block, transactions=transactions), receipts)


# -- chains with rules of their own -----------------------------------------------------------------------------


def test_a_transaction_of_a_type_that_nobody_knows_lowers_the_proof_and_is_kept() -> None:
    def strange(block: dict[str, Any], receipts: list[dict[str, Any]]) -> None:
        block["transactions"][0] |= {"type": "0x5f", "sauce": {"hot": [1, 2]}}
        receipts[0]["type"] = "0x5f"

    rows, proof = proven(edited(strange), senders=True)
    assert proof.results["transactions"] == Result(Outcome.NOT_COMPUTABLE, "type 0x5f")
    assert proof.results["receipts"] == Result(Outcome.NOT_COMPUTABLE, "type 0x5f")
    assert proof.results["senders"] == Result(Outcome.NOT_COMPUTABLE, "type 0x5f")
    assert not proof.roots
    row = dict(zip(TRANSACTIONS.names, rows.transactions[0], strict=True))
    assert row["type"] == 0x5F
    assert row["extra"] == '{"transaction":{"sauce":{"hot":[1,2]}}}'


def test_transactions_of_an_unknown_type_are_not_compared_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each was looked for among all of them: a block of 40,000 took more than a minute."""
    bundle = bundle_of(simulated("prague"))
    tx, receipt = bundle.block.transactions[0], bundle.receipts[0]
    transactions = tuple([replace(tx, index=i, type=0x5F) for i in range(3)])
    receipts = tuple([replace(receipt, transaction_index=i, type=0x5F, logs=()) for i in range(3)])
    compared: list[object] = []
    monkeypatch.setattr(Transaction, "__eq__", lambda one, other: compared.append(other))
    proof = prove(Bundle(replace(bundle.block, transactions=transactions), receipts), ChainSpec("x", ("transactions",)))
    assert proof.results["transactions"] == Result(Outcome.NOT_COMPUTABLE, "type 0x5f")
    assert not compared


def test_receipts_of_an_unknown_type_pass_where_they_are_encoded_as_all_others() -> None:
    def strange(block: dict[str, Any], receipts: list[dict[str, Any]]) -> None:
        block["transactions"][0]["type"] = receipts[0]["type"] = "0x5f"

    bundle = bundle_of(edited(strange))
    encoded = [
        receipt_value(tx, receipt) for tx, receipt in zip(bundle.block.transactions, bundle.receipts, strict=True)
    ]
    header = replace(bundle.block.header, receipts_root=ordered_root(encoded))
    moved = at_hash(
        Bundle(
            replace(bundle.block, header=replace(header, hash=keccak(encode_header(header)))),
            bundle.receipts,
        )
    )
    proof = prove(moved, PROFILES[1])
    assert proof.lowered == ("transactions",)
    assert proof.results["receipts"].outcome is Outcome.PASSED
    opaque = ChainSpec("opaque", opaque_types=(0x5F,))
    with pytest.raises(ProofFailure, match="receipts root"):  # a type whose receipts are known has no excuse
        prove(bundle, opaque)


def receipt_value(tx: Transaction, receipt: Receipt) -> bytes:
    return encode_receipt(tx.type, receipt, logs_bloom(receipt.logs).to_bytes(256, "big"))


def test_a_state_sync_transaction_is_in_the_lists_and_in_no_root() -> None:
    """Polygon's: told by a hash that follows from the block's, so that no other can pass for one."""
    block, receipts = simulated("london").parsed()
    number, block_hash = int(block["number"], 16), bytes.fromhex(block["hash"][2:])
    sync_hash = "0x" + state_sync_hash(number, block_hash).hex()
    place = {"blockHash": block["hash"], "blockNumber": block["number"]}
    at = hex(len(receipts))
    zero = "0x" + "00" * 20
    log = {"address": "0x" + "10" * 20, "topics": [ZEROS], "data": "0x"}
    block["transactions"].append(
        {**place, "hash": sync_hash, "transactionIndex": at, "type": "0x0", "from": zero, "to": zero}
        | dict.fromkeys(("nonce", "value", "gas", "gasPrice", "v", "r", "s", "input"), "0x0")
        | {"input": "0x"}
    )
    receipts.append(
        {**place, "transactionHash": sync_hash, "transactionIndex": at, "type": "0x0", "status": "0x1", "logs": [log]}
        | {"cumulativeGasUsed": "0x0", "gasUsed": "0x0"}
    )
    answers = answers_of(block, receipts, 137)
    rows, proof = proven(answers, senders=True)
    assert proof.roots
    covered = TRANSACTIONS.index("covered")
    assert [row[covered] for row in rows.transactions] == [1] * (len(receipts) - 1) + [0]
    assert rows.logs[-1][-1] == 0
    assert all(row[-1] == 1 for row in rows.logs[:-1])
    assert rooted_count(bundle_of(answers), PROFILES[137]) == len(receipts) - 1
    with pytest.raises(ProofFailure, match="transactions differs"):
        prove(bundle_of(answers), PROFILES[1])  # on any other chain it is a transaction too many
    block["transactions"][-1]["hash"] = receipts[-1]["transactionHash"] = ZEROS
    with pytest.raises(ProofFailure, match="transactions differs"):
        prove(bundle_of(answers_of(block, receipts, 137)), PROFILES[137])


@pytest.mark.parametrize(
    ("root", "withdrawals", "outcome"),
    [
        (bytes(32), (), Outcome.NOT_COMPUTABLE),  # since Isthmus: the storage root of a contract
        (bytes(32), None, Outcome.NOT_COMPUTABLE),
        (EMPTY_ROOT, (), Outcome.PASSED),  # before
        (None, None, Outcome.NOT_APPLICABLE),
    ],
)
def test_the_withdrawals_root_of_the_op_stack_is_not_recomputed(
    root: bytes | None, withdrawals: Any, outcome: Outcome
) -> None:
    bundle = bundle_of(simulated("london" if root is None else "shanghai"))
    header = replace(bundle.block.header, withdrawals_root=root)
    header = replace(header, hash=keccak(encode_header(header)))
    moved = at_hash(Bundle(replace(bundle.block, header=header, withdrawals=withdrawals), bundle.receipts))
    proof = prove(moved, PROFILES[10])
    assert proof.results["withdrawals"].outcome is outcome
    assert proof.roots == (outcome is not Outcome.NOT_COMPUTABLE)
    if root == bytes(32):
        with pytest.raises(ProofFailure, match="withdrawals root"):
            prove(moved, PROFILES[1])


def test_since_amsterdam_the_block_s_gas_is_not_the_last_receipt_s() -> None:
    bundle = bundle_of(simulated("prague"))
    header = replace(bundle.block.header, gas_used=1, block_access_list_hash=bytes(32), slot_number=5)
    header = replace(header, hash=keccak(encode_header(header)))
    moved = at_hash(Bundle(replace(bundle.block, header=header), bundle.receipts))
    assert prove(moved, PROFILES[1]).results["derived"].outcome is Outcome.PASSED
    earlier = replace(header, block_access_list_hash=None, slot_number=None)
    earlier = replace(earlier, hash=keccak(encode_header(earlier)))
    with pytest.raises(ProofFailure, match="the block's gas used"):
        prove(at_hash(Bundle(replace(bundle.block, header=earlier), bundle.receipts)), PROFILES[1])


def test_an_unknown_chain_is_assessed_check_by_check() -> None:
    outcomes = assess(
        bundle_of(edited(lambda b, r: (b.update(stateRoot=ZEROS), b["withdrawals"].pop()))), ChainSpec("x")
    )
    assert {name for name, outcome in outcomes.items() if isinstance(outcome, ProofFailure)} == {"hash", "withdrawals"}
    without = assess(bundle_of(edited(lambda b, r: b.pop("nonce"))), ChainSpec("x"))
    assert isinstance(without["hash"], ProofFailure), "such a chain's profile does not hold this check"
    with pytest.raises(ProofFailure, match="number of receipts"):
        assess(bundle_of(edited(lambda b, r: r.pop())), ChainSpec("x"))


def test_a_check_that_the_spec_does_not_hold_is_not_made_and_said() -> None:
    bundle = bundle_of(edited(lambda b, r: b.update(stateRoot=ZEROS)))
    proof = prove(bundle, ChainSpec("odd", checks=tuple(name for name in ALL if name != "hash")))
    assert proof.results["hash"] == Result(Outcome.NOT_COMPUTABLE, "not on odd")
    assert proof.lowered == ("hash",)


# -- senders ----------------------------------------------------------------------------------------------------


def transactions_of(fork: str) -> list[tuple[dict[str, Any], Transaction]]:
    answers = simulated(fork)
    return list(zip(answers.parsed()[0]["transactions"], bundle_of(answers).block.transactions, strict=True))


@pytest.mark.parametrize("fork", ["frontier", "prague"])
def test_senders_are_those_that_the_specification_recovers(fork: str) -> None:
    kinds = set()
    for item, tx in transactions_of(fork):
        assert recover_sender(tx) == tx.sender == bytes.fromhex(specification.sender(item)[2:])
        kinds.add((tx.type, tx.type == 0 and (tx.v or 0) < 35))
    assert kinds >= ({(0, True), (0, False)} if fork == "frontier" else {(kind, False) for kind in range(5)})


def test_before_homestead_the_other_half_of_s_was_a_signature_too() -> None:
    """EIP-2 forbids s above half of the order in new blocks; the oldest hold such signatures."""
    item, tx = next(pair for pair in transactions_of("frontier") if pair[1].v in (27, 28))
    other = replace(tx, v=55 - (tx.v or 0), s=ORDER - (tx.s or 0))
    fields = [item[name] for name in ("nonce", "gasPrice", "gas", "to", "value", "input")]
    signature = [hex(other.v or 0), item["r"], hex(other.s or 0)]
    specified = specification.typed(frontier.Transaction, [*fields, *signature])
    assert recover_sender(other) == tx.sender == bytes(frontier.recover_sender(specified))


@pytest.mark.parametrize(
    "change",
    [
        {"r": 0},
        {"s": 0},
        {"r": ORDER},
        {"s": ORDER},
        {"r": 2**256 - 1, "s": 2**256 - 1},
        {"v": 0},
        {"v": 26},
        {"v": 29},
        {"v": 34},
        {"v": None, "r": None, "s": None},
        {"r": 2**256},
    ],
)
def test_what_is_no_signature_has_no_sender(change: dict[str, int | None]) -> None:
    _, tx = next(pair for pair in transactions_of("frontier") if pair[1].v in (27, 28))
    assert recover_sender(replace(tx, **change)) is None


@pytest.mark.parametrize("parity", [2, 3, 4, 27, 300])
def test_a_parity_is_one_bit(parity: int) -> None:
    _, tx = next(pair for pair in transactions_of("prague") if pair[1].type == 2)
    assert recover_sender(replace(tx, v=parity)) is None


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1), st.integers(0, 2**63 - 1))
def test_any_numbers_have_a_sender_or_none(r: int, s: int, v: int) -> None:
    for _, tx in transactions_of("prague")[:3]:
        sender = recover_sender(replace(tx, r=r, s=s, v=v))
        assert sender is None or len(sender) == 20


# -- derived values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "price", "cap", "tip", "base_fee", "effective"),
    [
        (0, 50, None, None, 30, 50),
        (1, 50, None, None, 30, 50),
        (2, 99, 50, 5, 30, 35),
        (2, 99, 50, 50, 30, 50),
        (3, 99, 31, 5, 30, 31),
        (4, 99, 50, 0, 30, 30),
        (2, 99, 50, 5, None, None),
        (0x7E, 0, None, None, 30, None),
        (0x6A, 7, None, None, 30, None),
    ],
)
def test_the_effective_gas_price(
    kind: int, price: int, cap: int | None, tip: int | None, base_fee: int | None, effective: int | None
) -> None:
    tx = replace(transactions_of("prague")[0][1], type=kind, gas_price=price, max_fee_per_gas=cap)
    assert effective_gas_price(replace(tx, max_priority_fee_per_gas=tip), base_fee) == effective


def test_the_address_of_a_created_contract() -> None:
    """CryptoKitties' creator and nonce give its address; a deposit's nonce is not in the transaction."""
    sender = bytes.fromhex("ba52c75764d6f594735dc735be7f1830cdf58ddf")
    tx = replace(transactions_of("prague")[0][1], type=0, sender=sender, nonce=3515, to=None)
    assert contract_address(tx) == bytes.fromhex("06012c8cf97bead5deae237070f9587f8e7a266d")
    assert contract_address(replace(tx, to=bytes(20))) is None
    assert contract_address(replace(tx, nonce=None)) is None
    assert contract_address(replace(tx, type=0x7E)) is None


# -- the text of a proof ----------------------------------------------------------------------

results = st.sampled_from(
    [Result(Outcome.PASSED), Result(Outcome.NOT_APPLICABLE), Result(Outcome.NOT_COMPUTABLE, "type 0x5f 0x7e")]
)


@given(st.lists(results, min_size=len(CHECKS), max_size=len(CHECKS)))
def test_a_proof_reads_as_it_was_written(outcomes: list[Result]) -> None:
    proof = Proof(dict(zip(CHECKS, outcomes, strict=True)))
    assert parse_proof(str(proof)) == proof
    assert parse_proof(str(with_parent(proof))).results["parent"] == Result(Outcome.PASSED)


@given(st.text(max_size=60) | st.lists(st.sampled_from([f"{name}+" for name in CHECKS])).map(" ".join))
def test_no_other_text_is_a_proof(text: str) -> None:
    if text != " ".join(f"{name}+" for name in CHECKS):
        with pytest.raises(Corruption):
            parse_proof(text)


def test_a_failure_crosses_processes_whole() -> None:
    error = failure(edited(lambda b, r: r.pop()))
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.check, copy.endpoint) == (str(error), error.check, error.endpoint)


def test_proofs_of_a_chain_link_block_to_block() -> None:
    tree = BlockTree(seed=2, chain_id=1, shape=FULL, blocks=6)
    for number in range(1, 7):
        page = tree.canonical(number).page
        bundle = Bundle(decode_block(page.full), decode_receipts(page.receipts))
        proof = prove(bundle, PROFILES[1], parent_hash=tree.canonical(number - 1).hash)
        assert proof.results["parent"].outcome is Outcome.PASSED


def test_the_hash_of_no_uncles_and_the_empty_transaction_list() -> None:
    page = BlockTree(seed=2, chain_id=1, blocks=0).canonical(0).page
    block = json.loads(page.full)
    assert block["sha3Uncles"] == "0x" + keccak(EMPTY_LIST).hex()
    assert bytes.fromhex(block["transactionsRoot"][2:]) == EMPTY_ROOT
    prove(Bundle(decode_block(page.full), decode_receipts(page.receipts)), PROFILES[1])
    assert encode_transaction(transactions_of("prague")[0][1])


class TestWithoutTheLibraryForSenders:
    """coincurve is an extra."""

    @pytest.fixture(autouse=True)
    def absent(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setitem(sys.modules, "coincurve", None)
        senders._public_key.cache_clear()
        yield
        senders._public_key.cache_clear()

    def test_senders_are_refused_in_one_sentence_that_says_what_to_install(self) -> None:
        with pytest.raises(ConfigError, match=r"pip install 'tidelog\[senders\]'"):
            senders.require_senders()
