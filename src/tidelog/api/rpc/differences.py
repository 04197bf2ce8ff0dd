"""The fields in which an answer from the store may differ from the node that the blocks came from.

The docs show this list, and tests let nothing else differ. Values only, no logic.
"""

from msgspec import Struct


class Difference(Struct, frozen=True):
    """A field in which an answer from the store may differ from the node's own, and why."""

    object: str  # block | transaction | receipt | log
    field: str
    why: str


DIFFERENCES = (
    Difference("block", "size", "the endpoint's own; computed where it gave none, as the bytes of the block's RLP; "
               "absent where those are not known: with uncles that are not proven, and on chains whose header or "
               "transactions tidelog cannot encode"),
    Difference("block", "logsBloom", "absent where the endpoint gave none and the block's hash could not prove one"),
    Difference("block", "sha3Uncles", "absent where the endpoint gave none and the block's hash could not prove one"),
    Difference("transaction", "blockTimestamp", "always given, as newer nodes do; older ones leave it out"),
    Difference("transaction", "chainId", "of type 0: what its signature says (EIP-155), absent where that says "
               "nothing; no row holds what a node fills in there"),
    Difference("transaction", "gasPrice", "of types other than 0 to 4: the price of the receipt; some chains say "
               "another one beside it"),
    Difference("transaction", "v", "of types 1 to 4: the y parity, also where a node sends an EIP-155 style v"),
    Difference("transaction", "yParity", "given for types 1 to 4, also where a node leaves it out"),
    Difference("transaction", "nonce", "of OP-stack deposits: the receipt's deposit nonce, 0 before Regolith"),
    Difference("transaction", "mint", "of OP-stack deposits: absent when zero, which is encoded alike"),
    Difference("transaction", "isSystemTx", "of OP-stack deposits: given only when true, as op-geth does"),
    Difference("receipt", "effectiveGasPrice", "derived and always given where the chain's profile has that check; "
               "older nodes leave it out"),
    Difference("receipt", "logsBloom", "recomputed from the logs; some chains' nodes send another one"),
    Difference("receipt", "root", "absent where a status replaces it (EIP-658); some nodes send both"),
    Difference("receipt", "to", "of types that tidelog cannot decode: null, where the transaction has no such field"),
    Difference("receipt", "blockTimestamp", "not given; anvil adds it as a number"),
    Difference("log", "blockTimestamp", "always given, as newer nodes do; older ones leave it out"),
    Difference("log", "logIndex", "the place among the block's logs; some chains' nodes count otherwise"),
)  # fmt: skip
"""Every field that may differ; docs/rpc.md shows this list, and tests let nothing else differ."""
