//! Configurations: what is refused and in which words, what is accepted and what it becomes.

mod broker;
mod fulcio;
mod policy;
mod refused;

use countersign::certificate::CaChain;
use countersign::config::{self, CaMaterial, Config, ConfigErrors, LogConfig, Warning};
use countersign::environment::UnixMillis;
use countersign::identity::KeySource;
use countersign::identity::gitlab::{GitlabRules, SubjectMode};
use countersign::rekor::Writers;
use countersign::signer::ceremony::{NewCa, Options};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// A directory with everything that a configuration may name.
struct Place {
    directory: TempDir,
}

const WHOLE: &str = "\
listen: 127.0.0.1:5555
data: data
ca:
  certificates: ca/chain.pem
  signer: { file: { key: ca/key.pem } }
log: { mode: embedded, key: log/key.pem, origin: ca.example.com/ct }
issuers:
  - { url: https://gitlab.com, type: gitlab-pipeline }
";

/// RFC 7517 appendix A.1's RSA key, as GitLab would publish it.
const JWKS: &str = r#"{"keys":[{"kty":"RSA","kid":"2011-04-29","use":"sig","alg":"RS256","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}]}"#;

/// A CA's certificates. They are made once: keys take time.
fn authority() -> &'static NewCa {
    static AUTHORITY: OnceLock<NewCa> = OnceLock::new();
    AUTHORITY
        .get_or_init(|| NewCa::make(&Options::default(), UnixMillis::from_secs(1_800_000_000)).expect("made"))
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let place = Self { directory };
        for name in ["ca", "log", "timestamps"] {
            fs::create_dir(place.path(name)).expect("a directory");
        }
        let authority = authority();
        place.write("ca/chain.pem", authority.chain());
        place.write("timestamps/chain.pem", authority.timestamps_chain());
        for key in ["ca/key.pem", "log/key.pem", "log/signatures.pem", "timestamps/key.pem"] {
            let path = place.write(key, "only its presence and its mode are checked");
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode");
        }
        place.write("gitlab-ca.pem", &authority.root);
        place.write("jwks.json", JWKS);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("written");
        path
    }

    fn load(&self, text: impl AsRef<[u8]>) -> Result<(Config, Vec<String>), Vec<String>> {
        let path = self.write("countersign.yaml", text);
        match Config::load(&path) {
            Ok((config, warnings)) => {
                // Every configuration here has gitlab.com, and rules are none of its business: `policy` looks at that.
                let warnings = warnings.iter().filter(|warning| !is_of_public_issuers(warning));
                Ok((config, warnings.map(|warning| self.short(&warning.to_string())).collect()))
            }
            Err(errors) => Err(self.messages(&errors)),
        }
    }

    fn errors(&self, text: impl AsRef<[u8]>) -> Vec<String> {
        match self.load(text) {
            Ok(_) => panic!("the configuration should have been refused"),
            Err(errors) => errors,
        }
    }

    fn messages(&self, errors: &ConfigErrors) -> Vec<String> {
        errors.findings().iter().map(|finding| self.short(&finding.to_string())).collect()
    }

    /// Without the directory, which has another name in every run.
    fn short(&self, message: &str) -> String {
        message.replace(&format!("{}/", self.directory.path().display()), "")
    }
}

fn is_of_public_issuers(warning: &Warning) -> bool {
    warning.message.starts_with("everybody gets certificates by ")
}

/// `WHOLE` with its last lines replaced.
fn with_issuers(issuers: &str) -> String {
    let (head, _) = WHOLE.split_once("issuers:").expect("it has them");
    format!("{head}{issuers}")
}

#[test]
fn the_signature_log_is_off_until_it_is_configured_and_has_the_bare_hosts_name() {
    let place = Place::new();
    let (config, _) = place.load(WHOLE).expect("accepted");
    assert_eq!(config.signature_log, None);
    for (more, origin, writers) in [
        ("", "127.0.0.1", Writers::Own),
        ("public_url: https://sign.example.com:8443\n", "sign.example.com", Writers::Own),
        ("public_url: 'http://[::1]:80'\n", "::1", Writers::Own),
    ] {
        let text = format!("{more}{WHOLE}signature_log: {{ key: log/signatures.pem }}\n");
        let (config, _) = place.load(text).expect("accepted");
        let log = config.signature_log.expect("a signature log");
        assert_eq!((log.origin.as_str(), log.writers), (origin, writers));
        assert_eq!(log.key, place.path("log/signatures.pem"));
    }
    let admitting = |admit: &str| {
        let text = format!("{WHOLE}signature_log: {{ key: log/signatures.pem, admit: {admit} }}\n");
        let (config, warnings) = place.load(text).expect("accepted");
        (config.signature_log.expect("a signature log").writers, warnings.join("\n"))
    };
    let (writers, warnings) = admitting("any");
    assert_eq!(writers, Writers::Any);
    assert!(warnings.contains("everybody who reaches this server"), "{warnings}");
    let (writers, warnings) = admitting("[own, ca/chain.pem]");
    assert!(matches!(&writers, Writers::Listed(listed) if listed.own), "{writers:?}");
    assert_eq!((format!("{writers:?}"), warnings), ("Listed(true, 2 CAs, 0 keys)".into(), String::new()));
}

#[test]
fn a_whole_configuration_becomes_values() {
    let place = Place::new();
    let (config, warnings) = place
        .load(
            "\
listen: '[::1]:5555'
public_url: https://ca.example.com
admin: { listen: 127.0.0.1:2112, names: [ops.example.com] }
data: store
ca:
  certificates: ca/chain.pem
  signer: { file: { key: ca/key.pem } }
  validity: 5m
log: { key: log/key.pem }
issuers:
  - url: https://gitlab.com
    type: gitlab-pipeline
  - url: https://host.example.com:8443/gitlab
    type: gitlab-pipeline
    audience: https://ca.example.com
    subject: project
    ca_certificate: gitlab-ca.pem
    outage_grace: 2h
    allow_fork_pipelines: true
    allow_undecidable_forks: true
    allow_multiple_audiences: true
  - url: https://storage.example.com/bucket/
    type: gitlab-pipeline
    instance_url: https://gitlab.internal.example.com/
    jwks_file: jwks.json
extensions: { gitlab_claims: true, arc: 1.3.6.1.4.1.99999.1 }
",
        )
        .expect("accepted");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.listen.to_string(), "[::1]:5555");
    assert_eq!(config.base_url(), "https://ca.example.com");
    assert_eq!(config.log_url(), "https://ca.example.com/ct");
    assert_eq!(config.admin.map(|a| a.to_string()).as_deref(), Some("127.0.0.1:2112"));
    assert_eq!(config.admin_names, ["ops.example.com"]);
    assert_eq!(config.data, place.path("store"));
    assert_eq!(config.ca.certificates().unwrap(), place.path("ca/chain.pem"));
    assert_eq!(config.ca.key().unwrap(), place.path("ca/key.pem"));
    assert_eq!(config.ca.validity, Duration::from_secs(300));
    assert_eq!(config.log.embedded().unwrap().key, place.path("log/key.pem"));
    assert_eq!(config.log.embedded().unwrap().origin, "ca.example.com/ct");
    assert!(config.claims_arc.is_some());

    let issuer = |url: &str| config.issuers.find(url).expect("configured");
    let gitlab_com = issuer("https://gitlab.com");
    assert_eq!(gitlab_com.entries[0].audience, "sigstore");
    assert!(matches!(
        &*gitlab_com.key_source,
        KeySource::Discovery { ca_certificate: None, outage_grace } if *outage_grace == Duration::from_secs(86_400)
    ));

    let managed = issuer("https://host.example.com:8443/gitlab");
    let entry = &managed.entries[0];
    let rules: &GitlabRules = entry.kind.as_type().expect("a GitLab");
    assert_eq!(rules.subject, SubjectMode::Project);
    assert!(rules.allow_fork_pipelines && rules.allow_undecidable_forks && entry.allow_multiple_audiences);
    assert_eq!(entry.audience, "https://ca.example.com");
    assert!(matches!(
        &*managed.key_source,
        KeySource::Discovery { ca_certificate: Some(_), outage_grace } if *outage_grace == Duration::from_secs(7200)
    ));

    let bucket = issuer("https://storage.example.com/bucket/");
    let rules: &GitlabRules = bucket.entries[0].kind.as_type().expect("a GitLab");
    assert_eq!(rules.instance_url.as_deref(), Some("https://gitlab.internal.example.com"));
    assert!(matches!(&*bucket.key_source, KeySource::Static(_)));
    assert!(config.issuers.find("https://storage.example.com/bucket").is_none());
}

#[test]
fn what_is_left_out_has_a_default() {
    let place = Place::new();
    let text = WHOLE.replace("listen: 127.0.0.1:5555\n", "").replace(", origin: ca.example.com/ct", "");
    let (config, warnings) = place.load(text).expect("accepted");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.base_url(), "http://127.0.0.1:5555");
    assert_eq!(config.log.embedded().unwrap().origin, "127.0.0.1:5555/ct");
    assert_eq!(config.ca.validity, Duration::from_secs(600));
    assert_eq!(config.admin, None);
    assert!(config.claims_arc.is_some());
}

#[test]
fn a_byte_order_mark_crlf_and_json_are_read() {
    let place = Place::new();
    assert!(place.load(format!("\u{feff}{WHOLE}")).is_ok());
    assert!(place.load(WHOLE.replace('\n', "\r\n")).is_ok());
    let json = r#"{"data":"data","ca":{"certificates":"ca/chain.pem","signer":{"file":{"key":"ca/key.pem"}}},
        "log":{"key":"log\/key.pem"},"issuers":[{"url":"https:\/\/gitlab.com","type":"gitlab-pipeline"}]}"#;
    assert!(place.load(json).is_ok());
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_order_of_the_lines() {
    let place = Place::new();
    let errors = place.errors(
        "listen: here\nca: { certificates: 7, validity: 10 }\nlog: { mode: off }\nissuers:\n  - url: x\n    tipe: y\nfoo: bar\n",
    );
    let places: Vec<_> =
        errors.iter().map(|error| error.splitn(3, ": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        places,
        [
            "countersign.yaml:1 listen",
            "countersign.yaml:1 data",
            "countersign.yaml:2 ca.certificates",
            "countersign.yaml:2 ca.signer",
            "countersign.yaml:2 ca.validity",
            "countersign.yaml:3 log.mode",
            "countersign.yaml:3 log.key",
            "countersign.yaml:5 issuers[0].url",
            "countersign.yaml:5 issuers[0].type",
            "countersign.yaml:6 issuers[0].tipe",
            "countersign.yaml:7 foo",
        ]
    );
}

#[test]
fn what_is_no_yaml_is_refused_with_its_line() {
    let place = Place::new();
    for (text, line) in
        [("a: [", 1), ("a: b\n\tc: d\n", 2), ("a: 'x\n", 1), ("a: *nothing\n", 1), ("a: b: c\n", 1)]
    {
        let errors = place.errors(text);
        assert_eq!(errors.len(), 1, "{text}");
        assert!(errors[0].starts_with("countersign.yaml:"), "{errors:?}");
        assert!(errors[0].contains("not YAML"), "{errors:?}");
        let found: usize = errors[0].split(':').nth(1).and_then(|line| line.parse().ok()).expect("a line");
        assert!(found >= line && found <= line + 1, "{errors:?}");
    }
    assert_eq!(place.errors(b"a: \xff\n"), ["countersign.yaml:1: is not UTF-8 text; save it as UTF-8"]);
    assert_eq!(
        place.errors("#".repeat(1024 * 1024 + 1)),
        ["countersign.yaml:1: countersign.yaml is larger than 1024 KiB"]
    );
    let nowhere = Config::load(Path::new("/nowhere/countersign.yaml")).expect_err("refused").to_string();
    assert_eq!(
        nowhere,
        "/nowhere/countersign.yaml:1: there is no such file; `countersign init DIR` makes a configuration"
    );
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let place = Place::new();
    for (from, to, expected) in [
        (
            "127.0.0.1:5555",
            "0.0.0.0:5555",
            "countersign.yaml:1: listen: is no address to connect to, and public_url is not set, so trust material names http://0.0.0.0:5555; set public_url",
        ),
        (
            "data: data",
            "data: data\npublic_url: http://ca.example.com",
            "countersign.yaml:3: public_url: is plain http: clients send their ID tokens in the clear",
        ),
        (
            "data: data",
            "data: data\nadmin: { listen: 0.0.0.0:2112 }",
            "countersign.yaml:3: admin.listen: is reachable from other machines, and asks for no password",
        ),
        (
            "https://gitlab.com",
            "https://GitLab.com",
            "countersign.yaml:8: issuers[0].url: is usually spelled https://gitlab.com; tokens are compared byte for byte, so only an iss spelled https://GitLab.com is accepted",
        ),
        (
            "data: data",
            "data: data\nextensions: { gitlab_claims: false, arc: 1.3.6.1.4.1.99999 }",
            "countersign.yaml:3: extensions.arc: has no effect, because gitlab_claims is false",
        ),
    ] {
        let (_, warnings) = place.load(WHOLE.replacen(from, to, 1)).expect("accepted");
        assert_eq!(warnings, [expected], "{to}");
    }
}

#[test]
fn one_issuer_may_have_several_audiences() {
    let place = Place::new();
    let (config, _) = place
        .load(with_issuers(
            "issuers:\n  - { url: https://gitlab.com, type: gitlab-pipeline }\n  - { url: https://gitlab.com, type: gitlab-pipeline, audience: other }\n",
        ))
        .expect("accepted");
    let issuer = config.issuers.find("https://gitlab.com").expect("configured");
    assert_eq!(
        issuer.entries.iter().map(|entry| entry.audience.as_str()).collect::<Vec<_>>(),
        ["sigstore", "other"]
    );
}

#[test]
fn plain_http_is_for_loopback_or_on_demand() {
    let place = Place::new();
    for entry in [
        "url: http://127.0.0.1:3000",
        "url: http://localhost:3000/gitlab",
        "url: 'http://[::1]:3000'",
        "url: http://gitlab.internal, insecure_http: true",
    ] {
        let text = with_issuers(&format!("issuers:\n  - {{ {entry}, type: gitlab-pipeline }}\n"));
        assert!(place.load(text).is_ok(), "{entry}");
    }
}

// --- the samples

fn samples() -> Vec<PathBuf> {
    let mut samples: Vec<_> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config"))
        .expect("config/ is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    samples.sort();
    samples
}

#[test]
fn every_sample_passes_the_check() {
    let samples = samples();
    assert!(samples.len() >= 5, "{samples:?}");
    for sample in samples {
        let warnings = config::check(&sample, true).unwrap_or_else(|errors| panic!("{errors}"));
        for warning in warnings {
            assert!(
                warning.message.contains("does not exist") || is_of_public_issuers(&warning),
                "{warning}"
            );
        }
    }
}

#[test]
fn every_sample_loads_beside_the_material_that_init_makes() {
    let place = Place::new();
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config"));
    for entry in fs::read_dir(directory).expect("config/ is there") {
        let path = entry.expect("readable").path();
        if path.is_file() {
            fs::copy(&path, place.path(path.file_name().and_then(|name| name.to_str()).expect("a name")))
                .expect("copied");
        }
    }
    for sample in samples().iter().filter_map(|sample| sample.file_name()?.to_str()) {
        if sample != "fulcio-identity.yaml" {
            let loaded = Config::load(&place.path(sample));
            let other = |warnings: &[Warning]| warnings.iter().any(|warning| !is_of_public_issuers(warning));
            assert!(loaded.as_ref().is_ok_and(|(_, warnings)| !other(warnings)), "{sample}: {loaded:?}");
        }
    }
}

/// Every key of the schema stands in the commented sample, be it behind a `#`.
#[test]
fn the_commented_sample_names_every_key() {
    let sample = include_str!("../../config/countersign.yaml");
    for key in [
        "listen",
        "public_url",
        "admin",
        "data",
        "ca",
        "certificates",
        "signer",
        "file",
        "key",
        "validity",
        "log",
        "password_file",
        "ephemeral",
        "mode",
        "origin",
        "accept",
        "public_key",
        "precertificates",
        "timeout",
        "issuers",
        "url",
        "type",
        "audience",
        "subject",
        "instance_url",
        "ca_certificate",
        "jwks_file",
        "outage_grace",
        "allow_fork_pipelines",
        "allow_undecidable_forks",
        "allow_multiple_audiences",
        "insecure_http",
        "identity_config",
        "policy",
        "rules",
        "name",
        "when",
        "effect",
        "message",
        "key_types",
        "oid",
        "claim",
        "extensions",
        "gitlab_claims",
        "arc",
        "broker",
        "seal_key",
        "keep",
        "drain",
        "rate_per_project",
        "compat",
        "role",
        "targets",
        "token",
        "env",
        "sudo_user",
        "max_inflight",
        "allow_http",
        "rotate",
        "before",
        "lifetime",
        "method",
        "roles",
        "target",
        "issuer",
        "kind",
        "path",
        "requested",
        "scopes",
        "access_level",
        "ttl",
        "max_ttl",
        "revoke",
        "token_name",
        "max_active",
        "max_active_per_project",
        "max_per_token",
        "allow_admin",
    ] {
        assert!(sample.contains(&format!("{key}:")), "{key}");
    }
}

#[test]
fn a_chain_that_does_not_chain_is_refused() {
    let place = Place::new();
    place.write("ca/chain.pem", authority().root.repeat(2));
    let errors = place.errors(WHOLE);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("countersign.yaml:4: ca.certificates: ca/chain.pem: "), "{errors:?}");
    assert!(CaChain::from_pem(b"").is_err());
}

proptest::proptest! {
    /// Whatever stands in the files: values or errors, never a panic, and never a refusal without a word.
    #[test]
    fn no_text_makes_it_panic(cut in 0..WHOLE.len(), junk in "[\\[\\]{}:,&*!|>'\"%@` \t\n\\-?<~a0#]{0,40}") {
        let place = Place::new();
        let text = format!("{}{junk}{}", &WHOLE[..cut], &WHOLE[cut..]);
        if let Err(errors) = place.load(&text) {
            proptest::prop_assert!(!errors.iter().any(|error| error.contains("nobody foresaw")), "{errors:?}");
        }
        let _ = fulcio::with_fulcio(&place, &junk);
        let _ = fulcio::with_fulcio(&place, &format!("oidc-issuers:\n  https://gitlab.com:\n    {junk}\n"));
    }
}

// --- the log's modes and the CA's material

/// `WHOLE` with another `log:`.
fn with_log(log: &str) -> String {
    WHOLE.replace("log: { mode: embedded, key: log/key.pem, origin: ca.example.com/ct }", log)
}

#[test]
fn an_external_log_needs_its_url_and_its_key_and_no_data() {
    let place = Place::new();
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/config/example-ct-log.pem"), place.path("ct.pem"))
        .unwrap();
    let text = with_log("log: { mode: external, url: 'https://log.example.com/2026/', public_key: ct.pem }");
    let (config, warnings) = place.load(text.replace("data: data\n", "")).unwrap();
    let LogConfig::External(log) = &config.log else { panic!("{:?}", config.log) };
    assert!(warnings.is_empty() && config.log.embedded().is_none());
    assert_eq!((log.url.as_str(), log.public_key.len()), ("https://log.example.com/2026", 91));
    assert_eq!((log.timeout, log.precertificates), (Duration::from_secs(10), true));
    let text = with_log(
        "log: { mode: external, url: 'http://log.internal', insecure_http: true, public_key: ct.pem, \
         precertificates: false, timeout: 2s, ca_certificate: gitlab-ca.pem }",
    );
    let (config, _) = place.load(text).unwrap();
    let LogConfig::External(log) = &config.log else { panic!("{:?}", config.log) };
    assert_eq!((log.timeout, log.precertificates), (Duration::from_secs(2), false));
    assert!(log.ca_certificate.is_some());
    place.write("ct.pem", &authority().log_key[..]);
    let errors =
        place.errors(with_log("log: { mode: external, url: 'https://log.example.com', public_key: ct.pem }"));
    let expected =
        "countersign.yaml:6: log.public_key: has a block \"PRIVATE KEY\"; one PUBLIC KEY is expected";
    assert_eq!(errors, [expected]);
}

#[test]
fn modes_and_material_that_promise_less_are_told_as_warnings() {
    let place = Place::new();
    let (config, warnings) = place.load(with_log("log: { mode: none }").replace("data: data\n", "")).unwrap();
    assert!(matches!(config.log, LogConfig::None));
    assert!(warnings[0].contains("log.mode: records nowhere what is issued"), "{warnings:?}");
    let files = "  certificates: ca/chain.pem\n  signer: { file: { key: ca/key.pem } }\n";
    let (config, warnings) = place.load(WHOLE.replace(files, "  ephemeral: {}\n")).unwrap();
    assert!(matches!(config.ca.material, CaMaterial::Ephemeral));
    assert!(warnings[0].contains("ca.ephemeral: makes another CA at every start"), "{warnings:?}");
    let errors = place.errors(WHOLE.replace(files, &format!("{files}  ephemeral: {{ curve: p256 }}\n")));
    assert_eq!(errors.len(), 3, "{errors:?}");
    let ed25519 = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ca_keys/ed25519.chain.pem");
    place.write("ca/chain.pem", fs::read(ed25519).unwrap());
    let (_, warnings) = place.load(WHOLE).unwrap();
    assert!(warnings[0].contains("ca.certificates: has an Ed25519 key"), "{warnings:?}");
}

#[test]
fn a_password_has_a_file_of_its_own() {
    let place = Place::new();
    let path = place.write("ca/password", "only its presence and its mode are checked");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("its mode");
    let with = |extra: &str| WHOLE.replace("key: ca/key.pem", &format!("key: ca/key.pem, {extra}"));
    let errors = place.errors(with("password_file: ca/password"));
    assert!(errors[0].contains("ca/password has mode 0644") && errors[0].contains("chmod 600"), "{errors:?}");
    fs::set_permissions(path, fs::Permissions::from_mode(0o400)).expect("its mode");
    let (config, _) = place.load(with("password_file: ca/password")).unwrap();
    let CaMaterial::Files { password_file, .. } = config.ca.material else { panic!("files") };
    assert_eq!(password_file, Some(place.path("ca/password")));
    let errors = place.errors(with("password_file: nowhere"));
    assert_eq!(errors, ["countersign.yaml:5: ca.signer.file.password_file: nowhere does not exist"]);
    let errors = place.errors(with("password: horse"));
    assert_eq!(
        errors,
        ["countersign.yaml:5: ca.signer.file.password: unknown key; did you mean password_file?"]
    );
}

#[test]
fn a_key_that_others_may_read_is_refused_by_the_check_as_by_the_start() {
    let place = Place::new();
    for (key, line) in [
        ("ca/key.pem", "countersign.yaml:5: ca.signer.file.key"),
        ("log/key.pem", "countersign.yaml:6: log.key"),
    ] {
        for mode in [0o640, 0o604, 0o644, 0o610] {
            fs::set_permissions(place.path(key), fs::Permissions::from_mode(mode)).expect("its mode");
            let errors = place.errors(WHOLE);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(
                errors[0].starts_with(line) && errors[0].contains(&format!("has mode {mode:04o}")),
                "{errors:?}"
            );
        }
        fs::set_permissions(place.path(key), fs::Permissions::from_mode(0o400)).expect("its mode");
        place.load(WHOLE).expect("accepted");
    }
}

#[test]
fn tls_makes_the_default_url_https_and_an_open_key_is_noticed() {
    let place = Place::new();
    let key = place.write("server.key", "only its presence is checked");
    let text = format!("{WHOLE}tls: {{ certificate: gitlab-ca.pem, key: server.key }}\n");
    for (mode, noticed) in [(0o600, false), (0o400, false), (0o640, true), (0o644, true)] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("its mode");
        let (config, warnings) = place.load(&text).expect("accepted");
        assert_eq!(config.base_url(), "https://127.0.0.1:5555");
        assert_eq!(config.log_url(), "https://127.0.0.1:5555/ct");
        let tls = config.tls.expect("tls");
        assert_eq!((tls.certificate, &tls.key), (place.path("gitlab-ca.pem"), &key));
        assert_eq!(
            warnings.iter().any(|warning| warning.contains("tls.key") && warning.contains("chmod 600")),
            noticed
        );
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its mode");
    let plain = format!("public_url: http://ca.example.com\n{text}");
    let (config, warnings) = place.load(plain).expect("accepted");
    assert_eq!(config.base_url(), "http://ca.example.com");
    assert!(warnings.iter().any(|warning| warning.contains("write https")), "{warnings:?}");
    let (config, _) = place.load(WHOLE).expect("accepted");
    assert_eq!((config.scheme(), config.tls.is_none()), ("http", true));
}
