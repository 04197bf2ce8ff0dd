"""Each stored column has a judge: what is altered in the store of a run that was well is noticed."""

import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

import tidelog
from tidelog.batch import Checkpoint
from tidelog.sim.oracle.contracts import asked_now, faults_follow
from tidelog.sim.runs.chain import ChainRun
from tidelog.sim.runs.market import MarketRun
from tidelog.sim.runs.play import generate, play
from tidelog.sim.scenario import schedule as plan
from tidelog.sim.world.world import Violation
from tidelog.store.tokens import TOKENS
from tidelog.tables import TABLES

CHAINS = (1, 2, 5)  # with reorgs; with uncles; with rules that were found
WITH_CONTRACTS = 2
A_SELECTION = 0
ASKED = (1, 4)  # in which endpoints have logs wrong
MARKETS = (12, 6)  # v2 with instruments, and v1
CHAIN_TABLES = ("chains", "blocks", "transactions", "logs", "withdrawals", "uncles", "changes", "reorgs")
SEGMENT_TABLES = {
    "segments": ("scope", "first", "last", "segment", "rows", "fingerprints"),
    "segment_fingerprints": ("scope", "part", "segment", "fingerprints"),
    "sections": ("scope", "section", "first", "parts"),
    "section_fingerprints": ("scope", "section", "bucket", "fingerprints"),
}
MARKET_TABLES = ("instruments", "trades", "candles", "book_snapshots", "coverage", "gaps")
JUDGES = "| table | columns | judge | by |"
BOUNDED = {  # nobody knows more of these than between what they lie
    *("checkpoints.epoch", "checkpoints.commit_seq", "blocks.ingested_at", "reorgs.at", "contracts.filled_from"),
}
Judge = Callable[[apsw.Connection], None]


def altered(value: Any, column: str) -> Any:
    """Another value of the same kind."""
    match value:
        case int():
            return value + (10**12 if column in BOUNDED else 1)
        case str():
            return value + "x"
        case bytes():
            return value[:-1] + bytes(((value[-1] if value else 0) ^ 1,))
    return None


def columns_of(connection: apsw.Connection, table: str) -> Iterator[tuple[str, str]]:
    """The name and the type of each column that is stored."""
    for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})"):
        yield str(name), str(kind)


def unnoticed(connection: apsw.Connection, table: str, judge: Judge) -> set[str]:
    """The columns of which a judge overlooks an altered value; of a table without rows, all."""
    found: set[str] = set()
    for name, kind in columns_of(connection, table):
        column = f"{table}.{name}"
        rows: list[Any] = connection.execute(f"SELECT {name} FROM {table} ORDER BY 1 DESC LIMIT 1").fetchall()
        if not rows:
            found.add(column)
            continue
        value = altered(rows[0][0], column)
        if value is None:
            value = {"INTEGER": 1, "TEXT": "x"}.get(kind, b"\x01" * 32)
        if not noticed(connection, f"UPDATE {table} SET {name} = ? WHERE {name} IS ?", (value, rows[0][0]), judge):
            found.add(column)
    return found


def noticed(connection: apsw.Connection, change: str, values: tuple[Any, ...], judge: Judge) -> bool:
    """Whether a judge finds something in the store with that change, which is taken back."""
    connection.execute("SAVEPOINT altered")
    try:
        try:
            connection.execute(change, values)
        except apsw.ConstraintError:  # it would be another row's: the first one alone is altered
            connection.execute(change.replace("UPDATE", "UPDATE OR REPLACE"), values)
        assert connection.changes() > 0
        judge(connection)
    except Violation:
        return True
    finally:
        connection.execute("ROLLBACK TO altered; RELEASE altered")
    return False


def copied(connection: apsw.Connection) -> apsw.Connection:
    copy = apsw.Connection(":memory:")
    with copy.backup("main", connection, "main") as backup:
        backup.step()
    return copy


def overlooked(tables: Sequence[str], connection: apsw.Connection, judge: Judge) -> set[str]:
    """The columns of which the judge overlooks something; it has to be content with the store as it is."""
    copy = copied(connection)
    judge(copy)
    return set[str]().union(*(unnoticed(copy, table, judge) for table in tables))


def assert_position_judged(connection: apsw.Connection, judge: Judge) -> None:
    """Every part of the checkpoint's position is judged, those of a recording's symbols as well."""
    copy = copied(connection)
    (text,) = next(copy.execute("SELECT position FROM checkpoints"))
    for part, other in changed_parts(msgspec.json.decode(text), "position"):
        encoded = msgspec.json.encode(other).decode()
        assert noticed(copy, "UPDATE checkpoints SET position = ?", (encoded,), judge), f"{part} is judged"


def changed_parts(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The value with each of its parts altered in turn, and what that part is."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            for part, other in changed_parts(value[key], f"{name}.{key}"):
                copy = dict(value) if isinstance(value, dict) else list(value)
                copy[key] = other
                yield part, copy
    elif value is not None:
        yield name, not value if isinstance(value, bool) else altered(value, name)


def test_each_column_of_a_chain_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[set[str]] = []

    def look(run: ChainRun) -> None:
        found.append(overlooked((*CHAIN_TABLES, *SEGMENT_TABLES, "checkpoints"), run._open(), run.judge_store))
        assert_position_judged(run._open(), run.judge_store)
        if run.schedule.contracts:
            assert overlooked(("contracts", "e_tide_transfer"), run._open(), run.judge_store) == set()

    monkeypatch.setattr(ChainRun, "_judge_end", look)
    for seed in CHAINS:
        verdict = play(generate(plan.CHAIN, seed, contracts=seed == WITH_CONTRACTS))
        assert verdict.ok, verdict.violations
    assert set.intersection(*found) == set()


def test_each_column_of_a_selection_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = ("blocks", "transactions", "logs", "contracts", "contract_coverage", "e_tide_transfer", "merkle_proofs")

    def look(run: ChainRun) -> None:
        assert overlooked(tables, run._open(), run.judge_store) == set()
        assert_position_judged(run._open(), run.judge_store)

    monkeypatch.setattr(ChainRun, "_judge_end", look)
    verdict = play(generate(plan.CHAIN, A_SELECTION, selection=True))
    assert verdict.ok, verdict.violations


def test_each_column_of_what_is_asked_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is asked, and when it is proven: the endpoint that is named, and each log that it had wrong."""
    tables = ("contract_coverage", "log_faults")
    found: list[set[str]] = []

    def look(run: ChainRun) -> None:
        was = run._asked
        assert was is not None

        def judge(connection: apsw.Connection) -> None:
            run.judge_store(connection)
            now = asked_now(connection, run.tree)
            assert now is not None
            faults_follow(was, now._replace(commit_seq=was.commit_seq + 1))

        found.append(overlooked(tables, run._open(), judge))

    monkeypatch.setattr(ChainRun, "_judge_end", look)
    for seed in ASKED:
        verdict = play(generate(plan.CHAIN, seed, asked=True))
        assert verdict.ok, verdict.violations
    assert set.intersection(*found) == set()


def test_a_size_may_be_missing_where_the_endpoint_left_it_out_and_only_there(monkeypatch: pytest.MonkeyPatch) -> None:
    without: set[bytes] = set()  # blocks that are stored without a size
    left_out: set[bytes] = set()
    lost: list[bool] = []  # whether it is noticed that a block has lost the size that was given

    def look(run: ChainRun) -> None:
        copy = copied(run._open())
        run.judge_store(copy)
        rows: list[Any] = copy.execute("SELECT hash, extra FROM blocks").fetchall()
        without.update(block for block, extra in rows if "size" not in msgspec.json.decode(extra))
        left_out.update(run.node.sizeless)
        given = next(block for block, _ in rows if block not in left_out)
        change = "UPDATE blocks SET extra = json_remove(extra, '$.size') WHERE hash = ?"
        lost.append(noticed(copy, change, (given,), run.judge_store))

    monkeypatch.setattr(ChainRun, "_judge_end", look)
    words = (("optional_missing", 0.5), ("odd_own_fields", 1.0))
    lies = [plan.Event(plan.Time(0.0), plan.Lie(name, 0, chance, 60.0)) for name, chance in words]
    verdict = play(plan.Schedule(kind=plan.CHAIN, seed=1, busy_s=30.0, events=tuple(lies), replicas=1, blocks=20))
    assert verdict.ok, verdict.violations
    assert without
    assert without <= left_out
    assert lost == [True]


def test_each_column_of_a_market_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[set[str]] = []

    async def look(run: MarketRun) -> None:
        folded = run._folded_apart()
        monkeypatch.setattr(run, "_folded_apart", lambda: folded)  # the journal stays as it is
        store = run._open(run._store_path)
        found.append(overlooked((*MARKET_TABLES, "checkpoints"), store, run.judge_store))
        assert_position_judged(store, run.judge_store)

    monkeypatch.setattr(MarketRun, "_judge_end", look)
    for seed in MARKETS:
        verdict = play(generate(plan.MARKET, seed))
        assert verdict.ok, verdict.violations
    assert set.intersection(*found) == set()


def judged() -> dict[str, str]:
    """Of each column the judge that the documentation names."""
    text = Path("docs/simulation.md").read_text()
    table = text[text.index(JUDGES) : text.index("\n\n", text.index(JUDGES))]
    found: dict[str, str] = {}
    for line in table.splitlines()[2:]:
        _, name, columns, judge, *_ = (cell.strip() for cell in line.split("|"))
        for column in re.findall(r"`(\w+)`", columns):
            assert f"{name}.{column}" not in found, "each column is named once"
            found[f"{name}.{column}"] = judge
    return found


def test_the_documentation_names_a_judge_for_each_column() -> None:
    """Of both backends: a column that is new has none."""
    tables = [table for table in TABLES if table is not TOKENS]  # the API's own
    wanted = {f"{table.name}.{name}" for table in tables for name in table.names}
    wanted |= {f"{table.name}.segment" for table in tables if table.segmented}
    wanted |= {f"{table}.{name}" for table, names in SEGMENT_TABLES.items() for name in names}
    wanted |= {f"checkpoints.{name}" for name in Checkpoint.__struct_fields__}
    assert judged().keys() == wanted
    for judge in judged().values():
        module, _, function = judge.strip("`").partition(".")
        assert hasattr(importlib.import_module(f"tidelog.sim.oracle.{module}"), function), judge


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_the_tables_of_a_backend_are_judged(backend: str) -> None:
    """Every table and column that a backend's migrations make is known, and so is in the documentation's table."""
    names = {column.partition(".")[0] for column in judged()}
    folder = Path(tidelog.__file__).parent / "store" / backend / "migrations"
    text = "\n".join(path.read_text() for path in sorted(folder.glob("*.sql")))
    made = set(re.findall(r"CREATE TABLE (\w+)", text)) - {"tokens"}
    assert {name for name in made if not name.endswith("_new")} <= names
    for table, column in re.findall(r"ALTER TABLE (\w+) ADD COLUMN (\w+)", text):
        assert f"{table}.{column}" in judged()
