//! Trust material: what the server hands out is what `trust` prints, can be pinned by its digest, and follows the keys.

use crate::cli_user::World;
use crate::support::{Answer, TestCa, client};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use countersign::bundle::TrustedRoot;
use countersign::cli::trust;
use countersign::config::{CaConfig, CaMaterial, Config};
use countersign::server::Running;
use countersign::server::environment::Environment;
use countersign::signer::ceremony::{NewCa, Options};
use countersign::transparency::sha256;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

const FILES: [(&str, &str); 3] = [
    ("trusted_root.json", "root"),
    ("signing_config.v0.2.json", "signing-config"),
    ("client_trust_config.json", "client-config"),
];

fn get(world: &World, path: &str) -> Answer {
    world.runtime.block_on(Answer::of(client().get(format!("{}{path}", world.url()))))
}

#[test]
fn the_server_hands_out_what_trust_prints_with_a_digest_to_pin() {
    let world = World::new();
    let config = world.config_file();
    for (name, command) in FILES {
        let printed = world.run(&["trust", command, "--config", &config]).out;
        let path = format!("/trust/{name}");
        let answer = get(&world, &path);
        assert_eq!((answer.status.as_u16(), answer.text()), (200, printed.as_str()), "{name}");
        let headers = |answer: &Answer| {
            [
                "content-type",
                "content-length",
                "cache-control",
                "access-control-allow-origin",
                "etag",
                "repr-digest",
            ]
            .map(|name| answer.header(name).to_owned())
        };
        let digest = BASE64_STANDARD.encode(sha256(printed.as_bytes()));
        let [content_type, length, caching, origin, tag, repr_digest] = headers(&answer);
        assert_eq!(
            [content_type.as_str(), &caching, &origin, &repr_digest],
            ["application/json", "public, max-age=3600", "*", &format!("sha-256=:{digest}:")]
        );
        assert_eq!(length, printed.len().to_string());
        let url = world.url() + &path;
        let head = world.runtime.block_on(Answer::of(client().head(&url)));
        assert_eq!((head.status.as_u16(), headers(&head), head.body.len()), (200, headers(&answer), 0));
        let held = client().get(&url).header("if-none-match", &tag);
        let held = world.runtime.block_on(Answer::of(held));
        assert_eq!((held.status.as_u16(), held.body.len()), (304, 0));
        assert_eq!([held.header("etag"), held.header("cache-control")], [tag.as_str(), &caching]);
        let wanted = client().get(&url).header("if-match", "\"another\"");
        assert_eq!(world.runtime.block_on(Answer::of(wanted)).status, 412);
        let other = client().get(&url).header("if-none-match", "\"another\"");
        assert_eq!(world.runtime.block_on(Answer::of(other)).text(), printed);
        let posted = world.runtime.block_on(Answer::of(client().post(&url)));
        assert_eq!(posted.status, 501);
    }
    let tags: Vec<_> = FILES
        .iter()
        .map(|(name, _)| get(&world, &format!("/trust/{name}")).header("etag").to_owned())
        .collect();
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
    for nothing in ["/trust", "/trust/", "/trust/signing_config.json", "/trust/SHA256SUMS/"] {
        assert_eq!(get(&world, nothing).status, 404, "{nothing}");
    }
    TrustedRoot::from_json(&get(&world, "/trust/trusted_root.json").body).unwrap();

    let digests = world.run(&["trust", "digests", "--config", &config]).out;
    assert_eq!(get(&world, "/trust/SHA256SUMS").text(), digests);
    for (name, _) in FILES {
        fs::write(world.path(name), get(&world, &format!("/trust/{name}")).body).unwrap();
    }
    fs::write(world.path("SHA256SUMS"), &digests).unwrap();
    let checked = Command::new("sha256sum").args(["-c", "SHA256SUMS"]).current_dir(world.path("")).output();
    match checked {
        Ok(checked) => assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout)),
        Err(_) => eprintln!("skipped: sha256sum is not installed"),
    }
    let programs = world.run(&["--json", "trust", "digests", "--config", &config]).json();
    assert_eq!(programs["trusted_root.json"], digests.split(' ').next().unwrap());
}

#[test]
fn a_file_is_fetched_by_its_digest_or_not_at_all() {
    let world = World::new();
    let url = format!("{}/trust/trusted_root.json", world.url());
    let served = get(&world, "/trust/trusted_root.json").body;
    let digest = hex::encode(sha256(&served));
    let printed = world.run(&["trust", "fetch", &url, "--sha256", &digest]);
    assert_eq!((printed.code, printed.out.as_bytes()), (0, &served[..]), "{}", printed.err);
    let written =
        world.run(&["trust", "fetch", &url, "--sha256", &digest.to_uppercase(), "--out", "root.json"]);
    assert_eq!(
        (written.code, fs::read(world.path("root.json")).unwrap()),
        (0, served.clone()),
        "{}",
        written.err
    );
    let other = hex::encode([7; 32]);
    for more in [&[][..], &["--out", "root.json"], &["--out", "new.json"]] {
        let refused = world.run(&[&["trust", "fetch", &url, "--sha256", &other], more].concat());
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{more:?}");
        assert!(refused.err.contains("another digest") && refused.err.contains(&digest), "{}", refused.err);
    }
    assert_eq!(fs::read(world.path("root.json")).unwrap(), served);
    assert!(!world.path("new.json").exists());
    let nothing = world.run(&["trust", "fetch", &format!("{url}.old"), "--sha256", &digest]);
    assert!(nothing.code == 1 && nothing.err.contains("404"), "{}", nothing.err);
    for wrong in ["", "00", &digest[1..], "sha256"] {
        assert_eq!(world.run(&["trust", "fetch", &url, "--sha256", wrong]).code, 2, "{wrong}");
    }
}

#[test]
fn other_issuers_change_nothing_of_it() {
    let world = World::new();
    let before = get(&world, "/trust/client_trust_config.json");
    let text = fs::read_to_string(world.config_file()).unwrap();
    fs::write(world.config_file(), text.replace("audience: sigstore", "audience: elsewhere")).unwrap();
    world.runtime.block_on(world.server.as_ref().unwrap().reload());
    assert!(get(&world, "/api/v2/configuration").text().contains("elsewhere"));
    let after = get(&world, "/trust/client_trust_config.json");
    assert_eq!(after.header("etag"), before.header("etag"));
    assert_eq!(after.body, before.body);
}

/// What a verifier would be told of an address that is none.
#[tokio::test]
async fn nothing_is_handed_out_where_clients_cannot_be_told_an_address() {
    let without = TestCa::start().await;
    assert_eq!(without.config().listen.port(), 0);
    assert_eq!(without.get("/trust/trusted_root.json").await.status, 404);
    let with = TestCa::builder()
        .configure(|config| config.public_url = Some("https://ca.example.com".into()))
        .start()
        .await;
    let root = with.get("/trust/trusted_root.json").await.json();
    assert_eq!(root["certificateAuthorities"][0]["uri"], "https://ca.example.com");
    assert_eq!((&root["tlogs"], &root["timestampAuthorities"]), (&json!([]), &json!([])));
    let config = with.get("/trust/signing_config.v0.2.json").await.json();
    assert_eq!(config["caUrls"][0]["url"], "https://ca.example.com");
    assert!(config.get("rekorTlogConfig").is_none() && config.get("tsaConfig").is_none());
    // An ephemeral CA has no files to print it from.
    let ephemeral = TestCa::builder()
        .configure(|config| {
            config.public_url = Some("https://ca.example.com".into());
            config.ca = CaConfig { material: CaMaterial::Ephemeral, ..config.ca.clone() };
        })
        .start()
        .await;
    let root = ephemeral.get("/trust/trusted_root.json").await.json();
    let bundle = ephemeral.get("/api/v2/trustBundle").await.json();
    let last = bundle["chains"][0]["certificates"].as_array().unwrap().last().unwrap().clone();
    let der = pem::parse(last.as_str().unwrap()).unwrap().into_contents();
    let chain = root["certificateAuthorities"][0]["certChain"]["certificates"].as_array().unwrap();
    assert_eq!(chain.last().unwrap()["rawBytes"], BASE64_STANDARD.encode(der));
}

/// A bundle from before a key was replaced verifies with the root from after, as long as its window says so.
#[test]
fn replaced_keys_stay_with_their_windows_closed() {
    let mut world = World::new();
    let config = world.config_file();
    world.token(|_| {});
    fs::write(world.path("artifact"), "what was built").unwrap();
    let now = Environment::system().clock.now();
    let (soon, long_ago) = (now.plus(Duration::from_secs(60)).to_string(), "2020-01-01T00:00:00Z");
    for (file, until) in [("soon.json", soon.as_str()), ("long-ago.json", long_ago)] {
        let root = world.run(&["trust", "root", "--config", &config, "--until", until]);
        assert_eq!(root.code, 0, "{}", root.err);
        fs::write(world.path(file), root.out).unwrap();
    }
    let url = world.url();
    let signed = world.run(&[
        "sign",
        "artifact",
        "--bundle",
        "bundle",
        "--token-file",
        "token",
        "--trusted-root",
        "trusted_root.json",
        "--url",
        &url,
        "--log-url",
        &url,
    ]);
    assert_eq!(signed.code, 0, "{}", signed.err);
    world.stop();

    // A whole new CA beside the old logs.
    let ca = NewCa::make(&Options::default(), now).unwrap();
    for (name, content) in [
        ("ca/ca/chain.pem", ca.chain()),
        ("ca/ca/key.pem", ca.issuing_key.to_string()),
        ("ca/timestamps/chain.pem", ca.timestamps_chain()),
        ("ca/timestamps/key.pem", ca.timestamps_key.to_string()),
    ] {
        fs::write(world.path(name), content).unwrap();
        fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let text = fs::read_to_string(&config).unwrap();
    let verify = |world: &World| {
        let identity = world.identity();
        world.run(&[
            "verify",
            "--json",
            "--bundle",
            "bundle",
            "--trusted-root",
            "trusted_root.json",
            "--certificate-identity",
            &identity,
            "--certificate-oidc-issuer",
            world.gitlab.url(),
            "artifact",
        ])
    };
    for (also, outcome) in [
        ("", Some("TIMESTAMP_UNTRUSTED")),
        ("trust: { also: [../long-ago.json] }\n", Some("TIMESTAMP_NOT_VALID")),
        ("trust: { also: [../soon.json, ../soon.json] }\n", None),
    ] {
        fs::write(&config, format!("{text}{also}")).unwrap();
        let (loaded, _) = Config::load(config.as_ref()).unwrap();
        let printed = trust::load(&loaded).unwrap().files();
        let running = world.runtime.block_on(Running::start(loaded, Environment::system())).unwrap();
        world.server = Some(running);
        let root = get(&world, "/trust/trusted_root.json").body;
        assert_eq!(root, printed[0].octets);
        fs::write(world.path("trusted_root.json"), &root).unwrap();
        let root: Value = serde_json::from_slice(&root).unwrap();
        let count = |list: &str| root[list].as_array().unwrap().len();
        let authorities = if also.is_empty() { 1 } else { 2 };
        assert_eq!(
            ["certificateAuthorities", "timestampAuthorities", "ctlogs", "tlogs"].map(count),
            [authorities, authorities, 1, 1],
            "{also}: the logs are the same, and named once"
        );
        assert!(root["certificateAuthorities"][0]["validFor"].get("end").is_none());
        assert!(root["ctlogs"][0]["publicKey"]["validFor"].get("end").is_none());
        let verified = verify(&world);
        match outcome {
            None => assert_eq!(verified.code, 0, "{}", verified.out),
            Some(reason) => assert_eq!((verified.code, &verified.json()["reason"]), (1, &json!(reason))),
        }
        world.stop();
    }
    fs::write(world.path("soon.json"), "{}").unwrap();
    let refused = world.run(&["config", "check", &config]);
    assert!(refused.code == 78 && refused.err.contains("soon.json"), "{}{}", refused.out, refused.err);
}
