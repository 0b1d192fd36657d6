//! What the operator may change while the server runs.

use crate::identity::Issuers;
use crate::policy::Policy;
use std::sync::{Arc, PoisonError, RwLock};

/// Who gets certificates, and which: everything of a configuration that requests are judged by. It changes as a whole.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The allow-list.
    pub issuers: Issuers,
    /// What the operator wants of them besides.
    pub policy: Arc<Policy>,
}

/// The rules that hold now. A request takes them once, at its first step, and is judged by them to its last.
#[derive(Debug)]
pub struct CurrentRules(RwLock<Arc<Rules>>);

impl CurrentRules {
    /// These, until others are put in force.
    pub fn new(rules: Rules) -> Self {
        Self(RwLock::new(Arc::new(rules)))
    }

    /// The rules that hold now: a lock that nobody waits for, and one count.
    pub fn get(&self) -> Arc<Rules> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these hold, for requests that begin after this.
    pub fn replace(&self, rules: Rules) -> Arc<Rules> {
        let rules = Arc::new(rules);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rules.clone();
        rules
    }
}
