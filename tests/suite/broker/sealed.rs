//! `token: sealed`: a main credential that `countersign broker seal-token` has put into the store.

use super::{ROLES, World, broker_of};
use crate::support::gitlab::MakeBelieve;
use crate::support::{Answer, StoppedCa, TestCa, TestClock, secrets};
use countersign::config::Config;
use countersign::server::environment::Environment;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A broker that was never started, and the file that its operator has.
struct Sealed {
    gitlab: MakeBelieve,
    stopped: StoppedCa,
    directory: TempDir,
}

fn private(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    path
}

impl Sealed {
    /// `more`: other keys of the target.
    async fn new(more: &str) -> Self {
        let clock = TestClock::at(Environment::system().clock.now());
        let gitlab = MakeBelieve::start(clock).await;
        gitlab.project("my-group/my-project");
        let directory = tempfile::tempdir().expect("a directory");
        private(directory.path(), "broker.key", &"1f".repeat(32));
        broker_of(&gitlab, &directory, ROLES, "  seal_key: broker.key\n");
        let file = directory.path().join("countersign.yaml");
        let text = fs::read_to_string(&file).expect("text");
        let sealed = text.replace("token: { file: gitlab.token }", &format!("token: sealed{more}"));
        assert_ne!(sealed, text);
        fs::write(&file, sealed).expect("a file");
        fs::remove_file(directory.path().join("gitlab.token")).expect("it was there");
        let (Config { broker, issuers, data, .. }, _) =
            Config::load(&file).unwrap_or_else(|errors| panic!("{errors}"));
        let ca = TestCa::builder().configure(move |config| {
            (config.broker, config.issuers, config.data) = (broker, issuers, data);
        });
        Self { gitlab, stopped: ca.prepare().await, directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn seal(&self, more: &[&str], input: &str) -> (i32, String) {
        seal(self.path(), more, input)
    }

    async fn start(self) -> (World, TempDir) {
        let Self { gitlab, stopped, directory } = self;
        let other = tempfile::tempdir().expect("a directory");
        (World { gitlab, ca: stopped.start().await, _directory: other }, directory)
    }

    async fn of(world: World, directory: TempDir) -> Self {
        let (gitlab, stopped, _) = world.stop().await;
        Self { gitlab, stopped, directory }
    }
}

fn command(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(arguments).current_dir(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the binary runs");
    // A command that wants none of it may be gone.
    let _ = process.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = process.wait_with_output().expect("it ends");
    secrets::check("seal-token", &[&output.stdout[..], &output.stderr].concat());
    output
}

/// How it ends, and what it says.
fn seal(directory: &Path, more: &[&str], input: &str) -> (i32, String) {
    let arguments = ["broker", "seal-token", "--config", "countersign.yaml", "--target", "gitlab"];
    let output = command(directory, &[&arguments, more].concat(), input);
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().expect("a code"), String::from_utf8(said).expect("text"))
}

fn sha256(text: &str) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
}

async fn configured(world: &World) -> Value {
    world.ca.get_admin("/v1/targets").await.json()["targets"][0]["configured_credential_sha256"].clone()
}

/// Every octet below a directory.
fn octets(directory: &Path) -> Vec<u8> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| if path.is_dir() { octets(&path) } else { fs::read(path).expect("a file") })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_sealed_in_the_store_makes_tokens() {
    let sealed = Sealed::new("").await;
    let first = sealed.gitlab.credential().to_owned();
    secrets::note(first.as_bytes());
    // The configuration is what it should be; that there is nothing in the store is told at the start, with the way out.
    let checked = command(sealed.path(), &["config", "check", "countersign.yaml"], "");
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stderr));
    let refused = sealed.stopped.refused().await.to_string();
    assert!(refused.contains("broker seal-token") && refused.contains("--target gitlab"), "{refused}");
    let (code, said) = sealed.seal(&[], &format!("{first}\n"));
    assert_eq!(
        (code, said.contains(&sha256(&first)), said.contains("in place of")),
        (0, true, false),
        "{said}"
    );
    let kept = octets(&sealed.stopped.config.data);
    assert!(!kept.windows(first.len()).any(|part| part == first.as_bytes()), "it is in the clear");

    let (world, directory) = sealed.start().await;
    assert_eq!(configured(&world).await, sha256(&first));
    world.tag().await;
    world.revoke_all().await;
    // A server that runs has the store, and uses what it has.
    let second = world.gitlab.credential_of(world.gitlab.administrator("second"), &["api"], None);
    private(directory.path(), "new", &second);
    let (code, said) = seal(directory.path(), &["--token-file", "new"], "");
    let told = format!("is in use by process {}", std::process::id());
    assert!(code == 1 && said.contains(&told) && said.contains("stop the server"), "{code}: {said}");
    assert_eq!(configured(&world).await, sha256(&first));

    // Another one takes its place, durably, and neither is revoked for it.
    let sealed = Sealed::of(world, directory).await;
    let (code, said) = sealed.seal(&["--token-file", "new"], "");
    assert!(code == 0 && said.contains(&format!("in place of {}", sha256(&first))), "{said}");
    let (world, _directory) = sealed.start().await;
    assert_eq!(configured(&world).await, sha256(&second));
    world.tag().await;
    world.revoke_all().await;
    assert!(world.gitlab.opens(&first) && world.gitlab.opens(&second));
}

/// What the broker has made of a sealed credential counts until the operator seals another: as of one in a file.
#[tokio::test(flavor = "multi_thread")]
async fn another_sealed_credential_goes_before_what_rotation_made_of_the_first() {
    let sealed = Sealed::new("\n      rotate: { method: create }").await;
    let first = sealed.gitlab.credential().to_owned();
    let second = sealed.gitlab.credential_of(sealed.gitlab.administrator("second"), &["api"], None);
    assert_eq!(sealed.seal(&[], &first).0, 0);
    let (world, directory) = sealed.start().await;
    let rotated = Answer::of(world.ca.http.post(world.ca.admin_url("/v1/targets/gitlab/rotate"))).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    assert!(!world.gitlab.opens(&first) && world.live().len() == 1, "{:?}", world.live());
    // It is what a restart finds, though the sealed one is dead.
    let sealed = Sealed::of(world, directory).await;
    let (world, directory) = sealed.start().await;
    world.tag().await;
    let sealed = Sealed::of(world, directory).await;
    assert_eq!(sealed.seal(&[], &second).0, 0);
    let (world, _directory) = sealed.start().await;
    world.revoke_all().await;
    assert!(world.gitlab.opens(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_is_of_its_target_url_and_key_alone() {
    let mut sealed = Sealed::new("").await;
    let credential = sealed.gitlab.credential().to_owned();
    assert_eq!(sealed.seal(&[], &credential).0, 0);
    let (broker, directory) = (sealed.stopped.config.broker.clone(), sealed.path().to_owned());
    let mut refused = async |change: &dyn Fn(&mut countersign::config::BrokerConfig)| {
        let mut changed = broker.clone().expect("there is one");
        change(&mut changed);
        sealed.stopped.config.broker = Some(changed);
        sealed.stopped.refused().await.to_string()
    };
    let elsewhere = refused(&|broker| broker.targets[0].url = "http://127.0.0.1:9".to_owned()).await;
    assert!(elsewhere.contains("none for this target at http://127.0.0.1:9"), "{elsewhere}");
    let renamed = refused(&|broker| broker.targets[0].name = "other".to_owned()).await;
    assert!(renamed.contains("seal-token") && renamed.contains("--target other"), "{renamed}");
    let key = private(&directory, "broker.key", &"2e".repeat(32));
    let other_key = refused(&|broker| broker.seal_key = Some(key.clone())).await;
    assert!(other_key.contains("sealed with another key") && other_key.contains("seal-token"), "{other_key}");
    // With the new key a token is sealed anew.
    let (code, said) = sealed.seal(&[], &credential);
    assert!(code == 0 && said.contains("in place of one that was sealed with another key"), "{said}");
    sealed.stopped.config.broker = broker;
    let (world, _directory) = sealed.start().await;
    world.tag().await;
    world.revoke_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_is_not_sealed_and_not_repeated() {
    let sealed = Sealed::new("").await;
    let long = "glpat-".repeat(200);
    for (input, why) in [
        ("", "is no token"),
        ("\n", "is no token"),
        ("glpat-one glpat-two", "is no token"),
        ("glpat-one\nglpat-two\n", "is no token"),
        ("glpat-\u{e9}", "is no token"),
        (&*long, "larger than 1 KiB"),
    ] {
        let (code, said) = sealed.seal(&[], input);
        assert!(code == 1 && said.contains(why) && !said.contains("glpat"), "{input:.20}: {code} {said}");
    }
    let (code, said) = sealed.seal(&["--token-file", "nowhere"], "");
    assert!(code == 1 && said.contains("nowhere"), "{said}");
    let arguments = ["broker", "seal-token", "--config", "countersign.yaml", "--target"];
    let other = command(sealed.path(), &[&arguments[..], &["other"]].concat(), "glpat-x");
    assert_eq!(other.status.code(), Some(2));
    assert!(sealed.stopped.refused().await.to_string().contains("seal-token"), "nothing was written");
    let (code, said) = sealed.seal(&["--json"], "glpat-x");
    let document: Value = serde_json::from_str(&said).expect("a document");
    assert_eq!(
        (code, &document["sha256"], &document["replaced"]["any"]),
        (0, &json!(sha256("glpat-x")), &json!(false))
    );
    // A target that has its own elsewhere.
    let file = sealed.path().join("countersign.yaml");
    let text = fs::read_to_string(&file).expect("text").replace("token: sealed", "token: { env: TOKEN }");
    fs::write(&file, text).expect("a file");
    let (code, said) = sealed.seal(&[], "glpat-x");
    assert!(code == 2 && said.contains("write `token: sealed` first"), "{said}");
    fs::remove_file(sealed.path().join("broker.key")).expect("it was there");
    assert_eq!(sealed.seal(&[], "glpat-x").0, 78);
}
