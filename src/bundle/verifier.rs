//! The verifier: everything that the strictest client checks, in one call.

use super::admission::{self, Evidence, Policies, Provenance};
use super::dsse::Statement;
use super::entry::{Signed, What};
use super::error::{Problem, VerificationError, problem};
use super::format::{Bundle, Signer};
use super::policy::Identity;
use super::signature::{Artifact, SigningKey};
use super::trusted_root::{TrustedAuthority, TrustedRoot};
use super::verified::{Attested, Fact, Promised, SignedTime, Verified};
use super::{log_entries, times};
use crate::certificate::inspect::Inspected;
use crate::certificate::path::{PathError, Purpose};
use crate::environment::UnixMillis;
use crate::hash::HashAlgorithm;
use crate::rekor::dsse::pre_authentication_encoding;
use crate::transparency::sct::ReceivedSct;
use crate::transparency::sha256;

/// Who must have signed.
#[derive(Clone, Debug)]
pub enum Signatory {
    /// Whoever a certificate of a trusted CA names so.
    Identity(Identity),
    /// Whoever has a certificate of a trusted CA that a policy of the verifier admits.
    Admitted,
    /// The holder of this key.
    Key(SigningKey),
}

/// Verifies bundles with one trusted root.
#[derive(Clone, Debug)]
pub struct Verifier {
    root: TrustedRoot,
    policies: Option<Policies>,
}

impl Verifier {
    /// A verifier that trusts this.
    pub const fn new(root: TrustedRoot) -> Self {
        Self { root, policies: None }
    }

    /// The same verifier, which takes only what one of these admits as well.
    pub fn policies(mut self, policies: Policies) -> Self {
        self.policies = Some(policies);
        self
    }

    /// That `signatory` signed `artifact` (or a statement about it), that trusted services say when, and that a trusted log
    /// holds it.
    pub fn verify(
        &self,
        bundle: &Bundle,
        artifact: Artifact<'_>,
        signatory: &Signatory,
    ) -> Result<Verified, VerificationError> {
        let certificate = certificate(bundle, signatory)?;
        let key = match (signatory, &certificate) {
            (Signatory::Key(key), _) => key.clone(),
            (_, Some(certificate)) => SigningKey::from_spki(certificate.spki_der())?,
            (_, None) => return Err(no_certificate()),
        };
        if matches!(signatory, Signatory::Admitted) && self.policies.is_none() {
            let words = "nobody was said to be trusted: neither an identity nor a policy";
            return Err(problem(Problem::NotAdmitted, admission::PLACE, words));
        }
        let mut facts = Vec::new();
        let mut note = |name, words| facts.push(Fact { name, words });

        let what = what(bundle, artifact, &key)?;
        let mut times = times::verified(bundle, &self.root)?;
        for time in &times {
            note("timestamp", format!("{} by {}", time.at, time.source));
        }
        let signed = Signed { key: &key, certificate: certificate.as_ref().map(Inspected::der), what };
        let logged = log_entries::verified(bundle, &self.root, &signed)?;
        for time in &logged.times {
            note("integrated time", format!("{} by {}", time.at, time.source));
        }
        times.extend(logged.times);
        for (entry, log) in &logged.entries {
            // Version 2 attests no time of its own: the timestamps' must be one of the log's key.
            if let Some(time) = times.iter().find(|time| !log.valid_for.contains(time.at)) {
                let words = format!("the trusted root does not count the log's key at {}", time.at);
                return Err(problem(Problem::LogNotValid, "log entry", words));
            }
            note("log entry", format!("{} at index {} of {}", entry.kind, entry.index, entry.log));
        }
        let promised = match &certificate {
            Some(certificate) => Some(self.verify_certificate(certificate, &times, &mut note)?),
            None => None,
        };
        if let (Signatory::Identity(identity), Some(certificate)) = (signatory, &certificate) {
            identity.verify(certificate)?;
            let names: Vec<_> = certificate.names().iter().map(ToString::to_string).collect();
            let issuer = super::issuer_of(certificate).unwrap_or_default();
            note("identity", format!("{}, vouched for by {issuer}", names.join(", ")));
        }
        let attested = content(bundle, artifact, &key, what, &mut note)?;
        let logged = logged.entries.into_iter().map(|(entry, _)| entry).collect();
        let mut verified =
            Verified { certificate, promised, times, logged, attested, facts, admitted_by: None };
        // Last, when nothing that a policy could ask about is only said.
        if let Some(policies) = &self.policies {
            let admitted_by = policies.admit(&Evidence::of(&verified, artifact))?.name().to_owned();
            verified.facts.push(Fact { name: "policy", words: format!("admitted by \"{admitted_by}\"") });
            verified.admitted_by = Some(admitted_by);
        }
        Ok(verified)
    }

    /// Chain and SCT. Every time that is known must lie in the certificate's ten minutes.
    fn verify_certificate(
        &self,
        certificate: &Inspected,
        times: &[SignedTime],
        note: &mut impl FnMut(&'static str, String),
    ) -> Result<Promised, VerificationError> {
        if times.is_empty() {
            let words = "nothing that is trusted says when the signature was made: no timestamp, no integrated \
                         time with a promise";
            return Err(problem(Problem::TimeMissing, "signing time", words));
        }
        let authority = self.issuing_authority(certificate, times)?;
        let (from, to) = (certificate.not_before(), certificate.not_after());
        note("certificate", format!("issued for signing by a trusted CA, valid from {from} to {to}"));
        let issuer = authority.authorities.as_ref().and_then(|chain| chain.issuing_spki().ok());
        self.verify_scts(certificate, issuer.unwrap_or_default(), note)
    }

    fn issuing_authority(
        &self,
        certificate: &Inspected,
        times: &[SignedTime],
    ) -> Result<&TrustedAuthority, VerificationError> {
        const PLACE: &str = "certificate";
        let mut nearest: Option<VerificationError> = None;
        for authority in self.root.certificate_authorities() {
            let Some(chain) = &authority.authorities else { continue };
            let held = times.iter().try_for_each(|time| {
                chain.verify(certificate.der(), Purpose::CodeSigning, time.at)?;
                Ok(authority.valid_for.contains(time.at)
                    && authority.valid_for.contains(certificate.not_before()))
                .and_then(|counts| if counts { Ok(()) } else { Err(Refused::Window(time.at)) })
            });
            let error = match held {
                Ok(()) => return Ok(authority),
                // What names another issuer is only of interest when there is nothing nearer.
                Err(Refused::Path(PathError::NotIssued(words))) => {
                    nearest.get_or_insert_with(|| problem(Problem::CertificateUntrusted, PLACE, words));
                    continue;
                }
                Err(Refused::Path(error @ PathError::NotValid { .. })) => {
                    problem(Problem::CertificateNotValid, PLACE, error.to_string())
                }
                Err(Refused::Path(error)) => problem(Problem::CertificateUntrusted, PLACE, error.to_string()),
                Err(Refused::Window(at)) => {
                    let words = format!("the trusted root does not count its CA at {at}");
                    problem(Problem::CertificateNotValid, PLACE, words)
                }
            };
            nearest = Some(error);
        }
        Err(nearest.unwrap_or_else(|| problem(Problem::CertificateUntrusted, PLACE, "no CA is trusted")))
    }

    /// At least one SCT of a trusted log; every one of a trusted log holds.
    fn verify_scts(
        &self,
        certificate: &Inspected,
        issuer: &[u8],
        note: &mut impl FnMut(&'static str, String),
    ) -> Result<Promised, VerificationError> {
        const PLACE: &str = "certificate, SCT";
        let invalid = |words: String| problem(Problem::SctInvalid, PLACE, words);
        let untrusted = |words| problem(Problem::SctUntrusted, PLACE, words);
        let list = certificate.sct_list().ok_or_else(|| untrusted("the certificate has none"))?;
        let scts = ReceivedSct::parse_list(list).map_err(|error| invalid(error.to_string()))?;
        let tbs = certificate.logged_tbs().map_err(|error| invalid(error.to_string()))?;
        let issuer_key_hash = sha256(issuer);
        let mut held = None;
        for sct in &scts {
            let mut refused = None;
            for log in self.root.certificate_logs(sct.log_id()) {
                refused = match sct.verify_precertificate(&log.spki, &issuer_key_hash, &tbs) {
                    Err(error) => Some(error.to_string()),
                    Ok(()) if !log.valid_for.contains(sct.timestamp()) => {
                        Some(format!("the trusted root does not count the log's key at {}", sct.timestamp()))
                    }
                    Ok(()) => {
                        held.get_or_insert_with(|| Promised::by(sct));
                        note("SCT", format!("{} by {}", sct.timestamp(), log.base_url));
                        None
                    }
                };
                if refused.is_none() {
                    break;
                }
            }
            if let Some(words) = refused {
                return Err(invalid(words));
            }
        }
        held.ok_or_else(|| untrusted("no trusted certificate log gave one"))
    }
}

enum Refused {
    Path(PathError),
    Window(UnixMillis),
}

impl From<PathError> for Refused {
    fn from(error: PathError) -> Self {
        Self::Path(error)
    }
}

fn no_certificate() -> VerificationError {
    let words = "the bundle is signed with a managed key; give that key";
    problem(Problem::SignerMismatch, "bundle.verificationMaterial", words)
}

fn certificate(bundle: &Bundle, signatory: &Signatory) -> Result<Option<Inspected>, VerificationError> {
    const PLACE: &str = "bundle.verificationMaterial";
    match (bundle.signer(), signatory) {
        (Signer::Certificate(der), Signatory::Identity(_) | Signatory::Admitted) => Inspected::from_der(der)
            .map(Some)
            .map_err(|error| problem(Problem::CertificateMalformed, PLACE, error.to_string())),
        (Signer::Key { .. }, Signatory::Key(_)) => Ok(None),
        (Signer::Key { .. }, Signatory::Identity(_) | Signatory::Admitted) => Err(no_certificate()),
        (Signer::Certificate(_), Signatory::Key(_)) => {
            let words = "the bundle is signed with a certificate; say whom it must name";
            Err(problem(Problem::SignerMismatch, PLACE, words))
        }
    }
}

/// What the log entry must be about.
fn what<'b>(
    bundle: &'b Bundle,
    artifact: Artifact<'b>,
    key: &SigningKey,
) -> Result<What<'b>, VerificationError> {
    const PLACE: &str = "bundle.messageSignature";
    if let Some(envelope) = bundle.envelope() {
        return Ok(What::Envelope(envelope));
    }
    let Some(message) = bundle.message_signature() else {
        return Err(problem(Problem::BundleMalformed, PLACE, "it is missing"));
    };
    let hash = match &message.message_digest {
        None => key.own_hash().unwrap_or(HashAlgorithm::Sha512),
        Some(stated) => {
            let hash = HashAlgorithm::named(&stated.algorithm).ok_or_else(|| {
                let words = "`messageDigest.algorithm` is none that is accepted";
                problem(Problem::BundleMalformed, PLACE, words)
            })?;
            // A hint, and not signed; but one that is false helps nobody.
            let digest = artifact.digest(hash);
            if digest.is_some_and(|digest| digest.as_ref() != &*stated.digest) {
                let words = "`messageDigest` is not the artifact's digest";
                return Err(problem(Problem::ArtifactMismatch, PLACE, words));
            }
            hash
        }
    };
    Ok(What::Artifact { artifact, hash, signature: &message.signature })
}

fn content(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    key: &SigningKey,
    what: What<'_>,
    note: &mut impl FnMut(&'static str, String),
) -> Result<Option<Attested>, VerificationError> {
    match what {
        What::Artifact { artifact, hash, signature } => {
            key.verify(artifact, Some(hash), signature)?;
            note("signature", format!("over the artifact sha256:{}", hex::encode(artifact.sha256())));
            Ok(None)
        }
        What::Envelope(envelope) => {
            let encoded = pre_authentication_encoding(&envelope.payload_type, &envelope.payload);
            key.verify(Artifact::Octets(&encoded), None, bundle.signature())?;
            let statement = Statement::of(envelope)?;
            let subject = statement.verify_subject(artifact)?.to_owned();
            note("signature", format!("over a statement of type {}", statement.predicate_type()));
            note("subject", format!("{subject} sha256:{}", hex::encode(artifact.sha256())));
            let provenance = Provenance::of(&envelope.payload, statement.predicate_type());
            Ok(Some(Attested { statement, subject, provenance }))
        }
    }
}
