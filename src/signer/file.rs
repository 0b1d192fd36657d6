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

#[cfg(test)]
mod tests {
    use super::super::ceremony::{IssuingCurve, NewCa, Options};
    use super::*;
    use crate::certificate::testing::{self, ISSUING_KEY, NOW};
    use crate::certificate::verify_signature;

    #[tokio::test]
    async fn what_it_signs_verifies_with_the_issuing_certificate() {
        for issuing_curve in [IssuingCurve::P256, IssuingCurve::P384] {
            let ca = NewCa::make(&Options { issuing_curve, ..Options::default() }, NOW).unwrap();
            let chain = std::sync::Arc::new(CaChain::from_pem(ca.chain().as_bytes()).unwrap());
            let signer = FileSigner::from_pem(ca.issuing_key.as_bytes(), &chain).unwrap();
            let template = testing::template(&chain, NOW).unwrap();
            let tbs = template.precertificate_tbs();
            let signature = signer.sign(tbs).await.unwrap();
            let algorithm = chain.algorithm().identifier();
            verify_signature(chain.issuing_spki(), algorithm, tbs.der(), &signature).unwrap();
        }
    }

    #[test]
    fn the_key_of_another_certificate_is_refused() {
        let chain = testing::chain();
        let refusal = |text: &str| FileSigner::from_pem(text.as_bytes(), &chain).err().unwrap();
        let ca = NewCa::make(&Options::default(), NOW).unwrap();
        assert!(refusal(&ca.issuing_key).contains("not the key of the CA's issuing certificate"));
        assert!(refusal(&ca.root_key).contains("not a sound private key for ECDSA P-256"));
        assert!(FileSigner::from_pem(ISSUING_KEY.as_bytes(), &chain).is_ok());
    }
}
