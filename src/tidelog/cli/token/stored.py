"""The tokens of a store: one is made, all are listed, one is revoked."""

import json
import re
from datetime import UTC, datetime

from tidelog.cli.listing import say_none, time_text
from tidelog.cli.out import say
from tidelog.cli.stores import opened
from tidelog.errors import ConfigError
from tidelog.runtime import Runtime, SystemRuntime, run
from tidelog.store import tokens

__all__ = ["create_token", "print_tokens", "revoke_token"]

_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


def create_token(db: str, name: str, scopes: tuple[str, ...], expires: str | None) -> str:
    """The token, which nobody can be told again."""
    return run(_create(db, name, scopes, expires), brief=True)


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


def print_tokens(db: str, as_json: bool) -> None:
    """A token a line, by name."""
    run(_list(db, as_json), brief=True)


async def _list(db: str, as_json: bool) -> None:
    runtime = SystemRuntime()
    async with opened(db, runtime=runtime) as store, store.snapshot() as snapshot:
        stored = await tokens.listed(snapshot)
    now_ms = int(runtime.now() * 1_000)
    if not stored:
        say_none("there are no tokens: `tidelog token create` makes one", as_json)
    for token in stored:
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
            say(json.dumps(facts))
        else:
            dates = (
                f"{key} {value}" for key, value in facts.items() if key not in ("name", "scopes", "state") and value
            )
            say(f"{token.name:24} {state:8} {' '.join(sorted(token.scopes)):13} {', '.join(dates)}")


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else time_text(at_ms * 1_000)


def revoke_token(db: str, name: str) -> None:
    """End a token's use, for good."""
    run(_revoke(db, name), brief=True)


async def _revoke(db: str, name: str) -> None:
    runtime = SystemRuntime()
    async with opened(db, readonly=False, existing=True, runtime=runtime) as store:
        await tokens.revoke(store, runtime, name)
