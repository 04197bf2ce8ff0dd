"""What a store says to a follower: by a table, and by every store and follower of a small world of histories."""

import itertools
import random

import pytest

from tidelog.batch import INT_MAX, Row
from tidelog.chain.forks.bookmarks import (
    BEGIN,
    MARKS_MAX,
    Agreed,
    Ahead,
    Mark,
    Place,
    Verdict,
    WentBack,
    parse_place,
    place_text,
    verdict,
    writer_text,
)

A, B, C, D = range(1, 5)
NAMES = "-ABCD"


def rows(history: str) -> list[Row]:
    """The changes of writers: `AAB` is three, two of A and one of B."""
    return [(1, seq, "apply", seq, b"", b"", NAMES.index(name)) for seq, name in enumerate(history, 1)]


def said(place: Place, store: str) -> Verdict:
    ends = {NAMES.index(name): store.rindex(name) + 1 for name in store}
    return verdict(place, {mark.writer: ends[mark.writer] for mark in place.marks if mark.writer in ends}, len(store))


def back_to(seq: int) -> str:
    return f"back to {seq}"


def short(answer: Verdict) -> str:
    match answer:
        case Agreed():
            return "go on"
        case Ahead(last):
            return f"wait at {last}"
        case WentBack(place):
            return back_to(place.seq)


@pytest.mark.parametrize(
    ("follower", "store", "answer"),
    [
        ("", "", "go on"),
        ("", "AAB", "go on"),
        ("AA", "AA", "go on"),
        ("AA", "AAAB", "go on"),
        ("AAB", "AABC", "go on"),
        ("AAA", "AA", "wait at 2"),  # a replica that lags, or a copy that nobody has written to
        ("AAB", "AA", "wait at 2"),
        ("AAB", "", "wait at 0"),
        ("AAA", "AAB", "back to 2"),  # the same numbers, given out again
        ("AAAA", "AAB", "back to 2"),  # ... before they are all given out
        ("AAA", "AABBBB", "back to 2"),
        ("AABB", "AAC", "back to 2"),  # the store has lost all that B wrote
        ("AABB", "AC", "back to 1"),
        ("AABB", "AAA", "back to 2"),  # A went on, as if B had never been
        ("AABB", "AABC", "back to 3"),
        ("AABBC", "AABBD", "back to 4"),
        ("AABBC", "AABD", "back to 3"),
        ("AABBC", "D", "back to 0"),  # a store that was begun anew
    ],
)
def test_the_verdict_of_a_store_on_a_place(follower: str, store: str, answer: str) -> None:
    assert short(said(BEGIN.advanced(rows(follower)), store)) == answer


def histories() -> list[str]:
    """Each writer wrote what it wrote at one stretch, on top of what it found."""
    found = []
    for order in itertools.permutations("ABC"):
        for lengths in itertools.product(range(3), repeat=3):
            found.append("".join(name * length for name, length in zip(order, lengths, strict=True)))
    return sorted({*found})


def could_be(follower: str, store: str) -> bool:
    """Whether both come of one world: a writer begins once, on one history."""
    begins: dict[str, set[str]] = {}
    for history in (follower, store):
        for name in set(history):
            begins.setdefault(name, set()).add(history[: history.index(name)])
    return all(len(each) == 1 for each in begins.values())


def test_of_every_two_histories_the_common_part_is_found() -> None:
    tried = 0
    for follower, store in itertools.product(histories(), repeat=2):
        if not could_be(follower, store):
            continue
        common = next(
            (at for at, pair in enumerate(zip(follower, store, strict=False)) if pair[0] != pair[1]),
            min(len(follower), len(store)),
        )
        if common == len(follower):
            right = "go on"
        elif common == len(store):
            right = f"wait at {common}"
        else:
            right = back_to(common)
        place = BEGIN.advanced(rows(follower))
        answer = said(place, store)
        assert short(answer) == right, (follower, store)
        if isinstance(answer, WentBack):
            assert answer.place == BEGIN.advanced(rows(follower[:common]))
        tried += 1
    assert tried > 500


@pytest.mark.parametrize(
    ("follower", "begun", "store", "answer"),
    [
        ("AABB", 3, "AABBB", "go on"),
        ("AABB", 3, "AAB", "wait at 3"),
        ("AABB", 3, "AABC", "back to 3"),
        ("AABB", 3, "AAC", "wait at 3"),  # nothing that the place names is there: it may be a replica that lags
        ("AABB", 3, "AACC", "back to 0"),  # ... until the place's own number is there, of another writer
    ],
)
def test_a_place_that_does_not_go_back_to_the_beginning(follower: str, begun: int, store: str, answer: str) -> None:
    place = Place(begun - 1).advanced(rows(follower)[begun - 1 :])
    assert short(said(place, store)) == answer


def test_a_seq_alone_is_not_checked() -> None:
    assert said(Place(3), "AAB") == Agreed()
    assert said(Place(4), "AAB") == Ahead(3)


def test_a_place_names_the_last_writers_alone() -> None:
    place = BEGIN
    for seq in range(1, MARKS_MAX + 3):
        place = place.advanced([(1, seq, "apply", seq, b"", b"", seq)])
        assert place.whole == (seq <= MARKS_MAX)
    assert place.marks == tuple(Mark(seq, seq) for seq in range(MARKS_MAX + 2, 2, -1))


def test_rows_in_one_go_or_one_by_one_lead_to_one_place() -> None:
    for history in histories():
        place = BEGIN
        for row in rows(history):
            place = place.advanced([row])
        assert place == BEGIN.advanced(rows(history))
        assert place.seq == len(history)


# -- as text ---------------------------------------------------------------------------------------------------------

X, Y = 0x4F9E05158E9EA72F, 0x01C4D2E8F7A6B594


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (BEGIN, "0"),
        (Place(120), "120"),
        (Place(120, (Mark(120, X),)), "120-4f9e05158e9ea72f"),
        (Place(120, (Mark(120, X), Mark(95, Y)), True), "120-4f9e05158e9ea72f.95-01c4d2e8f7a6b594.0"),
        (Place(7, (Mark(7, 0),), True), "7-0000000000000000.0"),  # written before there were numbers
    ],
)
def test_a_place_is_written_and_read(place: Place, text: str) -> None:
    assert place_text(place) == text
    assert parse_place(text) == place


def test_every_place_comes_back() -> None:
    rng = random.Random(5)
    for _ in range(300):
        seqs = sorted(rng.sample(range(1, INT_MAX), rng.randint(1, MARKS_MAX)), reverse=True)
        marks = tuple(Mark(seq, rng.randint(0, INT_MAX)) for seq in seqs)
        place = Place(seqs[0], marks, rng.random() < 0.5)
        assert parse_place(place_text(place)) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-1",
        "1-2",
        "٣",
        f"{INT_MAX}",
        f"{10**30}",
        f"{INT_MAX}-{writer_text(A)}",
        f"5-{'f' * 16}",
        f"5-{writer_text(A)}.",
        f"5-{writer_text(A)}.5-{writer_text(B)}",
        f"5-{writer_text(A)}.6-{writer_text(B)}",
        f"5-{writer_text(A)}.4-{writer_text(A)}",
        f"0.5-{writer_text(A)}",
        f"5-{writer_text(A)}.0.0",
        f"0-{writer_text(A)}",
        f"5-{writer_text(A)}\n",
        f"5-{writer_text(A).upper().replace('0', 'A')}",
        ".".join(f"{20 - seq}-{writer_text(seq + 1)}" for seq in range(MARKS_MAX + 1)),
    ],
)
def test_refuses_text_that_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"it |its |number"):
        parse_place(text)
