//! An issuer's or a caller's keys with everything that a proper library refuses to do: raw RSA, any padding, any header.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::Decode as _;
use der::asn1::UintRef;
use num_bigint::BigUint;
use p256::pkcs8::PrivateKeyInfoRef;
use serde_json::{Value, json};

/// RSAPrivateKey (RFC 8017 §A.1.2).
#[derive(der::Sequence)]
struct RsaPrivateKey<'k> {
    version: u8,
    n: UintRef<'k>,
    e: UintRef<'k>,
    d: UintRef<'k>,
    p: UintRef<'k>,
    q: UintRef<'k>,
    dp: UintRef<'k>,
    dq: UintRef<'k>,
    qi: UintRef<'k>,
}

/// An RSA-2048 key whose exponent we hold, and a P-256 key.
pub struct Signer {
    n: BigUint,
    d: BigUint,
    pkcs1: Vec<u8>,
    ec: EcdsaKeyPair,
}

/// The octets of a block and of a signature.
const OCTETS: usize = 256;

impl Signer {
    pub fn new() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let pkcs8 = pair.as_der().expect("DER");
        let info = PrivateKeyInfoRef::try_from(pkcs8.as_ref()).expect("PKCS#8");
        let key = RsaPrivateKey::from_der(info.private_key.as_bytes()).expect("PKCS#1");
        let number = |it: &UintRef<'_>| BigUint::from_bytes_be(it.as_bytes());
        assert_eq!(
            (key.version, number(&key.e), number(&key.p) * number(&key.q)),
            (0, 65537u32.into(), number(&key.n))
        );
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self { n: number(&key.n), d: number(&key.d), pkcs1: pair.public_key().as_ref().to_vec(), ec }
    }

    /// PEM of the RSA key.
    pub fn rsa_pem(&self) -> String {
        pem::encode(&pem::Pem::new("RSA PUBLIC KEY", self.pkcs1.clone()))
    }

    /// Both keys, `rsa` and `ec`.
    pub fn key_set(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        json!({ "keys": [
            { "kty": "RSA", "kid": "rsa", "n": encode(self.n.to_bytes_be()), "e": "AQAB", "use": "sig" },
            { "kty": "EC", "crv": "P-256", "kid": "ec", "x": encode(&point[1..33]), "y": encode(&point[33..]) },
        ]})
    }

    /// The RSA operation on a block, without a word about its padding.
    pub fn raw(&self, block: &[u8]) -> Vec<u8> {
        let number = BigUint::from_bytes_be(block).modpow(&self.d, &self.n).to_bytes_be();
        [vec![0; OCTETS - number.len()], number].concat()
    }

    /// A proper RS256 signature.
    pub fn rs256(&self, message: &[u8]) -> Vec<u8> {
        self.raw(&blocks(message)[0].1)
    }

    /// A token with this header, signed with RS256 by the RSA key whatever the header says.
    pub fn token(&self, header: &Value, payload: &[u8]) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(payload));
        let signature = self.rs256(signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }
}

/// Blocks to sign for RS256 over a message: the only proper one first (RFC 8017 §9.2), then forgeries that a lax verifier takes.
pub fn blocks(message: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, message);
    let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, message);
    let info = |head: &str, hash: &[u8]| [hex::decode(head).expect("hex").as_slice(), hash].concat();
    let proper = info("3031300d060960864801650304020105000420", hash.as_ref());
    let padded = |kind: u8, filler: u8, info: &[u8]| {
        let filler = vec![filler; OCTETS - 3 - info.len()];
        [&[0, kind][..], &filler, &[0], info].concat()
    };
    let short = |info: &[u8]| {
        let head = [&[0, 1][..], &[0xff; 8], &[0], info].concat();
        [head.clone(), vec![0xaa; OCTETS - head.len()]].concat()
    };
    let long_form = info("308131300d060960864801650304020105000420", hash.as_ref());
    let junk_parameters = info("3039301506096086480165030402010408deadbeefdeadbeef0420", hash.as_ref());
    vec![
        ("proper", padded(1, 0xff, &proper)),
        ("CVE-2006-4339: octets after the hash", short(&proper)),
        ("CVE-2014-1568: a length in BER's long form", padded(1, 0xff, &long_form)),
        ("octets in the algorithm's parameters", padded(1, 0xff, &junk_parameters)),
        ("no parameters", padded(1, 0xff, &info("302f300b06096086480165030402010420", hash.as_ref()))),
        ("another hash", padded(1, 0xff, &info("3021300906052b0e03021a05000414", sha1.as_ref()))),
        ("the hash alone", padded(1, 0xff, hash.as_ref())),
        ("a block for encryption", padded(2, 0xff, &proper)),
        ("a block of type 0", padded(0, 0x00, &proper)),
        ("filler that is not FF", padded(1, 0xfe, &proper)),
    ]
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
