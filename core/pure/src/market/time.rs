//! Times as the exchange writes them: `2023-07-30T15:30:01.604059Z`.

pub const WRITTEN: usize = 27; // bytes

const MICROS_AT: usize = 20;
const DAYS_OF_ERA: i64 = 146_097; // 400 years
const EPOCH_DAY: i64 = 719_468; // days from 0000-03-01 to 1970-01-01

fn number(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

/// Unix time, µs; None if it is written otherwise, is no date, or lies before 1970.
pub fn micros(text: &[u8]) -> Option<i64> {
    let text: &[u8; WRITTEN] = text.try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (26, b'Z')];
    if marks.iter().any(|&(at, mark)| text[at] != mark) {
        return None;
    }
    let (year, month, day) = (number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?);
    let (hour, minute, second) = (number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?);
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
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * DAYS_OF_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAY;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000_000 + number(&text[MICROS_AT..MICROS_AT + 6])?)
}

/// Whether an encoder would leave the fraction of it out.
pub fn is_whole_second(text: &[u8]) -> bool {
    &text[MICROS_AT..MICROS_AT + 6] == b"000000"
}

#[cfg(test)]
mod tests {
    use super::micros;

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
