//! Hex digits to bytes: eight at a time in one word, or 32 in one vector where the processor has AVX2.

#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::__m256i;
#[cfg(target_arch = "x86_64")]
use pulp::x86::V3;

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

/// A quantity of up to 15 digits, which a quote ends: its value, and how many digits it has; None for any other text.
#[inline(always)]
pub fn short(text: &[u8; 16]) -> Option<(u64, usize)> {
    let (low, high) = (u64::from_le_bytes(text[..8].try_into().ok()?), u64::from_le_bytes(text[8..].try_into().ok()?));
    let (first, count) = digits_before_quote(low)?;
    if count < 8 {
        return Some((u64::from(first), count));
    }
    let (second, more) = digits_before_quote(high)?;
    (more < 8).then(|| (u64::from(first) << (4 * more) | u64::from(second), 8 + more))
}

/// The value of a word's digits up to the first quote, and how many those are: eight if there is no quote.
#[inline(always)]
fn digits_before_quote(word: u64) -> Option<(u32, usize)> {
    let marked = word ^ each(b'"');
    let quotes = marked.wrapping_sub(each(1)) & !marked & each(0x80); // the lowest bit that is set is right
    let count = (quotes.trailing_zeros() / 8) as usize;
    // moved behind zeros, the last digit at the end
    let digits = match count {
        0 => each(b'0'),
        8 => word,
        _ => word << (64 - 8 * count) | each(b'0') >> (8 * count),
    };
    let (bytes, wrong) = eight(digits);
    (wrong == 0).then_some((bytes.swap_bytes(), count))
}

/// How digits are read, and the ends of strings found: by what the processor has.
pub trait Digits: Copy {
    /// Write what `digits` say to `out`; false if one of them is no digit.
    ///
    /// There are two digits for each byte of `out`.
    fn decode(self, digits: &[u8], out: &mut [u8]) -> bool;

    /// The place of the first quote.
    fn quote(self, text: &[u8]) -> Option<usize>;
}

/// Digits in words of 64 bits, on any processor.
#[derive(Clone, Copy)]
pub struct Words;

impl Digits for Words {
    #[inline(always)]
    fn decode(self, digits: &[u8], out: &mut [u8]) -> bool {
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

    #[inline(always)]
    fn quote(self, text: &[u8]) -> Option<usize> {
        memchr::memchr(b'"', text)
    }
}

#[cfg(target_arch = "x86_64")]
impl Digits for V3 {
    #[inline(always)]
    fn decode(self, digits: &[u8], out: &mut [u8]) -> bool {
        let (halves, last) = out.as_chunks_mut::<16>();
        let (vectors, rest) = digits.as_chunks::<32>();
        let mut good: __m256i = pulp::cast([0xffu8; 32]);
        for (half, vector) in halves.iter_mut().zip(vectors) {
            let (bytes, are_digits) = thirty_two(self, pulp::cast(*vector));
            *half = bytes;
            good = self.avx2._mm256_and_si256(good, are_digits);
        }
        Words.decode(rest, last) && self.avx2._mm256_movemask_epi8(good) == -1
    }

    #[inline(always)]
    fn quote(self, text: &[u8]) -> Option<usize> {
        let (vectors, rest) = text.as_chunks::<32>();
        for (n, vector) in vectors.iter().enumerate() {
            let quotes = self.avx2._mm256_cmpeq_epi8(pulp::cast(*vector), pulp::cast([b'"'; 32]));
            let mask = self.avx2._mm256_movemask_epi8(quotes);
            if mask != 0 {
                return Some(32 * n + mask.trailing_zeros() as usize);
            }
        }
        rest.iter().position(|&c| c == b'"').map(|place| text.len() - rest.len() + place)
    }
}

/// 32 digits as 16 bytes, and which of them are digits.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn thirty_two(v3: V3, digits: __m256i) -> ([u8; 16], __m256i) {
    let simd = v3.avx2;
    let splat = |byte: u8| -> __m256i { pulp::cast([byte; 32]) };
    let decimal = simd._mm256_sub_epi8(digits, splat(b'0'));
    let is_decimal = simd._mm256_cmpeq_epi8(simd._mm256_min_epu8(decimal, splat(9)), decimal);
    let letter = simd._mm256_sub_epi8(simd._mm256_or_si256(digits, splat(0x20)), splat(b'a'));
    let is_letter = simd._mm256_cmpeq_epi8(simd._mm256_min_epu8(letter, splat(5)), letter);
    let nibbles = simd._mm256_blendv_epi8(simd._mm256_add_epi8(letter, splat(10)), decimal, is_decimal);
    // sixteen times the one and once the next, in words of 16 bits; then their low bytes
    let words = simd._mm256_maddubs_epi16(nibbles, pulp::cast([[16u8, 1]; 16]));
    let packed = simd._mm256_permute4x64_epi64::<0b1000>(simd._mm256_packus_epi16(words, words));
    let [bytes, _]: [[u8; 16]; 2] = pulp::cast(packed);
    (bytes, simd._mm256_or_si256(is_decimal, is_letter))
}

#[cfg(test)]
mod tests {
    use super::{Digits, NIBBLE, Words, short};
    use crate::chain::keccak::Lanes;

    fn as_one_after_the_other(digits: impl Digits) {
        // a vector of digits, then words of them, then single ones
        const SIZE: usize = 32 + 8 + 4;
        for character in 0..=255u8 {
            for place in 0..SIZE {
                for neighbour in [b'0', b'9', b'a', b'f', b'A', b'F', b'/', b':', b'@', b'G', b'`', b'g', 0, 0x80, 0xff]
                {
                    let mut text = [neighbour; SIZE];
                    text[place] = character;
                    let expected: Vec<u8> = text
                        .chunks(2)
                        .map(|pair| NIBBLE[pair[0] as usize] << 4 | (NIBBLE[pair[1] as usize] & 15))
                        .collect();
                    let mut out = [0u8; SIZE / 2];
                    let good = digits.decode(&text, &mut out);
                    assert_eq!(good, text.iter().all(u8::is_ascii_hexdigit), "{text:?}");
                    assert!(!good || out[..] == expected[..], "{text:?}");
                }
            }
        }
        for size in 0..100 {
            let mut text = vec![b'a'; size];
            assert_eq!(digits.quote(&text), None);
            for place in (0..size).rev() {
                text[place] = b'"';
                assert_eq!(digits.quote(&text), Some(place));
            }
        }
    }

    /// Every character at every place, beside every kind of neighbour: as one digit after the other says.
    #[test]
    fn every_character_at_every_place() {
        as_one_after_the_other(Words);
        #[cfg(target_arch = "x86_64")]
        if let Some(v3) = Lanes::best().avx2() {
            as_one_after_the_other(v3);
        }
    }

    #[test]
    fn short_quantities_of_every_length() {
        for count in 0..=16 {
            for digit in [b'0', b'1', b'9', b'a', b'F'] {
                let mut text = [b'"'; 16];
                text[..count].fill(digit);
                let said = std::str::from_utf8(&text[..count]).unwrap_or_default();
                let expected = match count {
                    0 => Some((0, 0)),
                    16 => None, // no quote
                    _ => u64::from_str_radix(said, 16).ok().map(|value| (value, count)),
                };
                assert_eq!(short(&text), expected, "{said}");
                for place in 0..count {
                    for wrong in [b'g', b'/', b':', b' ', 0, 0x80, 0xa2] {
                        let mut text = text;
                        text[place] = wrong;
                        assert_eq!(short(&text), None, "{text:?}");
                    }
                }
            }
        }
    }
}
