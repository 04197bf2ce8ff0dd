//! Digits of a number: written two at a time, read eight at a time.

pub const U64_MAX: usize = 20; // digits

const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Write a number from a place on; the place behind it.
#[inline(always)]
pub fn write<const SIZE: usize>(mut number: u64, text: &mut [u8; SIZE], from: usize) -> usize {
    let end = from + number.checked_ilog10().map_or(1, |more| more as usize + 1);
    let mut at = end;
    while number >= 100 {
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    match number {
        10.. => text[at - 2..at].copy_from_slice(&PAIRS[number as usize]),
        _ => text[at - 1] = b'0' + number as u8,
    }
    end
}

/// Append a number.
pub fn append(into: &mut Vec<u8>, number: u64) {
    let mut text = [0; U64_MAX];
    let length = write(number, &mut text, 0);
    into.extend_from_slice(&text[..length]);
}

const ZEROS: u64 = 0x3030_3030_3030_3030;
const ABOVE_NINE: u64 = 0x4646_4646_4646_4646; // added to a byte above '9', its highest bit is set
const HIGHEST: u64 = 0x8080_8080_8080_8080;

/// The number of these eight digits; None: one of them is none.
#[inline(always)]
pub fn eight(text: [u8; 8]) -> Option<u64> {
    let read = u64::from_le_bytes(text);
    let digits = read.wrapping_sub(ZEROS);
    if (digits | read.wrapping_add(ABOVE_NINE)) & HIGHEST != 0 {
        return None;
    }
    // pairs of digits, then of pairs, then of fours, each in its own lane
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (pairs & 0xff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let low = (pairs >> 16 & 0xff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    Some(high.wrapping_add(low) >> 32)
}

#[cfg(test)]
mod tests {
    use super::{append, eight, write};

    #[test]
    fn numbers_are_written_as_text_is() {
        for power in 0..20 {
            for number in [10u64.pow(power), 10u64.pow(power) - 1, 10u64.pow(power).saturating_mul(7) - 4, u64::MAX] {
                let (mut text, mut appended) = ([b'.'; 24], b"x".to_vec());
                let end = write(number, &mut text, 2);
                append(&mut appended, number);
                assert_eq!(&text[2..end], number.to_string().as_bytes());
                assert_eq!(appended, format!("x{number}").as_bytes());
                assert_eq!((text[1], text[end]), (b'.', b'.'));
            }
        }
    }

    #[test]
    fn eight_digits_are_read_at_once_or_not_at_all() {
        for text in ["00000000", "12345678", "99999999", "00000001", "90000000", "07430000"] {
            let bytes: [u8; 8] = text.as_bytes().try_into().unwrap_or_default();
            assert_eq!(eight(bytes), text.parse().ok());
        }
        for place in 0..8 {
            for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
                for digit in *b"059" {
                    let mut text = [digit; 8];
                    text[place] = byte;
                    assert_eq!(eight(text), None, "{byte} at {place}");
                }
            }
        }
    }
}
