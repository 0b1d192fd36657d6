//! Proof that the caller holds the private key that the certificate will speak for.
//!
//! Pure. The proof is a signature over the challenge, or a certificate signing request's own signature (RFC 2986 §4.2).
//! Which keys are sound is decided in `key`, which RSA moduli are not in `rsa`.

mod csr;
mod key;
mod rsa;

pub use key::{KeyKind, PublicKey};

use crate::refusal::{Reason, Refusal};

/// The largest public key or signing request that is looked at, in bytes: four times an RSA-4096 request with attributes.
const MAX_KEY_BYTES: usize = 16 * 1024;

/// The largest proof: an RSA-4096 signature has 512 bytes.
const MAX_PROOF_BYTES: usize = 1024;

/// A public key and a proof, as the caller sent them.
#[derive(Clone, Copy)]
pub enum Possession<'r> {
    /// A public key and a signature over the challenge with the key's own hash: SHA-256 for P-256 and RSA, SHA-384 for
    /// P-384, SHA-512 for P-521; Ed25519 hashes by itself (RFC 8032 §5.1).
    PublicKey {
        /// PEM of a SubjectPublicKeyInfo (`PUBLIC KEY`) or of a PKCS#1 RSAPublicKey (`RSA PUBLIC KEY`), or DER of the
        /// former.
        key: &'r [u8],
        /// The signature: DER or r||s for ECDSA, PKCS#1 v1.5 for RSA, 64 octets for Ed25519.
        proof: &'r [u8],
    },
    /// A certificate signing request, PEM. Everything in it but the key and its signature is ignored.
    Csr(&'r [u8]),
}

/// A sound public key whose private half the caller holds.
#[derive(Clone, Debug)]
pub struct ProvenKey {
    key: PublicKey,
}

impl Possession<'_> {
    /// Parses the key, checks that it is sound, and verifies the proof over `challenge`.
    ///
    /// # Errors
    /// [`Reason::KeyMissing`], [`Reason::KeyUnparsable`], [`Reason::CsrUnparsable`], [`Reason::KeyInsecure`],
    /// [`Reason::CsrAlgorithmNotPermitted`], [`Reason::ProofInvalid`].
    pub fn prove(self, challenge: &str) -> Result<ProvenKey, Refusal> {
        match self {
            Self::PublicKey { key, proof } => prove_by_challenge(key, proof, challenge),
            Self::Csr(request) => prove_by_csr(request),
        }
    }
}

impl ProvenKey {
    /// DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), canonical.
    pub fn spki_der(&self) -> &[u8] {
        self.key.spki_der()
    }

    /// The content of its subjectPublicKey BIT STRING, which the subject key identifier hashes (RFC 5280 §4.2.1.2).
    pub fn subject_public_key(&self) -> &[u8] {
        self.key.subject_public_key()
    }

    /// What kind of key it is.
    pub fn kind(&self) -> KeyKind {
        self.key.kind()
    }
}

fn prove_by_challenge(key: &[u8], proof: &[u8], challenge: &str) -> Result<ProvenKey, Refusal> {
    if key.is_empty() {
        return Err(Reason::KeyMissing.into());
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(Refusal::new(Reason::KeyUnparsable).because("It is larger than 16 KiB."));
    }
    let key = PublicKey::parse(key)?;
    key.check_strength()?;
    if proof.len() > MAX_PROOF_BYTES {
        return Err(Refusal::new(Reason::ProofInvalid).because("The signature is larger than 1 KiB."));
    }
    let hash = key.kind().own_hash();
    if !key.verifies(hash, challenge.as_bytes(), proof) {
        return Err(Refusal::new(Reason::ProofInvalid)
            .because("It must be the key's signature over the token's subject."));
    }
    Ok(ProvenKey { key })
}

fn prove_by_csr(request: &[u8]) -> Result<ProvenKey, Refusal> {
    if request.len() > MAX_KEY_BYTES {
        return Err(Refusal::new(Reason::CsrUnparsable).because("It is larger than 16 KiB."));
    }
    let request = pem_block(request, &["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"])
        .ok_or(Reason::CsrUnparsable)?
        .into_contents();
    let request = csr::Csr::parse(&request)?;
    let key = request.public_key()?;
    key.check_strength()?;
    let hash = request.hash_for(key.kind())?;
    if !request.is_signed_by(&key, hash) {
        return Err(Refusal::new(Reason::ProofInvalid)
            .because("The certificate signing request must be signed with the key that it has."));
    }
    Ok(ProvenKey { key })
}

/// The first PEM block (RFC 7468), when it has one of these labels.
fn pem_block(text: &[u8], labels: &[&str]) -> Option<pem::Pem> {
    pem::parse(text).ok().filter(|block| labels.contains(&block.tag()))
}

#[cfg(test)]
mod tests;
