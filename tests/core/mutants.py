"""Deliberate faults in the compiled core, each of which the comparison with Python has to find:
`python -m tests.core.mutants [NAME ..]`.

A mutant is a copy of `core/` with a few lines replaced, built in a folder of its own, quickly rather than for speed,
and loaded by a process of its own instead of the installed core; that process makes the comparison
(`tests.core.comparison`). The code on the disk is not touched.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

from tidelog.compiled import VARIABLE

CORE = Path(__file__).parents[2] / "core"
BUILD_S = 600.0  # of the first one, which builds what they depend on too
COMPARE_S = 300.0
ESCAPED = "escaped"


class Patch(NamedTuple):
    """In a file of `core/`, `before` stands once and is replaced."""

    file: str
    before: str
    after: str


MUTANTS: dict[str, Patch] = {
    "hex_digit_behind_nine": Patch(
        "pure/src/chain/hex.rs",
        "(low + each(6)) & each(0x10)",
        "(low + each(5)) & each(0x10)",
    ),
    "hex_digit_behind_nine_in_a_vector": Patch(
        "pure/src/chain/hex.rs",
        "simd._mm256_min_epu8(decimal, splat(9))",
        "simd._mm256_min_epu8(decimal, splat(10))",
    ),
    "names_of_fields_compared_in_part": Patch(
        "pure/src/chain/json.rs",
        "mask[..text.len()].fill(0xff);",
        "mask[..text.len() - 3].fill(0xff);\n        padded[text.len() - 3..].fill(0);",
    ),
    "quantity_beyond_64_bits": Patch(
        "pure/src/chain/json.rs",
        "if value >> 60 != 0 {",
        "if value >> 60 == 16 {",
    ),
    "another_block_than_asked": Patch(
        "pure/src/chain/take.rs",
        "Key::Number(number) => number == bundle.header.number,",
        "Key::Number(_) => true,",
    ),
    "gas_used_not_compared": Patch(
        "pure/src/chain/checks.rs",
        'holds(used == Some(receipt.gas_used), "gas used")?;',
        'holds(used.is_some(), "gas used")?;',
    ),
    "path_with_the_wrong_prefix": Patch(
        "pure/src/chain/trie.rs",
        "let flag = if leaf { 2u8 } else { 0 };",
        "let flag = if leaf && nibbles.len() > 1 { 2u8 } else { 0 };",
    ),
    "lanes_mixed_up": Patch(
        "pure/src/chain/keccak.rs",
        "self.out[places[lane] as u32 as usize] = digest;",
        "self.out[places[if lane == 3 { 2 } else { lane }] as u32 as usize] = digest;",
    ),
    "digest_in_the_other_byte_order": Patch(
        "pure/src/chain/rows.rs",
        "            out.push(0xcd);\n            out.extend_from_slice(&(value as u16).to_be_bytes());",
        "            out.push(0xcd);\n            out.extend_from_slice(&(value as u16).to_le_bytes());",
    ),
    "stored_list_of_any_shape": Patch(
        "pure/src/chain/stored.rs",
        "if !rlp::item(encoded).is_some_and(|item| is_shaped(&item)) {",
        "if rlp::item(encoded).is_some_and(|item| !is_shaped(&item)) {",
    ),
    "stored_digest_not_compared": Patch(
        "pure/src/chain/stored.rs",
        'holds(block.digest() == Value::Bytes(&digest), "the digest")',
        'holds(block.digest() != Value::Null, "the digest")',
    ),
    "mark_of_what_is_covered_not_compared": Patch(
        "pure/src/chain/stored.rs",
        'holds(covered == Value::Int(u64::from(expected)), "a log\'s mark")?;',
        'holds(covered != Value::Null && expected | true, "a log\'s mark")?;',
    ),
    "crossed_book_proven": Patch(
        "pure/src/market/book.rs",
        "(hasher.finalize() == checksum && !crossed)",
        "(hasher.finalize() == checksum && (!crossed || crossed))",
    ),
    "older_message_applied": Patch(
        "pure/src/market/book.rs",
        "if stamp_us.is_some() && stamp_us < self.stamp_us {",
        "if stamp_us.is_some() && stamp_us < self.stamp_us.min(Some(0)) {",
    ),
    "cut_one_level_too_late": Patch(
        "pure/src/market/book.rs",
        "while self.keys.len() > depth {",
        "while self.keys.len() > depth + 1 {",
    ),
    "unknown_removal_not_counted": Patch(
        "pure/src/market/book.rs",
        "misses += 1;",
        "misses += u64::from(levels.len() > 1);",
    ),
    "removal_not_undone": Patch(
        "pure/src/market/book.rs",
        "                    self.keys.insert(at, key);\n                    self.quantities.insert(at, qty);\n"
        "                }\n                Step::Cut",
        "                    let _ = (at, key, qty);\n                }\n                Step::Cut",
    ),
    "leap_day_declined": Patch(
        "pure/src/market/time.rs",
        "2 => 28 + i64::from(leap),",
        "2 => 28 + i64::from(leap) / 2,",
    ),
    "bids_and_asks_digested_in_the_wrong_order": Patch(
        "pure/src/market/canonical.rs",
        "let (bids, asks) = levels.split_at(update.bids);",
        "let (asks, bids) = levels.split_at(update.bids);",
    ),
    "fraction_of_a_whole_second_digested": Patch(
        "pure/src/market/time.rs",
        'b"000000"',
        'b"000001"',
    ),
    "missing_trade_not_noticed": Patch(
        "pure/src/market/trades.rs",
        "id.checked_sub(last) == Some(more)",
        "id.checked_sub(last) >= Some(more)",
    ),
    "trades_followed_for_ever": Patch(
        "pure/src/market/books.rs",
        "for_each(|one| one.is_followed = false);",
        "for_each(|one| one.is_followed |= false);",
    ),
    "trade_of_nothing_stored": Patch(
        "pure/src/market/trades.rs",
        "(1..=i64::MAX as u64)",
        "(0..=i64::MAX as u64)",
    ),
    "small_decimal_written_out": Patch(
        "pure/src/market/canonical.rs",
        "const PLAIN_FROM: i32 = -6;",
        "const PLAIN_FROM: i32 = -8;",
    ),
    "february_in_the_year_before": Patch(
        "pure/src/market/time.rs",
        "i64::from(month >= 10)",
        "i64::from(month >= 12)",
    ),
    "todays_low_in_the_ticker": Patch(
        "pure/src/market/v1.rs",
        "pair(&mut cursor, b'l')?.1",
        "pair(&mut cursor, b'l')?.0",
    ),
    "gathered_when_the_session_has_to_look": Patch(
        "pure/src/market/books.rs",
        "if watch.pauses_left == 0 || at_us >= watch.due_us {\n                return false;",
        "if watch.pauses_left == 0 || at_us >= watch.due_us {\n                return true;",
    ),
    "first_checksum_of_a_gather_noted": Patch(
        "pure/src/market/books.rs",
        "        noted.checksum = checksum;\n",
        "",
    ),
    "last_pause_noted_as_the_longest": Patch(
        "pure/src/market/books.rs",
        "noted.longest_us.max(at_us - moved_us)",
        "noted.longest_us.min(0) + at_us - moved_us",
    ),
    "pace_learned_again_too_late": Patch(
        "pure/src/market/books.rs",
        "|| at_us >= watch.due_us {",
        "|| at_us / 2 >= watch.due_us {",
    ),
    "older_snapshot_taken": Patch(
        "pure/src/market/book.rs",
        "let is_late = stamp_us.is_some() && stamp_us < self.stamp_us;",
        "let is_late = stamp_us.is_none() && self.stamp_us.is_none() && checksum == 0;",
    ),
    "sample_due_an_interval_after_the_last": Patch(
        "pure/src/market/books.rs",
        "let begun_us = sample.at_us - sample.at_us.rem_euclid(sample_us);",
        "let begun_us = sample.at_us;",
    ),
    "snapshot_sampled_as_the_book_before_it": Patch(
        "pure/src/market/books.rs",
        "Sample::of(&book, place, id.1, at_us, snapshot.stamp_us)",
        "Sample::of(lent.book.as_ref().unwrap_or(&book), place, id.1, at_us, snapshot.stamp_us)",
    ),
    "trades_gathered_when_the_session_has_to_look": Patch(
        "pure/src/market/books.rs",
        "at_us >= followed.due_us {\n            return None;",
        "at_us >= followed.due_us.max(NEVER) {\n            return None;",
    ),
    "gathered_frame_journaled_later_than_it_came": Patch(
        "python/src/frames.rs",
        "records::write(&mut packed, records::IN, at_us as u64, payload);",
        "records::write(&mut packed, records::IN, at_us as u64 + u64::from(size > 0), payload);",
    ),
    "heartbeat_digested_as_proven": Patch(
        "pure/src/market/canonical.rs",
        '\\"Heartbeat\\",{},null]',
        '\\"Heartbeat\\",{},\\"matched\\"]',
    ),
}

PANIC = Patch(
    "pure/src/chain/checks.rs",
    "        let begins = range_first == Some(header.number);\n",
    "        let begins = range_first == Some(header.number);\n"
    '        assert!(header.number != 2, "a panic on purpose");\n',
)
"""A core that panics at one block, which has to be told and to cost nothing: `tests.core.panicking`."""

PANIC_IN_A_BOOK = Patch(
    "pure/src/market/book.rs",
    "        let crossed = match",
    '        assert!(misses != 1, "a panic on purpose");\n        let crossed = match',
)
"""One that panics while a message is half applied to a book."""


def text_of(patch: Patch) -> str:
    """The file with the patch applied; AssertionError if it does not fit."""
    text = (CORE / patch.file).read_text()
    assert text.count(patch.before) == 1, f"{patch.file} has changed: {patch.before!r} is not there once"
    return text.replace(patch.before, patch.after)


def built(patch: Patch, folder: Path) -> Path:
    """A folder with the module `tidelog_core` of a patched copy; what is built on the way is kept in `folder`."""
    source, module = folder / "core", folder / "module"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(CORE, source, ignore=shutil.ignore_patterns("target"))
    (source / patch.file).write_text(text_of(patch))
    environment = os.environ | {"CARGO_TARGET_DIR": str(folder / "target"), "CARGO_PROFILE_DEV_OPT_LEVEL": "1"}
    environment["PYO3_PYTHON"] = sys.executable
    environment["RUSTFLAGS"] = "--allow warnings"
    subprocess.run(
        ["cargo", "build", "--offline", "--quiet", "--package", "tidelog-core"],
        cwd=source,
        env=environment,
        timeout=BUILD_S,
        check=True,
    )
    module.mkdir(exist_ok=True)
    shutil.copy(folder / "target" / "debug" / "libtidelog_core.so", module / f"tidelog_core{EXTENSION_SUFFIXES[0]}")
    return module


def run(module: Path, program: str) -> subprocess.CompletedProcess[str]:
    """What `main` of that module says, with this core in use."""
    check = (
        "import sys, tidelog_core; assert tidelog_core.__file__.startswith(sys.argv[1]); "
        f"from tests.core.{program} import main; sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", check, str(module)],
        env=os.environ | {"PYTHONPATH": f"{module}:{CORE.parent}", VARIABLE: "native"},
        cwd=CORE.parent,
        capture_output=True,
        text=True,
        timeout=COMPARE_S,
        check=False,
    )


def caught(patch: Patch, folder: Path) -> str | None:
    """What found the mutant; None if nothing did."""
    child = run(built(patch, folder), "comparison")
    if child.returncode == 0:
        return None
    lines = child.stdout.strip().splitlines()
    if child.returncode != 1 or not lines:
        raise SystemExit(f"the comparison failed by itself: {child.stderr}")
    found: str = json.loads(lines[-1])["differs"]
    return found


def main(names: Sequence[str]) -> int:
    """Build the mutants, all or those of these names, and compare each; 1 if one escaped."""
    if shutil.which("cargo") is None:
        print("cargo is not here: the core's mutants are not built")
        return 0
    escaped = False
    with tempfile.TemporaryDirectory(prefix="core-mutants-") as folder:
        for name in names or MUTANTS:
            found = caught(MUTANTS[name], Path(folder))
            escaped |= found is None
            print(f"{name}: {found or ESCAPED}", flush=True)
        if not names:
            for patch, program in ((PANIC, "panicking"), (PANIC_IN_A_BOOK, "panicking_in_a_book")):
                child = run(built(patch, Path(folder)), program)
                escaped |= child.returncode != 0
                said = "told, counted, and nothing lost" if child.returncode == 0 else child.stdout + child.stderr
                print(f"{program}: {said}")
    return int(escaped)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
