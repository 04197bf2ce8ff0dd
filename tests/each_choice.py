"""Each-choice coverage: of all combinations of parameters, as few as have each value at least once."""

from collections.abc import Hashable, Sequence, Set

__all__ = ["chosen"]


def chosen(combinations: Sequence[Set[Hashable]]) -> list[int]:
    """The places of combinations that together have every value of all: each time the first with most that are new."""
    missing = {value for combination in combinations for value in combination}
    taken = []
    while missing:
        place = max(range(len(combinations)), key=lambda place: (len(combinations[place] & missing), -place))
        missing -= combinations[place]
        taken.append(place)
    return sorted(taken)
