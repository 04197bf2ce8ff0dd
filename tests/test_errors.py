"""The error tree is the one that is drawn at the head of its file, and each error says its facts."""

import pickle
import re
from collections.abc import Iterator

import pytest

from tidelog import errors
from tidelog.errors import (
    BelowFinality,
    Blocked,
    Busy,
    ConfigError,
    Corruption,
    Displaced,
    Fenced,
    Full,
    JournalStalled,
    NewerNeeded,
    Overloaded,
    ProofFailure,
    Pruned,
    Rejected,
    SourceError,
    StoreError,
    Throttled,
    TidelogError,
    TimedOut,
    TooLarge,
    TooManyAddresses,
    TooWide,
    Unreachable,
    Unsupported,
)

EXIT_CODES: dict[type[TidelogError], int] = {
    ConfigError: 2,
    SourceError: 3,
    Unreachable: 3,
    Overloaded: 3,
    Throttled: 3,
    Rejected: 3,
    TooLarge: 3,
    TooManyAddresses: 3,
    TooWide: 3,
    Unsupported: 3,
    Pruned: 3,
    ProofFailure: 4,
    NewerNeeded: 2,
    StoreError: 5,
    Busy: 5,
    Fenced: 5,
    Displaced: 5,
    JournalStalled: 5,
    TimedOut: 5,
    Blocked: 5,
    Full: 5,
    Corruption: 6,
    BelowFinality: 7,
    TidelogError: 1,
}


def drawn() -> Iterator[tuple[str, str | None]]:
    """(class, its parent) of the tree in the module's docstring."""
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ((?:[│ ]   )*(?:[├└]── )?)(\w+)(?:  |$)", line)
        if found and not line.startswith("     "):
            depth = len(found[1]) // 4
            above = [*above[:depth], found[2]]
            yield found[2], above[depth - 1] if depth else None


def classes(base: type[TidelogError] = TidelogError) -> Iterator[tuple[str, str | None]]:
    for kind in base.__subclasses__():
        if kind.__module__ != errors.__name__:
            continue  # a backend's own shade of an error, which nobody outside of it sees
        yield kind.__name__, base.__name__
        yield from classes(kind)


def test_the_tree_is_the_one_that_is_drawn() -> None:
    assert {pair for pair in drawn() if pair[1]} == set(classes())
    assert next(drawn()) == ("TidelogError", None)


def test_exit_codes_tell_what_to_do_next() -> None:
    assert {kind.__name__ for kind in EXIT_CODES} == {name for name, _ in drawn()}
    for kind, code in EXIT_CODES.items():
        assert kind.exit_code == code


SAID: list[tuple[TidelogError, str]] = [
    *(
        (kind("no such chain"), "no such chain")
        for kind in (ConfigError, Busy, Fenced, Full, BelowFinality, Corruption)
    ),
    *((kind("null"), "null") for kind in (Unreachable, Throttled, Rejected, TooLarge, TooWide, Unsupported, Pruned)),
    *(
        (kind("null", endpoint="https://node"), "https://node: null")
        for kind in (Unreachable, Throttled, Rejected, TooLarge, TooWide, Unsupported, Pruned)
    ),
    (Throttled("busy", endpoint="https://node", retry_after_s=3.0), "https://node: busy"),
    (
        ProofFailure("receipts", expected="a", got="b", subject="block 5"),
        "block 5: receipts differs: expected a, got b",
    ),
    (
        ProofFailure("bloom", expected="a", got="b", subject="block 5", endpoint="https://node"),
        "block 5 from https://node: bloom differs: expected a, got b",
    ),
]


@pytest.mark.parametrize(("error", "words"), SAID, ids=lambda value: type(value).__name__)
def test_each_error_is_one_sentence(error: TidelogError, words: str) -> None:
    assert str(error) == words
    assert "\n" not in str(error)


@pytest.mark.parametrize(("error", "words"), SAID, ids=lambda value: type(value).__name__)
def test_each_error_crosses_processes_with_its_facts(error: TidelogError, words: str) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == words
    assert vars(copy) == vars(error)


def test_facts_are_attributes() -> None:
    throttled = Throttled("busy", endpoint="https://node", retry_after_s=3.0)
    assert (throttled.reason, throttled.endpoint, throttled.retry_after_s) == ("busy", "https://node", 3.0)
    assert Throttled("busy").retry_after_s is None
    failure = ProofFailure("bloom", expected="a", got="b", subject="block 5", endpoint="e")
    assert vars(failure) == {
        "check": "bloom", "expected": "a", "got": "b", "subject": "block 5", "endpoint": "e", "advice": "",
    }  # fmt: skip
    assert failure.number == 5
    failure.advice = "ask elsewhere"
    assert str(failure).endswith("expected a, got b; ask elsewhere")
