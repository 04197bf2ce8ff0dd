"""Tokens, on both backends: what is made, told, kept, and let in."""

import asyncio
import base64
import hashlib
import re
from pathlib import Path

import pytest

from tests.store.conftest import Opener
from tidelog.errors import ConfigError, Fenced
from tidelog.runtime import SystemRuntime
from tidelog.store import Store, tokens
from tidelog.store.tokens import Token, TokenLimits, check, create, listed, revoke
from tidelog.tables import TABLES

RUNTIME = SystemRuntime()
NOW_MS = 2_000_000_000_000


async def names(store: Store) -> list[str]:
    async with store.snapshot() as snapshot:
        return [token.name for token in await listed(snapshot)]


async def stored_token(store: Store, name: str) -> Token:
    async with store.snapshot() as snapshot:
        [token] = [token for token in await listed(snapshot) if token.name == name]
    return token


class TestCreate:
    async def test_create_tells_the_token_and_keeps_its_hash(self, store: Store) -> None:
        text = await create(store, RUNTIME, "reader", ["read", "metrics", "read"], NOW_MS)
        assert re.fullmatch(r"tl_[A-Za-z0-9_-]{43}", text)
        token = await stored_token(store, "reader")
        assert token.hash == hashlib.sha256(text.encode()).digest()
        assert token.scopes == {"read", "metrics"}
        assert (token.expires_at, token.revoked_at) == (NOW_MS, None)
        assert abs(token.created_at - RUNTIME.now() * 1000) < 3_600_000

    async def test_a_name_that_is_taken_is_refused(self, store: Store) -> None:
        await create(store, RUNTIME, "one", ["read"], None)
        before = await stored_token(store, "one")
        await revoke(store, RUNTIME, "one")
        with pytest.raises(ConfigError, match="a token 'one' already"):
            await create(store, RUNTIME, "one", ["read"], None)
        assert (await stored_token(store, "one")).hash == before.hash

    @pytest.mark.parametrize(
        ("name", "scopes", "expires_at", "sentence"),
        [
            ("", ["read"], None, "cannot be a token's name"),
            ("a b", ["read"], None, "cannot be a token's name"),
            ("x" * 65, ["read"], None, "cannot be a token's name"),
            ("a\0", ["read"], None, "cannot be a token's name"),
            ("a", [], None, "a token without a scope opens nothing: the scopes are metrics and read"),
            ("a", ["read", "write"], None, "there is no scope 'write': the scopes are metrics and read"),
            ("a", ["read"], 1, "would have expired before it is made"),
        ],
    )
    async def test_a_token_that_makes_no_sense_is_refused(
        self, store: Store, name: str, scopes: list[str], expires_at: int | None, sentence: str
    ) -> None:
        with pytest.raises(ConfigError, match=sentence):
            await create(store, RUNTIME, name, scopes, expires_at)
        assert await names(store) == []

    async def test_too_many_tokens_are_refused(self, store: Store) -> None:
        limits = TokenLimits(tokens_max=2)
        for name in ("a", "b"):
            await create(store, RUNTIME, name, ["read"], None, limits)
        with pytest.raises(ConfigError, match="there are 2 tokens"):
            await create(store, RUNTIME, "c", ["read"], None, limits)

    async def test_two_tokens_at_once_are_both_made(self, opener: Opener) -> None:
        limits = TokenLimits(tries_max=100)  # the two may take turns at fencing each other
        first, second = await opener(), await opener()
        await asyncio.gather(
            *(create(each, RUNTIME, f"t{i}", ["read"], None, limits) for i, each in enumerate((first, second)))
        )
        assert await names(first) == ["t0", "t1"]

    async def test_a_race_that_is_lost_again_and_again_is_told(self, opener: Opener) -> None:
        store, other = await opener(), await opener()
        commit, lost = store.commit, []

        async def late(batch: object) -> object:
            lost.append(await other.acquire(tokens.SOURCE))
            return await commit(batch)  # type: ignore[arg-type]

        store.commit = late  # type: ignore[assignment, method-assign]
        with pytest.raises(Fenced):
            await create(store, RUNTIME, "late", ["read"], None)
        assert len(lost) == tokens.TOKEN_LIMITS.tries_max
        assert await names(other) == []

    async def test_the_token_is_nowhere_in_the_database(self, store: Store, url: str) -> None:
        text = await create(store, RUNTIME, "secret", ["read"], None)
        secret = base64.urlsafe_b64decode(text.removeprefix("tl_") + "=")
        digest = (await stored_token(store, "secret")).hash
        async with store.snapshot() as snapshot:
            stored = repr([await snapshot.select(table) for table in TABLES]) + repr(await snapshot.checkpoints())
        assert repr(digest)[2:-1] in stored
        assert text not in stored
        assert repr(secret)[2:-1] not in stored
        if url.startswith("sqlite"):
            files = [*Path(url.removeprefix("sqlite:///")).parent.iterdir()]
            content = b"".join([file.read_bytes() for file in files])  # the log beside it included
            assert digest in content
            assert text.removeprefix("tl_").encode() not in content
            assert secret not in content


class TestRevoke:
    async def test_revoke_ends_a_token_and_leaves_the_others(self, store: Store) -> None:
        texts = {name: await create(store, RUNTIME, name, ["read"], None) for name in ("a", "b")}
        await revoke(store, RUNTIME, "a")
        async with store.snapshot() as snapshot:
            found = await listed(snapshot)
        assert [(token.name, token.revoked_at is None) for token in found] == [("a", False), ("b", True)]
        assert check(texts["a"], found, NOW_MS) is None
        assert check(texts["b"], found, NOW_MS) == found[1]

    async def test_a_second_revoke_changes_nothing(self, store: Store) -> None:
        await create(store, RUNTIME, "a", ["read"], None)
        await revoke(store, RUNTIME, "a")
        before = await stored_token(store, "a")
        await revoke(store, RUNTIME, "a")
        assert await stored_token(store, "a") == before

    async def test_an_unknown_name_is_refused(self, store: Store) -> None:
        with pytest.raises(ConfigError, match="there is no token 'b'"):
            await revoke(store, RUNTIME, "b")


def token(text: str, *, expires_at: int | None = None, revoked_at: int | None = None) -> Token:
    return Token(text, hashlib.sha256(text.encode()).digest(), frozenset({"read"}), 0, expires_at, revoked_at)


class TestCheck:
    good, over, ended = token("tl_good", expires_at=10), token("tl_over", expires_at=9), token("tl_end", revoked_at=1)

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("tl_good", good),
            ("tl_over", None),
            ("tl_end", None),
            ("tl_goo", None),
            ("tl_good ", None),
            ("good", None),
            ("", None),
            ("\ud800\xe4", None),
        ],
    )
    def test_check_lets_in_whoever_shows_a_valid_token(self, text: str, found: Token | None) -> None:
        assert check(text, [self.over, self.good, self.ended], 9) == found

    def test_check_lets_nobody_in_where_there_are_no_tokens(self) -> None:
        assert check("tl_good", [], 0) is None
