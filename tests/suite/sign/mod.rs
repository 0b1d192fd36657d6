//! `countersign sign`, run as a job runs it: what it writes verifies, and what does not verify it never writes.

mod between;
mod extensions;

use crate::cli_user::{Ended, World};
use crate::support::secrets;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use between::{Kept, Service, Told, Upstream};
use countersign::bundle::trust_material::{SIGNING_CONFIG, TRUSTED_ROOT};
use countersign::certificate::TimestampChain;
use countersign::cli::trust;
use countersign::environment::{Clock, Stopwatch, UnixMillis};
use countersign::server::environment::Environment;
use countersign::signer::TimestampKey;
use countersign::timestamping::{Alone, DEFAULT_ACCURACY, DEFAULT_POLICY, Surroundings, TimestampAuthority};
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

const PREDICATE_TYPE: &str = "https://example.com/predicate/v1";

/// A world with an artifact, a token and the trust material.
fn world() -> World {
    let world = World::new();
    world.token(|_| {});
    fs::write(world.path("artifact"), "what was built\n").unwrap();
    for file in trust::load(&world.config).unwrap().files() {
        fs::write(world.path(file.name), file.octets).unwrap();
    }
    world
}

/// `sign artifact --bundle BUNDLE` with the token and the trusted root, and more.
fn sign(world: &World, bundle: &str, more: &[&str]) -> Ended {
    let common =
        ["sign", "artifact", "--bundle", bundle, "--token-file", "token", "--trusted-root", TRUSTED_ROOT];
    world.run(&[&common, more].concat())
}

/// By a signing config.
const CONFIGURED: [&str; 2] = ["--signing-config", SIGNING_CONFIG];

/// By services at these URLs, tried once.
fn at<'u>(ca: &'u str, log: &'u str) -> [&'u str; 6] {
    ["--url", ca, "--log-url", log, "--retries", "0"]
}

fn verify(world: &World, bundle: &str, artifact: &str) -> Ended {
    world.run(&[
        "verify",
        "--json",
        "--bundle",
        bundle,
        "--trusted-root",
        TRUSTED_ROOT,
        "--certificate-identity",
        &world.identity(),
        "--certificate-oidc-issuer",
        world.gitlab.url(),
        artifact,
    ])
}

/// Refused, in these words, and nothing is left behind.
fn assert_refused(world: &World, ended: &Ended, words: &str) {
    assert_eq!(ended.code, 1, "{words}: {}{}", ended.out, ended.err);
    assert!(ended.err.contains(words), "{words}: {}", ended.err);
    assert_eq!(ended.out, "", "{words}");
    let mut names: Vec<_> = fs::read_dir(world.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let left =
        ["artifact", "ca", "client_trust_config.json", "log.pem", SIGNING_CONFIG, "token", TRUSTED_ROOT];
    assert_eq!(names, left, "{words}");
}

#[test]
fn files_and_statements_are_signed_with_a_key_that_nobody_keeps() {
    let world = world();
    let url = world.url();
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "artifact", "digest": { "sha256": hex::encode(countersign::transparency::sha256(b"what was built\n")) } }],
        "predicateType": PREDICATE_TYPE,
        "predicate": { "made": "elsewhere" },
    });
    fs::write(world.path("statement.json"), statement.to_string()).unwrap();
    fs::write(world.path("predicate.json"), r#"{"builder":"a job"}"#).unwrap();
    let attestation = [
        "--attestation",
        "--predicate-type",
        PREDICATE_TYPE,
        "--predicate",
        "predicate.json",
        "--url",
        &url,
        "--log-url",
        &url,
    ];
    for (bundle, more, predicate) in [
        ("message", &CONFIGURED[..], None),
        ("attestation", &attestation, Some("a job")),
        ("without-predicate", &attestation[..3], Some("{}")),
    ] {
        let more = if more.len() == 3 { [more, &CONFIGURED].concat() } else { more.to_vec() };
        let ended = sign(&world, bundle, &more);
        assert_eq!(ended.code, 0, "{bundle}: {}", ended.err);
        assert!(ended.out.contains(&world.identity()), "{}", ended.out);
        let written = fs::read_to_string(world.path(bundle)).unwrap();
        secrets::check("a bundle", written.as_bytes());
        let document: Value = serde_json::from_str(&written).unwrap();
        let material = &document["verificationMaterial"];
        assert_eq!(document["mediaType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
        assert_eq!(material["tlogEntries"].as_array().unwrap().len(), 1);
        assert_eq!(material["timestampVerificationData"]["rfc3161Timestamps"].as_array().unwrap().len(), 1);
        if let Some(words) = predicate {
            let payload = document["dsseEnvelope"]["payload"].as_str().unwrap();
            let payload = String::from_utf8(BASE64_STANDARD.decode(payload).unwrap()).unwrap();
            assert!(payload.contains(words) && payload.contains(PREDICATE_TYPE), "{payload}");
        }
        let verified = verify(&world, bundle, "artifact");
        assert_eq!((verified.code, &verified.json()["verified"]), (0, &json!(true)), "{}", verified.err);
        assert_eq!(
            verified.json()["predicate_type"],
            predicate.map_or(json!(null), |_| json!(PREDICATE_TYPE))
        );
        assert_eq!(verify(&world, bundle, "token").code, 1, "another file");
    }
    // A statement that is given whole is signed as it stands.
    let common = [
        "sign",
        "statement.json",
        "--statement",
        "--bundle",
        "given",
        "--token-file",
        "token",
        "--trusted-root",
        TRUSTED_ROOT,
    ];
    let ended = world.run(&[&common[..], &CONFIGURED, &["--json"]].concat());
    assert_eq!(ended.code, 0, "{}", ended.out);
    assert_eq!(
        (&ended.json()["bundle"], &ended.json()["predicate_type"]),
        (&json!("given"), &json!(PREDICATE_TYPE))
    );
    assert_eq!(verify(&world, "given", "artifact").code, 0);
    // One that nobody could verify is refused before anybody is asked for anything.
    let mut statement = statement;
    statement["subject"][0]["digest"] = json!({ "sha512": "00" });
    fs::write(world.path("statement.json"), statement.to_string()).unwrap();
    let nobody = "http://127.0.0.1:9";
    let nowhere = ["--force", "--url", nobody, "--log-url", nobody, "--retries", "0"];
    let ended = world.run(&[&common[..], &nowhere].concat());
    assert!(ended.code == 1 && ended.err.contains("SHA-256"), "{}", ended.err);

    let before = fs::read(world.path("message")).unwrap();
    let again = sign(&world, "message", &CONFIGURED);
    assert!(again.code == 1 && again.err.contains("--force"), "{}", again.err);
    assert_eq!(fs::read(world.path("message")).unwrap(), before);
    let forced = sign(&world, "message", &[&CONFIGURED[..], &["--force"]].concat());
    assert_eq!(forced.code, 0, "{}", forced.err);
    let certificate = |bundle: &[u8]| {
        let bundle: Value = serde_json::from_slice(bundle).unwrap();
        bundle["verificationMaterial"]["certificate"]["rawBytes"].clone()
    };
    let after = fs::read(world.path("message")).unwrap();
    assert_ne!(certificate(&after), certificate(&before), "each signature has a key of its own");
}

#[test]
fn whoever_is_refused_or_finds_nobody_gets_no_bundle() {
    let mut world = world();
    let url = world.url();
    let nobody = "http://127.0.0.1:9";
    let services = at(&url, &url);
    let busy = |which: fn(&Service) -> bool| {
        let rule = move |service: Service, request: Upstream| async move {
            if which(&service) { Told::busy(503) } else { request.ask().await }
        };
        world.runtime.block_on(between::start(url.clone(), rule))
    };
    let [busy_ca, busy_authority, busy_log] = [
        busy(|it| matches!(it, Service::Ca)),
        busy(|it| matches!(it, Service::Timestamps)),
        busy(|it| matches!(it, Service::Log)),
    ];
    let busy_authority = format!("{busy_authority}/api/v1/timestamp");
    let no_authority = format!("{nobody}/api/v1/timestamp");
    let cases: [(&[&str], &str); 6] = [
        (&at(&busy_ca, &url), "too busy"),
        (&at(nobody, &url), "cannot connect"),
        (&at(&url, &busy_log), "the signature log refused (503): too busy"),
        (&at(&url, nobody), "cannot connect"),
        (
            &[&services[..], &["--timestamp-url", &busy_authority]].concat(),
            "the timestamp authority refused (503)",
        ),
        (&[&services[..], &["--timestamp-url", &no_authority]].concat(), "cannot connect"),
    ];
    for (more, words) in cases {
        assert_refused(&world, &sign(&world, "bundle", more), words);
    }
    world.token(|claims| claims["aud"] = json!("vault"));
    assert_refused(&world, &sign(&world, "bundle", &services), "TOKEN_AUDIENCE");
    fs::write(world.path("token"), "no token").unwrap();
    assert_refused(&world, &sign(&world, "bundle", &services), "no JSON Web Token");
    world.token(|_| {});
    world.stop();
    assert_refused(&world, &sign(&world, "bundle", &services), "cannot connect");
}

#[test]
fn services_that_are_busy_for_a_while_are_asked_again() {
    let world = world();
    let asked = Arc::new(AtomicUsize::new(0));
    let rule = {
        let asked = asked.clone();
        move |_: Service, request: Upstream| {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            // The first three times nobody gets anything, whichever service it is.
            async move { if number < 3 { Told::busy(503) } else { request.ask().await } }
        }
    };
    let between = world.runtime.block_on(between::start(world.url(), rule));
    let ended = sign(&world, "bundle", &["--url", &between, "--log-url", &between]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(ended.err.matches("trying again").count(), 3, "{}", ended.err);
    assert_eq!(asked.load(Ordering::SeqCst), 6);
    assert_eq!(verify(&world, "bundle", "artifact").code, 0);
}

/// If they were asked one after the other, the CA would wait for a request that never comes.
#[test]
fn the_timestamp_is_asked_for_while_the_ca_still_works() {
    let world = world();
    let stamped = Arc::new(Notify::new());
    let rule = move |service: Service, request: Upstream| {
        let stamped = stamped.clone();
        async move {
            match service {
                Service::Ca => stamped.notified().await,
                Service::Timestamps => stamped.notify_one(),
                Service::Log => {}
            }
            request.ask().await
        }
    };
    let between = world.runtime.block_on(between::start(world.url(), rule));
    let ended = sign(&world, "bundle", &at(&between, &between));
    assert_eq!(ended.code, 0, "{}", ended.err);
}

/// A clock that stands still, and its stopwatch with it.
struct Set(AtomicU64);

impl Clock for Set {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

impl Stopwatch for Set {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// The world's timestamp authority, with another clock.
fn authority(world: &World, clock: Arc<Set>) -> TimestampAuthority {
    let directory = world.path("ca/timestamps");
    let chain = TimestampChain::from_pem(&fs::read(directory.join("chain.pem")).unwrap()).unwrap();
    let key = TimestampKey::open(&directory.join("key.pem"), &chain).unwrap();
    let (stopwatch, random) = (clock.clone(), Environment::system().random);
    let (signer, attested, observer) = (Arc::new(key), Arc::new(Alone), Arc::new(Alone));
    let around = Surroundings { signer, attested, clock, stopwatch, random, observer };
    TimestampAuthority::new(chain, DEFAULT_POLICY, DEFAULT_ACCURACY, around).unwrap()
}

#[test]
fn a_timestamp_of_the_second_before_the_certificate_is_asked_for_again_and_one_of_another_minute_refused() {
    let world = world();
    let url = world.url();
    for every in [false, true] {
        let (asked, now) = (Arc::new(AtomicUsize::new(0)), Environment::system().clock.now().0);
        // Two seconds back: before the certificate's first; or a minute, every time.
        let clock = Arc::new(Set(AtomicU64::new(now - if every { 60_000 } else { 2_000 })));
        let early = Arc::new(authority(&world, clock));
        let counted = asked.clone();
        let rule = move |service: Service, request: Upstream| {
            let (early, counted) = (early.clone(), counted.clone());
            async move {
                match service {
                    Service::Timestamps if counted.fetch_add(1, Ordering::SeqCst) == 0 || every => {
                        let body = early.answer_der(&request.sent()).unwrap();
                        Told { status: 200, retry_after: None, body }
                    }
                    _ => request.ask().await,
                }
            }
        };
        let between = world.runtime.block_on(between::start(url.clone(), rule));
        let authority = format!("{between}/api/v1/timestamp");
        let ended = sign(&world, "bundle", &[&at(&url, &url)[..], &["--timestamp-url", &authority]].concat());
        if every {
            assert_refused(&world, &ended, "no bundle was written");
        } else {
            assert_eq!((ended.code, asked.load(Ordering::SeqCst)), (0, 2), "{}", ended.err);
            fs::remove_file(world.path("bundle")).unwrap();
        }
    }
}

/// How an answer is changed.
type Change = fn(&mut Value);

#[test]
fn answers_that_do_not_verify_are_refused_before_anything_is_written() {
    let world = world();
    let stranger = World::new();
    let (url, theirs) = (world.url(), stranger.url());
    // An entry before, so that there is a path to break; and answers to be told again.
    let kept = Kept::default();
    let keeping = {
        let kept = kept.clone();
        move |service: Service, request: Upstream| {
            let kept = kept.clone();
            async move {
                let told = request.ask().await;
                kept.keep(&service, &told);
                told
            }
        }
    };
    let between = world.runtime.block_on(between::start(url.clone(), keeping));
    assert_eq!(sign(&world, "bundle", &at(&between, &between)).code, 0);
    fs::remove_file(world.path("bundle")).unwrap();

    let entry: [(Change, &str); 6] = [
        (|it| it["inclusionProof"]["hashes"][0] = json!(BASE64_STANDARD.encode([7; 32])), "inclusion proof"),
        (|it| it["inclusionProof"]["rootHash"] = json!(BASE64_STANDARD.encode([7; 32])), "inclusion proof"),
        (|it| it["logIndex"] = json!("0"), "inclusion proof"),
        (|it| it["logId"]["keyId"] = json!(BASE64_STANDARD.encode([7; 32])), "log entry"),
        (|it| it["canonicalizedBody"] = json!("e30="), "log entry"),
        (|it| it["inclusionProof"] = json!(null), "inclusion proof"),
    ];
    for (change, words) in entry {
        let rule = move |_: Service, request: Upstream| async move {
            let mut told = request.ask().await;
            let mut document: Value = serde_json::from_slice(&told.body).unwrap();
            change(&mut document);
            told.body = document.to_string().into_bytes();
            told
        };
        let log = world.runtime.block_on(between::start(url.clone(), rule));
        let ended = sign(&world, "bundle", &at(&url, &log));
        assert_refused(&world, &ended, words);
        assert!(ended.err.contains("no bundle was written"), "{}", ended.err);
    }
    // Their checkpoint under our entry; and what was the answer to another job.
    let foreign = stranger.runtime.block_on(async {
        let url = format!("{theirs}/api/v2/checkpoint");
        reqwest::get(url).await.unwrap().text().await.unwrap()
    });
    let swapped = move |_: Service, request: Upstream| {
        let foreign = foreign.clone();
        async move {
            let mut told = request.ask().await;
            let mut document: Value = serde_json::from_slice(&told.body).unwrap();
            document["inclusionProof"]["checkpoint"]["envelope"] = json!(foreign);
            told.body = document.to_string().into_bytes();
            told
        }
    };
    let swapped = world.runtime.block_on(between::start(url.clone(), swapped));
    assert_refused(&world, &sign(&world, "bundle", &at(&url, &swapped)), "checkpoint");
    let again = move |service: Service, _: Upstream| {
        let body = kept.first(&service).unwrap();
        async move { Told { status: 200, retry_after: None, body } }
    };
    let again = world.runtime.block_on(between::start(url.clone(), again));
    assert_refused(&world, &sign(&world, "bundle", &at(&url, &again)), "log entry");
    let real = format!("{url}/api/v1/timestamp");
    let anothers = [&at(&again, &url)[..], &["--timestamp-url", &real]].concat();
    assert_refused(&world, &sign(&world, "bundle", &anothers), "the signature log refused (400)");
    let authority = format!("{again}/api/v1/timestamp");
    let stamped = [&at(&url, &url)[..], &["--timestamp-url", &authority]].concat();
    assert_refused(&world, &sign(&world, "bundle", &stamped), "imprint");
    // Services of somebody else, each as it is.
    let authority = format!("{theirs}/api/v1/timestamp");
    let stamped = [&at(&url, &url)[..], &["--timestamp-url", &authority]].concat();
    assert_refused(&world, &sign(&world, "bundle", &stamped), "no trusted timestamp authority");
    assert_refused(&world, &sign(&world, "bundle", &at(&url, &theirs)), "the signature log refused (403)");
    assert_refused(&world, &sign(&world, "bundle", &at(&theirs, &url)), "the CA refused");
    // Answers that are none.
    for body in [&b""[..], b"<html>", b"[]", b"{}"] {
        let rule = move |_: Service, _: Upstream| async move {
            Told { status: 200, retry_after: None, body: body.to_vec() }
        };
        let nonsense = world.runtime.block_on(between::start(url.clone(), rule));
        let authority = format!("{nonsense}/api/v1/timestamp");
        let stamped = [&at(&url, &url)[..], &["--timestamp-url", &authority]].concat();
        for more in [&at(&nonsense, &url)[..], &at(&url, &nonsense), &stamped] {
            assert_refused(&world, &sign(&world, "bundle", more), &nonsense);
        }
    }
}

/// A certificate of the trusted CA, promised by a log that is not trusted, or in nobody's window.
#[test]
fn a_certificate_that_no_trusted_log_has_promised_is_refused() {
    let world = world();
    let whole: Value = serde_json::from_slice(&fs::read(world.path(TRUSTED_ROOT)).unwrap()).unwrap();
    let stranger: Value = {
        let stranger = World::new();
        serde_json::from_slice(&trust::load(&stranger.config).unwrap().files()[0].octets).unwrap()
    };
    for (list, words) in [
        ("ctlogs", "no trusted certificate log gave one"),
        ("certificateAuthorities", "certificate"),
        ("tlogs", "log entry"),
        ("timestampAuthorities", "timestamp"),
    ] {
        let mut root = whole.clone();
        root[list] = stranger[list].clone();
        fs::write(world.path(TRUSTED_ROOT), root.to_string()).unwrap();
        assert_refused(&world, &sign(&world, "bundle", &CONFIGURED), words);
    }
}
