//! A certificate transparency log elsewhere (RFC 6962 §4.1 and §4.2, which logs after static-ct-api answer too).
//!
//! One log, by URL and key. Whatever it answers is verified before anybody relies on it: the SCT is for exactly what was
//! sent, by the configured key, of about now. Inclusion is not looked at: that is for monitors.

mod submission;

use crate::certificate::{CaChain, Certificate, Precertificate};
use crate::environment::{Clock, UnixMillis};
use crate::issuance::{Answer, CertificateLog};
use crate::outbound::Clients;
use crate::refusal::{Reason, Refusal};
use crate::transparency::sct::ReceivedSct;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use submission::{Fault, Kind, Submission};
use url::Url;

/// How far the log's clock may be from ours.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// How long a failure keeps the server out of service, unless an entry succeeds before.
const REST: Duration = Duration::from_secs(30);

/// So many entries that the log refuses, one after the other, are a failure of it: fewer may be the entries' own fault.
const REFUSALS: u32 = 3;

/// How long callers are told to wait when the log has not said.
const DEFAULT_WAIT: Duration = Duration::from_secs(10);

/// The longest wait that callers are told: a log may say anything.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// Which log, and how long one certificate may wait for it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its base URL: what stands before `/ct/v1/add-pre-chain`.
    pub url: String,
    /// DER SubjectPublicKeyInfo of its key, ECDSA P-256.
    pub public_key: Vec<u8>,
    /// For one certificate, all tries together.
    pub timeout: Duration,
    /// PEM certificates that are trusted beside the system's roots for its https.
    pub ca_certificate: Option<Vec<u8>>,
}

/// A log elsewhere.
pub struct ExternalLog {
    clients: Clients,
    url: String,
    add_chain: Url,
    add_pre_chain: Url,
    public_key: Vec<u8>,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    /// What went wrong since the last entry that succeeded.
    failed: Mutex<Failures>,
}

/// What went wrong since the last entry that succeeded.
#[derive(Default)]
struct Failures {
    /// Entries refused.
    refused: u32,
    /// When the log was last seen to fail as a whole, and how.
    down: Option<(UnixMillis, String)>,
}

impl ExternalLog {
    /// Prepares everything; nothing is asked yet. Reads the system's roots.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let url = settings.url.trim_end_matches('/').to_owned();
        let path = |name: &str| {
            let text = format!("{url}/ct/v1/{name}");
            Url::parse(&text).map_err(|error| format!("log.url: {text} is not a URL: {error}"))
        };
        Ok(Self {
            clients: Clients::build_for_submissions(settings.ca_certificate.as_deref())?,
            add_chain: path("add-chain")?,
            add_pre_chain: path("add-pre-chain")?,
            url,
            public_key: settings.public_key,
            timeout: settings.timeout,
            clock,
            failed: Mutex::default(),
        })
    }

    /// Sends a chain until there is an SCT that `verify` takes, or the time is up.
    async fn enter(
        &self,
        url: &Url,
        chain: &[&[u8]],
        verify: impl Fn(&ReceivedSct) -> Result<(), String> + Send + Sync,
    ) -> Result<ReceivedSct, Refusal> {
        let verify = |sct: &ReceivedSct| {
            verify(sct)?;
            self.check_time(sct)
        };
        let client = self.clients.client_for(url);
        let submission = Submission { client, url, body: submission::body(chain), timeout: self.timeout };
        match submission.send(verify).await {
            Ok(sct) => {
                *self.failed() = Failures::default();
                Ok(sct)
            }
            Err(fault) => Err(self.refuse(&fault)),
        }
    }

    fn check_time(&self, sct: &ReceivedSct) -> Result<(), String> {
        let (now, theirs) = (self.clock.now(), sct.timestamp());
        if now.since(theirs).max(theirs.since(now)) > CLOCK_TOLERANCE {
            return Err(format!("its SCT is of {theirs}, and it is {now} here"));
        }
        Ok(())
    }

    fn refuse(&self, fault: &Fault) -> Refusal {
        tracing::error!(log = self.url, problem = fault.problem, tries = fault.tries, "no SCT from the log");
        self.note(fault);
        let wait = fault.retry_after.unwrap_or(DEFAULT_WAIT).min(MAX_WAIT);
        Refusal::new(Reason::LogUnavailable).retry_after(wait)
    }

    /// A log that is busy is well: a server out of service would send its callers to others that ask the same log.
    fn note(&self, fault: &Fault) {
        let mut failed = self.failed();
        if fault.kind == Kind::Refused {
            failed.refused = failed.refused.saturating_add(1);
        }
        let refuses_all = fault.kind == Kind::Refused && failed.refused >= REFUSALS;
        if fault.kind == Kind::Down || refuses_all {
            failed.down = Some((self.clock.now(), fault.problem.clone()));
        }
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CertificateLog for ExternalLog {
    fn enter_precertificate<'a>(
        &'a self,
        precertificate: &'a Precertificate,
    ) -> Answer<'a, Result<ReceivedSct, Refusal>> {
        Box::pin(async move {
            let chain = precertificate.chain();
            let verify = |sct: &ReceivedSct| {
                let (issuer, tbs) = (chain.issuer_key_hash(), precertificate.logged_tbs());
                sct.verify_precertificate(&self.public_key, issuer, tbs).map_err(|error| error.to_string())
            };
            self.enter(&self.add_pre_chain, &with_issuers(precertificate.der(), chain), verify).await
        })
    }

    fn enter_certificate<'a>(
        &'a self,
        certificate: &'a Certificate,
        chain: &'a CaChain,
    ) -> Answer<'a, Result<ReceivedSct, Refusal>> {
        Box::pin(async move {
            let verify = |sct: &ReceivedSct| {
                let verified = sct.verify_certificate(&self.public_key, certificate.der());
                verified.map_err(|error| error.to_string())
            };
            self.enter(&self.add_chain, &with_issuers(certificate.der(), chain), verify).await
        })
    }

    fn health(&self) -> Result<(), String> {
        match &self.failed().down {
            Some((at, problem)) if self.clock.now().since(*at) < REST => {
                Err(format!("the log at {} gave no SCT at {at}: {problem}", self.url))
            }
            _ => Ok(()),
        }
    }
}

/// The chain as logs want it: the certificate, its issuer, and so on to the root.
fn with_issuers<'c>(certificate: &'c [u8], chain: &'c CaChain) -> Vec<&'c [u8]> {
    std::iter::once(certificate).chain(chain.certificates().iter().map(Vec::as_slice)).collect()
}
