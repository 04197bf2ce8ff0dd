"""The contracts whose events have tables, of which blocks these have the rows, and how that is known; text or JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tidelog.chain.contracts.contract import WHOLE, Registered
from tidelog.chain.contracts.event_tables import tables_of
from tidelog.chain.forks.position import Position
from tidelog.chain.reading.contracts import contract_spans, stored_contracts, stored_coverage
from tidelog.chain.reading.position import stored_position
from tidelog.chain.select.coverage import Coverage, Span, gaps
from tidelog.cli.chain.lists import CONTRACT_COLUMNS, CONTRACT_TABLE_COLUMNS, COVERAGE_COLUMNS, EVERY, MISFIT_COLUMNS
from tidelog.cli.listing import on_terminal, print_rows, say_none
from tidelog.cli.options import Form
from tidelog.cli.out import say
from tidelog.cli.stores import opened, the_chain
from tidelog.runtime import run
from tidelog.store import Snapshot

__all__ = ["print_contracts", "print_coverage"]


def print_contracts(db: str, chain_id: int | None, form: Form) -> None:
    """Print the contracts of a chain in the store at `db`."""
    run(_print(db, chain_id, form), brief=True)


async def _print(db: str, chain_id: int | None, form: Form) -> None:
    async with opened(db) as store:
        chain = await the_chain(store, chain_id)
        async with store.snapshot() as snapshot:
            position = await stored_position(snapshot, chain)
            coverage = await stored_coverage(snapshot, chain)
            contracts = await stored_contracts(snapshot, chain)
            if not contracts:
                say_none(
                    f"no contract of chain {chain} has tables: `tidelog chain sync --contracts FILE` makes them",
                    form,
                )
            found = [await _facts(snapshot, chain, registered, position, coverage) for registered in contracts]
    if on_terminal(form):
        _print_tables(found, form)
    elif form.as_json:
        print_rows(found, CONTRACT_COLUMNS, form)
    else:
        for facts in found:
            for line in _lines(facts):
                say(line)


async def _facts(
    snapshot: Snapshot, chain_id: int, registered: Registered, position: Position | None, coverage: Coverage
) -> dict[str, Any]:
    contract, tables = registered.contract, tables_of(registered.contract)
    spans = contract_spans(registered, position, coverage)
    state = "filled"
    if position is not None and gaps(spans, max(contract.first_block, position.lowest), position.head):
        state = "filling"
    facts: dict[str, Any] = {
        "contract": contract.name,
        "address": f"0x{contract.address.hex()}" if contract.created_by is None else None,
        "created_by": None if contract.created_by is None else contract.created_by.text,
        "from": contract.first_block,
        "evidence": contract.evidence,
        "state": "leaving" if registered.leaving else state,
        "covered": [spans[-1].first, spans[-1].last] if spans else None,
        "spans": [msgspec.structs.asdict(span) for span in spans],
        "tables": {},
    }
    if tables.children is not None:
        facts["children"] = await snapshot.count(tables.children, scope=chain_id)
        if not registered.is_named:
            facts["children_from"] = registered.named_from
    for table in tables.tables:
        facts["tables"][table.name] = await snapshot.count(table, scope=chain_id)
    if await snapshot.count(tables.misfits, scope=chain_id):
        reasons: dict[str, int] = {}
        async for rows in snapshot.scan(tables.misfits, scope=chain_id):
            for row in rows:
                reason = str(row[-1])
                reasons[reason] = reasons.get(reason, 0) + 1
        facts["misfits"] = reasons
    return facts


def _print_tables(found: Sequence[dict[str, Any]], form: Form) -> None:
    """Of all contracts, of all their tables, and of what has no place there."""
    contracts = [{**each, **_held(each["spans"])} for each in found]
    rows = [
        {"contract": each["contract"], "table": name, "rows": count}
        for each in found
        for name, count in each["tables"].items()
    ]
    misfits = [
        {"contract": each["contract"], "logs": count, "do not fit": reason}
        for each in found
        for reason, count in each.get("misfits", {}).items()
    ]
    print_rows(contracts, CONTRACT_COLUMNS, form)
    for further, columns in ((rows, CONTRACT_TABLE_COLUMNS), (misfits, MISFIT_COLUMNS)):
        if further:
            say("")
            print_rows(further, columns, form)


def _held(spans: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """From where to where, and how all of it is known; nothing where nothing is held."""
    if not spans:
        return {}
    kinds = dict.fromkeys(span["evidence"] for span in spans)
    return {"first": spans[0]["first"], "last": spans[-1]["last"], "evidence": ", ".join(kinds)}


def _lines(facts: dict[str, Any]) -> list[str]:
    held = "; ".join("blocks {first} to {last}, {evidence}".format(**span) for span in facts["spans"])
    held = held or f"no blocks, {facts['evidence']}"
    place = facts["address"] or f"created by {facts['created_by']}"
    lines = [f"{facts['contract']:12} {place}  {facts['state']}: {held}"]
    if "children_from" in facts:
        lines.append(f"  children are known of blocks from {facts['children_from']} on; they are looked for below")
    lines += [f"  {name:40} {rows:>10} rows" for name, rows in facts["tables"].items()]
    lines += [f"  {count} logs do not fit: {reason}" for reason, count in facts.get("misfits", {}).items()]
    return lines


def print_coverage(db: str, chain_id: int | None, form: Form) -> None:
    """Print what a store at `db` covers of a chain: each contract, from block to block, and how it is known."""
    run(_print_coverage(db, chain_id, form), brief=True)


async def _print_coverage(db: str, chain_id: int | None, form: Form) -> None:
    async with opened(db) as store:
        chain = await the_chain(store, chain_id)
        async with store.snapshot() as snapshot:
            position = await stored_position(snapshot, chain)
            coverage = await stored_coverage(snapshot, chain)
            contracts = await stored_contracts(snapshot, chain)
    rows: list[dict[str, Any]] = []
    if position is not None and not position.selection:  # and so has every contract, whether or not it was named
        rows.append({"contract": None, **msgspec.structs.asdict(Span(position.first, position.head, WHOLE))})
    for each in contracts:
        spans = contract_spans(each, position, coverage)
        rows += [{"contract": each.contract.name, **msgspec.structs.asdict(span)} for span in spans]
    print_rows(rows, COVERAGE_COLUMNS, form, _coverage_line)


def _coverage_line(row: Mapping[str, Any]) -> str:
    said = f"{row['evidence']} of {row['endpoint']}" if row.get("endpoint") else row["evidence"]
    return f"{row['contract'] or EVERY:24} {row['first']:>10} {row['last']:>10}  {said}"
