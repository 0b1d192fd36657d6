//! The journal: the groups of unsealed entries in two files that are written over and over, each group by one write and one
//! `fdatasync`.
//!
//! One file is written from its beginning on. Once it is [`FULL`], and every entry in the other file is in a durable tile, the
//! other one is written from *its* beginning, over what nobody needs any more. So both keep their size and their blocks on
//! the disk, and a sync has no length and no new block to make durable. A file grows, by blocks of zeros, where sealing lags.
//!
//! What a start finds: of each file the frames from its beginning on that lead to each other; then the older file's, if they
//! lead to the newer file's. What follows the last of them is of an earlier round, or a group that a crash has torn and
//! nobody was answered. That a *durable* group was lost is not to be seen here: the second record tells it.

use super::anchor::Anchor;
use super::frame::{self, Frame};
use crate::log::ports::{Group, Head, StoreError};
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The names of the two files.
pub(super) const NAMES: [&str; 2] = ["journal.0", "journal.1"];
/// From here on the journal goes on in the other file, as soon as it may.
const FULL: u64 = 1 << 20;
/// By how much a file grows.
const STEP: u64 = 256 << 10;

/// The journal, ready to be appended to.
pub(super) struct Journal {
    files: [Written; 2],
    /// Which of them is written.
    current: usize,
    /// The frame that is written, kept for its memory.
    buffer: Vec<u8>,
}

struct Written {
    path: PathBuf,
    file: File,
    anchor: Anchor,
    length: u64,
    /// Where the next frame goes.
    end: u64,
    /// The index of the first entry, where a frame stands in it.
    first: Option<u64>,
}

/// What the journal holds: frames that lead to each other, oldest first. Entries that later frames know to be sealed may be gone from them.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) frames: Vec<Frame>,
    in_file: [Extent; 2],
    /// The file with the last frame.
    current: usize,
}

/// How much of a file its frames take.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    /// How many there are.
    frames: usize,
    /// Where the last one begins.
    last: u64,
    /// Where it ends.
    end: u64,
}

/// Makes the two files in a new directory.
pub(super) fn make(directory: &Path) -> Result<(), StoreError> {
    for path in NAMES.map(|name| directory.join(name)) {
        File::create(&path).map_err(|error| not_written(&path, &error))?;
    }
    Ok(())
}

/// Reads the journal in `directory`.
pub(super) fn read(directory: &Path) -> Result<Replay, StoreError> {
    let chain = |name: &str| {
        let path = directory.join(name);
        chain(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Corrupt(format!("{} is missing", path.display())),
            _ => unusable(&path, &error),
        })
    };
    let ((zero, of_zero), (one, of_one)) = (chain(NAMES[0])?, chain(NAMES[1])?);
    let number = |chain: &[Frame]| chain.first().map_or(0, |frame| frame.number);
    let current = usize::from(number(&one) > number(&zero));
    let (older, newer) = if current == 0 { (one, zero) } else { (zero, one) };
    let joined = older.last().zip(newer.first()).is_some_and(|(last, next)| last.leads_to(next));
    let frames = if joined { older.into_iter().chain(newer).collect() } else { newer };
    Ok(Replay { frames, in_file: [of_zero, of_one], current })
}

/// The frames of a file from its beginning on that lead to each other. They are read one by one: a file may be much longer than
/// what is needed of it.
fn chain(path: &Path) -> io::Result<(Vec<Frame>, Extent)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let (mut chain, mut extent) = (Vec::<Frame>::new(), Extent::default());
    let (mut bytes, mut sealed) = (Vec::new(), 0);
    loop {
        read_frame(&file, extent.end, length, &mut bytes)?;
        let Some((next, size)) = frame::decode(&bytes) else { break };
        if chain.last().is_some_and(|last| !last.leads_to(&next)) {
            break;
        }
        while let Some(earlier) = chain.get_mut(sealed).filter(|earlier| earlier.head.size <= next.sealed) {
            earlier.entries = Vec::new();
            sealed += 1;
        }
        chain.push(next);
        let end = extent.end + size as u64;
        extent = Extent { frames: chain.len(), last: extent.end, end };
    }
    Ok((chain, extent))
}

/// Reads what stands at `from`, as far as a frame there says that it reaches, and no further than the file's `length`.
fn read_frame(file: &File, from: u64, length: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    let left = usize::try_from(length.saturating_sub(from)).unwrap_or(usize::MAX);
    bytes.clear();
    bytes.resize(frame::BLOCK.min(left), 0);
    file.read_exact_at(bytes, from)?;
    let had = bytes.len();
    if let Some(size) = frame::size(bytes) {
        bytes.resize(size.min(left), 0);
        let rest = bytes.get_mut(had..).unwrap_or_default();
        file.read_exact_at(rest, from + had as u64)?;
    }
    Ok(())
}

impl Journal {
    /// Opens the journal in `directory`, where `replay` was read.
    ///
    /// A process that ended after a sync that failed may have left the last frame in the system's memory, taken there
    /// for written though it is not. So it is written once more.
    pub(super) fn open(directory: &Path, replay: &Replay) -> Result<Self, StoreError> {
        let open = |number: usize| {
            let path = directory.join(NAMES[number]);
            let Extent { frames, end, .. } = replay.in_file[number];
            // Asked of the file that is written alone, whose frames are the last ones.
            let first = replay.frames.iter().rev().take(frames).next_back().map(|frame| frame.first);
            let opened = File::options().read(true).write(true).open(&path).and_then(|file| {
                let length = file.metadata()?.len();
                Ok((Anchor::of(&path)?, length, file))
            });
            let (anchor, length, file) = opened.map_err(|error| unusable(&path, &error))?;
            Ok::<_, StoreError>(Written { path, file, anchor, length, end, first })
        };
        let journal = Self { files: [open(0)?, open(1)?], current: replay.current, buffer: Vec::new() };
        journal.write_last_again(replay.in_file[replay.current].last)?;
        Ok(journal)
    }

    fn write_last_again(&self, last: u64) -> Result<(), StoreError> {
        let Written { path, file, end, .. } = self.current();
        let written = || {
            let mut bytes = vec![0; usize::try_from(end.saturating_sub(last)).map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, last)?;
            file.write_all_at(&bytes, last)?;
            file.sync_data()
        };
        if *end == 0 {
            return Ok(());
        }
        written().map_err(|error| unusable(path, &error))
    }

    fn current(&self) -> &Written {
        &self.files[self.current]
    }

    /// The file that is written, for questions about its file system, if it is still in its place.
    pub(super) fn check(&self) -> Result<&File, StoreError> {
        let current = self.current();
        current.anchor.check().map(|()| &current.file)
    }

    /// Appends the frame of a group, durably. `sealed`: what the frame before says of that, so that the file that is
    /// written over is one that nobody needs, whether this frame will be found or not.
    ///
    /// An error: `NotWritten`, and the journal is as it was; or it must not be used any more.
    pub(super) fn append(
        &mut self,
        number: u64,
        sealed: u64,
        before: &Head,
        group: &Group,
    ) -> Result<(), StoreError> {
        let too_large = || StoreError::NotWritten("an entry is larger than 4 GiB".to_owned());
        let present = sealed.max(group.sealed);
        frame::encode(&mut self.buffer, number, present, before, group).ok_or_else(too_large)?;
        let current = self.current();
        let goes_over = current.end >= FULL && current.first.is_some_and(|first| first <= sealed);
        let next = if goes_over { 1 - self.current } else { self.current };
        let Self { files, buffer, .. } = self;
        let written = &mut files[next];
        written.anchor.check()?;
        let start = if goes_over { 0 } else { written.end };
        let end = start + buffer.len() as u64;
        written.reach(end)?;
        if goes_over {
            written.forget_pages();
        }
        let failed =
            |error| StoreError::Unknown(format!("writing {} failed: {error}", written.path.display()));
        written.file.write_all_at(buffer, start).map_err(failed)?;
        written.sync()?;
        written.end = end;
        if start == 0 {
            written.first = Some(before.size);
        }
        self.current = next;
        Ok(())
    }
}

impl Written {
    /// Makes the file as long as `end` at least. Zeros behind the last frame are nothing, so where there is no space for them
    /// no harm is done.
    fn reach(&mut self, end: u64) -> Result<(), StoreError> {
        if end <= self.length {
            return Ok(());
        }
        let wanted = end.next_multiple_of(STEP);
        let zeros = vec![0; STEP as usize];
        while self.length < wanted {
            let part = usize::try_from(wanted - self.length).unwrap_or(usize::MAX).min(zeros.len());
            let part = zeros.get(..part).unwrap_or_default();
            self.file.write_all_at(part, self.length).map_err(|error| not_written(&self.path, &error))?;
            self.length += part.len() as u64;
        }
        self.sync()?;
        self.forget_pages();
        Ok(())
    }

    /// A sync that failed must not be followed by one that would seem to do.
    fn sync(&self) -> Result<(), StoreError> {
        let failed =
            |error| StoreError::Unknown(format!("fdatasync of {} failed: {error}", self.path.display()));
        self.file.sync_data().map_err(failed)
    }

    /// The system may hold a file in pages much larger than a frame, and count each as written for every frame in it. After
    /// this its pages are made by the frames. All of it is synced by then; nothing depends on it.
    fn forget_pages(&self) {
        fadvise(&self.file, 0, None, Advice::DontNeed).ok();
    }
}

fn unusable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unknown(format!("cannot use {}: {error}", path.display()))
}

fn not_written(path: &Path, error: &io::Error) -> StoreError {
    StoreError::NotWritten(format!("cannot write {}: {error}", path.display()))
}
