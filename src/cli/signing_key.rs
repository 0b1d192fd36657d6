//! The key that a job signs with: ECDSA P-256, made afresh or read from a file.

use crate::environment::Random;
use p256::SecretKey;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey as EcdsaKey};
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use zeroize::Zeroizing;

/// A private key. It shows nothing of itself in `Debug`, and is wiped when dropped.
pub struct SigningKey {
    secret: SecretKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// A new key.
    pub fn generate(random: &dyn Random) -> Self {
        let mut scalar = Zeroizing::new([0u8; 32]);
        loop {
            random.fill(&mut *scalar);
            // Zero and anything from the group's order on is thrown away: less than one try in 2^32.
            if let Ok(secret) = SecretKey::from_slice(&*scalar) {
                return Self { secret };
            }
        }
    }

    /// From PEM: PKCS#8 `PRIVATE KEY`, or SEC 1 `EC PRIVATE KEY` as `openssl ecparam` writes it.
    ///
    /// # Errors
    /// In words, for a key of another kind or an encrypted one.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(pem).map_err(|_| "it is not PEM text".to_owned())?;
        if text.contains("-----BEGIN ENCRYPTED") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err("the key is encrypted; decrypt it first, for example with `openssl pkey`".to_owned());
        }
        let wanted = "an ECDSA P-256 private key is expected; for a key of another kind make a certificate \
                      signing request with it and use --csr";
        let secret = if text.contains("-----BEGIN EC PRIVATE KEY-----") {
            let blocks = crate::certificate::pem::blocks(pem)?;
            let key = blocks.iter().find(|block| block.label == "EC PRIVATE KEY");
            SecretKey::from_sec1_der(key.map_or(&[][..], |block| &block.der)).map_err(|_| wanted)?
        } else {
            SecretKey::from_pkcs8_pem(text.trim_start()).map_err(|_| wanted)?
        };
        Ok(Self { secret })
    }

    /// PEM, PKCS#8.
    pub fn to_pem(&self) -> Zeroizing<String> {
        self.secret.to_pkcs8_pem(LineEnding::LF).expect("a P-256 key has a PKCS#8 form")
    }

    /// PEM SubjectPublicKeyInfo.
    pub fn public_key_pem(&self) -> String {
        self.secret.public_key().to_public_key_pem(LineEnding::LF).expect("a P-256 key has an SPKI form")
    }

    /// DER SubjectPublicKeyInfo.
    pub fn public_key_der(&self) -> Vec<u8> {
        self.secret.public_key().to_public_key_der().expect("a P-256 key has an SPKI form").into_vec()
    }

    /// ECDSA over SHA-256, DER, with the deterministic nonce of RFC 6979.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = EcdsaKey::from(&self.secret).sign(message);
        signature.to_der().as_bytes().to_vec()
    }
}
