//! The encoding of events over which a run's digest is made; what `tidelog.market.core.EventDigest` encodes.

use super::scan::{Level, Shown, Update};
use std::io::Write;

/// Append a proven update of a book. `symbol` is its name in events.
pub fn write_update(
    into: &mut Vec<u8>,
    id: (u64, u64),
    frame: &[u8],
    symbol: &[u8],
    update: &Update<'_>,
    levels: &[Level],
) {
    begin(into, id);
    into.extend_from_slice(b"\"BookDelta\",");
    match update.shown {
        Shown::Parts(first, second) => {
            into.extend_from_slice(first);
            into.extend_from_slice(second);
        }
        Shown::Levels => {
            let (bids, asks) = levels.split_at(update.bids);
            into.extend_from_slice(b"{\"symbol\":\"");
            into.extend_from_slice(symbol);
            into.extend_from_slice(b"\",\"bids\":");
            write_levels(into, frame, bids);
            into.extend_from_slice(b",\"asks\":");
            write_levels(into, frame, asks);
            into.extend_from_slice(b",\"checksum\":");
            write_number(into, update.checksum.into());
            into.extend_from_slice(b",\"timestamp\":null}");
        }
    }
    into.extend_from_slice(b",\"matched\"]");
}

/// Append a heartbeat.
pub fn write_heartbeat(into: &mut Vec<u8>, id: (u64, u64)) {
    begin(into, id);
    into.extend_from_slice(b"\"Heartbeat\",{},null]");
}

fn begin(into: &mut Vec<u8>, (run, seq): (u64, u64)) {
    into.extend_from_slice(b"[[");
    write_number(into, run);
    into.push(b',');
    write_number(into, seq);
    into.extend_from_slice(b"],");
}

fn write_number(into: &mut Vec<u8>, number: u64) {
    let written = write!(into, "{number}");
    debug_assert!(written.is_ok(), "a vector takes everything");
}

fn write_levels(into: &mut Vec<u8>, frame: &[u8], levels: &[Level]) {
    into.push(b'[');
    for (place, level) in levels.iter().enumerate() {
        into.extend_from_slice(if place == 0 { b"[\"" } else { b",[\"" });
        into.extend_from_slice(level.price.text(frame));
        into.extend_from_slice(b"\",\"");
        into.extend_from_slice(level.qty.text(frame));
        into.extend_from_slice(b"\"]");
    }
    into.push(b']');
}
