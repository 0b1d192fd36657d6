//! What was entered lately, so that a client that asks again gets the entry that exists.
//!
//! In memory, bounded by time and by number. Whoever asks while the same is on its way waits for it.

use crate::environment::UnixMillis;
use crate::transparency::{Hash, Place};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long an entry is remembered: longer than any client goes on trying.
pub const WINDOW: Duration = Duration::from_secs(600);
/// How many are remembered at most: some 15 MB.
pub const REMEMBERED: usize = 65_536;

/// The place of an entry, once it has one.
pub(super) type Cell = Arc<OnceCell<Place>>;

/// Entries by their leaf hash.
#[derive(Default)]
pub(super) struct Recent(Mutex<State>);

#[derive(Default)]
struct State {
    cells: HashMap<Hash, Cell>,
    oldest_first: VecDeque<(UnixMillis, Hash)>,
}

impl Recent {
    /// The cell of the entry with this leaf hash: filled when it is in the log, empty while it is on its way or after it failed.
    pub(super) fn cell(&self, leaf: Hash, now: UnixMillis) -> Cell {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { cells, oldest_first } = &mut *state;
        while oldest_first.front().is_some_and(|(since, _)| now.since(*since) > WINDOW) {
            forget_oldest(cells, oldest_first);
        }
        if let Some(cell) = cells.get(&leaf) {
            return cell.clone();
        }
        if oldest_first.len() >= REMEMBERED {
            forget_oldest(cells, oldest_first);
        }
        let cell = Cell::default();
        cells.insert(leaf, cell.clone());
        oldest_first.push_back((now, leaf));
        cell
    }
}

fn forget_oldest(cells: &mut HashMap<Hash, Cell>, oldest_first: &mut VecDeque<(UnixMillis, Hash)>) {
    if let Some((_, leaf)) = oldest_first.pop_front() {
        cells.remove(&leaf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transparency::sha256;

    fn leaf(number: usize) -> Hash {
        sha256(&number.to_be_bytes())
    }

    #[test]
    fn an_entry_is_remembered_for_a_time_and_no_more_than_so_many() {
        let recent = Recent::default();
        let start = UnixMillis(1_000_000);
        let place = Place { index: 5, timestamp: start };
        recent.cell(leaf(0), start).set(place).unwrap();
        assert_eq!(recent.cell(leaf(0), start.plus(WINDOW)).get(), Some(&place));
        // A clock that was set back forgets nothing.
        assert_eq!(recent.cell(leaf(0), UnixMillis(0)).get(), Some(&place));
        let later = start.plus(WINDOW + Duration::from_millis(1));
        assert_eq!(recent.cell(leaf(0), later).get(), None);
        for number in 1..=REMEMBERED {
            recent.cell(leaf(number), later).set(place).unwrap();
        }
        assert_eq!(recent.0.lock().unwrap().cells.len(), REMEMBERED);
        assert_eq!(recent.cell(leaf(1), later).get(), Some(&place));
        assert_eq!(recent.cell(leaf(0), later).get(), None);
    }
}
