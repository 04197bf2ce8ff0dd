"""The text of a chain's checkpoint: what is read of it, and what cannot be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.batch import Checkpoint
from tidelog.chain.forks.position import Position, decode_position, encode_position
from tidelog.errors import Corruption

HASH = "0x" + "ab" * 32
GOOD = {"first": 5, "first_parent_hash": HASH, "head": 9, "head_hash": HASH, "changes": 5}


def test_a_position_reads_as_it_was_written() -> None:
    for position in (Position(5, HASH, 9, HASH), Position(0, HASH, 0, HASH, 0, HASH, 1)):
        assert decode_position(Checkpoint("chain:1", 1, 1, encode_position(position))) == position
    assert decode_position(Checkpoint("chain:1", 1, 0, None)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "5",
        "{",
        "\ud800",
        '{"first":' + "[" * 9999,
        json.dumps(GOOD | {"first": None}),
        json.dumps(GOOD | {"first": "5"}),
        json.dumps(GOOD | {"first": -1}),
        json.dumps(GOOD | {"first": 11}),  # above the head
        json.dumps(GOOD | {"head": 5.5}),
        json.dumps(GOOD | {"head_hash": "ab" * 32}),
        json.dumps(GOOD | {"head_hash": HASH[:-1]}),
        json.dumps(GOOD | {"head_hash": HASH[:-2] + "zz"}),
        json.dumps(GOOD | {"head_hash": HASH + "\n"}),
        json.dumps(GOOD | {"first_parent_hash": "0x"}),
        json.dumps(GOOD | {"finalized": 6}),
        json.dumps(GOOD | {"finalized_hash": HASH}),
        json.dumps(GOOD | {"finalized": 6, "finalized_hash": "0x"}),
        json.dumps(GOOD | {"changes": -1}),
        json.dumps(GOOD | {"head": 2**63 - 1}),  # the next one would fit no column
        json.dumps(GOOD | {"finalized": 2**63 - 1, "finalized_hash": HASH}),
        json.dumps(GOOD | {"changes": 2**63}),
        json.dumps({name: value for name, value in GOOD.items() if name != "head_hash"}),
    ],
)
def test_no_other_text_is_a_position(text: str) -> None:
    with pytest.raises(Corruption, match="the checkpoint of chain:1 cannot be read"):
        decode_position(Checkpoint("chain:1", 1, 1, text))


@given(st.text(max_size=60))
def test_any_text_is_corruption(text: str) -> None:
    with pytest.raises(Corruption):
        decode_position(Checkpoint("chain:1", 1, 1, text))
