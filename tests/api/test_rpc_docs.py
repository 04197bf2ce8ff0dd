"""The page on JSON-RPC says what the code does: methods, errors, limits, differences."""

import re
from pathlib import Path

from tidelog.api.rpc import envelope
from tidelog.api.rpc.differences import DIFFERENCES
from tidelog.api.rpc.dispatch import METHODS, RpcLimits
from tidelog.api.rpc.limits import DEPTH_MAX
from tidelog.api.rpc.params import TAGS

PAGE = (Path(__file__).parents[2] / "docs" / "rpc.md").read_text()


def rows_under(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading."""
    part = PAGE.split(f"{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]


def test_docs_list_every_method() -> None:
    assert [row[0] for row in rows_under("## What is answered")] == [f"`{name}`" for name in METHODS]


def test_docs_list_every_tag() -> None:
    assert {row[0].strip("`") for row in rows_under("### Blocks by tag")} == TAGS


def test_docs_list_every_error_code() -> None:
    codes = {value for name, value in vars(envelope).items() if name.isupper() and isinstance(value, int) and value < 0}
    assert {int(row[0]) for row in rows_under("## Errors")} == codes


def test_docs_list_every_limit() -> None:
    limits = RpcLimits()
    shown = [int(row[1].replace(",", "")) for row in rows_under("## Limits")]
    assert limits.addresses_max == limits.topics_max
    assert shown == [
        limits.body_bytes_max,
        DEPTH_MAX,
        limits.batch_max,
        limits.blocks_max,
        limits.logs_max,
        limits.addresses_max,
        limits.response_bytes_max,
    ]


def test_docs_list_every_difference() -> None:
    shown = [tuple(row) for row in rows_under("## Fields that may differ")]
    assert shown == [(item.object, f"`{item.field}`", item.why) for item in DIFFERENCES]
