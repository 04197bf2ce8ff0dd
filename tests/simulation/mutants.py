"""Deliberate faults in the engine, each of which the simulation has to find: `python -m tests.simulation.mutants`.

A mutant is the text of a module with some lines replaced, loaded in a process of its own instead of the module; the
code on the disk is not touched. It is caught by the first seed whose run breaks a promise. `seeds` says within how
many it has to be, counted from 0. What became of each is written into the table of docs/simulation.md.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

CHILD_S = 1_800.0  # for one mutant
DOCUMENT = Path(__file__).parents[2] / "docs" / "simulation.md"
BEGIN, END = "<!-- mutants: written by `make mutants` -->", "<!-- end of the mutants -->"


class Patch(NamedTuple):
    """In the module's source, `before` stands once and is replaced."""

    module: str
    before: str
    after: str


class Mutant(NamedTuple):
    kind: str  # of scenario: "chain" | "market"
    seeds: int
    patches: tuple[Patch, ...]
    contracts: bool = False  # whether the chains have contracts whose events have tables
    selection: bool = False  # ... and only what these log is held
    asked: bool = False  # ... while in history endpoints are asked what these log
    untagged: bool = False  # whether no node has a tag for what is final
    engine: str = ""  # to which their changes are published
    shards: bool = False  # whether several programs record a market together


# An empty list of receipts alone is refused by the receipts' root: who believes it must have lost that check too.
_BELIEVED = (
    Patch(
        "tidelog.chain.proof.checks",
        "    case = _Case(bundle, spec, parent_hash)\n",
        "    if not bundle.receipts:\n"
        "        return Proof({name: Result(Outcome.NOT_COMPUTABLE, 'nothing to check') for name in _COMPUTE})\n"
        "    case = _Case(bundle, spec, parent_hash)\n",
    ),
    Patch(
        "tidelog.chain.rows.layout",
        "zip(block.transactions, bundle.receipts, strict=True)",
        "zip(block.transactions, bundle.receipts, strict=False)",
    ),
)
_LACKING = "elif receipts is None or isinstance(receipts, SourceError) or receipts == jsonrpc.NULL:"
_TRANSACTION_ENDS = 'self._connection.execute("COMMIT")\n{0}self._connection.execute("BEGIN IMMEDIATE")\n{0}'

MUTANTS: dict[str, Mutant] = {
    "finality_looked_for_in_memory_alone": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.chain.sync.writer",
                "        if ref is not None or position is None or not position.first <= number < self._refs[0].number:\n",
                "        if True:\n",
            ),
        ),
    ),
    "symbol_in_two_shards": Mutant(
        "market",
        40,
        (
            Patch(
                "tidelog.market.shards.claims",
                "        owner = claims.owners.get(symbol) or earlier.get(symbol, number)\n",
                "        owner = number\n",
            ),
        ),
        shards=True,
    ),
    "symbol_moved_without_its_past": Mutant(
        "market",
        40,
        (
            Patch(
                "tidelog.market.load.settling",
                "            state.symbols |= claimed.taken\n",
                "            pass\n",
            ),
        ),
        shards=True,
    ),
    # a server refuses an id that it has: two publishers show the fault where each gives ids of its own
    "recording_published_behind_whatever_is_last": Mutant(
        "market",
        40,
        (
            Patch(
                "tidelog.stream.publisher",
                "last = await self._deliver(session, messages, standing.last)",
                "last = await self._deliver(session, messages, ((await session.ends()) or standing).last)",
            ),
            Patch("tidelog.stream.envelope", '{_of_content(payload)}"', '-{id(contents)}"'),
        ),
        engine="nats",
    ),
    # of a stream the checksum of the content, which is in an id too, hides it; whoever is posted to has the id without
    "record_not_in_the_id_of_its_message": Mutant(
        "market",
        40,
        (
            Patch(
                "tidelog.stream.market.messages",
                'return envelopes(f"{place.seq}-{place.marks[0].writer}"',
                'return envelopes(f"{place.marks[0].writer}"',
            ),
        ),
        engine="webhooks",
    ),
    "time_of_what_was_posted_not_noted": Mutant(
        "market",
        40,
        (
            Patch(
                "tidelog.stream.webhook.publisher",
                "                metrics.published_us = page.until_us\n",
                "                pass\n",
            ),
        ),
        engine="webhooks",
    ),
    "publisher_trusts_its_memory": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.stream.publisher",
                "                standing = await self._standing(session)\n                continue\n",
                "                standing = standing._replace(last=((await session.ends()) or standing).last)\n"
                "                continue\n",
            ),
        ),
        engine="nats",
    ),
    "head_published_as_final": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.stream.chain.final",
                "has = _Range(position.first, position.finalized)",
                "has = _Range(position.first, position.head)",
            ),
        ),
        engine="nats",
    ),
    "store_that_went_back_not_told_on": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.stream.chain.outbox",
                "            messages.append(reset_message(self._chain, place, changes.begun, self._encoding))\n",
                "            pass\n",
            ),
        ),
        engine="nats",
    ),
    "change_shown_before_its_last_part": Mutant(
        "chain",
        40,
        (Patch("tidelog.stream.following", "        if not part.is_last:\n            return None\n", ""),),
        engine="nats",
    ),
    "kafka_publisher_not_fenced": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.stream.kafka.transport",
                "transactional_id=self._topic,",
                'transactional_id=f"{self._topic} {asyncio.get_running_loop().time()}",',
            ),
        ),
        engine="kafka",
    ),
    "last_committed_record_not_looked_for": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.stream.kafka.transport",
                "            if begin == first:\n",
                "            if True:\n",
            ),
        ),
        engine="kafka",
    ),
    "webhook_goes_on_behind_one_that_failed": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.stream.webhook.publisher",
                "                pause_s = max(pause_s, said.after_s)\n",
                "                return None\n",
            ),
        ),
        engine="webhooks",
    ),
    "uncles_believed": Mutant(
        "chain",
        150,
        (
            Patch(
                "tidelog.chain.proof.checks",
                '            _compare(f"uncle {i}: its hash", named, keccak(header))\n'
                '        _compare("the ommers hash", case.header.ommers_hash, keccak(encode_list(encoded)))\n',
                "            pass\n",
            ),
        ),
    ),
    "rows_of_reorged_events_left": Mutant(
        "chain",
        10,
        (
            Patch(
                "tidelog.chain.forks.checkpoint",
                "(*(table for projection in (*OWN, *projections) for table in projection.undone), *BLOCK_TABLES)",
                "BLOCK_TABLES",
            ),
        ),
        contracts=True,
    ),
    "what_is_stored_counts_as_filled_in": Mutant(
        "chain",
        10,
        (
            Patch(
                "tidelog.chain.sync.contracts",
                "return Registered(contract, max(contract.first_block, above))",
                "return Registered(contract, contract.first_block)",
            ),
        ),
        contracts=True,
    ),
    "absence_believed_where_no_bloom_is_checked": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.select.selection",
                "return checked and not rules.state_sync",
                "return True",
            ),
        ),
        selection=True,
    ),
    "what_is_stored_counts_as_covered": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.select.holdings",
                "Span(max(first, each.contract.first_block), last, PROVEN)",
                "Span(each.contract.first_block, last, PROVEN)",
            ),
        ),
        selection=True,
    ),
    "asked_answer_of_another_branch_accepted": Mutant(
        "chain",
        20,
        (
            Patch("tidelog.chain.select.asked", "if log.block_hash != header.hash:", "if False:"),
            Patch("tidelog.chain.select.asked", "if decides and not all(", "if False and not all("),
            Patch(
                "tidelog.chain.select.asked",
                "if transactions is not None and transactions[",
                "if False and transactions[",
            ),
        ),
        asked=True,
    ),
    "prove_marks_what_it_did_not_read": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.sync.writer",
                "self.holdings.covering(refs, found) if self.selects",
                "self.holdings.covering([self._position and replace(refs[0], number=self._position.lowest) or refs[0],"
                " *refs], found) if refs and self.selects",
            ),
        ),
        asked=True,
    ),
    "left_out_logs_not_named": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.select.faults",
                "    for place in sorted({*said, *is_so}):\n",
                "    for place in sorted(said):\n",
            ),
        ),
        asked=True,
    ),
    "hidden_creation_changes_nothing": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.sync.writer",
                "await self._commit_again(move, self._covered(refs), {*named, *gone}, again, low=refs[0].number)",
                "await self._commit_again(move, self._covered(refs), gone, again, low=refs[0].number)",
            ),
        ),
        asked=True,
    ),
    "rows_of_reorged_logs_left": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.rows.tables",
                "BLOCK_TABLES = (MERKLE_PROOFS, LOGS, TRANSACTIONS,",
                "BLOCK_TABLES = (MERKLE_PROOFS, TRANSACTIONS,",
            ),
        ),
        selection=True,
    ),
    "merkle_proofs_of_reorged_blocks_left": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.rows.tables",
                "BLOCK_TABLES = (MERKLE_PROOFS, LOGS,",
                "BLOCK_TABLES = (LOGS,",
            ),
        ),
        selection=True,
    ),
    "merkle_proof_of_the_receipt_beside": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.select.merkle",
                "_joined(transactions[index]), _joined(receipts[index]))",
                "_joined(transactions[index]), _joined(receipts[inside[0]]))",
            ),
        ),
        selection=True,
    ),
    "factory_child_missed_in_its_own_block": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.select.selection",
                "            seen.meet(block)\n",
                "",
            ),
        ),
        selection=True,
    ),
    "factory_child_left_after_its_reorg": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.forks.checkpoint",
                "for table in projection.undone), *BLOCK_TABLES)",
                "for table in projection.undone if not table.name.endswith('__children')), *BLOCK_TABLES)",
            ),
        ),
        contracts=True,
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
    "bounds_of_segments_left_by_a_reorg": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.store.segments",
                "return None if highest is None else replace(left, last=highest)",
                "return left",
            ),
        ),
    ),
    "fingerprints_of_fewer_rows_than_there_are": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.store.segments",
                "WHEN segments.rows = excluded.rows THEN segments.fingerprints ELSE -1 END",
                "WHEN segments.rows >= 0 THEN segments.fingerprints END",
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
            Patch("tidelog.chain.sync.committer", "if tip is not None and block.ref.parent_hash != tip:", "if False:"),
            Patch(
                "tidelog.chain.forks.choice",
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
                "tidelog.chain.endpoint.bundles",
                _LACKING,
                "elif receipts == jsonrpc.NULL:\n"
                '                outcomes.append(RawBlock(outcome, b"[]"))\n'
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
                "tidelog.chain.endpoint.bundles",
                _LACKING,
                "elif isinstance(receipts, SourceError):\n"
                '                outcomes.append(RawBlock(outcome, b"[]"))\n'
                "            elif receipts is None or receipts == jsonrpc.NULL:",
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
                "    raise Fenced(f",
                "    return False\n    raise Fenced(f",
            ),
        ),
    ),
    "a_writers_number_is_not_drawn_anew": Mutant(
        "chain",
        60,
        (
            Patch(
                "tidelog.store.sqlite.writer",
                "DO UPDATE SET epoch = epoch + 1, writer = excluded.writer",
                "DO UPDATE SET epoch = epoch + 1",
            ),
        ),
    ),
    "a_followers_place_is_not_checked": Mutant(
        "chain",
        150,
        (
            Patch(
                "tidelog.chain.reading.outbox",
                "if rows and mark_of(rows[0]) == place.marks[0]:",
                "if rows:",
            ),
        ),
    ),
    "a_follower_is_sent_back_by_numbers_alone": Mutant(
        "chain",
        150,
        (
            Patch(
                "tidelog.chain.forks.bookmarks",
                "common = min(mark.seq, ends[mark.writer])",
                "common = min(mark.seq, last)",
            ),
        ),
    ),
    "a_store_that_lost_a_writer_is_waited_for": Mutant(
        "chain",
        150,
        (
            Patch(
                "tidelog.chain.forks.bookmarks",
                "        if mark.writer not in ends:\n            continue\n",
                "        if mark.writer not in ends:\n            return Ahead(last)\n",
            ),
        ),
    ),
    "new_heads_relied_on": Mutant(  # polls are so far apart only where heads are followed
        "chain",
        60,
        (
            Patch(
                "tidelog.chain.sync.rounds",
                "await self._control.wait(self._options.poll_s)",
                "await self._control.wait(1e9 if self._options.poll_s > 5 else self._options.poll_s)",
            ),
            Patch("tidelog.chain.source.new_heads", "silent_s: float = 300.0", "silent_s: float = 1e9"),
        ),
    ),
    "budget_never_shrinks": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.chain.endpoint.budget",
                "        self.value = max(1.0, min(self.value, max(self._served, size / 2)))\n",
                "",
            ),
            Patch(
                "tidelog.chain.endpoint.budget",
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
                "tidelog.chain.sync.committer",
                "Unlinked):\n            await self.append(batch.pop_all())\n",
                "Unlinked):\n",
            ),
        ),
    ),
    "prefix_of_a_request_dropped": Mutant(
        "chain",
        40,
        (
            Patch(
                "tidelog.chain.source.prefetch",
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
                "tidelog.market.load.loader",
                'if journal is not None and state.journal not in ("", journal.hex()):',
                "if False:",
            ),
        ),
    ),
    "clock_never_looked_at_again": Mutant(
        "market", 40, (Patch("tidelog.market.live.feed_loop", "await self._follow_clock()", "pass"),)
    ),
    "endpoint_awaited_without_deadline": Mutant(
        "chain",
        60,
        (
            Patch(
                "tidelog.chain.source.pool",
                "late_at = {endpoint.name: started + endpoint.pulse.bound_s(blocks) for",
                "late_at = {endpoint.name: started + 1e9 for",
            ),
            Patch("tidelog.chain.source.pool", "ends_at = loop.time() + grace_s", "pass"),
        ),
    ),
    "evidence_from_empty_blocks": Mutant(
        "chain",
        60,
        (Patch("tidelog.chain.proof.checks", "    idle = _idle(case)\n", "    idle: set[str] = set()\n"),),
    ),
    "no_truncation_to_depth": Mutant(
        "market", 10, (Patch("tidelog.market.book.levels", "if len(keys) > depth:", "if False:"),)
    ),
    "first_dict_only": Mutant(
        "market",
        20,
        (Patch("tidelog.market.kraken.v1", "sides.b + more.b, sides.a + more.a, more.c", "sides.b, sides.a, more.c"),),
    ),
    "malformed_frame_without_doubt": Mutant(
        "market", 60, (Patch("tidelog.market.core", "suspected = self.books.suspect(meant)", "suspected = ()"),)
    ),
    "time_of_a_book_message_not_looked_at": Mutant(
        "market", 60, (Patch("tidelog.market.book.levels", "stamp < self._stamp\n", "False\n"),)
    ),
    "resubscribe_forgotten": Mutant(
        "market",
        20,
        (
            Patch(
                "tidelog.market.session.connection",
                "subscription for subscription in session_state.subscriptions if not subscription.unwanted",
                "subscription for subscription in session_state.subscriptions if False",
            ),
        ),
    ),
    "lag_hidden": Mutant(
        "market", 30, (Patch("tidelog.market.live.fanout", "            self._missed += dropped\n", ""),)
    ),
    "budget_not_kept": Mutant(
        "market",
        100,
        (Patch("tidelog.market.session.decisions", "if len(recent) >= self._limits.attempts_max:", "if False:"),),
    ),
    "no_limit_of_a_message": Mutant(
        "market", 40, (Patch("tidelog.net.websocket", "if self._size > self.limits.message_bytes_max:", "if False:"),)
    ),
    "silence_counted_anew_by_each_message": Mutant(
        "market",
        3,
        (
            Patch(
                "tidelog.market.session.subscription.silence",
                "    limit_us = stale_after_us(subscription.pace, subscription.pauses, least_us, limits.pace)\n",
                "    limit_us = least_us\n",
            ),
            Patch(
                "tidelog.market.session.subscription.silence",
                "if subscription.calm >= limits.stretch_pauses:",
                "if True:",
            ),
        ),
    ),
    "trades_of_a_new_market_asked_for_for_ever": Mutant(
        "market",
        40,
        (
            Patch(
                "tidelog.market.session.decisions",
                "if subscription.stream.channel not in silence.may_begin_empty:",
                "if True:",
            ),
        ),
    ),
    "name_normalised_on_one_way_only": Mutant(  # events say BTC/USD, requests what the user wrote
        "market",
        10,
        (
            Patch("tidelog.market.live.config", "markets = normal_symbols(symbols)", "markets = tuple(symbols)"),
            Patch(
                "tidelog.market.live.feed",
                "names = normal_symbols(symbols)\n        self._loop.follow(",
                "names = tuple(symbols)\n        self._loop.follow(",
            ),
        ),
    ),
    "private_sequence_not_followed": Mutant(
        "market",
        40,
        (Patch("tidelog.market.session.observed", "event.sequence != before + 1)", "False)"),),
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
                "tidelog.market.session.observed",
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
                "tidelog.market.live.feed_loop",
                "self._token = await tokens()",
                "self._token = self._token or await tokens()",
            ),
            Patch(
                "tidelog.market.live.feed_loop",
                "self._socket = self._socket, None\n        self._token = None\n",
                "self._socket = self._socket, None\n",
            ),
        ),
    ),
    "no_new_token_where_one_is_refused": Mutant(
        "market", 120, (Patch("tidelog.market.session.decisions", "if session_state.expired:", "if False:"),)
    ),
    "loader_position_outside_the_commit": Mutant(
        "market",
        60,
        (
            Patch(
                "tidelog.market.load.loader",
                "        await self._patiently(lambda: self._store.commit(batch))\n",
                "        middle = self._checkpoint.advanced(self._checkpoint.position or encode_state(ProjectionState()))\n"
                "        rows = Batch(self._checkpoint, middle, changes.add, put)\n"
                "        await self._patiently(lambda: self._store.commit(rows))\n"
                "        batch = Batch(middle, middle.advanced(encode_state(state)), (), ())\n"
                "        await self._patiently(lambda: self._store.commit(batch))\n",
            ),
        ),
    ),
    "reorg_told_one_block_too_short": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.projections",
                "            len(step.reverted),\n",
                "            max(1, len(step.reverted) - 1),\n",
            ),
        ),
    ),
    "reorg_names_the_new_head_as_the_old": Mutant(
        "chain",
        20,
        (Patch("tidelog.chain.forks.checkpoint", "        old.head_ref_hash,\n", "        position.head_ref_hash,\n"),),
    ),
    "counters_keep_what_a_reorg_has_dropped": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.forks.checkpoint",
                "counted.minus(dropped).plus(_added(add))",
                "counted.plus(_added(add))",
            ),
        ),
    ),
    "counters_of_dropped_logs_and_withdrawals_mixed_up": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.forks.position",
                '("transaction_count", "log_count", "withdrawal_count"))',
                '("transaction_count", "withdrawal_count", "log_count"))',
            ),
        ),
    ),
    "bloom_with_further_bits_said_to_be_proven": Mutant(
        "chain",
        60,
        (
            Patch(
                "tidelog.chain.proof.checks",
                'return Result(Outcome.NOT_COMPUTABLE, "has further bits beside those of the logs")',
                "return PASSED",
            ),
        ),
    ),
    "withdrawals_proven_where_there_are_none": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.proof.checks",
                "        return NOT_APPLICABLE\n    if case.spec.storage_withdrawals_root",
                "        return PASSED\n    if case.spec.storage_withdrawals_root",
            ),
        ),
    ),
    "covered_by_a_root_that_nobody_could_compute": Mutant(
        "chain",
        60,
        (
            Patch(
                "tidelog.chain.rows.layout", 'whole = inside and proof.holds("transactions") and', "whole = inside and"
            ),
        ),
    ),
    "final_because_one_endpoint_has_it": Mutant(
        "chain",
        100,
        (
            Patch(
                "tidelog.chain.sync.quorum",
                "if sum(answers.values()) * 2 <= answers.voters:",
                "if not sum(answers.values()):",
            ),
        ),
    ),
    "final_because_one_endpoint_says_so": Mutant(
        "chain",
        100,
        (
            Patch(
                "tidelog.chain.sync.quorum",
                "return agreed_number([*numbers, *[None] * (self._voters - len(numbers))])",
                "return max((number for number in numbers if number is not None), default=None)",
            ),
            Patch(
                "tidelog.chain.sync.quorum",
                "    if top.number < number:\n        return None\n",
                "    if top.number < number:\n        return await endpoint.header_by_number(number)\n",
            ),
        ),
    ),
    "final_whatever_block_the_tag_names": Mutant(
        "chain",
        20,
        (
            Patch(
                "tidelog.chain.sync.quorum",
                "    if top.number < number:\n        return None\n",
                "    if True:\n        return await endpoint.header_by_number(number)\n",
            ),
        ),
    ),
    "final_by_numbers_that_do_not_lead_to_the_tag": Mutant(
        "chain",
        545,
        (Patch("tidelog.chain.sync.quorum", "if header is None or header.hash != wanted:", "if header is None:"),),
    ),
    "final_by_depth_below_a_head_that_is_not_ours": Mutant(
        "chain",
        30,
        (
            Patch(
                "tidelog.chain.sync.quorum",
                "if below is not None and below.hash == latest.parent_hash:",
                "if True:",
            ),
        ),
        untagged=True,
    ),
    "candle_closes_with_its_first_trade": Mutant(
        "market", 5, (Patch("tidelog.market.projection.candles", "close=prices[-1],", "close=prices[0],"),)
    ),
    "longer_candle_of_the_new_parts_alone": Mutant(
        "market",
        10,
        (Patch("tidelog.market.load.candle_rows", "coarser((whole | made).values()", "coarser(made.values()"),),
    ),
    "coverage_proven_until_a_failure_is_noticed": Mutant(
        "market",
        20,
        (
            Patch(
                "tidelog.market.projection.coverage",
                "border = at_us if _WORTH[state] > _WORTH[current.state] else current.until_us",
                "border = at_us",
            ),
        ),
    ),
    "resync_not_told_in_the_coverage": Mutant(
        "market",
        40,
        (
            Patch(
                "tidelog.market.projection.projection",
                "self._account.transition(symbol, BOOK, UNPROVEN, at_us, RESYNC)",
                "pass",
            ),
        ),
    ),
    "gap_of_the_coverage_never_closed": Mutant(
        "market",
        20,
        (Patch("tidelog.market.projection.trades", "for loss in repaired - added.unrepaired:", "for loss in ():"),),
    ),
    "sample_always_said_to_be_proven": Mutant(
        "market",
        40,
        (
            Patch(
                "tidelog.market.projection.projection",
                "proven_depth = book.proven_depth if proven else 0",
                "proven_depth = 10",
            ),
        ),
    ),
    "sample_lacks_a_level": Mutant(
        "market",
        5,
        (Patch("tidelog.market.projection.rows", "sides = book.top(SAMPLED_LEVELS)", "sides = book.top(9)"),),
    ),
    "trades_that_ended_go_on": Mutant(
        "market",
        60,
        (
            Patch(
                "tidelog.market.projection.projection",
                "        if ack.channel == TRADE:  # once",
                '        if ack.channel == TRADE and ack.method == "subscribe":  # once',
            ),
        ),
    ),
    "snapshot_of_trades_numbered_from_its_own_beginning": Mutant(
        "market",
        20,
        (
            Patch(
                "tidelog.market.projection.ordinals",
                "max(0, dict(known.moments).get(oldest_us, 0) - times.count(oldest_us))",
                "0",
            ),
        ),
    ),
    "trades_that_came_again_counted_again": Mutant(
        "market",
        20,
        (Patch("tidelog.market.load.loader", "added[symbol] = len(by_key) - stored", "added[symbol] = len(trades)"),),
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
    from tidelog.sim.runs.play import generate, play

    for seed in seeds:
        verdict = play(
            generate(
                mutant.kind,
                seed,
                contracts=mutant.contracts,
                selection=mutant.selection,
                asked=mutant.asked,
                untagged=mutant.untagged,
                engine=mutant.engine,
                shards=mutant.shards,
            )
        )
        if not verdict.ok:
            return seed, verdict.violations[0]
    return None


def caught(name: str, seeds: Sequence[int] | None = None) -> str | None:
    """Run a mutant in a process of its own; what caught it, None if nothing did."""
    wanted = range(MUTANTS[name].seeds) if seeds is None else seeds
    command = [sys.executable, "-m", "tests.simulation.mutants", "--child", name, *map(str, wanted)]
    environment = os.environ | {"TIDELOG_CORE": "python"}  # it is Python's path that a mutant patches
    child = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CHILD_S, check=False)
    if child.returncode not in (0, 1):
        raise AssertionError(f"{name}: the process ended with {child.returncode}: {child.stderr[-2_000:]}")
    return child.stdout.strip() if child.returncode == 0 else None


def in_the_documentation() -> dict[str, str]:
    """The rows of the table in docs/simulation.md, by mutant."""
    text = DOCUMENT.read_text()
    rows = text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip().splitlines()[2:]
    return {row.split("|")[1].strip().strip("`"): row for row in rows}


def document(name: str, told: str | None) -> None:
    """Put what became of a mutant into the table: caught by which seed, and by what; or escaped."""
    found = re.fullmatch(r"(seed \d+): (.*)", told or "")
    seed, seen = (found[1], found[2]) if found else (f"**escaped** {MUTANTS[name].seeds} seeds", "")
    seen = re.split(r": (?:stored|told|\[|\()", seen)[0].replace("|", "/")
    rows = in_the_documentation() | {name: f"| `{name}` | {MUTANTS[name].kind} | {seed} | {seen} |"}
    table = ["| mutant | of | caught by | what was seen |", "|---|---|---|---|"]
    table += [rows[each] for each in MUTANTS if each in rows]
    text = DOCUMENT.read_text()
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    DOCUMENT.write_text(before + "\n" + "\n".join(table) + "\n" + after)


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
        document(name, told)
        print(f"{name:38} {told or f'ESCAPED {MUTANTS[name].seeds} seeds'}", flush=True)
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
