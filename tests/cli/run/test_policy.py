"""What becomes of a process that ended, and what a new file means: the tables, row by row."""

import pytest

from tidelog import errors
from tidelog.cli.run.policy import REASONS, Changes, Verdict, changes, verdict

STABLE_S = 60.0

ENDINGS = [
    # code  lived   verdict
    (0, 1.0, Verdict.BACKOFF),  # nobody asked it to end
    (0, 60.0, Verdict.AT_ONCE),
    (1, 0.0, Verdict.BACKOFF),
    (1, 59.9, Verdict.BACKOFF),
    (1, 60.0, Verdict.AT_ONCE),
    (2, 0.0, Verdict.DOWN),
    (2, 9e9, Verdict.DOWN),
    (3, 1.0, Verdict.BACKOFF),
    (3, 61.0, Verdict.AT_ONCE),
    (4, 1.0, Verdict.BACKOFF),
    (5, 1.0, Verdict.BACKOFF),
    (6, 1.0, Verdict.DOWN),
    (6, 9e9, Verdict.DOWN),
    (7, 1.0, Verdict.DOWN),
    (130, 1.0, Verdict.BACKOFF),
    (-9, 1.0, Verdict.BACKOFF),
    (-9, 3600.0, Verdict.AT_ONCE),
    (-11, 1.0, Verdict.BACKOFF),
    (255, 1.0, Verdict.BACKOFF),
]


@pytest.mark.parametrize(("code", "lived_s", "expected"), ENDINGS)
def test_every_exit_has_a_verdict(code: int, lived_s: float, expected: Verdict) -> None:
    assert verdict(code, lived_s, STABLE_S) is expected


def test_only_exits_that_a_restart_cannot_fix_stay_down() -> None:
    assert set(REASONS) == {error.exit_code for error in (errors.ConfigError, errors.Corruption, errors.BelowFinality)}


FILES = [
    # before       now            removed changed added  same
    ("", "", "", "", "", ""),
    ("", "a1 b1", "", "", "ab", ""),
    ("a1 b1", "", "ab", "", "", ""),
    ("a1 b1", "b1 a1", "", "", "", "ab"),
    ("a1 b1", "a2 b1", "", "a", "", "b"),
    ("a1 b1 c1", "d1 c1 b2", "a", "b", "d", "c"),
]


@pytest.mark.parametrize(("before", "now", "removed", "changed", "added", "same"), FILES)
def test_a_reloaded_file_starts_stops_and_restarts_what_changed(
    before: str, now: str, removed: str, changed: str, added: str, same: str
) -> None:
    old, new = ({word[0]: word[1] for word in text.split()} for text in (before, now))
    assert changes(old, new) == Changes(tuple(removed), tuple(changed), tuple(added), tuple(same))
