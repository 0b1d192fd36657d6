//! `config check` and the keys: what a start would refuse of them is told before it.

use crate::support::secrets;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// What `init` makes, twice: the second for keys that are not the first one's.
struct Made {
    directory: TempDir,
}

impl Made {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        for name in ["own", "other"] {
            let path = directory.path().join(name).display().to_string();
            let made = countersign(&[
                "init",
                &path,
                "--listen",
                "127.0.0.1:0",
                "--public-url",
                "http://127.0.0.1:5555",
            ]);
            assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
        }
        Self { directory }
    }

    fn own(&self, file: &str) -> PathBuf {
        self.directory.path().join("own").join(file)
    }

    /// The other CA's file in place of the own one.
    fn mix(&self, file: &str, others: &str) {
        fs::copy(self.directory.path().join("other").join(others), self.own(file)).expect("copied");
    }

    fn append(&self, more: &str) {
        let file = self.own("countersign.yaml");
        let text = fs::read_to_string(&file).expect("there");
        fs::write(file, text + more).expect("written");
    }

    /// The line of the configuration that begins so, behind the line that begins with `after`.
    fn line(&self, after: &str, begins: &str) -> usize {
        let text = fs::read_to_string(self.own("countersign.yaml")).expect("there");
        let mut lines = text.lines().enumerate().skip_while(|(_, line)| !line.starts_with(after));
        lines.find(|(_, line)| line.trim_start().starts_with(begins)).expect("a line").0 + 1
    }

    fn check(&self, more: &[&str]) -> Output {
        countersign(
            &[&["config", "check", &self.own("countersign.yaml").display().to_string()], more].concat(),
        )
    }

    /// The exit code and the keys at fault.
    fn faults(&self) -> (Option<i32>, Vec<String>) {
        let output = self.check(&["--json"]);
        let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
        let errors = document["errors"].as_array().expect("a list").iter();
        (output.status.code(), errors.map(|it| it["key"].as_str().expect("a key").to_owned()).collect())
    }
}

fn countersign(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    let output = command.args(arguments).env_remove("COUNTERSIGN_CA_KEY_PASSWORD").output();
    let output = output.expect("the binary runs");
    secrets::check("the binary", &[&output.stdout[..], &output.stderr].concat());
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is text")
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).expect("copied");
}

#[test]
fn keys_of_others_are_told_all_at_once_and_by_serve_too() {
    let made = Made::new();
    assert_eq!(made.faults(), (Some(0), vec![]));
    made.mix("ca/chain.pem", "ca/chain.pem");
    made.mix("timestamps/key.pem", "timestamps/key.pem");
    copy(&made.own("ca/root-key.pem"), &made.own("log/key.pem"));
    copy(&made.own("ca/key.pem"), &made.own("log/signatures.pem"));
    let told = made.check(&[]);
    let said = text(&told.stderr);
    assert_eq!(told.status.code(), Some(78), "{said}");
    let name = made.own("countersign.yaml").display().to_string();
    for (line, words) in [
        (made.line("ca:", "key:"), "ca.signer.file.key: key file "),
        (made.line("log:", "key:"), "log.key: key file "),
        (made.line("timestamps:", "key:"), "timestamps.key: key file "),
    ] {
        assert!(said.contains(&format!("{name}:{line}: {words}")), "{words}: {said}");
    }
    assert!(said.contains("it is not the key of the CA's issuing certificate"), "{said}");
    let served = countersign(&["serve", "--config", &name]);
    assert_eq!(served.status.code(), Some(78), "{}", text(&served.stderr));

    // With the chain that belongs to it the CA's key is known, and no log may have the same.
    for (key, file) in [("log.key", "log/key.pem"), ("signature_log.key", "log/signatures.pem")] {
        let made = Made::new();
        copy(&made.own("ca/key.pem"), &made.own(file));
        assert_eq!(made.faults(), (Some(78), vec![key.to_owned()]));
        // Its certificate says whose it is, whatever is wrong with the key that should belong to it.
        made.mix("ca/key.pem", "ca/key.pem");
        assert_eq!(made.faults(), (Some(78), vec!["ca.signer.file.key".to_owned(), key.to_owned()]));
        copy(&made.own(file), &made.own("ca/key.pem"));
        let name = made.own("countersign.yaml").display().to_string();
        let served = text(&countersign(&["serve", "--config", &name]).stderr);
        assert!(served.contains(&format!("{key}: it is ")), "{served}");
    }
}

#[test]
fn tls_and_the_broker_are_looked_at_too() {
    let made = Made::new();
    copy(&made.own("ca/key.pem"), &made.own("broker.key"));
    for file in ["one.token", "two.token"] {
        copy(&made.own("ca/key.pem"), &made.own(file));
        fs::write(made.own(file), "glpat-the-same\n").expect("written");
    }
    made.append(
        "\ntls: { certificate: ca/chain.pem, key: timestamps/key.pem }\n\
         broker:\n  audience: broker\n  seal_key: broker.key\n  targets:\n    \
         - { name: one, url: https://gitlab.com, type: saas, token: { file: one.token } }\n    \
         - { name: two, url: https://gitlab.com, type: saas, token: { file: two.token } }\n  \
         roles:\n    - { name: ci, target: one, kind: project, path: '{project_path}', scopes: [read_api], \
         access_level: reporter, ttl: 5m, when: claims.project_path == \"acme/app\" }\n",
    );
    let file = made.own("countersign.yaml");
    let with_tls =
        fs::read_to_string(&file).expect("there").replace("http://127.0.0.1:5555", "https://127.0.0.1:5555");
    fs::write(&file, with_tls).expect("written");
    let said = text(&made.check(&[]).stderr);
    let expected = ["broker.seal_key", "broker.targets", "tls"].map(str::to_owned).to_vec();
    let (code, mut keys) = made.faults();
    keys.sort();
    assert_eq!((code, keys), (Some(78), expected), "{said}");
    assert!(said.contains("two: token: is the credential of target one too"), "{said}");
}

#[test]
fn a_key_that_cannot_be_opened_here_is_a_warning() {
    let made = Made::new();
    copy(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/certificate/encrypted.key")),
        &made.own("encrypted.key"),
    );
    fs::write(made.own("ca/key.pem"), fs::read(made.own("encrypted.key")).expect("there")).expect("written");
    let output = made.check(&[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("warning: ") && said.contains("it is encrypted, and there is no password"),
        "{said}"
    );
    fs::remove_file(made.own("log/key.pem")).expect("removed");
    assert_eq!(made.check(&[]).status.code(), Some(78));
    assert_eq!(made.check(&["--ignore-missing-files"]).status.code(), Some(0));
}
