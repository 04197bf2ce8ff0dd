"""What a receiver's answer means."""

import pytest

from tidelog.stream.webhook.answers import Away, Gone, Refused, Taken, Verdict, verdict_on


@pytest.mark.parametrize(
    ("status", "headers", "verdict"),
    [
        (200, {}, Taken()),
        (204, {}, Taken()),
        (301, {"location": "https://elsewhere"}, Refused("it answers 301: redirects are not followed")),
        (400, {}, Refused("it answers 400")),
        (404, {"retry-after": "9"}, Refused("it answers 404")),
        (410, {}, Gone()),
        (429, {"retry-after": "7"}, Away("it answers 429", 7.0)),
        (500, {}, Refused("it answers 500")),
        (502, {}, Away("it answers 502")),
        (503, {"retry-after": "999999"}, Away("it answers 503", 3600.0)),
        (504, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, Away("it answers 504")),
        (503, {"retry-after": "-1"}, Away("it answers 503")),
    ],
)
def test_an_answer_is_one_of_four(status: int, headers: dict[str, str], verdict: Verdict) -> None:
    assert verdict_on(status, headers) == verdict


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504, *range(520, 527), 530])
def test_what_is_not_said_of_the_message_puts_none_aside(status: int) -> None:
    assert verdict_on(status, {}) == Away(f"it answers {status}")
