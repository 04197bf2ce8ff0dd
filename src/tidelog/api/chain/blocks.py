"""`/v1/chains/{chain}/blocks`: blocks in order, and one by its number, its hash or a tag."""

import re
from itertools import pairwise
from typing import Annotated, Any, Literal

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from msgspec import structs

from tidelog.api.access.turns import searching
from tidelog.api.chain.answers import CONDITIONAL, ChainAnswer, ChainState, require_whole, revalidated, the_chain
from tidelog.api.http.backend import Backend
from tidelog.api.http.damage import DamagedBlock, each, expected, of_block
from tidelog.api.http.pagination import page_of
from tidelog.api.http.parameters import AtMost, Chain, Cursor, From, Limit, Order, To, from_hex
from tidelog.api.http.problems import Refused
from tidelog.batch import INT_MAX, Row
from tidelog.chain.rows.tables import BLOCKS, TRANSACTIONS, WITHDRAWALS
from tidelog.chain.written import Block, Withdrawal, block_of, transaction_of, withdrawal_of
from tidelog.json_values import hex_text
from tidelog.store import Snapshot

__all__ = ["ROUTES", "find_block"]

TRANSACTIONS_MAX = 20_000  # of one block in full: its answer is some 20 MB; busier chains give hashes
TAGS = ("latest", "safe", "finalized")
_HASH = re.compile("0x[0-9a-fA-F]{64}")

BlockId = Annotated[
    str,
    PathParameter(
        pattern="^([0-9]{1,19}|0x[0-9a-fA-F]{64}|latest|safe|finalized)$",
        description="A number, a hash, or latest, safe, finalized (safe is the same as finalized here).",
    ),
]
Detail = Annotated[
    Literal["none", "hashes", "full"], QueryParameter(description="Of its transactions: none, their hashes, or all.")
]
_HASH_COLUMN = TRANSACTIONS.index("hash")


class BlockAnswer(ChainAnswer, frozen=True, kw_only=True):
    """One block."""

    data: Block


class Blocks(ChainAnswer, frozen=True, kw_only=True):
    """Blocks in order."""

    data: list[Block]
    next: str | None


@get(
    "/v1/chains/{chain:str}/blocks",
    operation_id="list_blocks",
    summary="Blocks in order",
    tags=["chain"],
    opt=CONDITIONAL,
)
async def list_blocks(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    chain: Chain,
    from_: From = None,
    to: To = None,
    order: Order = "desc",
    at_most: AtMost = "latest",
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[Blocks]:
    """The newest first, unless `order` says otherwise; without their transactions."""
    page = page_of(backend.options, BLOCKS, ("blocks", chain, from_, to, order), limit, cursor)
    descending = order == "desc"
    async with searching(request) as snapshot:
        state = await the_chain(snapshot, chain)
        low = max(from_ or 0, state.position.first)  # below are rows of what was asked of contracts: no blocks
        high = state.bound(at_most) if to is None else min(to, state.bound(at_most))
        rows = await snapshot.select(
            BLOCKS, scope=chain, low=low, high=high, after=page.after, descending=descending, limit=page.limit
        )
    _without_holes(chain, rows)
    rows, following = page.cut(rows)
    more = following is not None
    # a list that grows at its end is final only as far as it has been cut off below the end
    highest = _number(rows[0 if descending else -1]) if rows and (descending or more) else high
    at_end = cursor is None if descending else not more
    open_ended = at_end and (to is None or to > high)
    final = state.finality(highest) == "finalized" and not open_ended
    answer = Blocks(data=each(chain, rows, block_of), next=following, **state.envelope(highest))
    return revalidated(request, answer, final=final, named=False)


@get(
    "/v1/chains/{chain:str}/blocks/{block:str}",
    operation_id="get_block",
    summary="One block",
    tags=["chain"],
    opt=CONDITIONAL,
)
async def get_block(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    chain: Chain,
    block: BlockId,
    transactions: Detail = "none",
    at_most: AtMost = "latest",
) -> Response[BlockAnswer]:
    """With its withdrawals, and as much of its transactions as is asked for."""

    async def look(snapshot: Snapshot) -> BlockAnswer:
        state = await the_chain(snapshot, chain)
        row = await find_block(snapshot, state, block, at_most)
        if row is None:
            raise Refused(404, _absent(state, block, at_most))
        found = await _whole(snapshot, state, row, transactions)
        return BlockAnswer(data=found, **state.envelope(found.number))

    answer = await backend.store.read(look)
    return revalidated(request, answer, final=answer.finality == "finalized", named=block not in TAGS)


async def find_block(snapshot: Snapshot, state: ChainState, name: str, at_most: str = "latest") -> Row | None:
    """The row of a block by number, hash or tag; None if it is not stored, or above what may be shown.

    DamagedBlock if it is missing where the store has to hold it.
    """
    bound = state.bound(at_most)
    if _HASH.fullmatch(name):
        rows = await snapshot.select(BLOCKS, scope=state.chain_id, where={"hash": from_hex(name)}, limit=1)
        return rows[0] if rows and state.position.first <= _number(rows[0]) <= bound else None
    number = min(bound, state.bound(name)) if name in TAGS else int(name)
    if not state.position.first <= number <= min(bound, INT_MAX):
        return None
    rows = await snapshot.select(BLOCKS, scope=state.chain_id, low=number, high=number, limit=1)
    if not rows:
        raise DamagedBlock(state.chain_id, number, "its header is missing")
    return rows[0]


async def _whole(snapshot: Snapshot, state: ChainState, row: Row, detail: str) -> Block:
    """With its withdrawals, and its transactions as far as `detail` says."""
    chain = state.chain_id
    (block,) = each(chain, [row], block_of)
    number = block.number
    withdrawals: list[Withdrawal] | None = None if block.withdrawal_count is None else []
    if block.withdrawal_count:
        rows = await snapshot.select(WITHDRAWALS, scope=chain, low=number, high=number)
        with of_block(chain, number):
            expected(block.withdrawal_count, rows, "withdrawals")
        withdrawals = each(chain, rows, withdrawal_of)
    block = structs.replace(block, withdrawals=withdrawals)
    if detail == "none":
        return block
    require_whole(state, "the transactions of a block")
    count = block.transaction_count or 0
    if detail == "full" and count > TRANSACTIONS_MAX:
        raise Refused(400, f"transactions: this block has more than {TRANSACTIONS_MAX}; ask for hashes")
    rows = []
    if count:
        rows = await snapshot.select(TRANSACTIONS, scope=chain, low=number, high=number)
    with of_block(chain, number):
        expected(count, rows, "transactions")
    if detail == "hashes":
        return structs.replace(block, transaction_hashes=each(chain, rows, lambda tx: hex_text(tx[_HASH_COLUMN])))
    return structs.replace(block, transactions=each(chain, rows, transaction_of))


def _without_holes(chain: int, rows: list[Row]) -> None:
    """Raises DamagedBlock for the first block that is missing between others."""
    for row, following in pairwise(rows):
        number, other = _number(row), _number(following)
        if abs(other - number) != 1:
            raise DamagedBlock(chain, number + (1 if other > number else -1), "its header is missing")


def _number(row: Row) -> int:
    number = row[BLOCKS.index("number")]
    assert isinstance(number, int)
    return number


def _absent(state: ChainState, block: str, at_most: str) -> str:
    first, bound = state.position.first, state.bound(at_most)
    if bound < first:
        return f"chain {state.chain_id}: no block is {at_most if at_most != 'latest' else block} yet"
    within = "" if at_most == "latest" else f" that are {at_most}"
    return f"chain {state.chain_id} has no block {block} here: blocks {first} to {bound} are stored{within}"


ROUTES = [list_blocks, get_block]
