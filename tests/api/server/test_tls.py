"""TLS of the server: what it serves, when its certificate changes, and clients that never end a handshake."""

import asyncio
import datetime
import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from tests.api.served import Filled, Served
from tests.command import Running, until
from tests.patience import HANGS_S
from tidelog.api.http.options import ApiOptions
from tidelog.api.server.tls import Certificate
from tidelog.errors import ConfigError


class Pair:
    """A certificate for 127.0.0.1 that signs itself, in two files of a folder; `renew` makes others in their place."""

    def __init__(self, folder: Path) -> None:
        self.cert, self.key = str(folder / "cert.pem"), str(folder / "key.pem")
        self.serial = 0
        self.renew()

    def renew(self, *, cert: bool = True, key: bool = True, password: bytes | None = None) -> None:
        self.serial += 1
        private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tidelog")])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(self.serial)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(private, hashes.SHA256())
        )
        how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        if cert:
            _replace(self.cert, made.public_bytes(serialization.Encoding.PEM))
        if key:
            _replace(
                self.key,
                private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how),
            )


def _replace(path: str, content: bytes) -> None:
    Path(path + ".new").write_bytes(content)
    os.replace(path + ".new", path)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


@pytest.fixture
def secure(small: Filled, pair: Pair) -> Iterator[Served]:
    with Served(small.url, tls_cert=pair.cert, tls_key=pair.key, health_port=0) as api:
        yield api


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def serial(port: int) -> int:
    """Of the certificate that a new connection sees."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=HANGS_S) as plain,
        trusting().wrap_socket(plain) as wrapped,
    ):
        shown = wrapped.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=HANGS_S, context=trusting())
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_everything_is_served_over_tls(secure: Served) -> None:
    server = secure.server
    assert server.url == f"https://127.0.0.1:{server.port}"
    status, body = get(server.port, "/v1/chains")
    assert (status, json.loads(body)["data"][0]["chain_id"]) == (200, 1337)
    assert server.health_port is not None
    assert get(server.health_port, "/livez")[0] == 200

    async def listen() -> object:
        async with connect(f"wss://127.0.0.1:{server.port}/v1/live", ssl=trusting()) as stream:
            await stream.send('{"op": "ping"}')
            return json.loads(await stream.recv())

    assert asyncio.run(listen()) == {"op": "pong"}


def test_a_client_that_has_said_goodbye_and_stays_does_not_fail_the_end(small: Filled, pair: Pair) -> None:
    """Its close was answered, and TLS waits for one of its own: the server's end closed it once more, and failed."""
    upgrade = (
        b"GET /v1/live HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with ExitStack() as left_open, Served(small.url, tls_cert=pair.cert, tls_key=pair.key) as api:
        address = ("127.0.0.1", api.server.port)
        plain = left_open.enter_context(socket.create_connection(address, timeout=HANGS_S))
        wrapped = left_open.enter_context(trusting().wrap_socket(plain))
        wrapped.sendall(upgrade)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += wrapped.recv(4_096)
        assert answer.startswith(b"HTTP/1.1 101")
        wrapped.sendall(b"\x88\x82\0\0\0\0\x03\xe8")  # a close, code 1000, under a mask of zeros
        assert wrapped.recv(4_096) == b"\x88\x02\x03\xe8"


def test_every_handshake_of_the_command_is_heard_to_its_end(small: Filled, pair: Pair, tmp_path: Path) -> None:
    """The loop of a program reads before anybody asks it to: half of the handshakes lost their first bytes."""
    arguments = ("serve", "--port", "0", "--db", small.url, "--tls-cert", pair.cert, "--tls-key", pair.key)
    with Running(*arguments, log=tmp_path / "log") as serving:
        serving.until(lambda: serving.events("api_listening"), "the server")
        port = int(serving.events("api_listening")[0]["url"].rpartition(":")[2])
        assert [get(port, "/livez")[0] for _ in range(40)] == [200] * 40


def test_several_requests_and_long_answers_go_over_one_connection(secure: Served) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", secure.server.port, timeout=HANGS_S, context=trusting())
    for _ in range(5):
        connection.request("GET", "/openapi.json")
        answer = connection.getresponse()
        assert answer.status == 200
        assert len(json.loads(answer.read())) > 1
    connection.close()


def test_a_client_without_tls_gets_no_answer_and_no_seat(secure: Served) -> None:
    for said in (b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 2_000, b""):
        with socket.create_connection(("127.0.0.1", secure.server.port), timeout=HANGS_S) as plain:
            plain.sendall(said)
            plain.shutdown(socket.SHUT_WR)
            assert b"HTTP" not in b"".join(iter(lambda: _received(plain), b""))
    assert get(secure.server.port, "/livez")[0] == 200


def _received(plain: socket.socket) -> bytes:
    try:
        return plain.recv(4_096)
    except ConnectionError:
        return b""


def test_a_certificate_that_is_renewed_is_served_without_a_new_start(secure: Served, pair: Pair) -> None:
    port = secure.server.port
    old = http.client.HTTPSConnection("127.0.0.1", port, timeout=HANGS_S, context=trusting())
    old.request("GET", "/livez")
    old.getresponse().read()
    assert serial(port) == 1
    pair.renew()
    until(lambda: serial(port) == 2, "the new certificate")
    old.request("GET", "/livez")  # and a connection that was there goes on
    assert old.getresponse().status == 200
    old.close()


def test_a_broken_certificate_changes_nothing_and_is_logged_once(pair: Pair) -> None:
    certificate = Certificate(pair.cert, pair.key)
    first = certificate.context
    with capture_logs() as told:
        pair.renew(cert=False)  # the half of a renewal
        certificate.refresh()
        certificate.refresh()
        Path(pair.cert).unlink()
        certificate.refresh()
        certificate.refresh()
        assert certificate.context is first
        pair.renew()
        certificate.refresh()
        second = certificate.context
        assert second is not first
        certificate.refresh()
        assert certificate.context is second
    assert [each["event"] for each in told] == ["certificate_refused", "certificate_refused", "certificate_read"]
    assert "no certificate and its key" in told[0]["reason"]
    assert "No such file" in told[1]["reason"]


def test_rejects_unusable_certificates(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Certificate(str(tmp_path / "none.pem"), None)
    with pytest.raises(ConfigError, match="are no certificate and its key"):
        Certificate(pair.key, None)
    pair.renew(password=b"canary")
    with pytest.raises(ConfigError, match="is encrypted: give one without a passphrase"):
        Certificate(pair.cert, pair.key)
    with pytest.raises(ConfigError, match="tls_key is given without tls_cert"):
        ApiOptions(tls_key=pair.key)


def answered(port: int) -> bool:
    """Whether health is; False where no connection is to be had."""
    try:
        return get(port, "/livez")[0] == 200
    except OSError:
        return False


def test_handshakes_that_never_end_take_nobody_s_place(small: Filled, pair: Pair) -> None:
    limits = {"connections_max": 8, "client_connections_max": 8, "request_timeout_s": 60.0, "delay_max_s": 0.0}
    with Served(small.url, tls_cert=pair.cert, tls_key=pair.key, **limits) as api:
        idle = [socket.create_connection(("127.0.0.1", api.server.port)) for _ in range(8)]
        until(lambda: answered(api.server.port), "one of them to make room")
        for each in idle:
            each.close()


def test_the_end_waits_for_no_handshake(small: Filled, pair: Pair) -> None:
    with Served(small.url, tls_cert=pair.cert, tls_key=pair.key, stop_s=1.0, request_timeout_s=60.0) as api:
        half = socket.create_connection(("127.0.0.1", api.server.port))
        assert get(api.server.port, "/livez")[0] == 200
    with half:
        half.settimeout(HANGS_S)
        assert _received(half) == b""
