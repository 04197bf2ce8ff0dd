"""What the contracts hold, and what a call to one of them changes and logs.

Two tokens, a collection of ERC-721, a factory whose pools swap them by a price as Uniswap v3 does, a proxy that gets
another implementation, and a board that logs what is awkward to decode. A call that cannot be carried out fails, and
changes nothing. Contracts have the same addresses on every chain. Sources: EIP-20, 721, 1967; Uniswap's v3-core.
"""

from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from functools import lru_cache

import msgspec
from msgspec import Struct

from tidelog.sim.node.chain.blocks import Log
from tidelog.sim.node.chain.transactions import Transaction, keccak
from tidelog.sim.node.contracts.words import (
    WORD,
    Inline,
    Part,
    address_word,
    arguments,
    as_address,
    as_signed,
    encoded,
    selector,
    topic,
    word,
)

__all__ = [
    "BOARD", "FACTORY", "GAUGE", "IMPLEMENTATIONS", "PLACES", "POOL_FEES", "SALT", "SHELLS", "SHELLS_MAX", "TIDE",
    "Pool", "World", "named",
]  # fmt: skip


def named(name: str) -> bytes:
    """The address of the contract of this name."""
    return keccak(f"tidelog sim {name}".encode())[12:]


TIDE, SALT = sorted((named("one token"), named("another token")))  # as a pool has them: token0, token1
SHELLS, FACTORY, GAUGE, BOARD = named("shells"), named("factory"), named("gauge"), named("board")
IMPLEMENTATIONS = named("gauge v1"), named("gauge v2")
PLACES = {"tide": TIDE, "salt": SALT, "shells": SHELLS, "factory": FACTORY, "gauge": GAUGE, "board": BOARD}
NOBODY = bytes(20)

SHELLS_MAX = 256  # of the collection: after that they only change hands, so that a block costs the same for ever
POOL_FEES = (100, 500, 3_000, 10_000)  # in millionths; a pool for each, and the distance of its ticks
TICK_SPACINGS = {100: 1, 500: 10, 3_000: 60, 10_000: 200}
LIQUIDITY = 10**24
Q96 = 1 << 96
POOL_BALANCE = 10**27  # of each token, from the pool's creation on

TRANSFER, APPROVAL = topic("Transfer(address,address,uint256)"), topic("Approval(address,address,uint256)")
POOL_CREATED = topic("PoolCreated(address,address,uint24,int24,address)")
INITIALIZE = topic("Initialize(uint160,int24)")
SWAP = topic("Swap(address,address,int256,int256,uint160,uint128,int24)")
UPGRADED = topic("Upgraded(address)")
MEASURED = topic("Measured(uint256)")
MEASURED_BY = topic("MeasuredBy(address,string)")
NOTE, NOTE_STAMPED = topic("Note(string,string)"), topic("Note(uint256,(address,uint64),bytes32[])")
PARCEL = topic("Parcel((uint256,string),int256[2])")

_CONTEXT = Context(prec=40)
_TICK = _CONTEXT.ln(Decimal("1.0001"))


class Pool(Struct, frozen=True):
    """A pool of TIDE and SALT. `price` is the square root of SALT per TIDE, in 96ths of a bit."""

    fee: int
    price: int = Q96

    @property
    def tick(self) -> int:
        """The power of 1.0001 that the price is at, rounded down."""
        return _tick(self.price)


@lru_cache(1_024)
def _tick(price: int) -> int:
    power = _CONTEXT.divide(2 * _CONTEXT.ln(_CONTEXT.divide(Decimal(price), Decimal(Q96))), _TICK)
    return int(power.to_integral_value("ROUND_FLOOR"))


class Refused(Exception):
    """The call fails."""


class World:
    """What all contracts hold after a block; changed by the calls of the next one, in a copy."""

    def __init__(self) -> None:
        self.balances: dict[tuple[bytes, bytes], int] = {}  # by token and holder
        self.owners: list[bytes] = []  # of the collection's pieces, by number
        self.pools: dict[bytes, Pool] = {}
        self.version = 1  # of the proxy's implementation
        self.notes = 0

    def copy(self) -> "World":
        """One that can be changed while this one stays."""
        other = World()
        other.balances, other.owners, other.pools = dict(self.balances), list(self.owners), dict(self.pools)
        other.version, other.notes = self.version, self.notes
        return other

    def balance(self, token: bytes, holder: bytes) -> int:
        """What somebody has of a token."""
        return self.balances.get((token, holder), 0)

    def takes(self, address: bytes | None) -> bool:
        """Whether a contract of these stands there."""
        return address in _CONTRACTS or address in self.pools

    def execute(self, transaction: Transaction) -> tuple[Log, ...] | None:
        """Carry out a call to one of the contracts: what is logged; None: it fails."""
        payload = transaction.payload
        assert payload.to is not None
        contract = _pool if payload.to in self.pools else _CONTRACTS[payload.to]
        function = contract.get(payload.input[:4])
        if function is None:
            return None
        try:
            return tuple(function(self, payload.to, transaction.sender, arguments(payload.input)))
        except (Refused, ValueError, IndexError):
            return None

    def move(self, token: bytes, giver: bytes, taker: bytes, amount: int) -> Log:
        """Move tokens, or make them where NOBODY gives them. Refused: the giver has too little."""
        if giver != NOBODY:
            left = self.balance(token, giver) - amount
            if left < 0:
                raise Refused
            self.balances[token, giver] = left
        self.balances[token, taker] = self.balance(token, taker) + amount
        return _log(token, TRANSFER, giver, taker, data=(amount,))


def _log(address: bytes, first: bytes, *indexed: bytes | int, data: Sequence[Part] = ()) -> Log:
    topics = [word(each) if isinstance(each, int) else address_word(each) for each in indexed]
    return Log(address, (first, *topics), encoded(data))


Function = Callable[[World, bytes, bytes, list[int]], list[Log]]


# -- tokens ----------------------------------------------------------------------------------------------------------


def _transfer(world: World, token: bytes, sender: bytes, given: list[int]) -> list[Log]:
    to, amount = given
    return [world.move(token, sender, as_address(to), amount)]


def _faucet(world: World, token: bytes, sender: bytes, given: list[int]) -> list[Log]:
    (amount,) = given
    return [world.move(token, NOBODY, sender, amount)]


def _approve(world: World, token: bytes, sender: bytes, given: list[int]) -> list[Log]:
    spender, amount = given
    return [_log(token, APPROVAL, sender, as_address(spender), data=(amount,))]


def _mint_piece(world: World, address: bytes, sender: bytes, given: list[int]) -> list[Log]:
    number = len(world.owners)
    if number == SHELLS_MAX:
        raise Refused
    world.owners.append(sender)
    return [_log(address, TRANSFER, NOBODY, sender, number)]


def _transfer_piece(world: World, address: bytes, sender: bytes, given: list[int]) -> list[Log]:
    giver, taker, number = given
    if world.owners[number] != sender or as_address(giver) != sender:
        raise Refused
    world.owners[number] = as_address(taker)
    return [_log(address, TRANSFER, sender, as_address(taker), number)]


# -- pools -----------------------------------------------------------------------------------------------------------


def _create_pool(world: World, factory: bytes, sender: bytes, given: list[int]) -> list[Log]:
    one, other, fee = given
    pool = named(f"pool {fee}")
    if sorted((as_address(one), as_address(other))) != [TIDE, SALT] or fee not in POOL_FEES or pool in world.pools:
        raise Refused
    made = world.pools[pool] = Pool(fee)
    return [
        _log(factory, POOL_CREATED, TIDE, SALT, fee, data=(TICK_SPACINGS[fee], pool)),
        _log(pool, INITIALIZE, data=(made.price, made.tick)),
        world.move(TIDE, NOBODY, pool, POOL_BALANCE),
        world.move(SALT, NOBODY, pool, POOL_BALANCE),
    ]


def _swap(world: World, address: bytes, sender: bytes, given: list[int]) -> list[Log]:
    """`swap(recipient, zeroForOne, amountSpecified, sqrtPriceLimitX96, data)`, of an exact amount that is paid."""
    recipient, down, amount = as_address(given[0]), bool(given[1]), as_signed(given[2])
    pool = world.pools[address]
    bought, price = _quote(pool, down, amount)
    paid_token, got_token = (TIDE, SALT) if down else (SALT, TIDE)
    if amount <= 0 or not 0 < bought <= world.balance(got_token, address):
        raise Refused
    paid = world.move(paid_token, sender, address, amount)
    got = world.move(got_token, address, recipient, bought)
    pool = world.pools[address] = msgspec.structs.replace(pool, price=price)
    amounts = (amount, -bought) if down else (-bought, amount)
    return [got, paid, _log(address, SWAP, sender, recipient, data=(*amounts, price, LIQUIDITY, pool.tick))]


def _quote(pool: Pool, down: bool, amount: int) -> tuple[int, int]:
    """What is bought, and the price after that."""
    kept = amount * (1_000_000 - pool.fee) // 1_000_000
    price = pool.price
    if down:
        after = -(-LIQUIDITY * Q96 * price // (LIQUIDITY * Q96 + kept * price))
        return LIQUIDITY * (price - after) // Q96, after
    after = price + kept * Q96 // LIQUIDITY
    return LIQUIDITY * Q96 * (after - price) // (after * price), after


# -- the proxy and the board -----------------------------------------------------------------------------------------


def _upgrade(world: World, address: bytes, sender: bytes, given: list[int]) -> list[Log]:
    (implementation,) = given
    if as_address(implementation) != IMPLEMENTATIONS[1] or world.version != 1:
        raise Refused
    world.version = 2
    return [_log(address, UPGRADED, IMPLEMENTATIONS[1])]


def _measure(world: World, address: bytes, sender: bytes, given: list[int]) -> list[Log]:
    """The second implementation has the value indexed: the same first topic, and another event."""
    (value,) = given
    if world.version == 1:
        return [_log(address, MEASURED, data=(value,))]
    return [_log(address, MEASURED, value), _log(address, MEASURED_BY, sender, data=(f"{value} mm",))]


def _post(world: World, address: bytes, sender: bytes, given: list[int]) -> list[Log]:
    (kind,) = given
    world.notes += 1
    count = world.notes
    match kind:
        case 0:  # an indexed string: its hash
            return [_log(address, NOTE, keccak(b"tides"), data=(f"note {count}: h\u00f6her als gestern",))]
        case 1:  # an event of the same name
            tags = [keccak(b"tag %d" % number) for number in range(count % 3)]
            return [_log(address, NOTE_STAMPED, count, data=(Inline((sender, 1_700_000_000 + count)), tags))]
        case 2:  # an indexed tuple: a hash again; negative numbers
            place = Inline((-count, 10**30 + count))
            return [_log(address, PARCEL, keccak(word(count) + b"box".ljust(WORD, b"\0")), data=(place,))]
        case 3:  # anonymous
            return [Log(address, (address_word(sender),), word(count))]
        case 4:  # text that is no text
            return [Log(address, (NOTE, keccak(b"tides")), word(WORD) + word(2) + b"\xff\xfe".ljust(WORD, b"\0"))]
    raise Refused


_token: dict[bytes, Function] = {
    selector("transfer(address,uint256)"): _transfer,
    selector("approve(address,uint256)"): _approve,
    selector("faucet(uint256)"): _faucet,
}
_pool: dict[bytes, Function] = {selector("swap(address,bool,int256,uint160,bytes)"): _swap}
_CONTRACTS: dict[bytes | None, dict[bytes, Function]] = {
    TIDE: _token,
    SALT: _token,
    SHELLS: {
        selector("mint()"): _mint_piece,
        selector("transferFrom(address,address,uint256)"): _transfer_piece,
    },
    FACTORY: {selector("createPool(address,address,uint24)"): _create_pool},
    GAUGE: {selector("upgradeTo(address)"): _upgrade, selector("measure(uint256)"): _measure},
    BOARD: {selector("post(uint256)"): _post},
}
