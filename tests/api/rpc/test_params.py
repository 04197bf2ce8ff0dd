"""What parameters mean, and what is refused: blocks, hashes, filters."""

import json
from typing import Any

import pytest
from msgspec import Raw

from tidelog.api.rpc.envelope import INVALID_PARAMS, LIMIT_EXCEEDED, Refusal
from tidelog.api.rpc.limits import RpcLimits
from tidelog.api.rpc.params import (
    LogFilter,
    block_id,
    block_number,
    counted,
    flag,
    hash32,
    index,
    log_filter,
)

HASH = "0x" + "ab" * 32
OTHER = "0x" + "cd" * 32
ADDRESS = "0x" + "12" * 20
H, H2, A = (bytes.fromhex(text[2:]) for text in (HASH, OTHER, ADDRESS))
LIMITS = RpcLimits(addresses_max=2, topics_max=2)


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("text", "meaning"),
    [("0x0", 0), ("0x10", 16), ("0X0A", 10), ("0xffffffffffffffff", 2**64 - 1), ("0x" + "0" * 60 + "1", 1)]
    + [(tag, tag) for tag in ("latest", "safe", "finalized", "earliest", "pending")],
)
def test_parses_a_block_by_number_or_tag(text: str, meaning: int | str) -> None:
    assert block_number(raw(text)) == meaning
    assert block_id(raw(text)) == meaning
    assert block_id(raw({"blockNumber": text})) == meaning


def test_parses_a_block_by_hash() -> None:
    for named in (HASH, {"blockHash": HASH}, {"blockHash": HASH, "requireCanonical": False}):
        assert block_id(raw(named)) == H


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0x",
        "1",
        "latest ",
        "0xg",
        "0x10000000000000000",
        "-0x1",
        "0x1_0",
        1,
        None,
        True,
        [],
        {"blockNumber": "0x1"},
    ],
)
def test_rejects_what_is_no_block_number(value: Any) -> None:
    with pytest.raises(Refusal) as refused:
        block_number(raw(value))
    assert refused.value.code == INVALID_PARAMS


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        json.dumps({"blockHash": HASH, "blockNumber": "0x1"}),
        json.dumps({"blockHash": "0x12"}),
        json.dumps({"blockHash": HASH, "number": 1}),
        f'{{"blockHash":"{HASH}","blockHash":"{OTHER}"}}',
        "[]",
    ],
)
def test_rejects_what_is_no_block(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        block_id(Raw(text.encode()))
    assert refused.value.code == INVALID_PARAMS


def test_simple_parameters() -> None:
    assert (flag(raw(True)), index(raw("0x2")), hash32(raw(HASH.upper().replace("0X", "0x")), "hash")) == (True, 2, H)
    for refused in (
        lambda: flag(raw("true")),
        lambda: index(raw(2)),
        lambda: hash32(raw("0x12"), "hash"),
        lambda: hash32(raw(1), "hash"),
        lambda: counted([raw(1)], 2),
    ):
        with pytest.raises(Refusal):
            refused()


FILTERS: tuple[tuple[Any, LogFilter], ...] = (
    ({}, LogFilter(None, "latest", "latest", (), ())),
    ({"fromBlock": "0x1", "toBlock": "finalized"}, LogFilter(None, 1, "finalized", (), ())),
    ({"blockHash": HASH}, LogFilter(H, "latest", "latest", (), ())),
    ({"address": ADDRESS}, LogFilter(None, "latest", "latest", (A,), ())),
    ({"address": [ADDRESS, ADDRESS.upper().replace("0X", "0x")]}, LogFilter(None, "latest", "latest", (A,), ())),
    ({"topics": [HASH, None, [HASH, OTHER]]}, LogFilter(None, "latest", "latest", (), ((H,), (), (H, H2)))),
    ({"topics": [[], [HASH, None]]}, LogFilter(None, "latest", "latest", (), ((), ()))),
)


@pytest.mark.parametrize(("value", "meaning"), FILTERS)
def test_parses_log_filters(value: Any, meaning: LogFilter) -> None:
    nulls = dict.fromkeys(("fromBlock", "toBlock", "blockHash", "address", "topics"))
    assert log_filter(raw(value), LIMITS) == log_filter(raw(nulls | value), LIMITS) == meaning


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1", INVALID_PARAMS),
        ("null", INVALID_PARAMS),
        ('{"adress":[]}', INVALID_PARAMS),
        ('{"fromBlock":1}', INVALID_PARAMS),
        (f'{{"blockHash":"{HASH}","toBlock":"0x1"}}', INVALID_PARAMS),
        ('{"fromBlock":"0x1","fromBlock":"0x2"}', INVALID_PARAMS),
        ('{"topics":[null,null,null,null,null]}', INVALID_PARAMS),
        ('{"topics":[[["0x1"]]]}', INVALID_PARAMS),
        (json.dumps({"topics": [ADDRESS]}), INVALID_PARAMS),
        (json.dumps({"address": [ADDRESS, None]}), INVALID_PARAMS),
        (json.dumps({"address": [ADDRESS] * 3}), LIMIT_EXCEEDED),
        (json.dumps({"topics": [[HASH] * 3]}), LIMIT_EXCEEDED),
    ],
)
def test_rejects_what_is_no_filter(text: str, code: int) -> None:
    with pytest.raises(Refusal) as refused:
        log_filter(Raw(text.encode()), LIMITS)
    assert refused.value.code == code
