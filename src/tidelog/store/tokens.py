"""The tokens that a server's callers show: made, revoked, listed and checked, as rows of the store.

A token itself is told once, when it is made; the store holds its SHA-256. That is enough of a hash: a token
is 256 random bits, which nobody tries out. Not in here: which route asks for which scope.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Iterable

from msgspec import Struct

from tidelog.batch import Batch, Row, Rows, Table, bytes_column, int_column, text_column
from tidelog.errors import ConfigError, Fenced
from tidelog.runtime import Runtime
from tidelog.store import Snapshot, Store

__all__ = ["SCOPES", "TOKENS", "TOKEN_LIMITS", "Token", "TokenLimits", "check", "create", "listed", "revoke"]

SOURCE = "tokens"  # whose checkpoint the commits are fenced by
PREFIX = "tl_"  # what secret scanners, and people, know a token by
SECRET_BYTES = 32
SCOPES = ("metrics", "read")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


TOKENS = Table(
    "tokens",
    (
        text_column("name"),
        bytes_column("hash"),  # SHA-256 of the token, which itself is nowhere
        text_column("scopes"),  # in order, with a space between: read | metrics
        int_column("created_at"),  # Unix time, milliseconds, and the next two
        int_column("expires_at", nullable=True),
        int_column("revoked_at", nullable=True),
    ),
    key=("name",),
    content=False,
)


class TokenLimits(Struct, frozen=True):
    """How many tokens there may be, and how often one is tried to be made."""

    tokens_max: int = 1_000  # revoked ones included: every request is compared with all of them
    tries_max: int = 5  # of a commit that somebody else's came before: people make tokens, a few a day


TOKEN_LIMITS = TokenLimits()


class Token(Struct, frozen=True):
    """What is known of a token. Times are Unix time in milliseconds."""

    name: str
    hash: bytes  # SHA-256 of the whole text
    scopes: frozenset[str]
    created_at: int
    expires_at: int | None  # None: never
    revoked_at: int | None  # None: it is not

    def is_valid(self, now_ms: int) -> bool:
        """Whether it may be used at that time."""
        return self.revoked_at is None and (self.expires_at is None or now_ms < self.expires_at)


async def create(
    store: Store,
    runtime: Runtime,
    name: str,
    scopes: Collection[str],
    expires_at: int | None,
    limits: TokenLimits = TOKEN_LIMITS,
) -> str:
    """Make a token; its text, which is not to be had again.

    Raises:
        ConfigError: the name is taken, or no name; a scope is unknown, or none is given; it is over already.
    """
    now_ms = int(runtime.now() * 1000)
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"{name!r} cannot be a token's name: use up to 64 letters, digits, dots and dashes")
    unknown = sorted(set(scopes) - {*SCOPES})
    if unknown or not scopes:
        said = f"there is no scope {unknown[0]!r}" if unknown else "a token without a scope opens nothing"
        raise ConfigError(f"{said}: the scopes are {' and '.join(SCOPES)}")
    if expires_at is not None and expires_at <= now_ms:
        raise ConfigError(f"the token {name!r} would have expired before it is made: give a time to come")
    secret = runtime.random("tokens").randbytes(SECRET_BYTES)
    text = PREFIX + base64.urlsafe_b64encode(secret).decode().rstrip("=")
    row: Row = (name, _hash(text), " ".join(sorted(set(scopes))), now_ms, expires_at, None)

    def decide(stored: dict[str, Token]) -> Row:
        if name in stored:
            raise ConfigError(f"there is a token {name!r} already: take another name, revoked ones keep theirs")
        if len(stored) >= limits.tokens_max:
            raise ConfigError(f"there are {limits.tokens_max} tokens, and more are not compared with")
        return row

    await _change(store, decide, limits.tries_max)
    return text


async def revoke(store: Store, runtime: Runtime, name: str) -> None:
    """End a token's use, for good. Again: nothing changes. ConfigError if there is none of that name."""

    def decide(stored: dict[str, Token]) -> Row | None:
        token = stored.get(name)
        if token is None:
            raise ConfigError(f"there is no token {name!r}: `tidelog token list` shows those that there are")
        if token.revoked_at is not None:
            return None
        now_ms = int(runtime.now() * 1000)
        return (name, token.hash, " ".join(sorted(token.scopes)), token.created_at, token.expires_at, now_ms)

    await _change(store, decide, TOKEN_LIMITS.tries_max)


async def listed(snapshot: Snapshot) -> list[Token]:
    """All tokens, by name: valid, expired and revoked ones."""
    return [_token(row) for row in await snapshot.select(TOKENS, limit=TOKEN_LIMITS.tokens_max)]


def check(text: str, tokens: Iterable[Token], now_ms: int) -> Token | None:
    """The valid token whose text this is. Takes the same time whichever it is, or none."""
    shown = _hash(text)
    found: Token | None = None
    for token in tokens:
        if hmac.compare_digest(token.hash, shown):
            found = token
    return found if found is not None and found.is_valid(now_ms) else None


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()


def _token(row: Row) -> Token:
    name, digest, scopes, created_at, expires_at, revoked_at = row
    stored = (name, digest, frozenset(str(scopes).split()), created_at, expires_at, revoked_at)
    return Token(*stored)  # type: ignore[arg-type]


async def _change(store: Store, decide: Callable[[dict[str, Token]], Row | None], tries_max: int) -> None:
    """Put the row that `decide` makes of the stored tokens; None changes nothing.

    If the tokens change before the commit (`Fenced`), everything is done again.
    """
    for tries_left in reversed(range(tries_max)):
        before = await store.acquire(SOURCE)
        async with store.snapshot() as snapshot:
            row = decide({token.name: token for token in await listed(snapshot)})
        if row is None:
            return
        after = before.advanced(str(before.commit_seq + 1))
        try:
            await store.commit(Batch(before, after, put=(Rows(TOKENS, [row]),)))
            return
        except Fenced:
            if not tries_left:
                raise
