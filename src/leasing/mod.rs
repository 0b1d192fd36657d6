//! Walks leases from state to state: [`Broker`] hands out GitLab tokens, and sees to it that each of them dies.
//!
//! The order is what makes it safe. An intent with a unique name is durable before GitLab is asked; the token is durable as a lease before anybody
//! gets it; a lease ends when GitLab has said that the token is dead. So a crash at any point leaves a lease for every token that may live, and
//! what is not known is looked up by its name:
//!
//! ```text
//! intent -> active -> revoking -> revoked
//!    |         |         |         ^--- settling, where it may have replaced itself: looked for a while longer
//!    |         '---------'------> expired    GitLab's own end has passed, by its clock too, and it did not say more
//!    '-> aborted                             there never was a token; `abandoned`: an operator gave it up
//! ```
//!
//! One scheduler for each target does what is due (`scheduler`, `ending`, `reconcile`), from the book of all leases in memory (`book`), which is
//! made anew from the store at the start (`opening`). The store is written by one task, whatever waits at once (`writer`). Time is a clock and a
//! stopwatch that are arguments; waits are the runtime's, which tests turn by hand.

mod attempt;
mod backoff;
mod book;
mod breaker;
mod ending;
mod exchange;
mod inner;
mod keeper;
mod life;
pub mod memory;
mod minting;
mod opening;
mod operators;
mod permits;
pub mod ports;
mod rates;
mod reconcile;
mod records;
mod rotation;
mod scheduler;
mod sealed_token;
mod sealing;
mod secret;
mod settling;
mod site;
mod time;
mod version;
mod writer;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use attempt::{ALLOWED, Attempt, Event};
pub use book::{Filter, Page};
pub use minting::Handed;
pub use opening::{OpenError, Parts};
pub use operators::{Reading, TargetReading};
pub use records::{Attempts, Slot};
pub use rotation::{Method, Rotated, Rotation};
pub use sealed_token::{open_sealed_token, place_of_sealed_token, seal_token};
pub use sealing::SealKey;
pub use secret::Secret;
pub use site::Target;

use crate::broker::{Code, Explained, Lease, LeaseId, Refused, Roles, TokenRequest};
use crate::token::Claims;
use inner::Inner;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;

/// Of a token whose answer did not reach the one who asked.
const NOT_DELIVERED: &str = "not_delivered";
/// Why a lease dies whose job wants it to.
const HOLDER: &str = "holder";

/// Hands out GitLab tokens, and ends them.
pub struct Broker {
    inner: Arc<Inner>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    writing: Mutex<Option<JoinHandle<()>>>,
}

impl Broker {
    /// A GitLab token for a job's ID token. When it answers, the lease is durable. If the answer cannot be given to the one who asked, say so with
    /// [`Self::not_delivered`]; if this future is dropped, that is known here.
    ///
    /// # Errors
    /// [`Refused`], each with its code. None of them leaves a token that nobody revokes.
    pub async fn exchange(&self, id_token: &str, request: &TokenRequest) -> Result<Handed, Refused> {
        self.inner.exchange(id_token, request).await
    }

    /// A request for a token that is not understood, and why: it is told like any other, of the job whose ID token comes with it.
    ///
    /// # Errors
    /// [`Code::LimitReached`]: the job's project asks too often, which is to be answered.
    pub async fn turn_away(
        &self,
        id_token: Option<&str>,
        request: &TokenRequest,
        refused: Refused,
    ) -> Result<(), Refused> {
        self.inner.turn_away(id_token, request, refused).await
    }

    /// Nothing of the answer was written: the token is revoked at once, and once that is durable the ID token is as good as before.
    pub async fn not_delivered(&self, id: LeaseId) {
        self.inner.undelivered(id).await;
    }

    /// Revokes a token for whoever has it (RFC 7009). One that is not known is already as it should be.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`].
    pub async fn revoke_token(&self, token: &str) -> Result<(), Refused> {
        self.inner.revoke_token(token).await
    }

    /// Revokes a lease for the job that has it.
    ///
    /// # Errors
    /// [`Code::LeaseOfAnother`], [`Code::StoreUnavailable`], and those of the ID token. A lease that is not known is nothing to revoke.
    pub async fn revoke_lease(&self, id: LeaseId, id_token: &str) -> Result<(), Refused> {
        match self.inner.own_lease(id, id_token).await? {
            Some(lease) => self.inner.condemn_for(lease.id, HOLDER).await.map(drop),
            None => Ok(()),
        }
    }

    /// A lease, for the job that has it.
    ///
    /// # Errors
    /// [`Code::LeaseUnknown`], also where it is another job's, and those of the ID token.
    pub async fn lease(&self, id: LeaseId, id_token: &str) -> Result<Arc<Lease>, Refused> {
        match self.inner.own_lease(id, id_token).await {
            Ok(Some(lease)) => Ok(lease),
            Err(refused) if refused.code() != Code::LeaseOfAnother => Err(refused),
            Ok(None) | Err(_) => Err(Code::LeaseUnknown.into()),
        }
    }

    /// A lease, for operators.
    pub fn find(&self, id: LeaseId) -> Option<Arc<Lease>> {
        self.inner.book().get(id).cloned()
    }

    /// Leases, the newest first, for operators.
    pub fn leases(&self, filter: &Filter, after: Option<LeaseId>, most: usize) -> Page {
        self.inner.list(filter, after, most)
    }

    /// Attempts that got no token, the newest first, for operators.
    pub fn refused(&self, filter: &Filter, after: Option<Slot>, most: usize) -> Attempts {
        self.inner.refused(filter, after, most)
    }

    /// Tells a lease to die, for operators. `false`: it is over, or not known.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`]: it is revoked all the same, unless the server crashes before.
    pub async fn revoke(&self, id: LeaseId) -> Result<bool, Refused> {
        self.inner.condemn_for(id, "operator").await
    }

    /// Tells all live leases that the filter means to die. How many there are; the revoking itself is not waited for.
    ///
    /// # Errors
    /// As [`Self::revoke`].
    pub async fn revoke_where(&self, filter: &Filter) -> Result<usize, Refused> {
        self.inner.revoke_where(filter, "operator").await
    }

    /// Gives a lease up, for operators who know that its token is dead, or end it by hand: only one that is ten minutes late, and that a
    /// call has failed to end or whose instance does not answer. `false`: it is not such a one. One that was given up before still is.
    ///
    /// # Errors
    /// [`Code::LeaseUnknown`]; [`Code::StoreUnavailable`]: it is given up unless the server crashes before.
    pub async fn abandon(&self, id: LeaseId) -> Result<bool, Refused> {
        self.inner.abandon(id).await
    }

    /// Replaces a target's main credential now.
    ///
    /// # Errors
    /// [`Code::TargetUnknown`]; [`Code::GitlabRefused`]; [`Code::GitlabUnavailable`]: whether it was replaced may not be known yet;
    /// [`Code::NotRotated`]: for another reason, with a wait where an earlier one has to end first. The record says why, in words for the operator.
    pub async fn rotate(&self, target: &str) -> Result<Rotated, Refused> {
        let site = self.inner.sites.get(target);
        self.inner.rotate(site.ok_or(Code::TargetUnknown)?).await
    }

    /// From now on these roles hold. Leases of roles that are gone end as they would have.
    pub fn replace_roles(&self, roles: Arc<Roles>) {
        *self.inner.roles.write().unwrap_or_else(PoisonError::into_inner) = roles;
        self.inner.sites.values().for_each(|site| self.inner.tell_too_new(site));
    }

    /// The roles that hold now.
    pub fn roles(&self) -> Arc<Roles> {
        self.inner.roles()
    }

    /// What [`Self::exchange`] would say to such claims, and which part of the role's condition says no; `None`: there is no such role. `iss`:
    /// theirs; `token`: the text that they are of, whose signature is not verified. Nothing is handed out, nor counted.
    pub fn test(
        &self,
        iss: &str,
        claims: &Claims,
        token: Option<&str>,
        request: &TokenRequest,
    ) -> Option<Explained> {
        self.inner.test(iss, claims, token, request)
    }

    /// What keeps the broker from working as it should, in words for operators; empty: nothing.
    pub fn problems(&self) -> Vec<String> {
        self.inner.problems()
    }

    /// Figures for metrics.
    pub fn reading(&self) -> Reading {
        self.inner.reading()
    }
}

impl Drop for Broker {
    /// As a crash: nothing is waited for. [`Self::close`] is how it is stopped.
    fn drop(&mut self) {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
        self.inner.writer.close();
    }
}
