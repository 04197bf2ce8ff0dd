"""In what words a range of blocks is refused, and the width that follows from it."""

import msgspec
import pytest

from tidelog.chain.endpoint import jsonrpc
from tidelog.chain.endpoint.jsonrpc import Call
from tidelog.chain.endpoint.log_ranges import LogRangeLimits, LogRanges
from tidelog.errors import Overloaded, Rejected, SourceError, Throttled, TooManyAddresses, TooWide

# each as a provider or a node says it: code, message, data; the blocks that it takes, the last block that would do
REFUSALS = [
    (-32602, "range 1000000 exceeds limit of 10000", None, 10_000, None),
    (-32602, "invalid params", {"payload": "range 9009594 is bigger than range limit 2000"}, 2_000, None),
    (-32005, "query returned more than 10000 results", None, None, None),
    (
        -32005,
        "query returned more than 10000 results. Try with this block range [0x64, 0x12c].",
        {"from": "0x64", "to": "0x12c"},
        None,
        300,
    ),
    (-32005, "block range too large, max range: 5000", None, 5_000, None),
    (-32614, "eth_getLogs is limited to a 10,000 range", None, 10_000, None),
    (
        -32600,
        "Under the Free tier plan, you can make eth_getLogs requests with up to a 500 block range. Based on your "
        "parameters, this block range should work: [0x1a30dfd, 0x1a30ff0]",
        None,
        500,
        0x1A30FF0,
    ),
    (
        -32000,
        "block range is larger than max block range, block range = 5120, max block range = 5000",
        None,
        5_000,
        None,
    ),
    (
        -32602,
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the "
        "response size, or you can request any block range with a cap of 10K logs in the response. Based on your "
        "parameters and the response size limit, this block range should work: [0x0, 0x7f]",
        None,
        2_000,
        127,
    ),
    (-32000, "query block range exceeds server limit 1024", None, 1_024, None),
    (-32000, "query returns too many logs 30000", None, None, None),
    (-32602, "query exceeds max results 20000, retry with the range 24383075-24383096", None, None, 24_383_096),
    (-32005, "query exceeds max block range 10000", None, 10_000, None),
    (-32005, "block range too large, rate limited", None, None, None),
    (-32000, "you exceeded the eth_getLogs limit", None, None, None),
    (-32000, "eth_getLogs requests limited to 1,000 blocks", None, 1_000, None),
]


def said(code: int, message: str, data: object = None) -> SourceError:
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "error": error})
    (answer,) = jsonrpc.decode(body, [Call("eth_getLogs")])
    assert isinstance(answer, SourceError)
    return answer


@pytest.mark.parametrize(("code", "message", "data", "blocks", "through"), REFUSALS)
def test_a_refusal_of_a_range_says_what_would_do(
    code: int, message: str, data: object, blocks: int | None, through: int | None
) -> None:
    error = said(code, message, data)
    assert isinstance(error, TooWide), error
    assert (error.blocks, error.through) == (blocks, through)


@pytest.mark.parametrize(("status", "code", "message"), [(413, -32614, "eth_getLogs is limited to a 10,000 range"),
                                                         (400, -32600, "up to a 500 block range")])  # fmt: skip
def test_so_does_one_that_comes_with_a_status_of_http(status: int, code: int, message: str) -> None:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}})
    assert isinstance(jsonrpc.http_error(status, {}, body, now=0.0), TooWide)


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (-32602, "block range extends beyond current head block", SourceError),
        (-32005, "rate limit exceeded", Throttled),
        (-32005, "daily request count exceeded, request rate limited", Throttled),
        (-32005, "eth_getLogs rate limit exceeded", Throttled),
        (-32000, "eth_getLogs is limited to 5 requests per second", Throttled),
        (-32000, "eth_getLogs: request limit reached", Throttled),
        (-32000, "block range queries: rate limit exceeded", Throttled),
        (-32000, "request timed out", Overloaded),
        (-32602, "invalid argument 0: hex string without 0x prefix", SourceError),
        (-32000, "batch limit 100 exceeded", Rejected),
        (-32000, "unknown block", SourceError),
    ],
)
def test_what_speaks_of_something_else_is_none(code: int, message: str, kind: type[SourceError]) -> None:
    error = said(code, message)
    assert isinstance(error, kind)
    assert not isinstance(error, TooWide)


def test_a_width_grows_until_it_is_refused_and_stays_below_that() -> None:
    ranges = LogRanges(LogRangeLimits(first=100, most=10_000))
    widths = []
    for _ in range(20):
        width = ranges.blocks
        widths.append(width)
        if width > 1_500:
            ranges.refused(width, TooWide(""), 0.0)
        else:
            ranges.served(width, 0, 0.0)
    assert widths[:6] == [100, 200, 400, 800, 1600, 800]
    assert max(widths[5:]) <= 1_599
    assert sum(width > 1_500 for width in widths) <= 3
    assert min(widths[6:]) >= 800


def test_a_number_that_an_endpoint_names_is_never_exceeded_again() -> None:
    ranges = LogRanges(LogRangeLimits(first=500, most=10_000))
    ranges.refused(500, TooWide("", blocks=333), 0.0)
    assert ranges.blocks == 333
    for later in range(10):
        ranges.served(ranges.blocks, 0, 1_000.0 * later)
        assert ranges.blocks <= 333


def test_an_answer_of_many_logs_makes_the_next_range_narrower() -> None:
    ranges = LogRanges(LogRangeLimits(first=1_000, logs=1_000))
    ranges.served(1_000, 4_000, 0.0)
    assert ranges.blocks == 125
    ranges.refused(125, Overloaded("slow"), 0.0)
    assert ranges.blocks == 62
    for _ in range(10):
        ranges.refused(ranges.blocks, Overloaded("slow"), 0.0)
    assert ranges.blocks == 1


@pytest.mark.parametrize(
    ("code", "message", "most"),
    [
        (-32602, "exceed max addresses or topics per search position", None),
        (-32602, "invalid argument 1: exceed max addresses", None),
        (-32602, "exceed max addresses: 1000", 1_000),
        (-32000, "please specify less number of address in the getLogs query", None),
        (-32602, "This query contains 5006 filters. The current limit is 5000.", 5_000),
        (-32602, "too many addresses in filter, maximum is 30", 30),
    ],
)
def test_a_refusal_of_addresses_says_how_many_would_do(code: int, message: str, most: int | None) -> None:
    error = said(code, message)
    assert isinstance(error, TooManyAddresses), error
    assert error.most == most


def test_what_is_said_of_an_ip_address_is_no_refusal_of_addresses() -> None:
    assert not isinstance(said(-32005, "rate limit exceeded for your IP address"), TooManyAddresses)


def test_how_many_addresses_an_endpoint_takes_is_learned() -> None:
    ranges = LogRanges(LogRangeLimits(addresses=100, addresses_most=1_000))
    ranges.took(40)
    assert ranges.addresses == 100
    for _ in range(5):
        ranges.took(ranges.addresses)
    assert ranges.addresses == 1_000
    ranges.too_many(1_000, TooManyAddresses(""))
    assert ranges.addresses == 500
    ranges.too_many(500, TooManyAddresses("", most=20))
    ranges.took(20)
    assert ranges.addresses == 20
    for _ in range(9):
        ranges.too_many(ranges.addresses, TooManyAddresses("", most=5_000))
    assert ranges.addresses == 1
