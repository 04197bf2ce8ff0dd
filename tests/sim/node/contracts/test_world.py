"""The contracts of the simulated chain: their logs add up to what they hold, on every branch."""

from collections import Counter
from collections.abc import Iterator

from eth_abi.abi import decode as eth_decode

from tidelog.chain.abi.events import Decoded, LogDecoder, Misfit
from tidelog.chain.abi.known import known_abi
from tidelog.chain.abi.signatures import parse_event
from tidelog.sim.node.chain.block_builder import FORKS, Shape
from tidelog.sim.node.chain.blocks import Log
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.contracts import world as contracts
from tidelog.sim.node.contracts.calls import UPGRADE_AT

SHAPE = Shape(transactions=(0, 6), contracts=True)


def logs_of(tree: BlockTree, address: bytes) -> Iterator[tuple[int, Log]]:
    for number in range(tree.head.number + 1):
        for receipt in tree.canonical(number).receipts:
            yield from ((number, log) for log in receipt.logs if log.address == address)


def read(decoder: LogDecoder, log: Log) -> Decoded | Misfit | None:
    topics: list[bytes | None] = [*log.topics, None, None, None, None]
    return decoder.decode(topics[0], topics[1], topics[2], topics[3], log.data)


def word(topic: bytes) -> int:
    return int.from_bytes(topic)


def holds_together(tree: BlockTree) -> None:
    """Whatever the logs say, said again from them alone."""
    world = tree.head.world
    assert world is not None
    balances: Counter[tuple[bytes, bytes]] = Counter()
    for token in (contracts.TIDE, contracts.SALT):
        for _, log in logs_of(tree, token):
            if log.topics[0] != contracts.TRANSFER:
                continue
            giver, taker = log.topics[1][12:], log.topics[2][12:]
            (amount,) = eth_decode(["uint256"], log.data)
            balances[token, giver] -= amount if giver != contracts.NOBODY else 0
            balances[token, taker] += amount
    assert {key: balance for key, balance in balances.items() if balance} == {
        k: v for k, v in world.balances.items() if v
    }
    owners = {word(log.topics[3]): log.topics[2][12:] for _, log in logs_of(tree, contracts.SHELLS)}
    assert [owners[number] for number in range(len(owners))] == world.owners
    pools = {log.data[-20:]: word(log.topics[3]) for _, log in logs_of(tree, contracts.FACTORY)}
    assert pools == {address: pool.fee for address, pool in world.pools.items()}
    for address, pool in world.pools.items():
        said = [
            eth_decode(["int256", "int256", "uint160", "uint128", "int24"], log.data)
            for _, log in logs_of(tree, address)
            if log.topics[0] == contracts.SWAP
        ]
        assert all(first * second < 0 for first, second, *_ in said)
        if said:
            assert said[-1][2:] == (pool.price, contracts.LIQUIDITY, pool.tick)


def test_logs_add_up_to_what_the_contracts_hold() -> None:
    tree = BlockTree(seed=1, shape=SHAPE, blocks=220)
    holds_together(tree)
    world = tree.head.world
    assert world is not None
    assert len(world.pools) == len(contracts.POOL_FEES)
    tree.reorg(40)
    holds_together(tree)
    assert tree.head.world is not world


def test_a_seed_gives_the_same_calls_and_leaves_a_chain_without_contracts_as_it_was() -> None:
    one, same = (BlockTree(seed=5, shape=SHAPE, blocks=30) for _ in range(2))
    assert one.head.hash == same.head.hash
    without = BlockTree(seed=5, blocks=3)
    assert without.head.hash.hex() == BEFORE_THERE_WERE_CONTRACTS
    assert without.head.world is None


BEFORE_THERE_WERE_CONTRACTS = "9228965541a3e0f613450b37257c26e67aa68ff4362c22285d00885e20754f00"


def test_some_calls_fail_and_log_nothing() -> None:
    tree = BlockTree(seed=2, shape=SHAPE, blocks=120)
    outcomes = Counter[bool]()
    for number in range(1, 121):
        block = tree.canonical(number)
        assert block.world is not None
        for transaction, receipt in zip(block.transactions, block.receipts, strict=True):
            if block.world.takes(transaction.payload.to):
                outcomes[receipt.outcome == 1] += 1
                assert (receipt.outcome == 1) == bool(receipt.logs)
    assert outcomes[True] > outcomes[False] > 0


def test_old_forks_have_contracts_too() -> None:
    forks = tuple([(10 * place, fork) for place, fork in enumerate(FORKS.values())])
    holds_together(BlockTree(seed=3, chain_id=1, forks=forks, shape=SHAPE, blocks=60))


def test_pools_follow_a_price() -> None:
    tree = BlockTree(seed=4, shape=Shape(transactions=(4, 8), contracts=True), blocks=260)
    ticks = []
    for number in (60, 200, 260):
        world = tree.canonical(number).world
        assert world is not None
        ticks.append(world.pools[contracts.named("pool 100")].tick)
    assert ticks[0] < ticks[1] > 0


def test_the_proxy_logs_another_event_under_the_same_topic_once_it_is_upgraded() -> None:
    tree = BlockTree(seed=1, shape=SHAPE, blocks=200)
    upgraded = [number for number, log in logs_of(tree, contracts.GAUGE) if log.topics[0] == contracts.UPGRADED]
    assert len(upgraded) == 1
    assert upgraded[0] >= UPGRADE_AT
    old = LogDecoder([parse_event("Measured(uint256 value)")])
    new = LogDecoder([parse_event("Measured(uint256 indexed value)")])
    for number, log in logs_of(tree, contracts.GAUGE):
        if log.topics[0] == contracts.MEASURED:
            fits = [isinstance(read(decoder, log), Decoded) for decoder in (old, new)]
            assert fits == [number <= upgraded[0] and len(log.topics) == 1, len(log.topics) == 2]


def test_the_board_logs_what_is_awkward() -> None:
    tree = BlockTree(seed=1, shape=SHAPE, blocks=250)
    board = LogDecoder(
        [
            parse_event("Note(string indexed subject, string text)"),
            parse_event("Note(uint256 indexed number, (address author, uint64 at) stamp, bytes32[] tags)"),
            parse_event("Parcel((uint256 weight, string label) indexed parcel, int256[2] place)"),
            parse_event("Tick(address indexed who, uint256 count) anonymous"),
        ]
    )
    found = Counter[str]()
    for _, log in logs_of(tree, contracts.BOARD):
        decoded = read(board, log)
        found[decoded.event.signature if isinstance(decoded, Decoded) else "misfit"] += 1
        assert isinstance(decoded, Decoded | Misfit)
    assert found.keys() == {*(event.signature for event in board.events), "misfit"}


def test_pools_are_what_the_known_abi_reads() -> None:
    tree = BlockTree(seed=6, shape=SHAPE, blocks=80)
    decoder = LogDecoder(known_abi("uniswap_v3_pool").events)
    events = Counter(
        decoded.event.name if isinstance(decoded, Decoded) else "misfit"
        for _, log in logs_of(tree, contracts.named("pool 100"))
        for decoded in [read(decoder, log)]
    )
    assert events["Initialize"] == 1
    assert events["Swap"] > 5
    assert not events["misfit"]
