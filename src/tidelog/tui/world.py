"""What was heard: the last answer to each question, since when one fails, and how fast counts grow. Pure, immutable."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tidelog.tui.answers import Chains, Change, Changes, Reorg, Reorgs
from tidelog.tui.metrics import Samples
from tidelog.tui.questions import CHAINS, METRICS, Question

__all__ = ["EMPTY", "Failing", "Heard", "World"]

T = TypeVar("T")

STALE_S = 1.8  # after which an answer that comes every second is told to be old: within two seconds
PACE_S = 15.0  # rates are over this long, as those of a command's progress line
CHANGES_KEPT = 400  # of a chain that is watched: some screens of blocks


class Heard(NamedTuple):
    """An answer, and when it came by the monotonic clock."""

    answer: Any
    at_s: float


class Failing(NamedTuple):
    """Why a question has no answer now. `refused`: the API said so itself, for instance that there is no such block."""

    words: str
    since_s: float
    refused: bool


class World(Struct, frozen=True):
    """Everything that a screen is made of but the time and the user's own place."""

    heard: Mapping[str, Heard] = {}
    failing: Mapping[str, Failing] = {}
    paces: Mapping[str, tuple[tuple[float, float], ...]] = {}  # samples of counts, by name, oldest first
    changes: tuple[Change, ...] = ()  # of the chain that is watched, oldest first
    place: str | None = None  # behind the last of them

    def answer(self, question: Question) -> Any:
        """The last answer; None where there was none."""
        found = self.heard.get(question.key)
        return None if found is None else found.answer

    def hear(self, question: Question, answer: Any, now_s: float) -> "World":
        """An answer came."""
        failing = {key: value for key, value in self.failing.items() if key != question.key}
        world = replace(self, heard={**self.heard, question.key: Heard(answer, now_s)}, failing=failing)
        match answer:
            case Changes():
                return world._follow(question, answer)
            case Chains() if question == CHAINS:
                heads = {f"head {each.chain_id}": each.head.number for each in answer.data if each.head is not None}
                return world._count(heads, now_s)
            case Samples() if question == METRICS:
                return world._count(_counts(answer), now_s)
        return world

    def fail(self, question: Question, words: str, now_s: float, *, refused: bool = False) -> "World":
        """A question got no answer. What the API refuses it does not know: the earlier answer is gone then."""
        before = self.failing.get(question.key)
        since_s = now_s if before is None else before.since_s
        heard = {key: value for key, value in self.heard.items() if not refused or key != question.key}
        return replace(self, heard=heard, failing={**self.failing, question.key: Failing(words, since_s, refused)})

    def only(self, questions: Iterable[Question]) -> "World":
        """What nobody asks any more is forgotten."""
        wanted = {each.key for each in questions}
        heard = {key: value for key, value in self.heard.items() if key in wanted}
        failing = {key: value for key, value in self.failing.items() if key in wanted}
        return replace(self, heard=heard, failing=failing)

    def watch(self) -> "World":
        """Another chain is watched from now on."""
        return replace(self, changes=(), place=None)

    def per_s(self, name: str) -> float | None:
        """How fast a count grows, over the last seconds; None while that is not known."""
        samples = self.paces.get(name, ())
        if len(samples) < 2:
            return None
        (start_s, before), (end_s, after) = samples[0], samples[-1]
        return max(0.0, after - before) / max(0.001, end_s - start_s)

    def age_s(self, question: Question, now_s: float) -> float | None:
        """How old the last answer is."""
        found = self.heard.get(question.key)
        return None if found is None else now_s - found.at_s

    def _count(self, counts: Mapping[str, float], now_s: float) -> "World":
        paces = dict(self.paces)
        for name, value in counts.items():
            samples = paces.get(name, ())
            if samples and value < samples[-1][1]:
                samples = ()  # what counts began again, or a reorg went below
            kept = [each for i, each in enumerate(samples) if now_s - each[0] <= PACE_S or i == len(samples) - 1]
            paces[name] = (*kept, (now_s, value))
        return replace(self, paces=paces)

    def _follow(self, question: Question, answer: Changes) -> "World":
        if answer.place is None or question.after != self.place:
            return self  # of a question that was asked before the last answer came
        known = self.changes if answer.reset is None else ()
        return replace(self, changes=(*known, *answer.data)[-CHANGES_KEPT:], place=answer.place)


def _counts(samples: Samples) -> dict[str, float]:
    counts: dict[str, float] = {}
    for sample in samples.of("tidelog_market_frames_total"):
        name = f"frames {sample.labels.get('process', '')}"
        counts[name] = counts.get(name, 0.0) + sample.value
    for sample in samples.of("tidelog_store_recording_seq"):
        counts[f"records {sample.labels.get('recording', '')}"] = sample.value
    return counts


def newest_reorgs(world: World, questions: Iterable[tuple[int, Question]]) -> list[tuple[int, Reorg]]:
    """Of all chains, the newest first."""
    found = [
        (chain_id, reorg)
        for chain_id, question in questions
        if isinstance(answer := world.answer(question), Reorgs)
        for reorg in answer.data
    ]
    return sorted(found, key=lambda each: (each[1].time or "", each[1].seq), reverse=True)


EMPTY = World()
