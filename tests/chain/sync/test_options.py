"""What a program may ask of a sync: what cannot be meant is one sentence, before an endpoint is asked."""

from typing import Any

import pytest

from tidelog import ConfigError
from tidelog.chain import Options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"first": -1}, "first -1: give a block number"),
        ({"first": "latest"}, "first 'latest': give a block number"),
        ({"to": "5"}, "to '5': give a block number"),
        ({"to": -3}, "to -3: give a block number"),
        ({"confirmations": -2}, "confirmations -2: give 0 or more"),
        ({"prove_down_to": -1}, "prove_down_to -1"),
        ({"chain_id": "1337"}, "chain_id '1337': give a number, 1 or more"),
        ({"chain_id": 0}, "chain_id 0"),
        ({"finality": "final"}, "finality 'final': give one of latest, safe, finalized"),
        ({"anchor": "0x" + "00" * 32}, "anchor '0x0000"),
        ({"anchor": b"\x01" * 31}, "give a hash as 32 bytes"),
        ({"accept_unproven": "bloom"}, "accept_unproven 'bloom' is one text"),
        ({"accept_unproven": ("bloom", "parent")}, "accept_unproven 'parent': give one of hash, uncles"),
        ({"finality": None}, "finality None"),
        ({"poll_s": 0}, "poll_s 0: give seconds, more than 0"),
        ({"poll_s": float("nan")}, "poll_s nan"),
        ({"reorg_patience_s": -1}, "reorg_patience_s -1"),
        ({"give_up_s": "1m"}, "give_up_s '1m'"),
        ({"first": "x" * 1_000}, "first 'xxx"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Options(**options)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


def test_what_can_be_meant_is_taken() -> None:
    options = Options(
        first=0, to=0, anchor=bytes(32), accept_unproven=("bloom", "derived"), chain_id=1, finality="safe"
    )
    assert options.to == 0
