"""Signatures are the documentation's own, and the secret shows nowhere."""

import copy
import pickle
import traceback

import pytest

from tidelog.errors import ConfigError
from tidelog.market.kraken.auth import TOKEN_PATH, ApiKey, token_body

# https://docs.kraken.com/api/docs/guides/spot-rest-auth: not a key of anybody
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
PATH = "/0/private/AddOrder"
NONCE = "1616492376594"
BODY = f"nonce={NONCE}&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
SIGNATURE = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="


def test_the_documented_signature() -> None:
    key = ApiKey("the key", SECRET)
    assert key.sign(PATH, BODY, NONCE) == SIGNATURE
    assert key.headers(PATH, BODY, NONCE) == {"API-Key": "the key", "API-Sign": SIGNATURE}


def test_every_part_is_signed() -> None:
    key = ApiKey("the key", SECRET)
    other = ApiKey("the key", SECRET.replace("kQH5", "kQH6"))
    signatures = {
        key.sign(PATH, BODY, NONCE),
        key.sign(TOKEN_PATH, BODY, NONCE),
        key.sign(PATH, token_body(NONCE), NONCE),
        key.sign(PATH, BODY, "1616492376595"),
        other.sign(PATH, BODY, NONCE),
    }
    assert len(signatures) == 5


def test_nothing_that_prints_the_key_shows_it() -> None:
    key = ApiKey("the key", SECRET)
    for shown in (repr(key), str(key), f"{key}", repr([key]), repr({"key": key})):
        assert shown.count("hidden") == 1
        assert "the key" not in shown
    for leak in (pickle.dumps, copy.copy, vars):
        with pytest.raises(TypeError):
            leak(key)


@pytest.mark.parametrize("key", ["the key\n", " the key", "the\rkey", "the\x00key", "ключ"])
def test_a_key_that_no_header_can_have_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ConfigError, match="the Kraken API key has a character that no key has") as caught:
        ApiKey(key, SECRET)
    assert key not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("secret", ["", "no base64!", "abc", SECRET[:-1], SECRET + "\n", "ключ"])
def test_a_secret_that_is_none_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ApiKey("the key", secret)
    text = "".join(traceback.format_exception(caught.value))
    assert not secret or secret not in text
    assert "secret of the Kraken API key" in str(caught.value)
