//! `countersign broker import-env`: the environment of a gitlab-jwt-2-pat becomes a configuration that is accepted.

use countersign::broker::Kind;
use countersign::config::broker::CredentialSource;
use countersign::config::{self, Config};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const SECRET: &str = "glpat-not-to-be-seen";

/// The command with these variables and no others, and lines on standard input.
fn import(arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(["broker", "import-env"]).args(arguments).env_clear().envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the binary runs");
    let mut stdin = process.stdin.take().expect("a pipe");
    // A command that wants none of it may be gone.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = process.wait_with_output().expect("it ends");
    let all = [&output.stdout[..], &output.stderr].concat();
    assert!(!String::from_utf8_lossy(&all).contains(SECRET));
    output
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// A configuration of this, beside a CA.
fn written(yaml: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("countersign.yaml");
    let head = "ca: { ephemeral: {} }\nlog: { mode: none }\ndata: data\n";
    fs::write(&file, format!("{head}{yaml}")).expect("written");
    (directory, file)
}

/// What comes out, beside a CA.
fn load(output: &Output) -> Config {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let (_directory, file) = written(text(&output.stdout));
    let (config, warnings) = Config::load(&file).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(warnings.iter().all(|warning| !warning.key.starts_with("broker")), "{warnings:?}");
    assert!(config::check(&file, false).is_ok());
    config
}

#[test]
fn every_name_finds_its_place() {
    let output = import(
        &["--group", "acme/platform", "--audience", "https://ca.example.com/broker"],
        &[
            ("URLS", "http://*:5000"),
            ("JWT__AUTHORITY", "https://git.acme.example/"),
            ("JWT__ISSUER", "git.acme.example"),
            ("JWT__VALIDATE__AUDIENCE", "false"),
            ("JWT__DEBUG", "true"),
            ("GITLAB__HOSTNAME", "https://git.acme.example"),
            ("GITLAB__APIKEY", SECRET),
            ("GITLAB__SUDOUSERLOGIN", "token-bot"),
            // Names are read as ASP.NET reads them, whatever their case; scopes in the order of their numbers.
            ("GitLab__TokenConfig__Scopes__10", "read_registry"),
            ("GITLAB__TOKENCONFIG__SCOPES__0", "write_repository"),
            ("GITLAB__TOKENCONFIG__SCOPES__2", "read_api"),
            ("GITLAB__TOKENCONFIG__REVOKESECONDS", "90"),
            ("Logging__LogLevel__Default", "Debug"),
            ("GITLAB__TYPO", "x"),
            ("PATH", "/bin"),
        ],
        "",
    );
    let config = load(&output);
    assert!(config.issuers.find("https://git.acme.example").is_some());
    let broker = config.broker.expect("a broker");
    let target = &broker.targets[0];
    assert_eq!((&*target.url, target.sudo_user.as_deref()), ("https://git.acme.example", Some("token-bot")));
    assert_eq!(target.token, CredentialSource::Environment("GITLAB__APIKEY".into()));
    let roles = &broker.roles;
    assert_eq!(roles.audience(), "https://ca.example.com/broker");
    let role = roles.get(roles.compat().expect("a role for GET /token")).expect("it is there");
    assert_eq!((role.kind(), role.ttl()), (Kind::Impersonation, Duration::from_secs(90)));
    assert_eq!(role.scopes(), ["write_repository", "read_api", "read_registry"]);
    assert!(!role.allow_admin());
    assert!(role.when().source().contains("startsWith(\"acme/platform/\")"));
    let notes = text(&output.stderr);
    for part in [
        "JWT__VALIDATE__AUDIENCE has no counterpart",
        "JWT__DEBUG has no",
        "LOGGING__",
        "GITLAB__TYPO is not known",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert!(!notes.contains("PATH"), "{notes}");
}

/// What gitlab-jwt-2-pat is shipped with; what has to be filled in admits nobody until it is.
#[test]
fn nothing_at_all_is_what_it_is_shipped_with() {
    let output = import(&[], &[], "");
    let config = load(&output);
    let broker = config.broker.expect("a broker");
    let role = broker.roles.iter().next().expect("a role");
    assert_eq!((role.scopes(), role.ttl()), (&["write_repository".to_owned()][..], Duration::from_secs(60)));
    assert!(role.when().source().contains("<your group>"));
    let notes = text(&output.stderr);
    for part in ["write your own", "write your groups", "GITLAB__APIKEY is not set"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
}

#[test]
fn a_file_of_variables_is_read_as_docker_and_shells_write_it() {
    let lines = format!(
        "# comment\nexport JWT__AUTHORITY=\"http://gitlab.internal:8080/git\"\n\nGITLAB__HOSTNAME='http://gitlab.internal:8080/git/'\n\
         GITLAB__APIKEY={SECRET}\r\nGITLAB__TOKENCONFIG__REVOKESECONDS=172800\nJWT__ISSUER=https://issuer.example\nnonsense\n=x\n"
    );
    // What stands in the environment does not count beside a file.
    let output = import(&["--file", "-"], &[("GITLAB__HOSTNAME", "https://elsewhere.example")], &lines);
    assert_eq!(output.status.code(), Some(0));
    let (yaml, notes) = (text(&output.stdout), text(&output.stderr));
    for part in [
        "url: \"https://issuer.example\"",
        "instance_url: \"http://gitlab.internal:8080/git\"",
        "url: \"http://gitlab.internal:8080/git\"",
        "allow_http: true",
        "ttl: 86400s",
    ] {
        assert!(yaml.contains(part), "{part}: {yaml}");
    }
    assert!(notes.contains("10s to 24h") && notes.contains("in the clear"), "{notes}");
    let json = import(&["--file", "-", "--json"], &[], &lines);
    let document: serde_json::Value = serde_json::from_slice(&json.stdout).expect("a document");
    assert_eq!(document["yaml"].as_str().map(str::trim_end), Some(yaml.trim_end()));
    assert!(document["notes"].as_array().is_some_and(|notes| notes.len() >= 4) && json.stderr.is_empty());
}

/// A user's number at one GitLab is another user's at another.
#[test]
fn whether_two_gitlabs_are_one_is_left_to_the_operator() {
    let hosts = |authority, host| {
        import(&["--group", "acme"], &[("JWT__AUTHORITY", authority), ("GITLAB__HOSTNAME", host)], "")
    };
    let output = hosts("https://git.acme.example", "https://gitlab.internal:8443");
    let (yaml, notes) = (text(&output.stdout), text(&output.stderr));
    assert!(notes.contains("JWT__AUTHORITY and GITLAB__HOSTNAME differ"), "{notes}");
    // Nobody but the operator says that they are one.
    let (_directory, file) = written(yaml);
    let refused = Config::load(&file).expect_err("refused").to_string();
    assert!(
        refused.contains("is at another URL")
            && refused.contains("issuer: https://git.acme.example into the target"),
        "{refused}"
    );
    assert!(config::check(&file, false).is_err());
    let said = yaml.replace("      # issuer: ", "      issuer: ");
    assert_ne!(said, yaml);
    let (_directory, file) = written(&said);
    let (config, _) = Config::load(&file).unwrap_or_else(|errors| panic!("{errors}"));
    let roles = config.broker.expect("a broker").roles;
    assert_eq!(roles.iter().next().expect("a role").issuer(), "https://git.acme.example");
    for same in ["https://git.acme.example/", "https://GIT.acme.example:443"] {
        let output = hosts("https://git.acme.example", same);
        load(&output);
        assert!(!text(&output.stdout).contains("      issuer:") && !text(&output.stderr).contains("differ"));
    }
}

#[test]
fn what_cannot_be_taken_over_is_refused_and_not_repeated() {
    let long = "x".repeat(2 * 1024 * 1024);
    for (variables, input, expected) in [
        (("GITLAB__HOSTNAME", SECRET), "", "GITLAB__HOSTNAME is no URL"),
        (("GITLAB__HOSTNAME", "ftp://x"), "", "GITLAB__HOSTNAME is no URL"),
        (("JWT__AUTHORITY", "https://ada:glpat-not-to-be-seen@x"), "", "JWT__AUTHORITY is no URL"),
        (("JWT__ISSUER", "https://x?y"), "", "JWT__ISSUER is no URL"),
        (("GITLAB__SUDOUSERLOGIN", "a/b"), "", "GITLAB__SUDOUSERLOGIN is not the name of a user"),
        (("GITLAB__TOKENCONFIG__SCOPES__0", "write_repo"), "", "is no scope of impersonation"),
        (("GITLAB__TOKENCONFIG__SCOPES__X", "api"), "", "has no number at its end"),
        (("GITLAB__TOKENCONFIG__REVOKESECONDS", "1m"), "", "is no whole number of seconds"),
        (("X", "y"), long.as_str(), "is larger than"),
    ] {
        let arguments: &[&str] = if input.is_empty() { &[] } else { &["--file", "-"] };
        let output = import(arguments, &[variables], input);
        assert_eq!(output.status.code(), Some(1), "{variables:?}");
        assert!(text(&output.stderr).contains(expected), "{variables:?}: {}", text(&output.stderr));
    }
    let output = import(&["--group", "it's"], &[], "");
    assert!(text(&output.stderr).contains("--group has something else in it"), "{}", text(&output.stderr));
}
