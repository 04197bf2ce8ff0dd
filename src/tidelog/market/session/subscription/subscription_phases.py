"""The phases of a subscription as a table: what can happen in each, which phase comes of it, and what is done then.

No rules in here beyond the table. docs/sessions.md shows it; `connection` carries the actions out.
"""

import enum
from typing import NamedTuple

from tidelog.errors import Corruption
from tidelog.market.session.subscription.subscriptions import Phase


class Happening(enum.Enum):
    """What can happen to a subscription."""

    SUBSCRIBE = "subscribe"  # a request for it is sent
    UNSUBSCRIBE = "unsubscribe"  # a request to give it up is sent
    TIMED_OUT = "timed_out"  # no answer came in time, or the exchange said that we send too fast
    RESYNC = "resync"  # it is not to be trusted
    LOST = "lost"  # the connection
    ACKED = "acked"  # the latest request for it was granted
    ACKED_EARLIER = "acked_earlier"  # ... an earlier one, since when it was not left
    LEFT = "left"  # a request to give it up was granted
    ENDED = "ended"  # the same, without a request of ours
    DATA = "data"  # data of it came that no late message can be
    REFUSED = "refused"  # the request under way was
    ALREADY = "already"  # ... because it is subscribed
    UNWANTED = "unwanted"  # the user gave it up
    UNWANTED_CLOSED = "unwanted_closed"  # ... while there is no connection
    WANTED_AGAIN = "wanted_again"  # the user wants it, and has not got rid of it yet


class Action(enum.Enum):
    """What is done when it happens."""

    NOTHING = "nothing"
    ASK = "ask"  # note the request
    LEAVE = "leave"  # note the request; acks of the requests before it count no more
    HOLD = "hold"  # begin to watch for its data
    RETURN = "return"  # ask for it again, or forget it if it is not wanted any more
    WAIT = "wait"  # ask again after a pause, and ever more rarely
    DELAY = "delay"  # ask again after a refusal, ever more rarely
    SUSPECT = "suspect"  # count the resync, which may have to wait
    RESET = "reset"  # nothing is known of it any more
    RELEASE = "release"  # it is not wanted: unsubscribe as soon as possible
    KEEP = "keep"  # somebody wants it
    FORGET = "forget"


class Step(NamedTuple):
    """What comes of it."""

    phase: Phase
    action: Action


_WORDS = {
    "phase": "wanted, asked, held, resyncing, leaving",
    "subscribe": "asked/ask, asked/ask, asked/ask, -, -",
    "unsubscribe": "-, -, leaving/leave, leaving/leave, -",
    "timed_out": "-, wanted/wait, -, -, resyncing/wait",
    "resync": "-, -, resyncing/suspect, -, -",
    "lost": "wanted/reset, wanted/reset, wanted/reset, wanted/reset, wanted/reset",
    "acked": "held/hold, held/hold, held/nothing, resyncing/nothing, leaving/nothing",
    "acked_earlier": "wanted/nothing, held/hold, held/nothing, resyncing/nothing, leaving/nothing",
    "left": "wanted/nothing, asked/nothing, held/nothing, resyncing/nothing, wanted/return",
    "ended": "wanted/nothing, asked/nothing, wanted/return, resyncing/nothing, wanted/return",
    "data": "wanted/nothing, held/hold, held/nothing, resyncing/nothing, leaving/nothing",
    "refused": "-, wanted/delay, -, -, wanted/return",
    "already": "-, held/hold, -, -, wanted/return",
    "unwanted": "wanted/forget, asked/release, held/release, resyncing/release, leaving/release",
    "unwanted_closed": "wanted/forget, wanted/forget, wanted/forget, wanted/forget, wanted/forget",
    "wanted_again": "wanted/keep, asked/keep, held/keep, resyncing/keep, leaving/keep",
}


def _table() -> dict[tuple[Phase, Happening], Step]:
    phases = [Phase(name) for name in _WORDS["phase"].split(", ")]
    table = {}
    for happening in Happening:
        for phase, cell in zip(phases, _WORDS[happening.value].split(", "), strict=True):
            if cell != "-":
                after, _, action = cell.partition("/")
                table[phase, happening] = Step(Phase(after), Action(action))
    return table


# What is not in here cannot happen: a journal that says so contradicts itself. A `subscribe` of what is subscribed is
# in the journals that are made of recorded frames, where a snapshot of another depth comes without a request.
STEPS = _table()


def step_of(phase: Phase, happening: Happening) -> Step:
    """What comes of it.

    Raises:
        Corruption: it cannot happen in that phase.
    """
    step = STEPS.get((phase, happening))
    if step is None:
        raise Corruption(f"the journal has {happening.value} of a subscription that is {phase.value}")
    return step
