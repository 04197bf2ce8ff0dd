//! SHA-256 of many messages at once, each in a lane of its own: for digests of rows.
//!
//! Only where it pays: a processor with instructions for SHA-256 does one message after the other at twice the speed of
//! eight lanes.

use super::keccak::{Digest, Lanes};
use sha2::Digest as _;

/// Messages below which a set of lanes would be mostly empty.
const TOGETHER_MIN: usize = 3;

/// How many messages `sha256_many` works on at once.
pub fn width(lanes: Lanes) -> usize {
    match lanes {
        Lanes::One => 1,
        #[cfg(target_arch = "x86_64")]
        _ if std::arch::is_x86_feature_detected!("sha") => 1,
        #[cfg(target_arch = "x86_64")]
        Lanes::Four(_) => 8,
        #[cfg(target_arch = "x86_64")]
        Lanes::Eight(_) => 16,
    }
}

/// The digest of a message that comes in pieces.
pub fn sha256_of(pieces: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Digest {
    let mut digest = sha2::Sha256::new();
    pieces(&mut |piece| digest.update(piece));
    digest.finalize().into()
}

/// The digests of messages, in their order.
pub fn sha256_many(messages: &[&[u8]], lanes: Lanes) -> Vec<Digest> {
    #[cfg(target_arch = "x86_64")]
    if width(lanes) > 1 && messages.len() >= TOGETHER_MIN {
        return x86::many(messages, lanes);
    }
    messages.iter().map(|message| sha2::Sha256::digest(message).into()).collect()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Digest, Lanes};
    use core::arch::x86_64::{__m256i, __m512i};
    use pulp::x86::{V3, V4};

    const LANES_MAX: usize = 16;
    const BLOCK: usize = 64;
    const INITIAL: [u32; 8] =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    #[rustfmt::skip]
    const ROUND_CONSTANTS: [u32; 64] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ];

    /// A word of the state in every lane.
    trait Word: Copy {
        const LANES: usize;
        type Token: Copy;
        fn of(token: Self::Token, lanes: [u32; LANES_MAX]) -> Self;
        fn lanes(self) -> [u32; LANES_MAX];
        fn plus(self, token: Self::Token, other: Self) -> Self;
        /// To the right; `LEFT` is 32 less that.
        fn rotated<const RIGHT: u32, const LEFT: u32>(self, token: Self::Token) -> Self;
        fn shifted<const RIGHT: u32>(self, token: Self::Token) -> Self;
        fn xor(self, token: Self::Token, b: Self, c: Self) -> Self;
        /// `b` where `self` has a bit, else `c`.
        fn choose(self, token: Self::Token, b: Self, c: Self) -> Self;
        fn majority(self, token: Self::Token, b: Self, c: Self) -> Self;
    }

    impl Word for __m256i {
        const LANES: usize = 8;
        type Token = V3;
        #[inline(always)]
        fn of(_: V3, lanes: [u32; LANES_MAX]) -> Self {
            let [low, _]: [__m256i; 2] = pulp::cast(lanes);
            low
        }
        #[inline(always)]
        fn lanes(self) -> [u32; LANES_MAX] {
            pulp::cast([self, self])
        }
        #[inline(always)]
        fn plus(self, v3: V3, other: Self) -> Self {
            v3.avx2._mm256_add_epi32(self, other)
        }
        #[inline(always)]
        fn rotated<const RIGHT: u32, const LEFT: u32>(self, v3: V3) -> Self {
            let left = v3.avx2._mm256_sllv_epi32(self, pulp::cast([LEFT; 8]));
            v3.avx2._mm256_or_si256(self.shifted::<RIGHT>(v3), left)
        }
        #[inline(always)]
        fn shifted<const RIGHT: u32>(self, v3: V3) -> Self {
            v3.avx2._mm256_srlv_epi32(self, pulp::cast([RIGHT; 8]))
        }
        #[inline(always)]
        fn xor(self, v3: V3, b: Self, c: Self) -> Self {
            v3.avx2._mm256_xor_si256(self, v3.avx2._mm256_xor_si256(b, c))
        }
        #[inline(always)]
        fn choose(self, v3: V3, b: Self, c: Self) -> Self {
            let differing = v3.avx2._mm256_xor_si256(b, c);
            v3.avx2._mm256_xor_si256(c, v3.avx2._mm256_and_si256(self, differing))
        }
        #[inline(always)]
        fn majority(self, v3: V3, b: Self, c: Self) -> Self {
            let either = v3.avx2._mm256_and_si256(c, v3.avx2._mm256_or_si256(self, b));
            v3.avx2._mm256_or_si256(v3.avx2._mm256_and_si256(self, b), either)
        }
    }

    impl Word for __m512i {
        const LANES: usize = 16;
        type Token = V4;
        #[inline(always)]
        fn of(_: V4, lanes: [u32; LANES_MAX]) -> Self {
            pulp::cast(lanes)
        }
        #[inline(always)]
        fn lanes(self) -> [u32; LANES_MAX] {
            pulp::cast(self)
        }
        #[inline(always)]
        fn plus(self, v4: V4, other: Self) -> Self {
            v4.avx512f._mm512_add_epi32(self, other)
        }
        #[inline(always)]
        fn rotated<const RIGHT: u32, const LEFT: u32>(self, v4: V4) -> Self {
            v4.avx512f._mm512_rorv_epi32(self, pulp::cast([RIGHT; 16]))
        }
        #[inline(always)]
        fn shifted<const RIGHT: u32>(self, v4: V4) -> Self {
            v4.avx512f._mm512_srlv_epi32(self, pulp::cast([RIGHT; 16]))
        }
        // the truth tables of three operands
        #[inline(always)]
        fn xor(self, v4: V4, b: Self, c: Self) -> Self {
            v4.avx512f._mm512_ternarylogic_epi32::<0x96>(self, b, c)
        }
        #[inline(always)]
        fn choose(self, v4: V4, b: Self, c: Self) -> Self {
            v4.avx512f._mm512_ternarylogic_epi32::<0xca>(self, b, c)
        }
        #[inline(always)]
        fn majority(self, v4: V4, b: Self, c: Self) -> Self {
            v4.avx512f._mm512_ternarylogic_epi32::<0xe8>(self, b, c)
        }
    }

    /// One block of every lane (FIPS 180-4, 6.2.2).
    #[inline(always)]
    fn compress<W: Word>(token: W::Token, state: &mut [W; 8], input: &[[u32; LANES_MAX]; 16]) {
        let mut w = input.map(|lanes| W::of(token, lanes));
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        for (t, constant) in ROUND_CONSTANTS.into_iter().enumerate() {
            if t >= 16 {
                let (two, fifteen) = (w[(t + 14) % 16], w[(t + 1) % 16]);
                let s0 = fifteen.rotated::<7, 25>(token).xor(
                    token,
                    fifteen.rotated::<18, 14>(token),
                    fifteen.shifted::<3>(token),
                );
                let s1 =
                    two.rotated::<17, 15>(token).xor(token, two.rotated::<19, 13>(token), two.shifted::<10>(token));
                w[t % 16] = w[t % 16].plus(token, s0).plus(token, w[(t + 9) % 16].plus(token, s1));
            }
            let s1 = e.rotated::<6, 26>(token).xor(token, e.rotated::<11, 21>(token), e.rotated::<25, 7>(token));
            let scheduled = w[t % 16].plus(token, W::of(token, [constant; LANES_MAX]));
            let t1 = h.plus(token, s1).plus(token, e.choose(token, f, g).plus(token, scheduled));
            let s0 = a.rotated::<2, 30>(token).xor(token, a.rotated::<13, 19>(token), a.rotated::<22, 10>(token));
            let t2 = s0.plus(token, a.majority(token, b, c));
            (h, g, f, e, d, c, b, a) = (g, f, e, d.plus(token, t1), c, b, a, t1.plus(token, t2));
        }
        for (word, worked) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *word = word.plus(token, worked);
        }
    }

    /// What is left of a message behind its whole blocks, with the padding: one block or two.
    fn tail_of(message: &[u8]) -> ([u8; 2 * BLOCK], usize) {
        let rest = message.as_chunks::<BLOCK>().1;
        let mut tail = [0u8; 2 * BLOCK];
        tail[..rest.len()].copy_from_slice(rest);
        tail[rest.len()] = 0x80;
        let blocks = if rest.len() + 9 <= BLOCK { 1 } else { 2 };
        let end = blocks * BLOCK;
        tail[end - 8..end].copy_from_slice(&(8 * message.len() as u64).to_be_bytes());
        (tail, blocks)
    }

    struct Together<'a, 'm, W: Word> {
        token: W::Token,
        messages: &'a [&'m [u8]],
    }

    impl<W: Word> pulp::NullaryFnOnce for Together<'_, '_, W> {
        type Output = Vec<Digest>;
        #[inline(always)]
        fn call(self) -> Vec<Digest> {
            let (token, messages) = (self.token, self.messages);
            let mut digests = vec![[0u8; 32]; messages.len()];
            let tails: Vec<_> = messages.iter().map(|message| tail_of(message)).collect();
            let ends: Vec<usize> =
                messages.iter().zip(&tails).map(|(message, (_, blocks))| message.len() / BLOCK + blocks).collect();
            let mut state = INITIAL.map(|word| W::of(token, [word; LANES_MAX]));
            let mut input = [[0u32; LANES_MAX]; 16];
            for n in 0..ends.iter().copied().max().unwrap_or(0) {
                for (lane, message) in messages.iter().enumerate() {
                    let whole = message.as_chunks::<BLOCK>().0;
                    let block = match whole.get(n) {
                        Some(block) => block,
                        None if n < ends[lane] => &tails[lane].0.as_chunks::<BLOCK>().0[n - whole.len()],
                        None => continue, // its digest is taken already
                    };
                    for (word, four) in input.iter_mut().zip(block.as_chunks::<4>().0) {
                        word[lane] = u32::from_be_bytes(*four);
                    }
                }
                compress(token, &mut state, &input);
                if ends.contains(&(n + 1)) {
                    let words = state.map(W::lanes);
                    for (lane, digest) in digests.iter_mut().enumerate().filter(|(lane, _)| ends[*lane] == n + 1) {
                        for (four, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(words) {
                            *four = word[lane].to_be_bytes();
                        }
                    }
                }
            }
            digests
        }
    }

    pub fn many(messages: &[&[u8]], lanes: Lanes) -> Vec<Digest> {
        let mut digests = Vec::with_capacity(messages.len());
        match lanes {
            Lanes::Eight(token) => {
                for messages in messages.chunks(<__m512i as Word>::LANES) {
                    digests.extend(token.vectorize(Together::<__m512i> { token, messages }));
                }
            }
            Lanes::Four(token) => {
                for messages in messages.chunks(<__m256i as Word>::LANES) {
                    digests.extend(token.vectorize(Together::<__m256i> { token, messages }));
                }
            }
            Lanes::One => {}
        }
        digests
    }

    #[cfg(test)]
    mod tests {
        use super::{Lanes, many};
        use sha2::Digest as _;

        /// Messages of every length around the padding's limits, together and apart.
        #[test]
        fn lanes_agree_with_the_library() {
            let lengths = [0usize, 1, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 1000, 5000];
            for lanes in [4, 8].into_iter().filter_map(Lanes::of) {
                for count in 0..40usize {
                    let messages: Vec<Vec<u8>> = (0..count)
                        .map(|i| {
                            (0..lengths[(i * 7 + count) % lengths.len()]).map(|j| (i * 31 + j * 7) as u8).collect()
                        })
                        .collect();
                    let given: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
                    let expected: Vec<[u8; 32]> = given.iter().map(|m| sha2::Sha256::digest(m).into()).collect();
                    assert_eq!(many(&given, lanes), expected, "{count} messages");
                }
            }
        }
    }
}
