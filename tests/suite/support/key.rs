//! A caller's key.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// An ECDSA P-256 key.
pub struct TestKey(EcdsaKeyPair);

impl TestKey {
    /// A fresh one.
    pub fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"))
    }

    /// PEM of its SubjectPublicKeyInfo.
    pub fn pem(&self) -> String {
        let point = self.0.public_key().as_ref();
        // RFC 5480 §2: SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING point }
        let head = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").expect("hex");
        pem::encode(&pem::Pem::new("PUBLIC KEY", [&head[..], point].concat()))
    }

    /// Base64 of its signature over the challenge.
    #[expect(clippy::disallowed_methods, reason = "the nonce of a caller's own signature")]
    pub fn proof(&self, challenge: &str) -> String {
        let signature = self.0.sign(&SystemRandom::new(), challenge.as_bytes()).expect("a signature");
        BASE64_STANDARD.encode(signature)
    }

    /// DER of its SubjectPublicKeyInfo.
    pub fn spki(&self) -> Vec<u8> {
        pem::parse(self.pem()).expect("PEM").contents().to_vec()
    }

    /// Its signature over a message, DER.
    #[expect(clippy::disallowed_methods, reason = "the nonce of a caller's own signature")]
    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec()
    }

    /// A v2 request without credentials.
    pub fn request(&self, challenge: &str) -> Value {
        json!({ "publicKeyRequest": {
            "publicKey": { "algorithm": "ECDSA", "content": self.pem() },
            "proofOfPossession": self.proof(challenge),
        }})
    }
}

/// Base64 of the PEM of a CSR by a fresh P-256 key.
pub fn csr() -> String {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let csr = rcgen::CertificateParams::default().serialize_request(&key).expect("a CSR");
    BASE64_STANDARD.encode(csr.pem().expect("PEM"))
}
