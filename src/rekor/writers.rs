//! Who may write into the log (`signature_log.admit`).
//!
//! A certificate counts at any time of its past: whoever signs may log the signature later, and a timestamp says when it was
//! made. What is asked is whether the CA's key signed it.

use super::verifier::Verifier;
use crate::certificate::inspect::{AlternativeName, Inspected};
use crate::certificate::{CaChain, IssuedLately, PublicKeyKind, pem};
use crate::refusal::{Reason, Refusal};
use crate::transparency::{Hash, sha256};
use der::asn1::ObjectIdentifier;
use std::fmt;

/// Fulcio's extension Source Repository URI: the project, as whose the places of its certificates count.
const SOURCE_REPOSITORY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.12");

/// Who may write.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Writers {
    /// Certificates of our own CA's present issuing key.
    #[default]
    Own,
    /// Every key and every certificate.
    Any,
    /// Those that are listed.
    Listed(Listed),
}

/// A list of writers.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Whether certificates of our own CA are among them.
    pub own: bool,
    cas: Vec<Authority>,
    keys: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Authority {
    subject: String,
    spki: Vec<u8>,
}

impl fmt::Debug for Writers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("Own"),
            Self::Any => f.write_str("Any"),
            Self::Listed(Listed { own, cas, keys }) => {
                write!(f, "Listed({own}, {} CAs, {} keys)", cas.len(), keys.len())
            }
        }
    }
}

/// Whom a writer's place counts for: who may write is first divided by the group, then by the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// `own`, `listed` or `other`.
    pub group: &'static str,
    /// For a certificate its project, else its name; for a key the key.
    pub name: Hash,
}

impl Listed {
    /// Our own CA's certificates, and nothing else yet.
    pub fn of_own() -> Self {
        Self { own: true, ..Self::default() }
    }

    /// Adds what a PEM file has: certificates of CAs, and public keys.
    ///
    /// # Errors
    /// In words: what is wrong with the file.
    pub fn add_pem(&mut self, text: &[u8]) -> Result<(), String> {
        let blocks = pem::blocks(text)?;
        if blocks.is_empty() {
            return Err("has no PEM block: certificates of CAs or public keys are expected".to_owned());
        }
        for (index, block) in blocks.into_iter().enumerate() {
            let place = format!("block {}", index + 1);
            match block.label.as_str() {
                "CERTIFICATE" => {
                    let certificate = Inspected::from_der(&block.der)
                        .map_err(|error| format!("{place} cannot be read: {error}"))?;
                    if !certificate.is_ca() {
                        return Err(format!("{place} is not a CA's certificate"));
                    }
                    let subject = certificate.subject();
                    self.cas.push(Authority { subject, spki: certificate.spki_der().to_vec() });
                }
                "PUBLIC KEY" => match PublicKeyKind::of(&block.der) {
                    Ok(PublicKeyKind::Other(_)) | Err(_) => {
                        return Err(format!("{place} is no public key that can sign here"));
                    }
                    Ok(_) => self.keys.push(block.der.to_vec()),
                },
                other => {
                    return Err(format!(
                        "has a block {other:?}; only CERTIFICATE and PUBLIC KEY may be in it"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Writers {
    /// Whom the key claims to be, before anything about it is verified.
    pub fn claimed(&self, verifier: &Verifier, chain: &CaChain) -> Writer {
        let group = match verifier.certificate() {
            Some(certificate) if certificate.authority_key_id() == Some(chain.issuing_key_id()) => "own",
            _ => match self {
                Self::Listed(_) => "listed",
                Self::Own | Self::Any => "other",
            },
        };
        Writer { group, name: name(verifier) }
    }

    /// Whether whoever has this key may write. `lately`: of our own CA, what need not be verified again.
    ///
    /// # Errors
    /// [`Reason::WriterNotAdmitted`].
    pub fn admit(
        &self,
        verifier: &Verifier,
        chain: &CaChain,
        lately: &IssuedLately,
    ) -> Result<Writer, Refusal> {
        let refused = |detail| Err(Refusal::new(Reason::WriterNotAdmitted).because(detail));
        let own = verifier.certificate().is_some_and(|certificate| is_own(certificate, chain, lately));
        let writer = |group| Ok(Writer { group, name: name(verifier) });
        match self {
            Self::Own if own => writer("own"),
            Self::Own if verifier.certificate().is_none() => {
                refused("This log takes signatures by certificates of its own CA, and this is a bare key.")
            }
            Self::Own => refused("This log takes signatures by certificates of its own CA alone."),
            Self::Any => writer(if own { "own" } else { "other" }),
            Self::Listed(listed) if own && listed.own => writer("own"),
            Self::Listed(listed) if listed.has(verifier) => writer("listed"),
            Self::Listed(_) => {
                refused("Neither the key nor the certificate's CA is one of those that may write.")
            }
        }
    }
}

impl Listed {
    fn has(&self, verifier: &Verifier) -> bool {
        match verifier.certificate() {
            None => self.keys.iter().any(|key| key == verifier.spki_der()),
            Some(certificate) => self.cas.iter().any(|ca| {
                ca.subject == certificate.issuer()
                    && is_leaf(certificate)
                    && certificate.verify_signed_by(&ca.spki).is_ok()
            }),
        }
    }
}

/// Issued by the chain's issuing certificate, at whatever time.
fn is_own(certificate: &Inspected, chain: &CaChain, lately: &IssuedLately) -> bool {
    certificate.authority_key_id() == Some(chain.issuing_key_id())
        && is_leaf(certificate)
        && (lately.has(certificate.der()) || certificate.verify_signed_by(chain.issuing_spki()).is_ok())
}

fn is_leaf(certificate: &Inspected) -> bool {
    !certificate.is_ca() && !certificate.is_precertificate()
}

/// Who it is: one text for everything that one project signs, where the certificate names it.
fn name(verifier: &Verifier) -> Hash {
    let Some(certificate) = verifier.certificate() else { return sha256(verifier.spki_der()) };
    let mut extensions = certificate.identity_extensions().iter();
    let project = extensions.find(|extension| extension.oid == SOURCE_REPOSITORY);
    match (project.and_then(|extension| extension.text()), certificate.names().first()) {
        (Some(project), _) => sha256(project.as_bytes()),
        (
            None,
            Some(
                AlternativeName::Uri(text)
                | AlternativeName::Email(text)
                | AlternativeName::Dns(text)
                | AlternativeName::Other { text, .. },
            ),
        ) => sha256(text.as_bytes()),
        (None, Some(AlternativeName::Unknown) | None) => sha256(certificate.issuer().as_bytes()),
    }
}
