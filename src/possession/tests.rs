use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self as lc, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use std::path::Path;

const CHALLENGE: &str = "project_path:acme/widgets:ref_type:branch:ref:main";

#[expect(clippy::disallowed_methods, reason = "test keys are drawn by chance")]
fn rng() -> SystemRandom {
    SystemRandom::new()
}

fn fixture(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)).unwrap()
}

fn pem_of(label: &str, der: &[u8]) -> Vec<u8> {
    pem::encode(&pem::Pem::new(label, der)).into_bytes()
}

/// A SubjectPublicKeyInfo from an algorithm's DER and a key's octets, both short enough for one-octet arithmetic here.
fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    use der::asn1::BitStringRef;
    use der::{Decode, Encode};
    let algorithm = x509_cert::spki::AlgorithmIdentifierRef::from_der(algorithm).unwrap();
    let subject_public_key = BitStringRef::from_bytes(key).unwrap();
    x509_cert::spki::SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der().unwrap()
}

struct EcKey {
    pair: EcdsaKeyPair,
    pem: Vec<u8>,
}

impl EcKey {
    fn new(signing: &'static EcdsaSigningAlgorithm, algorithm: &str) -> Self {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let pem = pem_of("PUBLIC KEY", &spki(&hex::decode(algorithm).unwrap(), pair.public_key().as_ref()));
        Self { pair, pem }
    }

    fn p256(signing: &'static EcdsaSigningAlgorithm) -> Self {
        Self::new(signing, "301306072a8648ce3d020106082a8648ce3d030107")
    }

    fn sign(&self, message: &str) -> Vec<u8> {
        self.pair.sign(&rng(), message.as_bytes()).unwrap().as_ref().to_vec()
    }
}

fn prove(key: &[u8], proof: &[u8]) -> Result<ProvenKey, Refusal> {
    Possession::PublicKey { key, proof }.prove(CHALLENGE)
}

fn reason<T>(result: Result<T, Refusal>) -> Option<Reason> {
    result.err().map(|refusal| refusal.reason())
}

#[test]
fn ecdsa_keys_prove_themselves_with_their_own_hash_in_der_and_as_r_and_s() {
    let p384 = "301006072a8648ce3d020106052b81040022";
    let p521 = "301006072a8648ce3d020106052b81040023";
    for key in [
        EcKey::p256(&lc::ECDSA_P256_SHA256_ASN1_SIGNING),
        EcKey::p256(&lc::ECDSA_P256_SHA256_FIXED_SIGNING),
        EcKey::new(&lc::ECDSA_P384_SHA384_ASN1_SIGNING, p384),
        EcKey::new(&lc::ECDSA_P384_SHA384_FIXED_SIGNING, p384),
        EcKey::new(&lc::ECDSA_P521_SHA512_ASN1_SIGNING, p521),
        EcKey::new(&lc::ECDSA_P521_SHA512_FIXED_SIGNING, p521),
    ] {
        let proven = prove(&key.pem, &key.sign(CHALLENGE)).unwrap();
        assert!(proven.spki_der().ends_with(key.pair.public_key().as_ref()));
        assert_eq!(proven.subject_public_key(), key.pair.public_key().as_ref());
        assert_eq!(reason(prove(&key.pem, &key.sign("another subject"))), Some(Reason::ProofInvalid));
        assert_eq!(reason(prove(&key.pem, b"")), Some(Reason::ProofInvalid));
    }
    let sha512 = EcKey::new(&lc::ECDSA_P521_SHA256_ASN1_SIGNING, p521);
    assert_eq!(reason(prove(&sha512.pem, &sha512.sign(CHALLENGE))), Some(Reason::ProofInvalid));
}

#[test]
fn rsa_keys_prove_themselves_with_pkcs1_and_sha256_alone() {
    for size in [KeySize::Rsa2048, KeySize::Rsa3072] {
        let pair = RsaKeyPair::generate(size).unwrap();
        let pkcs1 = pair.public_key().as_ref().to_vec();
        let spki = spki(&hex::decode("300d06092a864886f70d0101010500").unwrap(), &pkcs1);
        let sign = |encoding: &'static dyn lc::RsaEncoding| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &rng(), CHALLENGE.as_bytes(), &mut signature).unwrap();
            signature
        };
        let proof = sign(&lc::RSA_PKCS1_SHA256);
        let from_spki = prove(&pem_of("PUBLIC KEY", &spki), &proof).unwrap();
        let from_pkcs1 = prove(&pem_of("RSA PUBLIC KEY", &pkcs1), &proof).unwrap();
        assert_eq!(from_spki.spki_der(), spki);
        assert_eq!(from_pkcs1.spki_der(), spki);
        for other in [sign(&lc::RSA_PKCS1_SHA512), sign(&lc::RSA_PSS_SHA256)] {
            assert_eq!(reason(prove(&pem_of("PUBLIC KEY", &spki), &other)), Some(Reason::ProofInvalid));
        }
    }
}

#[test]
fn ed25519_keys_prove_themselves() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let pem =
        pem_of("PUBLIC KEY", &spki(&hex::decode("300506032b6570").unwrap(), pair.public_key().as_ref()));
    prove(&pem, pair.sign(CHALLENGE.as_bytes()).as_ref()).unwrap();
    assert_eq!(reason(prove(&pem, pair.sign(b"eve").as_ref())), Some(Reason::ProofInvalid));
}

#[test]
fn weak_and_foreign_keys_are_refused_before_their_proof_is_looked_at() {
    let cases = [
        ("brainpool", Reason::KeyUnparsable),
        ("dsa", Reason::KeyInsecure),
        ("ed25519-31-octets", Reason::KeyUnparsable),
        ("ed25519-neutral", Reason::ProofInvalid),
        ("ed25519-zeros", Reason::ProofInvalid),
        ("ed448", Reason::KeyUnparsable),
        ("k256", Reason::KeyUnparsable),
        ("p224", Reason::KeyInsecure),
        ("p256-compressed", Reason::KeyUnparsable),
        ("p256-explicit", Reason::KeyUnparsable),
        ("p256-off-curve", Reason::KeyUnparsable),
        ("rsa-1024", Reason::KeyInsecure),
        ("rsa-2047", Reason::KeyInsecure),
        ("rsa-2056", Reason::KeyInsecure),
        ("rsa-close-primes", Reason::KeyInsecure),
        ("rsa-e-2-32-plus-1", Reason::KeyInsecure),
        ("rsa-e-3", Reason::KeyInsecure),
        ("rsa-e-65539", Reason::KeyInsecure),
        ("rsa-factor-751", Reason::KeyInsecure),
        ("rsa-primes-2-200-apart", Reason::KeyInsecure),
        ("rsa-roca", Reason::KeyInsecure),
        ("x25519", Reason::KeyInsecure),
    ];
    for (name, expected) in cases {
        let refusal = prove(&fixture(&format!("keys/{name}.pem")), &[0; 64]).unwrap_err();
        assert_eq!(refusal.reason(), expected, "{name}");
    }
    let said = |name: &str| prove(&fixture(&format!("keys/{name}.pem")), b"").unwrap_err().to_string();
    assert!(said("rsa-roca").contains("ROCA"));
    assert!(said("rsa-close-primes").contains("too close"));
    assert!(said("rsa-factor-751").contains("small factor"));
}

#[test]
fn every_point_of_small_order_is_refused_whatever_its_spelling() {
    // RFC 7748 and RFC 8032 leave room for these fourteen spellings.
    for y in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ] {
        for sign in [0, 0x80] {
            let mut key = hex::decode(y).unwrap();
            key[31] |= sign;
            let pem = pem_of("PUBLIC KEY", &spki(&hex::decode("300506032b6570").unwrap(), &key));
            // With A of small order, R = identity and S = 0 satisfy the equation for many messages.
            let mut forged = [0; 64];
            forged[0] = 1;
            assert!(prove(&pem, &forged).is_err(), "{y}");
        }
    }
}

#[test]
fn pem_is_read_as_people_write_it_and_der_of_a_public_key_too() {
    let key = EcKey::p256(&lc::ECDSA_P256_SHA256_ASN1_SIGNING);
    let proof = key.sign(CHALLENGE);
    let pem = String::from_utf8(key.pem.clone()).unwrap();
    let der = pem::parse(&pem).unwrap().into_contents();
    let one_line =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", BASE64_STANDARD.encode(&der));
    for text in [pem.clone(), pem.replace("\r\n", "\n"), one_line, format!("a note\n{pem}and more\n")] {
        prove(text.as_bytes(), &proof).unwrap();
    }
    prove(&der, &proof).unwrap();
    let base64 = BASE64_STANDARD.encode(&der);
    let trailing = [&der[..], &[0]].concat();
    let pkcs1 = hex::decode("3006020101020103").unwrap();
    for text in [&trailing[..], &pkcs1, b"0", base64.as_bytes(), b"-----BEGIN PUBLIC KEY-----", b"\xff\xfe"] {
        assert_eq!(reason(prove(text, &proof)), Some(Reason::KeyUnparsable));
    }
    for label in ["EC PUBLIC KEY", "CERTIFICATE", "PRIVATE KEY"] {
        assert_eq!(reason(prove(&pem_of(label, &der), &proof)), Some(Reason::KeyUnparsable));
    }
    assert_eq!(reason(prove(b"", &proof)), Some(Reason::KeyMissing));
    assert_eq!(reason(prove(&vec![b'-'; 1 << 20], &proof)), Some(Reason::KeyUnparsable));
    assert_eq!(reason(prove(&pem_of("PUBLIC KEY", &trailing), &proof)), Some(Reason::KeyUnparsable));
}

#[test]
fn signing_requests_prove_their_key_with_sha2_alone() {
    let cases = [
        ("ed25519", Ok(KeyKind::Ed25519)),
        ("k256", Err(Reason::CsrUnparsable)),
        ("p224", Err(Reason::KeyInsecure)),
        ("p256-empty-subject", Ok(KeyKind::P256)),
        ("p256-sha1", Err(Reason::CsrAlgorithmNotPermitted)),
        ("p256-sha224", Err(Reason::CsrAlgorithmNotPermitted)),
        ("p256-sha256", Ok(KeyKind::P256)),
        ("p256-sha384", Ok(KeyKind::P256)),
        ("p256-sha512", Ok(KeyKind::P256)),
        ("p384-sha256", Ok(KeyKind::P384)),
        ("p384-sha384", Ok(KeyKind::P384)),
        ("p521-sha512", Ok(KeyKind::P521)),
        ("rsa2048-pss", Err(Reason::CsrAlgorithmNotPermitted)),
        ("rsa2048-sha256", Ok(KeyKind::Rsa)),
    ];
    for (name, expected) in cases {
        let request = fixture(&format!("csr/{name}.pem"));
        let proven = Possession::Csr(&request).prove("is not used").map(|key| key.kind());
        assert_eq!(proven.map_err(|refusal| refusal.reason()), expected, "{name}");
    }
}

#[test]
fn a_signing_request_that_was_changed_proves_nothing() {
    let request = pem::parse(fixture("csr/p256-sha256.pem")).unwrap().into_contents();
    for position in [20, request.len() - 1] {
        let mut changed = request.clone();
        changed[position] ^= 1;
        let refused = Possession::Csr(&pem_of("CERTIFICATE REQUEST", &changed)).prove("").unwrap_err();
        assert!(matches!(refused.reason(), Reason::ProofInvalid | Reason::CsrUnparsable), "{refused}");
    }
    for text in [&request[..], b"invalid", b"", &pem_of("CERTIFICATE", &request)] {
        assert_eq!(reason(Possession::Csr(text).prove("")), Some(Reason::CsrUnparsable));
    }
}

#[test]
fn a_wrong_proof_is_told_in_the_words_of_the_one_that_was_sent() {
    let (key, other) =
        (EcKey::p256(&lc::ECDSA_P256_SHA256_ASN1_SIGNING), pem::parse(fixture("csr/p256-sha256.pem")));
    let told = |refusal: Refusal| {
        assert_eq!(refusal.reason(), Reason::ProofInvalid);
        refusal.to_string()
    };
    let challenge = told(prove(&key.pem, &key.sign("another subject")).unwrap_err());
    assert!(challenge.contains("the token's subject") && !challenge.contains("request"), "{challenge}");
    let mut request = other.unwrap().into_contents();
    *request.last_mut().unwrap() ^= 1;
    let csr = told(Possession::Csr(&pem_of("CERTIFICATE REQUEST", &request)).prove(CHALLENGE).unwrap_err());
    assert!(csr.contains("signing request must be signed") && !csr.contains("subject"), "{csr}");
}

#[test]
fn no_debug_output_shows_a_key() {
    let key = EcKey::p256(&lc::ECDSA_P256_SHA256_ASN1_SIGNING);
    let proven = prove(&key.pem, &key.sign(CHALLENGE)).unwrap();
    assert_eq!(format!("{proven:?}"), "ProvenKey { key: PublicKey(P256) }");
}

proptest! {
    #[test]
    fn nothing_that_is_sent_panics(key: Vec<u8>, proof: Vec<u8>, position: prop::sample::Index, byte: u8) {
        let _ = prove(&key, &proof);
        let _ = prove(&pem_of("PUBLIC KEY", &key), &proof);
        let _ = prove(&pem_of("RSA PUBLIC KEY", &key), &proof);
        let _ = Possession::Csr(&pem_of("CERTIFICATE REQUEST", &key)).prove("");
        for name in ["csr/p256-sha256.pem", "csr/rsa2048-sha256.pem", "csr/ed25519.pem"] {
            let mut request = pem::parse(fixture(name)).unwrap().into_contents();
            let position = position.index(request.len());
            request[position] = byte;
            let _ = Possession::Csr(&pem_of("CERTIFICATE REQUEST", &request)).prove("");
        }
    }
}
