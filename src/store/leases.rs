//! The broker's leases, in sled, and beside it how many writes there were.
//!
//! What sled does not do is said in [`super::sled`]. Here every group is one batch, flushed, and synced through a handle of our own; and since a
//! damaged or cut file of sled's may open at an older state without a word, each batch carries a number, and a second record has the last one that
//! was durable: a store that lags behind it has forgotten leases, and does not open. That record is one of [`super::record`]'s, with the number
//! in the place of a log's size.
//!
//! Keys: `n` the number; `l` and a lease's id; `u` and the key of an ID token's uses; `c` and a target's name; `a` and the slot of a refused
//! attempt. Values: version, body, checksum. None comes near 128 KiB, above which sled would make a file of it that it never syncs.

use super::lock::DirectoryLock;
use super::record::FileHeadRecord;
use super::sled::{self, Raw};
use crate::broker::LeaseId;
use crate::environment::UnixMillis;
use crate::leasing::ports::{ATTEMPTS, Change, KeepError, Kept, LeaseStore};
use crate::log::ports::{HeadRecord, Recorded, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Space that must be left besides a multiple of what is written.
const RESERVE: u64 = 2 << 20;
/// The largest value: far from where sled makes files of its own.
const LARGEST: usize = 64 << 10;

/// The first octet of every value.
const FORMAT: u8 = 1;

const NUMBER: &[u8] = b"n";
const LEASE: u8 = b'l';
const USED: u8 = b'u';
const CREDENTIAL: u8 = b'c';
const ATTEMPT: u8 = b'a';

/// The leases in a directory of their own.
pub struct EmbeddedLeases {
    path: PathBuf,
    /// Or why it cannot be used.
    parts: Result<Parts, KeepError>,
    /// Keeps other processes out for as long as it lives.
    _guard: Option<Arc<DirectoryLock>>,
}

struct Parts {
    database: Raw,
    record: FileHeadRecord,
    /// Of the last batch.
    number: u64,
}

impl EmbeddedLeases {
    /// Opens the store in `path`, which is made when it is missing; the second record stands beside it, with `.record` at its end.
    ///
    /// # Errors
    /// [`KeepError::Corrupt`]: it is damaged, or has forgotten something; with the way out. Others when it can be neither opened nor made.
    pub fn open(path: &Path) -> Result<Self, KeepError> {
        let opened = Self::parts(path);
        let parts = opened.map_err(|error| match error {
            KeepError::Corrupt(what) => KeepError::Corrupt(format!("{what}; {}", way_out(path))),
            other => other,
        })?;
        Ok(Self { path: path.to_owned(), parts: Ok(parts), _guard: None })
    }

    /// The same, for as long as which nobody else gets this lock.
    pub(super) fn guarded_by(mut self, lock: Arc<DirectoryLock>) -> Self {
        self._guard = Some(lock);
        self
    }

    fn parts(path: &Path) -> Result<Parts, KeepError> {
        let record_path = record_of(path);
        let record = FileHeadRecord::open(&record_path)?;
        let durable = record.read()?.map_or(0, |recorded| recorded.size);
        if !path.is_dir() {
            if durable > 0 {
                return Err(KeepError::Corrupt(format!("{} is missing", path.display())));
            }
            sled::make_bare(path)?;
        }
        let database = sled::open_raw(path)?;
        let number = match database.get(NUMBER)? {
            Some(value) => read_number(&value).ok_or_else(|| damaged("the number of writes"))?,
            None => 0,
        };
        if number < durable {
            return Err(KeepError::Corrupt(format!(
                "it opened as it was after {number} writes, and {durable} were durable: leases are forgotten"
            )));
        }
        Ok(Parts { database, record, number })
    }

    /// What is stored in a credential's place.
    ///
    /// # Errors
    /// [`KeepError::Corrupt`]; [`KeepError::Unknown`].
    pub fn credential(&self, place: &str) -> Result<Option<Vec<u8>>, KeepError> {
        let parts = self.parts.as_ref().map_err(Clone::clone)?;
        let Some(value) = parts.database.get(&[&[CREDENTIAL], place.as_bytes()].concat())? else {
            return Ok(None);
        };
        let body = sled::checked(&value, FORMAT).ok_or_else(|| damaged("a credential"))?;
        Ok(Some(body.to_vec()))
    }

    /// After an error that leaves unknown what was written nothing is touched any more.
    fn guard(&mut self, result: Result<(), KeepError>) -> Result<(), KeepError> {
        if let Err(error) = &result
            && !matches!(error, KeepError::NotWritten(_))
        {
            std::mem::forget(std::mem::replace(&mut self.parts, Err(error.clone())));
        }
        result
    }
}

impl LeaseStore for EmbeddedLeases {
    fn load(&self) -> Result<Kept, KeepError> {
        let parts = self.parts.as_ref().map_err(Clone::clone)?;
        let mut kept = Kept::default();
        let all = parts
            .database
            .all()
            .map_err(KeepError::from)
            .and_then(|all| all.iter().try_for_each(|(key, value)| read(key, value, &mut kept)));
        all.map_err(|error| match error {
            KeepError::Corrupt(what) => KeepError::Corrupt(format!("{what}; {}", way_out(&self.path))),
            other => other,
        })?;
        Ok(kept)
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), KeepError> {
        let path = self.path.clone();
        let parts = self.parts.as_mut().map_err(|error| error.clone())?;
        let written = parts.write(changes, &path);
        self.guard(written)
    }

    fn check(&self) -> Result<(), KeepError> {
        self.parts.as_ref().map_err(Clone::clone)?.has_room_for(0, &self.path)
    }
}

impl Parts {
    fn write(&mut self, changes: &[Change], path: &Path) -> Result<(), KeepError> {
        let mut batch = ::sled::Batch::default();
        let mut octets = 0;
        for change in changes {
            octets += put(&mut batch, change)?;
        }
        self.has_room_for(octets, path)?;
        let number = self.number + 1;
        batch.insert(NUMBER, sled::with_checksum(versioned(&number.to_be_bytes())));
        self.database.apply(batch)?;
        self.number = number;
        // The batch is durable. A record that lags behind is one that notices less.
        let recorded = Recorded { size: number, root: [0; 32], timestamp: UnixMillis(0) };
        if let Err(error) = self.record.write(&recorded) {
            tracing::warn!(%error, "the second record of the leases cannot be written");
        }
        Ok(())
    }

    /// Whether `octets` more can be written where they will be found again, as far as the file system tells.
    fn has_room_for(&self, octets: usize, path: &Path) -> Result<(), KeepError> {
        self.database.check()?;
        let wanted = RESERVE.saturating_add((octets as u64).saturating_mul(2));
        Ok(super::room::check(self.database.file(), path, wanted)?)
    }
}

impl Drop for EmbeddedLeases {
    fn drop(&mut self) {
        let closed = Err(KeepError::Unknown("the store is closed".to_owned()));
        if let Ok(Parts { database, record, .. }) = std::mem::replace(&mut self.parts, closed) {
            let closed = database.close().and_then(|()| record.sync());
            if let Err(error) = closed {
                tracing::warn!(path = %self.path.display(), %error, "the store of the leases did not close cleanly");
            }
        }
    }
}

impl std::fmt::Debug for EmbeddedLeases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedLeases").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The log's stores and this one say the same in different words.
impl From<StoreError> for KeepError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotWritten(why) => Self::NotWritten(why),
            StoreError::Corrupt(why) => Self::Corrupt(why),
            StoreError::Unknown(why) => Self::Unknown(why),
            conflict @ StoreError::Conflict => Self::Unknown(conflict.to_string()),
        }
    }
}

fn record_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".record");
    name.into()
}

fn way_out(path: &Path) -> String {
    format!(
        "tokens may live that nobody would revoke. Put back a copy of {0} and {1}; or move both away, start anew, and revoke at GitLab what the \
         log of leases names, each token by its name, which ends with the lease's id",
        path.display(),
        record_of(path).display()
    )
}

fn damaged(what: &str) -> KeepError {
    KeepError::Corrupt(format!("{what} is damaged"))
}

fn versioned(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 9);
    bytes.push(FORMAT);
    bytes.extend(body);
    bytes
}

/// Puts a change into the batch; how many octets it has.
fn put(batch: &mut ::sled::Batch, change: &Change) -> Result<usize, KeepError> {
    let key = |kind: u8, name: &[u8]| [&[kind], name].concat();
    let (key, body) = match change {
        Change::Lease(lease) => (key(LEASE, lease.id.as_bytes()), Some(json(lease)?)),
        Change::Forget(id) => (key(LEASE, id.as_bytes()), None),
        Change::Used { key: uses, count, until } => {
            let body = [&count.to_be_bytes()[..], &until.0.to_be_bytes()].concat();
            (key(USED, uses), Some(body))
        }
        Change::Unused(uses) => (key(USED, uses), None),
        Change::Credential { place, record } => (key(CREDENTIAL, place.as_bytes()), Some(record.clone())),
        Change::Attempt { slot, attempt } => (key(ATTEMPT, &slot.to_be_bytes()), Some(json(attempt)?)),
    };
    match body {
        Some(body) if body.len() > LARGEST => {
            Err(KeepError::NotWritten(format!("a value of {} octets is too large", body.len())))
        }
        Some(body) => {
            let value = sled::with_checksum(versioned(&body));
            let octets = key.len() + value.len();
            batch.insert(key, value);
            Ok(octets)
        }
        None => {
            batch.remove(key);
            Ok(64)
        }
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, KeepError> {
    serde_json::to_vec(value).map_err(|error| KeepError::NotWritten(error.to_string()))
}

fn parse<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, KeepError> {
    serde_json::from_slice(body).map_err(|_| damaged(what))
}

/// Reads one value.
fn read(key: &[u8], value: &[u8], kept: &mut Kept) -> Result<(), KeepError> {
    if key == NUMBER {
        return read_number(value).map(drop).ok_or_else(|| damaged("the number of writes"));
    }
    let body = sled::checked(value, FORMAT).ok_or_else(|| damaged("a value"))?;
    match key.split_first() {
        Some((&LEASE, id)) => {
            let lease: crate::broker::Lease = parse(body, "a lease")?;
            let is_its_own = id == LeaseId::as_bytes(&lease.id);
            kept.leases.push(is_its_own.then_some(lease).ok_or_else(|| damaged("a lease's key"))?);
        }
        Some((&USED, uses)) => {
            let uses = uses.try_into().map_err(|_| damaged("a use's key"))?;
            let (count, until) = body.split_first_chunk::<4>().ok_or_else(|| damaged("a use"))?;
            let until = until.try_into().map_err(|_| damaged("a use"))?;
            kept.used.push((uses, u32::from_be_bytes(*count), UnixMillis(u64::from_be_bytes(until))));
        }
        Some((&CREDENTIAL, place)) => {
            let place = String::from_utf8(place.to_vec()).map_err(|_| damaged("a credential's place"))?;
            kept.credentials.push((place, body.to_vec()));
        }
        Some((&ATTEMPT, slot)) => {
            let slot = slot.try_into().map(u32::from_be_bytes).map_err(|_| damaged("an attempt's slot"))?;
            let is_one = slot < ATTEMPTS;
            let attempt = parse(body, "an attempt")?;
            kept.attempts
                .push(is_one.then_some((slot, attempt)).ok_or_else(|| damaged("an attempt's slot"))?);
        }
        _ => return Err(damaged("a key")),
    }
    Ok(())
}

fn read_number(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(sled::checked(value, FORMAT)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
