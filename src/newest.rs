//! What came last, by its hash: a memory that has a bound and forgets the oldest.

use crate::transparency::Hash;
use std::collections::{HashMap, VecDeque};

/// The newest values, `MOST` of them.
#[derive(Debug)]
pub struct Newest<V, const MOST: usize> {
    values: HashMap<Hash, V>,
    oldest_first: VecDeque<Hash>,
}

impl<V, const MOST: usize> Default for Newest<V, MOST> {
    fn default() -> Self {
        Self { values: HashMap::new(), oldest_first: VecDeque::new() }
    }
}

impl<V, const MOST: usize> Newest<V, MOST> {
    /// Remembers a value, in place of the one that was there; where there are too many the oldest goes.
    pub fn put(&mut self, key: Hash, value: V) {
        if self.values.insert(key, value).is_none() {
            self.oldest_first.push_back(key);
        }
        if self.oldest_first.len() > MOST
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.values.remove(&oldest);
        }
    }

    /// The value, while it is remembered.
    pub fn get(&self, key: &Hash) -> Option<&V> {
        self.values.get(key)
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}
