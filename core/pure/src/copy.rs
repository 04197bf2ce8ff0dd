//! Rows as PostgreSQL's binary COPY takes them.
//!
//! A stream is a head, then each row as the count of its fields and each field as its length and its bytes, then an end.
//! A NUMERIC is `numeric_send`'s: the count of its digits in base 10,000, the power of the first one, sign and scale,
//! then the digits, without zeros at the end.

const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"; // the signature, no flags, no extension
const END: [u8; 2] = (-1i16).to_be_bytes();
const BASE: u64 = 10_000;
const DIGITS_MAX: usize = 20; // of 2^256 - 1

/// A stream that grows row by row.
pub struct Copy {
    out: Vec<u8>,
    fields: [u8; 2],
}

impl Copy {
    /// A stream of rows of so many fields.
    pub fn new(fields: u16) -> Self {
        Copy { out: HEAD.to_vec(), fields: fields.to_be_bytes() }
    }

    pub fn size(&self) -> usize {
        self.out.len()
    }

    /// The next row begins; its fields follow.
    pub fn row(&mut self) {
        self.out.extend_from_slice(&self.fields);
    }

    pub fn null(&mut self) {
        self.out.extend_from_slice(&(-1i32).to_be_bytes());
    }

    pub fn int8(&mut self, value: i64) {
        self.field(&value.to_be_bytes());
    }

    /// BYTEA, or TEXT in UTF-8. False if a field cannot be so long.
    pub fn bytes(&mut self, value: &[u8]) -> bool {
        let fits = i32::try_from(value.len()).is_ok();
        if fits {
            self.field(value);
        }
        fits
    }

    fn field(&mut self, value: &[u8]) {
        self.out.extend_from_slice(&(value.len() as u32).to_be_bytes());
        self.out.extend_from_slice(value);
    }

    pub fn numeric(&mut self, value: u64) {
        let mut wide = [0; 32];
        wide[24..].copy_from_slice(&value.to_be_bytes());
        self.numeric256(&wide);
    }

    /// A NUMERIC of 256 bits, big-endian.
    pub fn numeric256(&mut self, value: &[u8; 32]) {
        let mut digits = [0u16; DIGITS_MAX]; // the lowest first
        let count = base_10_000(value, &mut digits);
        let low = digits[..count].iter().take_while(|digit| **digit == 0).count();
        let words = (count - low) as u16;
        let weight = count.saturating_sub(1) as u16;
        self.out.extend_from_slice(&(8 + 2 * u32::from(words)).to_be_bytes());
        for word in [words, weight, 0, 0].iter().chain(digits[low..count].iter().rev()) {
            self.out.extend_from_slice(&word.to_be_bytes());
        }
    }

    /// The whole stream.
    pub fn end(mut self) -> Vec<u8> {
        self.out.extend_from_slice(&END);
        self.out
    }
}

/// The digits of a number, the lowest first; how many there are.
fn base_10_000(value: &[u8; 32], digits: &mut [u16; DIGITS_MAX]) -> usize {
    let mut limbs = [0u64; 8]; // of 32 bits, the highest first
    for (limb, bytes) in limbs.iter_mut().zip(value.chunks_exact(4)) {
        *limb = bytes.iter().fold(0, |limb, byte| limb << 8 | u64::from(*byte));
    }
    let (mut first, mut count) = (0, 0);
    loop {
        while first < limbs.len() && limbs[first] == 0 {
            first += 1;
        }
        if first == limbs.len() {
            return count;
        }
        let mut rest = 0;
        for limb in &mut limbs[first..] {
            let whole = rest << 32 | *limb;
            *limb = whole / (BASE * BASE);
            rest = whole % (BASE * BASE);
        }
        for digit in [rest % BASE, rest / BASE] {
            if count < DIGITS_MAX {
                digits[count] = digit as u16;
                count += 1;
            }
        }
        if limbs[first..].iter().all(|limb| *limb == 0) && digits[count - 1] == 0 {
            return count - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Copy, HEAD};

    fn numeric(value: &[u8; 32]) -> Vec<u8> {
        let mut copy = Copy::new(1);
        copy.numeric256(value);
        copy.end()[HEAD.len() + 4..].to_vec()
    }

    fn small(value: u64) -> Vec<u16> {
        let mut copy = Copy::new(1);
        copy.numeric(value);
        let stream = copy.end();
        let words = &stream[HEAD.len() + 4..stream.len() - 2];
        words.chunks(2).map(|word| u16::from_be_bytes([word[0], word[1]])).collect()
    }

    #[test]
    fn numbers() {
        assert_eq!(small(0), [0, 0, 0, 0]);
        assert_eq!(small(1), [1, 0, 0, 0, 1]);
        assert_eq!(small(9_999), [1, 0, 0, 0, 9_999]);
        assert_eq!(small(10_000), [1, 1, 0, 0, 1]);
        assert_eq!(small(10_001), [2, 1, 0, 0, 1, 1]);
        assert_eq!(small(100_000_000), [1, 2, 0, 0, 1]);
        assert_eq!(small(100_000_000_000_000_000), [1, 4, 0, 0, 10]);
        assert_eq!(small(u64::MAX), [5, 4, 0, 0, 1844, 6744, 737, 955, 1615]);
        assert_eq!(numeric(&[0xff; 32]).len(), 8 + 2 * 20 + 2);
        assert_eq!(numeric(&[0xff; 32])[8..12], [0, 11, 0x16, 0xa0]); // 11, 5792 ..
    }

    #[test]
    fn a_stream() {
        let mut copy = Copy::new(3);
        copy.row();
        copy.int8(-1);
        copy.null();
        assert!(copy.bytes(b"ab"));
        assert_eq!(copy.size(), HEAD.len() + 2 + 12 + 4 + 6);
        let mut wanted = HEAD.to_vec();
        wanted.extend([0, 3, 0, 0, 0, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]);
        wanted.extend([0, 0, 0, 2, 97, 98, 255, 255]);
        assert_eq!(copy.end(), wanted);
        assert_eq!(HEAD.len(), 19);
    }
}
