"""What holds on which chain: the checks that can be made there, its finality, its pace.

A profile is stored with the chain when it is first seen and never lowered silently. A chain that is not
in the table is probed once (`tidelog.chain.sync`), and what held then is its profile.
"""

import msgspec
from msgspec import Struct

from tidelog.errors import Corruption

ALL = ("hash", "parent", "uncles", "transactions", "receipts", "derived", "bloom", "withdrawals")
"""Every check but `senders`, which the user asks for; `tidelog.chain.proof` says what each compares."""


class Profile(Struct, frozen=True):
    """What is known of a chain.

    `finality_depth` is how many blocks below the head a block counts as final where the node has no
    finalized tag; `stall_s` how long the head may stand still before that is said.
    """

    name: str
    checks: tuple[str, ...] = ALL
    roots: bool = True  # False: transactions and receipts are checked one by one, their roots are not ours
    opaque_types: tuple[int, ...] = ()  # transaction types that are known and cannot be encoded from JSON
    forms: tuple[str, ...] = ()  # of types that mean something else on other chains, see `tidelog.chain.variants`
    state_sync: bool = False  # Polygon: a transaction that stands in the lists and in no root
    storage_withdrawals_root: bool = False  # OP stack since Isthmus: not the root of a list
    finality_depth: int = 256
    stall_s: float = 120.0


_OP = Profile("op-stack", forms=("deposit",), storage_withdrawals_root=True, finality_depth=2_000, stall_s=60)
_ETHEREUM = Profile("ethereum", finality_depth=96, stall_s=180)  # two epochs, and one for a missed vote
# since PIP-74 a state-sync transaction is of type 0x7f and stands under the roots, but its fields are in no answer
_POLYGON = Profile("polygon", state_sync=True, opaque_types=(0x7F,), finality_depth=256, stall_s=60)
# messages from L1 are of type 0x7e: scroll-tech/go-ethereum, core/types/l1_message_tx.go
_SCROLL = Profile("scroll", forms=("scroll",), finality_depth=2_000, stall_s=60)
# each block begins with a transaction of type 0x7e, and its header ends with a public key: BRIP-4
_BERACHAIN = Profile("berachain", forms=("berachain",), finality_depth=64, stall_s=60)

# Facts of each chain: EIP-155 chain ids as listed by ethereum-lists/chains; rules as in the chains' own docs
PROFILES: dict[int, Profile] = {
    1: _ETHEREUM,
    11155111: _ETHEREUM,  # Sepolia
    17000: _ETHEREUM,  # Holesky
    560048: _ETHEREUM,  # Hoodi
    10: _OP,
    8453: _OP,  # Base
    11155420: _OP,  # OP Sepolia
    84532: _OP,  # Base Sepolia
    42161: Profile(
        "arbitrum",
        # the header's extra fields and types 0x64-0x6a are in no public encoding of the JSON
        checks=("hash", "parent", "uncles", "receipts", "bloom"),
        opaque_types=tuple(range(0x64, 0x6B)),
        finality_depth=20_000,
        stall_s=60,
    ),
    137: _POLYGON,
    80002: _POLYGON,  # Amoy
    534352: _SCROLL,
    534351: _SCROLL,  # Scroll Sepolia
    80094: _BERACHAIN,
    80069: _BERACHAIN,  # Bepolia
    25: Profile(
        "cronos",
        checks=("parent", "uncles", "transactions", "receipts", "bloom"),
        roots=False,  # hash and roots are Tendermint's
        finality_depth=1,
        stall_s=120,
    ),
    31337: Profile("anvil", finality_depth=64, stall_s=3_600),  # a development node mines when it is asked to
    1337: Profile("anvil", finality_depth=64, stall_s=3_600),
}


def encode_profile(profile: Profile) -> str:
    """The profile as the `chains` table stores it."""
    return msgspec.json.encode(profile).decode()


def decode_profile(text: str) -> Profile:
    """Raises Corruption if the stored text is no profile."""
    try:
        return msgspec.json.decode(text, type=Profile)
    except (ValueError, RecursionError) as error:  # msgspec's errors are among them
        raise Corruption(f"the stored profile of the chain cannot be read: {error}") from None
