//! The operators' commands, run as a person runs them: the binary, its output, its exit code, its files.

use crate::support::secrets;
use countersign::config::Config;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

fn countersign<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign")).args(arguments).output();
    let output = output.expect("the binary runs");
    secrets::check("the binary", &[&output.stdout[..], &output.stderr].concat());
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is text")
}

fn directory() -> TempDir {
    TempDir::new().expect("a directory")
}

/// `init` in a fresh directory `ca`, which must succeed.
fn init(directory: &TempDir, more: &[&str]) -> PathBuf {
    let ca = directory.path().join("ca");
    let output = countersign([&["init", &ca.display().to_string()], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for key in ["ca/key.pem", "ca/root-key.pem", "log/key.pem", "log/signatures.pem"] {
        secrets::note_key(&fs::read_to_string(ca.join(key)).expect("a key"));
    }
    ca
}

fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).expect("readable") {
            let path = entry.expect("readable").path();
            found.push(path.strip_prefix(directory).expect("below").display().to_string());
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn init_makes_a_ca_that_its_own_check_accepts() {
    let directory = directory();
    let ca = init(&directory, &[]);
    assert_eq!(
        files(&ca),
        [
            "ca",
            "ca/chain.pem",
            "ca/key.pem",
            "ca/root-key.pem",
            "countersign.yaml",
            "data",
            "log",
            "log/key.pem",
            "log/signatures.pem",
            "timestamps",
            "timestamps/chain.pem",
            "timestamps/key.pem"
        ]
    );
    let file = ca.join("countersign.yaml");
    let (config, warnings) = Config::load(&file).expect("accepted");
    // Without --group everybody at gitlab.com is admitted, and told so.
    assert!(warnings.len() == 1 && warnings[0].message.contains("--group"), "{warnings:?}");
    assert!(config.policy.rules().is_empty());
    assert!(config.issuers.find("https://gitlab.com").is_some());
    assert_eq!(config.log.embedded().unwrap().origin, "127.0.0.1:5555/ct");
    assert_eq!(config.signature_log.unwrap().origin, "127.0.0.1");
    assert_eq!(config.public_url, None);

    let check = countersign(["config", "check", &file.display().to_string()]);
    assert_eq!(check.status.code(), Some(0));
    assert_eq!(text(&check.stdout), format!("{} is fine\n", file.display()));
}

#[test]
fn init_writes_a_rule_for_each_group_that_its_own_check_accepts() {
    let directory = directory();
    let ca =
        init(&directory, &["--gitlab", "https://gitlab.com", "--group", "acme", "--group", "Labs/tools.v2"]);
    let file = ca.join("countersign.yaml").display().to_string();
    let (config, warnings) = Config::load(&ca.join("countersign.yaml")).expect("accepted");
    assert!(warnings.is_empty(), "{warnings:?}");
    let names: Vec<&str> = config.policy.rules().iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["group acme", "group Labs/tools.v2"]);
    assert!(config.policy.rules_over("https://gitlab.com"));
    let check = countersign(["config", "check", &file]);
    assert_eq!(
        (check.status.code(), text(&check.stdout), text(&check.stderr)),
        (Some(0), format!("{file} is fine\n"), String::new())
    );

    // The commented rule becomes one where the comment signs are taken away.
    let other = directory.path().join("other").display().to_string();
    assert_eq!(countersign(["init", &other]).status.code(), Some(0));
    let file = Path::new(&other).join("countersign.yaml");
    let commented = fs::read_to_string(&file).expect("made");
    let mut within = false;
    let lines = commented.lines().map(|line| {
        within = line == "# policy:" || within && line.starts_with("#   ");
        if within { line.strip_prefix("# ").expect("a comment") } else { line }
    });
    fs::write(&file, lines.collect::<Vec<_>>().join("\n")).expect("written");
    let (config, warnings) = Config::load(&file).expect("accepted");
    assert_eq!((config.policy.rules().len(), warnings.len()), (1, 0), "{warnings:?}");

    for refused in [&["--group", "a b"][..], &["--group", "x\"y"], &["--group", "/acme"]] {
        let third = directory.path().join("third").display().to_string();
        let output = countersign([&["init", &third], refused].concat());
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        assert!(!Path::new(&third).exists());
    }
}

#[cfg(unix)]
#[test]
fn keys_and_directories_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory();
    let ca = init(&directory, &[]);
    for (name, expected) in [
        ("", 0o700),
        ("ca", 0o700),
        ("log", 0o700),
        ("data", 0o700),
        ("ca/key.pem", 0o600),
        ("ca/root-key.pem", 0o600),
        ("log/key.pem", 0o600),
        ("log/signatures.pem", 0o600),
        ("timestamps", 0o700),
        ("timestamps/key.pem", 0o600),
    ] {
        let mode = fs::metadata(ca.join(name)).expect("made").permissions().mode() & 0o777;
        assert_eq!(mode, expected, "{name}");
    }
}

#[test]
fn init_overwrites_nothing_and_says_what_is_there() {
    let directory = directory();
    let ca = init(&directory, &[]);
    let before = fs::read(ca.join("ca/key.pem")).expect("made");
    let again = countersign(["init", &ca.display().to_string()]);
    assert_eq!(again.status.code(), Some(1));
    let said = text(&again.stderr);
    for name in ["countersign.yaml", "ca/chain.pem", "ca/key.pem", "ca/root-key.pem", "log/key.pem", "data"] {
        assert!(said.contains(&ca.join(name).display().to_string()), "{name}: {said}");
    }
    assert_eq!(fs::read(ca.join("ca/key.pem")).expect("still there"), before);

    // One of its files is enough, and nothing is added to it.
    let partly = directory.path().join("partly");
    fs::create_dir_all(partly.join("log")).expect("made");
    fs::write(partly.join("log/key.pem"), "precious").expect("written");
    assert_eq!(countersign(["init", &partly.display().to_string()]).status.code(), Some(1));
    assert_eq!(files(&partly), ["log", "log/key.pem"]);
}

#[test]
fn init_may_use_a_directory_that_has_other_things() {
    let directory = directory();
    fs::create_dir(directory.path().join("ca")).expect("made");
    fs::write(directory.path().join("ca/README"), "ours").expect("written");
    let ca = init(&directory, &[]);
    assert!(ca.join("README").exists() && ca.join("countersign.yaml").exists());
}

#[test]
fn init_takes_several_gitlabs_and_addresses() {
    let directory = directory();
    let ca = init(
        &directory,
        &[
            "--gitlab",
            "https://gitlab.com",
            "--gitlab",
            "http://localhost:3000/gitlab",
            "--listen",
            "[::1]:0",
            "--admin",
            "127.0.0.1:0",
            "--public-url",
            "https://ca.example.com:8443",
            "--algorithm",
            "p384",
            "--organization",
            "Ada & Söhne",
        ],
    );
    let (config, _) = Config::load(&ca.join("countersign.yaml")).expect("accepted");
    assert!(config.issuers.find("https://gitlab.com").is_some());
    assert!(config.issuers.find("http://localhost:3000/gitlab").is_some());
    assert_eq!(config.listen.to_string(), "[::1]:0");
    assert_eq!(config.admin.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:0"));
    assert_eq!(config.base_url(), "https://ca.example.com:8443");
    assert_eq!(config.log.embedded().unwrap().origin, "ca.example.com:8443/ct");

    let chain = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in"])
        .arg(ca.join("ca/chain.pem"))
        .output();
    let chain = text(&chain.expect("openssl runs").stdout);
    assert!(chain.contains("secp384r1"), "{chain}");
}

#[test]
fn init_takes_a_fulcio_file_as_it_stands() {
    let directory = directory();
    let fulcio = "\
define:
- &url http://localhost:3000
oidc-issuers:
  *url :
    issuer-url: *url
    client-id: sigstore
    type: gitlab-pipeline
  https://accounts.google.com: { issuer-url: https://accounts.google.com, client-id: sigstore, type: email }
meta-issuers:
  https://*.gitlab.example.com/x/*: { client-id: sigstore, type: gitlab-pipeline }
";
    let file = directory.path().join("identity.yaml");
    fs::write(&file, fulcio).expect("written");
    let ca = init(&directory, &["--fulcio-config", &file.display().to_string()]);
    assert_eq!(fs::read_to_string(ca.join("fulcio.yaml")).expect("copied"), fulcio);
    let (config, warnings) = Config::load(&ca.join("countersign.yaml")).expect("accepted");
    assert!(config.issuers.find("http://localhost:3000").is_some());
    assert!(config.issuers.find("https://a.gitlab.example.com/x/b").is_some());
    assert!(config.issuers.find("https://gitlab.com").is_none());
    assert!(config.issuers.find("https://accounts.google.com").is_some());
    assert!(
        warnings.len() == 1 && warnings[0].message.contains("https://accounts.google.com ("),
        "{warnings:?}"
    );
    assert!(!fs::read_to_string(ca.join("countersign.yaml")).expect("made").contains("namespace_path"));

    let both = directory.path().join("both");
    let output = countersign([
        "init",
        &both.display().to_string(),
        "--fulcio-config",
        &file.display().to_string(),
        "--gitlab",
        "https://gitlab.com",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let (config, _) = Config::load(&both.join("countersign.yaml")).expect("accepted");
    assert!(config.issuers.find("https://gitlab.com").is_some());
    assert!(config.issuers.find("http://localhost:3000").is_some());
}

#[test]
fn a_refused_configuration_ends_init_with_78_and_leaves_nothing_behind() {
    let directory = directory();
    let wrong = directory.path().join("wrong.yaml");
    fs::write(&wrong, "oidc-issuers:\n  https://a.example:\n    issuer-url: https://b.example\n    client-id: x\n    type: gitlab-pipeline\n")
        .expect("written");
    let wrong = wrong.display().to_string();
    for (arguments, said) in [
        (vec!["--gitlab", "gitlab.com"], "does not begin with https://"),
        (vec!["--gitlab", "http://gitlab.example.com"], "plain http"),
        (vec!["--gitlab", "https://a.example", "--gitlab", "https://a.example"], "already"),
        (vec!["--listen", "nowhere"], "not an IP address"),
        (vec!["--public-url", "https://ca.example.com/"], "ends in a slash"),
        (vec!["--public-url", "https://CA.example.com"], "usually spelled"),
        (vec!["--public-url", "https://user@ca.example.com"], "--public-url: "),
        (vec!["--public-url", "https://ca.example.com?x"], "--public-url: "),
        (vec!["--fulcio-config", "/nowhere/fulcio.yaml"], "/nowhere/fulcio.yaml:1: there is no such file"),
        (vec!["--fulcio-config", &wrong], "wrong.yaml:3: "),
    ] {
        let ca = directory.path().join("deep/ca");
        let output = countersign([vec!["init", &ca.display().to_string()], arguments.clone()].concat());
        assert_eq!(output.status.code(), Some(78), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{arguments:?}: {}", text(&output.stderr));
        // No word of what would follow from something else, or of a file that is not there.
        if arguments[0] != "--fulcio-config" {
            let words = text(&output.stderr);
            assert!(words.contains(&format!("\n{}: ", arguments[0])), "{words}");
            assert!(!words.contains("warning") && !words.contains("countersign.yaml"), "{words}");
        }
        assert!(!ca.exists(), "{arguments:?}");
        assert!(!directory.path().join("deep").exists(), "{arguments:?}");
    }
}

#[test]
fn check_and_serve_end_with_78_and_show_every_error() {
    let directory = directory();
    let file = directory.path().join("countersign.yaml");
    fs::write(&file, "lisen: x\ndata: data\n").expect("written");
    let name = file.display().to_string();
    for arguments in [vec!["config", "check", &name], vec!["serve", "--config", &name]] {
        let output = countersign(&arguments);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        let said = text(&output.stderr);
        for expected in [
            format!("{name}:1: lisen: unknown key; did you mean listen?"),
            format!("{name}:1: ca: is missing"),
            format!("{name}:1: log: is missing"),
            format!("{name}:1: names no issuer"),
        ] {
            assert!(said.contains(&expected), "{said}");
        }
        assert!(output.stdout.is_empty());
    }

    let output = countersign(["--json", "config", "check", &name]);
    assert_eq!(output.status.code(), Some(78));
    let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(document["ok"], false);
    assert_eq!(document["errors"][0]["line"], 1);
    assert_eq!(document["errors"].as_array().map(Vec::len), Some(4), "{document:#}");
}

#[test]
fn the_samples_pass_config_check() {
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config")).expect("config/ is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let output =
                countersign(["config", "check", "--ignore-missing-files", &path.display().to_string()]);
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        }
    }
}

#[test]
fn trust_material_has_the_forms_that_every_client_takes() {
    let directory = directory();
    let ca = init(&directory, &["--public-url", "https://ca.example.com", "--organization", "Example"]);
    let file = ca.join("countersign.yaml").display().to_string();
    let document = |kind: &str| -> Value {
        let output = countersign(["trust", kind, "--config", &file]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let (root, signing, client) = (document("root"), document("signing-config"), document("client-config"));
    assert_eq!(client["trustedRoot"], root);
    assert_eq!(client["signingConfig"], signing);
    assert_eq!(client["mediaType"], "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json");

    assert_eq!(root["mediaType"], "application/vnd.dev.sigstore.trustedroot+json;version=0.1");
    assert_eq!(
        members(&root),
        ["certificateAuthorities", "ctlogs", "mediaType", "timestampAuthorities", "tlogs"]
    );
    let authority = &root["certificateAuthorities"][0];
    assert_eq!(members(authority), ["certChain", "subject", "uri", "validFor"]);
    assert_eq!(authority["uri"], "https://ca.example.com");
    assert_eq!(authority["subject"]["organization"], "Example");
    assert_eq!(authority["certChain"]["certificates"].as_array().map(Vec::len), Some(2));
    let log = &root["ctlogs"][0];
    assert_eq!(members(log), ["baseUrl", "hashAlgorithm", "logId", "publicKey"]);
    assert_eq!(log["baseUrl"], "https://ca.example.com/ct");
    assert_eq!(log["hashAlgorithm"], "SHA2_256");
    assert_eq!(log["publicKey"]["keyDetails"], "PKIX_ECDSA_P256_SHA_256");

    // The key is the one in the file, and its id is the hash of it: asked of openssl.
    let script = format!(
        "openssl pkey -in {0} -pubout -outform DER | openssl base64 -A; echo; \
         openssl pkey -in {0} -pubout -outform DER | openssl dgst -sha256 -binary | openssl base64 -A; echo; \
         openssl x509 -in {1} -noout -startdate -dateopt iso_8601",
        ca.join("log/key.pem").display(),
        ca.join("ca/chain.pem").display()
    );
    let openssl = Command::new("sh").args(["-c", &script]).output().expect("openssl runs");
    let openssl = text(&openssl.stdout);
    let mut lines = openssl.lines();
    assert_eq!(log["publicKey"]["rawBytes"].as_str(), lines.next());
    assert_eq!(log["logId"]["keyId"].as_str(), lines.next());
    let start =
        lines.next().and_then(|line| line.strip_prefix("notBefore=")).expect("a date").replace(' ', "T");
    for place in [&authority["validFor"], &log["publicKey"]["validFor"], &signing["caUrls"][0]["validFor"]] {
        assert_eq!(place["start"], start.as_str());
    }

    assert_eq!(signing["mediaType"], "application/vnd.dev.sigstore.signingconfig.v0.2+json");
    let tlog = &root["tlogs"][0];
    assert_eq!(members(tlog), ["baseUrl", "hashAlgorithm", "logId", "publicKey"]);
    assert_eq!(tlog["baseUrl"], "https://ca.example.com");
    assert_eq!(tlog["publicKey"]["keyDetails"], "PKIX_ED25519");
    let stamps = &root["timestampAuthorities"][0];
    assert_eq!(members(stamps), ["certChain", "subject", "uri", "validFor"]);
    assert_eq!(stamps["uri"], "https://ca.example.com/api/v1/timestamp");
    assert_eq!(stamps["certChain"]["certificates"].as_array().map(Vec::len), Some(2));

    let services =
        ["caUrls", "mediaType", "oidcUrls", "rekorTlogConfig", "rekorTlogUrls", "tsaConfig", "tsaUrls"];
    assert_eq!(members(&signing), services);
    assert_eq!(signing["rekorTlogUrls"][0]["url"], "https://ca.example.com");
    assert_eq!(signing["rekorTlogUrls"][0]["majorApiVersion"], 2);
    assert_eq!(signing["tsaUrls"][0]["url"], "https://ca.example.com/api/v1/timestamp");
    for selector in [&signing["rekorTlogConfig"], &signing["tsaConfig"]] {
        assert_eq!(selector["selector"], "ANY");
    }
    assert_eq!(signing["caUrls"][0]["url"], "https://ca.example.com");
    assert_eq!(signing["caUrls"][0]["majorApiVersion"], 1);
    assert_eq!(signing["caUrls"][0]["operator"], "Example");
}

fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn trust_material_follows_a_public_url_that_is_added_later() {
    let directory = directory();
    let ca = init(&directory, &[]);
    let file = ca.join("countersign.yaml");
    let uri = || {
        let output = countersign(["trust", "root", "--config", &file.display().to_string()]);
        let root: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        root["certificateAuthorities"][0]["uri"].as_str().map(str::to_owned)
    };
    assert_eq!(uri().as_deref(), Some("http://127.0.0.1:5555"));
    let configuration = fs::read_to_string(&file).expect("made");
    fs::write(&file, format!("{configuration}public_url: https://ca.example.com\n")).expect("written");
    assert_eq!(uri().as_deref(), Some("https://ca.example.com"));
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = countersign(["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("signing-config"), "{shell}");
        let json: Value = serde_json::from_slice(&countersign(["--json", "completions", shell]).stdout)
            .expect("one document");
        assert_eq!(json["script"].as_str(), Some(&*text(&output.stdout)), "{shell}");
    }
    let syntax =
        Command::new("bash").args(["-n", "-c", &text(&countersign(["completions", "bash"]).stdout)]).status();
    assert!(syntax.expect("bash runs").success());
}

#[test]
fn usage_errors_end_with_2_and_help_with_0() {
    for (arguments, code) in [
        (vec![], 2),
        (vec!["nonsense"], 2),
        (vec!["init"], 2),
        (vec!["serve"], 2),
        (vec!["trust", "root"], 2),
        (vec!["completions", "tcsh"], 2),
        (vec!["--help"], 0),
        (vec!["--version"], 0),
        (vec!["help", "trust", "root"], 0),
    ] {
        assert_eq!(countersign(&arguments).status.code(), Some(code), "{arguments:?}");
    }
}

/// Help is what operators read and scripts rely on: a change shows up in review. `UPDATE_HELP=1 cargo test help` writes it.
#[test]
fn help_is_what_was_agreed_on() {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/help"));
    let update = std::env::var_os("UPDATE_HELP").is_some();
    let mut command = countersign::cli::command().term_width(110);
    command.build();
    let mut seen = Vec::new();
    freeze(&mut command, "countersign", directory, update, &mut seen);
    let mut there: Vec<_> = fs::read_dir(directory)
        .expect("the fixtures are there")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("text"))
        .collect();
    seen.sort();
    there.sort();
    assert_eq!(seen, there, "one file for each command, no other");
}

fn freeze(command: &mut clap::Command, name: &str, directory: &Path, update: bool, seen: &mut Vec<String>) {
    let help = command.render_long_help().to_string();
    let file = format!("{}.txt", name.replace(' ', "-"));
    let path = directory.join(&file);
    if update {
        fs::create_dir_all(directory).expect("made");
        fs::write(&path, &help).expect("written");
    }
    let agreed = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(help, agreed, "`{name} --help` changed; UPDATE_HELP=1 writes {file} anew");
    seen.push(file);
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        let name = format!("{name} {}", sub.get_name());
        freeze(sub, &name, directory, update, seen);
    }
}

// --- serve

/// A server that is up, by its own words.
struct Served {
    process: std::process::Child,
    up: Value,
}

impl Served {
    fn start(file: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["--json", "serve", "--config"])
            .arg(file)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the binary runs");
        let stdout = process.stdout.as_mut().expect("piped");
        let up = serde_json::Deserializer::from_reader(stdout)
            .into_iter()
            .next()
            .expect("a document")
            .expect("JSON");
        Self { process, up }
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.process.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    fn terminate(mut self) -> Option<i32> {
        self.signal("-TERM");
        self.process.wait().expect("it ends").code()
    }
}

const ANY_PORT: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

#[test]
fn serve_says_where_it_is_and_ends_with_0_on_sigterm() {
    let directory = directory();
    let ca = init(&directory, &ANY_PORT);
    let file = ca.join("countersign.yaml");
    let served = Served::start(&file);
    let address = served.up["listening"].as_str().and_then(|url| url.strip_prefix("http://")).expect("a URL");
    assert!(std::net::TcpStream::connect(address).is_ok());

    // Trust material is printed beside it; a second server on its data is refused.
    let name = file.display().to_string();
    assert_eq!(countersign(["trust", "root", "--config", &name]).status.code(), Some(0));
    let second = countersign(["serve", "--config", &name]);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        text(&second.stderr).contains(&ca.join("data").display().to_string()),
        "{}",
        text(&second.stderr)
    );

    assert_eq!(served.terminate(), Some(0));
    assert_eq!(Served::start(&file).terminate(), Some(0), "and it starts again");
}

#[test]
fn serve_goes_on_after_sighup() {
    let directory = directory();
    let ca = init(&directory, &ANY_PORT);
    let served = Served::start(&ca.join("countersign.yaml"));
    served.signal("-HUP");
    assert_eq!(served.terminate(), Some(0), "SIGTERM ended it");
}

#[test]
fn serve_refuses_material_that_does_not_belong_together_with_78() {
    let directory = directory();
    let ca = init(&directory, &ANY_PORT);
    let file = ca.join("countersign.yaml").display().to_string();
    let refused = |said: &str| {
        let output = countersign(["serve", "--config", &file]);
        assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{said}: {}", text(&output.stderr));
    };
    let key = fs::read(ca.join("ca/key.pem")).expect("made");
    fs::copy(ca.join("log/key.pem"), ca.join("ca/key.pem")).expect("copied");
    refused("ca/key.pem");
    fs::write(ca.join("ca/key.pem"), &key).expect("written");

    let chain = fs::read_to_string(ca.join("ca/chain.pem")).expect("made");
    let issuing_alone = chain.split_inclusive("-----END CERTIFICATE-----\n").next().expect("one");
    fs::write(ca.join("ca/chain.pem"), issuing_alone).expect("written");
    refused("countersign.yaml:30: ca.certificates: ");
    fs::write(ca.join("ca/chain.pem"), &chain).expect("written");

    fs::remove_file(ca.join("log/key.pem")).expect("removed");
    refused("countersign.yaml:50: log.key: ");
}

#[test]
fn serve_refuses_log_filters_that_are_none() {
    let directory = directory();
    let ca = init(&directory, &ANY_PORT);
    let file = ca.join("countersign.yaml").display().to_string();
    assert_eq!(countersign(["serve", "--config", &file, "--log-filter", "=="]).status.code(), Some(2));
}

#[test]
fn over_tls_the_log_is_read_where_the_server_listens_and_sighup_ends_nothing() {
    let directory = directory();
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let listen = free.expect("an address").to_string();
    // Nobody resolves this name, but the server is called so.
    let url = "https://ca.invalid";
    let ca = init(&directory, &["--listen", &listen, "--admin", "127.0.0.1:0", "--public-url", url]);
    let file = ca.join("countersign.yaml");
    let certify = || {
        let made = rcgen::generate_simple_self_signed(["ca.invalid".to_owned()]).expect("a certificate");
        fs::write(ca.join("server.pem"), made.cert.pem()).expect("written");
        fs::write(ca.join("server.key"), made.signing_key.serialize_pem()).expect("written");
    };
    certify();
    let text = fs::read_to_string(&file).expect("the configuration");
    fs::write(&file, text + "tls: { certificate: server.pem, key: server.key }\n").expect("written");
    let served = Served::start(&file);
    assert_eq!(served.up["listening"], format!("https://{listen}"));
    let name = file.display().to_string();
    let checkpoint = || countersign(["log", "checkpoint", "--config", &name]);
    assert_eq!(checkpoint().status.code(), Some(0), "{}", self::text(&checkpoint().stderr));

    certify();
    served.signal("-HUP");
    // The command trusts the file, so it succeeds once the server has loaded it.
    while checkpoint().status.code() != Some(0) {}
    assert_eq!(served.terminate(), Some(0));
}
