"""What to do about a process that ended, and about a file that was read again: tables, and nothing else."""

from collections.abc import Hashable, Mapping
from enum import Enum

from msgspec import Struct

from tidelog.errors import BelowFinality, ConfigError, Corruption


class Verdict(Enum):
    """What becomes of a process that ended without being asked to."""

    AT_ONCE = "it is started again at once, as if for the first time"
    BACKOFF = "it is started again after a pause, which grows"
    DOWN = "it stays down until somebody has done something about it"


# exit codes after which another try would end alike, or do harm
REASONS: Mapping[int, str] = {
    ConfigError.exit_code: "it cannot do what it is asked to",
    Corruption.exit_code: "the store contradicts itself",
    BelowFinality.exit_code: "the source contradicts what is final",
}


def verdict(code: int, lived_s: float, stable_s: float) -> Verdict:
    """What becomes of a process.

    Args:
        code: its exit code; of one that a signal ended, the signal's number below zero.
        lived_s: how long it ran.
        stable_s: one that ran this long had worked: what ended it is new.
    """
    if code in REASONS:
        return Verdict.DOWN
    return Verdict.AT_ONCE if lived_s >= stable_s else Verdict.BACKOFF


class Changes(Struct, frozen=True):
    """What a new configuration means for the processes there are."""

    removed: tuple[str, ...]
    changed: tuple[str, ...]
    added: tuple[str, ...]
    same: tuple[str, ...]


def changes(old: Mapping[str, Hashable], new: Mapping[str, Hashable]) -> Changes:
    """Compare the options of each process, by its name. In the order of the old, then of the new."""
    kept = [name for name in old if name in new]
    return Changes(
        removed=tuple(name for name in old if name not in new),
        changed=tuple(name for name in kept if old[name] != new[name]),
        added=tuple(name for name in new if name not in old),
        same=tuple(name for name in kept if old[name] == new[name]),
    )
