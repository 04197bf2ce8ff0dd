"""What an endpoint's word for a height is worth, where it calls a block final by its tag."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tidelog.chain.sync.quorum import LINKED_MAX, _linked


class Block(NamedTuple):
    number: int
    hash: str
    parent_hash: str


def branch(name: str, fork: int = 0) -> Callable[[int], Block]:
    """A branch that leaves the one called "main" at block `fork`."""

    def named(number: int) -> str:
        return f"{name if number >= fork else 'main'} {number}"

    return lambda number: Block(number, named(number), named(number - 1))


MAIN, DROPPED = branch("main"), branch("dropped", fork=10)


class Endpoint:
    """Gives blocks for their numbers, some at once."""

    def __init__(self, gives: Callable[[int], Block | None], at_once: int) -> None:
        self._gives = gives
        self.headers_at_once = at_once

    async def header_by_number(self, number: int) -> Block | None:
        return self._gives(number)

    async def headers_by_number(self, first: int, last: int) -> list[Block | None]:
        assert 0 <= last - first < max(2, self.headers_at_once)
        return [self._gives(number) for number in range(first, last + 1)]


def stale(first: int, last: int) -> Callable[[int], Block]:
    """The dropped branch's for these numbers."""
    return lambda number: (DROPPED if first <= number <= last else MAIN)(number)


def absent(missing: int) -> Callable[[int], Block | None]:
    return lambda number: None if number == missing else MAIN(number)


@pytest.mark.parametrize("at_once", [1, 3, 100])
@pytest.mark.parametrize(
    ("gives", "number", "tag", "said"),
    [
        (MAIN, 12, 12, "main 12"),
        (MAIN, 12, 13, "main 12"),
        (MAIN, 12, 12 + LINKED_MAX, "main 12"),
        (MAIN, 12, 5_000, "main 12"),  # in history
        (MAIN, 12, 11, None),  # it does not call it final
        (stale(10, 14), 12, 12, None),
        (stale(10, 14), 12, 13, None),
        (stale(10, 14), 12, 14, None),
        (stale(10, 14), 12, 15, None),
        (stale(10, 14), 12, 20, None),
        (stale(10, 14), 12, 5, None),
        (stale(12, 12), 12, 5_000, None),
        (absent(12), 12, 20, None),
        (absent(14), 12, 20, None),
        (absent(12), 12, 12, None),
        (absent(12), 12, 5_000, None),
    ],
)
async def test_a_block_counts_where_it_leads_to_the_one_that_is_called_final(
    gives: Callable[[int], Block | None], number: int, tag: int, said: str | None, at_once: int
) -> None:
    endpoint: Any = Endpoint(gives, at_once)
    top: Any = MAIN(tag)
    found: Any = await _linked(number, endpoint, top)
    assert (None if found is None else found.hash) == said
