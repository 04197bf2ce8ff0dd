"""`GET /v1/chains/{chain}/events`: what the node's logs say, by pages; what does not fit, and what is refused.

The simulated node's logs are named after events without arguments, and have some: they are read as anonymous events.
"""

from typing import Any

import pytest

from tests.api.served import CHAIN, Filled, Served
from tests.sim.asking import ask
from tidelog.api.chain import events

EVENTS = f"{CHAIN}/events"
ODD = "Odd(bytes32 indexed a, address indexed b, bytes32 indexed c, uint256 value) anonymous"
TRANSFER = "Transfer(address indexed from, address indexed to, uint256 value)"


def is_odd(log: dict[str, Any]) -> bool:
    return len(log["topics"]) == 3 and len(log["data"]) == 66


def logs_of(full: Filled) -> tuple[str, list[dict[str, Any]]]:
    """The contract with the most odd logs, and all of its logs, as the node has them."""
    logs = ask(full.node, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    addresses = [log["address"] for log in logs if is_odd(log)]
    address = max(addresses, key=addresses.count)
    return address, [log for log in logs if log["address"] == address]


def args_of(log: dict[str, Any]) -> dict[str, Any]:
    a, b, c = log["topics"]
    return {"a": a, "b": f"0x{b[26:]}", "c": c, "value": str(int(log["data"], 16))}


def all_of(api: Served, **given: object) -> tuple[list[Any], int]:
    """The events of all pages, and how many logs did not fit."""
    found: list[Any] = []
    misfits, cursor = 0, None
    while True:
        reply = api.get(EVENTS, limit=2, cursor=cursor, **given)
        assert reply.status == 200, reply.error
        found += reply.data
        misfits += sum(reply.json["misfits"].values())
        cursor = reply.json["next"]
        if cursor is None:
            return found, misfits


def test_events_are_the_nodes_logs_decoded_page_by_page(api: Served, full: Filled) -> None:
    address, logs = logs_of(full)
    right = [log for log in logs if is_odd(log)]
    found, misfits = all_of(api, signature=ODD, address=address)
    assert [each["args"] for each in found] == [args_of(log) for log in right]
    assert [each["transaction_hash"] for each in found] == [log["transactionHash"] for log in right]
    assert [(each["block_number"], each["log_index"]) for each in found] == [
        (int(log["blockNumber"], 16), int(log["logIndex"], 16)) for log in right
    ]
    assert misfits == len(logs) - len(right)
    block = ask(full.node, "eth_getBlockByNumber", right[0]["blockNumber"], False)
    assert found[0]["timestamp"] == int(block["timestamp"], 16)
    assert (found[0]["event"], found[0]["address"]) == ("Odd", address)


def test_an_answer_of_large_logs_ends_sooner_and_the_list_goes_on(
    api: Served, full: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logs count that do not fit, too: they were read."""
    address, logs = logs_of(full)
    wanted = api.all(EVENTS, signature=ODD, address=address)
    monkeypatch.setattr(events, "PAGE_BYTES_MAX", 1)
    pages = api.pages(EVENTS, signature=ODD, address=address)
    assert [len(page) for page in pages] == [int(is_odd(log)) for log in logs]
    assert [event for page in pages for event in page] == wanted


def test_an_argument_and_a_range_choose(api: Served, full: Filled) -> None:
    address, logs = logs_of(full)
    log = [log for log in logs if is_odd(log)][-1]
    number = int(log["blockNumber"], 16)
    given = {"signature": ODD, "address": address, "arg.b": f"0x{log['topics'][1][26:]}"}
    right = [args_of(each) for each in logs if is_odd(each) and each["topics"][1] == log["topics"][1]]
    assert [each["args"] for each in all_of(api, **given)[0]] == right
    assert args_of(log) in [each["args"] for each in all_of(api, **given, from_=number, to=number)[0]]
    assert all_of(api, **given, to=number - 1)[0] == [
        each for each in all_of(api, **given)[0] if each["block_number"] < number
    ]


def test_an_event_that_nobody_logged_is_an_empty_answer(api: Served) -> None:
    reply = api.get(EVENTS, signature=TRANSFER)
    assert (reply.status, reply.data, reply.json["misfits"], reply.json["next"]) == (200, [], {}, None)
    assert reply.json["finality"] == "unfinalized"


REFUSED: list[tuple[dict[str, object], str]] = [
    ({}, "signature: this route needs it, and it is not given"),
    ({"signature": "Transfer(adress a)"}, "signature: 'Transfer(adress a)' is no signature of an event: 'adress' is"),
    ({"signature": TRANSFER, "address": "0x12"}, "address"),
    ({"signature": TRANSFER, "arg.to": "bob"}, "the argument to: 'bob' is no address: give 20 bytes"),
    ({"signature": TRANSFER, "arg.value": "1"}, "the argument value of Transfer is not indexed"),
    ({"signature": TRANSFER, "arg.": "1"}, "Transfer has no argument ''"),
    ({"signature": TRANSFER, "args.to": "1"}, "this route knows no parameter 'args.to'"),
    ({"signature": ODD}, "an anonymous event is found by the address of its contract alone"),
    ({"signature": TRANSFER, "cursor": "abc"}, "cursor: this is no cursor of this list"),
]


@pytest.mark.parametrize(("given", "why"), REFUSED)
def test_what_cannot_be_meant_is_refused_in_a_sentence(given: dict[str, object], why: str, api: Served) -> None:
    reply = api.get(EVENTS, **given)
    assert reply.status == 400
    assert why in reply.error


def test_too_many_blocks_at_once_are_refused(small: Filled) -> None:
    with Served(small.url, block_range_max=5) as api:
        assert "at most 5 go in one search" in api.get(EVENTS, signature=TRANSFER).error
        assert api.get(EVENTS, signature=TRANSFER, from_=3, to=7).status == 200
        assert api.get(EVENTS, signature=TRANSFER, from_=3, to=8).status == 400


def test_a_parameter_is_given_once(api: Served) -> None:
    reply = api.ask("GET", f"{EVENTS}?signature=E(uint8%20indexed%20a)&arg.a=1&arg.a=2")
    assert (reply.status, reply.error) == (400, "arg.a: given twice")
