"""`tidelog chain events | calls`: decoded from stored logs and transactions. Reads only, nothing is registered."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeVar

from tidelog.chain.abi.calls import CallDecoder
from tidelog.chain.reading.call_search import FoundCall, select_calls
from tidelog.chain.reading.decoded_rows import DecodedPage
from tidelog.chain.reading.event_search import FoundEvent, event_search, select_events
from tidelog.chain.reading.held import require_whole
from tidelog.cli.chain.abi import events_of, functions_of
from tidelog.cli.chain.decoded import print_decoded, say_misfits
from tidelog.cli.chain.queries import StoredRange, addresses_given, height, say_none, stored_range
from tidelog.cli.options import TableForm, limited
from tidelog.cli.out import complain
from tidelog.cli.stores import opened, the_chain
from tidelog.errors import ConfigError
from tidelog.runtime import run
from tidelog.store import Snapshot
from tidelog.store.merged import ALTERNATIVES_MAX

__all__ = ["list_calls", "list_events"]

T = TypeVar("T")


def list_events(
    db: str,
    chain_id: int | None,
    signature: str,
    *,
    abi: str | None,
    address: Sequence[str],
    arguments: Sequence[str],
    low: int | None,
    high: int | None,
    limit: int,
    form: TableForm,
) -> None:
    """ConfigError: a signature, a name, an address or an argument cannot be meant; the store has no such blocks."""
    events = events_of(signature, abi)
    search = event_search(events, addresses_given("--address", address), _arguments(arguments))
    low, high, limit = height("--from", low), height("--to", high), limited(limit)

    async def select(snapshot: Snapshot, stored: StoredRange) -> DecodedPage[FoundEvent]:
        first = search.topics.get("topic0")
        topics = first if isinstance(first, tuple) else None
        begins = await stored.held_from(snapshot, search.addresses, topics, low, high)
        return await select_events(snapshot, stored.chain, search, low=begins, high=high, limit=limit)

    page = run(_read(db, chain_id, low, high, select, "log"), brief=True)
    print_decoded(page.found, FoundEvent, [event.names for event in events], form)
    _say_the_rest(page, "log", limit)


def list_calls(
    db: str,
    chain_id: int | None,
    signature: str,
    *,
    abi: str | None,
    address: Sequence[str],
    low: int | None,
    high: int | None,
    limit: int,
    form: TableForm,
) -> None:
    """ConfigError: a signature, a name or an address cannot be meant or is missing; the store has no such blocks."""
    functions = functions_of(signature, abi)
    addresses = addresses_given("--address", address)
    if not addresses:
        raise ConfigError("a call is found by the contract that it goes to: say --address")
    decoder = CallDecoder(functions)
    low, high, limit = height("--from", low), height("--to", high), limited(limit)

    async def select(snapshot: Snapshot, stored: StoredRange) -> DecodedPage[FoundCall]:
        require_whole(stored.chain, stored.position, "all calls of a contract")
        return await select_calls(snapshot, stored.chain, decoder, addresses, low=low, high=high, limit=limit)

    page = run(_read(db, chain_id, low, high, select, "transaction"), brief=True)
    print_decoded(page.found, FoundCall, [function.names for function in functions], form)
    _say_the_rest(page, "transaction", limit)


async def _read(
    db: str,
    chain_id: int | None,
    low: int | None,
    high: int | None,
    select: Callable[[Snapshot, StoredRange], Awaitable[DecodedPage[T]]],
    what: Literal["transaction", "log"],
) -> DecodedPage[T]:
    """A page of what the store has; where it is empty, standard error says what there is. `what` is "log", say."""
    async with opened(db) as store:
        chain = await the_chain(store, chain_id)
        async with store.snapshot() as snapshot:
            stored = await stored_range(snapshot, chain, low, high)
            page = await select(snapshot, stored)
            if not page.found and not page.misfits:
                say_none(what, stored)
            return page


def _say_the_rest(page: DecodedPage[Any], what: str, limit: int) -> None:
    """What did not fit; and where a search ended that passed over too many to find as many as were asked for."""
    say_misfits(page.misfits, what)
    if page.last is not None and len(page.found) < limit:
        _, number, _ = page.last
        complain(f"tidelog: it ended at block {number!s}, having passed over so many: continue by --from")


def _arguments(given: Sequence[str]) -> dict[str, list[str]]:
    """Texts of values, by name."""
    if len(given) > ALTERNATIVES_MAX:
        raise ConfigError(f"--arg: {len(given)} are given, at most {ALTERNATIVES_MAX} go in one query")
    found: dict[str, list[str]] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise ConfigError(f"--arg {each[:80]!r}: give NAME=VALUE")
        found.setdefault(name, []).append(text)
    return found
