"""The tables of docs/sessions.md, from the code: `python -m tests.state_tables` writes them."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tidelog.market.session.connection_states import TRANSITIONS, Input
from tidelog.market.session.subscription.subscription_phases import STEPS, Action, Happening
from tidelog.market.session.subscription.subscriptions import ConnectionState, Phase

PAGE = Path(__file__).parents[1] / "docs" / "sessions.md"
_BLOCK = re.compile(r"(<!-- (connection|subscription) -->\n).*?(<!-- end -->)", re.S)


def connection_table() -> str:
    """What can happen to a connection, and the state that comes of it in each."""
    rows = [
        [what.value, *[after.value if (after := TRANSITIONS.get((state, what))) else "" for state in ConnectionState]]
        for what in Input
    ]
    return _table(["", *[state.value for state in ConnectionState]], rows)


def subscription_table() -> str:
    """What can happen to a subscription, and the phase and action that come of it in each."""
    return _table(
        ["", *[phase.value for phase in Phase]],
        [[happening.value, *[_cell(phase, happening) for phase in Phase]] for happening in Happening],
    )


def _cell(phase: Phase, happening: Happening) -> str:
    step = STEPS.get((phase, happening))
    if step is None:
        return ""
    what = "" if step.action is Action.NOTHING else f": {step.action.value}"
    return f"{'-' if step.phase is phase and not what else step.phase.value}{what}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *[[f"**{row[0]}**", *row[1:]] for row in rows]]
    return "".join([f"| {' | '.join(cells)} |\n" for cells in lines])


def page(text: str) -> str:
    """The page with its tables as the code has them."""
    tables = {"connection": connection_table(), "subscription": subscription_table()}
    return _BLOCK.sub(lambda found: f"{found[1]}{tables[found[2]]}{found[3]}", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
