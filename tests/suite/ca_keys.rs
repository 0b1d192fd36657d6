//! The CA's keys as other tools make and encrypt them, and the CA that lasts as long as its process.

use crate::support::{TestCa, TestCaBuilder};
use countersign::certificate::inspect::Inspected;
use countersign::certificate::{CaAlgorithm, CaChain};
use countersign::config::CaMaterial;
use countersign::server::environment::Environment;
use countersign::server::{Running, StartError};
use countersign::signer::{FileSigner, Password};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of every encrypted key below `tests/fixtures/ca_keys`.
const PASSWORD: &str = "correct horse";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ca_keys").join(name)
}

fn read(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn open(key: &str, chain: &str, password: Option<&str>) -> Result<FileSigner, String> {
    let chain = CaChain::from_pem(&read(chain)).unwrap();
    FileSigner::from_pem(&read(key), password.map(Password::new).as_ref(), &chain)
}

/// A CA that runs with this chain, key and password file.
fn with(chain: &str, key: &str, password: Option<&str>) -> TestCaBuilder {
    let (chain, key, password) = (read(chain), read(key), password.map(str::to_owned));
    TestCa::builder().configure(move |config| {
        let CaMaterial::Files { certificates, key: key_file, password_file } = &mut config.ca.material else {
            panic!("files")
        };
        fs::write(&certificates, chain).unwrap();
        fs::write(key_file, key).unwrap();
        if let Some(password) = password {
            let path = certificates.with_file_name("password");
            fs::write(&path, password).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            *password_file = Some(path);
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_algorithm_issues_what_openssl_accepts() {
    for (name, algorithm) in [
        ("p256", CaAlgorithm::EcdsaP256Sha256),
        ("p384", CaAlgorithm::EcdsaP384Sha384),
        ("p521", CaAlgorithm::EcdsaP521Sha512),
        ("rsa2048", CaAlgorithm::RsaSha256),
        ("rsa4096", CaAlgorithm::RsaSha256),
        ("ed25519", CaAlgorithm::Ed25519),
    ] {
        let chain = CaChain::from_pem(&read(&format!("{name}.chain.pem"))).unwrap();
        assert_eq!(chain.algorithm(), algorithm);
        let ca = with(&format!("{name}.chain.pem"), &format!("{name}.pkcs8.key"), None).start().await;
        let certificates = ca.issue().await;
        let leaf = Inspected::parse(certificates[0].as_bytes()).unwrap();
        leaf.verify_issued_by(&chain, ca_time(&ca)).unwrap_or_else(|error| panic!("{name}: {error}"));
        openssl_accepts(name, &ca, &certificates);
    }
}

fn ca_time(ca: &TestCa) -> countersign::environment::UnixMillis {
    use countersign::environment::Clock as _;
    ca.clock.now()
}

/// Where openssl is on the machine, it verifies the chain.
fn openssl_accepts(name: &str, ca: &TestCa, certificates: &[String]) {
    let file = |file: &str, pems: &[String]| {
        let path = ca.directory().join(file);
        fs::write(&path, pems.join("\n")).unwrap();
        path
    };
    let (leaf, rest) = certificates.split_first().unwrap();
    let (root, middle) = rest.split_last().unwrap();
    let mut command = Command::new("openssl");
    command.args(["verify", "-x509_strict", "-purpose", "any", "-CAfile"]);
    command.arg(file("root.pem", std::slice::from_ref(root)));
    if !middle.is_empty() {
        command.arg("-untrusted").arg(file("middle.pem", middle));
    }
    match command.arg(file("leaf.pem", std::slice::from_ref(leaf))).output() {
        Ok(output) => {
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Err(_) => eprintln!("skipped: openssl is not installed"),
    }
}

#[test]
fn every_form_of_a_key_is_read() {
    for name in ["p256", "p384", "p521", "rsa2048", "ed25519"] {
        let chain = format!("{name}.chain.pem");
        assert!(open(&format!("{name}.pkcs8.key"), &chain, None).is_ok(), "{name}");
        assert!(open(&format!("{name}.pkcs8.key"), &chain, Some("of no use")).is_ok(), "{name}");
        let key = format!("{name}.encrypted.key");
        assert!(open(&key, &chain, Some(PASSWORD)).is_ok(), "{name}");
        assert_eq!(
            open(&key, &chain, None).err().as_deref(),
            Some("it is encrypted, and there is no password for it")
        );
        for wrong in ["", "correct hors", "correct horse\n", "Correct horse"] {
            let refusal = open(&key, &chain, Some(wrong)).err().unwrap();
            assert!(refusal.contains("the password is wrong, or the key is damaged"), "{name}: {refusal}");
            assert!(wrong.is_empty() || !refusal.contains(wrong));
        }
    }
    // Other ciphers and functions that openssl and step have made keys with.
    for cipher in ["aes128-sha1", "aes192-sha256", "aes256-sha512", "des3-sha1", "scrypt"] {
        let opened = open(&format!("p256.{cipher}.key"), "p256.chain.pem", Some(PASSWORD));
        assert!(opened.is_ok(), "{cipher}: {:?}", opened.err());
    }
    assert!(open("p256.sec1.key", "p256.chain.pem", None).is_ok());
    assert!(open("p521.sec1.key", "p521.chain.pem", None).is_ok());
    assert!(open("rsa2048.pkcs1.key", "rsa2048.chain.pem", None).is_ok());
    let old = open("p256.old.key", "p256.chain.pem", Some(PASSWORD)).err().unwrap();
    assert!(old.contains("OpenSSL's old way") && old.contains("openssl pkcs8 -topk8"), "{old}");
    let pbes1 = open("p256.pbes1.key", "p256.chain.pem", Some(PASSWORD)).err().unwrap();
    assert!(pbes1.contains("not supported"), "{pbes1}");
}

#[test]
fn a_key_of_another_algorithm_or_another_ca_is_refused() {
    for (key, chain) in [("p384", "p256"), ("rsa2048", "p256"), ("p256", "rsa2048"), ("p256", "ed25519")] {
        let refusal = open(&format!("{key}.pkcs8.key"), &format!("{chain}.chain.pem"), None).err().unwrap();
        assert!(refusal.contains("not a sound private key for"), "{key} {chain}: {refusal}");
    }
    let refusal = open("rsa4096.pkcs8.key", "rsa2048.chain.pem", None).err().unwrap();
    assert!(refusal.contains("not the key of the CA's issuing certificate"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_key_needs_its_password_to_start_and_no_message_shows_one() {
    let chain = "p256.chain.pem";
    let ca = with(chain, "p256.encrypted.key", Some("correct horse\n")).start().await;
    ca.issue().await;
    let refused = async |password| {
        let refused = with(chain, "p256.encrypted.key", password).prepare().await.refused().await;
        let StartError::Configuration(message) = refused else { panic!("{refused}") };
        message
    };
    let missing = refused(None).await;
    assert!(missing.contains("ca.key: it is encrypted, and there is no password for it; name its file in"));
    assert!(missing.contains("COUNTERSIGN_CA_KEY_PASSWORD"), "{missing}");
    let wrong = refused(Some("battery staple")).await;
    assert!(wrong.contains("the password is wrong") && !wrong.contains("battery"), "{wrong}");
    assert!(refused(Some("")).await.contains("password file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_may_have_up_to_eight_certificates_and_no_more() {
    let ca = with("eight.chain.pem", "eight.key", None).start().await;
    let certificates = ca.issue().await;
    assert_eq!(certificates.len(), 9);
    openssl_accepts("eight", &ca, &certificates);
    assert!(CaChain::from_pem(&read("nine.chain.pem")).unwrap_err().to_string().contains("at most 8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_ca_issues_until_it_ends_and_is_another_one_then() {
    let ca = TestCa::builder().configure(|config| config.ca.material = CaMaterial::Ephemeral).start().await;
    let first = ca.issue().await;
    assert_eq!(first.len(), 3);
    let bundle = ca.get("/api/v2/trustBundle").await.json();
    let root = bundle["chains"][0]["certificates"][1].as_str().unwrap().trim_end().to_owned();
    assert_eq!(root, first[2]);
    let ca = ca.stop().await.start().await;
    let second = ca.issue().await;
    assert_ne!(first[2], second[2]);
    assert_eq!(ca.get("/ct/ct/v1/get-sth").await.json()["tree_size"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environments_password_goes_before_the_files() {
    let ca = with("p256.chain.pem", "p256.encrypted.key", Some("wrong")).prepare().await;
    let environment = Environment {
        clock: ca.clock.clone(),
        ca_key_password: Some(Password::new(PASSWORD)),
        ..Environment::system()
    };
    Running::start(ca.config.clone(), environment).await.unwrap().shut_down().await;

    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("ca");
    let countersign = || Command::new(env!("CARGO_BIN_EXE_countersign"));
    assert!(countersign().args(["init", place.to_str().unwrap()]).output().unwrap().status.success());
    fs::write(place.join("ca/chain.pem"), read("p256.chain.pem")).unwrap();
    fs::write(place.join("ca/key.pem"), read("p256.encrypted.key")).unwrap();
    let mut serve = countersign();
    serve.args(["serve", "--config", place.join("countersign.yaml").to_str().unwrap()]);
    let said = serve.env("COUNTERSIGN_CA_KEY_PASSWORD", "battery staple").output().unwrap();
    let message = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(78), "{message}");
    assert!(message.contains("the password is wrong") && !message.contains("battery"), "{message}");
}
