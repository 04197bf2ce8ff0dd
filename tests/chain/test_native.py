"""The compiled core takes the usual, and then says exactly what the Python path says; the rest it declines."""

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.chain.answers import CHAIN_IDS, Answers, answers_of, raw_of, recorded, rules_of, simulated
from tests.chain.native import assert_equal, both, by_python, needs_core
from tests.chain.test_endpoint_fuzz import changed
from tests.chain.test_mutation import FOREIGN, FOREIGN_IN_RECEIPTS, walk
from tidelog.chain import native
from tidelog.chain.blocks import Bundle, RawBlock
from tidelog.chain.decode.strict import decode_block, decode_receipts, decode_uncle
from tidelog.chain.encoding.items import encode_header, encode_receipt, encode_withdrawal, keccak, logs_bloom
from tidelog.chain.encoding.rlp import encode_list
from tidelog.chain.encoding.trie import ordered_root
from tidelog.chain.encoding.variants import encode, is_encodable
from tidelog.chain.native import Declined
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.proof.spec import ALL, LOWERABLE, ChainSpec, Range
from tidelog.chain.verify import Rules, VerifiedBlock
from tidelog.compiled import core
from tidelog.sim.node.chain.block_builder import FORKS

pytestmark = needs_core

LANES = (1, 4, 8)


def here(lanes: int) -> bool:
    """Whether this processor hashes so many messages at once."""
    try:
        native.verify_blocks([], [], Rules(1, PROFILES[1]), range_first=None, endpoint="e", now_ms=0, lanes=lanes)
    except ValueError:
        return False
    return True


def taken(answers: Answers, **options: Any) -> VerifiedBlock | Declined:
    number = int(json.loads(answers.block)["number"], 16)
    (outcome,) = both([raw_of(answers)], [number], rules_of(answers), **options)
    return outcome


# -- what is taken --------------------------------------------------------------------------------------------


RECORDED_REFUSED = {
    "bittensor-testnet 6646068": "shape",  # an authorization without a signature
    "cronos 6541": "differs",  # receipts are missing, or the bloom is of other logs
    "cronos 68216": "differs",
    "cronos 131465": "differs",
    "cronos 11446765": "differs",
    "stable 13683593": "differs",  # recorded without receipts
    "stable 14692806": "differs",
    "stable-testnet 61696562": "differs",
    "tempo-mainnet 20636966": "asked",  # another block is in the file
}
"""What is declined of all recorded blocks, and refused by Python too: every other one is taken."""

ODD_CASES = {
    "bera": {"type": 4},
    "celo-extra": {"taken": 2, "refused": 1},
    "contract-0x": {"shape": 3},
    "contract-zero": {"odd": 3},
    "bloom-0x": {"refused": 3},
    "cronos-bloom": {"taken": 3},
    "dup": {"taken": 5},
    "gaslimit": {"taken": 3},
    "gaslimit-tx": {"taken": 3},
    "newfield-known": {"taken": 1, "refused": 2},
    "no-receipt-type": {"shape": 3},
    "null-receipt-type": {"odd": 3},
    "null-tx-type": {"odd": 3},
    "number-ts": {"shape": 3},
    "pip74": {"taken": 4},
    "root-0x": {"shape": 3},
    "root-empty": {"shape": 3},
    "scroll-rare": {"taken": 4, "type": 1},
    "snake": {"shape": 3},
    "to-empty": {"shape": 2, "taken": 1},
    "withdrawals-null": {"odd": 3},
}
"""By file how many of its odd blocks are taken, refused by both paths, and left to Python for which reason."""

CHAINS = CHAIN_IDS | {
    "bittensor-testnet": 945,
    "hyperliquid": 999,
    "stable": 988,
    "stable-testnet": 2201,
    "tempo-mainnet": 4217,
    "tempoModerato": 42431,
}


def test_every_recorded_block_is_taken_or_refused_by_both(shared: Path) -> None:
    refused: dict[str, str] = {}
    for block in sorted((shared / "data" / "evm" / "rpc").glob("*/*/block.json")):
        chain, number = block.parts[-3:-1]
        receipts = block.with_name("receipts.json")
        raw = RawBlock(block.read_bytes(), receipts.read_bytes() if receipts.exists() else b"[]")
        rules = Rules(CHAINS[chain], PROFILES.get(CHAINS[chain], ChainSpec(chain)))
        (outcome,) = both([raw], [int(number)], rules)
        if isinstance(outcome, Declined):
            refused[f"{chain} {number}"] = outcome.reason
            assert not isinstance(by_python(raw, int(number), rules), VerifiedBlock)
    assert refused == RECORDED_REFUSED


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("fork", FORKS)
def test_blocks_of_every_fork_are_taken_in_any_number_of_lanes(fork: str, lanes: int) -> None:
    for number in (0, 1, 2, 3) if here(lanes) else ():
        assert isinstance(taken(simulated(fork, number or 1), lanes=lanes), VerifiedBlock)


def test_odd_cases_agree(shared: Path) -> None:
    found: dict[str, Counter[str]] = {}
    for path in sorted((shared / "cases" / "chain").glob("*.jsonl")):
        outcomes = found.setdefault(path.stem, Counter())
        for line in map(json.loads, path.read_text().splitlines()):
            chain_id, number = line["chain_id"], int(line["block"]["number"], 16)
            rules = Rules(chain_id, PROFILES.get(chain_id, ChainSpec(f"chain-{chain_id}")))
            raw = raw_of(answers_of(line["block"], line["receipts"], chain_id))
            (outcome,) = both([raw], [number], rules)
            if isinstance(outcome, VerifiedBlock):
                outcomes["taken"] += 1
            else:
                refused = not isinstance(by_python(raw, number, rules), VerifiedBlock)
                outcomes["refused" if refused else outcome.reason] += 1
    assert {name: dict(outcomes) for name, outcomes in found.items()} == ODD_CASES


def test_a_batch_keeps_its_order_and_one_bad_block_costs_no_other() -> None:
    good = [simulated("prague", number) for number in (1, 2, 3)] * 5
    raws = [raw_of(answers) for answers in good]
    raws[4] = RawBlock(b"{}", b"[]")
    raws[7] = RawBlock(raws[7].block, raws[8].receipts)
    raws[11] = RawBlock(good[11].block + b" x", raws[11].receipts)
    keys = [1, 2, 3] * 5
    keys[13] = 9
    outcomes = both(raws, keys, Rules(1, PROFILES[1]), range_first=1)
    declined = {place: outcome.reason for place, outcome in enumerate(outcomes) if isinstance(outcome, Declined)}
    assert declined == {4: "shape", 7: "differs", 11: "json", 13: "asked"}
    assert both([], [], Rules(1, PROFILES[1])) == []


def test_the_key_may_be_a_hash_and_the_anchor_pins_the_first_block() -> None:
    answers = simulated("prague")
    block_hash = bytes.fromhex(json.loads(answers.block)["hash"][2:])
    raw, rules = raw_of(answers), rules_of(answers)
    assert isinstance(both([raw], [block_hash], rules)[0], VerifiedBlock)
    assert isinstance(both([raw], [bytes(32)], rules)[0], Declined)
    for anchor, first, is_taken in ((block_hash, 3, True), (bytes(32), 3, False), (bytes(32), 2, True)):
        (outcome,) = both([raw], [3], replace(rules, anchor=anchor), range_first=first)
        assert isinstance(outcome, VerifiedBlock) is is_taken


def test_senders_are_left_to_the_python_path() -> None:
    answers = simulated("prague")
    (outcome,) = both([raw_of(answers)], [3], replace(rules_of(answers), senders=True))
    assert outcome == Declined("rules", "senders")


# -- consistent blocks of any content ---------------------------------------------------------------------------


def consistent(block: dict[str, Any], receipts: list[dict[str, Any]], spec: ChainSpec) -> Answers:
    """The answers with everything derived and committed to made anew from what they say."""
    for i, (tx, receipt) in enumerate(zip(block["transactions"], receipts, strict=True)):
        place = {"blockNumber": block["number"], "transactionIndex": hex(i)}
        tx |= place
        receipt |= place | {"type": tx["type"]}
    bundle = _bundle(block, receipts)
    position = cumulative = 0
    for tx, receipt, found in zip(block["transactions"], receipts, bundle.block.transactions, strict=True):
        if is_encodable(found):
            tx["hash"] = "0x" + keccak(encode(found)).hex()
        receipt["transactionHash"] = tx["hash"]
        cumulative += int(receipt["gasUsed"], 16)
        receipt["cumulativeGasUsed"] = hex(cumulative)
        for log in receipt["logs"]:
            log |= {"transactionHash": tx["hash"], "logIndex": hex(position), "blockNumber": block["number"]}
            log["transactionIndex"] = tx["transactionIndex"]
            position += 1
    block["gasUsed"] = hex(cumulative)
    bundle = _bundle(block, receipts)
    blooms = [logs_bloom(receipt.logs) for receipt in bundle.receipts]
    whole = 0
    for receipt, bloom in zip(receipts, blooms, strict=True):
        receipt["logsBloom"] = f"0x{bloom:0512x}"
        whole |= bloom
    transactions = bundle.block.transactions
    encoded = [
        encode_receipt(tx.type, receipt, bloom.to_bytes(256, "big"))
        for tx, receipt, bloom in zip(transactions, bundle.receipts, blooms, strict=True)
    ]
    roots = {
        "logsBloom": f"0x{whole:0512x}",
        "receiptsRoot": "0x" + ordered_root(encoded).hex(),
        "transactionsRoot": "0x" + ordered_root([encode(tx) for tx in transactions if is_encodable(tx)]).hex(),
    }
    if block.get("withdrawals") is not None:
        items = bundle.block.withdrawals or ()
        roots["withdrawalsRoot"] = "0x" + ordered_root([encode_withdrawal(item) for item in items]).hex()
    block |= roots
    block["hash"] = "0x" + keccak(encode_header(_bundle(block, receipts).block.header)).hex()
    for entry in (*block["transactions"], *receipts, *(log for receipt in receipts for log in receipt["logs"])):
        entry["blockHash"] = block["hash"]
    return answers_of(block, receipts, 1)


def _bundle(block: dict[str, Any], receipts: list[dict[str, Any]]) -> Bundle:
    answers = answers_of(block, receipts, 1)
    return Bundle(decode_block(answers.block), decode_receipts(answers.receipts))


def data(draw: st.DrawFn, sizes: int) -> str:
    return "0x" + draw(st.binary(max_size=sizes)).hex()


def fixed(draw: st.DrawFn, size: int) -> str:
    return "0x" + draw(st.binary(min_size=size, max_size=size)).hex()


def quantity(draw: st.DrawFn, bits: int) -> str:
    return hex(draw(st.integers(0, 2 ** draw(st.integers(0, bits)) - 1)))


@st.composite
def transactions(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A transaction of any type with its receipt, by what is free in them."""
    kind = draw(st.sampled_from((0, 1, 2, 3, 4, 0x7E, 0x64, 0x6A, 0x7F)))
    creates = kind in (0, 1, 2, 0x7E) and draw(st.booleans())
    tx: dict[str, Any] = {
        "type": hex(kind),
        "hash": fixed(draw, 32),
        "blockHash": "0x" + "00" * 32,
        "from": fixed(draw, 20),
        "to": None if creates else fixed(draw, 20),
        "value": quantity(draw, 256),
        "gas": quantity(draw, 64),
        "gasPrice": quantity(draw, 256),
        "input": data(draw, 80),
    }
    if kind != 0x7E:
        tx |= {"nonce": quantity(draw, 64), "v": quantity(draw, 64), "r": quantity(draw, 256), "s": quantity(draw, 256)}
    if 1 <= kind <= 4 or draw(st.booleans()):
        tx["chainId"] = quantity(draw, 64)
    if 1 <= kind <= 4:
        keys = [{"address": fixed(draw, 20), "storageKeys": [fixed(draw, 32)] * n} for n in draw(_COUNTS)]
        tx["accessList"] = keys
    if 2 <= kind <= 4:
        tx |= {"maxFeePerGas": quantity(draw, 256), "maxPriorityFeePerGas": quantity(draw, 256)}
    if kind == 3:
        tx |= {"maxFeePerBlobGas": quantity(draw, 256), "blobVersionedHashes": [fixed(draw, 32) for _ in draw(_COUNTS)]}
    if kind == 4:
        numbers = {name: quantity(draw, 256) for name in ("chainId", "nonce", "r", "s", "yParity")}
        tx["authorizationList"] = [numbers | {"address": fixed(draw, 20)} for _ in draw(_COUNTS)]
    if kind == 0x7E:
        tx["sourceHash"] = fixed(draw, 32)
        tx |= {"mint": quantity(draw, 256)} if draw(st.booleans()) else {}
        tx |= {"isSystemTx": draw(st.booleans())} if draw(st.booleans()) else {}
    for name, value in draw(_FOREIGN).items():
        if tx.get(name) is None and (kind == 0x7E or name != "sourceHash") and (kind in (0, 0x7E) or name != "yParity"):
            tx[name] = value
    if draw(st.booleans()):
        tx |= draw(_EXTRAS)
    logs = [
        {"address": fixed(draw, 20), "topics": [fixed(draw, 32)] * min(n, 4), "data": data(draw, 70)}
        for n in draw(_COUNTS)
    ]
    receipt: dict[str, Any] = {
        "gasUsed": quantity(draw, 40),
        "cumulativeGasUsed": "0x0",
        "blockHash": "0x" + "00" * 32,
        "transactionHash": tx["hash"],
        "logs": logs,
    }
    receipt |= {"status": quantity(draw, 1)} if draw(st.booleans()) else {"root": fixed(draw, 32)}
    if kind == 0x7E and draw(st.booleans()):
        receipt |= {"depositNonce": quantity(draw, 64)} | (
            {"depositReceiptVersion": "0x1"} if draw(st.booleans()) else {}
        )
    if kind == 3:
        receipt |= {"blobGasUsed": quantity(draw, 64), "blobGasPrice": quantity(draw, 64)}
    if draw(st.booleans()):
        receipt |= draw(_EXTRAS)
    return tx, receipt


_COUNTS = st.lists(st.integers(0, 4), max_size=3)
_FOREIGN = st.sets(st.sampled_from(sorted(FOREIGN)), max_size=4).map(lambda names: {n: FOREIGN[n] for n in names})
_EXTRAS = st.dictionaries(
    st.text("abcXYZ_ ", min_size=1, max_size=6),
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 10**17) | st.text("abc 0x", max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
        max_leaves=5,
    ),
    max_size=3,
)
PLAIN = ChainSpec("op", forms=("deposit",), opaque_types=(0x64, 0x6A))


@st.composite
def blocks(draw: st.DrawFn) -> Answers:
    """A block in which all that is committed to is right, whatever it says."""
    header, _ = simulated(draw(st.sampled_from(sorted(FORKS)))).parsed()
    drawn = [draw(transactions()) for _ in range(draw(st.sampled_from((0, 1, 2, 3, 5, 17))))]
    block = header | {"transactions": [dict(tx) for tx, _ in drawn], "uncles": []}
    block["sha3Uncles"] = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
    if draw(st.booleans()):
        block |= draw(_EXTRAS)
    return consistent(block, [dict(receipt) for _, receipt in drawn], PLAIN)


@given(blocks())
def test_any_block_that_holds_is_taken_alike(answers: Answers) -> None:
    number = int(json.loads(answers.block)["number"], 16)
    (outcome,) = both([raw_of(answers)], [number], Rules(1, PLAIN))
    event(outcome.reason if isinstance(outcome, Declined) else "taken")
    if isinstance(outcome, Declined):
        python = by_python(raw_of(answers), number, Rules(1, PLAIN))
        assert not isinstance(python, VerifiedBlock) or outcome.reason in ("odd", "extra", "type"), outcome


_CHECKS = st.sets(st.sampled_from(LOWERABLE)).map(lambda dropped: tuple(c for c in ALL if c not in dropped))


@st.composite
def specs(draw: st.DrawFn) -> ChainSpec:
    def rules(first: int) -> Range:
        checks = draw(_CHECKS)
        return Range(
            first,
            checks,
            foreign_roots=tuple(sorted(draw(st.sets(st.sampled_from(("transactions", "receipts")))))),
            state_sync=draw(st.booleans()),
            storage_withdrawals_root=draw(st.booleans()),
            bloom_superset=draw(st.booleans()),
            accepted=tuple(sorted(draw(st.sets(st.sampled_from(ALL))) - set(checks))),
        )

    ranges = tuple(rules(first) for first in sorted({0} | draw(st.sets(st.integers(1, 5)))))
    name = draw(st.sampled_from(("op", "chain-7", "a (b)")))
    return ChainSpec(name, opaque_types=(0x64,), ranges=ranges if draw(st.booleans()) else (), checks=draw(_CHECKS))


@given(blocks(), specs())
def test_any_rules_give_the_same_proof(answers: Answers, spec: ChainSpec) -> None:
    number = int(json.loads(answers.block)["number"], 16)
    both([raw_of(answers)], [number], Rules(1, spec))


# -- mutations --------------------------------------------------------------------------------------------------


def tried(answers: Answers, rng: random.Random) -> Answers:
    """The answers with something of them changed: a value, or bytes."""
    if rng.random() < 0.4:
        block, receipts = answers.parsed()
        if rng.random() < 0.5:
            return answers_of(changed(rng, block), receipts, answers.chain_id)
        return answers_of(block, changed(rng, receipts), answers.chain_id)
    part = rng.choice(("block", "receipts"))
    text = answers.block if part == "block" else answers.receipts
    at = rng.randrange(len(text))
    end = min(len(text), at + rng.choice((0, 1, 1, 2, 30)))
    other = rng.randrange(len(text))
    put = rng.choice((b"", bytes((rng.randrange(256),)), b" ", b"null", b'"0x"', b"0", text[other : other + 40]))
    text = text[:at] + put + text[end:]
    return answers._replace(block=text) if part == "block" else answers._replace(receipts=text)


@pytest.mark.parametrize("fork", FORKS)
def test_mutants_of_simulated_blocks_are_judged_alike(fork: str) -> None:
    counts = survey(simulated(fork), seeds=range(400))
    assert counts["taken"] > 5
    assert counts["declined"] > 100


@pytest.mark.parametrize(
    ("chain", "number"),
    [("ethereum", 1000000), ("ethereum", 4369999), ("polygon", 50000000), ("arbitrum", 150000000), ("cronos", 10000)],
)
def test_mutants_of_recorded_blocks_are_judged_alike(shared: Path, chain: str, number: int) -> None:
    survey(recorded(shared, chain, number), seeds=range(100))


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fork", FORKS)
def test_many_mutants_are_judged_alike(fork: str) -> None:
    survey(simulated(fork), seeds=range(20_000))


def survey(answers: Answers, seeds: range) -> Counter[str]:
    """How many mutants were taken; each of those is compared with the Python path."""
    mutants = [tried(answers, random.Random(seed)) for seed in seeds]
    number = int(json.loads(answers.block)["number"], 16)
    outcomes = both([raw_of(mutant) for mutant in mutants], [number] * len(mutants), rules_of(answers))
    return Counter("taken" if isinstance(outcome, VerifiedBlock) else "declined" for outcome in outcomes)


@pytest.mark.parametrize("name", ["hash", "gasUsed", "nonce", "r", "logIndex", "status", "amount", "yParity"])
def test_a_field_twice_is_declined(name: str) -> None:
    """Which of the two counts is a matter of the library: the Python path's."""
    answers, tried = simulated("prague"), 0
    for part in ("block", "receipts"):
        text = getattr(answers, part)
        for found in re.finditer(rb'"%s":\s*"0x[0-9a-f]*"' % name.encode(), text):
            twice = text[: found.end()] + b"," + found.group() + text[found.end() :]
            mutant = answers._replace(block=twice) if part == "block" else answers._replace(receipts=twice)
            outcome = taken(mutant)
            assert isinstance(outcome, Declined)
            assert outcome.reason == "json"
            tried += 1
    assert tried


def test_every_field_of_another_type_is_judged_alike() -> None:
    answers = simulated("prague")
    mutants: list[Answers] = []
    for i in range(len(answers.parsed()[1])):
        for name, value in FOREIGN.items():
            mutants.append(_with(answers, ("transactions", i), name, value))
        for name, value in FOREIGN_IN_RECEIPTS.items():
            mutants.append(_with(answers, (i,), name, value, part="receipts"))
    outcomes = both([raw_of(mutant) for mutant in mutants], [3] * len(mutants), Rules(1, PROFILES[1]))
    assert sum(isinstance(outcome, VerifiedBlock) for outcome in outcomes) > len(outcomes) // 4


def _with(answers: Answers, keys: tuple[str | int, ...], name: str, value: Any, part: str = "block") -> Answers:
    block, receipts = answers.parsed()
    holder: Any = block if part == "block" else receipts
    for key in keys:
        holder = holder[key]
    holder[name] = value
    return answers_of(block, receipts, answers.chain_id)


# -- what the endpoint adds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, *range(4_060, 4_100, 3), 20_000])
def test_fields_of_the_endpoints_own_up_to_what_is_kept(size: int) -> None:
    for keys, part in ((("transactions", 0), "block"), ((0,), "receipts"), ((), "block")):
        assert_taken_where_nothing_is_dropped(_with(simulated("prague"), keys, "own", "x" * size, part))


def assert_taken_where_nothing_is_dropped(answers: Answers) -> None:
    python = by_python(raw_of(answers), 3, Rules(1, PROFILES[1]))
    assert isinstance(python, VerifiedBlock)
    assert isinstance(taken(answers), Declined) is ("extra_dropped" in python.oddities.found)


def test_many_fields_of_the_endpoints_own_are_declined_where_the_python_path_cuts() -> None:
    answers = simulated("prague")
    for size in (1_000, 2_500, 4_000):
        mutant = answers
        for i in range(9):
            mutant = _with(mutant, ("transactions", i), "own", f"{i}" * size)
            mutant = _with(mutant, (i,), "own", f"{i}" * size, "receipts")
        assert_taken_where_nothing_is_dropped(mutant)


@pytest.mark.parametrize("part", ["block", "receipts"])
def test_very_many_fields_of_the_endpoints_own_are_declined(part: str) -> None:
    """Each is compared with all before it: 40,000 of them took nine seconds."""
    for count in (60, 70):
        answers = simulated("prague")
        for n in range(count):
            answers = _with(answers, () if part == "block" else (0,), f"own{n}", n, part)
        (outcome,) = both([raw_of(answers)], [3], rules_of(answers))
        assert isinstance(outcome, VerifiedBlock) is (count == 60)
        assert isinstance(outcome, VerifiedBlock) or outcome.reason == "extra"


def test_a_text_with_a_key_is_declined() -> None:
    answers = _with(simulated("prague"), ("transactions", 1), "own", "see https://node/SECRET")
    for redact, reason in ((str, None), (lambda text: text.replace("SECRET", "***"), "extra")):
        (outcome,) = native.verify_blocks(
            [raw_of(answers)], [3], rules_of(answers), range_first=None, endpoint="e", now_ms=0, redact=redact
        )
        assert (outcome.reason if isinstance(outcome, Declined) else None) == reason


# -- uncles -------------------------------------------------------------------------------------------------------


def uncle(answers: Answers) -> bytes:
    block, _ = answers.parsed()
    return json.dumps({name: value for name, value in block.items() if name != "transactions"}).encode()


def with_uncles() -> tuple[Answers, tuple[bytes, ...]]:
    """A block with two uncles, and these."""
    ommers = [uncle(simulated("frontier", number)) for number in (1, 2)]
    block, receipts = simulated("frontier").parsed()
    encoded = [encode_header(decode_uncle(answer)) for answer in ommers]
    block["uncles"] = ["0x" + keccak(item).hex() for item in encoded]
    block["sha3Uncles"] = "0x" + keccak(encode_list(encoded)).hex()
    answers = consistent(block, receipts, PROFILES[1])
    return answers, tuple(ommers)


def test_uncles_are_proven_and_laid_out_alike() -> None:
    answers, ommers = with_uncles()
    raw = raw_of(answers)
    for headers, count in ((ommers, 2), (None, 0)):
        (outcome,) = both([replace(raw, uncles=headers)], [3], Rules(1, PROFILES[1]))
        assert isinstance(outcome, VerifiedBlock)
        assert len(outcome.rows.uncles) == count
    for wrong in ((), ommers[:1], ommers[::-1], (b"{}", b"{}")):
        assert isinstance(both([replace(raw, uncles=wrong)], [3], Rules(1, PROFILES[1]))[0], Declined)


# -- faults -------------------------------------------------------------------------------------------------------


def test_a_panic_is_a_fault_of_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    def prove(answers: list[Any], *_: Any, **__: Any) -> list[tuple[str, str]]:
        return [("fault", "panicked at checks.rs:7:3: index out of bounds")] * len(answers)

    monkeypatch.setattr(core().module, "prove", prove)
    answers = simulated("prague")
    (outcome,) = native.verify_blocks(
        [raw_of(answers)], [3], rules_of(answers), range_first=None, endpoint="e", now_ms=0
    )
    assert outcome == Declined("fault", "panicked at checks.rs:7:3: index out of bounds")


def test_the_comparison_itself_finds_a_difference() -> None:
    answers = simulated("prague")
    outcome, python = taken(answers), by_python(raw_of(answers), 3, rules_of(answers))
    assert isinstance(outcome, VerifiedBlock)
    assert_equal(outcome, python)
    other = replace(outcome, rows=replace(outcome.rows, logs=outcome.rows.logs[:-1]))
    with pytest.raises(AssertionError):
        assert_equal(other, python)


def test_walk_covers_the_fields_that_the_core_knows() -> None:
    """Names of the simulated blocks, so that the tests above have met each."""
    names: set[str] = set()
    for fork in FORKS:
        block, receipts = simulated(fork).parsed()
        for keys, _ in (*walk(block), *walk(receipts)):
            names |= {key for key in keys if isinstance(key, str)}
    assert names >= {
        "requestsHash",
        "authorizationList",
        "blobVersionedHashes",
        "withdrawals",
        "accessList",
        "logsBloom",
    }
