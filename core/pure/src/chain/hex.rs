//! Hex digits to bytes, eight digits at a time in one word.

/// The value of a digit, by its character; 255 for what is none.
pub static NIBBLE: [u8; 256] = {
    let mut table = [255u8; 256];
    let mut character = 0;
    while character < 256 {
        let c = character as u8;
        if c.is_ascii_digit() {
            table[character] = c - b'0';
        } else if c.is_ascii_hexdigit() {
            table[character] = (c | 0x20) - b'a' + 10;
        }
        character += 1;
    }
    table
};

const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Eight digits as four bytes; the second value is not 0 if one of them is no digit.
#[inline(always)]
fn eight(digits: u64) -> (u32, u64) {
    // no sum leaves its byte: `low` is at most 15, so `nibble` is at most 24
    let letter = (digits >> 6) & each(1);
    let low = digits & each(0x0f);
    let nibble = low + letter * 9;
    let kind = ((digits | (letter << 5)) & each(0xf0)) ^ (each(0x30) + letter * 0x30);
    let letter_bit = letter << 4;
    let not_zero = (low + each(0x0f)) & each(0x10); // of letters: the first one is 1
    let beyond_nine = (low + each(6)) & each(0x10);
    let wrong = kind | (letter_bit & !not_zero) | (nibble & each(0x10)) | (beyond_nine & !letter_bit);
    let bytes = ((nibble << 4) | (nibble >> 8)) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | (bytes >> 8)) & 0x0000_ffff_0000_ffff;
    ((pairs | (pairs >> 16)) as u32, wrong | (digits & each(0x80)))
}

/// Write what `digits` say to `out`; false if one of them is no digit.
///
/// There are two digits for each byte of `out`.
#[inline(always)]
pub fn decode(digits: &[u8], out: &mut [u8]) -> bool {
    let (quads, last) = out.as_chunks_mut::<4>();
    let (words, rest) = digits.as_chunks::<8>();
    let mut wrong = 0u64;
    for (four, word) in quads.iter_mut().zip(words) {
        let (bytes, bad) = eight(u64::from_le_bytes(*word));
        *four = bytes.to_le_bytes();
        wrong |= bad;
    }
    let mut tail = 0u8;
    for (byte, pair) in last.iter_mut().zip(rest.as_chunks::<2>().0) {
        let (high, low) = (NIBBLE[pair[0] as usize], NIBBLE[pair[1] as usize]);
        *byte = high << 4 | (low & 15);
        tail |= high | low;
    }
    wrong == 0 && tail < 16
}

#[cfg(test)]
mod tests {
    use super::{NIBBLE, decode};

    /// Every character at every place of a word, beside every kind of neighbour: as one digit after the other says.
    #[test]
    fn every_character_at_every_place() {
        for character in 0..=255u8 {
            for place in 0..12 {
                for neighbour in [b'0', b'9', b'a', b'f', b'A', b'F', b'/', b':', b'@', b'G', b'`', b'g', 0, 0x80, 0xff]
                {
                    let mut text = [neighbour; 12];
                    text[place] = character;
                    let expected: Vec<u8> = text
                        .chunks(2)
                        .map(|pair| NIBBLE[pair[0] as usize] << 4 | (NIBBLE[pair[1] as usize] & 15))
                        .collect();
                    let mut out = [0u8; 6];
                    let good = decode(&text, &mut out);
                    assert_eq!(good, text.iter().all(u8::is_ascii_hexdigit), "{text:?}");
                    assert!(!good || out[..] == expected[..], "{text:?}");
                }
            }
        }
    }
}
