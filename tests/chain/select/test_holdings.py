"""What a store holds of contracts: what new blocks cover, and what is looked for again when children come below."""

from typing import Any

from msgspec.structs import replace

from tests.chain.sync.test_contracts import TIDE
from tests.chain.sync.test_factories import FACTORY, POOL
from tidelog.batch import INT_MAX, Batch, Checkpoint, Rollback, Rows
from tidelog.chain.blocks import BlockRef
from tidelog.chain.contracts.births import Births, Child
from tidelog.chain.contracts.contract import ASKED, PROVEN, WHOLE, Registered
from tidelog.chain.contracts.event_tables import tables_of
from tidelog.chain.select.coverage import Coverage, Span
from tidelog.chain.select.holdings import Holdings

ONE, OTHER = b"\x01" * 20, b"\x02" * 20
AT = Checkpoint("chain:1", 1, 1, None)


def registered(*, named_from: int = 0, evidence: str = PROVEN) -> list[Registered]:
    return [
        Registered(replace(TIDE, evidence=evidence), 0),
        Registered(replace(FACTORY, evidence=evidence), 0),
        Registered(replace(POOL, evidence=evidence), 0, named_from=named_from),
    ]


def holdings(coverage: Coverage | None = None, **more: Any) -> Holdings:
    return Holdings(registered(**more), coverage or {}, Births())


def refs(first: int, last: int) -> list[BlockRef]:
    return [BlockRef(number, bytes(32), bytes(32)) for number in range(first, last + 1)]


def naming(*named: tuple[int, bytes], rollback: tuple[int, int] | None = None) -> Batch:
    """A commit that adds, and drops, rows of the pool's children."""
    table = tables_of(POOL).children
    assert table is not None
    gone = None if rollback is None else Rollback((table,), 1, *rollback)
    return Batch(AT, AT, add=(Rows(table, [(1, number, 0, address) for number, address in named]),), rollback=gone)


def test_new_blocks_cover_contracts_from_their_first_block_on() -> None:
    held = holdings({"tide": (Span(0, 9, ASKED),)})
    first = max(10, POOL.first_block)
    assert held.covering(refs(10, 12)) == {
        "tide": (Span(0, 9, ASKED), Span(10, 12, PROVEN)),
        "factory": (Span(10, 12, PROVEN),),
        "pool": (Span(first, 12, PROVEN),),
    }
    assert held.covering([]) == held.coverage, "no blocks cover nothing"
    assert held.covering(refs(0, 1), {}) == {name: (Span(0, 1, PROVEN),) for name in ("tide", "factory", "pool")}


def test_blocks_do_not_cover_a_contract_whose_children_are_not_all_known() -> None:
    assert set(holdings(named_from=5).covering(refs(10, 12))) == {"tide", "factory"}


def test_what_is_selected_of_a_stored_block_is_what_covers_it() -> None:
    held = holdings({"tide": (Span(3, 5, PROVEN),), "pool": (Span(5, 9, PROVEN),)})
    names = {number: {contract.name for contract in held.selection_at(number).contracts} for number in (2, 3, 5, 9, 10)}
    assert names == {2: set(), 3: {"tide"}, 5: {"tide", "pool"}, 9: {"pool"}, 10: set()}


def test_children_are_those_that_commits_have_named() -> None:
    held = holdings()
    held.remember(naming((5, ONE), (7, ONE), (8, OTHER)))
    assert dict(held.births.children("pool")) == {ONE: (5, 0), OTHER: (8, 0)}
    held.remember(naming((8, ONE), rollback=(7, 9)))
    assert dict(held.births.children("pool")) == {ONE: (5, 0)}


def test_only_a_child_that_was_not_known_by_then_is_news() -> None:
    held = holdings()
    held.births.add(Child("pool", ONE, (5, 0)))
    assert held.family(naming((5, ONE)), 0, 9) == (set(), set())
    assert held.family(naming((4, ONE)), 0, 4) == ({"pool"}, set()), "named earlier than was known"
    assert held.family(naming((6, OTHER)), 6, 9) == ({"pool"}, set())
    assert held.family(naming(), 0, 9) == (set(), {"pool"}), "the blocks that should name it do not"
    assert held.family(naming(), 6, 9) == (set(), set()), "other blocks do"


def test_what_descends_from_news_is_looked_for_again() -> None:
    held = holdings()
    tide, factory, pool = held.contracts
    assert held.descends("pool", {"factory"})
    assert not held.descends("factory", {"pool"})
    for each in (tide, factory):
        assert held.again(each, {"pool"}, (), above=10, selects=True) == each, "what is not of the family stays"
    assert held.again(pool, {"pool"}, (), above=10, selects=True).filled_from == POOL.first_block
    assert held.again(pool, {"pool"}, (), above=10, selects=False).filled_from == 10
    gone = held.again(pool, (), {"pool"}, above=10, selects=True)
    assert (gone.filled_from, gone.named_from) == (INT_MAX, 10), "its rows go before"
    leaving = replace(pool, leaving=True)
    assert held.again(leaving, {"pool"}, (), above=10, selects=True) == leaving


def test_how_a_chain_is_to_be_held() -> None:
    assert (holdings().asks, holdings().wants_selection) == (False, True)
    assert (holdings(evidence=ASKED).asks, holdings(evidence=ASKED).wants_selection) == (True, True)
    assert (holdings(evidence=WHOLE).asks, holdings(evidence=WHOLE).wants_selection) == (False, False)
    assert Holdings((), {}, Births()).events is None
