//! What a GitLab is too old for: its version is asked for with the main credential, and again where it stands in a job's way.

use super::attempt::Event;
use super::inner::Inner;
use super::site::{Deadline, Site};
use crate::broker::{Code, GitlabVersion, Grant, Refused};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A refusal asks for the version again, but no more often than this.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// How long a job that is refused waits for the question to be let through.
const PATIENCE: Duration = Duration::from_secs(10);

/// A target's version, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Versioned {
    known: Mutex<Option<GitlabVersion>>,
    /// When a refusal asked for it last, by the stopwatch. Who is refused meanwhile waits for that answer.
    asked: tokio::sync::Mutex<Option<Duration>>,
}

impl Versioned {
    /// GitLab's version, where it told.
    pub(super) fn known(&self) -> Option<GitlabVersion> {
        *self.lock()
    }

    /// Whether it is another one than before.
    fn learn(&self, version: Option<GitlabVersion>) -> bool {
        let mut known = self.lock();
        std::mem::replace(&mut *known, version) != version
    }

    fn lock(&self) -> MutexGuard<'_, Option<GitlabVersion>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What GitLab has told of its version; operators hear of the roles that it is too old for when it is another one than before.
    pub(super) fn learned(&self, site: &Site, version: Option<GitlabVersion>) {
        if site.version.learn(version) {
            self.tell_too_new(site);
        }
    }

    /// Tells operators which roles this target is too old for.
    pub(super) fn tell_too_new(&self, site: &Site) {
        for (role, detail) in self.too_new(site) {
            self.observer.event(Event::RoleTooNew { target: &site.name, role: &role, detail: &detail });
        }
    }

    /// The roles that this target is too old for, as far as its version is known, and what it does not have.
    pub(super) fn too_new(&self, site: &Site) -> Vec<(String, String)> {
        let Some(version) = site.version.known() else { return Vec::new() };
        let roles = self.roles();
        let here = roles.iter().filter(|role| role.target() == site.name);
        here.flat_map(|role| {
            let faults = role.check_version(version).into_iter();
            faults.map(|fault| (role.name().to_owned(), fault.to_string()))
        })
        .collect()
    }

    /// A scope or access level that the instance is too old for, once its version is known: GitLab would refuse it as well, and say less.
    ///
    /// # Errors
    /// [`Code::TargetRefused`].
    pub(super) fn check_version(&self, grant: &Grant) -> Result<(), Refused> {
        let known = self.sites.get(grant.target()).and_then(|site| site.version.known());
        match known.map(|version| grant.check_version(version)).unwrap_or_default().first() {
            Some(fault) => Err(Refused::new(Code::TargetRefused).because(fault.to_string())),
            None => Ok(()),
        }
    }

    /// The same before a job is refused: the instance may have become newer since it was asked.
    pub(super) async fn check_version_anew(&self, grant: &Grant) -> Result<(), Refused> {
        if self.check_version(grant).is_err()
            && let Some(site) = self.sites.get(grant.target())
        {
            self.ask_version_again(site).await;
        }
        self.check_version(grant)
    }

    /// Asks, unless a refusal did so a moment ago. What fails leaves what was known.
    async fn ask_version_again(&self, site: &Site) {
        let mut asked = site.version.asked.lock().await;
        let now = self.time.elapsed();
        if asked.is_some_and(|at| now < at.saturating_add(ASK_AGAIN)) {
            return;
        }
        *asked = Some(now);
        let Ok(Some(_permit)) = tokio::time::timeout(PATIENCE, site.permits.to_make()).await else { return };
        let deadline = Deadline(self.time.elapsed().saturating_add(PATIENCE));
        if self.admitted(site, deadline).await.is_err() {
            return;
        }
        if let Ok((version, _)) = self.call(site, site.gitlab.version()).await {
            self.learned(site, version);
        }
    }
}
