"""Which shard records which symbol: the same on every machine and for ever, and few move when their number changes."""

import pytest

from tidelog.errors import ConfigError
from tidelog.market.shards.layout import (
    SHARDS_MAX,
    Layout,
    Shard,
    first_run,
    journal_of,
    layout_of,
    shard_of,
    shard_of_run,
)

SYMBOLS = ("BTC/USD", "ETH/USD", "DOGE/USD", "SOL/USD", "ETH/BTC")
MANY = [f"A{number}/USD" for number in range(1_000)]


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (1, (1, 1, 1, 1, 1)),
        (2, (2, 1, 2, 2, 1)),
        (3, (2, 1, 3, 2, 1)),
        (4, (2, 1, 4, 2, 1)),
    ],
)
def test_the_hash_is_the_documented_one_for_ever(of: int, expected: tuple[int, ...]) -> None:
    assert tuple(shard_of(symbol, of) for symbol in SYMBOLS) == expected


@pytest.mark.parametrize("of", range(1, 9))
def test_a_shard_more_takes_from_the_others_and_nothing_moves_between_those(of: int) -> None:
    moved = [symbol for symbol in MANY if shard_of(symbol, of) != shard_of(symbol, of + 1)]
    assert all(shard_of(symbol, of + 1) == of + 1 for symbol in moved)
    assert 0.5 * len(MANY) / (of + 1) < len(moved) < 2 * len(MANY) / (of + 1)


def test_a_list_says_more_than_the_hash() -> None:
    layout = layout_of(SYMBOLS, 3, None, [["eth-usd"], ["SOL/USD"]])
    assert layout is not None
    assert {symbol: layout.shard(symbol) for symbol in SYMBOLS} == {
        "BTC/USD": 2, "ETH/USD": 1, "DOGE/USD": 3, "SOL/USD": 2, "ETH/BTC": 1
    }  # fmt: skip
    assert layout.symbols_of(2, SYMBOLS) == ("BTC/USD", "SOL/USD")


@pytest.mark.parametrize(("shards", "shard", "lists"), [(None, None, []), (1, None, []), (None, None, [["BTC/USD"]])])
def test_a_recording_that_is_not_divided_has_no_layout(
    shards: int | None, shard: Shard | None, lists: list[list[str]]
) -> None:
    assert layout_of(SYMBOLS, shards, shard, lists) is None


@pytest.mark.parametrize(
    ("shards", "shard", "lists", "says"),
    [
        (6, None, [], "6 shards of 5 symbols: give at most as many shards as symbols"),
        (SHARDS_MAX + 1, None, [], "65 shards: give 1 to 64"),
        (0, None, [], "0 shards: give 1 to 64"),
        (2, None, [["BTC/USD"], ["ETH/USD"], ["SOL/USD"]], "3 lists of symbols for 2 shards: give one for a shard"),
        (2, None, [["BTC/USD", "XRP/USD"]], "a shard's list has XRP/USD, which is none of the symbols to record"),
        (2, None, [["BTC/USD"], ["xbt/usd"]], "BTC/USD is in the lists of shards twice: one shard records it"),
        (3, Shard(2, 4), [], "shard 2/4 is one of 4, and there are to be 3: say it once"),
    ],
)
def test_what_cannot_be_is_said(shards: int, shard: Shard | None, lists: list[list[str]], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        layout_of(SYMBOLS, shards, shard, lists)
    assert str(refused.value) == says


@pytest.mark.parametrize("text", ["", "2", "0/4", "5/4", "2/65", "a/b", "2/4/8", "-1/4", "1/٤"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="give one such as 2/4"):
        Shard.read(text)


def test_a_shard_reads_as_it_is_written() -> None:
    assert str(Shard.read("2/4")) == "2/4"


def test_shards_without_symbols_are_left_out_but_the_first_has_what_comes_without() -> None:
    layout = Layout(4)
    assert layout.numbers(["BTC/USD", "SOL/USD"], alone=False) == (2,)
    assert layout.numbers(["BTC/USD", "SOL/USD"], alone=True) == (1, 2)


@pytest.mark.parametrize("number", [1, 2, SHARDS_MAX])
def test_a_run_tells_whose_journal_it_is_in(number: int) -> None:
    assert shard_of_run(first_run(number)) == shard_of_run(first_run(number) + 999_999_999) == number


@pytest.mark.parametrize(
    ("path", "second"), [("market.journal", "market.2.journal"), ("/a.b/journal", "/a.b/journal.2"), ("m", "m.2")]
)
def test_journals_have_the_shard_in_their_names(path: str, second: str) -> None:
    assert journal_of(path, 1) == path
    assert journal_of(path, 2) == second
