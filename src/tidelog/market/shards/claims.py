"""Which shard may write which symbol: what is stored of it, and how it changes. Pure.

A recording has one such record, in a checkpoint of its own, and every change of it is one fenced commit. A symbol has
one owner at most. Its owner alone writes its rows, and gives it up with all that is known of its past once everything
that its journal has of it is loaded. Whoever claims it next takes that over, so that the rows come out as if one
process had recorded it, but for the pause.
"""

from collections.abc import Collection, Mapping

import msgspec
from msgspec import Struct

from tidelog.errors import Fenced
from tidelog.market.events import NOTHING, EventId
from tidelog.market.projection.state import ProjectionState, SymbolState

__all__ = [
    "Claimant",
    "Claimed",
    "Claims",
    "claim",
    "claims_source",
    "decode_claims",
    "encode_claims",
    "give_up",
    "merged",
    "register",
    "release",
    "shard_source",
    "taken_over",
]

NAMED_MAX = 5  # symbols in a sentence


class Claimant(Struct, frozen=True):
    """A shard, as it opened last."""

    epoch: int  # of its checkpoint: an earlier process of the shard may change nothing any more
    of: int
    symbols: tuple[str, ...]  # that it records
    place: str  # machine and folder: what the same operator starts and stops together
    journal: str  # its path there
    process: int

    def named(self, number: int) -> str:
        """For people."""
        if not self.place:
            return "the recording without shards"
        return f"shard {number}/{self.of} (process {self.process} on {self.place})"


class Claims(Struct, omit_defaults=True):
    """All of one recording."""

    begun: bool = False  # the symbols that were recorded without shards are in here
    undivided: EventId = NOTHING  # what the first shard's journal has up to there was loaded without shards
    shards: dict[int, Claimant] = {}
    owners: dict[str, int] = {}
    had: dict[str, tuple[int, ...]] = {}  # the shards that a symbol has ever been in: whose journals tell its past
    idle: dict[str, SymbolState] = {}  # symbols that were given up, and that nobody has taken over yet

    def shards_of(self, symbol: str) -> tuple[int, ...]:
        """The shards in which a symbol is, or ever was."""
        had, owner = self.had.get(symbol, ()), self.owners.get(symbol)
        return tuple(sorted({*had, *(() if owner is None else (owner,))})) or (1,)


class Claimed(Struct, frozen=True):
    """What came of a claim."""

    taken: dict[str, SymbolState]  # what is known of symbols that are the claimant's now, and were another's
    waits: str | None = None  # for whom, in a sentence: it is giving them up, or will when it is started again
    refused: str | None = None  # by whom, in a sentence


def claims_source(name: str) -> str:
    """The name of the checkpoint of a recording's claims."""
    return f"shards:{name}"


def shard_source(name: str, number: int) -> str:
    """The name of a shard's checkpoint; that of the first one is the recording's own."""
    return f"market:{name}" if number == 1 else f"shard:{name}/{number}"


def register(claims: Claims, number: int, claimant: Claimant) -> None:
    """Note that a shard is opened. Fenced: it was opened again since, by another process."""
    known = claims.shards.get(number)
    if known is not None and known.epoch > claimant.epoch:
        raise Fenced(f"{known.named(number)} was started since, and goes on in its place")
    claims.shards[number] = claimant


def give_up(claims: Claims, number: int, left: Mapping[str, SymbolState]) -> None:
    """A shard has no more of these, and has said so in its own checkpoint. What was given up before stays so."""
    for symbol, known in left.items():
        if claims.owners.get(symbol) == number:
            del claims.owners[symbol]
            claims.idle[symbol] = known


def release(claims: Claims, number: int, kept: Collection[str]) -> None:
    """A shard has no more of what it had claimed, and of which nothing came: what was known of it before stays so."""
    for symbol in [symbol for symbol, owner in claims.owners.items() if owner == number and symbol not in kept]:
        del claims.owners[symbol]


def claim(
    claims: Claims, number: int, wanted: Collection[str], held: Collection[str], earlier: Mapping[str, int]
) -> Claimed:
    """Make these a shard's, as far as they are nobody else's.

    Args:
        held: what the shard's checkpoint has already.
        earlier: symbols that another shard has to have first, by its number.
    """
    claimant, others = claims.shards[number], {}
    for symbol in wanted:
        owner = claims.owners.get(symbol) or earlier.get(symbol, number)
        if owner == number:
            claims.owners[symbol] = number
            had = claims.had.get(symbol, ())
            claims.had[symbol] = had if number in had else (*had, number)
        if owner != number:
            others[symbol] = owner
    taken = {symbol: claims.idle[symbol] for symbol in wanted if symbol in claims.idle and symbol not in others}
    taken = {symbol: known for symbol, known in taken.items() if symbol not in held}
    if not others:
        return Claimed(taken)
    owner = min(others.values())
    symbols = [symbol for symbol, its in others.items() if its == owner]
    other = claims.shards.get(owner)
    name = f"shard {owner}" if other is None else other.named(owner)
    which, it = _some(symbols), "it" if len(symbols) == 1 else "them"
    mine = f"shard {number}/{claimant.of}"
    if other is None or other.place in ("", claimant.place) or not set(symbols) & set(other.symbols):
        return Claimed(
            taken,
            waits=f"{mine} waits for {which}: {name} has {it} until its journal is loaded and it is started "
            f"without {it}",
        )
    return Claimed(
        taken,
        refused=f"{mine} cannot have {which}: {name} records {it}; start that one without {it} first, or give this one "
        "other symbols",
    )


def taken_over(claims: Claims, number: int, held: Collection[str]) -> None:
    """A shard has in its own checkpoint what was known of these."""
    for symbol in held:
        if claims.owners.get(symbol) == number:
            claims.idle.pop(symbol, None)


def merged(first: ProjectionState, others: Collection[ProjectionState], claims: Claims) -> ProjectionState:
    """A recording's state over all of its shards, for readers: as far as each is, with all symbols."""
    states = (first, *others)
    symbols = dict(claims.idle)
    for state in states:
        symbols |= {symbol: known for symbol, known in state.leaving.items() if symbol not in symbols}
    for state in states:
        symbols |= state.symbols
    at_us, frame_us = max(state.at_us for state in states), max(state.frame_us for state in states)
    intervals_s = next((state.intervals_s for state in states if state.intervals_s), ())
    return msgspec.structs.replace(
        first, at_us=at_us, frame_us=frame_us, symbols=symbols, intervals_s=intervals_s, leaving={}
    )


def encode_claims(claims: Claims) -> str:
    return msgspec.json.encode(claims).decode()


decode_claims = msgspec.json.Decoder(Claims).decode  # raises msgspec.DecodeError if the text is none


def _some(symbols: list[str]) -> str:
    more = f" and {len(symbols) - NAMED_MAX} more" if len(symbols) > NAMED_MAX else ""
    return ", ".join(sorted(symbols)[:NAMED_MAX]) + more
