//! Updates of books in Kraken's WebSocket API v2.

use super::scan::{Cursor, Level, Shown, Update};
use super::time;
use super::trades::{NUMBERS, Ticker, Trade};

pub const HEARTBEAT: &[u8] = b"{\"channel\":\"heartbeat\"}";

const UPDATE: &[u8] = b"{\"channel\":\"book\",\"type\":\"update\",\"data\":[";
const SNAPSHOT: &[u8] = b"{\"channel\":\"book\",\"type\":\"snapshot\",\"data\":[";
const FRACTION: usize = 8; // bytes of `.000000Z`

/// An update of one book, its levels in `levels`; None: not by me.
pub fn update<'f>(frame: &'f [u8], levels: &mut Vec<Level>) -> Option<Update<'f>> {
    book(frame, UPDATE, levels)
}

/// A snapshot of one book, in the same way.
#[cold]
pub fn snapshot<'f>(frame: &'f [u8], levels: &mut Vec<Level>) -> Option<Update<'f>> {
    book(frame, SNAPSHOT, levels)
}

#[inline(always)]
fn book<'f>(frame: &'f [u8], head: &[u8], levels: &mut Vec<Level>) -> Option<Update<'f>> {
    levels.clear();
    let mut cursor = Cursor::new(frame);
    cursor.eat(head)?;
    let begin = cursor.at;
    cursor.eat(b"{\"symbol\":\"")?;
    let symbol = cursor.plain()?;
    cursor.eat(b",\"bids\":[")?;
    side(&mut cursor, levels)?;
    let bids = levels.len();
    cursor.eat(b",\"asks\":[")?;
    side(&mut cursor, levels)?;
    cursor.eat(b",\"checksum\":")?;
    let checksum = u32::try_from(cursor.whole()?).ok()?;
    let (mut shown, mut stamp_us) = (Shown::Parts(&frame[begin..cursor.at], b",\"timestamp\":null}"), None);
    if cursor.next_is(b',') {
        cursor.eat(b",\"timestamp\":\"")?;
        let text = frame.get(cursor.at..cursor.at + time::WRITTEN)?;
        stamp_us = Some(time::micros(text)?);
        cursor.at += time::WRITTEN;
        shown = match time::is_whole_second(text) {
            true => Shown::Parts(&frame[begin..cursor.at - FRACTION], b"Z\"}"),
            false => Shown::Parts(&frame[begin..cursor.at], b"\"}"),
        };
        cursor.eat(b"\"")?;
    }
    cursor.eat(b"}]}")?;
    cursor.is_at_end().then_some(Update { symbol, bids, checksum, stamp_us, shown })
}

const TRADES: &[u8] = b"{\"channel\":\"trade\",\"type\":\"update\",\"data\":[";

/// Trades of one symbol, which is given; None: not by me.
pub fn trades<'f>(frame: &'f [u8], trades: &mut Vec<Trade>) -> Option<&'f [u8]> {
    trades.clear();
    let mut cursor = Cursor::new(frame);
    cursor.eat(TRADES)?;
    let mut of: Option<&[u8]> = None;
    loop {
        cursor.eat(b"{\"symbol\":\"")?;
        let symbol = cursor.plain()?;
        if *of.get_or_insert(symbol) != symbol {
            return None;
        }
        cursor.eat(b",\"side\":\"")?;
        let is_buy = cursor.next_is(b'b');
        cursor.eat(if is_buy { b"buy\",\"price\":" } else { b"sell\",\"price\":" })?;
        let price = cursor.decimal()?;
        cursor.eat(b",\"qty\":")?;
        let qty = cursor.decimal()?;
        cursor.eat(b",\"ord_type\":\"")?;
        let ord_type = cursor.word()?;
        cursor.eat(b",\"trade_id\":")?;
        let id = cursor.whole().filter(|id| *id <= i64::MAX as u64)?;
        let time_us = stamp(&mut cursor)?;
        trades.push(Trade { is_buy, price, qty, time_us, ord_type, id: Some(id) });
        if cursor.eat(b"},").is_none() {
            break;
        }
    }
    cursor.eat(b"}]}")?;
    cursor.is_at_end().then_some(of?)
}

const KEYS: [&[u8]; NUMBERS] = [
    b",\"bid\":",
    b",\"bid_qty\":",
    b",\"ask\":",
    b",\"ask_qty\":",
    b",\"last\":",
    b",\"volume\":",
    b",\"vwap\":",
    b",\"low\":",
    b",\"high\":",
    b",\"change\":",
    b",\"change_pct\":",
];

/// A ticker; None: not by me.
pub fn ticker(frame: &[u8]) -> Option<Ticker<'_>> {
    let mut cursor = Cursor::new(frame);
    cursor.eat(b"{\"channel\":\"ticker\",\"type\":\"")?;
    if cursor.eat(b"update").is_none() {
        cursor.eat(b"snapshot")?;
    }
    cursor.eat(b"\",\"data\":[{\"symbol\":\"")?;
    let symbol = cursor.plain()?;
    let mut numbers = [None; NUMBERS];
    for (key, number) in KEYS.iter().zip(&mut numbers) {
        cursor.eat(key)?;
        *number = Some(cursor.signed()?);
    }
    let stamp_us = if cursor.next_is(b',') { Some(stamp(&mut cursor)?) } else { None };
    cursor.eat(b"}]}")?;
    cursor.is_at_end().then_some(Ticker { symbol, numbers, stamp_us })
}

/// `,"timestamp":"..."`
fn stamp(cursor: &mut Cursor<'_>) -> Option<i64> {
    cursor.eat(b",\"timestamp\":\"")?;
    let at_us = time::micros(cursor.frame.get(cursor.at..cursor.at + time::WRITTEN)?)?;
    cursor.at += time::WRITTEN;
    cursor.eat(b"\"")?;
    Some(at_us)
}

/// The time of an update that has one, as it is written.
pub fn stamp_text(frame: &[u8]) -> Option<&[u8; time::WRITTEN]> {
    frame.strip_suffix(b"\"}]}")?.last_chunk()
}

#[inline(always)]
fn side(cursor: &mut Cursor<'_>, levels: &mut Vec<Level>) -> Option<()> {
    if cursor.next_is(b']') {
        cursor.at += 1;
        return Some(());
    }
    loop {
        cursor.eat(b"{\"price\":")?;
        let price = cursor.number()?;
        cursor.eat(b",\"qty\":")?;
        let qty = cursor.number()?;
        levels.push(Level { price, qty });
        if cursor.eat(b"},").is_none() {
            return cursor.eat(b"}]");
        }
    }
}
