"""Signatures of webhooks: the specification's own example, and secrets that are none."""

import pytest

from tidelog.errors import ConfigError
from tidelog.stream.webhook.signing import key_of, signed_headers

# of the specification's reference libraries (standard-webhooks, "should sign payload")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
IDENTITY, AT_S, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'


def test_the_specifications_example() -> None:
    assert signed_headers(key_of(SECRET), IDENTITY, AT_S, BODY) == {
        "webhook-id": IDENTITY,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    ("identity", "at_s", "body"), [("other", AT_S, BODY), (IDENTITY, AT_S + 1, BODY), (IDENTITY, AT_S, BODY + b" ")]
)
def test_id_time_and_body_are_all_signed(identity: str, at_s: int, body: bytes) -> None:
    key = key_of(SECRET)
    mine, other = signed_headers(key, IDENTITY, AT_S, BODY), signed_headers(key, identity, at_s, body)
    assert mine["webhook-signature"] != other["webhook-signature"]


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins otherwise"),
        ("whsec_canary key", "is no Base64"),
        ("whsec_Y2FuYXJ5", "has 6"),
        ("whsec_" + "QUFB" * 30, "has 90"),
    ],
)
def test_a_secret_that_is_none_is_said_and_not_shown(secret: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        key_of(secret)
    assert secret.removeprefix("whsec_") not in str(refused.value)
