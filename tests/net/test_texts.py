"""Usual messages are taken out of what a server sent, all else is left: the same by both makers."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chain.native import either_path, needs_core, use
from tests.net.test_websocket import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame
from tidelog.net.texts import frame_size, new_messages, size_of, texts

__all__ = ["either_path"]

SIZE_MAX = 70_000
SIZES = (0, 1, 125, 126, 255, 256, 65_535)

pytestmark = pytest.mark.usefixtures("either_path")


def taken(sent: bytes, begin: int, size_max: int) -> tuple[list[bytes], int, int]:
    """`texts`, its messages as a list."""
    messages, size, end = texts(sent, begin, size_max)
    assert size == size_of(messages)
    return [*messages], size, end


def test_whole_messages_are_taken() -> None:
    messages = [b"x" * size for size in SIZES]
    sent = b"??" + b"".join([frame(TEXT, message) for message in messages])
    assert taken(sent, 2, SIZE_MAX) == (messages, sum(SIZES), len(sent))


@pytest.mark.parametrize("size", [0, 5, 125, 126, 300])
def test_a_frame_that_is_cut_anywhere_is_left(size: int) -> None:
    first, cut = frame(TEXT, b"one"), frame(TEXT, b"x" * size)
    for end in range(len(cut)):
        assert taken(first + cut[:end], 0, SIZE_MAX) == ([b"one"], 3, len(first))


@pytest.mark.parametrize(
    "other",
    [
        frame(BINARY, b"x"),
        frame(TEXT, b"x", fin=False),
        frame(TEXT, b"x", rsv1=True),
        frame(TEXT, b"x", bits=0x20),
        frame(CONTINUATION, b"x"),
        frame(PING),
        frame(CLOSE),
        frame(TEXT, b"x" * 65_536),
        bytes((0x81, 126, 0, 125)) + b"x" * 125,  # a longer form than it needs
        bytes((0x81, 127, *bytes(7), 1)) + b"x",
        bytes((0x81, 0x81)) + b"maskx",
    ],
)
def test_what_is_not_usual_is_left(other: bytes) -> None:
    first = frame(TEXT, b"one")
    assert taken(first + other + first, 0, SIZE_MAX) == ([b"one"], 3, len(first))


def test_a_message_beyond_the_limit_is_left() -> None:
    assert taken(frame(TEXT, b"x" * 9), 0, 9)[0] == [b"x" * 9]
    assert taken(frame(TEXT, b"x" * 10), 0, 9) == ([], 0, 0)


HEADS = st.sampled_from([b"\x81\x00", b"\x81\x01", b"\x81\x7e\x00\x7e", b"\x81\x7e\x00\x03", b"\x82\x01", b"\x81\x7f"])


@needs_core
@given(st.lists(st.one_of(HEADS, st.binary(max_size=130), st.just(frame(TEXT, b"x" * 126)))).map(b"".join), st.data())
def test_whatever_comes_both_makers_take_the_same(sent: bytes, data: st.DataObject) -> None:
    begin, size_max = data.draw(st.integers(0, len(sent))), data.draw(st.integers(0, 200))
    found = []
    for path in ("python", "native"):
        with pytest.MonkeyPatch.context() as patch:
            use(path, patch)
            found.append(taken(sent, begin, size_max))
    assert found[0] == found[1]


def test_messages_are_gathered_as_in_a_list() -> None:
    messages, listed = new_messages(), list[bytes]()
    for number in range(30):
        some = [bytes([number, more]) * more for more in range(number % 4)]
        sent = b"".join([frame(TEXT, message) for message in some]) + frame(PING, b"x" * 10 * (number % 3))
        messages += texts(sent, 0, SIZE_MAX)[0]
        messages.append(b"one %d" % number)
        listed += [*some, b"one %d" % number]
    messages += [b"two"]
    listed.append(b"two")
    assert ([*messages], len(messages), size_of(messages)) == (listed, len(listed), sum(map(len, listed)))
    assert (messages[0], messages[7], messages[-1]) == (listed[0], listed[7], listed[-1])
    for begin, end in ((0, 0), (0, 5), (3, 40), (40, 3), (70, 99)):
        assert [*messages[begin:end]] == listed[begin:end]
    rest = messages[20:]
    rest += messages[:20]
    assert [*rest] == listed[20:] + listed[:20]
    with pytest.raises(IndexError):
        messages[len(listed)]


@needs_core
def test_a_message_that_waits_keeps_little_more_than_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    use("native", monkeypatch)
    tracemalloc.start()
    try:
        kept = [texts(frame(TEXT, b"one") + frame(BINARY, b"x" * 100_000), 0, SIZE_MAX)[0] for _ in range(50)]
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [message for messages in kept for message in messages] == [b"one"] * 50
    assert grown < 50 * 1_000


@pytest.mark.parametrize(
    "whole",
    [frame(TEXT), frame(PING, b"x" * 125), frame(TEXT, b"x" * 126), frame(TEXT, b"x" * 65_536), b"\x81\x81maskx"],
)
def test_the_size_of_a_frame_is_known_as_soon_as_its_head_is_here(whole: bytes) -> None:
    second = whole[1] & 0x7F
    head = {126: 4, 127: 10}.get(second, 2)
    for end in range(len(whole) if len(whole) < 200 else 200):
        assert frame_size(b"?" + whole[:end], 1) == (None if end < head else len(whole))
