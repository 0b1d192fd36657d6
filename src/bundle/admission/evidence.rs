//! What was verified, as conditions ask about it.

use super::scope::{self, Part, SIGNED_AS};
use crate::bundle::policy::issuer_of;
use crate::bundle::signature::Artifact;
use crate::bundle::verified::{Attested, LoggedAt, Promised, SignedTime, TimeSource, Verified};
use crate::certificate::PublicKeyKind;
use crate::certificate::inspect::{AlternativeName, Inspected};
use crate::condition::{Facts, Undecided, Value};
use crate::environment::UnixMillis;
use crate::identity::extensions::{ClaimsArc, GitlabClaim, OTHER_NAME};
use crate::identity::gitlab::EVERY_JOB_HAS;
use crate::possession::KeyKind;
use crate::transparency::Hash;
use der::asn1::ObjectIdentifier;

/// The most subjects of a statement that a condition is asked about.
const MOST_SUBJECTS: usize = 256;
/// The longest text that a condition is asked about, in octets. A bundle may have megabytes in one member, and each policy and each part
/// of its condition would read them again.
pub(super) const LONGEST_TEXT: usize = 8192;
/// The same of a list's texts together.
const LONGEST_LIST: usize = 256 * 1024;

/// What was verified. Only a verification that held makes one: the [`Verifier`](crate::bundle::Verifier)'s of a bundle, or
/// [`VerifiedCertificate`](super::VerifiedCertificate)'s.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'v> {
    pub(super) certificate: Option<&'v Inspected>,
    pub(super) promised: Option<Promised>,
    pub(super) times: &'v [SignedTime],
    pub(super) logged: &'v [LoggedAt],
    pub(super) attested: Option<&'v Attested>,
    pub(super) artifact: Option<Hash>,
}

impl<'v> Evidence<'v> {
    /// Of a bundle.
    pub(in crate::bundle) fn of(verified: &'v Verified, artifact: Artifact<'_>) -> Self {
        Self {
            certificate: verified.certificate.as_ref(),
            promised: verified.promised,
            times: &verified.times,
            logged: &verified.logged,
            attested: verified.attested.as_ref(),
            artifact: Some(artifact.sha256()),
        }
    }

    /// The earliest of the times: the signature was there then, so it was made no later.
    fn signed(&self) -> Option<&'v SignedTime> {
        self.times.iter().min_by_key(|time| time.at)
    }
}

/// Evidence, with the arc below which a certificate has raw GitLab claims.
pub(super) struct Asked<'v> {
    pub evidence: &'v Evidence<'v>,
    pub arc: &'v ClaimsArc,
}

impl Asked<'_> {
    /// Whether a part is there.
    pub fn has(&self, part: Part) -> Result<bool, Undecided> {
        Ok(match part {
            Part::Certificate => self.evidence.certificate.is_some(),
            Part::GitlabClaims => match self.evidence.certificate {
                Some(certificate) => self.has_claims(certificate)?,
                None => false,
            },
            Part::Sct => self.evidence.promised.is_some(),
            Part::SignedAt => self.evidence.signed().is_some(),
            Part::Artifact => self.evidence.artifact.is_some(),
            Part::Log => !self.evidence.logged.is_empty(),
            Part::Attestation => self.evidence.attested.is_some(),
        })
    }

    /// Whether the certificate has a GitLab job's claims: all that every job has, each with a value that GitLab gives, or none. What has
    /// others is no job's, and counts neither as the one nor as the other.
    fn has_claims(&self, certificate: &Inspected) -> Result<bool, Undecided> {
        let is_there = |claim: &GitlabClaim| extension(certificate, &self.arc.oid(*claim)).is_some();
        if !GitlabClaim::ALL.iter().any(is_there) {
            return Ok(false);
        }
        if let Some(missing) = EVERY_JOB_HAS.iter().find(|claim| !is_there(claim)) {
            let words = format!("the certificate has GitLab claims, and lacks {}", missing.name());
            return Err(Undecided(words));
        }
        for claim in GitlabClaim::ALL {
            let found = text(certificate, &self.arc.oid(claim))?;
            // A condition was checked against these values alone.
            if let (Some(Value::Text(text)), [_, ..]) = (&found, scope::claim_values(claim))
                && !scope::claim_values(claim).contains(&text.as_str())
            {
                let words = format!("the certificate's {} has a value that is not known", claim.name());
                return Err(Undecided(words));
            }
        }
        Ok(true)
    }

    fn certificate(&self, certificate: &Inspected, path: &[&str]) -> Result<Option<Value>, Undecided> {
        match path {
            ["san"] => name(certificate).map(|(_, text)| Some(Value::Text(text.to_owned()))),
            ["san_type"] => name(certificate).map(|(kind, _)| Some(Value::Text(kind.to_owned()))),
            ["issuer"] => match issuer_of(certificate) {
                Some(issuer) if !issuer.is_empty() => Ok(Some(Value::Text(issuer.to_owned()))),
                _ => Err(Undecided("the certificate does not say who vouches for the identity".to_owned())),
            },
            ["not_before"] => Ok(Some(Value::Time(certificate.not_before()))),
            ["not_after"] => Ok(Some(Value::Time(certificate.not_after()))),
            ["key_type"] => key_type(certificate).map(|code| Some(Value::Text(code.to_owned()))),
            ["gitlab", rest @ ..] if self.has_claims(certificate)? => self.claim(certificate, rest),
            ["fulcio"] | ["extensions"] => Ok(Some(Value::Group)),
            ["fulcio", name] => {
                let known = scope::fulcio_members().find(|(_, member)| member == name);
                known.map_or(Ok(None), |(oid, _)| text(certificate, &oid))
            }
            ["extensions", oid] => match ObjectIdentifier::new(oid) {
                Ok(oid) => text(certificate, &oid),
                Err(_) => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// Of a certificate that has claims.
    fn claim(&self, certificate: &Inspected, path: &[&str]) -> Result<Option<Value>, Undecided> {
        let [name] = path else { return Ok(path.is_empty().then_some(Value::Group)) };
        let Some(claim) = GitlabClaim::ALL.into_iter().find(|claim| claim.name() == *name) else {
            return Ok(None);
        };
        Ok(match text(certificate, &self.arc.oid(claim))? {
            None if claim == GitlabClaim::RefProtected => Some(Value::Text(String::new())),
            found => found,
        })
    }

    fn attestation(&self, attested: &Attested, path: &[&str]) -> Result<Option<Value>, Undecided> {
        let some = |text: &Option<String>| text.clone().map(Value::Text);
        Ok(match path {
            ["predicate_type"] => Some(Value::Text(attested.statement.predicate_type().to_owned())),
            ["subject"] => Some(Value::Text(attested.subject.clone())),
            ["subjects"] => {
                let names = attested.statement.subject_names();
                if names.len() > MOST_SUBJECTS {
                    let words = format!("the statement has more than {MOST_SUBJECTS} subjects");
                    return Err(Undecided(words));
                }
                Some(Value::Texts(names.map(str::to_owned).collect()))
            }
            ["builder_id"] => some(&attested.provenance.builder_id),
            ["build_type"] => some(&attested.provenance.build_type),
            _ => None,
        })
    }
}

impl Facts for Asked<'_> {
    fn value(&self, path: &[String]) -> Result<Option<Value>, Undecided> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let (length, most) = match self.found(&path)? {
            Some(Value::Text(text)) if text.len() > LONGEST_TEXT => (text.len(), LONGEST_TEXT),
            Some(Value::Texts(texts)) if total(&texts) > LONGEST_LIST => (total(&texts), LONGEST_LIST),
            found => return Ok(found),
        };
        Err(Undecided(format!("{} has {length} octets; {most} are possible", path.join("."))))
    }
}

fn total(texts: &[String]) -> usize {
    texts.iter().map(String::len).sum()
}

impl Asked<'_> {
    /// A value, however long it is.
    fn found(&self, path: &[&str]) -> Result<Option<Value>, Undecided> {
        let evidence = self.evidence;
        match path {
            ["cert", rest @ ..] => {
                evidence.certificate.map_or(Ok(None), |certificate| self.certificate(certificate, rest))
            }
            ["sct", "timestamp"] => {
                Ok(evidence.promised.map(|promised| Value::Time(whole_second(promised.at))))
            }
            ["sct", "log_index"] => {
                evidence.promised.and_then(|promised| promised.index).map(index).transpose()
            }
            ["signed_at"] => Ok(evidence.signed().map(|time| Value::Time(whole_second(time.at)))),
            ["signed_at_source"] => Ok(evidence.signed().map(|time| Value::Text(source(time).to_owned()))),
            ["artifact", "digest"] => {
                Ok(evidence.artifact.map(|hash| Value::Text(format!("sha256:{}", hex::encode(hash)))))
            }
            ["artifact", "signed_as"] => Ok(evidence.artifact.map(|_| {
                let as_what = if evidence.attested.is_some() { SIGNED_AS[1] } else { SIGNED_AS[0] };
                Value::Text(as_what.to_owned())
            })),
            ["log", "index"] => evidence.logged.first().map(|logged| index(logged.index)).transpose(),
            ["log", "url"] => Ok(evidence.logged.first().map(|logged| Value::Text(logged.log.clone()))),
            ["log", "kind"] => Ok(evidence.logged.first().map(|logged| Value::Text(logged.kind.clone()))),
            ["attestation", rest @ ..] => {
                evidence.attested.map_or(Ok(None), |attested| self.attestation(attested, rest))
            }
            _ => Ok(None),
        }
    }
}

fn extension<'c>(
    certificate: &'c Inspected,
    oid: &ObjectIdentifier,
) -> Option<&'c crate::certificate::inspect::ExtensionValue> {
    certificate.identity_extensions().iter().find(|extension| extension.oid == *oid)
}

/// An extension's text. One that is there and is no text decides nothing.
fn text(certificate: &Inspected, oid: &ObjectIdentifier) -> Result<Option<Value>, Undecided> {
    match extension(certificate, oid) {
        None => Ok(None),
        Some(extension) => match extension.text() {
            Some(text) => Ok(Some(Value::Text(text.to_owned()))),
            None => Err(Undecided(format!("the certificate's extension {oid} is no text"))),
        },
    }
}

/// The certificate's name and its kind. Of several nobody could say which one is meant.
fn name(certificate: &Inspected) -> Result<(&'static str, &str), Undecided> {
    match certificate.names() {
        [AlternativeName::Uri(text)] => Ok(("uri", text)),
        [AlternativeName::Email(text)] => Ok(("email", text)),
        [AlternativeName::Dns(text)] => Ok(("dns", text)),
        [AlternativeName::Other { oid, text }] if *oid == OTHER_NAME => Ok(("other", text)),
        [_] => Err(Undecided("the certificate's name is of a kind that is not known".to_owned())),
        names => Err(Undecided(format!("the certificate has {} names, not one", names.len()))),
    }
}

fn key_type(certificate: &Inspected) -> Result<&'static str, Undecided> {
    let kind = match certificate.public_key() {
        PublicKeyKind::P256 => KeyKind::P256,
        PublicKeyKind::P384 => KeyKind::P384,
        PublicKeyKind::P521 => KeyKind::P521,
        PublicKeyKind::Rsa(_) => KeyKind::Rsa,
        PublicKeyKind::Ed25519 => KeyKind::Ed25519,
        PublicKeyKind::Other(_) => {
            return Err(Undecided("the certificate's key is of a type that is not known".to_owned()));
        }
    };
    Ok(kind.code())
}

const fn source(time: &SignedTime) -> &'static str {
    match time.source {
        TimeSource::Timestamp { .. } => "timestamp-authority",
        TimeSource::Log { .. } => "log",
    }
}

/// Times are shown with whole seconds: a comparison that was copied from what is shown must hold.
const fn whole_second(at: UnixMillis) -> UnixMillis {
    UnixMillis::from_secs(at.as_secs())
}

fn index(index: u64) -> Result<Value, Undecided> {
    let index = i64::try_from(index);
    index.map(Value::Int).map_err(|_| Undecided("the index is too large to compare".to_owned()))
}
