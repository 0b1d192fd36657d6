//! A disk as the system promises it, and no better: what a loss of power may leave of a process's writes.
//!
//! - What was written to a file before an `fsync` or `fdatasync` of it that succeeded is there, with the file's length.
//! - Of what was written since, each sector of 512 bytes has the content that it had at the sync, or after any one of the
//!   writes since: each sector for itself. So writes may be lost, be torn into sectors, and overtake each other. A sector
//!   itself is never torn, as disks promise.
//! - The length is the one at the sync or after any one of the changes since, whatever became of the sectors; what was
//!   never written reads as zeros.
//! - Names made, changed and removed in a directory before an `fsync` of it are durable. Of later changes a beginning is
//!   there, in their order, as the journals of ext4, XFS and btrfs keep it; a rename is there as a whole or not at all.
//!   Syncing a file does not make its name durable, though these file systems mostly do that.
//!   With [`Disk::reorder_names`] any of the changes may be there, those of one name in their order: POSIX promises no
//!   more. sled removes its older snapshot right after it renamed the newer one, and may not open with neither: on such a
//!   file system a start may be refused, see [`super::lying`].
//! - `sync_file_range` makes nothing durable.
//!
//! A kill without a loss of power is the case in which everything is kept.

use super::random::Seeded;
use super::trace::Record;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const SECTOR: usize = 512;

/// A name's change in a directory: to a node, or to nothing.
type Change = (String, Option<usize>);

#[derive(Clone, Debug)]
enum Node {
    File(File),
    Directory(Directory),
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Edit>,
    /// The length for the process.
    length: usize,
}

#[derive(Clone, Debug)]
enum Edit {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Clone, Debug, Default)]
struct Directory {
    durable: BTreeMap<String, usize>,
    /// Each happens as a whole.
    pending: Vec<Vec<Change>>,
    /// The names for the process.
    live: BTreeMap<String, usize>,
}

/// How much of what was not synced a crash leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// Everything, as after a kill.
    All,
    /// Nothing.
    Nothing,
    /// What a seed decides.
    Some(u64),
}

/// The disk: a directory and everything below it.
#[derive(Clone, Debug)]
pub struct Disk {
    nodes: Vec<Node>,
    inodes: HashMap<u64, usize>,
    /// Syncs that are not believed, see [`Disk::ignore_syncs`].
    ignores_syncs: bool,
    reorders_names: bool,
}

/// What a crash leaves: files and directories by their path, directories with `None`.
pub type Image = BTreeMap<String, Option<Vec<u8>>>;

const ROOT: usize = 0;

impl Disk {
    /// A disk that holds what a real directory holds, all of it durable.
    pub fn of(directory: &Path) -> Self {
        let mut disk = Self {
            nodes: vec![Node::Directory(Directory::default())],
            inodes: HashMap::new(),
            ignores_syncs: false,
            reorders_names: false,
        };
        disk.inodes.insert(fs::metadata(directory).expect("the root").ino(), ROOT);
        disk.take_in(directory, ROOT);
        disk
    }

    fn take_in(&mut self, directory: &Path, at: usize) {
        for item in fs::read_dir(directory).expect("a directory").map(|item| item.expect("an item")) {
            let metadata = item.metadata().expect("its metadata");
            let is_directory = metadata.is_dir();
            let node = match is_directory {
                true => Node::Directory(Directory::default()),
                false => {
                    let durable = fs::read(item.path()).expect("its bytes");
                    Node::File(File { length: durable.len(), durable, pending: Vec::new() })
                }
            };
            let number = self.add(metadata.ino(), node);
            let name = item.file_name().into_string().expect("UTF-8");
            let Node::Directory(parent) = &mut self.nodes[at] else { panic!("a directory") };
            parent.durable.insert(name.clone(), number);
            parent.live.insert(name, number);
            if is_directory {
                self.take_in(&item.path(), number);
            }
        }
    }

    /// From now on syncs succeed and do nothing, as on a disk that lies.
    pub fn ignore_syncs(&mut self, ignores: bool) {
        self.ignores_syncs = ignores;
    }

    /// From now on a crash may leave later changes of a directory without earlier ones of other names.
    pub fn reorder_names(&mut self) {
        self.reorders_names = true;
    }

    /// Does what the process did.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Create { inode, path } => {
                let node = self.add(*inode, Node::File(File::default()));
                self.change(path, |name| vec![(name, Some(node))]);
            }
            Record::MakeDirectory { inode, path } => {
                let node = self.add(*inode, Node::Directory(Directory::default()));
                self.change(path, |name| vec![(name, Some(node))]);
            }
            Record::Write { inode, offset, bytes } => {
                let file = self.file(*inode);
                file.length = file.length.max(offset + bytes.len());
                file.pending.push(Edit::Write { offset: *offset, bytes: bytes.clone() });
            }
            Record::Truncate { inode, length } => {
                let file = self.file(*inode);
                file.length = *length;
                file.pending.push(Edit::Truncate(*length));
            }
            Record::Sync { inode } if !self.ignores_syncs => self.sync(*inode),
            Record::Rename { from, to } => {
                assert_eq!(from.parent(), to.parent(), "the model knows renames within a directory");
                let moved = self.node_at(from);
                let old = name_of(from);
                self.change(to, |name| vec![(old, None), (name, Some(moved))]);
            }
            Record::Unlink { path } => self.change(path, |name| vec![(name, None)]),
            Record::Sync { .. } | Record::Range | Record::Mark(_) => {}
        }
    }

    fn add(&mut self, inode: u64, node: Node) -> usize {
        self.nodes.push(node);
        self.inodes.insert(inode, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn file(&mut self, inode: u64) -> &mut File {
        match &mut self.nodes[self.inodes[&inode]] {
            Node::File(file) => file,
            Node::Directory(_) => panic!("a write to a directory"),
        }
    }

    fn sync(&mut self, inode: u64) {
        match &mut self.nodes[self.inodes[&inode]] {
            Node::File(file) => {
                let all = file.pending.len();
                file.durable = file.at(file.length, |_| all);
                file.pending.clear();
            }
            Node::Directory(directory) => {
                directory.durable = directory.live.clone();
                directory.pending.clear();
            }
        }
    }

    fn node_at(&self, path: &Path) -> usize {
        path.components().fold(ROOT, |at, name| match &self.nodes[at] {
            Node::Directory(directory) => directory.live[name.as_os_str().to_str().expect("UTF-8")],
            Node::File(_) => panic!("{} leads through a file", path.display()),
        })
    }

    fn change(&mut self, path: &Path, changes: impl FnOnce(String) -> Vec<Change>) {
        let changes = changes(name_of(path));
        let parent = self.node_at(path.parent().expect("a path below the root"));
        let Node::Directory(directory) = &mut self.nodes[parent] else { panic!("a directory") };
        changes.iter().for_each(|change| put(&mut directory.live, change));
        directory.pending.push(changes);
    }

    /// What a crash now leaves.
    pub fn crash(&self, leaves: Leaves) -> Image {
        let mut image = Image::new();
        let seeded = match leaves {
            Leaves::Some(seed) => Seeded::new(seed),
            Leaves::All | Leaves::Nothing => Seeded::new(0),
        };
        self.collect(ROOT, "", leaves, &mut { seeded }, &mut image);
        image
    }

    /// Tells what was not synced, for a failure.
    pub fn explain(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            match node {
                Node::File(file) if !file.pending.is_empty() => {
                    let edits = file.pending.iter().map(|edit| match edit {
                        Edit::Write { offset, bytes } => format!("{offset}+{}", bytes.len()),
                        Edit::Truncate(length) => format!("cut to {length}"),
                    });
                    println!(
                        "file {number} of {} octets: {:?}",
                        file.durable.len(),
                        edits.collect::<Vec<_>>()
                    );
                }
                Node::Directory(directory) if !directory.pending.is_empty() => {
                    println!("directory {number}: {:?}, then {:?}", directory.durable, directory.pending);
                }
                _ => {}
            }
        }
    }

    fn collect(&self, at: usize, path: &str, leaves: Leaves, seeded: &mut Seeded, image: &mut Image) {
        match &self.nodes[at] {
            Node::File(file) => {
                image.insert(path.to_owned(), Some(file.after(leaves, seeded)));
            }
            Node::Directory(directory) => {
                if at != ROOT {
                    image.insert(path.to_owned(), None);
                }
                for (name, node) in directory.after(leaves, seeded, self.reorders_names) {
                    let below = if at == ROOT { name } else { format!("{path}/{name}") };
                    self.collect(node, &below, leaves, seeded, image);
                }
            }
        }
    }
}

impl File {
    /// The content when each sector is that after as many edits as `version` says.
    fn at(&self, length: usize, version: impl Fn(usize) -> usize) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for (number, edit) in (1..).zip(&self.pending) {
            let (start, new) = match edit {
                Edit::Write { offset, bytes } => (*offset, bytes.as_slice()),
                Edit::Truncate(length) => (*length, &[][..]),
            };
            let end = if new.is_empty() { bytes.len() } else { start + new.len() };
            bytes.resize(bytes.len().max(end), 0);
            let mut at = start;
            while at < end {
                let next = ((at / SECTOR + 1) * SECTOR).min(end);
                if number <= version(at / SECTOR) {
                    match new.get(at - start..next - start) {
                        Some(new) => bytes[at..next].copy_from_slice(new),
                        None => bytes[at..next].fill(0),
                    }
                }
                at = next;
            }
        }
        bytes.resize(length, 0);
        bytes
    }

    fn after(&self, leaves: Leaves, seeded: &mut Seeded) -> Vec<u8> {
        let all = self.pending.len();
        if all == 0 || leaves == Leaves::Nothing {
            return self.durable.clone();
        }
        if leaves == Leaves::All {
            return self.at(self.length, |_| all);
        }
        let lengths: Vec<usize> = self.lengths();
        // Each sector for itself; or most of them at one version, as disks mostly do.
        let (common, stray) = (seeded.below(all + 1), [0, 10, 50, 100][seeded.below(4)]);
        let mut versions = HashMap::new();
        for edit in &self.pending {
            let touched = match edit {
                Edit::Write { offset, bytes } => offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR),
                Edit::Truncate(length) => length / SECTOR..self.durable.len().div_ceil(SECTOR),
            };
            for sector in touched {
                versions.entry(sector).or_insert_with(|| match seeded.chance(stray) {
                    true => seeded.below(all + 1),
                    false => common,
                });
            }
        }
        let length = if seeded.chance(70) { lengths[common] } else { lengths[seeded.below(all + 1)] };
        self.at(length, |sector| versions.get(&sector).copied().unwrap_or(all))
    }

    /// The length at the sync, and after each edit since.
    fn lengths(&self) -> Vec<usize> {
        let mut lengths = vec![self.durable.len()];
        for edit in &self.pending {
            let last = lengths[lengths.len() - 1];
            lengths.push(match edit {
                Edit::Write { offset, bytes } => last.max(offset + bytes.len()),
                Edit::Truncate(length) => *length,
            });
        }
        lengths
    }
}

impl Directory {
    fn after(&self, leaves: Leaves, seeded: &mut Seeded, reorders: bool) -> BTreeMap<String, usize> {
        match leaves {
            Leaves::All => self.live.clone(),
            Leaves::Nothing => self.durable.clone(),
            Leaves::Some(_) => {
                let mut names = self.durable.clone();
                // A beginning of the changes; or any of them.
                let end = seeded.below(self.pending.len() + 1);
                let (in_order, kept) = (!reorders || seeded.chance(50), [20, 50, 80][seeded.below(3)]);
                let mut lost = BTreeSet::new();
                for (number, changes) in self.pending.iter().enumerate() {
                    let touched = changes.iter().any(|(name, _)| lost.contains(name));
                    let keep = if in_order { number < end } else { !touched && seeded.chance(kept) };
                    match keep {
                        true => changes.iter().for_each(|change| put(&mut names, change)),
                        false => lost.extend(changes.iter().map(|(name, _)| name.clone())),
                    }
                }
                names
            }
        }
    }
}

fn put(names: &mut BTreeMap<String, usize>, (name, node): &Change) {
    match node {
        Some(node) => names.insert(name.clone(), *node),
        None => names.remove(name),
    };
}

fn name_of(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned()
}

/// Makes an image real in an empty directory.
pub fn materialise(image: &Image, directory: &Path) {
    for (path, content) in image {
        match content {
            None => fs::create_dir(directory.join(path)).expect("a directory"),
            Some(bytes) => fs::write(directory.join(path), bytes).expect("a file"),
        }
    }
}
