//! Any text is read as JSON or declined, and what is kept of it is kept again as it is; any bytes are RLP, or are not.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tidelog_pure::chain::json::Scanner;
use tidelog_pure::chain::rlp::{self, Item};

fn kept(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut scanner = Scanner::new(text);
    scanner.any(&mut Some(&mut out)).ok()?;
    scanner.end().ok()?;
    Some(out)
}

fn encoded(item: &Item<'_>, out: &mut Vec<u8>) {
    match item {
        Item::Bytes(data) => rlp::bytes(out, data),
        Item::List(items) => {
            let start = out.len();
            items.iter().for_each(|item| encoded(item, out));
            rlp::wrap(out, start);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    if let Some(text) = kept(data) {
        assert_eq!(kept(&text).as_deref(), Some(&text[..]), "kept again, it is another text");
    }
    if let Some(item) = rlp::item(data) {
        let mut again = Vec::new();
        encoded(&item, &mut again);
        assert_eq!(again, data, "an item that is encoded in another way");
    }
});
