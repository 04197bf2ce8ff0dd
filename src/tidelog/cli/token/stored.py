"""The tokens of a store: one is made, all are listed, one is revoked."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tidelog.cli.columns import Column, Kind
from tidelog.cli.listing import print_rows, say_none, time_text
from tidelog.cli.options import Form
from tidelog.cli.stores import opened
from tidelog.errors import ConfigError
from tidelog.runtime import Runtime, SystemRuntime, run
from tidelog.store import tokens

__all__ = ["create_token", "print_tokens", "revoke_token"]

COLUMNS = (
    Column("name", weight=9),
    Column("state", weight=8, styles={"valid": "green", "expired": "yellow", "revoked": "red"}),
    Column("scopes", weight=7),
    Column("created", Kind.TIME, weight=1),
    Column("expires", Kind.TIME, weight=3),
    Column("revoked", Kind.TIME, weight=2),
)
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


def print_tokens(db: str, form: Form) -> None:
    """A token a line, by name."""
    run(_list(db, form), brief=True)


async def _list(db: str, form: Form) -> None:
    runtime = SystemRuntime()
    async with opened(db, runtime=runtime) as store, store.snapshot() as snapshot:
        stored = await tokens.listed(snapshot)
    now_ms = int(runtime.now() * 1_000)
    if not stored:
        say_none("there are no tokens: `tidelog token create` makes one", form)
    print_rows([_facts(token, now_ms) for token in stored], COLUMNS, form, _line)


def _facts(token: tokens.Token, now_ms: int) -> dict[str, Any]:
    return {
        "name": token.name,
        "scopes": sorted(token.scopes),
        "state": "valid" if token.is_valid(now_ms) else "revoked" if token.revoked_at is not None else "expired",
        "created": _time(token.created_at),
        "expires": _time(token.expires_at),
        "revoked": _time(token.revoked_at),
    }


def _line(facts: Mapping[str, Any]) -> str:
    dates = [f"{name} {facts[name]}" for name in ("created", "expires", "revoked") if facts[name]]
    return f"{facts['name']:24} {facts['state']:8} {' '.join(facts['scopes']):13} {', '.join(dates)}"


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else time_text(at_ms * 1_000)


def revoke_token(db: str, name: str) -> None:
    """End a token's use, for good."""
    run(_revoke(db, name), brief=True)


async def _revoke(db: str, name: str) -> None:
    runtime = SystemRuntime()
    async with opened(db, readonly=False, existing=True, runtime=runtime) as store:
        await tokens.revoke(store, runtime, name)
