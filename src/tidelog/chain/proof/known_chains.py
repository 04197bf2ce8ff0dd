"""The well-known chains: which checks hold there, and where each rule is written down.

A rule that no recorded block and no real node has shown counts as unproven: at first contact the chain's own blocks
have to confirm it, and what they show instead takes its place (`tidelog.chain.sync.rulebook`). So an entry need only
say what a quiet chain would not show, how deep finality is, and how long the head may rest. Chain ids are those of
ethereum-lists/chains (EIP-155).
"""

from msgspec import Struct
from msgspec.structs import replace

from tidelog.chain.proof.spec import ALL, ChainSpec, range_of


class Known(Struct, frozen=True):
    """A chain of the table."""

    spec: ChainSpec
    source: str  # where the rules are written down
    confirmed: bool = False  # recorded blocks, or a real node in the tests, have shown every rule
    holes: str = ""  # why the chain cannot be stored


def _without(*checks: str) -> tuple[str, ...]:
    return tuple(check for check in ALL if check not in checks)


_ETHEREUM = Known(  # depth: two epochs, and one for a missed vote
    ChainSpec("ethereum", finality_depth=96, stall_s=180),
    "execution-specs; recorded: blocks 1000000 to 18500000 and the conformance chain of execution-apis",
    confirmed=True,
)
_ANVIL = Known(  # a development node mines when it is asked to
    ChainSpec("anvil", finality_depth=64, stall_s=3_600), "foundry; shown by a real anvil in the tests", confirmed=True
)
_OP = Known(
    ChainSpec("op-stack", forms=("deposit",), storage_withdrawals_root=True, finality_depth=2_000, stall_s=60),
    "OP stack specification: Deposits, Canyon (deposit receipts), Isthmus (withdrawalsRoot is a storage root)",
)
_ARBITRUM = ChainSpec(
    "arbitrum",
    # the price paid counts otherwise, there are no withdrawals, and types 0x64-0x6a are in no encoding of the JSON
    checks=("hash", "parent", "uncles", "receipts", "bloom"),
    opaque_types=tuple(range(0x64, 0x6B)),
    finality_depth=20_000,
    stall_s=60,
)
_NITRO = "OffchainLabs/go-ethereum: core/types/arb_types.go"
# since PIP-74 a state-sync transaction is of type 0x7f and is under the roots, but its fields are in no answer
_POLYGON = ChainSpec("polygon", state_sync=True, opaque_types=(0x7F,), finality_depth=256, stall_s=60)
_BOR = "bor: core/types/bor_receipt.go (state syncs outside of the roots); PIP-74 (type 0x7f, inside of them)"
_CRONOS = ChainSpec(
    "cronos",
    checks=("parent", "uncles", "transactions", "receipts", "bloom"),
    roots=False,  # hash and roots are Tendermint's
    finality_depth=1,
    stall_s=120,
)
_BLOOM_CLEAN = 2_693_800  # from here on Cronos' blooms hold no bits of reverted transactions
_GNOSIS = Known(
    ChainSpec("gnosis", finality_depth=96, stall_s=60),
    "OpenEthereum wiki, Aura: step and seal in the place of mixHash and nonce, up to the merge",
)
_TEMPO = Known(
    ChainSpec("tempo", checks=_without("hash"), finality_depth=256, stall_s=60),
    "tempoxyz/tempo: crates/primitives/src/header.rs (Ethereum's header is one field of a longer one)",
)
_STABLE = Known(
    ChainSpec("stable", checks=_without("hash", "derived"), finality_depth=1, stall_s=60),
    "recorded blocks 42767022 and 59083166 of its test network: Tendermint's hash, log indexes that begin again",
)
_HYPERLIQUID = Known(
    ChainSpec("hyperliquid", finality_depth=1, stall_s=60),
    "nanoreth: src/node/primitives/transaction.rs (system transactions of price 0 are in the lists and in no root)",
)
_AVALANCHE = Known(
    ChainSpec("avalanche", checks=_without("hash"), finality_depth=1, stall_s=60),
    "ava-labs/coreth: core/types/block.go (extDataHash comes before the base fee)",
)
_SONIC = Known(
    ChainSpec("sonic", checks=_without("hash"), finality_depth=1, stall_s=60),
    "0xsoniclabs/sonic: evmcore (a block's hash is that of its consensus event)",
)
_ZKSYNC = Known(
    ChainSpec(
        "zksync",
        checks=_without("hash"),
        foreign_roots=("transactions", "receipts"),
        finality_depth=20_000,
        stall_s=120,
    ),
    "ZKsync docs, Ethereum JSON-RPC API, Important Differences: receiptsRoot, transactionsRoot and stateRoot are zero",
)
_HEDERA = Known(
    ChainSpec("hedera", checks=_without("hash"), foreign_roots=("transactions",), finality_depth=1, stall_s=60),
    "hiero-json-rpc-relay: transactionsRoot of a block that is not empty is the block's hash",
)
_FILECOIN = Known(
    ChainSpec("filecoin", finality_depth=900, stall_s=300),
    "lotus: api/api_errors.go (ErrNullRound, code 12)",
    holes="its numbers have holes (null rounds, for which nodes answer an error, null, or the block before), and a "
    "store holds ranges without holes only: it cannot be stored",
)
_SCROLL = Known(
    ChainSpec("scroll", forms=("scroll",), finality_depth=2_000, stall_s=120),
    "scroll-tech/go-ethereum: core/types/l1_message_tx.go",
)
_BERACHAIN = Known(
    ChainSpec("berachain", forms=("berachain",), finality_depth=64, stall_s=60),
    "berachain/bera-reth: BRIP-4 (proof-of-liquidity transaction, parentProposerPubkey)",
)
_CELO = Known(
    replace(_OP.spec, name="celo", forms=("deposit", "celo")),
    "celo-org/op-geth: CIP-64; before Gingerbread no gas limit in the header",
)
_BSC = Known(ChainSpec("bsc", finality_depth=15, stall_s=60), "bnb-chain/bsc: consensus/parlia")
_LINEA = Known(ChainSpec("linea", finality_depth=10_000, stall_s=120), "Consensys/linea-besu")
_MANTLE = Known(replace(_OP.spec, name="mantle"), "mantlenetworkio/op-geth: core/types/deposit_tx.go")
_ZKEVM = Known(
    ChainSpec("polygon-zkevm", checks=_without("hash"), finality_depth=10_000, stall_s=600),
    "0xPolygonHermez/zkevm-node: state/types.go (the L2 header's roots are not those of the answer)",
)

KNOWN: dict[int, Known] = {
    **dict.fromkeys((1, 11155111, 17000, 560048), _ETHEREUM),  # mainnet, Sepolia, Holesky, Hoodi
    **dict.fromkeys((1337, 31337), _ANVIL),
    **dict.fromkeys((10, 8453, 11155420, 84532, 130, 1301), _OP),  # OP, Base, their Sepolias, Unichain and its Sepolia
    42161: Known(_ARBITRUM, f"{_NITRO}; recorded: block 150000000", confirmed=True),
    **dict.fromkeys((42170, 421614), Known(_ARBITRUM, _NITRO)),  # Nova, Sepolia
    137: Known(_POLYGON, f"{_BOR}; recorded: block 50000000", confirmed=True),
    **dict.fromkeys((80002, 109), Known(_POLYGON, _BOR)),  # Amoy, Shibarium
    25: Known(
        replace(
            _CRONOS,
            ranges=(
                replace(range_of(_CRONOS, 0), bloom_superset=True, unconfirmed=("bloom",)),
                range_of(_CRONOS, _BLOOM_CLEAN),
            ),
        ),
        "crypto-org-chain/cronos, Ethermint x/evm; recorded: blocks 6542 to 131465 (the roots), none of the extra bits",
        confirmed=True,
    ),
    **dict.fromkeys((100, 10200), _GNOSIS),  # Gnosis, Chiado
    **dict.fromkeys((4217, 42431, 42429), _TEMPO),
    **dict.fromkeys((988, 2201), _STABLE),
    **dict.fromkeys((999, 998), _HYPERLIQUID),
    **dict.fromkeys((43114, 43113), _AVALANCHE),
    **dict.fromkeys((146, 250), _SONIC),  # Sonic, Fantom
    **dict.fromkeys((324, 300), _ZKSYNC),
    **dict.fromkeys((295, 296), _HEDERA),
    **dict.fromkeys((314, 314159), _FILECOIN),
    **dict.fromkeys((534352, 534351), _SCROLL),
    **dict.fromkeys((80094, 80069), _BERACHAIN),
    **dict.fromkeys((42220, 11142220), _CELO),
    **dict.fromkeys((56, 97), _BSC),
    **dict.fromkeys((59144, 59141), _LINEA),
    5000: _MANTLE,
    1101: _ZKEVM,
}

PROFILES: dict[int, ChainSpec] = {chain_id: known.spec for chain_id, known in KNOWN.items()}
