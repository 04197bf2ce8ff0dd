"""The calls of one question: which still wait, in which parts, and what has come. Pure."""

from collections import deque
from collections.abc import Sequence

from tidelog.chain.endpoint.jsonrpc import Call
from tidelog.errors import SourceError


class Asking:
    """Calls that are asked for: which still wait, in parts that may be sent together, and what has come."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.refusals = 0  # by rate, in a row
        self.overloads = 0  # calls that ran out of time though asked alone
        self._parts: deque[Sequence[int]] = deque([range(len(calls))] if calls else [])
        self._found: dict[int, bytes | SourceError] = {}

    @property
    def waiting(self) -> bool:
        """Whether a call is left to be sent."""
        return bool(self._parts)

    @property
    def kinds(self) -> list[str]:
        """Of the calls that may be sent next, together."""
        return [self.calls[place].kind for place in self._parts[0]] if self._parts else []

    def next_part(self, count: int) -> Sequence[int]:
        """The places of at most so many calls; none if another one was quicker."""
        if not self._parts:
            return ()
        part = self._parts.popleft()
        if len(part) > count:
            self._parts.appendleft(part[count:])
        return part[:count]

    def put_back(self, part: Sequence[int]) -> None:
        """These wait again."""
        self._parts.appendleft(part)

    def halve(self, part: Sequence[int]) -> None:
        """These wait again, in two parts that are not sent together."""
        half = len(part) // 2
        self._parts.extendleft((part[half:], part[:half]))

    def divide(self, part: Sequence[int]) -> None:
        """These wait again: each method by itself, or, where they are of one, in two parts."""
        by_method: dict[str, list[int]] = {}
        for place in part:
            by_method.setdefault(self.calls[place].method, []).append(place)
        if len(by_method) > 1:
            self._parts.extendleft(reversed(by_method.values()))
        else:
            self.halve(part)

    def refuse_method(self, place: int, error: SourceError) -> None:
        """What the call at a place was refused by, alone, is what has come for all of its method that still wait."""
        waiting = [each for part in self._parts for each in part]
        refused = {each for each in (place, *waiting) if self.calls[each].method == self.calls[place].method}
        for each in refused:
            self.found(each, error)
        left = ([each for each in part if each not in refused] for part in self._parts)
        self._parts = deque(part for part in left if part)

    def found(self, place: int, answer: bytes | SourceError) -> None:
        """What has come for the call at a place."""
        self.refusals = 0
        self._found[place] = answer

    def results(self) -> list[bytes | SourceError]:
        """What has come for each call, in their order, once none waits."""
        return [self._found[place] for place in range(len(self.calls))]
