"""The simulated accounts' keys, compared with libsecp256k1."""

import random

import pytest
from coincurve import PrivateKey

from tidelog.sim.node.chain.secp256k1 import ORDER, public_key

EDGES = [1, 2, 3, 2**255, ORDER // 2, ORDER - 2, ORDER - 1]


def test_public_keys_are_libsecp256k1_s() -> None:
    rng = random.Random(8)
    for secret in [*EDGES, *(rng.randrange(1, ORDER) for _ in range(100))]:
        assert tuple(public_key(secret)) == PrivateKey.from_int(secret).public_key.point()


@pytest.mark.parametrize("secret", [0, -1, ORDER, ORDER + 1])
def test_what_is_no_secret_is_refused(secret: int) -> None:
    with pytest.raises(ValueError, match="a secret is from 1"):
        public_key(secret)
