//! A job's ID token for a GitLab token, and what else a job may ask with one.

use super::attempt::Attempt;
use super::inner::Inner;
use super::minting::Handed;
use super::secret::sha256_hex;
use crate::broker::{Code, Explained, Grant, Lease, LeaseId, Refused, Roles, TokenRequest};
use crate::identity::Issuer;
use crate::refusal::{Reason, Refusal};
use crate::token::{Claims, Expectations, Times, UnverifiedToken, VerifiedToken, check_times};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// An ID token buys a token of GitLab's no longer than it must: half a minute for clocks that differ, and a day, however long its job may take.
const TIMES: Times = Times {
    after_expiry: Duration::from_secs(30),
    ahead: Duration::from_secs(30),
    oldest: Some(Duration::from_secs(24 * 3600)),
};
/// When to come again where too many do.
const LATER: Duration = Duration::from_secs(1);

/// A token on its way to the one who asked: where nobody takes it, it is revoked at once.
struct Parcel {
    inner: Arc<Inner>,
    handed: Option<Handed>,
}

impl Drop for Parcel {
    fn drop(&mut self) {
        let Some(handed) = self.handed.take() else { return };
        let undelivered = self.inner.undelivered(handed.lease.id);
        // Without a runtime nobody can wait for the store, which writes it all the same.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(undelivered);
        }
    }
}

impl Inner {
    /// The exchange. It goes on to its end if the caller goes away.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        id_token: &str,
        request: &TokenRequest,
    ) -> Result<Handed, Refused> {
        let mut attempt = Attempt::of(request, &self.roles(), self.time.of_day());
        match self.granted(id_token, request, &mut attempt).await {
            Ok(grant) => self.make(grant, attempt).await,
            Err(refused) => {
                let is_over_rate = refused.code() == Code::LimitReached;
                let refused = Err(refused);
                match is_over_rate {
                    // Whoever asks without end must not push out the record of what was asked before.
                    true => self.tell(&mut attempt, &refused),
                    false => self.record(attempt, &refused),
                }
                refused
            }
        }
    }

    /// A request that is not understood is an attempt all the same: it counts for the project whose ID token comes with it, and is told, and kept
    /// where that token holds.
    ///
    /// # Errors
    /// [`Code::LimitReached`]: the project asks too often, and is to be told that.
    pub(super) async fn turn_away(
        &self,
        id_token: Option<&str>,
        request: &TokenRequest,
        refused: Refused,
    ) -> Result<(), Refused> {
        let mut attempt = Attempt::of(request, &self.roles(), self.time.of_day());
        if let Some(id_token) = id_token
            && let Err(limited) = self.caller(id_token, &mut attempt).await
            && limited.code() == Code::LimitReached
        {
            self.tell(&mut attempt, &Err(limited.clone()));
            return Err(limited);
        }
        self.record(attempt, &Err(refused));
        Ok(())
    }

    /// Makes what was granted, in a task of its own.
    pub(super) async fn make(
        self: &Arc<Self>,
        grant: Grant,
        mut attempt: Attempt,
    ) -> Result<Handed, Refused> {
        let Ok(place) = self.exchanges.clone().try_acquire_owned() else {
            let code = if self.is_closing() { Code::ShuttingDown } else { Code::LimitReached };
            let refused = Err(Refused::new(code).retry_after(LATER));
            self.record(attempt, &refused);
            return refused;
        };
        let (answer, made) = oneshot::channel();
        let inner = self.clone();
        tokio::spawn(async move {
            let result = inner.mint(&grant, &mut attempt).await;
            inner.record(attempt, &result);
            let parcel = result.map(|handed| Parcel { inner: inner.clone(), handed: Some(handed) });
            drop(answer.send(parcel));
            drop(place);
        });
        match made.await {
            Ok(Ok(mut parcel)) => parcel.handed.take().ok_or_else(|| Code::ShuttingDown.into()),
            Ok(Err(refused)) => Err(refused),
            Err(_) => Err(Refused::new(Code::ShuttingDown).retry_after(LATER)),
        }
    }

    /// Who asks: a verified token, whose project has asked once more.
    async fn caller(
        &self,
        id_token: &str,
        attempt: &mut Attempt,
    ) -> Result<(Issuer, VerifiedToken), Refused> {
        let (issuer, token) = self.verified(id_token).await?;
        let roles = self.roles();
        let job = roles.job(&issuer, &token)?;
        // Before the role is asked: what it refuses counts as well.
        let rated = self.rates.lock().unwrap_or_else(PoisonError::into_inner).take(&job, self.time.now());
        attempt.job = Some(job);
        rated.map_err(|wait| {
            let why = "the project asks more often than rate_per_project";
            Refused::new(Code::LimitReached).retry_after(wait).because(why)
        })?;
        Ok((issuer, token))
    }

    /// What the token's job may have of what it asks for.
    async fn granted(
        &self,
        id_token: &str,
        request: &TokenRequest,
        attempt: &mut Attempt,
    ) -> Result<Grant, Refused> {
        let (issuer, token) = self.caller(id_token, attempt).await?;
        let roles = self.roles();
        let grant = roles.grant(&issuer, &token, request)?;
        attempt.note(&grant);
        self.check_version_anew(&grant).await?;
        Ok(grant)
    }

    async fn verified(&self, id_token: &str) -> Result<(Issuer, VerifiedToken), Refused> {
        let token = UnverifiedToken::parse(id_token)?;
        let issuer = self.issuer(token.issuer())?;
        let algorithms = issuer.algorithms();
        let expected = Expectations { issuer: &issuer.url, algorithms: &algorithms, times: TIMES };
        expected.admit(&token)?;
        let keys = self.keys.keys(&issuer, token.key_id()).await?;
        let token = token.verify(&keys, &expected, self.time.of_day())?;
        Ok((issuer, token))
    }

    fn issuer(&self, iss: &str) -> Result<Issuer, Refusal> {
        let unknown = || Refusal::new(Reason::TokenIssuerUnknown).of_claim("iss");
        (self.issuers)().issuers.find(iss).ok_or_else(unknown)
    }

    /// What the exchange would say to these claims now, but for what was handed out already. `token`: the text that has them; its signature is
    /// not verified. `None`: there is no such role.
    pub(super) fn test(
        &self,
        iss: &str,
        claims: &Claims,
        token: Option<&str>,
        request: &TokenRequest,
    ) -> Option<Explained> {
        let roles = self.roles();
        let held = self.held(&roles, iss, claims, token);
        roles.explain(iss, held, claims, request, |grant| self.check_version(grant))
    }

    fn held(&self, roles: &Roles, iss: &str, claims: &Claims, token: Option<&str>) -> Result<(), Refused> {
        let issuer = self.issuer(iss)?;
        if let Some(token) = token {
            let algorithms = issuer.algorithms();
            let expected = Expectations { issuer: &issuer.url, algorithms: &algorithms, times: TIMES };
            expected.admit(&UnverifiedToken::parse(token)?)?;
        }
        check_times(claims, self.time.of_day(), &TIMES)?;
        roles.check_claims(&issuer, claims)
    }

    /// The lease, if it is one of the token's job: same issuer, project and job by their numbers.
    pub(super) async fn own_lease(&self, id: LeaseId, id_token: &str) -> Result<Option<Arc<Lease>>, Refused> {
        let (issuer, token) = self.verified(id_token).await?;
        let job = self.roles().job(&issuer, &token)?;
        match self.book().get(id) {
            Some(lease) if !job.job_id.is_empty() && lease.job.is_same(&job) => Ok(Some(lease.clone())),
            Some(_) => Err(Code::LeaseOfAnother.into()),
            None => Ok(None),
        }
    }

    /// Revokes a token for whoever has it; one that is not known is nothing to revoke (RFC 7009 §2.2).
    pub(super) async fn revoke_token(self: &Arc<Self>, token: &str) -> Result<(), Refused> {
        let id = self.book().of_token(&sha256_hex(token));
        match id {
            Some(id) => self.condemn_for(id, super::HOLDER).await.map(drop),
            None => Ok(()),
        }
    }

    /// Tells a lease to die, durably: whoever is told so may rely on it.
    pub(super) async fn condemn_for(
        self: &Arc<Self>,
        id: LeaseId,
        why: &'static str,
    ) -> Result<bool, Refused> {
        self.condemn(id, why).await.map_err(|error| {
            Refused::new(Code::StoreUnavailable).retry_after(LATER).because(error.to_string())
        })
    }
}
