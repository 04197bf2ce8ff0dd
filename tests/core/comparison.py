"""The compiled core against the Python path, in half a minute and always the same: `python -m tests.core.comparison`.

What the core takes, Python takes, with equal rows, digest and proof; where it vouches for stored rows, Python finds
nothing wrong with them; what it takes of a market's feed leaves equal events, digests and books; and it takes what is
ordinary. It ends with 1 and says what differed at the first difference.
It is how mutants of the core are judged (`tests.core.mutants`); the tests proper are in tests/chain/test_native.py.
"""

import json
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from tests.chain.answers import Answers, answers_of, raw_of, rules_of, simulated
from tests.chain.native import both, by_python
from tests.chain.test_mutation import walk
from tests.chain.test_native_stored import (
    TABLES,
    assert_only_sound_rows_are_vouched_for,
    holds,
    judged,
    moved_between_columns,
    stored,
)
from tests.market.gathers import learn_paces, play, play_again
from tests.market.stretches import SYMBOLS, made_up
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.verify import VerifiedBlock
from tidelog.compiled import core
from tidelog.sim.node.chain.block_builder import FORKS

NUMBERS = (1, 2, 3)  # of the simulated blocks
DIGITS = 16  # of 64 bits
EVERY = 3  # of the fields that are changed one by one: one in so many
LANES = (1, 4, 8)
FEEDS = 12  # of a market, of each protocol
GATHERED = (*range(6), 36)  # seeds of feeds as a live one takes them: in 36 a session looks at a pace amid a gather


def ordinary_blocks_are_taken() -> None:
    """Blocks of every fork, in a batch, in any number of lanes, with the rows that Python lays out."""
    for fork in FORKS:
        answers = [simulated(fork, number) for number in NUMBERS]
        for lanes in LANES:
            if lanes > _lanes():
                continue
            outcomes = both([raw_of(one) for one in answers], NUMBERS, rules_of(answers[0]), lanes=lanes)
            for number, outcome in zip(NUMBERS, outcomes, strict=True):
                assert isinstance(outcome, VerifiedBlock), f"{fork}, block {number}, {lanes} lanes: {outcome}"


def _lanes() -> int:
    module = core().module
    assert module is not None, "the core is not in use"
    count: int = module.lanes()
    return count


def changed_answers_are_judged_alike() -> None:
    """One field of a block at a time: another value, one beyond its range, a digit that is none."""
    for fork in ("frontier", "prague"):
        answers = simulated(fork)
        changed = list(_fields(answers))
        both([raw_of(one) for one in changed], [3] * len(changed), rules_of(answers))
        for key in (4, bytes(32)):
            both([raw_of(answers)], [key], rules_of(answers))


def _fields(answers: Answers) -> Iterator[Answers]:
    for part in ("block", "receipts"):
        places = [keys for keys, value in walk(answers.parsed()[part == "receipts"]) if isinstance(value, str)]
        for keys in places[::EVERY]:
            for change in (_next, _beyond, _no_digit):
                block, receipts = answers.parsed()
                holder: Any = block if part == "block" else receipts
                for key in keys[:-1]:
                    holder = holder[key]
                holder[keys[-1]] = change(holder[keys[-1]])
                yield answers_of(block, receipts, answers.chain_id)
            if isinstance(keys[-1], str):
                block, receipts = answers.parsed()
                holder = block if part == "block" else receipts
                for key in keys[:-1]:
                    holder = holder[key]
                fields = [(_other(name) if name == keys[-1] else name, value) for name, value in holder.items()]
                holder.clear()
                holder.update(fields)  # in the same order
                yield answers_of(block, receipts, answers.chain_id)


def _other(name: str) -> str:
    """A name that differs in its last letter alone."""
    return name[:-1] + ("x" if name[-1] != "x" else "y")


def _next(text: str) -> str:
    return text[:-1] + ("1" if text[-1] == "0" else "0")


def _beyond(text: str) -> str:
    """A quantity of more than 64 bits, of which those are what they were."""
    return "0x1" + text[2:].rjust(DIGITS, "0")


def _no_digit(text: str) -> str:
    """The character behind 9, where one behind it in a wider sense is: the two differ in a bound alone."""
    return text.replace("a", ":", 1)


def stored_rows_are_judged_alike() -> None:
    """Sound rows are vouched for, damaged ones only where Python finds nothing, none whose bytes have moved."""
    for fork in ("frontier", "london", "prague"):
        rows = stored(simulated(fork))
        assert holds(rows, PROFILES[1]), f"{fork}: sound rows"
        assert_only_sound_rows_are_vouched_for(rows, PROFILES[1], list(TABLES))
    for block in moved_between_columns():
        assert judged([block], block.number, block.ref.parent_hash, PROFILES[1])["vouched"] == 0


def books_are_proven_alike() -> None:
    """Made-up feeds of either protocol: equal events, digests and books, and most of it is taken."""
    for protocol in SYMBOLS:
        for seed in range(FEEDS):
            counts = made_up(protocol, seed)
            assert counts["taken"] > counts["left"], f"{protocol}, feed {seed}: {counts}"


def gathers_of_frames_mean_the_same() -> None:
    """Frames taken many at a time, and one by one: equal events, sessions, books, journals; and some are taken."""
    for protocol in SYMBOLS:
        for seed in GATHERED:
            assert play(protocol, seed, 150).taken > 0, f"{protocol}, feed {seed}"
        assert learn_paces(protocol)["trades"] > 50
    assert play_again()["snapshots"] > 5


COMPARISONS = (
    ordinary_blocks_are_taken,
    changed_answers_are_judged_alike,
    stored_rows_are_judged_alike,
    books_are_proven_alike,
    gathers_of_frames_mean_the_same,
)


def main() -> int:
    """Make all comparisons; the exit code."""
    answers = simulated("prague")
    assert isinstance(by_python(raw_of(answers), 3, rules_of(answers)), VerifiedBlock)
    try:
        for compare in COMPARISONS:
            compare()
    except AssertionError:
        print(json.dumps({"differs": traceback.format_exc().strip().splitlines()[-1][:300]}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
