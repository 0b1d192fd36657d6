//! `broker:`: what is refused, each with its line; what is told; what it becomes.

mod refused;

use super::{Place, WHOLE, with_issuers};
use countersign::broker::{AccessLevel, Hosting, Kind, Revocation};
use countersign::config::Config;
use countersign::config::broker::CredentialSource;
use countersign::leasing::{Method, Rotation};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

/// It begins on line 9 of the file.
const BROKER: &str = "\
broker:
  audience: https://ca.example.com/broker
  targets:
    - name: default
      url: https://gitlab.com
      type: saas
      token: { file: gitlab.token }
  roles:
    - name: ci
      kind: project
      path: '{project_path}'
      scopes: [read_api]
      access_level: reporter
      ttl: 5m
      when: claims.project_path == \"acme/app\"
";

fn place() -> Place {
    let place = Place::new();
    for name in ["gitlab.token", "broker.key"] {
        let path = place.write(name, "glpat-secret");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode");
    }
    place
}

fn load(place: &Place, from: &str, to: &str) -> Result<(Config, Vec<String>), Vec<String>> {
    assert!(BROKER.contains(from), "{from}");
    place.load(format!("{WHOLE}{}", BROKER.replacen(from, to, 1)))
}

/// Defect 2 of the Vault plugin: one mistake hid another.
#[test]
fn defect_2_everything_that_is_wrong_with_a_role_is_said_at_once() {
    let errors = load(
        &place(),
        "      path: '{project_path}'\n      scopes: [read_api]\n      access_level: reporter\n      ttl: 5m\n      when: claims.project_path == \"acme/app\"\n",
        "      path: { requested: '(' }\n      scopes: [sudo]\n      access_level: king\n      ttl: 1s\n      when: 'true'\n      token_name: '{x}'\n    - name: ci\n      kind: pipeline-trigger\n      path: acme/app\n      ttl: 30d\n      revoke: gitlab\n      when: claims.project_id == '1'\n",
    )
    .map(|_| ())
    .expect_err("refused");
    let places: Vec<_> = errors.iter().filter_map(|error| error.split(": ").nth(1)).collect();
    assert_eq!(
        places,
        [
            "broker.roles[0].path",
            "broker.roles[0].scopes",
            "broker.roles[0].access_level",
            "broker.roles[0].ttl",
            "broker.roles[0].when",
            "broker.roles[0].token_name",
            "broker.roles[1]",
            "broker.roles[1].revoke",
        ],
        "{errors:#?}"
    );
}

#[test]
fn a_whole_broker_becomes_values() {
    let place = place();
    let (config, warnings) = load(
        &place,
        BROKER,
        "\
broker:
  audience: https://ca.example.com/broker
  seal_key: broker.key
  keep: 7d
  drain: true
  rate_per_project: 7
  compat: { role: me }
  targets:
    - { name: default, url: https://gitlab.com, type: saas, token: { env: GITLAB_TOKEN } }
    - name: own
      url: http://127.0.0.1:8080/gitlab
      issuer: https://gitlab.com
      token: { file: gitlab.token }
      sudo_user: bot
      ca_certificate: gitlab-ca.pem
      timeout: 30s
      max_inflight: 4
      rotate: { before: 48h, lifetime: 60d, method: self }
  roles:
    - { name: ci, target: default, kind: group-deploy, path: '{namespace_path}', scopes: [read_registry], ttl: 30d, revoke: gitlab,
        when: 'claims.namespace_id == \"7\"', max_active: 3, max_active_per_project: 2, max_per_token: 2, token_name: 'for {user_login}' }
    - { name: me, target: own, kind: impersonation, scopes: [write_repository], ttl: 60s, max_ttl: 10m,
        when: 'claims.project_path == \"acme/app\"' }
    - { name: one, target: own, kind: group, path: 77, scopes: [read_api], access_level: guest, ttl: 10s, when: 'claims.project_id == \"1\"' }
",
    )
    .expect("accepted");
    assert_eq!(warnings, [""; 0]);
    let broker = config.broker.expect("a broker");
    assert_eq!(broker.seal_key, Some(place.path("broker.key")));
    assert_eq!((broker.keep, broker.drain), (Duration::from_secs(7 * 86_400), true));
    let [default, own] = &broker.targets[..] else { panic!("{:?}", broker.targets) };
    assert_eq!((&*default.name, default.hosting), ("default", Hosting::Saas));
    assert_eq!(default.token, CredentialSource::Environment("GITLAB_TOKEN".into()));
    assert_eq!(
        (default.timeout, default.max_inflight, &default.rotate),
        (Duration::from_secs(10), 16, &None)
    );
    assert_eq!((&*own.url, own.hosting), ("http://127.0.0.1:8080/gitlab", Hosting::SelfManaged));
    assert_eq!(own.token, CredentialSource::File(place.path("gitlab.token")));
    assert_eq!((own.sudo_user.as_deref(), own.max_inflight), (Some("bot"), 4));
    assert!(own.ca_certificate.is_some());
    let rotation = Rotation {
        before: Duration::from_secs(48 * 3600),
        lifetime: Duration::from_secs(60 * 86_400),
        method: Method::Itself,
    };
    assert_eq!(own.rotate, Some(rotation));
    let roles = &broker.roles;
    assert_eq!((roles.audience(), roles.compat()), ("https://ca.example.com/broker", Some("me")));
    let ci = roles.get("ci").expect("a role");
    assert_eq!(
        (ci.kind(), ci.revocation(), ci.issuer()),
        (Kind::GroupDeploy, Revocation::Gitlab, "https://gitlab.com")
    );
    assert_eq!(
        (ci.ttl(), ci.max_ttl()),
        (Duration::from_secs(30 * 86_400), Duration::from_secs(30 * 86_400))
    );
    assert_eq!((ci.max_active(), ci.max_per_token(), ci.allow_admin()), (3, 2, false));
    assert_eq!((ci.max_active_per_project(), broker.rate_per_project), (2, 7));
    let me = roles.get("me").expect("a role");
    assert_eq!((me.target(), me.max_ttl(), me.max_active()), ("own", Duration::from_secs(600), 100));
    assert_eq!(roles.get("one").expect("a role").access_level(), Some(AccessLevel::Guest));
    // Off where it is absent.
    assert!(place.load(WHOLE).expect("accepted").0.broker.is_none());
}

/// A path is somebody else's at another GitLab: with several of them a role has to be for one.
#[test]
fn a_role_is_for_the_jobs_of_one_gitlab() {
    let place = place();
    let issuers = "issuers:\n  - { url: https://gitlab.com, type: gitlab-pipeline }\n  - { url: https://gitlab.example.com, type: gitlab-pipeline }\n";
    let issuer = |broker: &str| {
        let (config, _) = place.load(format!("{}{broker}", with_issuers(issuers)))?;
        Ok::<_, Vec<String>>(
            config.broker.expect("a broker").roles.get("ci").expect("a role").issuer().to_owned(),
        )
    };
    assert_eq!(issuer(BROKER).as_deref(), Ok("https://gitlab.com"));
    let elsewhere = BROKER
        .replace("url: https://gitlab.com", "url: https://git.example.com")
        .replace("saas", "dedicated");
    assert_eq!(
        issuer(&elsewhere).expect_err("refused"),
        [
            "countersign.yaml:18: broker.roles[0].issuer: is missing; a project's path is somebody else's at another GitLab, and there are https://gitlab.com, https://gitlab.example.com"
        ]
    );
    let named =
        elsewhere.replace("kind: project\n", "kind: project\n      issuer: https://gitlab.example.com\n");
    assert_eq!(
        issuer(&named).expect_err("refused"),
        [
            "countersign.yaml:20: broker.roles[0].issuer: is https://gitlab.example.com, and target default is at another URL (https://git.example.com), where users and projects have other numbers; name the target of that GitLab, or, if both are one GitLab, write issuer: https://gitlab.example.com into the target"
        ]
    );
    // The operator knows that they are one.
    let said =
        |broker: &str, url: &str| broker.replace("token: {", &format!("issuer: {url}\n      token: {{"));
    assert_eq!(
        issuer(&said(&named, "https://gitlab.example.com")).as_deref(),
        Ok("https://gitlab.example.com")
    );
    assert_eq!(issuer(&said(&elsewhere, "https://gitlab.com")).as_deref(), Ok("https://gitlab.com"));
    let other = issuer(&said(&named, "https://gitlab.com")).expect_err("refused");
    assert!(other[0].contains("says that it is another issuer's (https://gitlab.com)"), "{other:#?}");
    assert_eq!(
        issuer(&said(&elsewhere, "https://git.example.com")).expect_err("refused"),
        [
            "countersign.yaml:16: broker.targets[0].issuer: \"https://git.example.com\" is not listed as a GitLab; there are https://gitlab.com, https://gitlab.example.com"
        ]
    );
    // One URL in two spellings is one GitLab.
    for (url, same) in [
        ("https://GitLab.com:443", true),
        ("https://gitlab.com:8443", false),
        ("https://gitlab.com/gitlab", false),
        ("https://gitlab.com.example.com", false),
    ] {
        let broker =
            BROKER.replace("url: https://gitlab.com", &format!("url: {url}")).replace("saas", "dedicated");
        let one = place.load(format!("{WHOLE}{broker}")).map(|_| ());
        assert_eq!(one.is_ok(), same, "{url}: {one:#?}");
    }
    // Where there is no GitLab at all.
    let email = with_issuers("issuers:\n  - { url: https://accounts.example.com, type: email }\n");
    assert_eq!(
        place.load(format!("{email}{BROKER}")).map(|_| ()).expect_err("refused"),
        [
            "countersign.yaml:16: broker.roles: are for jobs of GitLab, and issuers lists none: write an entry with type: gitlab-pipeline"
        ]
    );
}

#[test]
fn roles_and_targets_that_give_more_than_is_meant_are_told() {
    let place = place();
    for (from, to, expected) in [
        (
            "scopes: [read_api]\n      access_level: reporter\n      ttl: 5m\n      when: claims.project_path == \"acme/app\"",
            "scopes: [api]\n      access_level: owner\n      ttl: 5m\n      when: claims.project_path.startsWith(\"acme/\")",
            &["gives every project of a group", "can make others (api"][..],
        ),
        ("[read_api]", "[api]", &[]),
        ("[read_api]", "[read_api, self_rotate]", &["has the scope self_rotate"]),
        (
            "claims.project_path == \"acme/app\"",
            "claims.project_path == \"acme/app\" && claims.ref == \"main\"",
            &["REF_WITHOUT_PROTECTION"],
        ),
        ("'{project_path}'", "{ requested: '.*' }", &["lets jobs choose any path"]),
        ("'{project_path}'", "{ requested: 'acme/[a-z]+' }", &[]),
        (
            "path: '{project_path}'\n      scopes: [read_api]\n      access_level: reporter\n      ttl: 5m\n      when: claims.project_path == \"acme/app\"",
            "path: { requested: '.*' }\n      scopes: [read_api]\n      access_level: reporter\n      ttl: 5m\n      when: claims.project_path == \"acme/app\" && request.path in [\"acme/a\", \"acme/b\"]",
            &[],
        ),
        ("type: saas", "type: self-managed", &["is GitLab.com; write type: saas"]),
        (
            "url: https://gitlab.com\n      type: saas",
            "url: http://gitlab.example.com\n      issuer: https://gitlab.com\n      allow_http: true",
            &["is plain http: whoever is on the way"],
        ),
    ] {
        let (_, warnings) = load(&place, from, to).expect("accepted");
        assert_eq!(warnings.len(), expected.len(), "{to}: {warnings:#?}");
        for (warning, expected) in warnings.iter().zip(expected) {
            assert!(warning.contains(expected), "{warning}");
        }
    }
    let two = "    - { name: unused, url: https://gitlab.example.com, token: { env: T } }\n  roles:";
    let errors =
        load(&place, "  roles:", two).map(|_| ()).expect_err("of two targets a role has to name one");
    assert_eq!(
        errors,
        ["countersign.yaml:18: broker.roles[0].target: is missing; there are default, unused"]
    );
    let text =
        BROKER.replace("  roles:", two).replace("kind: project\n", "kind: project\n      target: default\n");
    let (_, warnings) = place.load(format!("{WHOLE}{text}")).expect("accepted");
    assert_eq!(warnings, ["countersign.yaml:11: broker.targets: has unused, and no role is for it"]);
    let path = place.path("gitlab.token");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("its mode");
    let (_, warnings) = load(&place, "broker:", "broker:").expect("accepted");
    assert_eq!(
        warnings,
        [
            "countersign.yaml:15: broker.targets[0].token.file: gitlab.token has mode 0644, so others than its owner may use it; make it 0600 or 0400 (chmod 600)"
        ]
    );
    // The seal's key is ours: there the same is an error.
    fs::set_permissions(place.path("broker.key"), fs::Permissions::from_mode(0o640)).expect("its mode");
    let errors =
        load(&place, "broker:\n", "broker:\n  seal_key: broker.key\n").map(|_| ()).expect_err("refused");
    assert!(errors[0].contains("has mode 0640"), "{errors:?}");
}

#[test]
fn a_running_server_takes_over_roles_and_nothing_else_of_the_broker() {
    let place = place();
    let read = |from: &str, to: &str| load(&place, from, to).expect("accepted").0;
    let now = read("broker:", "broker:");
    for (from, to, keys) in [
        ("reporter", "guest", &[][..]),
        ("https://ca.example.com/broker", "https://ca.example.com/other", &[]),
        ("broker:\n", "broker:\n  compat: { role: ci }\n", &[]),
        ("broker:\n", "broker:\n  keep: 1d\n", &["broker.keep"]),
        ("broker:\n", "broker:\n  drain: true\n", &["broker.drain"]),
        ("broker:\n", "broker:\n  seal_key: broker.key\n", &["broker.seal_key"]),
        ("type: saas", "timeout: 5s", &["broker.targets"]),
    ] {
        assert_eq!(now.keys_that_need_a_restart(&read(from, to)), keys, "{to}");
    }
    let off = place.load(WHOLE).expect("accepted").0;
    assert_eq!(now.keys_that_need_a_restart(&off), ["broker (on or off)"]);
}

#[test]
fn roles_are_judged_beside_targets_that_are_wrong() {
    let place = place();
    let errors = |from: &str, to: &str| load(&place, from, to).map(|_| ()).expect_err("refused");
    let short =
        BROKER.replace("type: saas", "type: cloud").replace("ttl: 5m", "ttl: 1s\n      target: other");
    assert_eq!(
        errors(BROKER, &short),
        [
            "countersign.yaml:14: broker.targets[0].type: \"cloud\" is no type of instance; there are self-managed, saas, dedicated",
            "countersign.yaml:22: broker.roles[0].ttl: is out of bounds; 10s to 24h is possible where the broker revokes",
            "countersign.yaml:23: broker.roles[0].target: \"other\" is no target; there are default",
        ]
    );
    // A target whose name could not be read may be the one that is meant.
    let nameless =
        BROKER.replace("name: default", "name: a b").replace("ttl: 5m", "ttl: 1s\n      target: other");
    assert_eq!(
        errors(BROKER, &nameless),
        [
            "countersign.yaml:12: broker.targets[0].name: is 1 to 64 letters, digits, _ - and full stops",
            "countersign.yaml:22: broker.roles[0].ttl: is out of bounds; 10s to 24h is possible where the broker revokes",
        ]
    );
    let without = BROKER.replace("  targets:", "  goals:").replace("ttl: 5m", "ttl: 1s");
    let errors = errors(BROKER, &without).join("\n");
    assert!(errors.contains("broker.targets: is missing") && errors.contains("roles[0].ttl"), "{errors}");
}

/// Whatever way it is written: it would be sent to both, and be dead for one once the other has replaced it.
#[test]
fn two_targets_have_no_credential_in_common() {
    let place = place();
    std::os::unix::fs::symlink(place.path("gitlab.token"), place.path("link")).expect("a link");
    let second = |name: &str, url: &str, token: &str| {
        format!(
            "      token: {{ file: gitlab.token }}\n    - name: {name}\n      url: {url}\n      token: {token}\n  roles:\n    - target: default\n      name: ci\n"
        )
    };
    let from = "      token: { file: gitlab.token }\n  roles:\n    - name: ci\n";
    for token in ["{ file: gitlab.token }", "{ file: ./gitlab.token }", "{ file: link }"] {
        for url in ["https://git.example.com", "https://gitlab.com"] {
            let refused = load(&place, from, &second("own", url, token)).map(|_| ()).expect_err("refused");
            let expected = "countersign.yaml:18: broker.targets[1].token: is the credential of the target on line 12 too: it would be sent to both, and a \
                            rotation of one would end the other's; give each its own";
            assert!(refused.contains(&expected.to_owned()), "{token} {url}: {refused:#?}");
        }
    }
    load(&place, from, &second("own", "https://git.example.com", "{ env: OWN_TOKEN }")).expect("accepted");
    let both = second("own", "https://git.example.com", "{ env: OWN_TOKEN }")
        .replace("{ file: gitlab.token }", "{ env: OWN_TOKEN }");
    assert!(load(&place, from, &both).is_err(), "a variable");
}

/// Each target has its own in the store, whatever is written of it.
#[test]
fn credentials_may_be_sealed_in_the_store() {
    let two = "    - { name: default, url: https://gitlab.com, type: saas, token: sealed }\n    - { name: own, url: https://gitlab.com, token: sealed }\n";
    let one = "    - name: default\n      url: https://gitlab.com\n      type: saas\n      token: { file: gitlab.token }\n";
    let broker = BROKER.replace(one, two).replace("- name: ci\n", "- name: ci\n      target: own\n");
    let broker = broker.replace("  targets:", "  seal_key: broker.key\n  targets:");
    let (config, _) = load(&place(), BROKER, &broker).expect("accepted");
    let targets = config.broker.expect("a broker").targets;
    assert!(targets.len() == 2 && targets.iter().all(|target| target.token == CredentialSource::Sealed));
}
