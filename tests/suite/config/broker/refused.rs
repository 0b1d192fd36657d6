//! What is refused of `broker:`, each with the lines that say why.

use super::{BROKER, load, place};

/// Each: what to replace in `BROKER`, by what, and the errors that follow, without the file's name.
const REFUSED: &[(&str, &str, &[&str])] = &[
    // the section
    (
        BROKER,
        "broker: {}\n",
        &[
            "9: broker.audience: is missing; write the only audience that jobs' ID tokens may have here, https://ca.example.com/broker for instance",
            "9: broker.targets: is missing; write the GitLab whose tokens are handed out: [{ name: default, url: …, token: { file: gitlab.token } }]",
            "9: broker.roles: is missing; write who gets which tokens",
        ],
    ),
    (BROKER, "broker: true\n", &["9: broker: is not a mapping; write `key: value` lines"]),
    (
        "  audience:",
        "  audeince:",
        &[
            "9: broker.audience: is missing; write the only audience that jobs' ID tokens may have here, https://ca.example.com/broker for instance",
            "10: broker.audeince: unknown key; did you mean audience?",
        ],
    ),
    (
        "https://ca.example.com/broker",
        "sigstore",
        &[
            "10: broker.audience: is the audience of https://gitlab.com too, so a token for certificates would buy tokens of GitLab's; give the broker one of its own",
        ],
    ),
    ("https://ca.example.com/broker", "''", &["10: broker.audience: has 0 octets; 1 to 255 are possible"]),
    (
        "https://ca.example.com/broker",
        "a b",
        &["10: broker.audience: has a space or a control character in it"],
    ),
    (
        "broker:\n",
        "broker:\n  rate_per_project: 0\n",
        &["10: broker.rate_per_project: \"0\" is no whole number from 1 to 60000"],
    ),
    (
        "broker:\n",
        "broker:\n  keep: 59m\n",
        &["10: broker.keep: \"59m\" is out of bounds; from 1h to 366d is possible"],
    ),
    (
        "broker:\n",
        "broker:\n  drain: sometimes\n",
        &["10: broker.drain: is a string, true or false is expected"],
    ),
    (
        "broker:\n",
        "broker:\n  seal_key: nowhere\n",
        &["10: broker.seal_key: nowhere does not exist; `countersign broker seal-key FILE` makes one"],
    ),
    (
        "      token:",
        "      rotate: {}\n      token:",
        &[
            "9: broker.seal_key: is missing; a target rotates, and its new credential is sealed with it. `countersign broker seal-key FILE` makes one",
        ],
    ),
    (
        "broker:\n",
        "broker:\n  compat: { role: nobody }\n",
        &["10: broker.compat.role: \"nobody\" is no role"],
    ),
    (
        "broker:\n",
        "broker:\n  compat: {}\n",
        &["10: broker.compat.role: is missing; name the role whose tokens GET /token gives"],
    ),
    (
        "  roles:\n    - name: ci\n      kind: project\n      path: '{project_path}'\n      scopes: [read_api]\n      access_level: reporter\n",
        "  compat:\n    role: ci\n  roles:\n    - name: ci\n      kind: project-deploy\n      path: '{project_path}'\n      scopes: [read_repository]\n",
        &[
            "17: broker.compat.role: \"ci\" gives deploy tokens, whose user name is not in the body that clients of GET /token read; name another role",
        ],
    ),
    // targets
    (
        "    - name: default\n      url: https://gitlab.com\n      type: saas\n      token: { file: gitlab.token }\n",
        "    []\n",
        &["11: broker.targets: has 0 targets; 1 to 64 are possible"],
    ),
    (
        "  roles:",
        "    - { name: default, url: https://gitlab.example.com, token: { env: T } }\n  roles:",
        &["16: broker.targets[1]: has the name of the target on line 12: default; give it one of its own"],
    ),
    (
        "name: default",
        "name: a b",
        &["12: broker.targets[0].name: is 1 to 64 letters, digits, _ - and full stops"],
    ),
    (
        "url: https://gitlab.com",
        "url: http://gitlab.example.com",
        &[
            "13: broker.targets[0].url: is plain http, over which the credential would go in the clear; write https, or set allow_http: true",
        ],
    ),
    (
        "url: https://gitlab.com",
        "url: https://ada:glpat-x@gitlab.com",
        &["13: broker.targets[0].url: has a user name in it; remove what stands before the @"],
    ),
    (
        "url: https://gitlab.com",
        "url: https://gitlab.com/?x=1",
        &[
            "13: broker.targets[0].url: \"https://gitlab.com/?x=1\" has a query or a fragment; remove what follows the ? or #",
        ],
    ),
    (
        "type: saas",
        "type: cloud",
        &[
            "14: broker.targets[0].type: \"cloud\" is no type of instance; there are self-managed, saas, dedicated",
        ],
    ),
    (
        "token: { file: gitlab.token }",
        "token: sealed",
        &[
            "9: broker.seal_key: is missing; a target's token is sealed with it. `countersign broker seal-key FILE` makes one",
        ],
    ),
    (
        "token: { file: gitlab.token }",
        "token: { sealed: true }",
        &[
            "15: broker.targets[0].token.sealed: unknown key; known here: file, env",
            "15: broker.targets[0].token: names no place; write { file: gitlab.token }, { env: NAME }, or sealed",
        ],
    ),
    (
        "token: { file: gitlab.token }",
        "token: glpat-secret",
        &[
            "15: broker.targets[0].token: is no place for the credential itself; put it into a file, and write { file: gitlab.token }, { env: NAME }, or sealed",
        ],
    ),
    (
        "token: { file: gitlab.token }",
        "token: { env: glpat-secret }",
        &["15: broker.targets[0].token.env: is no name of an environment variable: letters, digits and _"],
    ),
    (
        "token: { file: gitlab.token }",
        "token: { file: gitlab.token, env: A }",
        &["15: broker.targets[0].token.env: has no use beside file; name one of the two"],
    ),
    (
        "token: { file: gitlab.token }",
        "token: {}",
        &[
            "15: broker.targets[0].token: names no place; write { file: gitlab.token }, { env: NAME }, or sealed",
        ],
    ),
    (
        "token: { file: gitlab.token }",
        "token: { file: nowhere }",
        &["15: broker.targets[0].token.file: nowhere does not exist"],
    ),
    (
        "type: saas",
        "sudo_user: a/b",
        &["14: broker.targets[0].sudo_user: is not the name of a user, which has no slash in it"],
    ),
    (
        "type: saas",
        "timeout: 61s\n      max_inflight: 0",
        &[
            "14: broker.targets[0].timeout: \"61s\" is out of bounds; from 1s to 1m is possible",
            "15: broker.targets[0].max_inflight: \"0\" is no whole number from 1 to 256",
        ],
    ),
    (
        "type: saas",
        "ca_certificate: jwks.json",
        &[
            "14: broker.targets[0].ca_certificate: has no certificate; a line -----BEGIN CERTIFICATE----- is expected",
        ],
    ),
    ("broker:\n", "broker:\n  seal_key: broker.key\n", &[]),
    (
        "type: saas",
        "rotate: { before: 1h, lifetime: 366d, method: both }",
        &[
            "9: broker.seal_key: is missing; a target rotates, and its new credential is sealed with it. `countersign broker seal-key FILE` makes one",
            "14: broker.targets[0].rotate.before: \"1h\" is out of bounds; from 1d to 730h is possible",
            "14: broker.targets[0].rotate.lifetime: \"366d\" is out of bounds; from 2d to 365d is possible",
            "14: broker.targets[0].rotate.method: \"both\" is no method; write auto, create or self",
        ],
    ),
    (
        "type: saas",
        "rotate: { before: 72h, lifetime: 3d }",
        &[
            "9: broker.seal_key: is missing; a target rotates, and its new credential is sealed with it. `countersign broker seal-key FILE` makes one",
            "14: broker.targets[0].rotate.before: is not less than lifetime, so that every new credential would be replaced at once",
        ],
    ),
    // roles
    (
        "  roles:\n",
        "  roles: []\n  rules:\n",
        &[
            "16: broker.roles: has 0 roles; 1 to 1000 are possible",
            "17: broker.rules: unknown key; did you mean roles?",
        ],
    ),
    (
        "name: ci",
        "name: -ci",
        &[
            "17: broker.roles[0].name: begins with a letter, a digit or _, and has those, full stops and hyphens behind it",
        ],
    ),
    (
        "kind: project",
        "kind: projects",
        &["18: broker.roles[0].kind: \"projects\" is no kind of token; did you mean project?"],
    ),
    (
        "kind: project",
        "kind: impersonation",
        &[
            "18: broker.roles[0].kind: is impersonation, which needs an administrator's credential, which nobody has at GitLab.com",
            "19: broker.roles[0].path: is not for impersonation, which is of the user who triggered the job; remove it",
            "21: broker.roles[0].access_level: is for projects' and groups' own tokens, not for impersonation; remove it",
        ],
    ),
    (
        "'{project_path}'",
        "'{project}'",
        &[
            "19: broker.roles[0].path: names \"project\", which paths are not made of; there are project_path, project_id, namespace_path, namespace_id",
        ],
    ),
    (
        "'{project_path}'",
        "acme",
        &["19: broker.roles[0].path: is not the path of a project: the group's path, a slash, and its name"],
    ),
    (
        "'{project_path}'",
        "{ requested: '(' }",
        &["19: broker.roles[0].path: is no regular expression (RE2's syntax)"],
    ),
    (
        "'{project_path}'",
        "{ pattern: 'a' }",
        &[
            "19: broker.roles[0].path.requested: is missing; write a regular expression that has to match the whole path",
            "19: broker.roles[0].path.pattern: unknown key; known here: requested",
        ],
    ),
    (
        "      path: '{project_path}'\n",
        "",
        &["17: broker.roles[0].path: is missing; write whose token it is, \"{project_path}\" for instance"],
    ),
    (
        "[read_api]",
        "[read_apo, sudo]",
        &[
            "20: broker.roles[0].scopes: \"read_apo\" is no scope of project; did you mean read_api?",
            "20: broker.roles[0].scopes: \"sudo\" is no scope of project; there are api, read_api, read_repository, write_repository, read_registry, write_registry, create_runner, manage_runner, ai_features, k8s_proxy, self_rotate",
        ],
    ),
    (
        "      scopes: [read_api]\n",
        "",
        &[
            "17: broker.roles[0].scopes: is empty, and GitLab makes no token without a scope; there are api, read_api, read_repository, write_repository, read_registry, write_registry, create_runner, manage_runner, ai_features, k8s_proxy, self_rotate",
        ],
    ),
    (
        "reporter",
        "minimal_access",
        &[
            "21: broker.roles[0].access_level: \"minimal_access\" is no access level; there are guest, planner, reporter, security_manager, developer, maintainer, owner",
        ],
    ),
    (
        "      access_level: reporter\n",
        "",
        &[
            "17: broker.roles[0].access_level: is missing; write guest, planner, reporter, security_manager, developer, maintainer or owner",
        ],
    ),
    (
        "ttl: 5m",
        "ttl: 9s",
        &["22: broker.roles[0].ttl: is out of bounds; 10s to 24h is possible where the broker revokes"],
    ),
    (
        "ttl: 5m",
        "ttl: 300",
        &["22: broker.roles[0].ttl: \"300\" is not a duration; write 10m, 600s or 1h30m"],
    ),
    (
        "ttl: 5m",
        "ttl: 5m\n      max_ttl: 1m",
        &["23: broker.roles[0].max_ttl: is less than ttl, which it bounds"],
    ),
    (
        "ttl: 5m",
        "ttl: 23h\n      revoke: gitlab",
        &[
            "22: broker.roles[0].ttl: is out of bounds; 24h to 365d is possible where GitLab ends it, which it does at midnight",
        ],
    ),
    (
        "ttl: 5m",
        "ttl: 5m\n      revoke: vault",
        &["23: broker.roles[0].revoke: \"vault\" ends no token; write broker or gitlab"],
    ),
    (
        "ttl: 5m",
        "ttl: 5m\n      token_name: '{token}'",
        &[
            "23: broker.roles[0].token_name: names \"token\", which tokens' names are not made of; there are role, path, scopes, access_level, ttl, kind, target, project_path, job_id, pipeline_id, ref, user_login",
        ],
    ),
    (
        "ttl: 5m",
        "ttl: 5m\n      max_active: 3\n      max_active_per_project: 4",
        &["24: broker.roles[0].max_active_per_project: is more than max_active, which bounds it"],
    ),
    (
        "ttl: 5m",
        "ttl: 5m\n      max_active: -1\n      max_per_token: 0",
        &[
            "23: broker.roles[0].max_active: \"-1\" is no whole number from 0 to 100000",
            "24: broker.roles[0].max_per_token: is 0, so that nobody would get a token; remove the role",
        ],
    ),
    (
        "ttl: 5m",
        "ttl: 5m\n      target: other",
        &["23: broker.roles[0].target: \"other\" is no target; there are default"],
    ),
    (
        "ttl: 5m",
        "ttl: 5m\n      issuer: https://gitlab.example.com",
        &[
            "23: broker.roles[0].issuer: \"https://gitlab.example.com\" is not listed as a GitLab; there are https://gitlab.com",
        ],
    ),
    (
        "      when: claims.project_path == \"acme/app\"\n",
        "",
        &[
            "17: broker.roles[0].when: is missing; write for which jobs it is: claims.project_path == \"acme/app\" for instance",
        ],
    ),
    (
        "claims.project_path == \"acme/app\"",
        "claims.project_pth == \"acme/app\"",
        &[
            "23: broker.roles[0].when: claims.project_pth is unknown; did you mean project_path? (character 7)",
        ],
    ),
    (
        "claims.project_path == \"acme/app\"",
        "'claims.ref == \"main\"'",
        &[
            "23: broker.roles[0].when: does not say whose jobs: claims.ref == \"main\" can hold for jobs of any project; compare claims.project_path, project_id, namespace_path, namespace_id or sub with what you write out, by ==, in, or startsWith(\"group/\") with its slash",
        ],
    ),
];

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let place = place();
    let mut wrong = Vec::new();
    for (from, to, expected) in REFUSED {
        let errors = load(&place, from, to).map_or_else(|errors| errors, |_| Vec::new());
        let expected: Vec<_> = expected.iter().map(|error| format!("countersign.yaml:{error}")).collect();
        if errors != expected {
            wrong.push(format!("{from} -> {to}\n{errors:#?}\n{expected:#?}"));
        }
        assert!(!errors.join("").contains("glpat"), "{errors:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
