"""Which names and limits of a stream NATS and Kafka can have."""

import pytest

from tidelog.errors import ConfigError
from tidelog.stream.naming import INT64_MAX, judge_stream, judge_topic
from tidelog.stream.port import Limits, StreamSettings


@pytest.mark.parametrize(
    ("name", "stream", "topic"),
    [
        ("tidelog-chain-1", True, True),
        ("a", True, True),
        ("café", True, False),
        ("a:b", True, False),
        ("mainnet.changes", False, True),
        ("", False, False),
        (".", False, False),
        ("..", False, False),
        ("...", False, True),
        ("a b", False, False),
        ("a\tb", False, False),
        ("a\n", False, False),
        ("a\0b", False, False),
        ("a*", False, False),
        ("a>", False, False),
        ("a/b", False, False),
        ("a\\b", False, False),
        ("a" * 249, True, True),
        ("a" * 250, True, False),
        ("a" * 255, True, False),
        ("a" * 256, False, False),
        ("é" * 128, False, False),
    ],
)
def test_a_name_is_one_that_the_engine_can_have(name: str, stream: bool, topic: bool) -> None:
    for judge, can_be in ((judge_stream, stream), (judge_topic, topic)):
        settings = StreamSettings(name, "tidelog.chain.1")
        if can_be:
            judge(settings)
        else:
            with pytest.raises(ConfigError, match=r"cannot be called '.*': give 1 to"):
                judge(settings)


@pytest.mark.parametrize(
    ("limits", "stream", "topic"),
    [
        (Limits(5, INT64_MAX, 9_223_372_036), None, None),
        (Limits(0), "is on 1 to 5 servers, not on 0", "is on 1 to 32767 brokers, not on 0"),
        (Limits(6), "is on 1 to 5 servers, not on 6", None),
        (Limits(40_000), "is on 1 to 5 servers, not on 40000", "is on 1 to 32767 brokers, not on 40000"),
        (Limits(bytes_max=INT64_MAX + 1), "keeps at most 9223372036854775807 bytes", "keeps at most 92233720368547"),
        (Limits(age_max_s=9_223_372_037), "for at most 9223372036 seconds, not for 9223372037", None),
        (Limits(age_max_s=10**16), "for at most 9223372036 seconds", "for at most 9223372036854775 seconds"),
    ],
)
def test_a_limit_is_one_that_the_engine_can_keep(limits: Limits, stream: str | None, topic: str | None) -> None:
    for judge, said in ((judge_stream, stream), (judge_topic, topic)):
        settings = StreamSettings("mine", "tidelog.chain.1", limits)
        if said is None:
            judge(settings)
        else:
            with pytest.raises(ConfigError, match=said):
                judge(settings)
