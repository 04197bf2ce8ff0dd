"""What accounts ask of the contracts, drawn at random from what the contracts hold."""

import random
from collections.abc import Sequence

from tidelog.sim.node.contracts.words import call
from tidelog.sim.node.contracts.world import (
    BOARD,
    FACTORY,
    GAUGE,
    IMPLEMENTATIONS,
    POOL_FEES,
    SALT,
    SHELLS,
    SHELLS_MAX,
    TIDE,
    World,
)

__all__ = ["UPGRADE_AT", "drawn_call"]

UPGRADE_AT = 60  # the block from which on the proxy's next call gives it another implementation
NOTES = 5  # kinds of what the board is asked to log
POOL_EVERY = 15  # blocks after which the next pool may be created
SWING_BLOCKS, SWING_TICKS = 200, 1_500  # of the price that traders follow: so long up or down, so far
TRADE_MAX = 10**21
FAUCET = 10**24

Call = tuple[bytes, bytes]  # to whom, and the input


def drawn_call(rng: random.Random, world: World, sender: bytes, others: Sequence[bytes], number: int) -> Call:
    """A call for the block `number`. Most can be carried out; some ask for more than there is, and fail.

    Args:
        others: who may be given something.
    """
    if world.version == 1 and number >= UPGRADE_AT:
        return GAUGE, call("upgradeTo(address)", IMPLEMENTATIONS[1])
    if len(world.pools) < len(POOL_FEES) and number >= POOL_EVERY * len(world.pools):
        return FACTORY, call("createPool(address,address,uint24)", SALT, TIDE, POOL_FEES[len(world.pools)])
    draw = rng.random()
    if draw < 0.4:
        return _payment(rng, world, sender, others)
    if draw < 0.75:
        return _trade(rng, world, sender, number)
    if draw < 0.85:
        return _piece(rng, world, sender, others)
    if draw < 0.93:
        return BOARD, call("post(uint256)", rng.randrange(NOTES))
    return GAUGE, call("measure(uint256)", rng.randrange(10**4))


def _payment(rng: random.Random, world: World, sender: bytes, others: Sequence[bytes]) -> Call:
    token = rng.choice((TIDE, SALT))
    balance = world.balance(token, sender)
    if not balance:
        return token, call("faucet(uint256)", FAUCET)
    if rng.random() < 0.1:
        return token, call("approve(address,uint256)", rng.choice(sorted(world.pools)), 2**256 - 1)
    amount = balance + 1 if rng.random() < 0.05 else rng.randrange(balance // 2 + 1)
    return token, call("transfer(address,uint256)", rng.choice(others), amount)


def _trade(rng: random.Random, world: World, sender: bytes, number: int) -> Call:
    """Towards the price of the moment, which swings."""
    address = rng.choice(sorted(world.pools))
    phase = number % (2 * SWING_BLOCKS)
    wanted = SWING_TICKS * (SWING_BLOCKS - abs(SWING_BLOCKS - phase)) // SWING_BLOCKS
    down = world.pools[address].tick > wanted
    if rng.random() < 0.2:
        down = not down
    token = TIDE if down else SALT
    if world.balance(token, sender) < TRADE_MAX:
        return token, call("faucet(uint256)", FAUCET)
    amount = rng.randrange(TRADE_MAX // 100, TRADE_MAX)
    return address, call("swap(address,bool,int256,uint160,bytes)", sender, int(down), amount, 0, b"")


def _piece(rng: random.Random, world: World, sender: bytes, others: Sequence[bytes]) -> Call:
    mine = [number for number, owner in enumerate(world.owners) if owner == sender]
    if len(world.owners) < SHELLS_MAX and (not mine or rng.random() < 0.5):
        return SHELLS, call("mint()")
    number = rng.choice(mine) if mine else 0
    return SHELLS, call("transferFrom(address,address,uint256)", sender, rng.choice(others), number)
