//! Two targets.

use super::{World, broker_of};
use crate::support::gitlab::MakeBelieve;
use crate::support::{TestCa, TestClock, secrets};
use countersign::config::Config;
use countersign::server::environment::Environment;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use tempfile::TempDir;

const ROLES: &str = r#"
    - name: second
      target: second
      kind: project
      path: { requested: "my-group/[a-z-]+" }
      scopes: [read_api]
      access_level: reporter
      ttl: 5m
      when: claims.namespace_path == "my-group"
"#;

/// A configuration with a second target, of this URL and with this text in the file of its credential.
fn with_second(gitlab: &MakeBelieve, directory: &TempDir, url: &str, credential: &str) -> Config {
    broker_of(gitlab, directory, &ROLES.replace("      target: second\n", ""), "");
    let (file, second) = (directory.path().join("countersign.yaml"), directory.path().join("second.token"));
    fs::write(&second, credential).expect("a file");
    fs::set_permissions(&second, fs::Permissions::from_mode(0o600)).expect("its mode");
    let text = fs::read_to_string(&file).expect("text");
    let (before, _) = text.split_once("  roles:").expect("roles");
    let target = format!(
        "    - {{ name: second, url: \"{url}\", issuer: \"{}\", token: {{ file: second.token }} }}\n",
        gitlab.url()
    );
    fs::write(&file, format!("{before}{target}  roles:{ROLES}")).expect("a file");
    let (config, _) = Config::load(&file).unwrap_or_else(|errors| panic!("{errors}"));
    config
}

fn clock() -> std::sync::Arc<TestClock> {
    TestClock::at(Environment::system().clock.now())
}

/// Wherever it lies twice: the second instance would be sent the first one's.
#[tokio::test(flavor = "multi_thread")]
async fn one_credential_in_two_files_goes_to_nobody() {
    let gitlab = MakeBelieve::start(clock()).await;
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!("{}\n", gitlab.credential());
    let Config { broker, issuers, .. } = with_second(&gitlab, &directory, "https://other.example.com", &text);
    let ca = TestCa::builder().configure(move |config| (config.broker, config.issuers) = (broker, issuers));
    let refused = ca.prepare().await.refused().await.to_string();
    let told = "broker.targets: second: token: is the credential of target gitlab too";
    assert!(refused.contains(told) && !refused.contains(gitlab.credential()), "{refused}");
    assert!(gitlab.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_at_the_roles_target_where_two_have_its_url() {
    let gitlab = MakeBelieve::start(clock()).await;
    gitlab.project("my-group/tools");
    let directory = tempfile::tempdir().expect("a directory");
    let credential = gitlab.credential_of(gitlab.administrator("other"), &["api"], Some(30));
    let Config { broker, issuers, .. } = with_second(&gitlab, &directory, gitlab.url(), &credential);
    let ca = TestCa::builder().configure(move |config| (config.broker, config.issuers) = (broker, issuers));
    let world = World { gitlab, ca: ca.start().await, _directory: directory };
    let resource = format!("{}/my-group/tools", world.gitlab.url());
    let answer = world.exchange(&world.id_token(), &[("role", "second"), ("resource", &resource)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    secrets::note(answer.json()["access_token"].as_str().expect("a token").as_bytes());
    world.revoke_all().await;
}
