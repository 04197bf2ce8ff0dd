//! The encoding of events over which a run's digest is made; what `tidelog.market.core.EventDigest` encodes.

use super::digits;
use super::scan::{Level, Number, Shown, Update};
use super::time;
use super::trades::{NUMBERS, Ticker, Trade};
use std::io::Write;

/// Append a proven message of a book, `BookDelta` or `BookSnapshot` by its name. `symbol` is the book's in events.
#[inline(always)]
pub fn write_update(
    into: &mut Vec<u8>,
    id: (u64, u64),
    name: &[u8],
    frame: &[u8],
    symbol: &[u8],
    update: &Update<'_>,
    levels: &[Level],
) {
    begin(into, id);
    into.push(b'"');
    into.extend_from_slice(name);
    into.extend_from_slice(b"\",");
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
            digits::append(into, update.checksum.into());
            into.extend_from_slice(b",\"timestamp\":null}");
        }
    }
    into.extend_from_slice(b",\"matched\"]");
}

/// Append the trades of an update.
pub fn write_trades(into: &mut Vec<u8>, id: (u64, u64), frame: &[u8], symbol: &[u8], trades: &[Trade]) {
    begin(into, id);
    into.extend_from_slice(b"\"Trades\",{\"trades\":[");
    for (place, trade) in trades.iter().enumerate() {
        into.extend_from_slice(if place == 0 { b"{\"symbol\":\"" } else { b",{\"symbol\":\"" });
        into.extend_from_slice(symbol);
        into.extend_from_slice(if trade.is_buy { b"\",\"side\":\"buy" } else { b"\",\"side\":\"sell" });
        into.extend_from_slice(b"\",\"price\":");
        write_decimal(into, frame, &trade.price);
        into.extend_from_slice(b",\"qty\":");
        write_decimal(into, frame, &trade.qty);
        into.extend_from_slice(b",\"timestamp\":\"");
        time::write(into, trade.time_us);
        into.extend_from_slice(b"\",\"ord_type\":\"");
        into.extend_from_slice(trade.ord_type.text(frame));
        into.extend_from_slice(b"\",\"trade_id\":");
        match trade.id {
            Some(id) => digits::append(into, id),
            None => into.extend_from_slice(b"null"),
        }
        into.push(b'}');
    }
    into.extend_from_slice(b"],\"snapshot\":false},null]");
}

const KEYS: [&str; NUMBERS] =
    ["bid", "bid_qty", "ask", "ask_qty", "last", "volume", "vwap", "low", "high", "change", "change_pct"];

/// Append a ticker.
pub fn write_ticker(into: &mut Vec<u8>, id: (u64, u64), frame: &[u8], symbol: &[u8], ticker: &Ticker<'_>) {
    begin(into, id);
    into.extend_from_slice(b"\"Tickers\",{\"tickers\":[{\"symbol\":\"");
    into.extend_from_slice(symbol);
    into.push(b'"');
    for (key, number) in KEYS.iter().zip(&ticker.numbers) {
        into.extend_from_slice(b",\"");
        into.extend_from_slice(key.as_bytes());
        into.extend_from_slice(b"\":");
        match number {
            Some(number) => write_decimal(into, frame, number),
            None => into.extend_from_slice(b"null"),
        }
    }
    into.extend_from_slice(b",\"timestamp\":");
    match ticker.stamp_us {
        Some(at_us) => {
            into.push(b'"');
            time::write(into, at_us);
            into.push(b'"');
        }
        None => into.extend_from_slice(b"null"),
    }
    into.extend_from_slice(b"}]},null]");
}

const PLAIN_FROM: i32 = -6; // the lowest power of ten with which Python writes a decimal without an exponent

/// A number without an exponent, as Python writes a `Decimal`.
fn write_decimal(into: &mut Vec<u8>, frame: &[u8], number: &Number) {
    let text = number.text(frame);
    let more_digits = number.value.checked_ilog10().unwrap_or(0);
    let power = more_digits as i32 - i32::from(number.decimals);
    into.push(b'"');
    if power >= PLAIN_FROM {
        into.extend_from_slice(text);
    } else {
        if text.first() == Some(&b'-') {
            into.push(b'-');
        }
        let unit = 10u64.pow(more_digits);
        digits::append(into, number.value / unit);
        if more_digits > 0 {
            let (rest, digits) = (number.value % unit, more_digits as usize);
            let written = write!(into, ".{rest:0digits$}");
            debug_assert!(written.is_ok(), "a vector takes everything");
        }
        into.extend_from_slice(b"E-");
        digits::append(into, power.unsigned_abs().into());
    }
    into.push(b'"');
}

/// Append a heartbeat.
pub fn write_heartbeat(into: &mut Vec<u8>, id: (u64, u64)) {
    begin(into, id);
    into.extend_from_slice(b"\"Heartbeat\",{},null]");
}

fn begin(into: &mut Vec<u8>, (run, seq): (u64, u64)) {
    into.extend_from_slice(b"[[");
    digits::append(into, run);
    into.push(b',');
    digits::append(into, seq);
    into.extend_from_slice(b"],");
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
