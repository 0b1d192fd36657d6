//! `countersign verify --policy`, over certificates and bundles of a CA that serves, and the examples of docs/VERIFYING.md.

use crate::cli_user::{Ended, World};
use countersign::bundle::trust_material::SIGNING_CONFIG;
use countersign::cli::trust;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// A world with what a job has signed on a protected branch: a file, and a provenance of it.
fn world() -> World {
    let world = World::new();
    for file in trust::load(&world.config).unwrap().files() {
        fs::write(world.path(file.name), file.octets).unwrap();
    }
    fs::write(world.path("artifact"), "what was built\n").unwrap();
    let builder = format!("{}/my-group/my-project/-/runners/12270807", world.gitlab.url());
    let predicate = json!({ "runDetails": { "builder": { "id": builder } } });
    fs::write(world.path("predicate.json"), predicate.to_string()).unwrap();
    world.token(|_| {});
    for (bundle, more) in [
        ("message", &[][..]),
        (
            "attestation",
            &[
                "--attestation",
                "--predicate-type",
                "https://slsa.dev/provenance/v1",
                "--predicate",
                "predicate.json",
            ],
        ),
    ] {
        let ended = world.run(
            &[
                &[
                    "sign",
                    "artifact",
                    "--bundle",
                    bundle,
                    "--token-file",
                    "token",
                    "--trusted-root",
                    "trusted_root.json",
                ][..],
                &["--signing-config", SIGNING_CONFIG],
                more,
            ]
            .concat(),
        );
        assert_eq!(ended.code, 0, "{}", ended.err);
    }
    let ended = world.run(&["request", "--url", &world.url(), "--token-file", "token", "--out", "mine"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    world
}

fn write(world: &World, policies: &str) {
    fs::write(world.path("policies.yaml"), policies.replace("ISSUER", world.gitlab.url())).unwrap();
}

const COMMON: [&str; 4] = ["--trusted-root", "trusted_root.json", "--policy", "policies.yaml"];

fn of_bundle(world: &World, bundle: &str, more: &[&str]) -> Ended {
    world.run(&[&["verify", "artifact", "--bundle", bundle][..], &COMMON, more].concat())
}

fn of_certificate(world: &World, more: &[&str]) -> Ended {
    world.run(&[&["verify", "mine/certificate.pem"][..], &COMMON, more].concat())
}

const MAIN: &str = r#"
policies:
  - name: releases
    when: |
      cert.issuer == "ISSUER" && cert.gitlab.project_id == "20"
      && cert.gitlab.ref_type == "tag"
    message: Only tags are releases.
  - name: main
    when: cert.issuer == "ISSUER" && cert.gitlab.project_id == "20" && cert.gitlab.ref == "main" && cert.gitlab.ref_protected == "true"
"#;

#[test]
fn the_answer_names_the_policy_that_admits_or_says_of_each_why_it_does_not() {
    let world = world();
    let admits = |ended: &Ended, name: &str| {
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        assert!(ended.out.contains(&format!("admitted by \"{name}\"")), "{}", ended.out);
        assert_eq!(ended.err, "");
    };
    write(&world, MAIN);
    for bundle in ["message", "attestation"] {
        admits(&of_bundle(&world, bundle, &[]), "main");
    }
    admits(&of_certificate(&world, &[]), "main");
    let document = of_bundle(&world, "message", &["--json"]).json();
    assert_eq!((&document["policy"], &document["warnings"]), (&json!("main"), &json!([])));
    let document = of_certificate(&world, &["--json"]).json();
    assert_eq!((&document["policy"], &document["verified"]), (&json!("main"), &json!(true)));
    // Admitted is only what holds in every other way.
    for of in [
        of_bundle(&world, "message", &["--json", "--extension", "ref_protected=false"]),
        of_certificate(&world, &["--json", "--extension", "ref_protected=false"]),
    ] {
        let document = of.json();
        assert_eq!((&document["verified"], &document["policy"]), (&json!(false), &Value::Null), "{document}");
    }

    // Beside an identity both must be met.
    let identity = world.identity();
    let right = ["--certificate-identity", &identity, "--certificate-oidc-issuer", world.gitlab.url()];
    let wrong = ["--certificate-identity", "https://x", "--certificate-oidc-issuer", world.gitlab.url()];
    admits(&of_bundle(&world, "message", &right), "main");
    admits(&of_certificate(&world, &right), "main");
    assert!(of_bundle(&world, "message", &wrong).err.contains("IDENTITY_MISMATCH"));
    let ended = of_certificate(&world, &wrong);
    assert!(ended.out.contains("(policies are asked only about what holds)"), "{}", ended.out);
    assert_eq!(of_certificate(&world, &right[..2]).code, 2);
    assert_eq!(of_bundle(&world, "message", &right[2..]).code, 2);
    // A certificate whose SCT nobody looked at is nothing that policies are asked about.
    let ended = world.run(&[
        "verify",
        "mine/certificate.pem",
        "--chain",
        "mine/chain.pem",
        "--policy",
        "policies.yaml",
    ]);
    assert!(ended.code == 1 && ended.out.contains("whose SCT holds: give --log-key"), "{}", ended.out);

    write(&world, &MAIN.replace("\"main\"", "\"stable\""));
    let ended = of_bundle(&world, "message", &[]);
    assert_eq!(ended.code, 1);
    for expected in [
        "not verified: policy: none of 2 policies admits it [NOT_ADMITTED]",
        "policy \"releases\": Only tags are releases.\n",
        "cert.gitlab.ref_type == \"tag\" does not hold (cert.gitlab.ref_type is \"branch\")",
        "policy \"main\"\n",
        "cert.gitlab.ref == \"stable\" does not hold (cert.gitlab.ref is \"main\")",
    ] {
        assert!(ended.err.contains(expected), "{expected}\n{}", ended.err);
    }
    let document = of_bundle(&world, "message", &["--json"]).json();
    assert_eq!(document["reason"], "NOT_ADMITTED");
    let refused = &document["policies"][0];
    assert_eq!(
        (&refused["policy"], &refused["message"]),
        (&json!("releases"), &json!("Only tags are releases."))
    );
    assert!(refused["reasons"][0].as_str().unwrap().contains("does not hold"));
    let tag =
        refused["steps"].as_array().unwrap().iter().find(|step| step["holds"] == false && step["depth"] == 1);
    assert_eq!(tag.unwrap()["values"], json!({ "cert.gitlab.ref_type": "branch" }));
    let ended = of_certificate(&world, &["--json"]);
    let document = ended.json();
    assert_eq!((ended.code, &document["verified"]), (1, &json!(false)));
    assert_eq!(document["policies"][1]["policy"], "main");

    // What a certificate does not tell.
    write(&world, "policies: [{ name: late, when: signed_at >= cert.not_before }]");
    assert!(of_certificate(&world, &[]).out.contains("nothing that is trusted says when it was signed"));
    admits_with_warning(&of_bundle(&world, "message", &[]));

    the_examples_of_the_document(&world);
    a_file_that_is_wrong(&world);
}

fn admits_with_warning(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.err.starts_with("warning: policy \"late\" does not ask who signed"), "{}", ended.err);
    assert!(ended.err.contains("[SIGNER_NOT_NAMED]"), "{}", ended.err);
}

/// Indented blocks that begin with `policies:`, as they would be for this world's pipeline.
fn the_examples_of_the_document(world: &World) {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/VERIFYING.md")).unwrap();
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some("policies:") => {
                blocks.push("policies:\n".to_owned());
                inside = true;
            }
            Some(more) if inside => *blocks.last_mut().unwrap() += &format!("{more}\n"),
            _ => inside = false,
        }
    }
    let mut admitted = Vec::new();
    for block in blocks {
        let block = [
            ("https://gitlab.com", world.gitlab.url()),
            ("acme/widgets", "my-group/my-project"),
            ("42831435", "20"),
            ("1730270", "72"),
        ]
        .iter()
        .fold(block, |block, (theirs, ours)| block.replace(theirs, ours));
        fs::write(world.path("policies.yaml"), block).unwrap();
        admitted.push(["message", "attestation"].map(|bundle| {
            let ended = of_bundle(world, bundle, &["--json"]);
            let document = ended.json();
            assert!(ended.code == 0 || document["reason"] == "NOT_ADMITTED", "{}{}", ended.out, ended.err);
            assert!(ended.code == 1 || document["warnings"] == json!([]), "{}", document["warnings"]);
            document["policy"].as_str().unwrap_or_default().to_owned()
        }));
    }
    assert_eq!(
        admitted,
        [["main", "main"], ["pipelines, or the release manager"; 2], ["", "provenance"], ["", ""],]
    );
}

fn a_file_that_is_wrong(world: &World) {
    for (policies, expected) in [
        ("policies: []", "policies.yaml:1: policies: there is no policy"),
        ("rules: []", "policies.yaml:1: policies: is missing"),
        ("policies: [{ when: \"true\" }]", "policies.yaml:1: policies[0].name: is missing"),
        ("policies:\n  - name: a\n    expires: never\n", "policies.yaml:3: policies[0].expires: unknown key"),
        ("policies:\n  - name: a\n", "policies.yaml:2: policies[0].when: is missing"),
        (
            "policies:\n  - { name: a, when: true }\n  - { name: a, when: true }\n",
            "policies.yaml:3: policies[1].name: is the name of the policy on line 2",
        ),
        (
            "policies:\n  - name: a\n    when: |\n      cert.san == \"x\"\n      && cert.gitlab.project_pth == \"x\"\n",
            "policies.yaml:5: policies[0].when: cert.gitlab.project_pth is unknown; did you mean project_path?",
        ),
        (
            "policies:\n  - name: a\n    when: cert.gitlab.environment == \"x\"\n",
            "policies.yaml:3: policies[0].when: cert.gitlab.environment is not always there",
        ),
        (
            "policies:\n  - name: a\n    when: |\n      cert.issuer == \"x\" &&\n      \"team\" in cert.extensions\n",
            "policies.yaml:5: policies[0].when: cert.extensions has object identifiers: \"team\" is none",
        ),
        (
            "policies:\n  - { name: \"a\\u200bb\", when: \"true\" }\n",
            "policies.yaml:2: policies[0].name: a policy's name has no character that nobody sees, or that turns others around: \\u{200b}",
        ),
        (
            "policies:\n  - name: a\n    when: cert.san != \"x\u{200b}\"\n",
            "policies.yaml:3: policies[0].when: has a character in it that nobody sees, or that turns others around; delete it, or write \\u200b",
        ),
        ("policies: [\n", "policies.yaml:"),
    ] {
        write(world, policies);
        for ended in [of_bundle(world, "message", &[]), of_certificate(world, &[])] {
            assert_eq!(ended.code, 78, "{policies}: {}{}", ended.out, ended.err);
            assert!(
                ended.err.contains("the policy file has ") && ended.err.contains(expected),
                "{expected}\n{}",
                ended.err
            );
        }
    }
    let ended = world.run(&[
        "verify",
        "artifact",
        "--bundle",
        "message",
        "--trusted-root",
        "trusted_root.json",
        "--policy",
        "nowhere",
    ]);
    assert!(ended.code == 78 && ended.err.contains("nowhere:1: there is no such file"), "{}", ended.err);
    // Nobody was named at all.
    let ended =
        world.run(&["verify", "artifact", "--bundle", "message", "--trusted-root", "trusted_root.json"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    let _: Value = of_bundle(world, "message", &["--json"]).json();
}
