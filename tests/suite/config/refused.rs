//! Configurations that are refused, each with the one line that says why.

use super::{Place, WHOLE};

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
        "data: data\ntls: { certificate: gitlab-ca.pem }",
        "countersign.yaml:3: tls.key: is missing; name the PEM file of the certificate's private key",
    ),
    (
        "data: data",
        "data: data\ntls: { certificate: missing.pem, key: log/key.pem }",
        "countersign.yaml:3: tls.certificate: missing.pem does not exist",
    ),
    (
        "data: data",
        "data: data\ntls: { certificate: jwks.json, key: log/key.pem }",
        "countersign.yaml:3: tls.certificate: jwks.json: has no certificate; a line -----BEGIN CERTIFICATE----- is expected",
    ),
    (
        "data: data",
        "data: data\ntls: { certificate: gitlab-ca.pem, key: log/key.pem, ca: x }",
        "countersign.yaml:3: tls.ca: unknown key; known here: certificate, key",
    ),
    (
        "data: data",
        "data: data\nbogus: 1",
        "countersign.yaml:3: bogus: unknown key; known here: listen, tls, public_url, admin, log, data, ca, timestamps, signature_log, trust, extensions, issuers, identity_config, policy, broker",
    ),
    (
        "data: data",
        "data: data\npolicy: []",
        "countersign.yaml:3: policy: is not a mapping; write `key: value` lines",
    ),
    ("data: data", "data: data\n? [a]\n: b", "countersign.yaml:3: has a key that is not a scalar"),
    // paths
    (
        "data: data",
        "data: ~/data",
        "countersign.yaml:2: data: is taken as it stands: neither ~ nor ${…} is expanded; write the path out",
    ),
    (
        "data: data",
        "data: ${HOME}/data",
        "countersign.yaml:2: data: is taken as it stands: neither ~ nor ${…} is expanded; write the path out",
    ),
    (
        "log/key.pem",
        "ca/key.pem",
        "countersign.yaml:6: log.key: is the CA's key; the log needs one of its own",
    ),
    (
        "https://gitlab.com",
        "https://*.gitlab.com",
        "countersign.yaml:8: issuers[0].url: \"https://*.gitlab.com\" has a *, and no token's iss has; patterns stand in the meta-issuers of a Fulcio identity configuration (identity_config)",
    ),
    // the signature log
    (
        "issuers:",
        "signature_log: { admit: any }\nissuers:",
        "countersign.yaml:7: signature_log.key: is missing; name the PEM file of the signature log's private key (Ed25519 or ECDSA P-256)",
    ),
    (
        "issuers:",
        "signature_log: { key: log/key.pem }\nissuers:",
        "countersign.yaml:7: signature_log.key: is the certificate log's key; the signature log needs one of its own",
    ),
    (
        "issuers:",
        "signature_log: { key: ca/key.pem }\nissuers:",
        "countersign.yaml:7: signature_log.key: is the CA's key; the signature log needs one of its own",
    ),
    (
        "issuers:",
        "signature_log: { key: log/signatures.pem, origin: ca.example.com/ct }\nissuers:",
        "countersign.yaml:7: signature_log.origin: is the certificate log's (log.origin): each log needs a name of its own",
    ),
    (
        "issuers:",
        "signature_log: { key: log/signatures.pem, admit: all }\nissuers:",
        "countersign.yaml:7: signature_log.admit: \"all\" is not known; write own, any, or a list of own and PEM files",
    ),
    (
        "issuers:",
        "signature_log: { key: log/signatures.pem, admit: [] }\nissuers:",
        "countersign.yaml:7: signature_log.admit: is empty: nobody could write; write own, or name PEM files of CAs and public keys",
    ),
    (
        "issuers:",
        "signature_log: { key: log/signatures.pem, admit: [own, jwks.json] }\nissuers:",
        "countersign.yaml:7: signature_log.admit[1]: has no PEM block: certificates of CAs or public keys are expected",
    ),
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
        "data: data\nadmin: { listen: 127.0.0.1:2112, names: [ops.example.com, 'https://ops.example.com'] }",
        "countersign.yaml:3: admin.names[1]: \"https://ops.example.com\" is no host's name; write it in lower case, without scheme, port, path, wildcard and a full stop at its end",
    ),
    (
        "data: data",
        "data: data\nadmin: { listen: 127.0.0.1:2112, names: ['OPS.example.com:80'] }",
        "countersign.yaml:3: admin.names[0]: \"OPS.example.com:80\" is no host's name; write it in lower case, without scheme, port, path, wildcard and a full stop at its end",
    ),
    (
        "data: data",
        "data: data\nadmin: { listen: 127.0.0.1:2112, names: [a_b.example, 'ops.example.com.'] }",
        "countersign.yaml:3: admin.names[1]: \"ops.example.com.\" is no host's name; write it in lower case, without scheme, port, path, wildcard and a full stop at its end",
    ),
    (
        "data: data",
        "data: data\nadmin: { listen: 127.0.0.1:2112, names: ['[::1]', '*.example.org'] }",
        "countersign.yaml:3: admin.names[1]: \"*.example.org\" is no host's name; write it in lower case, without scheme, port, path, wildcard and a full stop at its end",
    ),
    (
        "data: data",
        "data: data\nadmin: { listen: 127.0.0.1:2112, names: ['*'] }",
        "countersign.yaml:3: admin.names[0]: \"*\" is no host's name; write it in lower case, without scheme, port, path, wildcard and a full stop at its end",
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
    (
        "data: data",
        "data: data\npublic_url: http://LOCALHOST:28443",
        "countersign.yaml:3: public_url: \"http://LOCALHOST:28443\" is usually spelled http://localhost:28443, and verifiers compare the host letter for letter; write it so",
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
        "{ mode: embedded, key: log/key.pem, origin: ca.example.com/ct }",
        "{ mode: external, public_key: jwks.json }",
        "countersign.yaml:6: log.url: is missing; write the log's base URL, what stands before /ct/v1/add-pre-chain\ncountersign.yaml:6: log.public_key: has 0 PEM blocks; one PUBLIC KEY is expected",
    ),
    (
        "{ mode: embedded, key: log/key.pem, origin: ca.example.com/ct }",
        "{ mode: external, url: http://log.example.com, public_key: nowhere.pem, timeout: 2m }",
        "countersign.yaml:6: log.url: \"http://log.example.com\" is plain http to another machine; use https, or set insecure_http: true here\ncountersign.yaml:6: log.public_key: nowhere.pem does not exist\ncountersign.yaml:6: log.timeout: \"2m\" is out of bounds; from 1s to 1m is possible",
    ),
    (
        "mode: embedded",
        "mode: none",
        "countersign.yaml:6: log.key: has no use with mode: none; remove it, or choose another mode\ncountersign.yaml:6: log.origin: has no use with mode: none; remove it, or choose another mode",
    ),
    (
        "origin: ca.example.com/ct",
        "url: https://log.example.com",
        "countersign.yaml:6: log.url: has no use with mode: embedded; remove it, or choose another mode",
    ),
    (
        "mode: embedded",
        "accept: [ca/chain.pem, jwks.json]",
        "countersign.yaml:6: log.accept[1]: has no root: a self-signed certificate is expected",
    ),
    (
        "embedded",
        "embeded",
        "countersign.yaml:6: log.mode: \"embeded\" is no mode; write embedded, external or none",
    ),
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
        "countersign.yaml:8: issuers[0].url: is missing; write the issuer's URL, as its tokens' iss has it",
    ),
    (
        ", type: gitlab-pipeline",
        "",
        "countersign.yaml:8: issuers[0].type: is missing; write the type of identity, gitlab-pipeline for instance",
    ),
    (
        "gitlab-pipeline",
        "gitlab",
        "countersign.yaml:8: issuers[0].type: \"gitlab\" is no type of identity; there are gitlab-pipeline, email, username, uri, spiffe, kubernetes, github-workflow, buildkite-job, codefresh-workflow, chainguard-identity",
    ),
    (
        "type: gitlab-pipeline",
        "type: username",
        "countersign.yaml:8: issuers[0]: is of type username and has no subject_domain; write the domain of the users",
    ),
    (
        "type: gitlab-pipeline",
        "type: username, subject_domain: https://gitlab.com",
        "countersign.yaml:8: issuers[0].subject_domain: has a scheme; write the domain alone",
    ),
    (
        "type: gitlab-pipeline",
        "type: username, subject_domain: example.com",
        "countersign.yaml:8: issuers[0].subject_domain: is not the issuer's host nor a neighbour of it: their last two labels must be the same, as with accounts.example.com and users.example.com",
    ),
    (
        "type: gitlab-pipeline",
        "type: uri, subject_domain: users.gitlab.com",
        "countersign.yaml:8: issuers[0].subject_domain: has no scheme; write it as https://host",
    ),
    (
        "type: gitlab-pipeline",
        "type: uri, subject_domain: http://users.gitlab.com",
        "countersign.yaml:8: issuers[0].subject_domain: has another scheme than the issuer",
    ),
    (
        "type: gitlab-pipeline",
        "type: spiffe",
        "countersign.yaml:8: issuers[0]: is of type spiffe and has no trust_domain; write it as example.org",
    ),
    (
        "type: gitlab-pipeline",
        "type: spiffe, trust_domain: Example.org",
        "countersign.yaml:8: issuers[0].trust_domain: is no trust domain; write it as example.org",
    ),
    (
        "type: gitlab-pipeline",
        "type: email, issuer_claim: '$.idps[*]'",
        "countersign.yaml:8: issuers[0].issuer_claim: \"$.idps[*]\" is no path to one claim; write $.claim, $.outer.inner, $[\"any name\"] or $.list[0]",
    ),
    (
        "type: gitlab-pipeline",
        "type: email, trust_domain: example.org",
        "countersign.yaml:8: issuers[0].trust_domain: is not for entries of type email; remove it",
    ),
    (
        "type: gitlab-pipeline",
        "type: kubernetes, allow_fork_pipelines: true",
        "countersign.yaml:8: issuers[0].allow_fork_pipelines: is not for entries of type kubernetes; remove it",
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
        "gitlab-pipeline, instance_url: https://x//",
        "countersign.yaml:8: issuers[0].instance_url: \"https://x/\" ends in a slash; remove it",
    ),
    (
        "gitlab-pipeline",
        "gitlab-pipeline, instance_url: https://x/a%20b",
        "countersign.yaml:8: issuers[0].instance_url: a GitLab instance's relative root is made of letters, digits, `-`, `_`, `.`, `~`",
    ),
    (
        "url: https://gitlab.com",
        "url: https://gitlab.com/a+b",
        "countersign.yaml:8: issuers[0].url: a GitLab instance's relative root is made of letters, digits, `-`, `_`, `.`, `~`; set instance_url beside it, since certificates name pipelines by this URL",
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
        assert_eq!(place.errors(WHOLE.replacen(from, to, 1)).join("\n"), *expected, "{from} -> {to}");
    }
}
