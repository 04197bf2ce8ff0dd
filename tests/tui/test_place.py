"""Keys: where each leads, and that no sequence of them leads anywhere that is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.tui.place import INTERVALS, Place, Target, pressed

HASH, ADDRESS = "0x" + "ab" * 32, "0x" + "cd" * 20
ETH = Target(recording="kraken", symbol="ETH/USD")
BTC = Target(recording="kraken", symbol="BTC/USD")
BTC_EUR = Target(recording="kraken", symbol="BTC/EUR")
KNOWN = [Target(chain=1), Target(chain=10), BTC_EUR, BTC, ETH]
KEYS = [
    *"1234?h/iInpjkq[]<>x ",
    "space",
    "up",
    "down",
    "pageup",
    "pagedown",
    "home",
    "end",
    "enter",
    "escape",
    "backspace",
]


def after(*keys: str, place: Place | None = None, entries: list[Target] | None = None) -> Place:
    place = place or Place()
    for key in keys:
        place = pressed(place, key, KNOWN if entries is None else entries, KNOWN, 24)
    return place


def searched(text: str) -> Place:
    return after("/", *text, "enter")


@pytest.mark.parametrize(
    ("keys", "view", "part"),
    [
        (("2",), "market", BTC_EUR),
        (("3",), "candles", BTC_EUR),
        (("4",), "chain", Target(chain=1)),
        (("down", "enter"), "chain", Target(chain=10)),
        (("end", "enter"), "market", ETH),
        (("end", "enter", "3"), "candles", ETH),
        (("end", "enter", "n"), "market", BTC_EUR),
        (("4", "n", "n"), "chain", Target(chain=1)),
        (("?",), "help", Target()),
        (("2", "3", "escape"), "market", BTC_EUR),
        (("2", "3", "escape", "escape", "escape"), "overview", Target()),
    ],
)
def test_where_keys_lead(keys: tuple[str, ...], view: str, part: Target) -> None:
    place = after(*keys)
    assert place.view == view
    assert place.target.with_(part) == place.target


@pytest.mark.parametrize(
    ("text", "view", "part"),
    [
        ("eth", "market", ETH),
        ("btc/usd", "market", BTC),
        ("BTC-EUR", "market", BTC_EUR),
        ("USD", "market", BTC),  # the first that has it in it
        ("1,234", "block", Target(chain=1, block="1234")),
        (HASH.upper().replace("X", "x"), "block", Target(chain=1, block=HASH)),
        (ADDRESS, "address", Target(chain=1, address=ADDRESS)),
    ],
)
def test_what_a_search_finds(text: str, view: str, part: Target) -> None:
    place = searched(text)
    assert (place.view, place.typed) == (view, None)
    assert place.target.with_(part) == place.target


def test_a_search_for_nothing_and_for_what_is_not_there() -> None:
    assert searched("") == Place()
    assert searched("doge").said == "nothing is called doge"
    assert after("/", "e", "escape") == Place()
    assert after("/", "e", "x", "backspace", "t", "h").typed == "eth"
    assert after("/", "q").ended is False  # a letter, while it is typed
    assert pressed(Place(typed="7"), "enter", [], [], 24).said == "there is no chain to search in"


def test_a_step_through_a_replay_ends_a_pause() -> None:
    place = after("space", "[", "<")
    assert (place.sought, place.paused, place.back) == (-1, False, 0)
    assert after(">").sought == 1


def test_a_pause_ends_with_another_view_and_steps_only_while_it_lasts() -> None:
    assert after("[").said.startswith("pause first")
    place = after("space", "[", "[", "]")
    assert (place.paused, place.back) == (True, 1)
    assert after("space", place=place).paused is False
    assert after("2", place=place).paused is False


def test_intervals_go_round() -> None:
    assert after(*"i" * len(INTERVALS)).interval == Place().interval
    assert after("i", "I").interval == Place().interval


def test_blocks_by_number_are_stepped_through() -> None:
    place = after("/", "5", "enter", "n", "n", "p")
    assert place.target.block == "6"
    assert after("/", "0", "enter", "p").target.block == "0"


@given(st.lists(st.sampled_from(KEYS), max_size=40), st.booleans())
def test_any_keys_lead_somewhere(keys: list[str], empty: bool) -> None:
    place = Place()
    known = [] if empty else KNOWN
    for key in keys:
        place = pressed(place, key, known, known, 24)
        assert 0 <= place.cursor <= max(0, len(known) - 1)
        assert place.view in ("overview", "market", "candles", "chain", "block", "address", "help")
        if place.view in ("market", "candles"):
            assert place.target.symbol is not None
        if place.view == "chain":
            assert place.target.chain is not None
