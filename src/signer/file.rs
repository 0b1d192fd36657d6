//! The CA's key in a file.

use super::SignerOpenError;
use super::key_file;
use super::password::Password;
use super::signing_key::SigningKey;
use crate::certificate::{CaAlgorithm, CaChain, ToBeSigned};
use crate::issuance::{CaSigner, SignerError};
use std::future::{Future, ready};
use std::path::Path;
use std::pin::Pin;

/// The CA's key, read from a PEM file at start and kept in memory.
pub struct FileSigner {
    key: SigningKey,
}

impl FileSigner {
    /// Reads the key, decrypts it where need be, and proves that it is the key of the chain's issuing certificate, by a
    /// signature that verifies with the certificate's public key.
    ///
    /// # Errors
    /// When others may read the file, when the password is missing or wrong, when it holds no key of the chain's
    /// algorithm, or another key.
    pub fn open(path: &Path, password: Option<&Password>, chain: &CaChain) -> Result<Self, SignerOpenError> {
        key_file::open(path, |text| Self::from_pem(text, password, chain))
    }

    /// The same for the text of such a file.
    pub fn from_pem(text: &[u8], password: Option<&Password>, chain: &CaChain) -> Result<Self, String> {
        let key = SigningKey::read(&key_file::private_key(text, password)?, chain.algorithm())?;
        if chain.algorithm() == CaAlgorithm::Ed25519 {
            tracing::warn!(
                "the CA's key is Ed25519: some clients, sigstore-python among them, refuse such a CA"
            );
        }
        if key.matches(chain.issuing_spki()) {
            Ok(Self { key })
        } else {
            Err("it is not the key of the CA's issuing certificate (the first one of the chain)".to_owned())
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
            let signer = FileSigner::from_pem(ca.issuing_key.as_bytes(), None, &chain).unwrap();
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
        let refusal = |text: &str| FileSigner::from_pem(text.as_bytes(), None, &chain).err().unwrap();
        let ca = NewCa::make(&Options::default(), NOW).unwrap();
        assert!(refusal(&ca.issuing_key).contains("not the key of the CA's issuing certificate"));
        assert!(refusal(&ca.root_key).contains("not a sound private key for ECDSA P-256"));
        assert!(FileSigner::from_pem(ISSUING_KEY.as_bytes(), None, &chain).is_ok());
    }
}
