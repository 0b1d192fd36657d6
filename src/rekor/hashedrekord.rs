//! `hashedrekord` 0.0.2: a signature over a digest; the artifact itself stays with its signer.

use super::canonical::CanonicalBody;
use super::request::signature_of;
use super::verifier::{ProposedVerifier, Verifier};
use crate::hash::HashAlgorithm;
use crate::refusal::{Reason, Refusal};

/// Its name in `kindVersion`.
pub const KIND: &str = "hashedrekord";

/// As a request has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The artifact's digest, of the verifier's own hash.
    pub digest: Vec<u8>,
    /// The signature over it.
    pub signature: Vec<u8>,
    /// Whose it is.
    pub verifier: ProposedVerifier,
}

/// With a key that can be read, and a digest that fits it.
#[derive(Debug)]
pub struct Prepared {
    pub(super) verifier: Verifier,
    hash: HashAlgorithm,
    digest: Vec<u8>,
    signature: Vec<u8>,
}

impl Proposed {
    /// Reads the key.
    ///
    /// # Errors
    /// [`Reason::VerifierAlgorithmNotAllowed`] for pure Ed25519, which signs no digest; [`Reason::DigestLengthWrong`]; those
    /// of [`Verifier::read`].
    pub fn prepare(self) -> Result<Prepared, Refusal> {
        let Self { digest, signature, verifier } = self;
        let details = verifier.details;
        let hash = details.hash().ok_or_else(|| {
            Refusal::new(Reason::VerifierAlgorithmNotAllowed)
                .because("Pure Ed25519 signs no digest; Ed25519ph (PKIX_ED25519_PH) does.")
        })?;
        let verifier = Verifier::read(verifier)?;
        if digest.len() != hash.length() {
            let (is, has) = (digest.len(), hash.length());
            let problem = format!("It has {is} octets; {} takes {has}.", details.name());
            return Err(Refusal::new(Reason::DigestLengthWrong).because(problem));
        }
        Ok(Prepared { verifier, hash, digest, signature })
    }
}

impl Prepared {
    /// Verifies the signature, and makes the entry.
    ///
    /// # Errors
    /// [`Reason::EntrySignatureInvalid`], [`Reason::EntryTooLarge`].
    pub fn verify(&self) -> Result<CanonicalBody, Refusal> {
        if !self.verifier.verifies_digest(&self.digest, &self.signature) {
            return Err(Reason::EntrySignatureInvalid.into());
        }
        let signature = signature_of(&self.signature, &self.verifier);
        let body = CanonicalBody::hashedrekord(self.hash, &self.digest, signature);
        body.ok_or_else(|| Reason::EntryTooLarge.into())
    }
}
