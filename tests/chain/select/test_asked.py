"""Answers to eth_getLogs in other words: the same logs, and what was odd is counted."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tidelog.chain.decode.lenient import Oddities
from tidelog.chain.select.asked import LogQuery, decode_logs
from tidelog.errors import Rejected
from tidelog.sim.node.lies import LIES, Asked

ADDRESS, TOPIC = b"\xab" * 20, b"\xcd" * 32
QUERY = LogQuery((ADDRESS,), None)
PLAIN: dict[str, Any] = {
    "address": "0x" + ADDRESS.hex(),
    "topics": ["0x" + TOPIC.hex()],
    "data": "0x",
    "blockNumber": "0x7",
    "blockHash": "0x" + "11" * 32,
    "transactionHash": "0x" + "22" * 32,
    "transactionIndex": "0x0",
    "logIndex": "0x0",
    "removed": False,
}


def decoded(log: dict[str, Any], oddities: Oddities | None = None) -> Any:
    return decode_logs(json.dumps([log]).encode(), QUERY, 5, 9, oddities)


def told(name: str) -> Callable[[dict[str, Any]], Any]:
    """As a node with this oddity writes its receipts."""
    lie = LIES[name].call
    assert lie is not None
    return lambda log: lie(Asked(None, log, None, None))  # type: ignore[arg-type]


# what is said                                                         counted as
ODD: list[tuple[Callable[[dict[str, Any]], Any], str | None]] = [
    (lambda log: log, None),
    (told("odd_numbers"), None),
    (lambda log: log | {"transactionIndex": "0x", "logIndex": "0x00", "blockNumber": "0x0007"}, None),
    (lambda log: log | {"removed": None}, None),
    (told("odd_snake_case"), "snake_case"),
    (told("odd_prefix"), "uppercase"),
    (lambda log: log | {"topics": ["0X" + TOPIC.hex()]}, "uppercase"),
    (lambda log: log | {"data": None}, "none"),
    (lambda log: log | {"data": ""}, "none"),
]


@pytest.mark.parametrize(("change", "kind"), ODD)
def test_other_words_are_read_as_those_of_receipts_are(
    change: Callable[[dict[str, Any]], Any], kind: str | None
) -> None:
    oddities = Oddities()
    assert decoded(change(json.loads(json.dumps(PLAIN))), oddities) == decoded(PLAIN)
    assert list(oddities.found) == ([] if kind is None else [kind])


def test_no_topics_at_all_are_null() -> None:
    assert decoded(PLAIN | {"topics": None}) == decoded(PLAIN | {"topics": []})


@pytest.mark.parametrize(
    "change",
    [
        {"blockNumber": "7"},
        {"blockNumber": None},
        {"address": None},
        {"data": "0x0"},
        {"logIndex": "-0x1"},
        {"topics": 1},
    ],
)
def test_what_has_no_one_reading_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match="eth_getLogs answer of the wrong shape"):
        decoded(PLAIN | change)
