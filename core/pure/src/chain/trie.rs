//! The Merkle-Patricia roots of ordered lists (Yellow Paper, appendix D): of many lists at once.
//!
//! A list's trie maps rlp(index) to each item, so its shape follows from the number of items alone. All leaves of
//! all lists are hashed together, then all nodes above them, level by level.

use super::keccak::{Digest, Lanes, keccak_many};
use super::rlp;
use std::ops::Range;

pub const EMPTY_ROOT: Digest = [
    0x56, 0xe8, 0x1f, 0x17, 0x1b, 0xcc, 0x55, 0xa6, 0xff, 0x83, 0x45, 0xe6, 0x92, 0xc0, 0xf8, 0x6e, 0x5b, 0x48, 0xe0,
    0x1b, 0x99, 0x6c, 0xad, 0xc0, 0x01, 0x62, 0x2f, 0xb5, 0xe3, 0x63, 0xb4, 0x21,
];
const NIBBLES_MAX: usize = 10; // of a key: an index of four bytes with its prefix

/// rlp(index), in nibbles: they sort as the trie branches.
#[derive(Clone, Copy)]
struct Key {
    nibbles: [u8; NIBBLES_MAX],
    size: usize,
}

impl Key {
    fn of(index: usize) -> Key {
        let mut encoded = [0u8; NIBBLES_MAX / 2];
        let size = if index < usize::from(rlp::EMPTY) {
            encoded[0] = if index == 0 { rlp::EMPTY } else { index as u8 };
            1
        } else {
            let bytes = (index as u64).to_be_bytes();
            let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
            let width = bytes.len() - zeros;
            encoded[0] = rlp::EMPTY + width as u8;
            encoded[1..=width].copy_from_slice(&bytes[zeros..]);
            1 + width
        };
        let mut key = Key { nibbles: [0; NIBBLES_MAX], size: 2 * size };
        for (pair, byte) in key.nibbles.as_chunks_mut::<2>().0.iter_mut().zip(encoded) {
            *pair = [byte >> 4, byte & 15];
        }
        key
    }

    fn path(&self) -> &[u8] {
        &self.nibbles[..self.size]
    }

    fn shared(&self, other: &Key) -> usize {
        self.path().iter().zip(other.path()).take_while(|(a, b)| a == b).count()
    }
}

/// How a parent holds a node: the node itself if it has less than 32 bytes, else its hash.
#[derive(Clone, Copy)]
struct Reference {
    bytes: [u8; 33],
    size: usize,
}

const NOBODY: Reference = Reference { bytes: [rlp::EMPTY; 33], size: 1 };

impl Reference {
    fn to(node: &[u8], digest: &Digest) -> Reference {
        let mut bytes = [0u8; 33];
        if node.len() < 32 {
            bytes[..node.len()].copy_from_slice(node);
            return Reference { bytes, size: node.len() };
        }
        bytes[0] = rlp::HASH;
        bytes[1..].copy_from_slice(digest);
        Reference { bytes, size: 33 }
    }

    fn encoded(&self) -> &[u8] {
        &self.bytes[..self.size]
    }
}

/// A node above the leaves, and its children by their places among all nodes.
enum Inner {
    /// A part of a key's path.
    Extension { key: Key, path: Range<usize>, child: usize },
    /// Its children stand side by side among `Forest::children`.
    Branch { children: Range<usize> },
}

/// All nodes of all lists. A node's children stand at lower levels.
#[derive(Default)]
struct Forest {
    references: Vec<Reference>,
    digests: Vec<Digest>,
    children: Vec<(u8, usize)>, // of branches, by nibble
    levels: Vec<Vec<(usize, Inner)>>,
}

impl Forest {
    fn node(&mut self) -> usize {
        self.references.push(NOBODY);
        self.digests.push([0; 32]);
        self.references.len() - 1
    }

    /// The node over these keys, whose leaves are the nodes from `first` on: its place and its level, 0 for a leaf.
    fn plan(&mut self, keys: &[Key], first: usize, depth: usize) -> (usize, usize) {
        let [low, .., high] = keys else { return (first, 0) };
        let fork = low.shared(high);
        if fork > depth {
            let (child, level) = self.plan(keys, first, fork);
            return self.inner(level + 1, Inner::Extension { key: *low, path: depth..fork, child });
        }
        let (mut children, mut count, mut level) = ([(0, 0); 16], 0, 0);
        let mut at = 0;
        for group in keys.chunk_by(|a, b| a.path()[depth] == b.path()[depth]) {
            let (child, below) = self.plan(group, first + at, depth + 1);
            children[count] = (group[0].path()[depth], child);
            count += 1;
            level = level.max(below);
            at += group.len();
        }
        let start = self.children.len();
        self.children.extend_from_slice(&children[..count]);
        self.inner(level + 1, Inner::Branch { children: start..self.children.len() })
    }

    fn inner(&mut self, level: usize, inner: Inner) -> (usize, usize) {
        let place = self.node();
        while self.levels.len() < level {
            self.levels.push(Vec::new());
        }
        self.levels[level - 1].push((place, inner));
        (place, level)
    }

    /// Hash nodes that are encoded one after the other, each up to its end, and stand at `places`.
    fn hash(&mut self, encoded: &[u8], ends: &[usize], places: impl Iterator<Item = usize>, lanes: Lanes) {
        let mut start = 0;
        let nodes: Vec<&[u8]> = ends
            .iter()
            .map(|&end| {
                let node = &encoded[start..end];
                start = end;
                node
            })
            .collect();
        let digests = keccak_many(&nodes, lanes);
        for ((place, node), digest) in places.zip(nodes).zip(digests) {
            self.references[place] = Reference::to(node, &digest);
            self.digests[place] = digest;
        }
    }
}

/// Hex-prefix encoding of a path (Yellow Paper, appendix C), as an item.
fn path(out: &mut Vec<u8>, nibbles: &[u8], leaf: bool) {
    let flag = if leaf { 2u8 } else { 0 };
    let odd = nibbles.len() % 2;
    let mut packed = [0u8; 1 + NIBBLES_MAX / 2];
    packed[0] = if odd == 1 { (flag + 1) << 4 | nibbles[0] } else { flag << 4 };
    let pairs = nibbles[odd..].as_chunks::<2>().0;
    for (byte, [high, low]) in packed[1..].iter_mut().zip(pairs) {
        *byte = high << 4 | low;
    }
    rlp::bytes(out, &packed[..=pairs.len()]);
}

/// Lists of items, one behind the other.
#[derive(Default)]
pub struct Lists<'a> {
    items: Vec<&'a [u8]>,
    ends: Vec<usize>,
}

impl<'a> Lists<'a> {
    /// One more.
    pub fn add(&mut self, items: impl Iterator<Item = &'a [u8]>) {
        self.items.extend(items);
        self.ends.push(self.items.len());
    }

    /// How many lists there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = &[&'a [u8]]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.items[start..end])
    }
}

/// The items of a list in the order of their keys: 0 is encoded as 0x80, behind 1 to 0x7f.
fn index_at(place: usize, count: usize) -> usize {
    match count.min(usize::from(rlp::EMPTY)) - 1 {
        last if place < last => place + 1,
        last if place == last => 0,
        _ => place,
    }
}

/// The root of each list.
pub fn ordered_roots(lists: &Lists<'_>, lanes: Lanes) -> Vec<Digest> {
    let mut forest = Forest::default();
    let mut roots = Vec::with_capacity(lists.len());
    let size = lists.items.iter().map(|value| value.len() + 16).sum();
    let (mut encoded, mut ends) = (Vec::with_capacity(size), Vec::with_capacity(lists.items.len()));
    let (mut leaves, mut keys) = (Vec::with_capacity(lists.items.len()), Vec::new());
    for list in lists.iter() {
        if list.is_empty() {
            roots.push(None);
            continue;
        }
        keys.clear();
        keys.extend((0..list.len()).map(|place| Key::of(index_at(place, list.len()))));
        let (first, mut before) = (forest.references.len(), 0);
        for (place, key) in keys.iter().enumerate() {
            let after = keys.get(place + 1).map_or(0, |next| key.shared(next) + 1);
            let start = encoded.len();
            path(&mut encoded, &key.path()[before.max(after)..], true);
            rlp::bytes(&mut encoded, list[index_at(place, list.len())]);
            rlp::wrap(&mut encoded, start);
            ends.push(encoded.len());
            leaves.push(forest.node());
            before = after;
        }
        roots.push(Some(forest.plan(&keys, first, 0).0));
    }
    forest.hash(&encoded, &ends, leaves.into_iter(), lanes);
    for level in std::mem::take(&mut forest.levels) {
        encoded.clear();
        ends.clear();
        for (_, inner) in &level {
            let start = encoded.len();
            match inner {
                Inner::Extension { key, path: part, child } => {
                    path(&mut encoded, &key.path()[part.clone()], false);
                    encoded.extend_from_slice(forest.references[*child].encoded());
                }
                Inner::Branch { children } => {
                    let mut slots = [NOBODY; 16];
                    for (nibble, child) in &forest.children[children.clone()] {
                        slots[*nibble as usize] = forest.references[*child];
                    }
                    for slot in slots {
                        encoded.extend_from_slice(slot.encoded());
                    }
                    encoded.push(rlp::EMPTY); // no key is a prefix of another, so no branch holds a value
                }
            }
            rlp::wrap(&mut encoded, start);
            ends.push(encoded.len());
        }
        forest.hash(&encoded, &ends, level.iter().map(|(place, _)| *place), lanes);
    }
    roots.into_iter().map(|root| root.map_or(EMPTY_ROOT, |place| forest.digests[place])).collect()
}

#[cfg(test)]
mod tests {
    use super::{EMPTY_ROOT, Key, Lanes, Lists, Reference, ordered_roots, path};
    use crate::chain::keccak::keccak;
    use crate::chain::rlp;

    /// The same by recursion, one list, one hash after the other.
    fn simply(list: &[Vec<u8>]) -> [u8; 32] {
        fn node(leaves: &[(Key, &[u8])], depth: usize) -> Vec<u8> {
            let mut out = Vec::new();
            let (low, high) = (leaves[0].0, leaves[leaves.len() - 1].0);
            if leaves.len() == 1 {
                path(&mut out, &low.path()[depth..], true);
                rlp::bytes(&mut out, leaves[0].1);
            } else if low.shared(&high) > depth {
                let fork = low.shared(&high);
                path(&mut out, &low.path()[depth..fork], false);
                let child = node(leaves, fork);
                out.extend_from_slice(Reference::to(&child, &keccak(&child)).encoded());
            } else {
                for nibble in 0..16 {
                    let below: Vec<_> = leaves.iter().filter(|leaf| leaf.0.path()[depth] == nibble).copied().collect();
                    if below.is_empty() {
                        out.push(rlp::EMPTY);
                    } else {
                        let child = node(&below, depth + 1);
                        out.extend_from_slice(Reference::to(&child, &keccak(&child)).encoded());
                    }
                }
                out.push(rlp::EMPTY);
            }
            rlp::wrap(&mut out, 0);
            out
        }
        if list.is_empty() {
            return EMPTY_ROOT;
        }
        let mut leaves: Vec<_> = list.iter().enumerate().map(|(i, value)| (Key::of(i), value.as_slice())).collect();
        leaves.sort_by(|a, b| a.0.path().cmp(b.0.path()));
        keccak(&node(&leaves, 0))
    }

    /// Lists of every count around the sizes where keys grow, of items short enough to stand in their parents and longer.
    #[test]
    fn roots_of_lists_of_many_sizes() {
        let counts = [0usize, 1, 2, 3, 15, 16, 17, 18, 127, 128, 129, 130, 255, 256, 257, 300, 4097];
        for size in [0usize, 1, 3, 20, 40, 300] {
            let lists: Vec<Vec<Vec<u8>>> =
                counts.iter().map(|&n| (0..n).map(|i| vec![(i * 3 + n) as u8; size]).collect()).collect();
            let mut given = Lists::default();
            for list in &lists {
                given.add(list.iter().map(Vec::as_slice));
            }
            let expected: Vec<_> = lists.iter().map(|list| simply(list)).collect();
            for lanes in [1, 4, 8].into_iter().filter_map(Lanes::of) {
                assert_eq!(ordered_roots(&given, lanes), expected, "items of {size} bytes, {} lanes", lanes.count());
            }
        }
    }

    #[test]
    fn the_empty_root_is_the_hash_of_the_empty_string() {
        assert_eq!(EMPTY_ROOT, keccak(&[rlp::EMPTY]));
    }
}
