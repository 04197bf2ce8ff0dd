"""Every view, drawn from the same answers, as text: `python -m tests.tui.test_views` writes the pictures anew."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from tests.tui.hearing import NOW_S, drawn, heard, scripted
from tests.tui.scripts import ANSWERS, BOOK, COVERAGE, GAP, METRICS, NOW_US, TOKEN, covered, standing
from tidelog.tui.lines import ASCII, STYLES, UNICODE, Glyphs, wide
from tidelog.tui.place import Place, Target, View
from tidelog.tui.screen import screen
from tidelog.tui.views.scene import Scene
from tidelog.tui.world import EMPTY, World

SNAPSHOTS = Path(__file__).parent / "snapshots"
TARGET = Target(chain=1, recording="kraken", symbol="ETH/USD", block="1000", address=TOKEN)
VIEWS: tuple[View, ...] = ("overview", "market", "candles", "chain", "block", "address", "help")


class Picture(NamedTuple):
    """A view in a terminal of some size."""

    view: View
    columns: int = 80
    rows: int = 24
    glyphs: Glyphs = UNICODE
    interval: str = "1m"


PICTURES = {
    **{f"{view}-80x24": Picture(view) for view in VIEWS},
    "overview-200x60": Picture("overview", 200, 60),
    "market-200x60": Picture("market", 200, 60),
    "market-ascii": Picture("market", glyphs=ASCII),
    "candles-ascii": Picture("candles", glyphs=ASCII),
    "candles-10s": Picture("candles", interval="10s"),
    "chain-60x12": Picture("chain", 60, 12),
}


def at(view: View, **more: Any) -> Place:
    return replace(Place(view=view, target=TARGET), **more)


def world_of(place: Place, answers: dict[str, Any] = ANSWERS) -> World:
    return heard(scripted(answers), place, NOW_US)


def shot(picture: Picture) -> str:
    place = at(picture.view, interval=picture.interval)
    lines = drawn(
        world_of(place),
        place,
        NOW_US,
        columns=picture.columns,
        rows=picture.rows,
        glyphs=picture.glyphs,
        mean=2,
        large_qty=5,
    )
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", PICTURES)
def test_a_view_looks_as_it_did(name: str) -> None:
    assert shot(PICTURES[name]) == (SNAPSHOTS / f"{name}.txt").read_text()


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_fits_any_terminal(view: View, glyphs: Glyphs) -> None:
    place = at(view)
    world = world_of(place)
    for columns, rows in ((80, 24), (200, 60), (40, 10), (20, 5), (10, 3), (1, 1)):
        lines = screen(Scene(world, place, NOW_S, NOW_US, columns, rows, glyphs), "http://a-long-name.example:8420")
        assert len(lines) == rows
        for line in lines:
            assert wide(line) <= max(columns, 2), (columns, rows, line)
            assert {piece.style for piece in line} <= set(STYLES)
            if glyphs is ASCII:
                assert all(piece.text.isascii() for piece in line)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_nothing_says_so_and_does_not_fail(view: View) -> None:
    for place in (at(view), Place(view=view)):
        for world in (EMPTY, world_of(place, {}), world_of(place, {"/v1/chains": {"data": []}})):
            assert len(drawn(world, place, NOW_US)) == 24


def test_what_is_old_says_so_within_two_seconds_and_why() -> None:
    place = at("market")
    world = world_of(place)
    assert " live " in drawn(world, place, NOW_US)[0]
    assert " STALE: 2.0 s old " in drawn(world, place, NOW_US, now_s=NOW_S + 2)[0]
    from tidelog.tui.screen import asked

    failing = world.fail(asked(world, place, NOW_US)[0], "no connection (Connection refused)", NOW_S + 2)
    title, why, *_ = drawn(failing, place, NOW_US, now_s=NOW_S + 90)
    assert "STALE: 90 s old" in title
    assert why == "no answer: no connection (Connection refused)"


def test_a_book_that_is_not_proven_says_so_and_why() -> None:
    data = {**BOOK["data"], "proven_depth": 0}
    book = BOOK | {"standing": standing("unproven", 5, "mismatched"), "data": data}
    place = at("market")
    worth = drawn(world_of(place, ANSWERS | {"/v1/markets/ETH%2FUSD/book": book}), place, NOW_US)[1]
    assert "NOT PROVEN: mismatched" in worth
    assert not re.search(r"(?<!NOT )PROVEN", worth)


def test_the_last_gap_is_the_one_that_was_opened_last() -> None:
    away = {**GAP, "scope": "connection", "reason": "closed: 1006", "opened_at": "2023-11-14T22:11:30.000000Z"}
    place = at("market")
    text = drawn(world_of(place, ANSWERS | {"/v1/markets/ETH%2FUSD/gaps": {"data": [GAP, away]}}), place, NOW_US)
    assert any(line.startswith("last gap 22:11:30 still missing: no connection (closed: 1006)") for line in text)


def test_why_something_is_not_proven_now_is_told_in_the_exchanges_words() -> None:
    refused = covered("book", "gap", 60, 0, "refused: Currency pair not supported")
    coverage = {"data": [*COVERAGE, refused], "gaps": []}
    place = at("market")
    answers = ANSWERS | {"/v1/markets/ETH%2FUSD/coverage": coverage}
    unproven = BOOK | {"data": {**BOOK["data"], "proven_depth": 0}}
    text = drawn(world_of(place, answers | {"/v1/markets/ETH%2FUSD/book": unproven}), place, NOW_US)
    assert "book gap now: refused: Currency pair not supported" in text
    proven_again = drawn(world_of(place, answers), place, NOW_US)  # which the store does not know yet
    assert not any(" now: " in line for line in proven_again)
    text = drawn(world_of(place), place, NOW_US)
    assert "last doubt 22:11:00 for 2 min: book unproven (mismatched)" in text
    assert not any(" now: " in line for line in text)


def test_a_recording_in_shards_shows_each_of_them() -> None:
    metrics = METRICS.replace(b'process="kraken"', b'process="kraken.1"') + (
        b'tidelog_up{process="kraken.1"} 1.0\ntidelog_up{process="kraken.2"} 0.0\n'
        b'tidelog_market_gaps_opened_total{process="kraken.2"} 4.0\n'
        b'tidelog_market_books{process="kraken.1"} 2.0\ntidelog_market_books_unproven{process="kraken.1"} 1.0\n'
    )
    text = drawn(world_of(at("overview"), ANSWERS | {"/metrics": metrics}), at("overview"), NOW_US)
    (whole,) = [line for line in text if line.startswith("kraken ")]
    assert whole.split()[-1] == "7"  # gaps of both
    assert "  kraken.1  runs  - msgs/s  2 books, 1 not proven  store 0.2 s behind" in text
    assert "  kraken.2  down  - msgs/s  0 books" in text


HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp\n\r"


def poisoned(document: Any) -> Any:
    """Every text that is free has something in it that a terminal would obey."""
    kept = ("hash", "address", "topics", "data", "time", "symbol", "recording", "number")
    if isinstance(document, dict):
        return {
            key: value if key in kept or key.endswith(("_hash", "_at", "_us")) else poisoned(value)
            for key, value in document.items()
        } | ({"data": poisoned(document["data"])} if isinstance(document.get("data"), list | dict) else {})
    if isinstance(document, list):
        return [poisoned(each) for each in document]
    if isinstance(document, str) and not re.fullmatch(r"-?[0-9.]+|0x[0-9a-f]*|apply|revert|passed|[a-z_]*", document):
        return document + HOSTILE
    return document


@pytest.mark.parametrize("view", VIEWS)
def test_no_text_of_others_commands_the_terminal(view: View) -> None:
    name = f"EVIL{HOSTILE}/USD"
    answers: dict[str, Any] = {
        path: document if isinstance(document, bytes) else poisoned(document) for path, document in ANSWERS.items()
    }
    answers["/metrics"] = ANSWERS["/metrics"].replace(b"https://node", HOSTILE.replace("\n", "\\n").encode())
    answers["/v1/markets"] = json.loads(json.dumps(ANSWERS["/v1/markets"]).replace("BTC/USD", "EVIL"))
    answers["/v1/markets"]["data"][0]["symbol"] = name
    answers["/v1/chains/1/contracts"] = {"data": [{"name": HOSTILE, "address": TOKEN, "events": []}]}
    place = at(view)
    world = world_of(place, answers)
    question = next(iter(world.heard))
    for lines in (
        drawn(world, place, NOW_US, columns=300),
        drawn(replace(world, failing={question: world.failing.get(question)}), place, NOW_US)
        if question in world.failing
        else [],
        drawn(world, replace(place, said=HOSTILE), NOW_US),
        drawn(world, replace(place, typed=HOSTILE), NOW_US),
        drawn(world, replace(place, target=TARGET._replace(symbol=name, block=HOSTILE)), NOW_US),
    ):
        for line in lines:
            assert line.isprintable(), line
    if view == "overview":
        text = "\n".join(drawn(world, place, NOW_US, columns=300))
        assert "\\u001b[2J\\u001b]0;owned\\u0007" in text  # it is shown


def main() -> None:
    SNAPSHOTS.mkdir(exist_ok=True)
    for name, picture in PICTURES.items():
        (SNAPSHOTS / f"{name}.txt").write_text(shot(picture))


if __name__ == "__main__":
    main()
