//! Times as the exchange writes them: `2023-07-30T15:30:01.604059Z`.

use super::digits;

pub const WRITTEN: usize = 27; // bytes

const MICROS_AT: usize = 20;
const NO_HUNDRED: u64 = u16::from_le_bytes(*b"00") as u64;
const DAYS_OF_ERA: i64 = 146_097; // 400 years
const EPOCH_DAY: i64 = 719_468; // days from 0000-03-01 to 1970-01-01

/// Unix time, µs; None if it is written otherwise, is no date, or lies before 1970.
pub fn micros(text: &[u8]) -> Option<i64> {
    let text: &[u8; WRITTEN] = text.try_into().ok()?;
    let marks = [text[4], text[7], text[10], text[13], text[16], text[19], text[26]];
    if marks != *b"--T::.Z" {
        return None;
    }
    let pair = |at: usize| u64::from(u16::from_le_bytes([text[at], text[at + 1]]));
    let eight = |pairs: [u64; 4]| {
        let [first, second, third, fourth] = pairs;
        digits::eight((first | second << 16 | third << 32 | fourth << 48).to_le_bytes())
    };
    let date = eight([pair(0), pair(2), pair(5), pair(8)])?; // year, month, day
    let clock = eight([pair(11), pair(14), pair(17), pair(MICROS_AT)])?; // ... and two digits of the fraction
    let rest = eight([NO_HUNDRED, NO_HUNDRED, pair(MICROS_AT + 2), pair(MICROS_AT + 4)])?;
    let (year, month, day) = ((date / 10_000) as i64, date / 100 % 100, (date % 100) as i64);
    let (hour, minute, second) = (clock / 1_000_000, clock / 10_000 % 100, clock / 100 % 100);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if year < 1970 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // years begin in March here, so that the day of a leap year is their last
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month as i64 + 9) % 12) + 2) / 5 + day - 1;
    let days = era * DAYS_OF_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAY;
    let seconds = days * 86_400 + ((hour * 60 + minute) * 60 + second) as i64;
    Some(seconds * 1_000_000 + (clock % 100 * 10_000 + rest) as i64)
}

/// A time as an encoder writes it: without a fraction that is zero.
pub fn write(into: &mut Vec<u8>, at_us: i64) {
    let (seconds, fraction) = (at_us.div_euclid(1_000_000), at_us.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400) + EPOCH_DAY, seconds.rem_euclid(86_400));
    let (era, of_era) = (days.div_euclid(DAYS_OF_ERA), days.rem_euclid(DAYS_OF_ERA));
    let of_years = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_years + of_years / 4 - of_years / 100);
    let month = (5 * of_year + 2) / 153; // from March on
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + of_years + i64::from(month >= 10);
    let parts = [
        (year, 4, b'-'),
        ((month + 2) % 12 + 1, 2, b'-'),
        (day, 2, b'T'),
        (second / 3_600, 2, b':'),
        (second / 60 % 60, 2, b':'),
        (second % 60, 2, if fraction == 0 { b'Z' } else { b'.' }),
        (fraction, 6, b'Z'),
    ];
    for (number, digits, mark) in &parts[..if fraction == 0 { 6 } else { 7 }] {
        for place in (0..*digits).rev() {
            into.push(b'0' + (number / 10i64.pow(place) % 10) as u8);
        }
        into.push(*mark);
    }
}

/// A time as a calendar and a clock show it.
#[derive(Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub micros: u32,
}

/// A time that `micros` takes.
pub fn civil(text: &[u8; WRITTEN]) -> Civil {
    let pair = |at: usize| text[at].wrapping_sub(b'0').wrapping_mul(10).wrapping_add(text[at + 1].wrapping_sub(b'0'));
    let pairs = [MICROS_AT, MICROS_AT + 2, MICROS_AT + 4];
    let micros = pairs.into_iter().fold(0, |micros, at| micros * 100 + u32::from(pair(at)));
    let year = u16::from(pair(0)) * 100 + u16::from(pair(2));
    Civil { year, month: pair(5), day: pair(8), hour: pair(11), minute: pair(14), second: pair(17), micros }
}

/// Whether an encoder would leave the fraction of it out.
pub fn is_whole_second(text: &[u8]) -> bool {
    &text[MICROS_AT..MICROS_AT + 6] == b"000000"
}

#[cfg(test)]
mod tests {
    use super::{Civil, civil, micros, write};

    #[test]
    fn times_are_written_as_they_are_read() {
        let day_us = 86_400_000_000;
        for at_us in (0..90_000).map(|day| day * day_us + day * 977 % day_us) {
            let mut text = Vec::new();
            write(&mut text, at_us);
            if at_us % 1_000_000 == 0 {
                text.truncate(text.len() - 1);
                text.extend_from_slice(b".000000Z");
            }
            assert_eq!(micros(&text), Some(at_us), "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn a_time_is_shown_as_it_is_written() {
        let one =
            |year, month, day, hour, minute, second, micros| Civil { year, month, day, hour, minute, second, micros };
        assert_eq!(civil(b"2023-07-30T15:29:58.343415Z"), one(2023, 7, 30, 15, 29, 58, 343_415));
        assert_eq!(civil(b"2024-12-31T23:59:59.999999Z"), one(2024, 12, 31, 23, 59, 59, 999_999));
        assert_eq!(civil(b"1970-01-01T00:00:00.000000Z"), one(1970, 1, 1, 0, 0, 0, 0));
    }

    #[test]
    fn times() {
        for (text, meant) in [
            ("1970-01-01T00:00:00.000000Z", Some(0)),
            ("2023-07-30T15:30:01.604059Z", Some(1_690_731_001_604_059)),
            ("2024-02-29T23:59:59.999999Z", Some(1_709_251_199_999_999)),
            ("2000-03-01T00:00:00.000001Z", Some(951_868_800_000_001)),
            ("2023-02-29T00:00:00.000000Z", None),
            ("2023-07-30T24:00:00.000000Z", None),
            ("2023-07-30T15:30:60.000000Z", None),
            ("2023-13-30T15:30:01.604059Z", None),
            ("2023-07-00T15:30:01.604059Z", None),
            ("1969-12-31T23:59:59.999999Z", None),
            ("2023-07-30t15:30:01.604059Z", None),
            ("2023-07-30T15:30:01.60405Z", None),
            ("2023-07-30T15:30:01.60405 Z", None),
        ] {
            assert_eq!(micros(text.as_bytes()), meant, "{text}");
        }
    }
}
