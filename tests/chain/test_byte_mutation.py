"""Every byte of a recorded block's answers changed: refused, or nothing that is stored as proven differs.

`test_mutation.py` changes whole values by their meaning; this one knows nothing of it.
"""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chain.answers import Answers, recorded
from tests.chain.test_mutation import LOWERED, difference
from tidelog.errors import ProofFailure, Rejected

# What may differ all the same: the signature covers it, and only the check `senders` looks at that.
UNCOVERED = frozenset({"transactions.from_address"})
SUBSTITUTES = b'0f"9'  # digits, and what breaks the syntax; a fourth one comes by the seed


def mutants(answers: Answers, every: int, substitutes: int) -> Iterator[tuple[str, Answers]]:
    random_ = random.Random(1)
    for part, whole in zip(("block", "receipts"), answers[:2], strict=True):
        for at in range(random_.randrange(every), len(whole), every):
            candidates = [byte for byte in (*SUBSTITUTES, random_.randrange(256)) if byte != whole[at]]
            for byte in random_.sample(candidates, substitutes):
                changed = whole[:at] + bytes((byte,)) + whole[at + 1 :]
                mutant = answers._replace(block=changed) if part == "block" else answers._replace(receipts=changed)
                yield f"byte {at} of the {part}, now {byte}", mutant


def quorum_read(answers: Answers, every: int, substitutes: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for what, mutant in mutants(answers, every, substitutes):
        try:
            differing, proof = difference(answers, mutant)
        except ProofFailure:
            counts["proof"] += 1
        except Rejected:
            counts["shape"] += 1
        else:
            assert differing <= UNCOVERED or LOWERED in proof, f"{what} is stored as proven: {sorted(differing)}"
            counts["nothing" if not differing else "uncovered"] += 1
    return counts


def test_a_byte_changed_here_and_there_is_never_stored_as_proven(shared: Path) -> None:
    counts = quorum_read(recorded(shared, "ethereum", 1000000), every=3, substitutes=1)
    assert min(counts["proof"], counts["shape"]) > 100
    assert counts["nothing"]


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_a_byte_changed_anywhere_is_never_stored_as_proven(shared: Path) -> None:
    assert quorum_read(recorded(shared, "ethereum", 1000000), every=1, substitutes=3)["proof"] > 1_000
