"""What a store can answer where it holds a selection of a chain: a question outside of the coverage is refused.

The sentence of a refusal says what is held. Where a chain is held whole, nothing is refused here. Asks a `Snapshot`.
"""

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from tidelog.chain.contracts.contract import Contract, place_text
from tidelog.chain.forks.position import Position
from tidelog.chain.reading.contracts import stored_births, stored_contracts, stored_coverage
from tidelog.chain.select.coverage import Span, gaps, merged
from tidelog.errors import ConfigError
from tidelog.store import Snapshot

__all__ = ["NotHeld", "covered_from", "require_whole", "selection_text"]

NAMED_MAX = 5  # contracts, and blocks of one, in one sentence


class NotHeld(ConfigError):
    """A question about what a selection does not hold."""


def selection_text(chain_id: int, position: Position) -> str:
    """What there is, in a sentence's beginning."""
    return f"this store holds a selection of chain {chain_id}, blocks {position.lowest} to {position.head}"


def require_whole(chain_id: int, position: Position, what: str) -> None:
    """NotHeld where only a selection is held: `what` would be answered in part, such as `a block's transactions`."""
    if position.selection:
        raise NotHeld(
            f"{selection_text(chain_id, position)}: of each the header, and what contracts log with its transactions; "
            f"{what} are not among it"
        )


async def covered_from(
    snapshot: Snapshot,
    chain_id: int,
    position: Position,
    addresses: Collection[bytes],
    topics: Sequence[bytes] | None,
    low: int | None,
    high: int,
) -> int:
    """The first block to search for logs, from which up to `high` everything that is asked for is held.

    Args:
        addresses: of the logs; none: any.
        topics: the first topics that are asked for; None: any.
        low: the first block that is asked for; None: as low as it is held.

    Raises:
        NotHeld: the store holds a selection in which not all of this is.
    """
    if not position.selection:
        return position.first if low is None else max(low, position.first)
    lowest = position.lowest
    text = selection_text(chain_id, position)
    registered = await stored_contracts(snapshot, chain_id)
    contracts = [each.contract for each in registered if not each.leaving]
    coverage = await stored_coverage(snapshot, chain_id)
    births = await stored_births(snapshot, chain_id, registered, addresses)
    if not addresses:
        raise NotHeld(f"{text}: name the address of a contract: {_named(contracts)}")
    begins = lowest if low is None else max(low, lowest)
    for address in addresses:
        named = {each.name: births.birth(each.name, address) for each in contracts if each.created_by is not None}
        there = [each for each in contracts if each.address == address or named.get(each.name) is not None]
        if not there:
            raise NotHeld(f"{text}, in which 0x{address.hex()} is not: {_named(contracts)}")
        for topic in [None] if topics is None else topics:
            holding = [each for each in there if _holds(each, topic)]
            if not holding:
                raise NotHeld(f"{text}: of {there[0].name} it has {_events(there)}: ask for a first topic of these")
            parts: list[Span] = []
            for each in holding:
                birth = named.get(each.name)  # of a child all is held from the block on in which it is named
                born = 0 if birth is None else birth[0]
                parts += [replace(span, first=max(span.first, born)) for span in coverage.get(each.name, ())]
            spans = merged(parts)
            if low is None:
                begins = max(begins, *(span.first for span in spans if span.last >= high), begins)
            missing = gaps(spans, begins, high)
            if missing:
                of = f"{holding[0].name} (0x{address.hex()})"
                said = " and ".join([f"{span.first} to {span.last}" for span in spans[:NAMED_MAX]]) or "none"
                wanted = f"blocks {missing[0][0]} to {missing[0][-1]} are asked for"
                raise NotHeld(f"{text}: of {of} blocks {said} are held, and {wanted}")
    return begins


def _holds(contract: Contract, topic: bytes | None) -> bool:
    """Whether all of its logs with this first topic are selected; None: with any at all."""
    own = {event.topic0 for event in contract.events}
    return None in own or (topic is not None and topic in own)


def _named(contracts: Sequence[Contract]) -> str:
    named = ", ".join([f"{each.name} {place_text(each)}" for each in contracts[:NAMED_MAX]])
    more = len(contracts) - NAMED_MAX
    return f"it holds what {named or 'no contract'} logged" + (f", and {more} more" if more > 0 else "")


def _events(contracts: Sequence[Contract]) -> str:
    signatures = dict.fromkeys(event.signature for each in contracts for event in each.events)
    return "the events " + ", ".join(list(signatures)[:NAMED_MAX]) + (" .." if len(signatures) > NAMED_MAX else "")
