"""The states of a connection as a table: what can happen in each, and which state comes of it. No rules in here."""

import enum

from tidelog.market.session.subscription.subscriptions import ConnectionState


class Input(enum.Enum):
    """What can happen to the connection."""

    CONNECT = "connect"
    BACK_OFF = "back_off"
    OPENED = "opened"
    OPENED_PRIVATE = "opened_private"
    REFUSED = "refused"
    AUTHORIZED = "authorized"
    DENIED = "denied"
    SETTLED = "settled"  # everything that is wanted has been acknowledged
    UNSETTLED = "unsettled"
    DROP = "drop"
    LOST = "lost"
    STOP = "stop"


def _row(
    state: ConnectionState, **next_states: ConnectionState
) -> dict[tuple[ConnectionState, Input], ConnectionState]:
    return {(state, Input(name)): next_state for name, next_state in next_states.items()}


_S = ConnectionState
# What is not in here cannot happen: a journal that says so contradicts itself.
TRANSITIONS: dict[tuple[ConnectionState, Input], ConnectionState] = (
    _row(_S.DISCONNECTED, connect=_S.CONNECTING, back_off=_S.BACKING_OFF, stop=_S.CLOSED)
    | _row(_S.BACKING_OFF, connect=_S.CONNECTING, back_off=_S.BACKING_OFF, stop=_S.CLOSED)
    | _row(_S.CONNECTING, opened=_S.SUBSCRIBING, opened_private=_S.AUTHENTICATING, refused=_S.DISCONNECTED)
    | _row(_S.AUTHENTICATING, authorized=_S.SUBSCRIBING, denied=_S.DRAINING, drop=_S.DRAINING, lost=_S.DISCONNECTED)
    | _row(_S.SUBSCRIBING, settled=_S.LIVE, unsettled=_S.SUBSCRIBING, drop=_S.DRAINING, lost=_S.DISCONNECTED)
    | _row(_S.LIVE, settled=_S.LIVE, unsettled=_S.SUBSCRIBING, drop=_S.DRAINING, lost=_S.DISCONNECTED)
    | _row(_S.DRAINING, lost=_S.DISCONNECTED)
    | _row(_S.CLOSED)
)
