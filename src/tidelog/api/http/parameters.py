"""What clients write in paths and queries, as types with their limits, and what is refused around them.

Litestar checks each parameter against its type before a route runs; here is what it leaves open: names that
no route knows, and one given twice.
"""

import difflib
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias, get_args
from urllib.parse import parse_qsl

from litestar import Request
from litestar.params import BodyKwarg, ParameterKwarg, PathParameter, QueryParameter

from tidelog.api.http.cursors import CURSOR_MAX
from tidelog.api.http.defaults import QUERY_BYTES_MAX
from tidelog.api.http.problems import Refused
from tidelog.batch import INT_MAX
from tidelog.chain.forks.bookmarks import Place, parse_place
from tidelog.market.events import EPOCH, micros

__all__ = [
    "ADDRESS",
    "ARGUMENT",
    "HASH",
    "Address",
    "Asset",
    "AtMost",
    "Chain",
    "Cursor",
    "From",
    "Hash",
    "Limit",
    "Order",
    "Recording",
    "Since",
    "Symbol",
    "To",
    "Until",
    "from_hex",
    "known_only",
    "place_of_changes",
    "time_us",
]

HASH = "^0x[0-9a-fA-F]{64}$"
ADDRESS = "^0x[0-9a-fA-F]{40}$"
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$"
ARGUMENT = "arg."  # before the name of an event's argument, as a parameter
FIELDS_MAX = 32  # of a query string: twice what any route knows

Chain: TypeAlias = Annotated[int, PathParameter(ge=0, le=INT_MAX, description="The chain id (EIP-155).")]
Hash: TypeAlias = Annotated[str, PathParameter(pattern=HASH, description="A hash: 32 bytes as 0x hex.")]
Address: TypeAlias = Annotated[str, PathParameter(pattern=ADDRESS, description="An address: 20 bytes as 0x hex.")]
Asset: TypeAlias = Annotated[str, PathParameter(max_length=64)]
Symbol: TypeAlias = Annotated[
    str,
    PathParameter(
        min_length=1, max_length=64, pattern=r"^[^\x00]+$", description="Such as BTC-USD; or BTC/USD, its slash as %2F."
    ),
]
From: TypeAlias = Annotated[
    int | None, QueryParameter(name="from", ge=0, le=INT_MAX, description="The lowest block number.")
]
To: TypeAlias = Annotated[int | None, QueryParameter(name="to", ge=0, le=INT_MAX, description="The highest one.")]
Since: TypeAlias = Annotated[
    str | None,
    QueryParameter(name="from", pattern=TIME, description="The earliest time, RFC 3339, such as 2024-05-01T12:30:00Z."),
]
Until: TypeAlias = Annotated[
    str | None, QueryParameter(name="to", pattern=TIME, description="The time before which it ends, RFC 3339.")
]
Limit: TypeAlias = Annotated[int | None, QueryParameter(ge=1, description="How many at most, of one answer.")]
Cursor: TypeAlias = Annotated[
    str | None,
    QueryParameter(min_length=1, max_length=CURSOR_MAX, description="`next` of the answer before, as it was."),
]
Order: TypeAlias = Annotated[
    Literal["asc", "desc"], QueryParameter(description="asc: the oldest first; desc: the newest first.")
]
AtMost: TypeAlias = Annotated[
    Literal["latest", "safe", "finalized"],
    QueryParameter(description="Show nothing above: finalized (safe is the same here) or latest, which is all."),
]
Recording: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        min_length=1, max_length=64, pattern=r"^[^\x00]+$", description="Which, where the store has several."
    ),
]


def place_of_changes(said: str | int) -> Place:
    """Where a follower of changes is: a place as answers and events have it, or a `seq`."""
    try:
        return parse_place(str(said))
    except ValueError:
        raise Refused(
            400, f"after {str(said)[:40]!r} is no place in this stream: give the id of an event, or 0 for all"
        ) from None


def from_hex(text: str) -> bytes:
    """Bytes of 0x text that has passed its pattern."""
    return bytes.fromhex(text[2:])


def time_us(name: str, text: str | None) -> int | None:
    """RFC 3339 as Unix time in microseconds; Refused for a time that does not exist."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(400, f"{name}: there is no such time; give one such as 2024-05-01T12:30:00Z") from None
    if time < EPOCH:
        raise Refused(400, f"{name}: there is nothing before 1970")
    return micros(time)


# -- names -------------------------------------------------------------------------------------------------

_NOT_QUERY = {"backend", "request", "socket", "data", "body", "state", "headers", "scope", "query"}


def _known(handler: Any) -> dict[str, bool]:
    """A route's query parameters, and whether each is a number; `opt={"query": names}` are those it reads itself."""
    found = dict.fromkeys(handler.opt.get("query", ()), False)
    for name, field in handler.parsed_fn_signature.parameters.items():
        kwarg = field.kwarg_definition
        if name in _NOT_QUERY or isinstance(kwarg, PathParameter | BodyKwarg):
            continue
        if kwarg is None or isinstance(kwarg, QueryParameter):
            named = (kwarg.name if isinstance(kwarg, ParameterKwarg) else None) or name
            found[named] = int in (field.annotation, *get_args(field.annotation))
    return found


_known_by_handler: dict[Any, dict[str, bool]] = {}


async def known_only(request: Request[Any, Any, Any]) -> None:
    """Refuse what the route does not know: runs before each route, after its guard."""
    query: bytes = request.scope["query_string"]
    if not query:
        return
    if len(query) > QUERY_BYTES_MAX:
        raise Refused(400, f"the query is longer than {QUERY_BYTES_MAX} bytes")
    handler = request.scope["route_handler"]
    known = _known_by_handler.get(handler)
    if known is None:
        known = _known_by_handler[handler] = _known(handler)
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError:
        raise Refused(400, f"the query cannot be read: UTF-8, percent-encoded, {FIELDS_MAX} fields at most") from None
    free = handler.opt.get("query_prefix")
    seen: set[str] = set()
    for name, value in pairs:
        if name not in known and not (free is not None and name.startswith(free)):
            raise Refused(400, _unknown(name, known))
        if name in seen:
            raise Refused(400, f"{name}: given twice")
        if known.get(name) and not (value.isascii() and value.isdecimal()):  # msgspec takes "null" for None
            raise Refused(400, f"{name}: give a whole number")
        seen.add(name)


def _unknown(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    shown = name[:40].encode("unicode_escape").decode()
    if near:
        return f"this route knows no parameter {shown!r}; did you mean {near[0]!r}?"
    listed = ", ".join(sorted(known))
    return f"this route knows no parameter {shown!r}; it takes {listed or 'none'}"
