"""Deliberate faults in the engine, each of which the simulation has to find: `python -m tests.simulation.mutants`.

A mutant is the text of a module with some lines replaced, loaded in a process of its own instead of the module; the
code on the disk is not touched. It is caught by the first seed whose run breaks a promise. `seeds` says within how
many it has to be, counted from 0.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType
from typing import NamedTuple

CHILD_S = 1_800.0  # for one mutant


class Patch(NamedTuple):
    """In the module's source, `before` stands once and is replaced."""

    module: str
    before: str
    after: str


class Mutant(NamedTuple):
    kind: str  # of scenario: "chain" | "market"
    seeds: int
    patches: tuple[Patch, ...]


# An empty list of receipts alone is refused by the receipts' root: who believes it must have lost that check too.
_BELIEVED = (
    Patch(
        "tidelog.chain.proof",
        "    case = _Case(bundle, profile, parent_hash)\n",
        "    if not bundle.receipts:\n"
        "        return Proof({name: Result(Outcome.NOT_COMPUTABLE, 'nothing to check') for name in _COMPUTE})\n"
        "    case = _Case(bundle, profile, parent_hash)\n",
    ),
    Patch(
        "tidelog.chain.rows",
        "zip(block.transactions, bundle.receipts, strict=True)",
        "zip(block.transactions, bundle.receipts, strict=False)",
    ),
)
_LACKING = "elif receipts is None or isinstance(receipts, SourceError) or bytes(receipts) == jsonrpc.NULL:"
_TRANSACTION_ENDS = 'self._connection.execute("COMMIT")\n{0}self._connection.execute("BEGIN IMMEDIATE")\n{0}'

MUTANTS: dict[str, Mutant] = {
    "uncles_believed": Mutant(
        "chain",
        150,
        (
            Patch(
                "tidelog.chain.proof",
                '            _compare(f"uncle {i}: its hash", named, keccak(header))\n'
                '        _compare("the ommers hash", case.header.ommers_hash, keccak(encode_list(encoded)))\n',
                "            pass\n",
            ),
        ),
    ),
    "checkpoint_in_its_own_transaction": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.store.sqlite.writer",
                'self._connection.execute(\n                    "UPDATE checkpoints SET epoch',
                _TRANSACTION_ENDS.format(" " * 16)
                + 'self._connection.execute(\n                    "UPDATE checkpoints SET epoch',
            ),
        ),
    ),
    "rollback_outside_the_commit": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.store.sqlite.writer",
                'self._reached("store.rolled_back")',
                _TRANSACTION_ENDS.format(" " * 16) + 'self._reached("store.rolled_back")',
            ),
        ),
    ),
    "no_parent_check": Mutant(
        "chain",
        200,
        (
            Patch("tidelog.chain.committer", "if tip is not None and block.link.parent_hash != tip:", "if False:"),
            Patch(
                "tidelog.chain.lineage",
                "    return all(below.hash == above.parent_hash and below.number + 1",
                "    return True or all(below.hash == above.parent_hash and below.number + 1",
            ),
        ),
    ),
    "null_taken_as_an_empty_list": Mutant(
        "chain",
        200,
        (
            Patch(
                "tidelog.chain.bundles",
                _LACKING,
                "elif isinstance(receipts, Raw) and bytes(receipts) == jsonrpc.NULL:\n"
                '                outcomes.append(RawBlock(outcome, Raw(b"[]")))\n'
                "            elif receipts is None or isinstance(receipts, SourceError):",
            ),
            *_BELIEVED,
        ),
    ),
    "receipt_error_taken_as_no_logs": Mutant(
        "chain",
        200,
        (
            Patch(
                "tidelog.chain.bundles",
                _LACKING,
                "elif isinstance(receipts, SourceError):\n"
                '                outcomes.append(RawBlock(outcome, Raw(b"[]")))\n'
                "            elif receipts is None or bytes(receipts) == jsonrpc.NULL:",
            ),
            *_BELIEVED,
        ),
    ),
    "fence_removed": Mutant(
        "chain",
        60,
        (
            Patch(
                "tidelog.store.fence",
                '    raise Fenced(f"{source} was taken over',
                '    return False\n    raise Fenced(f"{source} was taken over',
            ),
        ),
    ),
    "new_heads_relied_on": Mutant(  # polls are so far apart only where heads are followed
        "chain",
        60,
        (
            Patch(
                "tidelog.chain.sync",
                "await self._wait(self._options.poll_s)",
                "await self._wait(1e9 if self._options.poll_s > 5 else self._options.poll_s)",
            ),
            Patch("tidelog.chain.wakeup", "SILENT_S = 300.0", "SILENT_S = 1e9"),
        ),
    ),
    "budget_never_shrinks": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.chain.budget",
                "        self.value = max(1.0, min(self.value, max(self._served, size / 2)))\n",
                "",
            ),
            Patch(
                "tidelog.chain.budget",
                "        self.rate.refused(now, sent_at, retry_after_s=retry_after_s, plan=plan)\n",
                "",
            ),
        ),
    ),
    "prefix_dropped": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.chain.committer",
                "Unlinked):\n            await self.append(batch.taken())\n",
                "Unlinked):\n",
            ),
        ),
    ),
    "prefix_of_a_request_dropped": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.chain.history",
                "                if blocks:\n                    yield blocks\n",
                "                if blocks and failure is None:\n                    yield blocks\n",
            ),
        ),
    ),
    "a_foreign_journal_continued": Mutant(
        "market",
        40,
        (
            Patch(
                "tidelog.market.loader",
                'if journal is not None and state.journal not in ("", journal.hex()):',
                "if False:",
            ),
        ),
    ),
    "clock_never_looked_at_again": Mutant(
        "market", 40, (Patch("tidelog.market.feed", "await self._follow_clock()", "pass"),)
    ),
    "endpoint_awaited_without_deadline": Mutant(
        "chain",
        60,
        (
            Patch(
                "tidelog.chain.pool",
                "late_at = {endpoint.name: started + endpoint.pulse.bound_s(blocks) for",
                "late_at = {endpoint.name: started + 1e9 for",
            ),
            Patch("tidelog.chain.pool", "ends_at = loop.time() + grace_s", "pass"),
        ),
    ),
    "evidence_from_empty_blocks": Mutant(
        "chain",
        60,
        (Patch("tidelog.chain.proof", "    idle = _idle(case)\n", "    idle: set[str] = set()\n"),),
    ),
    "no_truncation_to_depth": Mutant(
        "market", 10, (Patch("tidelog.market.book", "if len(keys) > depth:", "if False:"),)
    ),
    "first_dict_only": Mutant(
        "market",
        20,
        (Patch("tidelog.market.kraken.v1", "sides.b + more.b, sides.a + more.a, more.c", "sides.b, sides.a, more.c"),),
    ),
    "malformed_frame_without_doubt": Mutant(
        "market", 60, (Patch("tidelog.market.core", "doubted = self.books.doubt(meant)", "doubted = ()"),)
    ),
    "time_of_a_book_message_not_looked_at": Mutant(
        "market", 60, (Patch("tidelog.market.book", "stamp < self._stamp\n", "False\n"),)
    ),
    "resubscribe_forgotten": Mutant(
        "market",
        20,
        (
            Patch(
                "tidelog.market.session",
                "[subscription for subscription in held.subscriptions if not subscription.unwanted]",
                "[]",
            ),
        ),
    ),
    "lag_hidden": Mutant("market", 30, (Patch("tidelog.market.fanout", "            self._missed += 1\n", ""),)),
    "budget_not_kept": Mutant(
        "market", 100, (Patch("tidelog.market.decisions", "if len(recent) >= ATTEMPTS_MAX:", "if False:"),)
    ),
    "no_limit_of_a_message": Mutant(
        "market", 40, (Patch("tidelog.net.websocket", "if self._size > MESSAGE_BYTES_MAX:", "if False:"),)
    ),
    "silence_counted_anew_by_each_message": Mutant(
        "market",
        3,
        (
            Patch(
                "tidelog.market.silence",
                "    limit_us = stale_after_us(subscription.pace, subscription.pauses, least_us)\n",
                "    limit_us = least_us\n",
            ),
            Patch("tidelog.market.silence", "if subscription.calm >= STRETCH_PAUSES:", "if True:"),
        ),
    ),
    "name_normalised_on_one_way_only": Mutant(  # events say BTC/USD, requests what the user wrote
        "market",
        10,
        (
            Patch("tidelog.market.feed", "self._symbols = normal_symbols(symbols)", "self._symbols = tuple(symbols)"),
            Patch(
                "tidelog.market.feed",
                "names = normal_symbols(symbols)\n        for stream in self._streams_of(channels):\n"
                "            self._note(Wanted(",
                "names = tuple(symbols)\n        for stream in self._streams_of(channels):\n"
                "            self._note(Wanted(",
            ),
        ),
    ),
    "private_sequence_not_followed": Mutant(
        "market",
        40,
        (Patch("tidelog.market.session", "event.sequence != before + 1)", "False)"),),
    ),
    "fills_of_an_outage_not_asked_for": Mutant(
        "market",
        40,
        (Patch("tidelog.market.kraken.v2", 'shown = True if stream.channel == "executions"', "shown = True if False"),),
    ),
    "private_snapshot_not_waited_for": Mutant(
        "market",
        120,
        (
            Patch(
                "tidelog.market.session",
                "if not event.snapshot and (before == 0 or event.sequence != before + 1)",
                "if not event.snapshot and before and event.sequence != before + 1",
            ),
        ),
    ),
    "one_token_for_ever": Mutant(
        "market",
        60,
        (
            Patch(
                "tidelog.market.feed",
                "self._token = await self._tokens()",
                "self._token = self._token or await self._tokens()",
            ),
            Patch(
                "tidelog.market.feed",
                "self._socket = self._socket, None\n        self._token = None\n",
                "self._socket = self._socket, None\n",
            ),
        ),
    ),
    "no_new_token_where_one_is_refused": Mutant(
        "market", 120, (Patch("tidelog.market.decisions", "if held.expired:", "if False:"),)
    ),
    "loader_position_outside_the_commit": Mutant(
        "market",
        60,
        (
            Patch(
                "tidelog.market.loader",
                "        await self._patiently(lambda: self._store.commit(batch))\n",
                "        middle = self._checkpoint.advanced(self._checkpoint.position or encode_state(State()))\n"
                "        rows = Batch(self._checkpoint, middle, changes.add, put)\n"
                "        await self._patiently(lambda: self._store.commit(rows))\n"
                "        batch = Batch(middle, middle.advanced(encode_state(state)), (), ())\n"
                "        await self._patiently(lambda: self._store.commit(batch))\n",
            ),
        ),
    ),
}


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module with its patches applied."""

    def __init__(self, fullname: str, path: str, patches: Sequence[Patch]) -> None:
        super().__init__(fullname, path)
        self._patches = patches

    def get_code(self, fullname: str) -> CodeType:
        text = self.get_source(fullname)
        assert text is not None
        for patch in self._patches:
            assert text.count(patch.before) == 1, f"{fullname} has changed: {patch.before!r} is not there once"
            text = text.replace(patch.before, patch.after)
        code: CodeType = compile(text, self.path, "exec")
        return code


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, patches: Sequence[Patch]) -> None:
        self._patches = patches

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        mine = [patch for patch in self._patches if patch.module == fullname]
        spec = importlib.machinery.PathFinder.find_spec(fullname, path) if mine else None
        if spec is None or spec.origin is None:
            return None
        return importlib.util.spec_from_loader(fullname, _Loader(fullname, spec.origin, mine))


def first_caught(mutant: Mutant, seeds: Sequence[int]) -> tuple[int, str] | None:
    """The first of the seeds that catches it, and what it found. In a process that has not loaded tidelog yet."""
    sys.meta_path.insert(0, _Finder(mutant.patches))
    from tidelog.sim.scenario import drawn, play

    for seed in seeds:
        verdict = play(drawn(mutant.kind, seed))
        if not verdict.ok:
            return seed, verdict.violations[0]
    return None


def caught(name: str, seeds: Sequence[int] | None = None) -> str | None:
    """Run a mutant in a process of its own; what caught it, None if nothing did."""
    wanted = range(MUTANTS[name].seeds) if seeds is None else seeds
    command = [sys.executable, "-m", "tests.simulation.mutants", "--child", name, *map(str, wanted)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_S, check=False)
    if child.returncode not in (0, 1):
        raise AssertionError(f"{name}: the process ended with {child.returncode}: {child.stderr[-2_000:]}")
    return child.stdout.strip() if child.returncode == 0 else None


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["--child"]:
        found = first_caught(MUTANTS[arguments[1]], [int(seed) for seed in arguments[2:]])
        if found is None:
            return 1
        print(f"seed {found[0]}: {' '.join(found[1].split())[:160]}")
        return 0
    escaped = 0
    for name in arguments or MUTANTS:
        told = caught(name)
        escaped += told is None
        print(f"{name:38} {told or f'ESCAPED {MUTANTS[name].seeds} seeds'}", flush=True)
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
