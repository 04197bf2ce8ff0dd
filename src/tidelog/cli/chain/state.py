"""What a store holds of each chain: facts by name."""

from tidelog.chain.forks.position import decode_position, source_of
from tidelog.chain.proof.spec import LOWERABLE, rules_text, spec_of
from tidelog.chain.rows.tables import BLOCKS, CHAINS, REORGS
from tidelog.chain.select.coverage import CONTRACT_COVERAGE, read_coverage
from tidelog.cli.chain.lists import STATUS_COLUMNS
from tidelog.cli.listing import print_facts
from tidelog.cli.options import Form
from tidelog.cli.stores import opened
from tidelog.errors import Corruption
from tidelog.runtime import run
from tidelog.store import Snapshot

__all__ = ["print_status"]

REORG = ("fork_number", "depth", "old_head")


def print_status(db: str, form: Form) -> None:
    """Print the facts of every chain in the store at `db`."""
    run(_status(db, form), brief=True)


async def _status(db: str, form: Form) -> None:
    async with opened(db) as store, store.snapshot() as snapshot:
        for row in await snapshot.select(CHAINS):
            chain_id = row[CHAINS.index("chain_id")]
            assert isinstance(chain_id, int)
            checkpoint = await snapshot.checkpoint(source_of(chain_id))
            position = None if checkpoint is None else decode_position(checkpoint)
            if checkpoint is None or position is None:
                raise Corruption(f"chain {chain_id} is named in the store and has no checkpoint")
            spec = spec_of(row)
            rules = spec.at(position.head + 1)
            heads = await snapshot.select(
                BLOCKS, scope=chain_id, low=position.head, high=position.head, columns=("timestamp", "proof")
            )
            timestamp, proof = heads[0] if heads else (None, None)
            reorgs = await snapshot.select(REORGS, scope=chain_id, descending=True, limit=1, columns=REORG)
            covered = read_coverage(await snapshot.select(CONTRACT_COVERAGE, scope=chain_id))
            coverage = {
                name: " ".join([f"{each.first}-{each.last} {each.evidence}" for each in spans])
                for name, spans in covered.items()
            }
            children = await _children(snapshot, chain_id)
            facts = {
                "chain_id": chain_id,
                "profile": spec.name,
                "checks": list(rules.checks),
                "not_checked": [check for check in LOWERABLE if check not in rules.checks],
                "accepted_unproven": list(rules.accepted),
                "not_yet_confirmed": list(rules.unconfirmed),
                "rules": [rules_text(found) for found in spec.ranges],
                "held": "selection" if position.selection else "whole",
                "coverage": coverage,
                **({"children": children} if children else {}),
                "first": position.first,
                "asked_from": position.asked_from,
                "head": position.head,
                "head_hash": position.head_hash,
                "head_timestamp": timestamp,
                "head_proof": proof,
                "finalized": position.finalized,
                "changes": position.changes,
                "commits": checkpoint.commit_seq,
                "epoch": checkpoint.epoch,
                "last_reorg": None if not reorgs else dict(zip(("fork", "depth", "old_head"), reorgs[0], strict=True)),
            }
            print_facts(facts, form, STATUS_COLUMNS)


async def _children(snapshot: Snapshot, chain_id: int) -> dict[str, int]:
    """Of each contract that others create how many addresses are known."""
    if not any((await snapshot.relations()).values()):  # no contract has tables: what decodes is not loaded
        return {}
    from tidelog.chain.contracts.event_tables import tables_of
    from tidelog.chain.reading.contracts import stored_contracts

    found = {}
    for each in await stored_contracts(snapshot, chain_id):
        table = tables_of(each.contract).children
        if table is not None and not each.leaving:
            found[each.contract.name] = await snapshot.count(table, scope=chain_id)
    return found
