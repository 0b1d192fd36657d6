//! How a certificate is issued: it is authorized, then made. `docs/ISSUANCE.md` follows it step by step.

pub mod admission;
mod course;
mod log_mode;
mod ports;
pub mod recording;
mod rules;

pub use admission::{Admission, Occupancy};
pub use course::{Course, Observer, Step};
pub use log_mode::{LogMode, SctDelivery};
pub use ports::{Answer, CaSigner, CertificateLog, IssuerKeys, SignerError};
pub use rules::{CurrentRules, Rules};

use crate::certificate::{CaChain, Certificate, IssuedLately, Template};
use crate::environment::{Clock, Random, Stopwatch, UnixMillis};
use crate::identity::Issuer;
use crate::possession::Possession;
use crate::refusal::{Reason, Refusal};
use crate::token::{Expectations, KeySet, Payload, Times, UnverifiedToken};
use crate::transparency::Place;
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// A request for a certificate, as an API hands it over.
pub struct CertificateRequest<'r> {
    /// The ID token's text.
    pub token: &'r str,
    /// The key and its proof.
    pub possession: Possession<'r>,
}

/// A certificate that may be issued, with its place among those in the making: the request has passed every check, and nothing of it
/// is needed any more. Only [`CertificateAuthority::authorize`] makes one.
pub struct Authorized {
    template: Template,
    place: admission::Place,
}

/// What was issued.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// The chain that belongs to it.
    pub chain: Arc<CaChain>,
    /// Its promise by a log.
    pub sct: SctDelivery,
    /// Where it stands in the log, as far as that says.
    pub place: Option<Place>,
}

/// The certificate authority: everything that issuing needs.
pub struct CertificateAuthority {
    /// The chain that issues.
    pub chain: Arc<CaChain>,
    /// What it has issued lately.
    pub lately: Arc<IssuedLately>,
    /// The key of the chain's issuing certificate.
    pub signer: Box<dyn CaSigner>,
    /// Who gets certificates, and which; the operator may change it at any time.
    pub rules: CurrentRules,
    /// Where their keys come from.
    pub keys: Arc<dyn IssuerKeys>,
    /// Where certificates are recorded.
    pub log: LogMode,
    /// How long a certificate lives; never beyond its chain.
    pub lifetime: Duration,
    /// How many certificates may be in the making, and for whom.
    pub admission: Admission,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Serial numbers.
    pub random: Arc<dyn Random>,
    /// How long the steps take.
    pub stopwatch: Arc<dyn Stopwatch>,
    /// Who is told of every issuance.
    pub observer: Arc<dyn Observer>,
}

impl CertificateAuthority {
    /// An empty course for [`Self::authorize`] and [`Self::issue`] to fill in.
    pub fn course(&self) -> Course {
        Course::begin(self.stopwatch.clone())
    }

    /// Checks a request, or says why it is refused: everything before the first signature. `course` says how far it got,
    /// whatever the answer.
    pub async fn authorize(
        &self,
        request: CertificateRequest<'_>,
        course: &mut Course,
    ) -> Result<Authorized, Refusal> {
        let answer = self.checks(request, course).await;
        answer.inspect_err(|refusal| self.observer.ended(course, Some(refusal.reason())))
    }

    /// Issues the certificate. When it answers, the log has promised the issuance; our own log has it on disk.
    pub async fn issue(&self, authorized: Authorized, course: &mut Course) -> Result<Issued, Refusal> {
        let answer = self.make(authorized, course).await;
        self.observer.ended(course, answer.as_ref().err().map(Refusal::reason));
        answer
    }

    /// Steps 1 to 7 of `docs/ISSUANCE.md`, and the template of step 8.
    async fn checks(
        &self,
        request: CertificateRequest<'_>,
        course: &mut Course,
    ) -> Result<Authorized, Refusal> {
        // Once: what is reloaded meanwhile is for requests that come after it.
        let rules = self.rules.get();
        if self.admission.is_short() {
            self.glance(request.token, &rules, course)?;
        }
        let token = UnverifiedToken::parse(request.token)?;
        let issuer = rules
            .issuers
            .find(token.issuer())
            .ok_or(Refusal::new(Reason::TokenIssuerUnknown).of_claim("iss"))?;
        let label: Arc<str> = rules.issuers.label(&issuer.url).unwrap_or_default().into();
        course.of(label.clone());
        let algorithms = issuer.algorithms();
        let expected =
            Expectations { issuer: &issuer.url, algorithms: &algorithms, times: Times::CERTIFICATE };
        expected.admit(&token)?;
        // Whom the token names: a claim, until it is verified below.
        let project = issuer.project_of(|name| token.claimed(name));
        let sharer = self.admission.sharer(label.clone(), &issuer.url, project);
        self.admission.foresee(&sharer)?;
        course.did(Step::Token);
        let keys = self.keys_of(&issuer, token.key_id(), label.clone()).await?;
        course.did(Step::Keys);

        let now = self.clock.now();
        let token = token.verify(&keys, &expected, now)?;
        course.did(Step::Token);
        let entry = issuer.entry_for(&token)?;
        let principal = entry.kind.principal(&issuer.url, &token)?;
        let place = self.admission.admit(sharer)?;
        course.did(Step::Identity);
        let key = request.possession.prove(principal.challenge())?;
        course.did(Step::Possession);

        let (ruled, authorization) = rules.policy.authorize(&label, entry, principal, &token, &key);
        course.rule(ruled);
        let authorization = authorization?;
        course.did(Step::Policy);

        let template = Template::new(&self.chain, &authorization, &key, self.lifetime, now, &*self.random)?;
        Ok(Authorized { template, place })
    }

    /// The steps after those: the template becomes a certificate by the way that the log's mode asks for.
    async fn make(&self, authorized: Authorized, course: &mut Course) -> Result<Issued, Refusal> {
        let Authorized { template, place } = authorized;
        let issued = match &self.log {
            LogMode::Embedded(log) => {
                let life = template.life().clone();
                let issued = self.log_and_issue(template, &**log, course).await?;
                promised_within(&life, issued)
            }
            LogMode::External { log, precertificates: true } => {
                self.log_and_issue(template, &**log, course).await
            }
            LogMode::External { log, precertificates: false } => {
                self.issue_and_log(template, &**log, course).await
            }
            LogMode::None => self.issue_unlogged(template, course).await,
        }?;
        self.lately.remember(&issued.certificate);
        place.finish();
        Ok(issued)
    }

    /// Refuses by two claims alone, without a look at the rest of the token: in a flood most end here, and the rest of their way
    /// would be for nothing. What this does not refuse goes the whole way.
    fn glance(&self, token: &str, rules: &Rules, course: &mut Course) -> Result<(), Refusal> {
        let Some(payload) = Payload::decode(token) else { return Ok(()) };
        let Some(claimed) = payload.texts() else { return Ok(()) };
        let Some(issuer) = claimed.get("iss").and_then(|iss| rules.issuers.find(iss)) else { return Ok(()) };
        let label: Arc<str> = rules.issuers.label(&issuer.url).unwrap_or_default().into();
        course.of(label.clone());
        let project = issuer.project_of(|name| claimed.get(name));
        self.admission.foresee(&self.admission.sharer(label, &issuer.url, project))
    }

    /// The issuer's keys. Whoever would have to wait for them needs a place for that.
    async fn keys_of(
        &self,
        issuer: &Issuer,
        key_id: Option<&str>,
        label: Arc<str>,
    ) -> Result<Arc<KeySet>, Refusal> {
        let mut keys = self.keys.keys(issuer, key_id);
        let at_hand = poll_fn(|context| {
            Poll::Ready(match keys.as_mut().poll(context) {
                Poll::Ready(keys) => Some(keys),
                Poll::Pending => None,
            })
        });
        if let Some(keys) = at_hand.await {
            return keys;
        }
        let _waiting = self.admission.wait_for_keys(label)?;
        keys.await
    }

    /// The precertificate is logged before there is a certificate, which carries the SCT.
    async fn log_and_issue(
        &self,
        template: Template,
        log: &dyn CertificateLog,
        course: &mut Course,
    ) -> Result<Issued, Refusal> {
        let signature = self.signer.sign(template.precertificate_tbs()).await?;
        let precertificate = template.into_precertificate(&signature);
        course.did(Step::Precertificate);

        let sct = log.enter_precertificate(&precertificate).await?;
        let place = sct.place().ok();
        let logged = precertificate.logged(sct.to_bytes());
        course.did(Step::Log);

        let corresponding = logged.prove_correspondence()?;
        let signature = self.signer.sign(corresponding.certificate_tbs()).await?;
        let certificate = corresponding.into_certificate(&signature);
        course.did(Step::Certificate);
        Ok(Issued { certificate, chain: self.chain.clone(), sct: SctDelivery::Embedded, place })
    }

    /// The certificate is logged before it is handed out, with the SCT beside it.
    async fn issue_and_log(
        &self,
        template: Template,
        log: &dyn CertificateLog,
        course: &mut Course,
    ) -> Result<Issued, Refusal> {
        let issued = self.issue_unlogged(template, course).await?;
        let sct = log.enter_certificate(&issued.certificate, &issued.chain).await?;
        course.did(Step::Log);
        let delivery = SctDelivery::Detached(sct.to_json().to_string().into_bytes());
        Ok(Issued { sct: delivery, place: sct.place().ok(), ..issued })
    }

    /// The certificate alone, with no SCT.
    async fn issue_unlogged(&self, template: Template, course: &mut Course) -> Result<Issued, Refusal> {
        let template = template.without_embedded_sct();
        let signature = self.signer.sign(template.certificate_tbs()).await?;
        let certificate = template.into_certificate(&signature);
        course.did(Step::Certificate);
        Ok(Issued { certificate, chain: self.chain.clone(), sct: SctDelivery::None, place: None })
    }
}

/// A clock that was set meanwhile: no client takes a certificate whose SCT is older or younger than it.
fn promised_within(life: &RangeInclusive<UnixMillis>, issued: Issued) -> Result<Issued, Refusal> {
    match issued.place {
        Some(place) if !life.contains(&place.timestamp) => {
            let (begins, ends) = (life.start(), life.end());
            tracing::error!(sct = %place.timestamp, %begins, %ends, "the clock was set: an SCT outside its certificate's life");
            Err(Refusal::new(Reason::LogUnavailable).retry_after(Duration::from_secs(5)))
        }
        _ => Ok(issued),
    }
}
