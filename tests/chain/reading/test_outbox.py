"""The next changes for a follower, out of a store of either kind."""

from tests.store.rows import Chain
from tidelog.batch import Batch, Row
from tidelog.chain.forks.bookmarks import BEGIN, Agreed, Ahead, Mark, Place, WentBack
from tidelog.chain.forks.position import Position, encode_position
from tidelog.chain.reading.outbox import Page, last_change, newest, next_changes
from tidelog.chain.rows.tables import CHANGES
from tidelog.store import Store

CHAIN_ID = 1
ZERO = "0x" + "0" * 64


async def written(store: Store, chain: Chain | None, blocks: int) -> Chain:
    """So many changes by a writer of their own."""
    grown = Chain(await store.acquire("chain:1"), seed=0 if chain is None else chain.seq)
    if chain is not None:
        grown.head, grown.seq = chain.head, chain.seq
    batch = grown.extend(blocks)
    grown.checkpoint = batch.before.advanced(encode_position(Position(0, ZERO, grown.head, ZERO, changes=grown.seq)))
    await store.commit(Batch(batch.before, grown.checkpoint, batch.add, batch.put))
    return grown


async def three_writers(store: Store) -> tuple[int, ...]:
    """Changes 1 to 4, 5 and 6, and 7 to 9; who wrote them."""
    chain, writers = None, []
    for blocks in (4, 2, 3):
        chain = await written(store, chain, blocks)
        writers.append(chain.checkpoint.writer)
    return tuple(writers)


async def page(store: Store, place: Place, limit: int = 100) -> Page:
    async with store.snapshot() as snapshot:
        return await next_changes(snapshot, CHAIN_ID, place, limit)


def seqs(rows: Page) -> list[object]:
    return [row[1] for row in rows.rows]


async def test_the_outbox_is_read_page_by_page(store: Store) -> None:
    a, b, c = await three_writers(store)
    place, seen = BEGIN, list[object]()
    while (found := await page(store, place, 2)).rows:
        assert found.verdict == Agreed()
        assert len(found.rows) <= 2
        seen += seqs(found)
        place = found.place
    assert seen == [*range(1, 10)]
    assert place == Place(9, (Mark(9, c), Mark(6, b), Mark(4, a)), whole=True)


async def test_whoever_begins_now_is_behind_the_last_change(store: Store) -> None:
    async with store.snapshot() as snapshot:
        assert await last_change(snapshot, CHAIN_ID) is None
        assert await newest(snapshot, CHAIN_ID) == Place(0)
    _, _, c = await three_writers(store)
    async with store.snapshot() as snapshot:
        assert await last_change(snapshot, CHAIN_ID) == 9
        assert await newest(snapshot, CHAIN_ID) == Place(9, (Mark(9, c),))


async def test_a_place_that_is_contradicted_goes_on_behind_the_last_common_change(store: Store) -> None:
    a, b, c = await three_writers(store)
    other = c - 1
    for place, common in (
        (Place(8, (Mark(8, other), Mark(6, b))), 6),  # 7 and 8 were another's, whom the store has lost
        (Place(8, (Mark(8, b), Mark(4, a))), 6),  # b has written more than the store has
        (Place(20, (Mark(20, b), Mark(4, a))), 6),  # ... more than are given out again yet
        (Place(8, (Mark(8, other), Mark(5, b), Mark(4, a))), 5),  # ... or less than the store has
        (Place(5, (Mark(5, other), Mark(3, a)), True), 3),
        (Place(5, (Mark(5, other),), True), 0),
    ):
        found = await page(store, place)
        assert isinstance(found.verdict, WentBack), place
        assert found.verdict.place.seq == common, place
        assert seqs(found) == [*range(common + 1, 10)]
        again = await page(store, found.verdict.place)  # once is enough
        assert (again.verdict, again.rows) == (Agreed(), found.rows)


async def test_a_place_ahead_of_the_store_waits(store: Store) -> None:
    _, _, c = await three_writers(store)
    for place in (Place(12, (Mark(12, c),)), Place(12, (Mark(12, c - 1), Mark(9, c))), Place(12)):
        found = await page(store, place)
        assert (found.verdict, found.rows, found.place) == (Ahead(9), [], place)


async def test_changes_from_before_there_were_numbers_are_of_one_writer(store: Store) -> None:
    chain = Chain(await store.acquire("chain:1"))
    batch = chain.extend(3)
    rows: list[Row] = [(*row[:-1], 0) for group in batch.add if group.table is CHANGES for row in group.rows]
    after = batch.before.advanced(encode_position(Position(0, ZERO, 2, ZERO, changes=3)))
    add = tuple(group if group.table is not CHANGES else type(group)(CHANGES, rows) for group in batch.add)
    await store.commit(Batch(batch.before, after, add, batch.put))
    old = await page(store, BEGIN)
    assert old.place == Place(3, (Mark(3, 0),), whole=True)
    later = await written(store, chain, 2)
    found = await page(store, old.place)
    assert found.place == Place(5, (Mark(5, later.checkpoint.writer), Mark(3, 0)), whole=True)
    assert (await page(store, Place(4, (Mark(4, 0),), True))).begun.seq == 3
