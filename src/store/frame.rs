//! A group of entries as the journal holds it: one frame, written by one write, made durable by one sync.
//!
//! ```text
//! magic | crc32 of all that follows | u64 length | u64 number | u64 sealed | u64 first | root of the tree before
//!       | u64 size | u64 timestamp | root | u8 hashes of the right edge | those hashes
//!       | u32 entries | for each: u32 length | leaf hash | bytes
//! ```
//!
//! All big-endian. A frame begins at a multiple of [`BLOCK`] and is filled up to one with zeros, so no write touches a
//! block in which something durable stands. A frame follows another when its number is the next and it names that one's
//! root: a root depends on every entry before it, so bytes that somebody had logged can never pose as a later frame.

use crate::environment::UnixMillis;
use crate::log::ports::{Group, Head};
use crate::transparency::{Entry, Hash};
use bytes::Bytes;

/// What frames are aligned to: a page, which is what a file system writes at least.
pub(super) const BLOCK: usize = 4096;

const MAGIC: [u8; 4] = *b"csj2";
/// What stands before the part that the checksum covers.
const OPENING: usize = 8;

/// A frame, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Counts the appends to the log, from 1 on.
    pub(super) number: u64,
    /// Entries below this index are in durable tiles.
    pub(super) sealed: u64,
    /// The index of the first entry; the size of the tree before.
    pub(super) first: u64,
    /// The root of the tree before.
    pub(super) before: Hash,
    /// The head with these entries.
    pub(super) head: Head,
    pub(super) entries: Vec<Entry>,
}

/// Writes the frame of `group`, which follows `before`, into `into`; what was in it goes. `None`: an entry is too large.
pub(super) fn encode(
    into: &mut Vec<u8>,
    number: u64,
    sealed: u64,
    before: &Head,
    group: &Group,
) -> Option<()> {
    let length = OPENING
        + 8 * 6
        + 32 * (2 + group.head.right_edge.len())
        + 1
        + 4
        + group.entries.iter().map(|entry| 36 + entry.bytes.len()).sum::<usize>();
    into.clear();
    into.reserve(length.next_multiple_of(BLOCK));
    into.extend(MAGIC);
    into.extend([0; 4]);
    for word in [length as u64, number, sealed, before.size] {
        into.extend(word.to_be_bytes());
    }
    into.extend(before.root);
    into.extend(group.head.size.to_be_bytes());
    into.extend(group.head.timestamp.0.to_be_bytes());
    into.extend(group.head.root);
    into.push(u8::try_from(group.head.right_edge.len()).ok()?);
    group.head.right_edge.iter().for_each(|hash| into.extend(hash));
    into.extend(u32::try_from(group.entries.len()).ok()?.to_be_bytes());
    for entry in &group.entries {
        into.extend(u32::try_from(entry.bytes.len()).ok()?.to_be_bytes());
        into.extend(entry.leaf_hash);
        into.extend_from_slice(&entry.bytes);
    }
    debug_assert_eq!(into.len(), length);
    let (opening, covered) = into.split_first_chunk_mut::<OPENING>()?;
    let check = crc32fast::hash(covered).to_be_bytes();
    opening.iter_mut().skip(MAGIC.len()).zip(check).for_each(|(to, from)| *to = from);
    into.resize(length.next_multiple_of(BLOCK), 0);
    Some(())
}

/// How many octets the frame takes that `bytes` begin with, a multiple of [`BLOCK`], if its opening is right. `None`: there is none.
pub(super) fn size(bytes: &[u8]) -> Option<usize> {
    let length = bytes.strip_prefix(&MAGIC)?.get(4..)?.first_chunk::<8>()?;
    usize::try_from(u64::from_be_bytes(*length)).ok()?.checked_next_multiple_of(BLOCK)
}

/// The whole frame that `bytes` begin with, and how many blocks of bytes it takes.
pub(super) fn decode(bytes: &[u8]) -> Option<(Frame, usize)> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u64::from_be_bytes(*rest.first_chunk::<8>()?)).ok()?;
    let covered = rest.get(..length.checked_sub(OPENING)?)?;
    if crc32fast::hash(covered).to_be_bytes() != *check {
        return None;
    }
    let mut parts = Parts(covered.get(8..)?);
    let [number, sealed, first] = [parts.u64()?, parts.u64()?, parts.u64()?];
    let before = parts.hash()?;
    let (size, timestamp, root) = (parts.u64()?, UnixMillis(parts.u64()?), parts.hash()?);
    let right_edge = (0..parts.take::<1>()?[0]).map(|_| parts.hash()).collect::<Option<Vec<Hash>>>()?;
    let count = u32::from_be_bytes(parts.take()?);
    let mut entries = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(u32::from_be_bytes(parts.take()?)).ok()?;
        let leaf_hash = parts.hash()?;
        entries.push(Entry { leaf_hash, bytes: Bytes::copy_from_slice(parts.bytes(length)?) });
    }
    let fits = parts.0.is_empty()
        && first.checked_add(u64::from(count)) == Some(size)
        && sealed <= first
        && right_edge.len() as u32 == size.count_ones();
    let head = Head { size, root, timestamp, right_edge };
    fits.then_some((Frame { number, sealed, first, before, head, entries }, length.next_multiple_of(BLOCK)))
}

impl Frame {
    /// Whether `next` was appended right after this one.
    pub(super) fn leads_to(&self, next: &Self) -> bool {
        self.number.checked_add(1) == Some(next.number)
            && (self.head.size, self.head.root) == (next.first, next.before)
    }
}

struct Parts<'b>(&'b [u8]);

impl<'b> Parts<'b> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (part, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*part)
    }

    fn bytes(&mut self, count: usize) -> Option<&'b [u8]> {
        let (part, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(part)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn hash(&mut self) -> Option<Hash> {
        self.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transparency::merkle::{self, RightEdge};

    fn heads_and_group() -> (Head, Group) {
        let mut edge = RightEdge::new();
        let head = |edge: &RightEdge| Head {
            size: edge.size(),
            root: edge.root(),
            timestamp: UnixMillis(edge.size() + 1),
            right_edge: edge.hashes().to_vec(),
        };
        edge.push([1; 32]);
        let before = head(&edge);
        let entries: Vec<Entry> = [0, 5, 9000, 3]
            .map(|length| vec![length as u8; length])
            .map(|bytes| Entry { leaf_hash: merkle::leaf_hash(&bytes), bytes: bytes.into() })
            .into();
        entries.iter().for_each(|entry| edge.push(entry.leaf_hash));
        (before, Group { entries, head: head(&edge), sealed: 0 })
    }

    #[test]
    fn a_frame_is_read_back_and_says_how_far_it_reaches() {
        let (before, group) = heads_and_group();
        let mut bytes = b"something earlier".to_vec();
        encode(&mut bytes, 7, 1, &before, &group).unwrap();
        assert_eq!(bytes.len(), 3 * BLOCK);
        bytes.extend([9; 100]);
        let (frame, length) = decode(&bytes).unwrap();
        assert_eq!((length, size(&bytes[..BLOCK])), (3 * BLOCK, Some(3 * BLOCK)));
        assert_eq!(size(&bytes[BLOCK..]), None);
        assert_eq!((frame.number, frame.sealed, frame.first, frame.before), (7, 1, 1, before.root));
        assert_eq!((frame.head, frame.entries), (group.head, group.entries));
    }

    #[test]
    fn a_frame_that_was_cut_or_changed_anywhere_is_none() {
        let (before, group) = heads_and_group();
        let mut bytes = Vec::new();
        encode(&mut bytes, 7, 1, &before, &group).unwrap();
        let length = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        for at in (0..length).step_by(7).chain(length - 8..length) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            assert_eq!(decode(&changed), None, "{at}");
            assert_eq!(decode(&bytes[..at]), None, "{at}");
        }
        assert_eq!(decode(&[0; 2 * BLOCK]), None);
    }

    #[test]
    fn a_frame_leads_to_the_next_of_the_same_history_alone() {
        let (before, group) = heads_and_group();
        let frame = |number, before: &Head, group: &Group| {
            let mut bytes = Vec::new();
            encode(&mut bytes, number, 0, before, group).unwrap();
            decode(&bytes).unwrap().0
        };
        let first = frame(3, &before, &group);
        let empty = Group { entries: Vec::new(), head: group.head.clone(), sealed: 0 };
        assert!(first.leads_to(&frame(4, &group.head, &empty)));
        assert!(!first.leads_to(&frame(5, &group.head, &empty)));
        let other = Head { root: [8; 32], ..group.head.clone() };
        assert!(!first.leads_to(&frame(4, &other, &empty)));
    }
}
