//! Calls at once to one target. What ends tokens goes first: an exchange that waits keeps a job waiting, and a revocation that waits keeps a token
//! alive.
//!
//! Exchanges have at most three quarters of the places (all of them where there is but one), so that one which hangs holds no revocation; and none
//! of them begins while something waits to be ended, so that revocations have every place as it becomes free. A look-up in a long list lets others
//! go first after each page.

use super::ports::Place;
use crate::issuance::Answer;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// One place of this many is no exchange's.
const ONE_IN: usize = 4;

/// How long it is waited until nobody calls.
const LONGEST_TO_BE_ALONE: Duration = Duration::from_secs(15);

/// The places.
#[derive(Debug)]
pub(super) struct Permits {
    all: Arc<Semaphore>,
    most: u32,
    /// Those of them that exchanges may have.
    making: Arc<Semaphore>,
    /// Something waits to be ended.
    urgent: watch::Sender<bool>,
}

/// A place.
#[derive(Debug)]
pub(super) struct Permit {
    all: Arc<Semaphore>,
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Permit {
    fn hold(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}

impl Place for Permit {
    fn give_way(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.hold(None);
            self.hold(self.all.clone().acquire_owned().await.ok());
        })
    }
}

/// An exchange's place.
#[derive(Debug)]
pub(super) struct MakingPermit {
    _one: Permit,
    _of_making: OwnedSemaphorePermit,
}

impl Permits {
    /// So many, at least one.
    pub(super) fn new(most: u32) -> Self {
        let most = most.max(1);
        let places = most as usize;
        let making = (places - places.div_ceil(ONE_IN)).max(1);
        Self {
            all: Arc::new(Semaphore::new(places)),
            most,
            making: Arc::new(Semaphore::new(making)),
            urgent: watch::Sender::new(false),
        }
    }

    /// Says whether something waits to be ended: no exchange begins as long as it does.
    pub(super) fn set_urgent(&self, urgent: bool) {
        self.urgent.send_if_modified(|was| std::mem::replace(was, urgent) != urgent);
    }

    /// A place for an exchange, in the order of asking. `None`: the broker is closed.
    pub(super) async fn to_make(&self) -> Option<MakingPermit> {
        let of_making = self.making.clone().acquire_owned().await.ok()?;
        self.urgent.subscribe().wait_for(|urgent| !urgent).await.ok()?;
        Some(MakingPermit { _one: self.to_end().await?, _of_making: of_making })
    }

    /// A place for anything else. `None`: the broker is closed.
    pub(super) async fn to_end(&self) -> Option<Permit> {
        let permit = self.all.clone().acquire_owned().await.ok()?;
        Some(Permit { all: self.all.clone(), held: Mutex::new(Some(permit)) })
    }

    /// All places: nobody else calls while it is held, and who was calling has ended. `None`: the broker is closed, or others did not end soon;
    /// whoever comes after this waits behind it, so that it does not wait for long itself.
    pub(super) async fn alone(&self) -> Option<OwnedSemaphorePermit> {
        let all = self.all.clone().acquire_many_owned(self.most);
        tokio::time::timeout(LONGEST_TO_BE_ALONE, all).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is there without waiting.
    async fn now<T>(permit: impl Future<Output = Option<T>>) -> Option<T> {
        tokio::time::timeout(Duration::from_millis(1), permit).await.ok().flatten()
    }

    #[tokio::test(start_paused = true)]
    async fn exchanges_have_three_quarters_of_the_places_and_one_where_there_is_one() {
        for (most, of_exchanges) in [(0, 1), (1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (16, 12)] {
            let permits = Permits::new(most);
            let mut held = Vec::new();
            while let Some(permit) = now(permits.to_make()).await {
                held.push(permit);
            }
            let mut rest = Vec::new();
            while let Some(permit) = now(permits.to_end()).await {
                rest.push(permit);
            }
            let all = most.max(1) as usize;
            assert_eq!((held.len(), rest.len()), (of_exchanges, all - of_exchanges), "{most}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_exchange_begins_while_something_is_urgent() {
        let permits = Permits::new(2);
        permits.set_urgent(true);
        assert!(now(permits.to_make()).await.is_none());
        let held = [now(permits.to_end()).await.unwrap(), now(permits.to_end()).await.unwrap()];
        permits.set_urgent(false);
        assert!(now(permits.to_make()).await.is_none());
        drop(held);
        drop(now(permits.to_make()).await.unwrap());
        assert!(now(permits.alone()).await.is_some());
    }
}
