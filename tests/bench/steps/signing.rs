//! The steps of a log entry and of a timestamp, without HTTP and without the log.

use crate::logged;
use crate::setting::{Setting, now};
use aws_lc_rs::signature::Ed25519KeyPair;
use countersign::certificate::{Certificate, IssuedLately, TimestampChain};
use countersign::cli::signing_services::{log_request, timestamp_request};
use countersign::issuance::CaSigner as _;
use countersign::rekor::{Prepared, Request, Writers};
use countersign::server::environment::Environment;
use countersign::signer::TimestampKey;
use countersign::signer::ceremony::{NewCa, Options};
use countersign::timestamping::{Alone, DEFAULT_ACCURACY, DEFAULT_POLICY, Surroundings, TimestampAuthority};
use countersign::transparency::sha256;
use divan::Bencher;
use std::sync::Arc;

fn certificate(setting: &Setting) -> Certificate {
    let corresponding = logged(setting).prove_correspondence().unwrap();
    let signature = setting.wait(setting.signer.sign(corresponding.certificate_tbs())).unwrap();
    corresponding.into_certificate(&signature)
}

/// A job's request: a signature over a digest by the certificate's key.
fn request(setting: &Setting, certificate: &Certificate) -> String {
    let signature = setting.caller.signature(b"artifact");
    log_request(&sha256(b"artifact"), &signature, certificate.der()).to_string()
}

/// The same, its key made ready.
fn prepared(setting: &Setting, certificate: &Certificate) -> Prepared {
    Request::parse(request(setting, certificate).as_bytes()).unwrap().prepare().unwrap()
}

/// JSON to a request.
#[divan::bench]
fn s0_entry_parse(bencher: Bencher) {
    let setting = Setting::make();
    let request = request(&setting, &certificate(&setting));
    bencher.bench(|| Request::parse(request.as_bytes()).is_ok());
}

/// The certificate read, its key made ready.
#[divan::bench]
fn s1_entry_prepare(bencher: Bencher) {
    let setting = Setting::make();
    let request = request(&setting, &certificate(&setting));
    let parsed = || Request::parse(request.as_bytes()).unwrap();
    bencher.with_inputs(parsed).bench_values(|parsed| parsed.prepare().is_ok());
}

/// Whether our own CA has signed the certificate: lately, which it knows.
#[divan::bench]
fn s2_entry_admission_lately(bencher: Bencher) {
    let setting = Setting::make();
    let (certificate, lately) = (certificate(&setting), IssuedLately::default());
    lately.remember(&certificate);
    admission(bencher, &setting, &certificate, &lately);
}

/// The same of a certificate that it does not know any more: a P-256 verification.
#[divan::bench]
fn s2_entry_admission_later(bencher: Bencher) {
    let setting = Setting::make();
    let certificate = certificate(&setting);
    admission(bencher, &setting, &certificate, &IssuedLately::default());
}

fn admission(bencher: Bencher, setting: &Setting, certificate: &Certificate, lately: &IssuedLately) {
    let prepared = prepared(setting, certificate);
    let verifier = &prepared.verifiers()[0];
    assert!(Writers::Own.admit(verifier, &setting.chain, lately).is_ok());
    bencher.bench(|| Writers::Own.admit(verifier, &setting.chain, lately).is_ok());
}

/// Whether the signature is the key's, a P-256 verification; and the octets of the entry.
#[divan::bench]
fn s3_entry_verification(bencher: Bencher) {
    let setting = Setting::make();
    let prepared = prepared(&setting, &certificate(&setting));
    bencher.bench(|| prepared.verify().unwrap());
}

/// All of an entry's own work: JSON in, the octets of an entry out, and a signature under a checkpoint for it alone. The goal: 1.5 times
/// `z3` and `z4` together.
#[divan::bench]
fn s4_entry_all(bencher: Bencher) {
    let setting = Setting::make();
    let (certificate, lately) = (certificate(&setting), IssuedLately::default());
    lately.remember(&certificate);
    let request = request(&setting, &certificate);
    let log = Ed25519KeyPair::generate().unwrap();
    let text = vec![b'a'; 100];
    bencher.bench(|| {
        let prepared = Request::parse(divan::black_box(request.as_bytes())).unwrap().prepare().unwrap();
        Writers::Own.admit(&prepared.verifiers()[0], &setting.chain, &lately).unwrap();
        (prepared.verify().unwrap(), log.sign(divan::black_box(&text)))
    });
}

/// A timestamp, from its request in DER to the reply in DER. The goal: 1.5 times `z1`.
#[divan::bench]
fn t0_timestamp(bencher: Bencher) {
    let ca = NewCa::make(&Options::default(), now()).unwrap();
    let chain = TimestampChain::from_pem(ca.timestamps_chain().as_bytes()).unwrap();
    let key = TimestampKey::from_pem(ca.timestamps_key.as_bytes(), &chain).unwrap();
    let Environment { clock, stopwatch, random, .. } = Environment::system();
    let (signer, attested, observer) = (Arc::new(key), Arc::new(Alone), Arc::new(Alone));
    let around = Surroundings { signer, attested, clock, stopwatch, random, observer };
    let authority = TimestampAuthority::new(chain, DEFAULT_POLICY, DEFAULT_ACCURACY, around).unwrap();
    let request = timestamp_request(b"signature", &[0x40; 8]).unwrap();
    bencher.bench(|| authority.answer_der(&request).unwrap());
}

/// The bare signature under a checkpoint. The bare P-256 signature of a timestamp is `z1`, the bare verification of an entry `z3`.
#[divan::bench]
fn z4_bare_ed25519_signature(bencher: Bencher) {
    let key = Ed25519KeyPair::generate().unwrap();
    let text = vec![b'a'; 100];
    bencher.bench(|| key.sign(divan::black_box(&text)));
}
