//! The claims of a token that the issuer signed, as every type of identity reads them.

use super::world::{ISSUER, check_principal, check_refusal, verified};
use countersign::identity::gitlab::{GitlabRules, SubjectMode};
use countersign::identity::types::{Settings, TYPES};
use countersign::identity::{EntryKind, Principal};
use countersign::refusal::Reason;
use countersign::token::VerifiedToken;
use std::sync::OnceLock;
use url::Url;

/// Every type but `ci-provider`, which has a target of its own, with what an operator may set.
fn kinds() -> &'static [EntryKind] {
    static KINDS: OnceLock<Vec<EntryKind>> = OnceLock::new();
    KINDS.get_or_init(|| {
        let project = GitlabRules {
            subject: SubjectMode::Project,
            allow_fork_pipelines: true,
            allow_undecidable_forks: true,
            claims_arc: None,
            ..GitlabRules::default()
        };
        let mut kinds = vec![EntryKind::from(project)];
        for row in TYPES {
            let settings = Settings {
                issuer: ISSUER,
                subject_domain: Some(if row.name == "uri" { ISSUER } else { "gitlab.example.com" }),
                trust_domain: Some("example.org"),
                ..Settings::default()
            };
            kinds.extend((row.build)(&settings).ok());
        }
        kinds
    })
}

/// Whatever the claims, a principal says of them what its type promises, or the refusal says why there is none.
pub fn target(data: &[u8]) {
    let token = match verified(data) {
        Ok(token) => token,
        Err(refusal) => return check_refusal(&refusal),
    };
    for kind in kinds() {
        match kind.principal(ISSUER, &token) {
            Ok(principal) => {
                check_principal(&principal);
                check_type(kind, &principal, &token);
            }
            Err(refusal) => {
                check_refusal(&refusal);
                assert_ne!(refusal.reason(), Reason::TemplateFailed);
            }
        }
    }
}

fn check_type(kind: &EntryKind, principal: &Principal, token: &VerifiedToken) {
    let name = principal.name().text();
    let claim = |name: &str| token.claims().member(name).and_then(|value| value.as_str());
    match kind.name() {
        "gitlab-pipeline" => {
            let url = Url::parse(name).expect("a URL");
            assert_eq!((url.host_str(), url.port()), (Some("gitlab.example.com"), None), "{name}");
            assert!(url.username().is_empty() && url.query().is_none() && url.fragment().is_none(), "{name}");
            let (place, git_ref) = name.rsplit_once("@refs/").expect("a ref");
            let decoded = percent_encoding::percent_decode_str(git_ref).decode_utf8().expect("UTF-8");
            let kind_of_ref = if claim("ref_type") == Some("tag") { "tags" } else { "heads" };
            let of_ref = || format!("refs/{kind_of_ref}/{}", claim("ref").expect("a ref"));
            // GitLab before 16.0 has no `ref_path`.
            let expected = claim("ref_path").map_or_else(of_ref, str::to_owned);
            assert_eq!(format!("refs/{decoded}"), expected, "{name}");
            let rules = kind.as_type::<GitlabRules>().expect("its rules");
            let project = claim("project_path").expect("a project");
            if !rules.allow_fork_pipelines {
                assert!(claim("job_project_path").is_none_or(|job| job == project), "a fork: {name}");
            }
            if rules.subject == SubjectMode::Project {
                assert_eq!(place, format!("{ISSUER}/{project}"));
            }
        }
        "spiffe" => assert!(name.starts_with("spiffe://example.org/"), "{name}"),
        "uri" => {
            assert_eq!(Url::parse(name).ok().as_ref().and_then(Url::host_str), Some("gitlab.example.com"))
        }
        "username" => assert!(name.ends_with("!gitlab.example.com"), "{name}"),
        "email" => {
            let (user, host) = name.split_once('@').expect("an address");
            assert!(!user.is_empty() && !host.is_empty() && !host.contains('@'), "{name}");
        }
        _ => assert!(name.contains("://"), "{name}"),
    }
}
