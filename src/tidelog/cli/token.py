"""`tidelog token`: who may query a store over HTTP."""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from tidelog.cli.market_queries import time_text
from tidelog.cli.stores import DEFAULT_DB, Db, opened
from tidelog.errors import ConfigError
from tidelog.runtime import Runtime, SystemRuntime, run
from tidelog.store import tokens

app = cyclopts.App(name="token", help="Who may query: create, list, revoke.")

_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


@app.command
def create(
    name: str,
    *,
    scope: Annotated[tuple[Literal["read", "metrics"], ...], Parameter(negative="")],
    expires: str | None = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Make a token, and print it: this once, the store keeps its hash alone.

    Args:
        name: what it is for; it shows in the list, and revokes it.
        scope: what it opens: read (queries, live streams), metrics, or both.
        expires: when it ends: after 30d, 12h or 90m, or at a time such as 2027-01-01T00:00:00Z; never if not given.
    """
    print(run(_create(db, name, scope, expires)))


async def _create(db: str, name: str, scopes: tuple[str, ...], expires: str | None) -> str:
    runtime = SystemRuntime()
    expires_at = None if expires is None else _expiry(expires, runtime)
    async with opened(db, readonly=False, runtime=runtime) as store:
        return await tokens.create(store, runtime, name, scopes, expires_at)


def _expiry(text: str, runtime: Runtime) -> int:
    """Unix time in milliseconds."""
    span = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    if span is not None:
        return int(runtime.now() * 1_000) + int(span[1]) * _UNITS_MS[span[2]]
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--expires {text[:80]!r}: give 30d, 12h, 90m or a time, 2027-01-01T00:00:00Z") from None
    return int((time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp() * 1_000)


@app.command(name="list")
def list_(*, db: Db = DEFAULT_DB, as_json: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """List the tokens by name, with what they open. None of them can be shown.

    Args:
        as_json: one JSON object per line.
    """
    run(_list(db, as_json))


async def _list(db: str, as_json: bool) -> None:
    runtime = SystemRuntime()
    async with opened(db, runtime=runtime) as store, store.snapshot() as snapshot:
        held = await tokens.listed(snapshot)
    now_ms = int(runtime.now() * 1_000)
    for token in held:
        state = "valid" if token.is_valid(now_ms) else "revoked" if token.revoked_at is not None else "expired"
        facts = {
            "name": token.name,
            "scopes": sorted(token.scopes),
            "state": state,
            "created": _time(token.created_at),
            "expires": _time(token.expires_at),
            "revoked": _time(token.revoked_at),
        }
        if as_json:
            print(json.dumps(facts))
        else:
            told = (
                f"{key} {value}" for key, value in facts.items() if key not in ("name", "scopes", "state") and value
            )
            print(f"{token.name:24} {state:8} {' '.join(sorted(token.scopes)):13} {', '.join(told)}")


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else time_text(at_ms * 1_000)


@app.command
def revoke(name: str, *, db: Db = DEFAULT_DB) -> None:
    """End a token's use, for good; a server that runs knows within a second or two.

    Args:
        name: of the token.
    """
    run(_revoke(db, name))
    print(f"{name} is revoked")


async def _revoke(db: str, name: str) -> None:
    runtime = SystemRuntime()
    async with opened(db, readonly=False, runtime=runtime) as store:
        await tokens.revoke(store, runtime, name)
