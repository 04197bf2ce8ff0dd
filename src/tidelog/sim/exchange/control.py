"""What can be done to an exchange while it runs, as data: by a test, a schedule, or a POST to /sim."""

from typing import Literal, TypeAlias

from msgspec import Struct


class Tell(Struct, frozen=True, array_like=True, tag="fault"):
    """Switch a fault on, as `SimExchange.tell`."""

    name: str
    probability: float = 1.0
    times: int | None = None
    at: int | None = None
    channel: str | None = None
    symbol: str | None = None
    connection: int | None = None


class Honest(Struct, frozen=True, array_like=True, tag="honest"):
    """Switch one fault off, or all."""

    name: str | None = None


class Announce(Struct, frozen=True, array_like=True, tag="announce"):
    """Change the exchange's state, for everybody: online, cancel_only, post_only, maintenance (nothing moves)."""

    system: str


class List(Struct, frozen=True, array_like=True, tag="list"):
    """What becomes of requests about a symbol: `listed`, `refused` (there is none such) or `ignored` (no answer)."""

    symbol: str
    how: Literal["listed", "refused", "ignored"]


class Halt(Struct, frozen=True, array_like=True, tag="halt"):
    """Change one market's status: online, cancel_only, post_only, limit_only, maintenance (it does not move)."""

    symbol: str
    status: str


class Disconnect(Struct, frozen=True, array_like=True, tag="disconnect"):
    """End all connections, or one; 1006 without a close."""

    code: int = 1006
    connection: int | None = None


Action: TypeAlias = Tell | Honest | Announce | List | Halt | Disconnect
