//! Keccak-256 of one message, and of many at once: each in a lane of its own.
//!
//! How many lanes there are is chosen at run time: eight where the processor has AVX-512, four where it has AVX2, one
//! elsewhere. The vectors are written out: compilers leave rotations scalar.

#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};
use std::sync::OnceLock;

pub type Digest = [u8; 32];

const RATE: usize = 136;
const ROUND_CONSTANTS: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];

/// How many messages are hashed at once.
#[derive(Clone, Copy, Debug)]
pub enum Lanes {
    One,
    #[cfg(target_arch = "x86_64")]
    Four(V3),
    #[cfg(target_arch = "x86_64")]
    Eight(V4),
}

impl Lanes {
    /// The most that this processor has, looked up once.
    pub fn best() -> Lanes {
        static BEST: OnceLock<Lanes> = OnceLock::new();
        *BEST.get_or_init(|| Lanes::of(8).or(Lanes::of(4)).unwrap_or(Lanes::One))
    }

    /// So many lanes, if this processor has them.
    pub fn of(count: usize) -> Option<Lanes> {
        match count {
            1 => Some(Lanes::One),
            #[cfg(target_arch = "x86_64")]
            4 => V3::try_new().map(Lanes::Four),
            #[cfg(target_arch = "x86_64")]
            8 => V4::try_new().map(Lanes::Eight),
            _ => None,
        }
    }

    /// The instructions of AVX2, where more than one lane needs them.
    #[cfg(target_arch = "x86_64")]
    pub fn avx2(self) -> Option<V3> {
        match self {
            Lanes::One => None,
            Lanes::Four(v3) => Some(v3),
            Lanes::Eight(v4) => Some(*v4),
        }
    }

    pub fn count(self) -> usize {
        match self {
            Lanes::One => 1,
            #[cfg(target_arch = "x86_64")]
            Lanes::Four(_) => 4,
            #[cfg(target_arch = "x86_64")]
            Lanes::Eight(_) => 8,
        }
    }
}

const LANES_MAX: usize = 8;

/// A word of the state in every lane.
trait Word: Copy {
    const LANES: usize;
    /// Shows that the processor has the instructions.
    type Token: Copy;
    /// Of the first `LANES` values.
    fn of(token: Self::Token, lanes: [u64; LANES_MAX]) -> Self;
    fn lanes(self) -> [u64; LANES_MAX];
    fn xor(self, token: Self::Token, other: Self) -> Self;
    /// To the left; `RIGHT` is 64 less that.
    fn rotated<const LEFT: u32, const RIGHT: u32>(self, token: Self::Token) -> Self;
    /// `self ^ (!b & c)`
    fn chi(self, token: Self::Token, b: Self, c: Self) -> Self;
}

impl Word for u64 {
    const LANES: usize = 1;
    type Token = ();
    #[inline(always)]
    fn of((): (), lanes: [u64; LANES_MAX]) -> Self {
        lanes[0]
    }
    #[inline(always)]
    fn lanes(self) -> [u64; LANES_MAX] {
        [self; LANES_MAX]
    }
    #[inline(always)]
    fn xor(self, (): (), other: Self) -> Self {
        self ^ other
    }
    #[inline(always)]
    fn rotated<const LEFT: u32, const RIGHT: u32>(self, (): ()) -> Self {
        self.rotate_left(LEFT)
    }
    #[inline(always)]
    fn chi(self, (): (), b: Self, c: Self) -> Self {
        self ^ (!b & c)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LANES_MAX, V3, V4, Word};
    use core::arch::x86_64::{__m256i, __m512i};

    impl Word for __m256i {
        const LANES: usize = 4;
        type Token = V3;
        #[inline(always)]
        fn of(_: V3, lanes: [u64; LANES_MAX]) -> Self {
            let [low, _]: [__m256i; 2] = pulp::cast(lanes);
            low
        }
        #[inline(always)]
        fn lanes(self) -> [u64; LANES_MAX] {
            pulp::cast([self, self])
        }
        #[inline(always)]
        fn xor(self, v3: V3, other: Self) -> Self {
            v3.avx2._mm256_xor_si256(self, other)
        }
        #[inline(always)]
        fn rotated<const LEFT: u32, const RIGHT: u32>(self, v3: V3) -> Self {
            // shifts by a count that is a constant: AVX2 has no rotation
            let left = v3.avx2._mm256_sllv_epi64(self, pulp::cast([u64::from(LEFT); 4]));
            let right = v3.avx2._mm256_srlv_epi64(self, pulp::cast([u64::from(RIGHT); 4]));
            v3.avx2._mm256_or_si256(left, right)
        }
        #[inline(always)]
        fn chi(self, v3: V3, b: Self, c: Self) -> Self {
            v3.avx2._mm256_xor_si256(self, v3.avx2._mm256_andnot_si256(b, c))
        }
    }

    impl Word for __m512i {
        const LANES: usize = 8;
        type Token = V4;
        #[inline(always)]
        fn of(_: V4, lanes: [u64; LANES_MAX]) -> Self {
            pulp::cast(lanes)
        }
        #[inline(always)]
        fn lanes(self) -> [u64; LANES_MAX] {
            pulp::cast(self)
        }
        #[inline(always)]
        fn xor(self, v4: V4, other: Self) -> Self {
            v4.avx512f._mm512_xor_si512(self, other)
        }
        #[inline(always)]
        fn rotated<const LEFT: u32, const RIGHT: u32>(self, v4: V4) -> Self {
            v4.avx512f._mm512_rolv_epi64(self, pulp::cast([u64::from(LEFT); 8]))
        }
        #[inline(always)]
        fn chi(self, v4: V4, b: Self, c: Self) -> Self {
            const XOR_ANDNOT: i32 = 0xd2; // the truth table of a ^ (!b & c)
            v4.avx512f._mm512_ternarylogic_epi64::<XOR_ANDNOT>(self, b, c)
        }
    }
}

/// One round (FIPS 202, 3.2, with Keccak's own padding): theta, then row by row rho and pi, chi, so that few words have to
/// be in registers at once; iota.
#[inline(always)]
fn round<W: Word>(token: W::Token, a: &[W; 25], constant: u64) -> [W; 25] {
    let mut c = [a[0]; 5];
    for x in 0..5 {
        c[x] = a[x].xor(token, a[x + 5]).xor(token, a[x + 10]).xor(token, a[x + 15]).xor(token, a[x + 20]);
    }
    let mut d = c;
    for x in 0..5 {
        d[x] = c[(x + 4) % 5].xor(token, c[(x + 1) % 5].rotated::<1, 63>(token));
    }
    let mut out = *a;
    // of each word of a row the place that it comes from, and its rotation
    macro_rules! row {
        ($y:literal: $($place:literal << $left:literal),*) => {
            let b = [$(a[$place].xor(token, d[$place % 5]).rotated::<$left, { 64 - $left }>(token)),*];
            for x in 0..5 {
                out[5 * $y + x] = b[x].chi(token, b[(x + 1) % 5], b[(x + 2) % 5]);
            }
        };
    }
    row!(0: 0 << 0, 6 << 44, 12 << 43, 18 << 21, 24 << 14);
    row!(1: 3 << 28, 9 << 20, 10 << 3, 16 << 45, 22 << 61);
    row!(2: 1 << 1, 7 << 6, 13 << 25, 19 << 8, 20 << 18);
    row!(3: 4 << 27, 5 << 36, 11 << 10, 17 << 15, 23 << 56);
    row!(4: 2 << 62, 8 << 55, 14 << 39, 15 << 41, 21 << 2);
    out[0] = out[0].xor(token, W::of(token, [constant; LANES_MAX]));
    out
}

/// The last block of a message: what is left of it, and the padding.
#[inline(always)]
fn padded(rest: &[u8]) -> [u8; RATE] {
    let mut block = [0u8; RATE];
    block[..rest.len()].copy_from_slice(rest);
    block[rest.len()] = 1;
    block[RATE - 1] |= 0x80;
    block
}

/// The digests of as many messages as there are lanes, or fewer.
#[inline(always)]
fn hash_together<W: Word>(token: W::Token, messages: &[&[u8]], mut done: impl FnMut(usize, Digest)) {
    let mut a = [W::of(token, [0; LANES_MAX]); 25];
    let blocks = messages.iter().map(|message| message.len() / RATE + 1).max().unwrap_or(0);
    for n in 0..blocks {
        let mut input = [[0u64; LANES_MAX]; RATE / 8];
        for (lane, message) in messages.iter().enumerate() {
            let at = n * RATE;
            if at + RATE <= message.len() {
                spread(&mut input, lane, &message[at..at + RATE]);
            } else if at <= message.len() {
                spread(&mut input, lane, &padded(&message[at..]));
            }
        }
        for (word, lanes) in a.iter_mut().zip(input) {
            *word = word.xor(token, W::of(token, lanes));
        }
        for constant in ROUND_CONSTANTS {
            a = round(token, &a, constant);
        }
        if messages.iter().any(|message| message.len() / RATE == n) {
            let words = [a[0].lanes(), a[1].lanes(), a[2].lanes(), a[3].lanes()];
            for (lane, _) in messages.iter().enumerate().filter(|(_, message)| message.len() / RATE == n) {
                let mut digest = [0u8; 32];
                for (eight, word) in digest.as_chunks_mut::<8>().0.iter_mut().zip(words) {
                    *eight = word[lane].to_le_bytes();
                }
                done(lane, digest);
            }
        }
    }
}

/// One message's block into its lane.
#[inline(always)]
fn spread(input: &mut [[u64; LANES_MAX]; RATE / 8], lane: usize, block: &[u8]) {
    for (word, eight) in input.iter_mut().zip(block.as_chunks::<8>().0) {
        word[lane] = u64::from_le_bytes(*eight);
    }
}

/// All messages, a full set of lanes after the other; `order` has those of like length side by side.
struct Sorted<'a, 'm, W: Word> {
    token: W::Token,
    messages: &'a [&'m [u8]],
    order: &'a [u64],
    out: &'a mut [Digest],
}

impl<W: Word> pulp::NullaryFnOnce for Sorted<'_, '_, W> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        for places in self.order.chunks(W::LANES) {
            let mut together: [&[u8]; LANES_MAX] = [&[]; LANES_MAX];
            for (slot, &place) in together.iter_mut().zip(places) {
                *slot = self.messages[place as u32 as usize];
            }
            hash_together::<W>(self.token, &together[..places.len()], |lane, digest| {
                self.out[places[lane] as u32 as usize] = digest;
            });
        }
    }
}

pub fn keccak(message: &[u8]) -> Digest {
    let mut out = [0u8; 32];
    hash_together::<u64>((), &[message], |_, digest| out = digest);
    out
}

/// The digests of many messages, in their order.
pub fn keccak_many(messages: &[&[u8]], lanes: Lanes) -> Vec<Digest> {
    let mut out = vec![[0u8; 32]; messages.len()];
    if lanes.count() == 1 || messages.len() < 2 {
        for (digest, message) in out.iter_mut().zip(messages) {
            *digest = keccak(message);
        }
        return out;
    }
    // by number of blocks, so that the lanes of one vector end together
    let mut order: Vec<u64> =
        messages.iter().enumerate().map(|(i, message)| ((message.len() / RATE) as u64) << 32 | i as u64).collect();
    order.sort_unstable();
    match lanes {
        #[cfg(target_arch = "x86_64")]
        Lanes::Eight(v4) => {
            v4.vectorize(Sorted::<core::arch::x86_64::__m512i> { token: v4, messages, order: &order, out: &mut out });
        }
        #[cfg(target_arch = "x86_64")]
        Lanes::Four(v3) => {
            v3.vectorize(Sorted::<core::arch::x86_64::__m256i> { token: v3, messages, order: &order, out: &mut out });
        }
        Lanes::One => {}
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Lanes, keccak, keccak_many};

    fn hex(digest: &[u8]) -> String {
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The empty string and "abc" (Keccak team, known answers), and one that is longer than a block.
    #[test]
    fn known_answers() {
        assert_eq!(hex(&keccak(b"")), "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
        assert_eq!(hex(&keccak(b"abc")), "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
        let rlp_of_nothing = [0x80];
        assert_eq!(hex(&keccak(&rlp_of_nothing)), "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
    }

    /// Messages of every length around the block's, in every number of lanes: as one by one.
    #[test]
    fn lanes_agree() {
        let lengths = [0, 1, 7, 8, 31, 32, 135, 136, 137, 271, 272, 273, 700];
        for lanes in [1, 4, 8].into_iter().filter_map(Lanes::of) {
            for count in 0..40 {
                let messages: Vec<Vec<u8>> = (0..count)
                    .map(|i: usize| {
                        (0..lengths[(i * 7 + count) % lengths.len()]).map(|j| (i * 31 + j * 7) as u8).collect()
                    })
                    .collect();
                let given: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
                let expected: Vec<_> = given.iter().map(|message| keccak(message)).collect();
                assert_eq!(keccak_many(&given, lanes), expected, "{} lanes, {count} messages", lanes.count());
            }
        }
    }

    #[test]
    fn the_best_lanes_are_among_those_that_are_here() {
        assert!(Lanes::of(Lanes::best().count()).is_some());
        assert!(Lanes::of(3).is_none());
    }
}
