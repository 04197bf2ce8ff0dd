"""`tidelog top`: look at chains and recordings on the terminal. What it does is imported when it runs."""

from typing import Annotated

from cyclopts import Parameter

from tidelog.cli.options import Several

__all__ = ["top"]

USUAL_API = "http://127.0.0.1:8420"  # where `serve` and `run` listen by default


def top(
    what: str | None = None,
    search: str | None = None,
    *,
    speed: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    api: Annotated[str, Parameter(env_var="TIDELOG_API")] = USUAL_API,
    db: str | None = None,
    journal: Several = (),
    mean: int = 10,
    large_qty: float | None = None,
    large_value: float | None = None,
    ascii_only: Annotated[bool, Parameter(name="--ascii", negative="")] = False,
) -> None:
    """Watch chains and recordings on the terminal: an overview, order books, candles, blocks. It only reads.

    It watches an API (`tidelog run`, `tidelog serve`, `tidelog demo --live`), with --db a store itself, or a journal
    alone, as it grows or replayed. Keys are at the bottom, ? explains them. TIDELOG_TOKEN has the token, where the API
    asks for one.

    Args:
        what: a journal's file; or what to open first: a symbol, a block's number, a hash, an address.
        search: what to open first of a journal.
        speed: replay the journal: 1 as it happened, 10 ten times as fast. Without it, the journal is followed as it
            grows.
        from_: where to begin in the journal, in UTC, such as 12:30 or 2024-05-01T12:30:00Z. A replay begins at its
            beginning, if it is not given; what is followed, a quarter of an hour before its end.
        api: the API's address.
        db: read this store in the place of an API: sqlite:///PATH or postgresql://USER@HOST/NAME.
        journal: with --db, NAME=PATH: show the books of the recording NAME (kraken, when it is left out) as they live.
        mean: candles that the mean is over.
        large_qty: mark trades of at least this quantity.
        large_value: mark trades of at least this value, quantity times price.
        ascii_only: draw with ASCII alone, as happens by itself where the terminal has nothing else.
    """
    from tidelog.cli.top.watching import watch

    watch(
        what,
        search,
        speed=speed,
        begin=from_,
        api=api,
        db=db,
        journals=journal,
        mean=mean,
        large_qty=large_qty,
        large_value=large_value,
        ascii_only=ascii_only,
    )
