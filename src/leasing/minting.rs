//! From a grant to a token: places are taken, the intent is durable, GitLab is asked once, what it made is durable, and then it is handed out.

use super::attempt::Attempt;
use super::backoff::{self, Purpose};
use super::book::{Full, UseKey, use_key};
use super::inner::{Busy, Inner, dying};
use super::permits::MakingPermit;
use super::ports::{CallError, Change, Holder, Made, Order, Secret};
use super::site::{Deadline, Site, detail_of};
use crate::broker::{Code, Grant, Job, Lease, LeaseId, Minted, Phase, Refused};
use crate::token::EXPIRY_LEEWAY;
use std::sync::Arc;
use std::time::Duration;

/// How long a caller is kept waiting for a target that is busy, or that does nothing yet. The call itself has a limit of its own.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after an ID token's end its uses are kept: the clock may be set back meanwhile.
const USES_KEPT: Duration = Duration::from_secs(3600);
/// When to come again where nobody knows better.
const LATER: Duration = Duration::from_secs(5);
/// Of a lease whose token the store did not take.
const NOT_STORED: &str = "not_stored";

/// What was handed out.
#[derive(Debug)]
pub struct Handed {
    /// The lease.
    pub lease: Arc<Lease>,
    /// The token.
    pub token: Secret,
    /// The name that belongs to it, of deploy tokens.
    pub username: Option<String>,
}

/// A place among the role's leases and a use of the ID token, until there is a lease.
struct Reserved<'i> {
    inner: &'i Inner,
    grant: &'i Grant,
    key: UseKey,
    used: Option<Change>,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.used.take().is_some() {
            let mut book = self.inner.book();
            book.places.leave(self.grant.role(), self.grant.job());
            // The store was told nothing of it.
            let _ = book.uses.give_back(self.key);
        }
    }
}

impl Inner {
    /// The whole way. Refusals before the intent leave nothing; later ones leave a lease that ends as it must.
    pub(super) async fn mint(
        self: &Arc<Self>,
        grant: &Grant,
        attempt: &mut Attempt,
    ) -> Result<Handed, Refused> {
        let site = self.sites.get(grant.target()).ok_or_else(|| {
            Refused::new(Code::TargetRefused).because("the role's target is not configured")
        })?;
        if self.is_closing() {
            return Err(Refused::new(Code::ShuttingDown).retry_after(LATER));
        }
        if self.writer.is_stopped() {
            return Err(store_down("the store takes nothing before a restart"));
        }
        let deadline = Deadline(self.time.elapsed().saturating_add(PATIENCE));
        let reserved = self.reserve(grant)?;
        let permit = self.permit(site, deadline).await?;
        let holder = self.holder_of(site, grant, deadline).await?;
        self.admission(site, deadline).await?;
        let lease = self.intend(site, grant, &holder, reserved).await?;
        attempt.lease = Some(lease.id);
        attempt.token_name = Some(lease.name.clone());
        let busy = Busy::with(self, &lease);
        let made = self.post(site, &holder, &lease, deadline).await;
        self.concluded(lease, grant, made, busy, permit, attempt).await
    }

    /// # Errors
    /// [`Code::TokenUsed`], [`Code::LimitReached`].
    fn reserve<'i>(&'i self, grant: &'i Grant) -> Result<Reserved<'i>, Refused> {
        let job = grant.job();
        if job.jti.is_empty() {
            return Err(Refused::new(Code::TokenRefused).because("the ID token has no jti to count"));
        }
        let key = use_key(&job.issuer, &job.jti, grant.role());
        let until = job.expires.plus(EXPIRY_LEEWAY).plus(USES_KEPT);
        let mut book = self.book();
        let (most, of_project) = (grant.max_active(), grant.max_active_per_project());
        book.places.take(grant.role(), job, most, of_project).map_err(|full| {
            let why = match full {
                Full::Role => format!("the role has {most} live leases"),
                Full::Project => format!("the project has {of_project} live leases of the role"),
            };
            Refused::new(Code::LimitReached).retry_after(LATER).because(why)
        })?;
        let Some(used) = book.uses.take(key, grant.max_per_token(), until) else {
            book.places.leave(grant.role(), job);
            return Err(Code::TokenUsed.into());
        };
        drop(book);
        Ok(Reserved { inner: self, grant, key, used: Some(used) })
    }

    async fn permit(&self, site: &Site, deadline: Deadline) -> Result<MakingPermit, Refused> {
        let left = deadline.0.saturating_sub(self.time.elapsed());
        match tokio::time::timeout(left, site.permits.to_make()).await {
            Ok(Some(permit)) => Ok(permit),
            Ok(None) => Err(Refused::new(Code::ShuttingDown).retry_after(LATER)),
            Err(_) => Err(unavailable("too many calls at once", LATER)),
        }
    }

    async fn admission(&self, site: &Site, deadline: Deadline) -> Result<(), Refused> {
        let admitted = self.admitted(site, deadline).await;
        admitted.map_err(|wait| unavailable("the target is left alone", wait))
    }

    /// Whose token it is to be. Nothing is changed at GitLab, so this is tried again as long as the caller waits.
    async fn holder_of(&self, site: &Site, grant: &Grant, deadline: Deadline) -> Result<Holder, Refused> {
        let mut tries = 0;
        loop {
            self.admission(site, deadline).await?;
            let error = match self.look_up(site, grant).await {
                Ok(holder) => return holder,
                Err(error) => error,
            };
            tries += 1;
            let wait = self.wait_after(tries, &error);
            let again = matches!(error, CallError::NotDone { .. } | CallError::Unknown { .. });
            if !again || self.pause(wait, deadline).await.is_err() {
                return Err(refusal(&error));
            }
        }
    }

    async fn look_up(&self, site: &Site, grant: &Grant) -> Result<Result<Holder, Refused>, CallError> {
        let holder = match grant.user_id() {
            Some(id) => Holder { kind: grant.kind(), path: grant.path().to_owned(), owner: vec![id] },
            None => self.call(site, site.gitlab.holder(grant.kind(), grant.path())).await?,
        };
        let no = |why: &str| Ok(Err(Refused::new(Code::TargetRefused).because(why)));
        if let Some(own) = grant.number() {
            let found = match own.above {
                0 => holder.owner.first().copied(),
                steps => self.call(site, site.gitlab.group_above(&holder, steps)).await?,
            };
            if found != Some(own.id) {
                return no(
                    "the path is another project's or group's by now: GitLab has another number there than the ID token",
                );
            }
        }
        let Some(id) =
            grant.user_id().or_else(|| grant.denies_admin().then(|| holder.owner.last().copied())?)
        else {
            return match grant.denies_admin() {
                true => no("GitLab does not say whose token it would be"),
                false => Ok(Ok(holder)),
            };
        };
        match self.call(site, site.gitlab.user(id)).await {
            Ok(user) if !user.is_active => no("the user is not active"),
            Ok(user) if user.is_bot => no("the user is a bot"),
            Ok(user) if user.is_admin && grant.denies_admin() => no("the user is an administrator"),
            Ok(_) => Ok(Ok(holder)),
            Err(CallError::Refused { status: 404, .. }) => no("GitLab knows no such user"),
            Err(error) => Err(error),
        }
    }

    /// Writes down that GitLab is about to be asked.
    async fn intend(
        &self,
        site: &Site,
        grant: &Grant,
        holder: &Holder,
        mut reserved: Reserved<'_>,
    ) -> Result<Lease, Refused> {
        let id = LeaseId::random(&*self.random);
        let (created, of_day) = (self.time.now(), self.time.of_day());
        let lease = grant.lease(id, &site.url, holder.owner.clone(), created, of_day);
        let written = {
            let mut book = self.book();
            book.begin(lease.clone());
            // As it stands now: others may have been faster.
            let used = reserved.used.take().and_then(|_| book.uses.of(reserved.key)).into_iter();
            self.writer.write(used.chain([Change::Lease(Box::new(lease.clone()))]).collect())
        };
        if let Err(error) = written.await {
            let mut book = self.book();
            book.forget(id);
            let _ = book.uses.give_back(reserved.key);
            return Err(store_down(&error.to_string()));
        }
        self.observer.moved(&lease);
        Ok(lease)
    }

    /// Asks for the token: again only where GitLab certainly did nothing, the caller still waits, and nobody told the lease to die.
    async fn post(
        &self,
        site: &Site,
        holder: &Holder,
        lease: &Lease,
        deadline: Deadline,
    ) -> Result<Made, CallError> {
        let order = Order {
            holder,
            name: &lease.name,
            scopes: &lease.scopes,
            access_level: lease.access_level,
            expiry: lease.asked_expiry,
        };
        let mut tries = 0;
        loop {
            let made = self.call(site, site.gitlab.mint(&order)).await;
            let error = match made {
                Err(error @ CallError::NotDone { .. }) => error,
                ended => return ended,
            };
            tries += 1;
            let wait = self.wait_after(tries, &error);
            if self.pause(wait, deadline).await.is_err() {
                return Err(error);
            }
            if self.admitted(site, deadline).await.is_err() {
                return Err(error);
            }
            let is_wanted = self.book().get(lease.id).is_some_and(|lease| lease.phase == Phase::Intent);
            if !is_wanted || self.is_closing() {
                return Err(error);
            }
        }
    }

    fn wait_after(&self, tries: u32, error: &CallError) -> Duration {
        backoff::wait(Purpose::Making, tries, super::site::asked_wait(error), &*self.random)
    }

    /// What the call's end means for the lease.
    async fn concluded(
        self: &Arc<Self>,
        lease: Lease,
        grant: &Grant,
        made: Result<Made, CallError>,
        busy: Busy,
        permit: MakingPermit,
        attempt: &mut Attempt,
    ) -> Result<Handed, Refused> {
        drop(permit);
        match made {
            Ok(made) => {
                let handed = self.activated(lease, made, busy, attempt).await;
                if handed.as_ref().is_err_and(|refused| refused.code() == Code::StoreUnavailable) {
                    // Nobody has it.
                    self.give_back(grant.job(), grant.role()).await;
                }
                handed
            }
            Err(error @ CallError::Unknown { .. }) => {
                // It may exist: its name is looked up, now and for a while. Nobody will ever have it, so the ID token may be used again.
                self.give_back(grant.job(), grant.role()).await;
                busy.done(None);
                Err(refusal(&error))
            }
            Err(error) => {
                self.give_back(grant.job(), grant.role()).await;
                self.over(&lease, busy, |at| Phase::Aborted { at, why: detail_of(&error) }).await;
                Err(refusal(&error))
            }
        }
    }

    /// Nobody got a token of this role for the job's ID token.
    async fn give_back(&self, job: &Job, role: &str) {
        let written = {
            let mut book = self.book();
            let key = use_key(&job.issuer, &job.jti, role);
            book.uses.give_back(key).map(|change| self.writer.write(vec![change]))
        };
        if let Some(written) = written {
            // Should the store not take it, the ID token counts as used once more than it was.
            let _ = written.await;
        }
    }

    /// Nobody was given the token of this lease. It is told to die at once, whether or not the future is waited for, which gives the ID token its
    /// use back; but not before the order is durable, since after a crash the token would live, and another one beside it.
    pub(super) fn undelivered(self: &Arc<Self>, id: LeaseId) -> impl Future<Output = ()> + Send + use<> {
        let mut was_active = false;
        let changed = self.change(id, |lease| {
            was_active = matches!(lease.phase, Phase::Active { .. });
            self.condemned(lease, super::NOT_DELIVERED)
        });
        if let Some((lease, _)) = &changed {
            self.wake(&lease.target);
        }
        let inner = self.clone();
        async move {
            let Some((lease, written)) = changed else { return };
            // What the store does not take is revoked all the same. One that was dying before has had its turn.
            if written.await.is_ok() && was_active {
                inner.give_back(&lease.job, &lease.role).await;
            }
        }
    }

    /// The token exists: that is durable before anybody gets it.
    async fn activated(
        self: &Arc<Self>,
        lease: Lease,
        made: Made,
        busy: Busy,
        attempt: &mut Attempt,
    ) -> Result<Handed, Refused> {
        let minted = Minted { sha256: Some(made.token.sha256()), ..made.minted };
        attempt.gitlab_token_id = Some(minted.id);
        attempt.sha256.clone_from(&minted.sha256);
        let now = self.time.now();
        let changed = self.change(lease.id, |lease| {
            Some(match &lease.phase {
                Phase::Intent => Phase::Active { minted: minted.clone() },
                Phase::Revoking { why, .. } => dying(Some(minted.clone()), why, now),
                _ => dying(Some(minted.clone()), NOT_STORED, now),
            })
        });
        let stored = match changed {
            Some((_, written)) => written.await,
            None => Err(super::ports::KeepError::NotWritten("the lease is gone".to_owned())),
        };
        if let Err(error) = stored {
            self.condemn_soon(lease.id, NOT_STORED);
            busy.done(None);
            return Err(store_down(&error.to_string()));
        }
        let lease = self.book().get(lease.id).cloned();
        busy.done(None);
        match lease {
            Some(lease) if matches!(lease.phase, Phase::Active { .. }) => {
                Ok(Handed { lease, token: made.token, username: made.username })
            }
            _ => {
                Err(Refused::new(Code::TargetRefused).because("the lease was told to die while it was made"))
            }
        }
    }
}

fn store_down(why: &str) -> Refused {
    Refused::new(Code::StoreUnavailable).retry_after(LATER).because(why)
}

fn unavailable(why: &str, wait: Duration) -> Refused {
    Refused::new(Code::GitlabUnavailable).retry_after(wait.max(Duration::from_secs(1))).because(why)
}

/// What a caller is told of a call that failed. GitLab's words are for the record.
fn refusal(error: &CallError) -> Refused {
    let later = super::site::asked_wait(error).unwrap_or(LATER);
    match error {
        CallError::Refused { .. } | CallError::Credential { status: 403, .. } => {
            Refused::new(Code::GitlabRefused).because(detail_of(error))
        }
        _ => unavailable(&detail_of(error), later),
    }
}
