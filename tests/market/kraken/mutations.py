"""Frames that went wrong on the way: real ones, with bytes changed, cut, repeated or put elsewhere."""

from collections.abc import Iterable

from hypothesis import strategies as st

HOSTILE = [
    b"null", b"NaN", b"-1", b"1E+999999999", b"1E-999999999", b"9" * 400, b'""', b'"\\ud800"', b"\xff",
    b"[" * 5000, b'{"a":' * 5000, b'"NaN"', b'"Infinity"', b'"sNaN"', b'"1E999999"', b"[]", b"{}",
    b"\x00", b"true", b"0.5", b'"0.5"', b"18446744073709551616",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, frames: Iterable[bytes]) -> bytes:
    """A frame with up to four wounds; some of them leave it sound JSON."""
    frame = draw(st.sampled_from(list(frames)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(frame)))
        end = min(len(frame), start + draw(st.integers(0, 12)))
        match draw(st.sampled_from(["cut", "bytes", "hostile", "value", "repeat"])):
            case "cut":
                frame = frame[:start]
            case "bytes":
                frame = frame[:start] + draw(st.binary(max_size=8)) + frame[end:]
            case "hostile":
                frame = frame[:start] + draw(st.sampled_from(HOSTILE)) + frame[end:]
            case "value":  # one whole value replaced, as far as that can be told from the punctuation
                after = frame.find(b":", start)
                if after >= 0:
                    stops = [at for at in (frame.find(mark, after) for mark in (b",", b"}", b"]")) if at >= 0]
                    stop = min(stops, default=len(frame))
                    frame = frame[: after + 1] + draw(st.sampled_from(HOSTILE)) + frame[stop:]
            case "repeat":
                frame = frame[:end] + frame[start:]
    return frame
