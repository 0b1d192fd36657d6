//! The one function that issues a certificate. `docs/ISSUANCE.md` follows it step by step.

mod ports;

pub use ports::{CaSigner, IssuerKeys, SignerError};

use crate::certificate::{CaChain, Certificate, Template};
use crate::environment::{Clock, Random};
use crate::identity::Issuers;
use crate::log::CtLog;
use crate::possession::Possession;
use crate::refusal::{Reason, Refusal};
use crate::token::{Expectations, UnverifiedToken};
use crate::transparency::Place;
use crate::transparency::precertificate::PrecertificateEntry;
use std::sync::Arc;
use std::time::Duration;

/// A request for a certificate, as an API hands it over.
pub struct CertificateRequest<'r> {
    /// The ID token's text.
    pub token: &'r str,
    /// The key and its proof.
    pub possession: Possession<'r>,
}

/// What was issued.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// The chain that belongs to it.
    pub chain: Arc<CaChain>,
    /// Where it stands in the log.
    pub place: Place,
    /// The issuer that vouched, `iss` of the verified token.
    pub issuer: String,
}

/// The certificate authority: everything that issuing needs.
pub struct CertificateAuthority {
    /// The chain that issues.
    pub chain: Arc<CaChain>,
    /// The key of the chain's issuing certificate.
    pub signer: Box<dyn CaSigner>,
    /// The allow-list.
    pub issuers: Arc<Issuers>,
    /// Where their keys come from.
    pub keys: Arc<dyn IssuerKeys>,
    /// The log.
    pub log: Arc<CtLog>,
    /// How long a certificate lives; never beyond its chain.
    pub lifetime: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Serial numbers.
    pub random: Arc<dyn Random>,
}

impl CertificateAuthority {
    /// Issues a certificate, or says why not. When it answers, the issuance is durable in the log.
    pub async fn issue(&self, request: CertificateRequest<'_>) -> Result<Issued, Refusal> {
        let token = UnverifiedToken::parse(request.token)?;
        let issuer = self
            .issuers
            .find(token.issuer())
            .ok_or(Refusal::new(Reason::TokenIssuerUnknown).of_claim("iss"))?;
        let algorithms = issuer.algorithms();
        let expected = Expectations { issuer: &issuer.url, algorithms: &algorithms };
        expected.admit(&token)?;
        let keys = self.keys.keys(&issuer, token.key_id()).await?;

        let now = self.clock.now();
        let token = token.verify(&keys, &expected, now)?;
        let principal = issuer.entry_for(&token)?.kind.principal(&issuer.url, &token)?;
        let key = request.possession.prove(principal.challenge())?;

        let template = Template::new(&self.chain, &principal, &key, self.lifetime, now, &*self.random)?;
        let signature = self.signer.sign(template.precertificate_tbs()).await?;
        let precertificate = template.into_precertificate(&signature);

        let sct = self.log.enter(PrecertificateEntry::from(&precertificate)).await?;
        let place = sct.place;
        let logged = precertificate.logged(sct.to_bytes());

        let corresponding = logged.prove_correspondence()?;
        let signature = self.signer.sign(corresponding.certificate_tbs()).await?;
        let certificate = corresponding.into_certificate(&signature);
        Ok(Issued { certificate, chain: self.chain.clone(), place, issuer: issuer.url })
    }
}
