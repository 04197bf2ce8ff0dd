"""What a consumer makes of messages: each change once, in order, whole; or the word that it has to look again."""

import random

import pytest

from tests.stream.test_chain_messages import CHAIN, PAYLOAD_MAX, a_block, change_row, stored
from tidelog.chain.forks.bookmarks import BEGIN, Place
from tidelog.stream.chain.messages import ChainLanguage, Change, Reset, StreamItem, messages_of, reset_message
from tidelog.stream.envelope import Part, part_of
from tidelog.stream.following import Astray, Following
from tidelog.stream.port import Message


def published(count: int, *, logs: int = 0) -> list[Message]:
    """The first changes of a chain, with logs where that is asked for: then in parts."""
    place, found = BEGIN, list[Message]()
    for seq in range(1, count + 1):
        row = change_row(seq)
        block, some = a_block(seq - 1, logs)
        found += messages_of(CHAIN, row, place, block, some if logs else None, PAYLOAD_MAX)
        place = place.advanced([row])
    return found


def parts_of(messages: list[Message]) -> list[Part]:
    return [part_of(each) for each in stored(messages)]


def a_following(place: Place | None) -> Following[StreamItem]:
    return Following(ChainLanguage(CHAIN), place)


def shown(following: Following[StreamItem], parts: list[Part]) -> list[int]:
    return [item.seq for item in map(following.take, parts) if isinstance(item, Change | Reset)]


def test_each_change_is_shown_once_in_order() -> None:
    parts = parts_of(published(5))
    doubled = [part for each in parts for part in (each, each)]
    assert shown(a_following(BEGIN), doubled) == [1, 2, 3, 4, 5]


def test_parts_are_shown_once_all_are_there() -> None:
    parts = parts_of(published(3, logs=24))
    assert len(parts) > 6, "several parts a change"
    following = a_following(BEGIN)
    seen = [following.take(part) for part in parts]
    assert [item is not None for item in seen] == [part.is_last for part in parts]
    for item in seen:
        if item is not None:
            assert isinstance(item, Change)
            assert isinstance(item.logs, list)
            assert len(item.logs) == 24


def test_parts_that_were_begun_anew_count_from_there() -> None:
    parts = parts_of(published(1, logs=12))
    assert shown(a_following(BEGIN), [*parts[:2], *parts]) == [1]


def test_a_reset_goes_back() -> None:
    messages = published(4)
    places = [part.place for part in parts_of(messages)]
    back = reset_message(CHAIN, places[3], places[1])
    other = change_row(3, writer=7)
    (after,) = messages_of(CHAIN, other, places[1], None, None, PAYLOAD_MAX)
    following = a_following(BEGIN)
    seen = [following.take(part) for part in parts_of([*messages, back, after])]
    assert isinstance(seen[4], Reset)
    assert (seen[4].seq, following.place) == (2, places[1].advanced([other]))
    assert isinstance(seen[5], Change)
    assert (seen[5].seq, seen[5].writer) == (3, f"{7:016x}")


def test_whoever_begins_with_what_comes_first_begins_with_a_whole_change() -> None:
    parts = parts_of(published(3, logs=12))
    following = a_following(None)
    assert shown(following, parts[1:]) == [2, 3]


@pytest.mark.parametrize(
    ("place", "first"),
    [(BEGIN, 1), (Place(2), 0), (Place(3), 0)],
    ids=["one is left out", "one that is older", "one that is older still"],
)
def test_what_does_not_continue_leads_astray(place: Place, first: int) -> None:
    with pytest.raises(Astray):
        shown(a_following(place), parts_of(published(3))[first:])


def test_a_part_that_is_left_out_leads_astray() -> None:
    first, _, third, *_ = parts_of(published(1, logs=24))
    following = a_following(BEGIN)
    assert following.take(first) is None
    with pytest.raises(Astray):
        following.take(third)


@pytest.mark.parametrize("seed", range(30))
def test_no_order_of_messages_shows_a_change_twice_or_leaves_one_out(seed: int) -> None:
    """Any messages, doubled, lost and shuffled: what is shown before it goes astray is the beginning, in order."""
    rng = random.Random(seed)
    parts = parts_of(published(6, logs=rng.choice((0, 12))))
    heard = [part for part in parts for _ in range(rng.choice((1, 1, 1, 2))) if rng.random() < 0.95]
    for _ in range(rng.randint(0, 2)):
        i, j = rng.randrange(len(heard)), rng.randrange(len(heard))
        heard[i], heard[j] = heard[j], heard[i]
    following, seen = a_following(BEGIN), []
    try:
        for part in heard:
            item = following.take(part)
            if isinstance(item, Change):
                seen.append(item.seq)
    except Astray:
        pass
    assert seen == list(range(1, len(seen) + 1))
