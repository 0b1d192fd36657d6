//! Log lines of refusals that come in floods.
//!
//! A refusal for overload must cost next to nothing, and a line in the log costs more than the refusal. So the first of each second
//! has its line; the others are counted, and the next line of any request tells how many they were.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Decides which refusals have a line.
pub struct Sparse {
    /// The second of the last line, counted from 1; 0: there was none.
    second: AtomicU64,
    unlogged: AtomicU64,
}

impl Sparse {
    /// Nothing was refused yet.
    pub const fn new() -> Self {
        Self { second: AtomicU64::new(0), unlogged: AtomicU64::new(0) }
    }

    /// Whether a request that was answered at `now` has a line: any that is not `flooding`, and of those the first of a second.
    /// With it comes how many had none since the last line told.
    pub fn line(&self, flooding: bool, now: Duration) -> Option<u64> {
        let second = now.as_secs() + 1;
        if flooding && self.second.swap(second, Ordering::Relaxed) == second {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        // Reading is cheaper than swapping, and nearly always there is nothing.
        match self.unlogged.load(Ordering::Relaxed) {
            0 => Some(0),
            // In the midst of a flood every answer would tell a few.
            _ if !flooding && self.second.load(Ordering::Relaxed) == second => Some(0),
            _ => Some(self.unlogged.swap(0, Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refusal_of_a_second_has_a_line_and_tells_of_the_others() {
        let sparse = Sparse::new();
        let at = |millis| Duration::from_millis(millis);
        assert_eq!(sparse.line(false, at(0)), Some(0));
        assert_eq!(sparse.line(true, at(0)), Some(0));
        assert_eq!(sparse.line(true, at(500)), None);
        assert_eq!(sparse.line(true, at(999)), None);
        assert_eq!(sparse.line(false, at(999)), Some(0));
        assert_eq!(sparse.line(true, at(1000)), Some(2));
        assert_eq!(sparse.line(true, at(1001)), None);
        // The flood is over: whoever comes next tells.
        assert_eq!(sparse.line(false, at(9000)), Some(1));
        assert_eq!(sparse.line(false, at(9000)), Some(0));
    }
}
