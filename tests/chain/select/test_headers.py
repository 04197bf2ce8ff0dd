"""A header stands for a block with nothing in it where it hashes to its hash and its bloom excludes what is selected.

The compiled core takes the usual ones, and says of them what Python says.
"""

import json
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.chain.native import needs_core, use
from tests.chain.test_endpoint_fuzz import changed
from tests.chain.test_mutation import changes, walk
from tidelog.chain import native
from tidelog.chain.abi.signatures import parse_event
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.select.headers import HeaderAnswer, excluded_blocks
from tidelog.chain.select.selection import Selection
from tidelog.chain.verify import Rules, VerifiedBlock
from tidelog.sim.node.chain.block_builder import FORKS, RARE, Shape
from tidelog.sim.node.chain.tree import BlockTree

RULES = Rules(1, PROFILES[1])
NOTHING = Selection([Contract("rare", RARE, (parse_event("Rare()"),))])
SHAPE = Shape(transactions=(1, 4), logs=(0, 2), withdrawals=(1, 3))
KEY = "https://node/KEY"
BLOCKS = 4


def briefs(fork: str) -> list[bytes]:
    """Blocks without their transactions, from number 0 on."""
    tree = BlockTree(seed=5, chain_id=1, forks=((0, FORKS[fork]),), shape=SHAPE, blocks=BLOCKS)
    return [tree.canonical(number).page.brief for number in range(BLOCKS + 1)]


ANSWERS = {fork: briefs(fork) for fork in FORKS}


def answered(key: int | bytes, body: bytes) -> HeaderAnswer:
    return HeaderAnswer(key, body, "node", lambda text: text.replace("KEY", "***"))


def judged(
    answers: list[HeaderAnswer], path: str, rules: Rules = RULES, range_first: int | None = None
) -> list[VerifiedBlock | None]:
    faults: list[tuple[int | bytes, native.Declined]] = []
    with pytest.MonkeyPatch.context() as patch:
        use(path, patch)
        found = excluded_blocks(answers, rules, NOTHING, range_first=range_first, now_ms=7, faults=faults)
    assert not faults
    return found


def on_both(answers: list[HeaderAnswer], rules: Rules = RULES, **options: Any) -> list[VerifiedBlock | None]:
    found = judged(answers, "native", rules, **options)
    assert found == judged(answers, "python", rules, **options)
    for block in found:
        assert block is None or block.rows.digest() == block.rows.stored_digest
    return found


def held(answers: list[HeaderAnswer], lanes: int | None = None) -> list[native.Held | native.Declined]:
    pairs = [(each.key, each.answer) for each in answers]
    return native.hold_headers(
        pairs,
        RULES,
        range_first=None,
        proofs=("first", "other"),
        endpoint="node",
        now_ms=7,
        redact=answers[0].redact,
        lanes=lanes,
    )


@needs_core
@pytest.mark.parametrize("fork", FORKS)
def test_usual_headers_are_taken_by_the_core_and_say_what_python_says(fork: str) -> None:
    answers = [answered(number, body) for number, body in enumerate(ANSWERS[fork])]
    assert all(isinstance(each, native.Held) for each in held(answers))
    assert held(answers) == held(answers, lanes=1)
    assert None not in on_both(answers)
    by_hash = [answered(bytes.fromhex(json.loads(each.answer)["hash"][2:]), each.answer) for each in answers]
    assert None not in on_both(by_hash, range_first=0)


@needs_core
def test_what_begins_the_range_has_its_anchor_and_another_proof() -> None:
    answers = [answered(number, body) for number, body in enumerate(ANSWERS["prague"])]
    first, *others = on_both(answers, range_first=0)
    assert first is not None
    assert all(other is not None and other.proof != first.proof for other in others)
    hash_0 = bytes.fromhex(json.loads(answers[0].answer)["hash"][2:])
    assert None not in on_both(answers, replace(RULES, anchor=hash_0), range_first=0)
    first, *others = on_both(answers, replace(RULES, anchor=bytes(32)), range_first=0)
    assert first is None
    assert None not in others


@needs_core
def test_another_block_than_was_asked_for_is_none() -> None:
    assert on_both([answered(2, ANSWERS["prague"][1]), answered(bytes(32), ANSWERS["prague"][1])]) == [None, None]


@needs_core
def test_what_an_endpoint_adds_is_kept_without_keys_and_within_its_limit() -> None:
    def extended(**more: Any) -> HeaderAnswer:
        return answered(1, json.dumps(json.loads(ANSWERS["prague"][1]) | more).encode())

    plain, secret, large = on_both([extended(more="x"), extended(more=KEY), extended(more="x" * 5_000)])
    assert plain is not None
    assert '"more":"x"' in str(plain.rows.block)
    assert secret is not None
    assert "KEY" not in str(secret.rows.block)
    assert large is not None
    assert "xxx" not in str(large.rows.block)


@needs_core
@pytest.mark.parametrize("fork", FORKS)
def test_a_header_in_snake_case_gives_the_row_of_the_plain_one(fork: str) -> None:
    fields = json.loads(ANSWERS[fork][1])
    odd = {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower(): value for name, value in fields.items()}
    plain, snake = on_both([answered(1, json.dumps(each).encode()) for each in (fields, odd)])
    assert plain is not None
    assert snake is not None
    assert snake.rows == plain.rows
    assert "snake_case" in snake.oddities.found


@needs_core
@pytest.mark.parametrize("fork", ["frontier", "prague"])
def test_whatever_is_changed_in_a_header_both_say_the_same(fork: str) -> None:
    honest = json.loads(ANSWERS[fork][2])
    answers = []
    for keys, value in walk(honest):
        for _, change in changes(value):
            body = json.loads(ANSWERS[fork][2])
            holder = body
            for key in keys[:-1]:
                holder = holder[key]
            change(holder, keys[-1])
            answers.append(answered(2, json.dumps(body).encode()))
    assert len(answers) > 100
    found = on_both(answers)
    assert 0 < sum(each is None for each in found) < len(found)


@needs_core
@given(st.integers(0, 2**32), st.sampled_from(sorted(FORKS)))
def test_whatever_an_endpoint_answers_both_say_the_same(seed: int, fork: str) -> None:
    rng = random.Random(seed)
    answers = []
    for number, body in enumerate(ANSWERS[fork]):
        text = json.dumps(changed(rng, json.loads(body))).encode() if rng.random() < 0.6 else body
        if rng.random() < 0.3:
            place = rng.randrange(len(text))
            text = text[:place] + rng.choice((b"", b"}", b"]", b'"', b"\\", b"\xff", b" ")) + text[place + 1 :]
        answers.append(answered(number, text))
    on_both(answers, range_first=rng.choice((None, 0, 2)))
