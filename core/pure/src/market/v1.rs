//! Updates of books in Kraken's WebSocket API v1.

use super::scan::{Cursor, Level, Number, Shown, Update};
use super::trades::{NUMBERS, Ticker, Trade, Word};

pub const HEARTBEAT: &[u8] = b"{\"event\":\"heartbeat\"}";

/// An update of one book, its levels in `levels`; None: not by me.
pub fn update<'f>(frame: &'f [u8], levels: &mut Vec<Level>) -> Option<Update<'f>> {
    levels.clear();
    let mut cursor = Cursor::new(frame);
    cursor.eat(b"[")?;
    cursor.whole()?;
    cursor.eat(b",{\"")?;
    let is_asks = cursor.eat(b"a").is_some();
    if !is_asks {
        cursor.eat(b"b")?;
    }
    side(&mut cursor, levels)?;
    let mut bids = if is_asks { 0 } else { levels.len() };
    if is_asks && (cursor.eat(b",\"b").is_some() || cursor.eat(b"},{\"b").is_some()) {
        // in two objects or in one: asks come first, and are put behind the bids here
        let asks = levels.len();
        side(&mut cursor, levels)?;
        bids = levels.len() - asks;
        levels.rotate_right(bids);
    }
    cursor.eat(b",\"c\":\"")?;
    let checksum = u32::try_from(cursor.whole()?).ok()?;
    cursor.eat(b"\"},\"book-")?;
    cursor.plain()?;
    cursor.eat(b",\"")?;
    let symbol = cursor.plain()?;
    cursor.eat(b"]")?;
    cursor.is_at_end().then_some(Update { symbol, bids, checksum, stamp_us: None, shown: Shown::Levels })
}

/// A snapshot has no checksum here: nothing proves it, so it is not for me.
pub fn snapshot<'f>(_: &'f [u8], _: &mut Vec<Level>) -> Option<Update<'f>> {
    None
}

const TIME_MAX: u64 = 1 << 32; // the year 2106: Python reads a time by way of a double, which is exact until then
const TIME_DECIMALS: u8 = 6;

/// Trades of one symbol, which is given; None: not by me.
pub fn trades<'f>(frame: &'f [u8], trades: &mut Vec<Trade>) -> Option<&'f [u8]> {
    trades.clear();
    let mut cursor = Cursor::new(frame);
    cursor.eat(b"[")?;
    cursor.whole()?;
    cursor.eat(b",[")?;
    loop {
        cursor.eat(b"[")?;
        let price = quoted(&mut cursor)?;
        cursor.eat(b",")?;
        let qty = quoted(&mut cursor)?;
        cursor.eat(b",")?;
        let time = quoted(&mut cursor)?;
        let is_buy = cursor.eat(b",\"b\",\"").is_some();
        if !is_buy {
            cursor.eat(b",\"s\",\"")?;
        }
        let ord_type = Word::Is(if cursor.plain()? == b"m" { b"market" } else { b"limit" });
        cursor.eat(b",\"")?;
        cursor.plain()?;
        if time.decimals > TIME_DECIMALS {
            return None;
        }
        let time_us = time.scaled(TIME_DECIMALS).filter(|us| *us < TIME_MAX * 1_000_000)? as i64;
        trades.push(Trade { is_buy, price, qty, time_us, ord_type, id: None });
        if cursor.eat(b"],").is_none() {
            break;
        }
    }
    cursor.eat(b"]],\"trade\",\"")?;
    let symbol = cursor.plain()?;
    cursor.eat(b"]")?;
    cursor.is_at_end().then_some(symbol)
}

/// A ticker; None: not by me.
pub fn ticker(frame: &[u8]) -> Option<Ticker<'_>> {
    let mut cursor = Cursor::new(frame);
    cursor.eat(b"[")?;
    cursor.whole()?;
    let mut numbers = [None; NUMBERS];
    for (key, at) in [(b",{\"a\":[", 2), (b"],\"b\":[", 0)] {
        // price, whole lots, quantity
        cursor.eat(key)?;
        numbers[at] = Some(quoted(&mut cursor)?);
        cursor.eat(b",")?;
        cursor.whole()?;
        cursor.eat(b",")?;
        numbers[at + 1] = Some(quoted(&mut cursor)?);
    }
    // of today and of the last 24 hours
    for (key, at, is_first) in [(b'c', 4, true), (b'v', 5, false), (b'p', 6, false)] {
        let pair = pair(&mut cursor, key)?;
        numbers[at] = Some(if is_first { pair.0 } else { pair.1 });
    }
    cursor.eat(b"],\"t\":[")?;
    cursor.whole()?;
    cursor.eat(b",")?;
    cursor.whole()?;
    numbers[7] = Some(pair(&mut cursor, b'l')?.1);
    numbers[8] = Some(pair(&mut cursor, b'h')?.1);
    pair(&mut cursor, b'o')?;
    cursor.eat(b"]},\"ticker\",\"")?;
    let symbol = cursor.plain()?;
    cursor.eat(b"]")?;
    cursor.is_at_end().then_some(Ticker { symbol, numbers, stamp_us: None })
}

/// `"a number"`
#[inline(always)]
fn quoted(cursor: &mut Cursor<'_>) -> Option<Number> {
    cursor.eat(b"\"")?;
    let number = cursor.decimal()?;
    cursor.eat(b"\"")?;
    Some(number)
}

/// `],"key":["a number","a number"`
fn pair(cursor: &mut Cursor<'_>, key: u8) -> Option<(Number, Number)> {
    cursor.eat(b"],\"")?;
    cursor.eat(&[key])?;
    cursor.eat(b"\":[")?;
    let first = quoted(cursor)?;
    cursor.eat(b",")?;
    Some((first, quoted(cursor)?))
}

/// `":[["price","qty","time"],["price","qty","time","r"]]`
#[inline(always)]
fn side(cursor: &mut Cursor<'_>, levels: &mut Vec<Level>) -> Option<()> {
    cursor.eat(b"\":[")?;
    loop {
        cursor.eat(b"[\"")?;
        let price = cursor.number()?;
        cursor.eat(b"\",\"")?;
        let qty = cursor.number()?;
        cursor.eat(b"\",\"")?;
        cursor.number()?;
        cursor.eat(b"\"")?;
        if cursor.next_is(b',') {
            cursor.eat(b",\"r\"")?;
        }
        levels.push(Level { price, qty });
        if cursor.eat(b"],").is_none() {
            return cursor.eat(b"]]");
        }
    }
}
