"""The contracts whose events have tables, and of which blocks these have the rows, as text or JSON."""

import json
from typing import Any

from tidelog.chain.contracts.contract import Registered
from tidelog.chain.contracts.event_tables import tables_of
from tidelog.chain.forks.position import Position
from tidelog.chain.reading.contracts import stored_contracts
from tidelog.chain.reading.position import stored_position
from tidelog.cli.listing import say_none
from tidelog.cli.stores import opened, the_chain
from tidelog.runtime import run
from tidelog.store import Snapshot

__all__ = ["print_contracts"]


def print_contracts(db: str, chain_id: int | None, as_json: bool) -> None:
    """Print the contracts of a chain in the store at `db`."""
    run(_print(db, chain_id, as_json), brief=True)


async def _print(db: str, chain_id: int | None, as_json: bool) -> None:
    async with opened(db) as store:
        chain = await the_chain(store, chain_id)
        async with store.snapshot() as snapshot:
            position = await stored_position(snapshot, chain)
            contracts = await stored_contracts(snapshot, chain)
            if not contracts:
                say_none(
                    f"no contract of chain {chain} has tables: `tidelog chain sync --contracts FILE` makes them",
                    as_json,
                )
            for registered in contracts:
                facts = await _facts(snapshot, chain, registered, position)
                print(json.dumps(facts) if as_json else _shown(facts))


async def _facts(
    snapshot: Snapshot, chain_id: int, registered: Registered, position: Position | None
) -> dict[str, Any]:
    contract, tables = registered.contract, tables_of(registered.contract)
    first = last = None
    if position is not None:
        lowest = contract.first_block if registered.is_filled else registered.filled_from
        first, last = max(lowest, position.first), position.head
    facts: dict[str, Any] = {
        "contract": contract.name,
        "address": f"0x{contract.address.hex()}",
        "from": contract.first_block,
        "evidence": "whole",
        "state": "leaving" if registered.leaving else "filled" if registered.is_filled else "filling",
        "covered": None if first is None or last is None or first > last else [first, last],
        "tables": {},
    }
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


def _shown(facts: dict[str, Any]) -> str:
    covered = "no blocks" if facts["covered"] is None else "blocks {} to {}".format(*facts["covered"])
    lines = [f"{facts['contract']:12} {facts['address']}  {facts['state']}: {covered}, {facts['evidence']}"]
    lines += [f"  {name:40} {rows:>10} rows" for name, rows in facts["tables"].items()]
    lines += [f"  {count} logs do not fit: {reason}" for reason, count in facts.get("misfits", {}).items()]
    return "\n".join(lines)
