"""Who we are, and whom we trust, to a real server: nkeys, a .creds file, TLS with our certificate; and its limits."""

import asyncio
import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import nkeys
import pytest

from tests.conftest import running_nats
from tests.nats_server import NatsServer
from tests.store.tls import certificates
from tidelog.errors import ConfigError, Unreachable
from tidelog.stream.jetstream import JetStream, NatsLimits
from tidelog.stream.login import Login
from tidelog.stream.port import Limits, Message, StreamSettings

SETTINGS = StreamSettings("tidelog-chain-1", "tidelog.chain.1")
QUICK = NatsLimits(silence_s=0.3)


def a_key(kind: int) -> tuple[bytes, nkeys.KeyPair]:
    """A new seed, and what it makes."""
    seed = bytes(nkeys.encode_seed(os.urandom(32), kind))
    return seed, nkeys.from_seed(bytearray(seed))


def public(key: nkeys.KeyPair) -> str:
    return str(bytes(key.public_key).decode())


def token(issuer: nkeys.KeyPair, subject: str, name: str, claims: dict[str, Any]) -> str:
    """A JWT as NATS has it (ADR-14), signed by an nkey."""

    def part(content: bytes) -> bytes:
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    body: dict[str, Any] = {"iss": public(issuer), "sub": subject, "name": name, "iat": 1_700_000_000, "nats": claims}
    digest = hashlib.sha256(json.dumps(body).encode()).digest()
    body["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
    signed = part(b'{"typ":"JWT","alg":"ed25519-nkey"}') + b"." + part(json.dumps(body).encode())
    return (signed + b"." + part(issuer.sign(signed))).decode()


def publishes(server: NatsServer, login: Login, settings: StreamSettings = SETTINGS, url: str | None = None) -> int:
    """Make the stream, and publish a message; its number."""

    async def case() -> int:
        async with JetStream([url or server.url], settings, login, QUICK).connect() as session:
            await session.ensure()
            ends = await session.ends()
            assert ends is not None
            message = Message(f"{settings.subjects}.apply", {"Nats-Msg-Id": str(ends.last + 1)}, b"x")
            return await session.publish([message], ends.last)

    return asyncio.run(case())


def test_an_nkey_is_who_we_are(tmp_path: Path) -> None:
    seed, key = a_key(nkeys.PREFIX_BYTE_USER)
    other, _ = a_key(nkeys.PREFIX_BYTE_USER)
    (tmp_path / "seed").write_bytes(seed)
    (tmp_path / "other").write_bytes(other)
    (tmp_path / "none").write_text("canary")
    with running_nats(f'authorization {{ users: [ {{ nkey: "{public(key)}" }} ] }}') as server:
        assert publishes(server, Login(nkey=str(tmp_path / "seed"))) == 1
        for wrong in (Login(nkey=str(tmp_path / "other")), Login()):
            with pytest.raises(ConfigError, match="refuses the credentials"):
                publishes(server, wrong)
        with pytest.raises(ConfigError, match="none holds no credentials of NATS") as refused:
            publishes(server, Login(nkey=str(tmp_path / "none")))
        assert "canary" not in str(refused.value)


OF_JETSTREAM = ("mem_storage", "disk_storage", "streams", "consumer")
UNLIMITED = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf", *OF_JETSTREAM), -1)


def test_a_creds_file_is_who_we_are(tmp_path: Path) -> None:
    """Operator, account and user, each signed by the one above."""
    _, operator = a_key(nkeys.PREFIX_BYTE_OPERATOR)
    _, account = a_key(nkeys.PREFIX_BYTE_ACCOUNT)
    seed, user = a_key(nkeys.PREFIX_BYTE_USER)
    _, system = a_key(nkeys.PREFIX_BYTE_ACCOUNT)
    whole = token(operator, public(operator), "tests", {"type": "operator", "version": 2})
    limits = {**UNLIMITED, "wildcards": True}
    mine = token(operator, public(account), "mine", {"type": "account", "version": 2, "limits": limits})
    ours = token(
        account,
        public(user),
        "us",
        {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}},
    )
    creds = tmp_path / "us.creds"
    creds.write_text(
        f"-----BEGIN NATS USER JWT-----\n{ours}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------\n"
    )
    plain = {name: limit for name, limit in limits.items() if name not in OF_JETSTREAM}
    of_system = token(operator, public(system), "SYS", {"type": "account", "version": 2, "limits": plain})
    accounts = f"{public(account)}: {mine}, {public(system)}: {of_system}"
    config = (
        f"operator: {whole}\nsystem_account: {public(system)}\nresolver: MEMORY\nresolver_preload: {{ {accounts} }}"
    )
    with running_nats(config) as server:
        assert publishes(server, Login(credentials=str(creds))) == 1
        with pytest.raises(ConfigError, match="refuses the credentials"):
            publishes(server, Login())


def test_tls_both_ways(tmp_path: Path) -> None:
    files = certificates(tmp_path)
    config = (
        f'tls {{ cert_file: "{files.server}", key_file: "{files.server}", ca_file: "{files.authority}", verify: true }}'
    )
    ours = Login(ca=str(files.authority), cert=str(files.server), key=str(files.server))
    with running_nats(config) as server:
        assert publishes(server, ours) == 1
        assert publishes(server, ours, url=server.url.replace("nats://", "tls://")) == 2
        with pytest.raises(Unreachable, match="certificate"):
            publishes(server, Login(), url=server.url.replace("nats://", "tls://"))
        with pytest.raises(Unreachable):
            publishes(server, Login(ca=str(files.authority)))


@pytest.mark.parametrize(
    ("there", "wanted", "said"),
    [
        (Limits(1, 1_000_000), Limits(1, 2_000_000), "keeps 1000000 bytes instead of 2000000: let it keep more"),
        (Limits(1, None, 60), Limits(1, None, 120), "keeps messages for 60 s instead of 120"),
        (Limits(1, 2_000_000, 120), Limits(1, 1_000_000, 60), None),
        (Limits(), Limits(1, 1_000_000, 60), None),
    ],
)
def test_a_stream_that_is_there_has_to_keep_as_much(
    nats: NatsServer, there: Limits, wanted: Limits, said: str | None
) -> None:
    assert publishes(nats, Login(), StreamSettings(SETTINGS.name, SETTINGS.subjects, there)) == 1
    settings = StreamSettings(SETTINGS.name, SETTINGS.subjects, wanted)
    if said is None:
        assert publishes(nats, Login(), settings) == 2
        return
    with pytest.raises(ConfigError, match=said):
        publishes(nats, Login(), settings)
