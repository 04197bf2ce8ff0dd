"""Answers changed in one place: refused with the check that failed, or nothing that is stored as proven differs.

This is the test that looks for holes. Every value of every field of a block and its receipts is changed,
dropped, nulled, and every list shortened, swapped and doubled. `WORD` lists what may differ all the same.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.chain.answers import Answers, answers_of, proven, recorded, simulated
from tidelog.batch import Row, Table
from tidelog.chain.proof.outcome import CHECKS
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.errors import ProofFailure, Rejected

Keys: TypeAlias = tuple[str | int, ...]

Put: TypeAlias = Callable[[Any, Any], None]

# What may differ all the same, by the field that was changed: no commitment covers it.
WORD = {
    "from": {"transactions.from_address"},  # the signature does: see the check `senders`
    "type": None,  # one that nobody can encode: stored under the proof `transactions?`, as seen, see LOWERED
}
LOWERED = "transactions?"
OUTCOMES = {*CHECKS, "shape", "lowered", "nothing"}  # what a change may come to


def flipped(text: str) -> Iterator[str]:
    """A hex text changed in its first, last and middle digit, one at a time."""
    for at in sorted({2, len(text) // 2, len(text) - 1}):
        if 2 <= at < len(text):
            yield text[:at] + ("1" if text[at] != "1" else "2") + text[at + 1 :]


def walk(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Every field of a parsed answer, lists and objects included."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*keys, key), inner
        yield from walk(inner, (*keys, key))


def changes(value: Any) -> Iterator[tuple[str, Put]]:
    """What can be done to a field's value, given where it stands."""

    def put(new: Any) -> Put:
        def change(holder: Any, key: Any) -> None:
            holder[key] = new

        return change

    def drop(holder: Any, key: Any) -> None:
        del holder[key]

    yield "dropped", drop
    yield "null", put(None)
    if isinstance(value, str):
        for new in flipped(value):
            yield f"now {new[:20]}", put(new)
        yield "longer", put(value + "00")
        yield "empty", put("0x")
    elif isinstance(value, bool):
        yield "negated", put(not value)
    elif isinstance(value, list):
        yield "emptied", put([])
        if value:
            yield "last doubled", put([*value, value[-1]])
            yield "first dropped", put(value[1:])
        if len(value) > 1:
            yield "first two swapped", put([value[1], value[0], *value[2:]])


def mutants(answers: Answers, every: int = 1) -> Iterator[tuple[str, str, Answers]]:
    """(field, what was done, the answers) for every field; of long lists only each `every`-th entry."""
    for part, whole in zip(("block", "receipts"), answers.parsed(), strict=True):
        for keys, value in walk(whole):
            if not any(isinstance(key, int) and key % every for key in keys):
                for what, change in changes(value):
                    field = next((key for key in reversed(keys) if isinstance(key, str)), "$")
                    yield field, f"{part}{list(keys)} {what}", changed(answers, part, keys, change)


def changed(answers: Answers, part: str, keys: Keys, change: Put) -> Answers:
    block, receipts = answers.parsed()
    holder: Any = {"block": block, "receipts": receipts}
    for key in (part, *keys)[:-1]:
        holder = holder[key]
    change(holder, (part, *keys)[-1])
    return answers_of(block, receipts, answers.chain_id)


sound = lru_cache(maxsize=1)(proven)  # of the answers that each mutant is compared with


def difference(answers: Answers, others: Answers) -> tuple[frozenset[str], str]:
    """The content columns in which the rows of two answers differ, and the proof of the second."""
    rows, _ = sound(answers)
    other, proof = proven(others)
    differing: set[str] = set()
    pairs: tuple[tuple[Table, Sequence[Row], Sequence[Row]], ...] = (
        (BLOCKS, [rows.block], [other.block]),
        (TRANSACTIONS, rows.transactions, other.transactions),
        (LOGS, rows.logs, other.logs),
        (WITHDRAWALS, rows.withdrawals, other.withdrawals),
    )
    for table, ours, theirs in pairs:
        if len(ours) != len(theirs):
            differing.add(f"{table.name}.*")
        for our, their in zip(ours, theirs, strict=False):
            for column, a, b in zip(table.columns, our, their, strict=True):
                if a != b and column.content:
                    differing.add(f"{table.name}.{column.name}")
    return frozenset(differing), str(proof)


def verdict(answers: Answers, field: str, mutant: Answers) -> str | None:
    """The check that refused the mutant, "shape", "nothing" if all that is proven stayed, or None: a hole."""
    try:
        differing, proof = difference(answers, mutant)
    except ProofFailure as failure:
        return failure.check
    except Rejected:
        return "shape"
    if field == "type" and LOWERED in proof:
        return "lowered"
    return "nothing" if differing <= (WORD.get(field) or set()) else None


def quorum_read(answers: Answers, tried: Iterator[tuple[str, str, Answers]]) -> Counter[str]:
    """How many mutants came to which verdict; fails for the first hole."""
    counts: Counter[str] = Counter()
    for field, what, mutant in tried:
        outcome = verdict(answers, field, mutant)
        assert outcome in OUTCOMES, f"{what} is stored as proven"
        counts[outcome] += 1
    return counts


@pytest.mark.parametrize("fork", ["frontier", "berlin", "london", "shanghai", "cancun", "prague"])
def test_no_single_change_of_a_simulated_block_is_stored_as_proven(fork: str) -> None:
    counts = quorum_read(simulated(fork), mutants(simulated(fork), every=4))
    assert counts.total() > 500
    assert counts.keys() >= {"shape", "hash", "transactions", "receipts", "derived", "bloom", "nothing"}


@pytest.mark.parametrize(("number", "every"), [(1000000, 1), (4369999, 21)])
def test_no_single_change_of_a_recorded_block_is_stored_as_proven(shared: Path, number: int, every: int) -> None:
    answers = recorded(shared, "ethereum", number)
    counts = quorum_read(answers, mutants(answers, every))
    assert counts.total() > 200
    assert counts.keys() >= {"shape", "hash", "transactions", "receipts", "derived", "bloom"}


HEADER_APPENDED = (
    *("baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot"),
    *("requestsHash", "blockAccessListHash", "slotNumber"),
)


@pytest.mark.parametrize("fork", ["london", "shanghai", "cancun", "prague"])
def test_no_header_field_moves_to_another_under_the_same_hash(fork: str) -> None:
    """A hash knows positions, not names: a root under the next field's name would hide a list of withdrawals."""
    answers = simulated(fork)
    block, _ = answers.parsed()
    tried = 0
    for name in HEADER_APPENDED:
        for other in HEADER_APPENDED:
            if name in block and other not in block:

                def rename(holder: Any, key: Any, other: str = other) -> None:
                    holder[other] = holder.pop(key)

                assert verdict(answers, name, changed(answers, "block", (name,), rename)) in ("shape", "hash")
                tried += 1
    assert tried


ZERO_HASH, ADDRESS = "0x" + "00" * 32, "0x" + "11" * 20
FOREIGN = {  # fields of other types, as some nodes fill them in
    "accessList": [{"address": ADDRESS, "storageKeys": [ZERO_HASH]}],
    "authorizationList": [
        {"chainId": "0x1", "address": ADDRESS, "nonce": "0x0", "yParity": "0x0", "r": "0x1", "s": "0x1"}
    ],
    "blobVersionedHashes": [ZERO_HASH],
    "chainId": "0x1",
    "gasPrice": "0x7",
    "isSystemTx": True,
    "maxFeePerBlobGas": "0x7",
    "maxFeePerGas": "0x7",
    "maxPriorityFeePerGas": "0x7",
    "mint": "0x7",
    "sourceHash": ZERO_HASH,
    "yParity": "0x1",
}
FOREIGN_IN_RECEIPTS = {
    "contractAddress": ADDRESS,
    "depositNonce": "0x7",
    "depositReceiptVersion": "0x1",
    "root": ZERO_HASH,
    "status": "0x0",
}


@pytest.mark.parametrize("fork", ["frontier", "prague"])
def test_fields_of_other_types_are_never_stored_as_proven(fork: str) -> None:
    answers = simulated(fork)
    block, receipts = answers.parsed()
    counts: Counter[str] = Counter()
    parts: tuple[tuple[str, Keys, Any, dict[str, Any]], ...] = (
        ("block", ("transactions",), block["transactions"], FOREIGN),
        ("receipts", (), receipts, FOREIGN_IN_RECEIPTS),
    )
    for part, keys, entries, fields in parts:
        for i, entry in enumerate(entries):
            for name, value in fields.items():
                if entry.get(name) is None:

                    def add(holder: Any, key: Any, value: Any = value) -> None:
                        holder[key] = value

                    outcome = verdict(answers, name, changed(answers, part, (*keys, i, name), add))
                    assert outcome is not None, f"{name} of {part} {i}, type {entry['type']}"
                    counts[outcome] += 1
    assert counts["nothing"] > 30
    assert counts["derived"], "a contract address where none was created"


def test_another_sender_is_refused_where_signatures_are_checked() -> None:
    answers = simulated("prague")

    def lie(holder: Any, key: Any) -> None:
        holder[key] = ADDRESS

    for i in range(9):
        mutant = changed(answers, "block", ("transactions", i, "from"), lie)
        with pytest.raises(ProofFailure, match=r"senders differs|contract address") as caught:
            proven(mutant, senders=True)
        assert caught.value.check in ("senders", "derived")


def test_a_lie_made_consistent_is_refused_by_the_root_all_the_same() -> None:
    """The last log is left out, and every bloom and counter that tells is mended, but those in the header."""
    block, receipts = simulated("prague").parsed()
    at = next(i for i in reversed(range(len(receipts))) if receipts[i]["logs"])
    receipts[at]["logs"].pop()
    del receipts[at]["logsBloom"]
    with pytest.raises(ProofFailure, match="receipts root"):
        proven(answers_of(block, receipts, 1))
