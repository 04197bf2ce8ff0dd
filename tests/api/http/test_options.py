"""The options of a server: what cannot be is one sentence."""

import ipaddress
from typing import Any

import pytest

from tidelog.api.http.options import ApiOptions
from tidelog.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"page_max": 0}, "page_max is 0"),
        ({"page_max": 50}, "page_default is 100, above page_max 50"),
        ({"request_timeout_s": 0.0}, "request_timeout_s is 0"),
        ({"readers": -1}, "readers is -1"),
        ({"port": 65_536}, "port 65536"),
        ({"host": "a..b"}, "host 'a..b'"),
        ({"host": ""}, "host ''"),
        ({"host": "n" * 64}, "host 'nnnn"),
        ({"host": "a\0b"}, "host 'a"),
        ({"host": "localhost:80"}, "host 'localhost:80'"),
        ({"hosts": ("app.example", "http://app.example")}, "allow_host 'http://app.example'"),
        ({"cors": ("*",)}, "origin '*'"),
        ({"cors": ("app.example",)}, "origin"),
        ({"cors": ("https://app.example/path",)}, "origin"),
    ],
)
def test_rejects_options_that_cannot_be_meant(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("*", r"\*")):
        ApiOptions(**options)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_addresses_are_recognised(host: str, loopback: bool) -> None:
    assert ApiOptions(host=host).loopback is loopback
    assert host == "localhost" or ipaddress.ip_address(host).is_loopback is loopback
