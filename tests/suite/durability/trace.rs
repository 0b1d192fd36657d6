//! What a process did to its files, as the shim wrote it down.

use std::path::{Path, PathBuf};

/// One record. Paths are relative to the traced directory; inodes are the system's, which uses them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Create {
        inode: u64,
        path: PathBuf,
    },
    MakeDirectory {
        inode: u64,
        path: PathBuf,
    },
    Write {
        inode: u64,
        offset: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        inode: u64,
        length: usize,
    },
    /// `fsync` or `fdatasync` of a file or a directory, done.
    Sync {
        inode: u64,
    },
    /// `sync_file_range`, which makes nothing durable.
    Range,
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    /// What the driver told: see [`super::driver`].
    Mark(String),
}

/// Reads a whole trace.
pub fn read(path: &Path) -> Vec<Record> {
    let bytes = std::fs::read(path).expect("the trace");
    let mut rest = bytes.as_slice();
    let mut records = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|&byte| byte == b'\n').expect("a whole line");
        let line = std::str::from_utf8(&rest[..end]).expect("UTF-8").to_owned();
        rest = &rest[end + 1..];
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        let path = |at: usize| PathBuf::from(words[at]);
        let mut payload = |length: u64| {
            let (payload, more) = rest.split_at(length as usize);
            rest = more.strip_prefix(b"\n").expect("the end of a payload");
            payload.to_vec()
        };
        records.push(match words[0] {
            "create" => Record::Create { inode: number(1), path: path(2) },
            "mkdir" => Record::MakeDirectory { inode: number(1), path: path(2) },
            "write" => {
                Record::Write { inode: number(1), offset: number(2) as usize, bytes: payload(number(3)) }
            }
            "truncate" => Record::Truncate { inode: number(1), length: number(2) as usize },
            "sync" => Record::Sync { inode: number(1) },
            "range" => Record::Range,
            "rename" => Record::Rename { from: path(1), to: path(2) },
            "unlink" => Record::Unlink { path: path(1) },
            "mark" => Record::Mark(String::from_utf8(payload(number(1))).expect("UTF-8")),
            other => panic!("the disk's model does not know {other:?}: {line}"),
        });
    }
    records
}
