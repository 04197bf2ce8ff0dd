//! Updates of books in Kraken's WebSocket API v1.

use super::scan::{Cursor, Level, Shown, Update};

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
