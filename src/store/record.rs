//! The second record of the head, as a file of two slots that are written in turn.
//!
//! A slot is `magic[8] | u64 size | u64 timestamp | root[32] | SHA-256 of all that, first 8 bytes`, big-endian, and each
//! stands in a block of its own. The newer one is the one with more entries. Slots of zeros, or a file that ends before them,
//! were never written: the file is not synced after each write, and a loss of power may leave it so. But it does not leave a
//! slot damaged, which lies within one sector: so a damaged one is the work of a disk that cannot be believed, and what it
//! said may have been newer than what the whole one says.
//!
//! An operator who knows that the head store is the newest there is says so with a file that holds the word `newest` and
//! nothing else. It stands for the record of an empty log, which lags behind every log.

use super::anchor::Anchor;
use crate::environment::UnixMillis;
use crate::log::ports::{HeadRecord, Recorded, StoreError};
use crate::transparency::merkle;
use aws_lc_rs::digest::{SHA256, digest};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: [u8; 8] = *b"csn-rec1";
const BODY: usize = 8 + 8 + 8 + 32;
const SLOT: usize = BODY + 8;
/// The distance of the slots: a block of the disk.
const STRIDE: u64 = 4096;
/// The operator's word.
const WORD: &[u8] = b"newest";

/// The second record in a file.
#[derive(Debug)]
pub struct FileHeadRecord {
    file: File,
    /// Where it belongs.
    anchor: Anchor,
    /// The slot to write next, 0 or 1.
    next: u64,
}

impl FileHeadRecord {
    /// Opens the file, which is made when it is missing.
    ///
    /// # Errors
    /// `NotWritten` when it can be neither opened nor made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| StoreError::NotWritten(error.to_string()))?;
        let anchor = Anchor::of(path).map_err(|error| StoreError::NotWritten(error.to_string()))?;
        let mut record = Self { file, anchor, next: 0 };
        // The older or spoilt slot is the next one to write.
        if let (Slot::Whole(first), second) = (record.slot(0)?, record.slot(1)?) {
            let second_is_newer = matches!(second, Slot::Whole(second) if second.size > first.size);
            record.next = u64::from(!second_is_newer);
        }
        Ok(record)
    }

    /// What the file says, with nothing made or written; `None` when there is no file, or nothing in it.
    ///
    /// # Errors
    /// `NotWritten` when it cannot be read, `Corrupt` when a slot is damaged.
    pub fn peek(path: &Path) -> Result<Option<Recorded>, StoreError> {
        match File::open(path).and_then(|file| Ok((file, Anchor::of(path)?))) {
            Ok((file, anchor)) => Self { file, anchor, next: 0 }.read(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::NotWritten(format!("cannot read {}: {error}", path.display()))),
        }
    }

    fn slot(&self, number: u64) -> Result<Slot, StoreError> {
        let mut bytes = [0; SLOT];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, number * STRIDE + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::Unknown(format!("cannot read the record: {error}"))),
            }
        }
        Ok(Slot::parse(&bytes))
    }
}

impl HeadRecord for FileHeadRecord {
    fn read(&self) -> Result<Option<Recorded>, StoreError> {
        match (self.slot(0)?, self.slot(1)?) {
            (Slot::Whole(first), Slot::Whole(second)) => {
                Ok(Some(if second.size > first.size { second } else { first }))
            }
            (Slot::Whole(one), Slot::Empty) | (Slot::Empty, Slot::Whole(one)) => Ok(Some(one)),
            (Slot::Empty, Slot::Empty) => Ok(None),
            (Slot::Damaged, Slot::Damaged) => {
                Err(StoreError::Corrupt("no slot of the record is whole".to_owned()))
            }
            (Slot::Damaged, _) | (_, Slot::Damaged) => {
                Err(StoreError::Corrupt("one of the record's two slots is damaged".to_owned()))
            }
        }
    }

    fn write(&mut self, record: &Recorded) -> Result<(), StoreError> {
        self.anchor.check()?;
        let written = self.file.write_all_at(&encode(record), self.next * STRIDE);
        written
            .map_err(|error| StoreError::NotWritten(format!("cannot write the head's record: {error}")))?;
        self.next = 1 - self.next;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(|error| StoreError::Unknown(format!("cannot sync the record: {error}")))
    }
}

enum Slot {
    Empty,
    Whole(Recorded),
    Damaged,
}

impl Slot {
    fn parse(bytes: &[u8; SLOT]) -> Self {
        if bytes.iter().all(|&byte| byte == 0) {
            return Self::Empty;
        }
        if bytes.strip_prefix(WORD).is_some_and(|rest| rest.iter().all(|byte| b"\0\r\n".contains(byte))) {
            return Self::Whole(Recorded { size: 0, root: merkle::empty_root(), timestamp: UnixMillis(0) });
        }
        let (body, check) = bytes.split_at(BODY);
        let (magic, rest) = body.split_at(8);
        let (size, rest) = rest.split_at(8);
        let (timestamp, root) = rest.split_at(8);
        if magic != MAGIC || check != checksum(body) {
            return Self::Damaged;
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, &byte| (sum << 8) | u64::from(byte));
        let mut hash = [0; 32];
        hash.copy_from_slice(root);
        Self::Whole(Recorded { size: number(size), root: hash, timestamp: UnixMillis(number(timestamp)) })
    }
}

fn encode(record: &Recorded) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT);
    bytes.extend(MAGIC);
    bytes.extend(record.size.to_be_bytes());
    bytes.extend(record.timestamp.0.to_be_bytes());
    bytes.extend(record.root);
    let check = checksum(&bytes);
    bytes.extend(check);
    bytes
}

fn checksum(body: &[u8]) -> [u8; 8] {
    let mut check = [0; 8];
    check.iter_mut().zip(digest(&SHA256, body).as_ref()).for_each(|(to, from)| *to = *from);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(size: u64) -> Recorded {
        Recorded { size, root: [size as u8; 32], timestamp: UnixMillis(1000 + size) }
    }

    fn spoil(path: &Path, slot: u64) {
        File::options().write(true).open(path).unwrap().write_all_at(b"?", slot * STRIDE + 20).unwrap();
    }

    #[test]
    fn it_is_a_head_record() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head.record");
        crate::log::conformance::head_record(|| FileHeadRecord::open(&path).unwrap());
    }

    #[test]
    fn the_newest_record_is_read_and_the_slots_alternate_over_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head.record");
        assert_eq!(FileHeadRecord::open(&path).unwrap().read().unwrap(), None);
        for size in 1..10 {
            let mut record = FileHeadRecord::open(&path).unwrap();
            record.write(&recorded(size)).unwrap();
            assert_eq!(record.read().unwrap(), Some(recorded(size)));
            assert_eq!(FileHeadRecord::open(&path).unwrap().read().unwrap(), Some(recorded(size)));
        }
    }

    #[test]
    fn a_damaged_slot_may_have_been_the_newer_one() {
        for spoilt in 0..2 {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("head.record");
            let mut record = FileHeadRecord::open(&path).unwrap();
            record.write(&recorded(7)).unwrap();
            record.write(&recorded(8)).unwrap();
            spoil(&path, spoilt);
            assert!(matches!(FileHeadRecord::open(&path).unwrap().read(), Err(StoreError::Corrupt(_))));
            assert!(matches!(FileHeadRecord::peek(&path), Err(StoreError::Corrupt(_))));
        }
    }

    #[test]
    fn a_second_slot_that_was_never_written_is_no_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head.record");
        FileHeadRecord::open(&path).unwrap().write(&recorded(7)).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(2 * STRIDE).unwrap();
        assert_eq!(FileHeadRecord::open(&path).unwrap().read().unwrap(), Some(recorded(7)));
    }

    #[test]
    fn the_operators_word_is_a_record_that_lags_and_the_next_ones_replace_it() {
        for (word, is_one) in
            [("newest", true), ("newest\n", true), ("newest\r\n", true), ("newest?", false), ("new", false)]
        {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("head.record");
            std::fs::write(&path, word).unwrap();
            let mut record = FileHeadRecord::open(&path).unwrap();
            assert_eq!(
                record.read().is_ok_and(|record| record.is_some_and(|record| record.size == 0)),
                is_one,
                "{word}"
            );
            for size in 1..4 {
                record.write(&recorded(size)).unwrap();
                if is_one {
                    assert_eq!(FileHeadRecord::open(&path).unwrap().read().unwrap(), Some(recorded(size)));
                }
            }
        }
    }

    #[test]
    fn two_spoilt_slots_are_an_error_and_a_file_of_zeros_is_no_record() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head.record");
        let mut record = FileHeadRecord::open(&path).unwrap();
        record.write(&recorded(7)).unwrap();
        record.write(&recorded(8)).unwrap();
        spoil(&path, 0);
        spoil(&path, 1);
        assert!(matches!(record.read(), Err(StoreError::Corrupt(_))));
        std::fs::write(&path, [0; 8192]).unwrap();
        assert_eq!(FileHeadRecord::open(&path).unwrap().read().unwrap(), None);
    }
}
