//! Whatever an endpoint answers, a block is taken or declined, and nothing panics.
//!
//! The first two bytes say which checks are made, so that those behind one that fails are reached too; a zero byte,
//! which no JSON holds, stands between the block and its receipts.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use tidelog_pure::chain::decline::Reason;
use tidelog_pure::chain::keccak::Lanes;
use tidelog_pure::chain::rows::{Ingest, LOG_COLUMNS, lay_out};
use tidelog_pure::chain::rules::{CHECKS, Checks, Range, Rules};
use tidelog_pure::chain::take::{Answer, Key, take};

const ASKED: u64 = 3; // the number of the block in most of what the search begins with

fuzz_target!(|data: &[u8]| {
    let [low, high, answers @ ..] = data else { return };
    let Some(end) = answers.iter().position(|&byte| byte == 0) else { return };
    let bits = u16::from_le_bytes([*low, *high]);
    let made = CHECKS.iter().enumerate().filter(|(place, _)| bits >> place & 1 != 0).map(|(_, name)| *name);
    let range = Range {
        checks: Checks::named(made).unwrap_or_default(),
        state_sync: bits >> 12 & 1 != 0,
        storage_withdrawals_root: bits >> 13 & 1 != 0,
        bloom_superset: bits >> 14 & 1 != 0,
        ..Range::default()
    };
    let rules = Rules { chain_id: 1, name: "a chain".into(), ranges: vec![range], ..Rules::default() };
    let answer = Answer {
        key: Key::Number(ASKED),
        block: &answers[..end],
        receipts: &answers[end + 1..],
        uncles: (bits >> 15 != 0).then(|| vec![&answers[..end]]),
    };
    for outcome in take(&[answer], &rules, None, Lanes::best(), |outcomes, _| outcomes) {
        match outcome {
            Ok(proven) => {
                let ingest = Ingest { chain_id: 1, endpoint: "e", ingested_at: 0 };
                let rows = lay_out(&[&proven], &ingest, Lanes::best());
                let logs = &rows[0].logs;
                let values: usize = (0..logs.len()).filter_map(|place| Some(logs.values(place)?.count())).sum();
                assert_eq!(values, LOG_COLUMNS * logs.len(), "what is encoded is read back");
            }
            Err(declined) => assert!(declined.reason != Reason::Fault, "{}", declined.what),
        }
    }
});
