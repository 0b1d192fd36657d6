//! Keys: the issuers' for tokens, and the callers' with their proofs and requests.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// A key that can sign.
pub enum Key {
    P256(p256::ecdsa::SigningKey),
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
    /// A public key of a kind that nobody takes, PEM.
    Public(&'static str),
}

/// The key of this name, made once.
pub fn key(name: &str) -> Arc<Key> {
    static KEYS: LazyLock<Mutex<HashMap<String, Arc<Key>>>> = LazyLock::new(Mutex::default);
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    keys.entry(name.to_owned()).or_insert_with(|| Arc::new(Key::make(name))).clone()
}

impl Key {
    #[expect(clippy::disallowed_methods, reason = "callers and issuers have keys of their own")]
    fn make(name: &str) -> Self {
        let rsa = |size| Self::Rsa(RsaKeyPair::generate(size).expect("a key"));
        let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm| {
            Self::Ecdsa(EcdsaKeyPair::generate(algorithm).expect("a key"))
        };
        match name {
            "p256" | "p256-other" => {
                let mut scalar = [0; 32];
                aws_lc_rs::rand::fill(&mut scalar[1..]).expect("random bytes");
                Self::P256(p256::ecdsa::SigningKey::from_slice(&scalar).expect("below the order"))
            }
            "p256-issuer" => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            "p384" => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            "p521" => ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
            "p521-issuer" => ecdsa(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            "ed25519" | "ed25519-issuer" => Self::Ed25519(Ed25519KeyPair::generate().expect("a key")),
            "rsa" | "rsa-second" | "rsa2048" => rsa(KeySize::Rsa2048),
            "rsa3072" => rsa(KeySize::Rsa3072),
            "rsa4096" => rsa(KeySize::Rsa4096),
            "rsa2047" => Self::Public(include_str!("../../fixtures/keys/rsa-2047.pem")),
            "rsa2056" => Self::Public(include_str!("../../fixtures/keys/rsa-2056.pem")),
            "rsa2048-e3" => Self::Public(include_str!("../../fixtures/keys/rsa-e-3.pem")),
            "p224" => Self::Public(include_str!("../../fixtures/keys/p224.pem")),
            "k256" => Self::Public(include_str!("../../fixtures/keys/k256.pem")),
            "ed448" => Self::Public(include_str!("../../fixtures/keys/ed448.pem")),
            "dsa" => Self::Public(include_str!("../../fixtures/keys/dsa.pem")),
            other => panic!("no key of the kind {other}"),
        }
    }

    /// DER SubjectPublicKeyInfo.
    fn spki(&self) -> Vec<u8> {
        match self {
            Self::P256(key) => {
                // RFC 5480 §2: SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING point }
                let head = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").expect("hex");
                [&head[..], key.verifying_key().to_sec1_point(false).as_bytes()].concat()
            }
            Self::Ecdsa(key) => spki(key.public_key()),
            Self::Rsa(key) => spki(key.public_key()),
            Self::Ed25519(key) => spki(key.public_key()),
            Self::Public(text) => pem::parse(text).expect("PEM").into_contents(),
        }
    }

    /// The public key in one of the forms that callers send.
    pub fn public(&self, form: &str) -> Vec<u8> {
        let encoded = |label: &str| pem_text(label, &self.spki());
        let Self::Rsa(rsa) = self else {
            return match form {
                "pem" => encoded("PUBLIC KEY").into_bytes(),
                "der" => self.spki(),
                "der-base64" => BASE64_STANDARD.encode(self.spki()).into_bytes(),
                "pem-crlf" => encoded("PUBLIC KEY").replace('\n', "\r\n").into_bytes(),
                "pem-trailing-text" => format!("{}trailing text\n", encoded("PUBLIC KEY")).into_bytes(),
                "pem-twice" => encoded("PUBLIC KEY").repeat(2).into_bytes(),
                "pem-label-ec" => encoded("EC PUBLIC KEY").into_bytes(),
                "pem-label-certificate" => encoded("CERTIFICATE").into_bytes(),
                "pem-headers" => {
                    encoded("PUBLIC KEY").replacen("-----\n", "-----\nProc-Type: 4\n\n", 1).into_bytes()
                }
                other => panic!("no form {other}"),
            };
        };
        let pkcs1 = rsa.public_key().as_ref();
        match form {
            "pem" => encoded("PUBLIC KEY").into_bytes(),
            "der" => self.spki(),
            "pkcs1" => pem_text("RSA PUBLIC KEY", pkcs1).into_bytes(),
            "pkcs1-der" => pkcs1.to_vec(),
            other => panic!("no form {other}"),
        }
    }

    /// A proof over the challenge: with the key's own hash, or as `how` says.
    #[expect(clippy::disallowed_methods, reason = "the nonce of a caller's own signature")]
    pub fn proof(&self, challenge: &str, how: &Value) -> Vec<u8> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let message = challenge.as_bytes();
        match self {
            Self::P256(key) => {
                let algorithm = match how["hash"].as_str() {
                    Some("sha512") => &aws_lc_rs::digest::SHA512,
                    _ => &aws_lc_rs::digest::SHA256,
                };
                let digest = aws_lc_rs::digest::digest(algorithm, message);
                let signature: p256::ecdsa::Signature =
                    key.sign_prehash(digest.as_ref()).expect("a signature");
                match how["scheme"].as_str() {
                    Some("raw") => signature.to_bytes().to_vec(),
                    _ => signature.to_der().as_bytes().to_vec(),
                }
            }
            Self::Ecdsa(key) => key.sign(&random, message).expect("a signature").as_ref().to_vec(),
            Self::Rsa(key) => {
                let encoding: &'static dyn RsaEncoding = match how["hash"].as_str() {
                    Some("sha512") => &signature::RSA_PKCS1_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                rsa_signature(key, encoding, message)
            }
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Public(_) => vec![0; 64],
        }
    }

    /// A JWS signature, whatever the header says.
    #[expect(clippy::disallowed_methods, reason = "the nonce of an issuer's own signature")]
    pub fn token_signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        match (self, algorithm) {
            (_, "HS256") => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, &self.public("pem"));
                hmac::sign(&secret, message).as_ref().to_vec()
            }
            (Self::Rsa(key), algorithm) => {
                let encoding: &'static dyn RsaEncoding = match algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                rsa_signature(key, encoding, message)
            }
            (Self::Ecdsa(key), _) => key.sign(&random, message).expect("a signature").as_ref().to_vec(),
            (Self::Ed25519(key), _) => key.sign(message).as_ref().to_vec(),
            _ => panic!("no issuer has this key"),
        }
    }

    /// The JWK without `kid`, `alg` and `use`, and its natural algorithm.
    pub fn jwk(&self) -> (Value, &'static str) {
        let text = |octets: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(octets);
        match self {
            Self::Rsa(key) => {
                let public = key.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                let number = |octets: &[u8]| text(octets);
                let jwk = json!({ "kty": "RSA", "n": number(n.big_endian_without_leading_zero()),
                    "e": number(e.big_endian_without_leading_zero()) });
                (jwk, "RS256")
            }
            Self::Ecdsa(key) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let (curve, algorithm) = if x.len() == 32 { ("P-256", "ES256") } else { ("P-521", "ES512") };
                (json!({ "kty": "EC", "crv": curve, "x": text(x), "y": text(y) }), algorithm)
            }
            Self::Ed25519(key) => {
                (json!({ "kty": "OKP", "crv": "Ed25519", "x": text(key.public_key().as_ref()) }), "EdDSA")
            }
            Self::P256(_) | Self::Public(_) => panic!("no issuer has this key"),
        }
    }
}

/// PEM of a signing request, or its DER.
pub fn csr(key: &str, how: &Value) -> Vec<u8> {
    if let Some(text) = how["text"].as_str() {
        return text.as_bytes().to_vec();
    }
    let fixture = match (key, how["hash"].as_str(), how["scheme"].as_str()) {
        ("p256", Some("sha384"), _) => include_str!("../../fixtures/csr/p256-sha384.pem"),
        ("p256", Some("sha512"), _) => include_str!("../../fixtures/csr/p256-sha512.pem"),
        ("p256", ..) => include_str!("../../fixtures/csr/p256-sha256.pem"),
        ("p384", Some("sha256"), _) => include_str!("../../fixtures/csr/p384-sha256.pem"),
        ("p384", ..) => include_str!("../../fixtures/csr/p384-sha384.pem"),
        ("rsa2048", _, Some("pss")) => include_str!("../../fixtures/csr/rsa2048-pss.pem"),
        ("rsa2048", ..) => include_str!("../../fixtures/csr/rsa2048-sha256.pem"),
        ("k256", ..) => include_str!("../../fixtures/csr/k256.pem"),
        ("p224", ..) => include_str!("../../fixtures/csr/p224.pem"),
        other => panic!("no request {other:?}"),
    };
    let mut der = pem::parse(fixture).expect("PEM").into_contents();
    if let Some(subject) = how["subject"].as_str() {
        let names = vec![how["san"].as_str().expect("a name").to_owned()];
        let mut params = rcgen::CertificateParams::new(names).expect("names");
        params.distinguished_name.push(rcgen::DnType::CommonName, subject);
        let key = rcgen::KeyPair::generate().expect("a key");
        der = params.serialize_request(&key).expect("a request").der().to_vec();
    }
    if how["flip"] == true {
        *der.last_mut().expect("octets") ^= 1;
    }
    match how["form"].as_str() {
        Some("der") => der,
        _ => pem_text(how["label"].as_str().unwrap_or("CERTIFICATE REQUEST"), &der).into_bytes(),
    }
}

fn spki(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Vec<u8> {
    key.as_der().expect("DER").as_ref().to_vec()
}

fn pem_text(label: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, der), config)
}

#[expect(clippy::disallowed_methods, reason = "the salt of somebody's own signature")]
fn rsa_signature(key: &RsaKeyPair, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    let random = aws_lc_rs::rand::SystemRandom::new();
    key.sign(encoding, &random, message, &mut signature).expect("a signature");
    signature
}
