//! The CA's key in a file.

use super::SignerOpenError;
use super::key_file::{self, EcdsaKey};
use crate::certificate::{CaAlgorithm, CaChain, ToBeSigned};
use crate::issuance::{CaSigner, SignerError};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm,
};
use der::Decode;
use std::future::{Future, ready};
use std::path::Path;
use std::pin::Pin;
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// The CA's key, read from a PEM file at start and kept in memory.
pub struct FileSigner {
    key: EcdsaKey,
}

impl FileSigner {
    /// Reads the key and proves that it is the key of the chain's issuing certificate, by a signature that verifies with
    /// the certificate's public key.
    ///
    /// # Errors
    /// When others may read the file, when it holds no unencrypted key of the chain's algorithm, or another key.
    pub fn open(path: &Path, chain: &CaChain) -> Result<Self, SignerOpenError> {
        key_file::open(path, |text| Self::from_pem(text, chain))
    }

    /// The same for the text of such a file.
    pub fn from_pem(text: &[u8], chain: &CaChain) -> Result<Self, String> {
        let (signing, verification) = algorithms(chain.algorithm());
        let key = EcdsaKey::from_pem(text, signing, &chain.algorithm().to_string())?;
        let foreign =
            || "it is not the key of the CA's issuing certificate (the first one of the chain)".to_owned();
        let spki = SubjectPublicKeyInfoRef::from_der(chain.issuing_spki()).map_err(|_| foreign())?;
        if key.matches(verification, spki.subject_public_key.raw_bytes()) {
            Ok(Self { key })
        } else {
            Err(foreign())
        }
    }
}

impl CaSigner for FileSigner {
    fn sign<'a>(
        &'a self,
        tbs: &'a ToBeSigned,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, SignerError>> + Send + 'a>> {
        Box::pin(ready(self.key.sign(tbs.der()).map_err(SignerError)))
    }
}

fn algorithms(
    algorithm: CaAlgorithm,
) -> (&'static EcdsaSigningAlgorithm, &'static EcdsaVerificationAlgorithm) {
    match algorithm {
        CaAlgorithm::EcdsaP256Sha256 => (&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_ASN1),
        CaAlgorithm::EcdsaP384Sha384 => (&ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1),
    }
}
