"""Prove what was asked: the blocks below those that are held are fetched as a selection's are, from the top down.

Each piece is one commit: the blocks are linked to those above, what was asked of them goes, what is proven comes, and
each log that an endpoint had left out, made up or altered is a row of `log_faults`. So a kill at any moment costs a
piece at most, and no block is said to be proven that was not read.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial

from msgspec import Struct

from tidelog.chain.blocks import BlockRef
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.forks.position import Position
from tidelog.chain.source.prefetch import Prefetcher
from tidelog.chain.sync.beside.pieces import Prepared
from tidelog.chain.sync.writer import ChainWriter
from tidelog.chain.verify import VerifiedBlock
from tidelog.errors import Unreachable
from tidelog.telemetry import logger

__all__ = ["PROVING_LIMITS", "Prover", "ProvingLimits"]

_log = logger("contracts")


class ProvingLimits(Struct, frozen=True):
    """How much one piece is: a commit of it does not keep the head waiting."""

    blocks: int = 2_000
    rows: int = 10_000
    answer_bytes: int = 16 * 1024 * 1024


PROVING_LIMITS = ProvingLimits()


class Prover:
    """Beside a `ChainWriter`, by whose commits everything happens.

    Args:
        prefetcher: gives the chain's blocks with what is selected of them, proven.
        down_to: the lowest block that is to be proven; None: all that was asked.
        between: whether no blocks are on their way, which were selected by the children that are known.
    """

    def __init__(
        self,
        writer: ChainWriter,
        prefetcher: Prefetcher,
        *,
        down_to: int | None = None,
        limits: ProvingLimits = PROVING_LIMITS,
        between: Callable[[], bool] = lambda: True,
    ) -> None:
        self._writer = writer
        self._holdings = writer.holdings
        self._prefetcher = prefetcher
        self._down_to = down_to
        self._limits = limits
        self._between = between
        self._failed = False

    @property
    def goes_on(self) -> bool:
        """Whether blocks are left to prove, as far as they could be had the last time."""
        return bool(self._left()) and not self._failed

    def _left(self) -> range:
        position = self._writer.position
        if position is None or position.asked_from is None:
            return range(0)
        bottom = position.asked_from if self._down_to is None else max(position.asked_from, self._down_to)
        return range(bottom, position.first)

    async def prepare(self) -> Prepared | None:
        """Fetch the next blocks to prove; what commits them. None: all are.

        Raises:
            SourceError, ProofFailure: a block could not be had.
        """
        position, left = self._writer.position, self._left()
        if position is None or not left:
            return None
        self._failed = True
        found = await self._fetched(left, position)
        self._failed = False
        return found

    async def _fetched(self, left: range, position: Position) -> Prepared:
        contracts = frozenset(self._holdings.selection.contracts)
        low, above = left[-self._limits.blocks :][0], position.base
        found: list[VerifiedBlock] = []
        rows = size_bytes = 0
        async with aclosing(self._prefetcher.prefetch(low, position.first - 1, downwards=True)) as lists:
            async for blocks in lists:
                for block in reversed(blocks):
                    if block.ref.hash != above.hash:
                        raise Unreachable(
                            f"block {block.ref.number} is 0x{block.ref.hash.hex()}, and the stored block above it "
                            f"names 0x{above.hash.hex()} as its parent"
                        )
                    above = BlockRef(block.ref.number - 1, block.ref.parent_hash, b"")
                    found.append(block)
                    rows += block.rows.row_count
                    size_bytes += block.size_bytes
                if rows >= self._limits.rows or size_bytes >= self._limits.answer_bytes:
                    break
        return partial(self._commit, found[::-1], contracts)

    async def _commit(self, blocks: Sequence[VerifiedBlock], contracts: frozenset[Contract]) -> bool | None:
        """False: what they lead up to is another block by now, or a contract has come that they were not read for.

        None: they name other children than are known, and blocks are on their way.
        """
        position = self._writer.position
        if position is None or position.asked_from is None or position.base.hash != blocks[-1].ref.hash:
            return False
        if not contracts.issuperset(self._holdings.selection.contracts):
            return False
        rows = [self._holdings.selection.of(block.rows) for block in blocks]
        if not await self._writer.prepend(rows, between=self._between()):
            return None
        _log.info("asked_proven", chain=self._writer.chain_id, first=blocks[0].ref.number, last=blocks[-1].ref.number)
        return True
