"""What an endpoint says of many addresses, which it is asked about one part after the other."""

import json
from typing import Any

import pytest

from tests.runtime import FakeRuntime
from tidelog.chain.endpoint.log_ranges import LogRangeLimits, LogRanges
from tidelog.chain.select.asked import LogFilter
from tidelog.chain.source.asked_logs import ask_logs
from tidelog.errors import Rejected

ADDRESSES = tuple(bytes([at]) * 20 for at in (1, 2))


def log(address: bytes, index: int, transaction: int = 0) -> dict[str, Any]:
    return {
        "address": "0x" + address.hex(),
        "topics": [],
        "data": "0x",
        "blockNumber": "0x7",
        "blockHash": "0x" + "11" * 32,
        "transactionHash": f"0x{transaction:064x}",
        "transactionIndex": "0x0",
        "logIndex": hex(index),
    }


class Told:
    """An endpoint that takes one address, and says this of each."""

    name = "node"

    def __init__(self, *logs: dict[str, Any]) -> None:
        self.log_ranges = LogRanges(LogRangeLimits(addresses=1, addresses_most=1))
        self._logs = logs

    async def request(self, calls: Any, **_: object) -> list[bytes]:
        (wanted,) = calls[0].params
        return [json.dumps([log for log in self._logs if log["address"] in wanted["address"]]).encode()]

    def notice(self, *_: object) -> None: ...

    def redact(self, text: str) -> str:
        return text


@pytest.mark.parametrize(
    ("other", "words"),
    [(log(ADDRESSES[1], 3), "log 3 of block 7 comes twice"), (log(ADDRESSES[1], 4, 5), "is of another transaction")],
)
async def test_answers_about_parts_of_the_addresses_fit_together_or_are_refused(
    other: dict[str, Any], words: str
) -> None:
    """Each alone is sound. Stored, the second row of one place would be taken for damage of the store."""
    wanted = LogFilter(tuple((0, address) for address in ADDRESSES), None)
    for second, is_sound in ((log(ADDRESSES[1], 4), True), (other, False)):
        endpoint: Any = Told(log(ADDRESSES[0], 3), second)
        asked = ask_logs(endpoint, FakeRuntime(), wanted, 0, 9, rank=0)
        if is_sound:
            assert [each.index for each in (await asked).logs or ()] == [3, 4]
            continue
        with pytest.raises(Rejected, match=words) as refused:
            await asked
        assert refused.value.endpoint == "node"
