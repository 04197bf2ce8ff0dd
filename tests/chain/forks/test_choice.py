"""The reorg verdict: a table that a newcomer reads in a minute, and every tree of seven blocks.

Chains are written "A B C'": letters are heights from A on, and a name that differs in its primes is another
block at that height. Each block follows the one before it, the first one the plain block below it.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.chain.blocks import BlockRef
from tidelog.chain.forks.choice import (
    Advance,
    ForkChoice,
    Known,
    NotHigher,
    ParentWanted,
    Patience,
    TooDeep,
    agreed_number,
    choose_fork,
    is_linked,
    prevails,
)


def height(name: str) -> int:
    return ord(name[0]) - ord("A")


def chain(text: str) -> list[BlockRef]:
    """The links of "A B C'": each on the one before it, the first on the plain name below it."""
    names = text.split()
    first = chr(ord(names[0][0]) - 1)
    return [
        BlockRef(height(name), name.encode(), parent.encode())
        for parent, name in zip([first, *names], names, strict=False)
    ]


def said(verdict: ForkChoice) -> str:
    match verdict:
        case Known():
            return "known"
        case NotHigher():
            return "not higher"
        case ParentWanted(_, hash=name):
            return f"want {name.decode()}"
        case TooDeep(final):
            return f"too deep, {final.hash.decode()} is final"
        case Advance(keep, refs):
            kept = "nothing" if keep is None else keep.hash.decode()
            return f"keep {kept}" + (" add " + " ".join(ref.hash.decode() for ref in refs) if refs else "")


@pytest.mark.parametrize(
    ("stored", "node", "shown", "verdict"),
    [
        # we hold    the node has   shown  so
        ("A B C", "A B C", 1, "known"),
        ("A B C", "A B", 1, "known"),  # a lagging node is no reorg
        ("A B C", "A", 1, "known"),
        ("A B C", "A B C D", 1, "keep C add D"),
        ("A B C", "A B C D E", 1, "want D"),  # heads come faster than we ask
        ("A B C", "A B C D E", 2, "keep C add D E"),
        ("A B C", "A B C'", 1, "keep B add C'"),
        ("A B C", "A B C' D'", 1, "want C'"),
        ("A B C", "A B C' D'", 2, "keep B add C' D'"),
        ("A B C", "A B' C' D'", 1, "want C'"),
        ("A B C", "A B' C' D'", 2, "want B'"),
        ("A B C", "A B' C' D'", 3, "keep A add B' C' D'"),
        ("A B C D", "A B'", 1, "not higher"),  # a stale node on a side branch: wait
        ("A B C D", "A B C'", 1, "not higher"),
        ("A B C", "A' B' C'", 1, "want B'"),
        ("A B C", "A' B' C'", 2, "too deep, A is final"),
        ("A B C", "A' B' C'", 3, "too deep, A is final"),
        ("A", "A'", 1, "too deep, A is final"),
        ("A", "A B", 1, "keep A add B"),
        ("C D E", "B", 1, "not higher"),  # below all that we hold
    ],
)
def test_fork_choice_of_each_head(stored: str, node: str, shown: int, verdict: str) -> None:
    assert said(choose_fork(chain(stored), chain(node)[-shown:])) == verdict


@pytest.mark.parametrize(
    ("stored", "node", "shown", "verdict"),
    [
        ("A B C", "A B C", 1, "known"),  # nobody left it after all
        ("A B C", "A B", 1, "keep B"),  # the chain shrank
        ("A B C", "A", 1, "keep A"),
        ("A B C D", "A B'", 1, "keep A add B'"),
        ("A B C D", "A B' C'", 1, "want B'"),
        ("A B C D", "A B' C'", 2, "keep A add B' C'"),
        ("A B C", "A B C D", 1, "keep C add D"),
        ("B C D", "A", 1, "too deep, B is final"),
        ("B C D", "B'", 1, "too deep, B is final"),
    ],
)
def test_fork_choice_when_our_head_is_abandoned(stored: str, node: str, shown: int, verdict: str) -> None:
    assert said(choose_fork(chain(stored), chain(node)[-shown:], abandoned=True)) == verdict


@pytest.mark.parametrize(
    ("stored", "node", "shown", "abandoned", "verdict"),
    [
        # A stands for the parent of the first block, and nobody has proven it
        ("A B C", "A B C", 1, False, "known"),
        ("A B C", "A B C'", 1, False, "keep B add C'"),
        ("A B C", "A B' C'", 2, False, "keep A add B' C'"),
        ("A B C", "A' B' C'", 1, False, "want B'"),
        ("A B C", "A' B' C'", 2, False, "keep nothing add B' C'"),  # the range begins on another parent
        ("A B C", "A' B'", 1, False, "not higher"),
        ("A B C", "A' B'", 1, True, "keep nothing add B'"),
        ("A B C", "A'", 1, True, "too deep, A is final"),  # nothing of the range is left
    ],
)
def test_fork_choice_of_a_range_whose_first_parent_is_not_final(
    stored: str, node: str, shown: int, abandoned: bool, verdict: str
) -> None:
    assert said(choose_fork(chain(stored), chain(node)[-shown:], rooted=False, abandoned=abandoned)) == verdict


# -- every tree of seven blocks -----------------------------------------------------------------------------------

BLOCKS = 7


def trees() -> Iterator[tuple[int, ...]]:
    """Every tree of so many blocks: entry i is the parent of block i + 1, always an earlier one."""
    return product(*(range(i + 1) for i in range(BLOCKS - 1)))


def paths(parents: Sequence[int]) -> list[list[BlockRef]]:
    """The chain from the root to each block."""
    found = [[BlockRef(0, b"0", b"root")]]
    for i, parent in enumerate(parents, 1):
        below = found[parent]
        found.append([*below, BlockRef(len(below), str(i).encode(), below[-1].hash)])
    return found


def shared_length(ours: Sequence[BlockRef], theirs: Sequence[BlockRef]) -> int:
    return next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))


def follow(stored: Sequence[BlockRef], node: Sequence[BlockRef], **options: bool) -> tuple[ForkChoice, list[BlockRef]]:
    """Do as the verdicts say, showing one parent more each time; it must end. Returns the last and what was shown."""
    shown = [node[-1]]
    for _ in range(len(node) + 1):
        verdict = choose_fork(stored, shown, **options)
        if not isinstance(verdict, ParentWanted):
            return verdict, shown
        below = node[len(node) - len(shown) - 1]
        assert (verdict.number, verdict.hash) == (below.number, below.hash)
        shown.insert(0, below)
    raise AssertionError("the question for parents has no end")


def expected(stored: Sequence[BlockRef], node: Sequence[BlockRef], final: int, *, abandoned: bool) -> ForkChoice:
    """The verdict by looking at both chains whole. `final` is how many blocks below held[0] were cut off."""
    common = shared_length(stored, node)
    on_held = common == len(node)
    if on_held and (node[-1] == stored[-1] or not abandoned):
        if node[-1].number >= stored[final].number:
            return Known()
        return NotHigher()  # below all that is shown to us of our own chain: it cannot be told from a stale one
    if node[-1].number < stored[-1].number and not abandoned:
        return NotHigher()
    if common <= final:
        return TooDeep(stored[final])
    return Advance(stored[common - 1], tuple(node[common:]))


def test_fork_choice_in_every_tree_of_seven_blocks_and_every_pair_of_heads() -> None:
    cases = 0
    for parents in trees():
        chains = paths(parents)
        for stored, node in product(chains, chains):
            for final, abandoned in product(range(len(stored)), (False, True)):
                verdict, _ = follow(stored[final:], node, abandoned=abandoned)
                assert verdict == expected(stored, node, final, abandoned=abandoned), (parents, stored, node, final)
                check_invariants(verdict, stored[final:], node)
                cases += 1
    assert cases > 150_000


def check_invariants(verdict: ForkChoice, stored: Sequence[BlockRef], node: Sequence[BlockRef]) -> None:
    if isinstance(verdict, Advance):
        assert verdict.keep is not None
        assert verdict.keep in stored, "the final block is never dropped"
        after = [*stored[: stored.index(verdict.keep) + 1], *verdict.refs]
        assert after[-1] == node[-1], "we end where the node is"
        assert is_linked(after)


def test_fork_choice_in_every_tree_whose_first_parent_is_not_final() -> None:
    """Block 0 is only the parent's name: a node on another one replaces the whole range, and nothing is too deep."""
    cases = 0
    for parents in trees():
        chains = paths(parents)
        for stored, tip in product(chains, chains):
            node = [BlockRef(0, b"other", b"root"), *tip[1:]]
            if len(node) == 1 or len(stored) == 1:
                continue
            node[1] = BlockRef(1, tip[1].hash + b"'", b"other")
            for i in range(2, len(node)):
                node[i] = BlockRef(i, node[i].hash + b"'", node[i - 1].hash)
            verdict, _ = follow(stored, node, rooted=False)
            if len(node) < len(stored):
                assert verdict == NotHigher()
            else:
                assert verdict == Advance(None, tuple(node[1:]))
            cases += 1
    assert cases > 20_000


# -- majority, patience, finality ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "higher", "adopted"),
    [
        (0, 1, True, True),
        (0, 1, False, True),
        (1, 1, True, True),
        (1, 1, False, False),  # as it stands
        (2, 1, True, False),  # a minority fork, however high
        (1, 2, False, True),
        (0, 0, True, True),  # one endpoint, which has forgotten the old branch
        (0, 0, False, False),
    ],
)
def test_which_branch_prevails(ours: int, theirs: int, higher: bool, adopted: bool) -> None:
    assert prevails(ours=ours, theirs=theirs, higher=higher) is adopted


def test_patience_runs_out_only_when_nobody_knew_our_head_all_the_while() -> None:
    head, other = b"head", b"other"
    patience = Patience()
    steps = [
        # head, known, now -> exhausted with a patience of 10 s
        (head, True, 0, False),
        (head, False, 5, False),
        (head, False, 14.9, False),
        (head, False, 15, True),
        (head, True, 16, False),  # somebody knows it again
        (head, False, 17, False),
        (head, False, 26, False),
        (other, False, 27, False),  # our head moved: it begins anew
        (other, False, 36.9, False),
        (other, False, 37, True),
    ]
    for at, known, now, exhausted in steps:
        patience = patience.observed(at, known=known, now=now)
        assert patience.exhausted(at, now=now, patience_s=10) is exhausted, now
    assert not patience.exhausted(head, now=100, patience_s=10)
    assert not Patience().exhausted(head, now=100, patience_s=10)


@pytest.mark.parametrize(
    ("numbers", "agreed"),
    [
        ([], None),
        ([None], None),
        ([10], 10),
        ([10, 20], 10),
        ([10, None], None),  # one of two is no majority
        ([10, 20, 30], 20),
        ([10, 20, None], 10),
        ([None, None, 30], None),
        ([10, 20, 30, 40], 20),
        ([0, 0, 1000], 0),
        ([1000, 5, 5], 5),  # one that runs ahead
    ],
)
def test_the_number_that_a_majority_has_reached(numbers: list[int | None], agreed: int | None) -> None:
    assert agreed_number(numbers) == agreed


@given(st.lists(st.none() | st.integers(0, 20), max_size=6))
def test_the_agreed_number_by_counting(numbers: list[int | None]) -> None:
    def reached(n: int) -> int:
        return sum(number is not None and number >= n for number in numbers)

    agreed = agreed_number(numbers)
    assert agreed == max((n for n in range(21) if reached(n) * 2 > len(numbers)), default=None)
    assert agreed_number(numbers[::-1]) == agreed


@pytest.mark.parametrize(
    ("refs", "linked"),
    [
        ([], True),
        (chain("B"), True),
        (chain("B C D"), True),
        (chain("B D"), False),
        ([*chain("B"), *chain("C'")], True),
    ],
)
def test_references_link_where_each_names_the_one_before(refs: list[BlockRef], linked: bool) -> None:
    assert is_linked(refs) is linked


def test_a_gap_in_numbers_is_no_link() -> None:
    assert not is_linked([BlockRef(1, b"a", b""), BlockRef(3, b"b", b"a")])
    assert not is_linked([BlockRef(1, b"a", b""), BlockRef(2, b"b", b"x")])
