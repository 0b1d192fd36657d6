//! What each step of a certificate costs, one by one: `cargo bench --bench steps`, so that a regression names its place.
//!
//! `cargo bench --bench steps -- token` runs those whose name holds it. They follow the table in `src/lib.rs`. Everything is the
//! program's own code with a request as GitLab's jobs send it; the bare operations of the cryptography stand beside it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    clippy::disallowed_methods,
    missing_docs,
    reason = "it runs on a bench"
)]

#[path = "../../suite/support/key.rs"]
#[allow(dead_code, reason = "of the suite's keys only these are needed here")]
mod key;
mod log;
mod setting;
mod signing;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
};
use countersign::api::message::SigningRequest;
use countersign::certificate::{LoggedPrecertificate, Precertificate, Template};
use countersign::issuance::{Admission, CaSigner as _};
use countersign::possession::Possession;
use countersign::token::{Claims, KeySet, UnverifiedToken};
use divan::Bencher;
use divan::counter::BytesCount;
use setting::{LIFETIME, Setting, now};
use std::sync::Arc;

fn main() {
    divan::main();
}

/// The request's body, as JSON.
#[divan::bench]
fn a0_body_parse(bencher: Bencher) {
    let setting = Setting::make();
    let body = setting.body.as_bytes();
    bencher.counter(BytesCount::of_slice(body)).bench(|| SigningRequest::parse(body).is_ok());
}

/// Parsing of the text, and of the claims in it.
#[divan::bench]
fn a1_token_parse(bencher: Bencher) {
    let setting = Setting::make();
    bencher
        .counter(BytesCount::of_str(&setting.token))
        .bench(|| UnverifiedToken::parse(&setting.token).is_ok());
}

/// The claims alone.
#[divan::bench]
fn a2_claims_parse(bencher: Bencher) {
    let setting = Setting::make();
    let claims = setting.claims.to_string();
    bencher.counter(BytesCount::of_str(&claims)).bench(|| Claims::parse(claims.as_bytes()).is_ok());
}

/// The signature and the times.
#[divan::bench]
fn a3_token_verify(bencher: Bencher) {
    let setting = Setting::make();
    bencher
        .with_inputs(|| UnverifiedToken::parse(&setting.token).unwrap())
        .bench_values(|token| token.verify(&setting.keys, &setting.expected(), now()).is_ok());
}

/// An issuer's key set: once for each fetch, not for each certificate.
#[divan::bench]
fn a4_key_set_parse(bencher: Bencher) {
    let setting = Setting::make();
    bencher.bench(|| KeySet::parse(setting.key_set.as_bytes()).is_ok());
}

/// The allow-list, the audience, and what the claims make of the certificate.
#[divan::bench]
fn b1_identity(bencher: Bencher) {
    let setting = Setting::make();
    let token = setting.verified();
    bencher.bench(|| {
        let issuer = setting.issuers.find(setting.issuer()).unwrap();
        issuer.entry_for(&token).unwrap().kind.principal(&issuer.url, &token).is_ok()
    });
}

/// A place, and giving it back.
#[divan::bench]
fn b2_admission(bencher: Bencher) {
    let setting = Setting::make();
    let admission = Admission::new(setting.machine.stopwatch.clone(), setting.machine.random.clone());
    let issuer: Arc<str> = setting.issuer().into();
    bencher.bench(|| {
        let sharer = admission.sharer(issuer.clone(), &issuer, "my-group/my-project");
        admission.is_full().and_then(|()| admission.foresee(&sharer)).unwrap();
        admission.admit(sharer).unwrap().finish();
    });
}

/// The caller's key: parsed, found sound, and its proof verified.
#[divan::bench]
fn c1_possession(bencher: Bencher) {
    let setting = Setting::make();
    let challenge = setting.claims["sub"].as_str().unwrap();
    bencher.bench(|| {
        let (key, proof) = (setting.key.as_bytes(), &setting.proof[..]);
        Possession::PublicKey { key, proof }.prove(challenge).is_ok()
    });
}

/// The operator's rules, of which there are none, or ten: the last one holds.
#[divan::bench(args = [0, 10])]
fn c2_policy(bencher: Bencher, rules: usize) {
    let setting = Setting::make();
    let policy = setting::policy(rules);
    let token = setting.verified();
    let issuer = setting.issuers.find(setting.issuer()).unwrap();
    let entry = issuer.entry_for(&token).unwrap();
    bencher.with_inputs(|| setting.authorization.principal().clone()).bench_values(|principal| {
        let (ruled, _) = policy.authorize(&issuer.url, entry, principal, &token, &setting.proven);
        assert!(ruled.allowed);
    });
}

/// Every octet of the certificate but the CT slot and the signature.
#[divan::bench]
fn d1_template(bencher: Bencher) {
    let setting = Setting::make();
    bencher.bench(|| template(&setting));
}

/// The CA's signature over it. There are two of them in a certificate.
#[divan::bench]
fn d2_ca_signature(bencher: Bencher) {
    let setting = Setting::make();
    let template = template(&setting);
    bencher.bench(|| setting.wait(setting.signer.sign(template.precertificate_tbs())).unwrap());
}

/// The precertificate around the signature.
#[divan::bench]
fn d3_precertificate(bencher: Bencher) {
    let setting = Setting::make();
    bencher
        .with_inputs(|| {
            let template = template(&setting);
            let signature = setting.wait(setting.signer.sign(template.precertificate_tbs())).unwrap();
            (template, signature)
        })
        .bench_values(|(template, signature)| template.into_precertificate(&signature));
}

/// Proving that certificate and precertificate correspond, octet for octet.
#[divan::bench]
fn d4_correspondence(bencher: Bencher) {
    let setting = Setting::make();
    bencher.with_inputs(|| logged(&setting)).bench_values(|logged| logged.prove_correspondence().is_ok());
}

/// The certificate as PEM.
#[divan::bench]
fn e1_certificate_pem(bencher: Bencher) {
    let setting = Setting::make();
    let corresponding = logged(&setting).prove_correspondence().unwrap();
    let signature = setting.wait(setting.signer.sign(corresponding.certificate_tbs())).unwrap();
    let certificate = corresponding.into_certificate(&signature);
    bencher.counter(BytesCount::of_slice(certificate.der())).bench(|| certificate.pem());
}

/// The bare signature, of what a TBSCertificate has in octets: the floor of `d2` and of the SCT.
#[divan::bench]
fn z1_bare_p256_signature(bencher: Bencher) {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let (random, message) = (SystemRandom::new(), vec![0x5a; 1500]);
    bencher.bench(|| key.sign(&random, divan::black_box(&message)).unwrap());
}

/// The bare RSA verification of a token: the floor of `a3`.
#[divan::bench]
fn z2_bare_rsa_verification(bencher: Bencher) {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let (token, mut signature) = (vec![b'a'; 2000], vec![0; key.public_modulus_len()]);
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &token, &mut signature).unwrap();
    let public = key.public_key().as_der().unwrap();
    let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.as_ref()).unwrap();
    bencher.bench(|| public.verify_sig(divan::black_box(&token), &signature).is_ok());
}

/// The bare verification of a proof: the floor of `c1`.
#[divan::bench]
fn z3_bare_p256_verification(bencher: Bencher) {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let proof = vec![b'b'; 60];
    let signature = key.sign(&SystemRandom::new(), &proof).unwrap();
    let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref()).unwrap();
    bencher.bench(|| public.verify_sig(divan::black_box(&proof), signature.as_ref()).is_ok());
}

fn template(setting: &Setting) -> Template {
    let machine = &setting.machine;
    Template::new(&setting.chain, &setting.authorization, &setting.proven, LIFETIME, now(), &*machine.random)
        .unwrap()
}

fn precertificate(setting: &Setting) -> Precertificate {
    let template = template(setting);
    let signature = setting.wait(setting.signer.sign(template.precertificate_tbs())).unwrap();
    template.into_precertificate(&signature)
}

fn logged(setting: &Setting) -> LoggedPrecertificate {
    precertificate(setting).logged(log::sct().to_bytes())
}
