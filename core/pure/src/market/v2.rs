//! Updates of books in Kraken's WebSocket API v2.

use super::scan::{Cursor, Level, Shown, Update};
use super::time;

pub const HEARTBEAT: &[u8] = b"{\"channel\":\"heartbeat\"}";

const HEAD: &[u8] = b"{\"channel\":\"book\",\"type\":\"update\",\"data\":[";
const FRACTION: usize = 8; // bytes of `.000000Z`

/// An update of one book, its levels in `levels`; None: not by me.
pub fn update<'f>(frame: &'f [u8], levels: &mut Vec<Level>) -> Option<Update<'f>> {
    levels.clear();
    let mut cursor = Cursor::new(frame);
    cursor.eat(HEAD)?;
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
