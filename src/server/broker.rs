//! The token broker's parts put together, and what is told of it: log lines and metrics.

use super::StartError;
use super::credentials::{self, SealedTokens};
use super::environment::Environment;
use crate::api::broker::BrokerApi;
use crate::broker::{Lease, Phase};
use crate::config::BrokerConfig;
use crate::config::broker::TargetConfig;
use crate::gitlab::{RestClient, Settings, Surroundings};
use crate::issuance::{IssuerKeys, Rules};
use crate::leasing::ports::{KeepError, LeaseStore, Observer, Sealing};
use crate::leasing::{ALLOWED, Attempt, Broker, Event, Parts, Target, place_of_sealed_token};
use crate::store::LockedDirectory;
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;

/// What the data directory has of the broker.
pub(super) struct Stored {
    /// Its leases.
    pub store: Box<dyn LeaseStore>,
    /// What operators have sealed for targets.
    pub sealed: SealedTokens,
}

impl Stored {
    /// Opens the leases, and reads what is sealed for these targets.
    pub fn open(data: &LockedDirectory, targets: &[TargetConfig]) -> Result<Self, KeepError> {
        let store = data.leases()?;
        let mut sealed = SealedTokens::new();
        for TargetConfig { name, url, .. } in targets {
            let place = place_of_sealed_token(name, url);
            if let Some(record) = store.credential(&place)? {
                sealed.insert(place, record);
            }
        }
        Ok(Self { store: Box::new(store), sealed })
    }
}

/// Opens the broker: what a crash left is taken up, and revocations begin.
pub(super) async fn open(
    config: &BrokerConfig,
    Stored { store, sealed }: Stored,
    issuers: Arc<dyn Fn() -> Arc<Rules> + Send + Sync>,
    keys: Arc<dyn IssuerKeys>,
    metrics: &Arc<Metrics>,
    environment: &Environment,
) -> Result<BrokerApi, StartError> {
    let seal_key =
        config.seal_key.as_deref().map(|path| credentials::seal_key(path, environment)).transpose()?;
    let sealing: Option<Arc<dyn Sealing>> = seal_key.map(|key| Arc::new(key) as _);
    let observer = Arc::new(Telling(metrics.clone()));
    let surroundings = Surroundings {
        clock: environment.clock.clone(),
        stopwatch: environment.stopwatch.clone(),
        observer: observer.clone(),
    };
    let open = |target| open_target(target, &sealed, sealing.clone(), surroundings.clone());
    let targets = config.targets.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let configured = targets.iter().map(|target| (target.name.as_str(), target.configured.clone()));
    credentials::refuse_shared(&configured.collect::<Vec<_>>())?;
    metrics.begin_broker(config.roles.iter().map(|role| role.name())).map_err(StartError::Failed)?;
    let parts = Parts {
        roles: config.roles.clone(),
        issuers,
        keys,
        targets,
        store,
        keep: config.keep,
        rate_per_project: config.rate_per_project,
        clock: environment.clock.clone(),
        random: environment.random.clone(),
        stopwatch: environment.stopwatch.clone(),
        observer,
    };
    let broker = Broker::open(parts).await.map_err(|error| StartError::Failed(format!("broker: {error}")))?;
    let targets = config.targets.iter().map(|target| (target.name.clone(), target.url.clone()));
    Ok(BrokerApi { broker, targets: targets.collect(), admin_names: Vec::new() })
}

fn open_target(
    target: &TargetConfig,
    sealed: &SealedTokens,
    sealing: Option<Arc<dyn Sealing>>,
    surroundings: Surroundings,
) -> Result<Target, StartError> {
    let credential = credentials::of_target(target, sealed, sealing.as_deref())?;
    let configured = credential.sha256();
    let settings = Settings {
        target: target.name.clone(),
        url: target.url.clone(),
        // The configuration has been asked about that already.
        allow_http: true,
        credential,
        sudo_user: target.sudo_user.clone(),
        ca_certificate: target.ca_certificate.clone(),
        timeout: target.timeout,
    };
    let gitlab = RestClient::new(settings, surroundings)
        .map_err(|why| StartError::Configuration(format!("broker.targets: {}: url: {why}", target.name)))?;
    Ok(Target {
        name: target.name.clone(),
        url: target.url.clone(),
        gitlab: Arc::new(gitlab),
        configured,
        rotation: target.rotate,
        max_inflight: target.max_inflight,
        sealing,
    })
}

/// Log lines and metrics.
struct Telling(Arc<Metrics>);

impl Observer for Telling {
    /// The audit trail: one line an attempt. `role` and `path` of a refusal are the caller's words, cut.
    fn exchanged(&self, attempt: &Attempt) {
        let job = attempt.job.as_ref();
        let job_text = |of: fn(&crate::broker::Job) -> &String| job.map(|job| of(job).as_str());
        let refused = (attempt.outcome != ALLOWED).then_some(attempt.outcome.as_str());
        self.0.exchanged(&attempt.role, refused);
        let lease = attempt.lease.map(|lease| lease.to_string());
        tracing::info!(
            event = if refused.is_none() { "token-issue" } else { "token-refuse" },
            outcome = attempt.outcome,
            role = attempt.role,
            kind = attempt.kind.map(|kind| kind.code()),
            target_name = attempt.target,
            target_path = attempt.path,
            scopes = attempt.scopes.join(" "),
            ttl_seconds = attempt.ttl,
            lease,
            token_name = attempt.token_name,
            gitlab_token_id = attempt.gitlab_token_id,
            token_sha256 = attempt.sha256,
            issuer = job_text(|job| &job.issuer),
            project_path = job_text(|job| &job.project_path),
            project_id = job_text(|job| &job.project_id),
            git_ref = job_text(|job| &job.reference),
            pipeline_id = job_text(|job| &job.pipeline_id),
            job_id = job_text(|job| &job.job_id),
            user = job_text(|job| &job.user),
            runner_id = job_text(|job| &job.runner_id),
            jti = job_text(|job| &job.jti),
            detail = attempt.detail,
            "broker"
        );
    }

    fn moved(&self, lease: &Lease) {
        let phase = lease.phase.code();
        let (id, role) = (lease.id.to_string(), &lease.role);
        let (why, minted) = (lease.why(), lease.minted());
        match lease.phase {
            Phase::Revoked { .. } => {
                tracing::info!(
                    event = "token-revoke",
                    lease = id,
                    role,
                    phase,
                    why,
                    gitlab_token_id = minted.map(|minted| minted.id),
                    token_sha256 = minted.and_then(|minted| minted.sha256.as_deref()),
                    "broker"
                )
            }
            Phase::Intent | Phase::Active { .. } => {
                tracing::debug!(event = "lease", lease = id, role, phase, "broker");
            }
            _ => tracing::info!(event = "lease", lease = id, role, phase, why, "broker"),
        }
    }

    fn revocation(&self, _: &Lease, result: &'static str, late: Duration) {
        self.0.revocation(result, late);
    }

    fn called(&self, target: &str, route: &'static str, status: u16, took: Duration) {
        self.0.gitlab_called(target, route, status, took);
    }

    fn event(&self, event: Event<'_>) {
        let (name, target) = (event.name(), event.target());
        self.0.broker_event(name);
        match event {
            Event::ReconcileOrphan(lease) | Event::RevokeRetry(lease) => {
                tracing::warn!(event = name, target_name = target, lease = %lease.id, "broker");
            }
            Event::RevokeStuck(lease) => {
                tracing::error!(event = name, target_name = target, lease = %lease.id, "broker: a token cannot be revoked");
            }
            Event::Abandoned(lease) => {
                let gitlab_token_id = lease.minted().map(|minted| minted.id);
                tracing::warn!(
                    event = name,
                    target_name = target,
                    lease = %lease.id,
                    role = lease.role,
                    kind = lease.kind.code(),
                    target_path = lease.path,
                    token_name = lease.name,
                    gitlab_token_id,
                    "broker: an operator has given a lease up; its token may live"
                );
            }
            Event::TargetDown { detail, .. }
            | Event::RotationFailed { detail, .. }
            | Event::StoreDown { detail } => {
                tracing::error!(event = name, target_name = target, detail, "broker");
            }
            Event::CredentialEnding { left, .. } => {
                let hours = left.as_secs() / 3600;
                tracing::warn!(
                    event = name,
                    target_name = target,
                    hours,
                    "broker: the main credential ends soon"
                );
            }
            Event::RoleTooNew { role, detail, .. } => {
                tracing::warn!(
                    event = name,
                    target_name = target,
                    role,
                    detail,
                    "broker: the target's GitLab is too old for the role"
                );
            }
            Event::CredentialElsewhere { place } => {
                tracing::warn!(
                    event = name,
                    target_name = target,
                    place,
                    "broker: the store has a main credential of an instance that is not configured; it is not used, and may live on"
                );
            }
            Event::CredentialRotated { id, .. } => {
                tracing::info!(event = name, target_name = target, credential = id, "broker");
            }
            Event::TargetUp { .. } | Event::StoreUp => {
                tracing::info!(event = name, target_name = target, "broker")
            }
        }
    }
}
