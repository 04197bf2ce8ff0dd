"""Durations, sizes and names as people write them, and secrets that never show."""

import copy
import json
import pickle

import msgspec
import pytest

from tests.config.schema import CANARY
from tidelog.config import ConfigValue, Duration, Name, PeerUrl, Reading, Secret, Size

READING = Reading("/etc", {})

WRITTEN: list[tuple[type[ConfigValue], object, object, object]] = [  # the kind, as given, the value, as shown
    (Duration, "500ms", 0.5, "500ms"),
    (Duration, "5s", 5.0, "5s"),
    (Duration, "90s", 90.0, "90s"),
    (Duration, "1.5m", 90.0, "90s"),
    (Duration, "120", 120.0, "2m"),
    (Duration, 3600, 3600.0, "1h"),
    (Duration, 0.25, 0.25, "250ms"),
    (Duration, "2 d", 172_800.0, "2d"),
    (Duration, 0, 0.0, "0s"),
    (Size, "500MiB", 500 * 1024**2, "500MiB"),
    (Size, "2GB", 2 * 10**9, "2GB"),
    (Size, "1.5KiB", 1536, "1536B"),
    (Size, 1024, 1024, "1KiB"),
    (Size, "7", 7, "7B"),
    (Name, "eth-mainnet_2", "eth-mainnet_2", "eth-mainnet_2"),
]


@pytest.mark.parametrize(("kind", "given", "value", "as_shown"), WRITTEN)
def test_values_are_read_as_people_write_them(
    kind: type[ConfigValue], given: object, value: object, as_shown: object
) -> None:
    read = kind.read(given, READING)
    assert (read, read.shown()) == (value, as_shown)
    assert kind.read(read.shown(), READING) == read


NO_DURATIONS: list[object] = ["", "5 weeks", "-1s", "s", "1e3s", "5S", True, None, [], float("nan"), -1]
NO_SIZES: list[object] = ["", "0", 0, -5, "1.5B", "5mib", "5 Ki", 0.5, True, "MiB", float("inf")]
NO_NAMES: list[object] = ["", "A", "a--b", "a__b", "-a", "a-", "a b", "a/b", "é", "a" * 33, 5]
TOO_LARGE: list[object] = [10**400, 1e308, "9" * 400, f"{'9' * 400}B", f"{'9' * 400}s", 2**63]
KINDS: list[tuple[type[ConfigValue], list[object]]] = [
    (Duration, [*NO_DURATIONS, *TOO_LARGE]),
    (Size, [*NO_SIZES, *TOO_LARGE]),
    (Name, NO_NAMES),
]


@pytest.mark.parametrize(("kind", "given"), [(kind, given) for kind, refused in KINDS for given in refused])
def test_rejects_malformed_values(kind: type[ConfigValue], given: object) -> None:
    with pytest.raises(ValueError, match=r"^give "):
        kind.read(given, READING)


@pytest.mark.parametrize("secret", [Secret(CANARY), PeerUrl(f"https://user:{CANARY}@host/v2/{CANARY}?k={CANARY}")])
def test_a_secret_never_shows(secret: Secret) -> None:
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>90}", f"{[secret]}", secret.shown()):
        assert CANARY not in str(shown)
    assert CANARY in secret.reveal()
    assert copy.deepcopy(secret) == copy.copy(secret) == secret
    assert {secret: 1}[type(secret)(secret.reveal())] == 1
    assert secret != Secret("other")
    assert secret != secret.reveal()
    for dump in (pickle.dumps, json.dumps, msgspec.json.encode):
        with pytest.raises(TypeError) as caught:
            dump(secret)
        assert CANARY not in str(caught.value)


def test_a_url_is_shown_by_its_host() -> None:
    assert PeerUrl("https://host:1/v2/abcdefghij").shown() == "https://host:1/***"
    assert PeerUrl("http://127.0.0.1:8545").shown() == "http://127.0.0.1:8545"
