"""What can be done to a node while it runs, as data: by a test, by the `sim_*` methods, or by a schedule."""

from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from tidelog.sim.node.chain.methods import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.lies import LIES

if TYPE_CHECKING:
    from tidelog.sim.node.node import SimNode

BLOCKS_MAX = 10_000  # that one action makes: a remote caller must not fill the memory by one request


class Extend(Struct, frozen=True, array_like=True, tag="extend"):
    """Make blocks on the head, or a side branch on the block `on`."""

    count: int = 1
    on: str | None = None


class Reorg(Struct, frozen=True, array_like=True, tag="reorg"):
    """Replace the last `depth` blocks by `length` others; without a length by one more than were dropped."""

    depth: int
    length: int | None = None


class Rollback(Struct, frozen=True, array_like=True, tag="rollback"):
    """Drop the last `count` blocks."""

    count: int


class Finalize(Struct, frozen=True, array_like=True, tag="finalize"):
    number: int


class Tell(Struct, frozen=True, array_like=True, tag="lie"):
    """Switch a lie on, as `SimNode.tell`."""

    name: str
    replica: int | None = None
    probability: float = 1.0
    times: int | None = None
    blocks: tuple[int, ...] = ()


class Honest(Struct, frozen=True, array_like=True, tag="honest"):
    """Switch all lies off."""

    replica: int | None = None


class Place(Struct, frozen=True, array_like=True, tag="place"):
    """Put a replica `lag` blocks behind the end of a branch; `tip` None is the canonical one."""

    replica: int
    lag: int = 0
    tip: str | None = None


Action: TypeAlias = Extend | Reorg | Rollback | Finalize | Tell | Honest | Place


class Schedule(Struct, frozen=True):
    """What happens by itself as ticks go by.

    `events` are (tick, action), the first tick being 1, in any order.
    """

    reorg_every: int | None = None  # ticks
    reorg_depth: int = 1
    events: tuple[tuple[int, Action], ...] = ()


class Controls:
    """Carries out actions on a node."""

    def __init__(self, node: "SimNode", schedule: Schedule) -> None:
        self._node = node
        self._schedule = schedule
        self._ticks = 0

    def tick(self) -> None:
        self._ticks += 1
        schedule = self._schedule
        if schedule.reorg_every and self._ticks % schedule.reorg_every == 0:
            self.act(Reorg(min(schedule.reorg_depth, self._tree().head.number)))
        else:
            self.act(Extend())
        for tick, action in schedule.events:
            if tick == self._ticks:
                self.act(action)

    def act(self, action: Action) -> Any:
        match action:
            case Tell(name, replica, probability, times, blocks):
                if name not in LIES:
                    raise RpcError(INVALID_PARAMS, f"there is no lie {name!r}")
                self._check_replica(replica)
                self._node.tell(name, replica=replica, probability=probability, times=times, blocks=blocks)
            case Honest(replica):
                self._check_replica(replica)
                self._node.honest(replica)
            case Place(replica, lag, tip):
                self._check_replica(replica)
                self._node.replicas[replica].lag = lag
                self._node.replicas[replica].tip = None if tip is None else self._known(tip)
            case _:
                return self._change(self._tree(), action)
        return True

    def _change(self, tree: BlockTree, action: Extend | Reorg | Rollback | Finalize) -> Any:
        """Change the chain; the hashes of the blocks that were made."""
        made = []
        try:
            match action:
                case Extend(count, on):
                    _check_count(count)
                    made = tree.extend(count, on=None if on is None else self._known(on))
                case Reorg(depth, length):
                    _check_count(depth if length is None else length)
                    made = tree.reorg(depth, length)
                case Rollback(count):
                    tree.rollback(count)
                case Finalize(number):
                    tree.finalize(number)
        except ValueError as error:
            raise RpcError(INVALID_PARAMS, str(error))
        return ["0x" + block.hash.hex() for block in made]

    def _tree(self) -> BlockTree:
        if isinstance(self._node.chain, BlockTree):
            return self._node.chain
        raise RpcError(METHOD_NOT_FOUND, "recorded blocks cannot be changed")

    def _known(self, text: str) -> bytes:
        try:
            block_hash = bytes.fromhex(text.removeprefix("0x"))
        except ValueError:
            raise RpcError(INVALID_PARAMS, f"{text!r} is no block hash")
        if self._node.chain.by_hash(block_hash) is None:
            raise RpcError(INVALID_PARAMS, f"there is no block {text}")
        return block_hash

    def _check_replica(self, replica: int | None) -> None:
        if replica is not None and not 0 <= replica < len(self._node.replicas):
            raise RpcError(INVALID_PARAMS, f"there is no replica {replica}")


def _check_count(count: int) -> None:
    if not 0 <= count <= BLOCKS_MAX:
        raise RpcError(INVALID_PARAMS, f"{count} blocks at once: at most {BLOCKS_MAX}")
