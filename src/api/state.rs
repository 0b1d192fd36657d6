//! What the handlers share.

use super::body::Bodies;
use super::broker::BrokerApi;
use super::ports::Observer;
use super::sparse::Sparse;
use super::trust::TrustFiles;
use super::v2::Prepared;
use crate::environment::UnixMillis;
use crate::issuance::admission::Stage;
use crate::issuance::recording::Recording;
use crate::issuance::{Authorized, CertificateAuthority, CertificateRequest, Course, Issued, Occupancy};
use crate::leasing::Broker;
use crate::log::ct::Extent;
use crate::refusal::{Reason, Refusal};
use crate::timestamping::TimestampAuthority;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};

/// How many submissions of other CAs' certificates may be under way at once: anybody may send them, so they must leave the log's
/// queue to our own.
const SUBMISSIONS_AT_ONCE: usize = 256;
/// How many reads of the log are at work at once; the others wait their turn, so that readers cannot starve issuing.
const READS_AT_ONCE: usize = 8;
/// How many reads may be at work or wait their turn.
const READS_WAITING: usize = 1024;
/// How many gRPC streams (health watched, reflection) may be open at once.
const STREAMS_AT_ONCE: usize = 1024;
/// How many timestamps may be waited for at once: some 20 ms of work, so that those that are refused know it at once.
const TIMESTAMPS_AT_ONCE: usize = 512;
/// How long a failed signature keeps the server out of service before it is tried again.
const SIGNER_REST: Duration = Duration::from_secs(30);

/// The certificate authority, what of the answers can be made before anybody asks, and the limits.
pub struct ApiState {
    pub(super) authority: Arc<CertificateAuthority>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) recording: Option<Arc<Recording>>,
    pub(super) prepared: Prepared,
    pub(super) bodies: Bodies,
    pub(super) reads: Arc<Semaphore>,
    pub(super) sparse: Sparse,
    /// The timestamp authority, where there is one.
    pub(super) timestamps: Option<Arc<TimestampAuthority>>,
    pub(super) timestamping: Semaphore,
    /// Trust material, where clients can be told an address.
    pub(super) trust: Option<TrustFiles>,
    /// The token broker, where there is one.
    pub(super) broker: Option<BrokerApi>,
    readers: Semaphore,
    submissions: Semaphore,
    streams: Arc<Semaphore>,
    draining: watch::Sender<bool>,
    /// When the CA's key last failed, in milliseconds since 1970; 0: it works.
    signer_failed: AtomicU64,
}

impl ApiState {
    /// For this authority. `observer` is told of every answer on the public listener.
    pub fn new(authority: Arc<CertificateAuthority>, observer: Arc<dyn Observer>) -> Self {
        Self {
            prepared: Prepared::new(&authority),
            authority,
            observer,
            recording: None,
            bodies: Bodies::default(),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            sparse: Sparse::new(),
            timestamps: None,
            timestamping: Semaphore::new(TIMESTAMPS_AT_ONCE),
            trust: None,
            broker: None,
            readers: Semaphore::new(READS_WAITING),
            submissions: Semaphore::new(SUBMISSIONS_AT_ONCE),
            streams: Arc::new(Semaphore::new(STREAMS_AT_ONCE)),
            draining: watch::Sender::new(false),
            signer_failed: AtomicU64::new(0),
        }
    }

    /// The same, with a timestamp authority beside the CA.
    #[must_use]
    pub fn with_timestamps(self, timestamps: Option<Arc<TimestampAuthority>>) -> Self {
        Self { timestamps, ..self }
    }

    /// The same with a signature log.
    #[must_use]
    pub fn recording(mut self, recording: Option<Arc<Recording>>) -> Self {
        self.recording = recording;
        self
    }

    /// The same with trust material to hand out.
    #[must_use]
    pub fn with_trust(self, trust: Option<TrustFiles>) -> Self {
        Self { trust, ..self }
    }

    /// The same with a token broker.
    #[must_use]
    pub fn with_broker(self, broker: Option<BrokerApi>) -> Self {
        Self { broker, ..self }
    }

    /// The token broker, where there is one.
    pub fn broker(&self) -> Option<&Arc<Broker>> {
        self.broker.as_ref().map(|api| &api.broker)
    }

    /// From now on health says no, and HTTP/1 connections are closed after their answer.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    pub(super) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Ends when the server begins to shut down.
    pub(super) fn draining(&self) -> impl Future<Output = ()> + use<> {
        let mut draining = self.draining.subscribe();
        // An error: nobody is left to tell, so there is nothing to wait for.
        async move { drop(draining.wait_for(|draining| *draining).await) }
    }

    /// A place among the submissions to the log.
    pub(super) fn admit_submission(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.submissions.try_acquire().map_err(|_| full())
    }

    /// A place among the reads of the log, at work or waiting.
    pub(super) fn admit_read(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.readers.try_acquire().map_err(|_| full())
    }

    /// A place among the open gRPC streams.
    pub(super) fn admit_stream(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.streams.clone().try_acquire_owned().map_err(|_| full())
    }

    /// Checks a request for a certificate.
    pub(super) async fn authorize(
        &self,
        request: CertificateRequest<'_>,
        course: &mut Course,
    ) -> Result<Authorized, Refusal> {
        let authorized = self.authority.authorize(request, course).await;
        authorized.inspect_err(|refusal| self.note_outcome(Some(refusal.reason())))
    }

    /// Issues a certificate, and remembers whether the CA's key worked.
    pub(super) async fn issue(&self, authorized: Authorized, course: &mut Course) -> Result<Issued, Refusal> {
        let issued = self.authority.issue(authorized, course).await;
        self.note_outcome(issued.as_ref().err().map(Refusal::reason));
        issued
    }

    fn note_outcome(&self, refused: Option<Reason>) {
        match refused {
            None => self.signer_failed.store(0, Ordering::Relaxed),
            Some(Reason::CaUnavailable) => {
                self.signer_failed.store(self.authority.clock.now().0, Ordering::Relaxed);
            }
            Some(_) => {}
        }
    }

    /// Whether a certificate could be issued now.
    ///
    /// # Errors
    /// Why not, in words for the operator.
    pub fn health(&self) -> Result<(), String> {
        self.issuing_checks().into_iter().try_for_each(|(_, check)| check)
    }

    /// Everything that the server needs for its signatures, by name: all is well, or what is wrong, in words for the
    /// operator. What only timestamps need is looked at here, and not by [`Self::health`]: certificates are issued without
    /// them. The broker is in none of these: [`Self::broker_check`].
    pub fn checks(&self) -> Vec<(&'static str, Result<(), String>)> {
        let timestamps = self.timestamps.as_ref().map(|authority| ("timestamps", authority.health()));
        self.issuing_checks().into_iter().chain(timestamps).collect()
    }

    /// Whether the token broker works as it should, where there is one. It is apart from [`Self::checks`] because a GitLab
    /// that is away is no reason to take a certificate authority out of service.
    pub fn broker_check(&self) -> Option<Result<(), String>> {
        let problems = self.broker.as_ref()?.broker.problems();
        Some(if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) })
    }

    fn issuing_checks(&self) -> Vec<(&'static str, Result<(), String>)> {
        let now = self.authority.clock.now();
        let chain = self.authority.chain.check_validity(now).map_err(|error| error.to_string());
        let mut checks = vec![
            ("serving", self.serving()),
            ("ca_certificates", chain),
            ("ca_key", self.signer(now)),
            ("log", self.authority.log.health()),
        ];
        checks.extend(self.recording.iter().map(|recording| ("signature_log", recording.log().health())));
        checks
    }

    /// How large the signature log is, where there is one.
    pub fn signature_log_extent(&self) -> Option<Extent> {
        self.recording.as_ref().map(|recording| recording.log().extent())
    }

    /// Entries of the signature log that are under way.
    pub fn recording_occupancy(&self) -> Occupancy {
        let none = || Occupancy {
            refused: Stage::ALL.iter().map(|stage| (stage.name(), 0)).collect(),
            ..Occupancy::default()
        };
        self.recording.as_ref().map_or_else(none, |recording| recording.admission().occupancy())
    }

    fn serving(&self) -> Result<(), String> {
        if self.is_draining() { Err("the server is shutting down".into()) } else { Ok(()) }
    }

    fn signer(&self, now: UnixMillis) -> Result<(), String> {
        let failed = UnixMillis(self.signer_failed.load(Ordering::Relaxed));
        if failed.0 != 0 && now.since(failed) < SIGNER_REST {
            return Err(format!("the CA's key could not be used at {failed}"));
        }
        Ok(())
    }
}

fn full() -> Refusal {
    Refusal::new(Reason::Overloaded).retry_after(Duration::from_secs(1))
}
