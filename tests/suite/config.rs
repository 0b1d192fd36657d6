//! Configurations: what is refused and in which words, what is accepted and what it becomes.

use countersign::certificate::CaChain;
use countersign::config::{self, Config, ConfigErrors};
use countersign::environment::UnixMillis;
use countersign::identity::{EntryKind, KeySource, gitlab::SubjectMode};
use countersign::signer::ceremony::{NewCa, Options};
use std::fs;
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
        for name in ["ca", "log"] {
            fs::create_dir(place.path(name)).expect("a directory");
        }
        let authority = authority();
        place.write("ca/chain.pem", authority.chain());
        place.write("ca/key.pem", "only its presence is checked");
        place.write("log/key.pem", "only its presence is checked");
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
                Ok((config, warnings.iter().map(|warning| self.short(&warning.to_string())).collect()))
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

/// `WHOLE` with its last lines replaced.
fn with_issuers(issuers: &str) -> String {
    let (head, _) = WHOLE.split_once("issuers:").expect("it has them");
    format!("{head}{issuers}")
}

#[test]
fn a_whole_configuration_becomes_values() {
    let place = Place::new();
    let (config, warnings) = place
        .load(
            "\
listen: '[::1]:5555'
public_url: https://ca.example.com
admin: { listen: 127.0.0.1:2112 }
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
    instance_url: https://gitlab.internal.example.com
    jwks_file: jwks.json
extensions: { gitlab_claims: true, arc: 1.3.6.1.4.1.99999.1 }
",
        )
        .expect("accepted");
    assert_eq!(warnings, [String::new(); 0]);
    assert_eq!(config.listen.to_string(), "[::1]:5555");
    assert_eq!(config.base_url(), "https://ca.example.com");
    assert_eq!(config.log_url(), "https://ca.example.com/ct");
    assert_eq!(config.admin.map(|a| a.to_string()).as_deref(), Some("127.0.0.1:2112"));
    assert_eq!(config.data, place.path("store"));
    assert_eq!(config.ca.certificates, place.path("ca/chain.pem"));
    assert_eq!(config.ca.key, place.path("ca/key.pem"));
    assert_eq!(config.ca.validity, Duration::from_secs(300));
    assert_eq!(config.log.key, place.path("log/key.pem"));
    assert_eq!(config.log.origin, "ca.example.com/ct");
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
    let EntryKind::GitlabPipeline(rules) = &entry.kind;
    assert_eq!(rules.subject, SubjectMode::Project);
    assert!(rules.allow_fork_pipelines && rules.allow_undecidable_forks && entry.allow_multiple_audiences);
    assert_eq!(entry.audience, "https://ca.example.com");
    assert!(matches!(
        &*managed.key_source,
        KeySource::Discovery { ca_certificate: Some(_), outage_grace } if *outage_grace == Duration::from_secs(7200)
    ));

    let bucket = issuer("https://storage.example.com/bucket/");
    let EntryKind::GitlabPipeline(rules) = &bucket.entries[0].kind;
    assert_eq!(rules.instance_url.as_deref(), Some("https://gitlab.internal.example.com"));
    assert!(matches!(&*bucket.key_source, KeySource::Static(_)));
    assert!(config.issuers.find("https://storage.example.com/bucket").is_none());
}

#[test]
fn what_is_left_out_has_a_default() {
    let place = Place::new();
    let text = WHOLE.replace("listen: 127.0.0.1:5555\n", "").replace(", origin: ca.example.com/ct", "");
    let (config, warnings) = place.load(text).expect("accepted");
    assert_eq!(warnings, [String::new(); 0]);
    assert_eq!(config.base_url(), "http://127.0.0.1:5555");
    assert_eq!(config.log.origin, "127.0.0.1:5555/ct");
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

/// Each: what to replace in `WHOLE`, by what, and the one error that follows.
const REFUSED: &[(&str, &str, &str)] = &[
    // keys
    ("listen:", "lisen:", "countersign.yaml:1: lisen: unknown key; did you mean listen?"),
    (
        "data: data\n",
        "",
        "countersign.yaml:1: data: is missing; name the directory of the log's store, data for instance",
    ),
    ("data: data", "data:", "countersign.yaml:2: data: has no value; give it one or remove the key"),
    (
        "data: data",
        "data: data\ndata: other",
        "countersign.yaml:3: data: stands here a second time, first on line 2",
    ),
    (
        "data: data",
        "data: data\ntls: { certificate: c, key: k }",
        "countersign.yaml:3: tls: comes with a later version; remove it: put a proxy that ends TLS in front, and its URL into public_url",
    ),
    (
        "data: data",
        "data: data\npolicy: []",
        "countersign.yaml:3: policy: comes with a later version; remove it: until then every pipeline of a listed issuer gets certificates",
    ),
    ("data: data", "data: data\n? [a]\n: b", "countersign.yaml:3: has a key that is not a scalar"),
    // addresses
    (
        "127.0.0.1:5555",
        "5555",
        "countersign.yaml:1: listen: is a number, a string is expected; put it in quotes",
    ),
    (
        "127.0.0.1:5555",
        ":5555",
        "countersign.yaml:1: listen: \":5555\" is not an IP address with a port; write 127.0.0.1:5555, or 0.0.0.0:5555 for every interface",
    ),
    (
        "data: data",
        "data: data\nadmin: 127.0.0.1:2112",
        "countersign.yaml:3: admin: is not a mapping; write `key: value` lines",
    ),
    (
        "data: data",
        "data: data\nadmin: {}",
        "countersign.yaml:3: admin.listen: is missing; write an address, 127.0.0.1:2112 for instance",
    ),
    (
        "data: data",
        "data: data\nadmin: { listen: 127.0.0.1:5555 }",
        "countersign.yaml:3: admin.listen: is the address of listen; give it a port of its own",
    ),
    (
        "data: data",
        "data: data\npublic_url: https://ca.example.com/",
        "countersign.yaml:3: public_url: \"https://ca.example.com/\" ends in a slash; remove it",
    ),
    (
        "data: data",
        "data: data\npublic_url: ca.example.com",
        "countersign.yaml:3: public_url: \"ca.example.com\" does not begin with https:// (or http://); write https://host, with a port or path where there is one",
    ),
    ("data: data", "data: jwks.json", "countersign.yaml:2: data: jwks.json is not a directory"),
    // ca
    (
        "  certificates: ca/chain.pem\n",
        "",
        "countersign.yaml:3: ca.certificates: is missing; name the PEM file of the chain, issuing certificate first, root last",
    ),
    ("ca/chain.pem", "nowhere.pem", "countersign.yaml:4: ca.certificates: nowhere.pem does not exist"),
    ("ca/chain.pem", "ca", "countersign.yaml:4: ca.certificates: ca is not a file"),
    ("ca/chain.pem", "[a, b]", "countersign.yaml:4: ca.certificates: is a list, a string is expected"),
    (
        "ca/key.pem",
        "nowhere.pem",
        "countersign.yaml:5: ca.signer.file.key: nowhere.pem does not exist; `countersign init` makes keys",
    ),
    (
        "{ file: { key: ca/key.pem } }",
        "{ pkcs11: {} }",
        "countersign.yaml:5: ca.signer.file: is missing; write file: { key: ca/key.pem }; other signers come with a later version",
    ),
    (
        "log: {",
        "  validity: 600\nlog: {",
        "countersign.yaml:6: ca.validity: \"600\" is not a duration; write 10m, 600s or 1h30m",
    ),
    (
        "log: {",
        "  validity: 30s\nlog: {",
        "countersign.yaml:6: ca.validity: \"30s\" is out of bounds; from 1m to 1d is possible",
    ),
    // log
    (
        "embedded",
        "external",
        "countersign.yaml:6: log.mode: external comes with a later version; embedded is what this one has",
    ),
    (
        "embedded",
        "none",
        "countersign.yaml:6: log.mode: none comes with a later version; embedded is what this one has",
    ),
    ("embedded", "embeded", "countersign.yaml:6: log.mode: \"embeded\" is no mode; write embedded"),
    (
        "ca.example.com/ct",
        "https://ca.example.com/ct",
        "countersign.yaml:6: log.origin: \"https://ca.example.com/ct\" has a scheme; write the log's URL without it",
    ),
    (
        "ca.example.com/ct",
        "a+b",
        "countersign.yaml:6: log.origin: \"a+b\" has a space, a control character or a plus sign in it",
    ),
    // issuers
    (
        "  - { url: https://gitlab.com, type: gitlab-pipeline }",
        "  []",
        "countersign.yaml:7: issuers: is empty; name at least one issuer",
    ),
    (
        "issuers:\n  - { url: https://gitlab.com, type: gitlab-pipeline }\n",
        "",
        "countersign.yaml:1: names no issuer; write issuers: [{ url: https://gitlab.com, type: gitlab-pipeline }]",
    ),
    (
        "url: https://gitlab.com, ",
        "",
        "countersign.yaml:8: issuers[0].url: is missing; write the GitLab instance's URL, as its tokens' iss has it",
    ),
    (
        ", type: gitlab-pipeline",
        "",
        "countersign.yaml:8: issuers[0].type: is missing; write type: gitlab-pipeline",
    ),
    (
        "gitlab-pipeline",
        "gitlab",
        "countersign.yaml:8: issuers[0].type: \"gitlab\" is no type of identity; gitlab-pipeline is",
    ),
    (
        "gitlab-pipeline",
        "email",
        "countersign.yaml:8: issuers[0].type: email comes with a later version; gitlab-pipeline is what this one has",
    ),
    (
        "gitlab-pipeline",
        "gitlab-pipeline, audience: 7",
        "countersign.yaml:8: issuers[0].audience: is a number, a string is expected; put it in quotes",
    ),
    (
        "gitlab-pipeline",
        "gitlab-pipeline, audience: ''",
        "countersign.yaml:8: issuers[0].audience: is empty; write the audience that jobs ask for, sigstore for instance",
    ),
    (
        "gitlab-pipeline",
        "gitlab-pipeline, audiance: x",
        "countersign.yaml:8: issuers[0].audiance: unknown key; did you mean audience?",
    ),
    (
        "gitlab-pipeline",
        "gitlab-pipeline, subject: sub",
        "countersign.yaml:8: issuers[0].subject: \"sub\" is no subject; write pipeline-definition or project",
    ),
    (
        "gitlab-pipeline",
        "gitlab-pipeline, insecure_http: yes",
        "countersign.yaml:8: issuers[0].insecure_http: is a string, true or false is expected",
    ),
    (
        "gitlab-pipeline",
        "gitlab-pipeline, instance_url: https://x/",
        "countersign.yaml:8: issuers[0].instance_url: \"https://x/\" ends in a slash; remove it",
    ),
    (
        "gitlab-pipeline",
        "gitlab-pipeline, outage_grace: 90d",
        "countersign.yaml:8: issuers[0].outage_grace: \"90d\" is out of bounds; from 0s to 30d is possible",
    ),
    (
        "gitlab-pipeline",
        "gitlab-pipeline, jwks_file: jwks.json, outage_grace: 1h",
        "countersign.yaml:8: issuers[0].outage_grace: has no use beside jwks_file: no keys are fetched for this issuer; remove one of them",
    ),
    (
        "gitlab-pipeline",
        "gitlab-pipeline, jwks_file: nowhere",
        "countersign.yaml:8: issuers[0].jwks_file: nowhere does not exist",
    ),
    (
        "gitlab-pipeline",
        "gitlab-pipeline, ca_certificate: jwks.json",
        "countersign.yaml:8: issuers[0].ca_certificate: has no certificate; a line -----BEGIN CERTIFICATE----- is expected",
    ),
    (
        "https://gitlab.com",
        "https://u:p@gitlab.com",
        "countersign.yaml:8: issuers[0].url: has a user name in it; remove what stands before the @",
    ),
    (
        "https://gitlab.com",
        "https://gitlab.com?x",
        "countersign.yaml:8: issuers[0].url: \"https://gitlab.com?x\" has a query or a fragment; remove what follows the ? or #",
    ),
    (
        "https://gitlab.com",
        "http://gitlab.com",
        "countersign.yaml:8: issuers[0].url: \"http://gitlab.com\" is plain http to another machine: whoever is on the network could hand out keys; use https, or set insecure_http: true on this entry",
    ),
    (
        "  - {",
        "  - { url: https://gitlab.com, type: gitlab-pipeline }\n  - {",
        "countersign.yaml:9: issuers[1]: issuer \"https://gitlab.com\" has an entry for audience \"sigstore\" at countersign.yaml:8 already; remove one, or give it another audience",
    ),
    (
        "  - {",
        "  - { url: https://gitlab.com, type: gitlab-pipeline, audience: a, outage_grace: 1h }\n  - {",
        "countersign.yaml:9: issuers[1]: gets its keys from elsewhere than the entry of the same issuer at countersign.yaml:8; an issuer has one set of keys: make ca_certificate, jwks_file and outage_grace the same",
    ),
    // identity_config, extensions
    (
        "data: data",
        "data: data\nidentity_config: nowhere.yaml",
        "countersign.yaml:3: identity_config: nowhere.yaml does not exist",
    ),
    (
        "data: data",
        "data: data\nextensions: { gitlab_claim: false }",
        "countersign.yaml:3: extensions.gitlab_claim: unknown key; did you mean gitlab_claims?",
    ),
    // the file
    (WHOLE, "", "countersign.yaml:1: the file is empty"),
    (WHOLE, "just words", "countersign.yaml:1: is not a mapping; write `key: value` lines"),
    (
        "data: data",
        "data: data\n---\na: b",
        "countersign.yaml:3: a second document begins here; one is expected",
    ),
];

#[test]
fn what_is_wrong_is_said_with_its_line_and_key() {
    let place = Place::new();
    for (from, to, expected) in REFUSED {
        assert!(WHOLE.contains(from), "{from}");
        assert_eq!(place.errors(WHOLE.replacen(from, to, 1)), [*expected], "{from} -> {to}");
    }
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
            "countersign.yaml:3: admin.listen: is reachable from other machines: metrics and readiness ask for no password",
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

// --- the identity configuration of Fulcio

fn with_fulcio(place: &Place, fulcio: &str) -> Result<(Config, Vec<String>), Vec<String>> {
    place.write("fulcio.yaml", fulcio);
    place.load(with_issuers("identity_config: fulcio.yaml\n"))
}

#[test]
fn a_fulcio_file_gives_its_gitlab_issuers() {
    let place = Place::new();
    let root = fs::read_to_string(place.path("gitlab-ca.pem")).expect("written");
    let pem = root.trim_end().replace('\n', "\n      ");
    let fulcio = format!(
        "\
define:
  - &url https://gitlab.example.com
  - &kind gitlab-pipeline
oidc-issuers:
  *url :
    issuer-url: *url
    client-id: sigstore
    type: *kind
    description: a GitLab
    contact: ops@example.com
    environment: production
    ca-cert: |
      {pem}
  http://localhost:3000:
    issuer-url: http://localhost:3000
    client-id: 7
    type: gitlab-pipeline
meta-issuers:
  https://*.gitlab.example.org/x/*:
    client-id: sigstore
    type: gitlab-pipeline
ci-issuer-metadata:
  *kind : {{}}
"
    );
    let (config, warnings) = with_fulcio(&place, &fulcio).expect("accepted");
    assert_eq!(warnings, [String::new(); 0]);
    let issuer = config.issuers.find("https://gitlab.example.com").expect("configured");
    assert!(matches!(&*issuer.key_source, KeySource::Discovery { ca_certificate: Some(_), .. }));
    assert_eq!(config.issuers.find("http://localhost:3000").expect("configured").entries[0].audience, "7");
    assert!(config.issuers.find("https://a.gitlab.example.org/x/b").is_some());
    assert!(config.issuers.find("https://a.b.gitlab.example.org/x/b").is_none());
}

#[test]
fn json_has_the_names_that_fulcios_json_has() {
    let place = Place::new();
    let json = r#"{"OIDCIssuers":{"https://gitlab.com":{"IssuerURL":"https:\/\/gitlab.com","ClientID":"sigstore","Type":"gitlab-pipeline","Description":"\ud83e\udd8a"}}}"#;
    let (config, warnings) = with_fulcio(&place, json).expect("accepted");
    assert_eq!(warnings, [String::new(); 0]);
    assert!(config.issuers.find("https://gitlab.com").is_some());
    let yaml_names = json.replace("OIDCIssuers", "oidc-issuers");
    assert!(with_fulcio(&place, &yaml_names).is_err());
}

#[test]
fn merge_keys_fill_in_what_is_not_written() {
    let place = Place::new();
    let fulcio = "\
base: &base { client-id: sigstore, type: gitlab-pipeline }
oidc-issuers:
  https://gitlab.com: { <<: *base, issuer-url: https://gitlab.com, client-id: other }
  https://gitlab.example.com:
    <<: [*base]
    issuer-url: https://gitlab.example.com
";
    let (config, warnings) = with_fulcio(&place, fulcio).expect("accepted");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(config.issuers.find("https://gitlab.com").expect("configured").entries[0].audience, "other");
    assert_eq!(
        config.issuers.find("https://gitlab.example.com").expect("configured").entries[0].audience,
        "sigstore"
    );
}

#[test]
fn entries_of_other_types_are_warned_of_and_left_out() {
    let place = Place::new();
    let fulcio = "\
oidc-issuers:
  https://accounts.google.com:
    issuer-url: https://accounts.google.com
    client-id: sigstore
    type: email
    issuer-claim: $.federated_claims.connector_id
  https://gitlab.com:
    issuer-url: https://gitlab.com
    client-id: sigstore
    type: ci-provider
    ci-provider: gitlab-pipeline
  https://gitlab.example.com:
    issuer-url: https://gitlab.example.com
    client-id: sigstore
    type: gitlab-pipeline
    no-such-key: 1
";
    let (config, warnings) = with_fulcio(&place, fulcio).expect("accepted");
    assert_eq!(
        warnings,
        [
            "fulcio.yaml:2: oidc-issuers.https://accounts.google.com: type email comes with a later version, so this entry is not used",
            "fulcio.yaml:7: oidc-issuers.https://gitlab.com: type ci-provider comes with a later version, so this entry is not used; write type: gitlab-pipeline to have it now",
            "fulcio.yaml:16: oidc-issuers.https://gitlab.example.com.no-such-key: unknown key; known here: issuer-url, type, client-id, ca-cert, issuer-claim, subject-domain, spiffe-trust-domain, ci-provider, challenge-claim, description, contact, environment, skip-email-verification",
        ]
    );
    assert!(config.issuers.find("https://accounts.google.com").is_none());
    assert!(config.issuers.find("https://gitlab.com").is_none());
    assert!(config.issuers.find("https://gitlab.example.com").is_some());
}

#[test]
fn a_wrong_fulcio_file_is_refused_with_its_own_lines() {
    let place = Place::new();
    let entry = |url: &str, rest: &str| {
        format!(
            "oidc-issuers:\n  {url}:\n    issuer-url: {url}\n    client-id: sigstore\n    type: gitlab-pipeline\n{rest}"
        )
    };
    for (fulcio, expected) in [
        (
            entry("https://gitlab.com", "")
                .replace("issuer-url: https://gitlab.com", "issuer-url: https://gitlab.org"),
            "fulcio.yaml:3: oidc-issuers.https://gitlab.com.issuer-url: is \"https://gitlab.org\", its key is \"https://gitlab.com\"; they must be the same",
        ),
        (
            entry("https://gitlab.com", "    ca-cert: nothing\n"),
            "fulcio.yaml:6: oidc-issuers.https://gitlab.com.ca-cert: has no certificate; a line -----BEGIN CERTIFICATE----- is expected",
        ),
        (
            entry("https://gitlab.com", "    client-id: other\n"),
            "fulcio.yaml:6: oidc-issuers.https://gitlab.com.client-id: stands here a second time, first on line 4",
        ),
        (
            entry("http://gitlab.internal", ""),
            "fulcio.yaml:2: oidc-issuers.http://gitlab.internal: is plain http to another machine: whoever is on the network could hand out keys; use https, or move the entry to issuers: of the main configuration with insecure_http: true",
        ),
        (
            entry("https://gitlab.com", "").replace("gitlab-pipeline", "nothing"),
            "fulcio.yaml:5: oidc-issuers.https://gitlab.com.type: \"nothing\" is no type of identity",
        ),
        (
            "oidc-issuers: {}\n".to_owned(),
            "fulcio.yaml:1: names no issuer; oidc-issuers or meta-issuers should have one",
        ),
        (String::new(), "fulcio.yaml:1: the file is empty"),
    ] {
        let errors = with_fulcio(&place, &fulcio).expect_err("refused");
        assert_eq!(errors, [expected]);
    }
}

#[test]
fn an_entry_in_both_files_is_refused() {
    let place = Place::new();
    place.write("fulcio.yaml", "oidc-issuers:\n  https://gitlab.com:\n    issuer-url: https://gitlab.com\n    client-id: sigstore\n    type: gitlab-pipeline\n");
    assert_eq!(
        place.errors(format!("{WHOLE}identity_config: fulcio.yaml\n")),
        [
            "fulcio.yaml:2: oidc-issuers.https://gitlab.com: issuer \"https://gitlab.com\" has an entry for audience \"sigstore\" at countersign.yaml:8 already; remove one, or give it another audience"
        ]
    );
}

/// Recorded answers of Fulcio v1.8.8 to configurations: what it refuses we refuse. What it accepts we accept, but for
/// the quirks in which a careful server may differ.
#[test]
fn files_that_fulcio_refuses_are_refused() {
    let place = Place::new();
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../fixtures/config/fulcio.json")).expect("JSON");
    assert_eq!(cases.len(), 26);
    for case in cases {
        let text = case["config_text"].as_str().map_or_else(|| case["config"].to_string(), str::to_owned);
        let text =
            text.replace("${ISSUER}", "http://127.0.0.1:4000/a").replace("${BASE}", "http://127.0.0.1:4000");
        // A tree is written as YAML; JSON with these names would be another file to Fulcio.
        let text = if case["config_text"].is_null() { format!("# YAML\n{text}") } else { text };
        let path = place.write("golden.yaml", text);
        let answer = config::check(&path, false);
        let name = &case["name"];
        if case["refused"] == true {
            assert!(answer.is_err(), "{name}");
        } else if case["quirk"].is_null() || case["quirk"] == "yaml-merge-keys" {
            assert!(answer.is_ok(), "{name}: {answer:?}");
        }
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
            assert!(warning.message.contains("does not exist"), "{warning}");
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
            assert!(loaded.as_ref().is_ok_and(|(_, warnings)| warnings.is_empty()), "{sample}: {loaded:?}");
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
        "mode",
        "origin",
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
        "extensions",
        "gitlab_claims",
        "arc",
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

#[test]
fn a_misspelt_section_is_named_beside_the_error_that_it_leads_to() {
    let place = Place::new();
    let path = place.write(
        "identity.yaml",
        "oidc-issuer:\n  https://gitlab.com: { issuer-url: https://gitlab.com, client-id: sigstore, type: gitlab-pipeline }\n",
    );
    let errors = config::check_identity_config(&path).expect_err("refused");
    assert_eq!(
        place.messages(&errors),
        ["identity.yaml:1: names no issuer; oidc-issuers or meta-issuers should have one"]
    );
    let warnings: Vec<_> =
        errors.warnings().iter().map(|warning| place.short(&warning.to_string())).collect();
    assert_eq!(warnings, ["identity.yaml:1: oidc-issuer: unknown key; did you mean oidc-issuers?"]);
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
        let _ = with_fulcio(&place, &junk);
        let _ = with_fulcio(&place, &format!("oidc-issuers:\n  https://gitlab.com:\n    {junk}\n"));
    }
}
