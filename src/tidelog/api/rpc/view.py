"""One snapshot of one chain, as JSON-RPC methods read it: by number, tag or hash, or a refusal that says the range."""

from msgspec import Struct

from tidelog.api.http.damage import DamagedBlock
from tidelog.api.rpc.envelope import NOT_FOUND, Refusal
from tidelog.api.rpc.limits import RpcLimits
from tidelog.api.rpc.params import BlockId
from tidelog.batch import Row, Table, Value
from tidelog.chain.forks.position import Position
from tidelog.chain.reading.held import selection_text
from tidelog.chain.reading.position import stored_position
from tidelog.chain.rows.columns import BlockColumns
from tidelog.chain.rows.tables import BLOCKS, TRANSACTIONS
from tidelog.chain.select.selection import is_hash_only
from tidelog.store import Snapshot


class View(Struct, frozen=True):
    """A consistent state of the store, for one request; `position` is the range that it holds."""

    snapshot: Snapshot
    chain_id: int
    position: Position
    limits: RpcLimits

    @property
    def is_whole(self) -> bool:
        """Whether all of the chain up to the head is stored, so that what is not found does not exist."""
        return self.position.first == 0 and not self.position.selection

    @property
    def range_text(self) -> str:
        if self.position.selection:
            return selection_text(self.chain_id, self.position)
        return f"this store holds blocks {self.position.first} to {self.position.head} of chain {self.chain_id}"

    def number(self, block: int | str, *, of_logs: bool = False) -> int | None:
        """The number that a number or a tag means; None if it is above the head.

        Args:
            of_logs: whether it may be one of which only is held what contracts logged.

        `pending` is the head, since a store holds no pending block; `safe` is what is final, since it knows
        nothing between the two. Where no block is known to be final, the genesis is.
        """
        position = self.position
        if block in ("latest", "pending"):
            return position.head
        if block in ("safe", "finalized"):
            if position.finalized is None and not self.is_whole:
                raise Refusal(NOT_FOUND, f"{self.range_text}, and none of them is known to be final")
            block = position.first if position.finalized is None else position.finalized
        number = 0 if block == "earliest" else block
        assert isinstance(number, int)
        if number < (position.lowest if of_logs else position.first):
            raise Refusal(NOT_FOUND, f"{self.range_text}: block {number} is below them")
        return None if number > position.head else number

    async def block(self, block: BlockId) -> Row | None:
        """The row of a block; None if the chain has none such up to the head."""
        if not isinstance(block, bytes):
            number = self.number(block)
            return None if number is None else await self.stored(number)
        found = await self.snapshot.select(BLOCKS, scope=self.chain_id, where={"hash": block}, limit=1)
        held = [row for row in found if BlockColumns._make(row).number >= self.position.first]
        return self._first(held, "block")

    def _first(self, found: list[Row], what: str) -> Row | None:
        if not found and not self.is_whole:
            raise Refusal(NOT_FOUND, f"{self.range_text}: no {what} of theirs has this hash")
        return found[0] if found else None

    async def stored(self, number: int) -> Row:
        """The row of a block within the range; DamagedBlock if it is missing."""
        found = await self.snapshot.select(BLOCKS, scope=self.chain_id, low=number, high=number)
        if not found:
            raise DamagedBlock(self.chain_id, number, "its header is missing")
        return found[0]

    async def transaction(self, tx_hash: bytes) -> Row | None:
        """The row of a transaction, the latest if several have the hash; None if the chain has none such."""
        found = await self.snapshot.select(
            TRANSACTIONS, scope=self.chain_id, where={"hash": tx_hash}, descending=True, limit=1
        )
        return self._first([row for row in found if not is_hash_only(row)], "transaction")

    async def children(self, table: Table, number: int, **where: Value) -> list[Row]:
        """A block's rows in another table, in order."""
        assert table.height is not None
        # an equality, where bounds would have the database walk the whole block for one transaction
        return await self.snapshot.select(table, scope=self.chain_id, where={table.height: number, **where})


async def view_of(snapshot: Snapshot, chain_id: int, limits: RpcLimits) -> View:
    """Refusal if the store holds nothing of the chain."""
    position = await stored_position(snapshot, chain_id)
    if position is None or position.head < position.first:
        raise Refusal(NOT_FOUND, f"this store holds no blocks of chain {chain_id}")
    return View(snapshot, chain_id, position, limits)
