//! `verify --bundle --extension`: what else the certificate of a bundle must say.

use super::{CONFIGURED, sign, world};
use crate::cli_user::{Ended, World};
use countersign::bundle::trust_material::TRUSTED_ROOT;

fn verify(world: &World, more: &[&str]) -> Ended {
    let (san, issuer) = (world.identity(), world.gitlab.url());
    let common = [
        "verify",
        "--bundle",
        "bundle",
        "--trusted-root",
        TRUSTED_ROOT,
        "--certificate-identity",
        &san,
        "--certificate-oidc-issuer",
        issuer,
        "artifact",
    ];
    world.run(&[&common[..], more].concat())
}

#[test]
fn a_bundle_is_held_to_extensions_beside_the_identity() {
    let world = world();
    world.token(|claims| claims["ref_protected"] = "false".into());
    let signed = sign(&world, "bundle", &CONFIGURED);
    assert_eq!(signed.code, 0, "{}", signed.err);
    let claims = world.gitlab.claims();
    let project = format!("project_id={}", claims["project_id"].as_str().unwrap());
    let by_name = project.replace("project_id", "source-repository-identifier");
    let by_oid = project.replace("project_id", "1.3.6.1.4.1.57264.1.15");
    for good in [
        &["--extension", "ref_protected=false"][..],
        &["--extension", &project, "--extension", &by_name, "--extension", &by_oid],
    ] {
        let ended = verify(&world, good);
        assert!(ended.code == 0 && ended.out.contains("Verified."), "{good:?}: {}{}", ended.out, ended.err);
    }
    for (wrong, words) in [
        ("ref_protected=true", "it is false, not true"),
        ("source-repository-identifier=0", "not 0"),
        ("ref_protected=", "it is false"),
        ("environment=production", "no such extension"),
        ("nothing=1", "no extension has this name"),
    ] {
        // A good one beside it does not help.
        let ended = verify(&world, &["--extension", &project, "--extension", wrong]);
        assert!(ended.code == 1 && ended.err.contains("not verified: "), "{wrong}: {}", ended.err);
        assert!(ended.out.contains(words) && !ended.out.contains("Verified."), "{wrong}: {}", ended.out);
        let ended = verify(&world, &["--json", "--extension", wrong]);
        let document = ended.json();
        assert_eq!((ended.code, &document["verified"]), (1, &false.into()), "{wrong}: {document}");
        let failed = |check: &&serde_json::Value| check["outcome"] == "failed";
        assert_eq!(document["checks"].as_array().unwrap().iter().filter(failed).count(), 1, "{document}");
    }
    // Of another arc, the name means another extension.
    let ended = verify(&world, &["--arc", "1.3.6.1.4.1.99999.7", "--extension", "ref_protected=false"]);
    assert!(ended.code == 1 && ended.out.contains("no such extension"), "{}{}", ended.out, ended.err);
    // A key has no certificate that could say anything.
    let ended = world.run(&[
        "verify",
        "--bundle",
        "bundle",
        "--trusted-root",
        TRUSTED_ROOT,
        "--key",
        "k",
        "--extension",
        "a=b",
        "artifact",
    ]);
    assert_eq!(ended.code, 2, "{}", ended.err);
}
