//! A private key that signs with one algorithm: ECDSA, RSA PKCS#1 v1.5 or Ed25519.

use super::key_file::PrivateKey;
use crate::certificate::{CaAlgorithm, verify_signature};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};

/// What a new key is tried on.
const TRIAL: &[u8] = b"countersign: a key is tried before it is used";

/// A key with what it signs with. aws-lc wipes its memory when it is dropped.
pub(super) struct SigningKey {
    pair: Pair,
    algorithm: CaAlgorithm,
    /// For ECDSA's nonces.
    random: SystemRandom,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Takes the key, which must be one for `algorithm`.
    pub(super) fn read(key: &PrivateKey, algorithm: CaAlgorithm) -> Result<Self, String> {
        let ecdsa = |curve: &'static EcdsaSigningAlgorithm| {
            EcdsaKeyPair::from_private_key_der(curve, &key.der).map(Pair::Ecdsa)
        };
        let pair = match algorithm {
            CaAlgorithm::EcdsaP256Sha256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            CaAlgorithm::EcdsaP384Sha384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            CaAlgorithm::EcdsaP521Sha512 => ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
            CaAlgorithm::RsaSha256 if key.is_pkcs8 => RsaKeyPair::from_pkcs8(&key.der).map(Pair::Rsa),
            CaAlgorithm::RsaSha256 => RsaKeyPair::from_der(&key.der).map(Pair::Rsa),
            // Files have the seed alone as a rule (RFC 8410 §7); the certificate's key is compared below.
            CaAlgorithm::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&key.der).map(Pair::Ed25519),
        };
        let pair = pair.map_err(|_| format!("it is not a sound private key for {algorithm}"))?;
        #[expect(clippy::disallowed_methods, reason = "ECDSA's nonce is the signer's own business")]
        let random = SystemRandom::new();
        Ok(Self { pair, algorithm, random })
    }

    /// The public key's octets: for ECDSA the uncompressed point (SEC 1 §2.3.3).
    pub(super) fn public_key(&self) -> &[u8] {
        match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_ref(),
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    /// The signature over `message` as certificates carry it: DER for ECDSA.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let failed = |_| "signing failed".to_owned();
        match &self.pair {
            Pair::Ecdsa(pair) => {
                let signature = pair.sign(&self.random, message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// Signs something and verifies it with a DER SubjectPublicKeyInfo: it is the key's own, and the key works.
    pub(super) fn matches(&self, spki: &[u8]) -> bool {
        let verifies = |signature: Vec<u8>| {
            verify_signature(spki, self.algorithm.identifier(), TRIAL, &signature).is_ok()
        };
        self.sign(TRIAL).is_ok_and(verifies)
    }
}
