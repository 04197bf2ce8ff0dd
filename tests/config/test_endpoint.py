"""Where a key may stand in a URL, and that it never shows."""

import copy
import json
import traceback
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.config import EndpointUrl
from tidelog.errors import ConfigError

KEY = "aB3-xyz_9Q7~canary"
AWKWARD = "a+b/c=d&é%"  # base64 and worse: it is escaped in a URL, and not in an echo, or the reverse

URLS = [  # where the key stands
    f"https://eth-mainnet.g.alchemy.com/v2/{KEY}",
    f"https://mainnet.infura.io/v3/{KEY}/",
    f"https://quick-node.quiknode.pro/{KEY}",
    f"https://node/{KEY}/eth/rpc",
    f"https://node/rpc?apikey={KEY}",
    f"https://node/rpc?chain=1&apikey={KEY}&v=2",
    f"https://node/rpc?{KEY}",
    f"https://{KEY}@node/rpc",
    f"https://user:{KEY}@node:8545/rpc",
    f"https://{KEY}:x@node/rpc",
    f"https://node/rpc#{KEY}",
    f"https://node/v2/{quote(KEY)}",
    f"https://node/v2/%61{KEY[1:]}",
]


@pytest.mark.parametrize("text", URLS)
def test_a_key_never_shows(text: str) -> None:
    url = EndpointUrl(text)
    shown = [url.name, repr(url), str(url), f"{url}", f"{url!r}", f"{[url]}", f"{url!s:>80}", f"{url}"]
    assert all(KEY not in each for each in shown)
    assert url.reveal() == text
    assert KEY not in repr(copy.copy(url))


@pytest.mark.parametrize("text", URLS)
def test_an_echo_of_the_url_is_redacted(text: str) -> None:
    url = EndpointUrl(text)
    for echo in (
        f"502 Bad Gateway for {text}",
        f"key {KEY} is over its limit",
        json.dumps({"error": {"message": f"POST {text} failed"}}),
        f"KEY={KEY}{KEY}",
        KEY,
    ):
        redacted = url.redact(echo)
        assert KEY not in redacted
        assert "***" in redacted


@pytest.mark.parametrize("form", ["https://node/v2/{}", "https://node/rpc?key={}", "https://u:{}@node/"])
@pytest.mark.parametrize("safe", ["", "+=", "&+=é"])
def test_a_key_that_is_escaped_in_one_place_and_not_in_the_other(form: str, safe: str) -> None:
    url = EndpointUrl(form.format(quote(AWKWARD, safe="")))
    escaped = quote(AWKWARD, safe=safe)
    for echo in (
        AWKWARD,
        escaped,
        escaped.lower(),
        AWKWARD.replace("/", r"\/"),
        json.dumps(AWKWARD, ensure_ascii=False),
    ):
        assert "***" in url.redact(f"no such key: {echo}!")
        assert echo not in url.redact(f"no such key: {echo}!")


@pytest.mark.parametrize("end", ["", "..."])
def test_a_key_that_is_cut_short_is_redacted_too(end: str) -> None:
    """Long texts are quoted from their beginning: the cut may fall into the key."""
    url = EndpointUrl(f"https://node/v2/{KEY}")
    for size in range(4, len(KEY)):
        assert url.redact(f"POST /v2/{KEY[:size]}{end}") == f"POST /v2/***{end}"
    assert url.redact(f"see {KEY[:3]}{end}") == f"see {KEY[:3]}{end}"


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N"]), min_size=7, max_size=40), st.text())
def test_any_key_in_any_text(key: str, text: str) -> None:
    url = EndpointUrl(f"https://node/v2/{key}")
    redacted = url.redact(f"{text}{key}{text}")
    assert key not in redacted.replace("***", " ")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("http://127.0.0.1:8545", "error 8545 from 127.0.0.1"),
        ("http://node/rpc", "no rpc for v2"),
        ("http://node/v1/rpc?v=2&n=100", "error 2100: 100 of 200"),  # numbers this short are no keys
        ("http://node/?a=&b", "a and b"),
    ],
)
def test_parts_of_a_url_that_are_no_key_stay_readable(text: str, kept: str) -> None:
    assert EndpointUrl(text).redact(kept) == kept


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("http://node", "http://node"),
        ("https://Node.Example:8545/x", "https://node.example:8545"),
        ("https://user:pass@node:1/x?y#z", "https://node:1"),
        ("http://[::1]:8545/", "http://[::1]:8545"),
        ("http://[::1]", "http://[::1]"),
        ("http://node:0/", "http://node:0"),
    ],
)
def test_the_name_is_scheme_host_and_port(text: str, name: str) -> None:
    url = EndpointUrl(text)
    assert url.name == name
    assert str(url) == f"EndpointUrl({name!r})"


@pytest.mark.parametrize(
    ("text", "schemes", "words"),
    [
        ("", ("http", "https"), "no scheme"),
        (KEY, ("http", "https"), "no scheme"),
        (f"node/{KEY}", ("http", "https"), "no scheme"),
        (f"ftp://node/{KEY}", ("http", "https"), "'ftp://'"),
        (f"wss://node/{KEY}", ("http", "https"), "http://host or https://host"),
        (f"https://node/{KEY}", ("ws", "wss"), "ws://host or wss://host"),
        (f"https:///{KEY}", ("http", "https"), "'https://'"),
        (f"https://node:port/{KEY}", ("http", "https"), "host or port is not valid"),
        (f"https://node:99999/{KEY}", ("http", "https"), "host or port is not valid"),
        (f"https://[node/{KEY}", ("http", "https"), "host or port is not valid"),
        (f"https://[::g]/{KEY}", ("http", "https"), "host or port is not valid"),
        (f"https://node..example/{KEY}", ("http", "https"), "host or port is not valid"),
        (f"https://my node/{KEY}", ("http", "https"), "host or port is not valid"),
        (f"https://node\0/{KEY}", ("http", "https"), "host or port is not valid"),
        (f"https://{'n' * 64}/{KEY}", ("http", "https"), "host or port is not valid"),
        (f"https://127.0.0.999/{KEY}", ("http", "https"), "host or port is not valid"),
        (f"{KEY}{KEY}://node", ("http", "https"), "no scheme"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_it(
    text: str, schemes: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        EndpointUrl(text, schemes=schemes)
    assert words in str(caught.value)
    assert KEY not in "".join(traceback.format_exception_only(caught.value))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_url_without_end_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="characters: at most"):
        EndpointUrl("http://" + "a:" * 500_000)
