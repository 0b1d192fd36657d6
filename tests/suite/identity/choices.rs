//! What an operator can choose; and the policy writers' documentation.

use super::*;

#[test]
fn raw_claims_go_under_the_operators_arc_or_nowhere() {
    let arc = ClaimsArc::parse("1.3.6.1.4.1.99999.3").expect("an arc");
    let rules = GitlabRules { claims_arc: Some(arc.clone()), ..GitlabRules::default() };
    let principal = principal_under(rules, &base()).expect("a principal");
    let below = principal.extensions().iter().filter(|extension| extension.oid.parent() == Some(*arc.arc()));
    assert_eq!(below.count(), 20);

    let rules = GitlabRules { claims_arc: None, ..GitlabRules::default() };
    let said = Said::of(&principal_under(rules.clone(), &base()).expect("a principal"));
    assert_eq!((said.fulcio.len(), said.gitlab.len()), (17, 0));
    let claims = with(json!({"deployment_tier": 7}));
    assert_refused_under(rules, &claims, Reason::ClaimWrongType, "deployment_tier", "gitlab-3");
}

#[test]
fn an_issuer_that_a_pattern_admits_is_named_by_its_own_url() {
    let pattern =
        IssuerPattern::parse("https://gitlab-*.example.com", [entry(GitlabRules::default())], key_source());
    let issuers = Issuers::new(Vec::new(), vec![pattern.expect("a pattern")]);
    let claims = on_instance("https://gitlab-eu.example.com", "gitlab-eu.example.com");
    let said = Said::of(&principal_among(&issuers, &claims).expect("a principal"));
    assert_eq!(said.san, "https://gitlab-eu.example.com/acme/widgets//.gitlab-ci.yml@refs/heads/main");
    assert_eq!(said.fulcio[&1], "https://gitlab-eu.example.com");
    let refusal = principal_among(&issuers, &on_instance("https://gitlab-eu.example.com.evil.example", "x"))
        .unwrap_err();
    assert_eq!(refusal.reason(), Reason::TokenIssuerUnknown);
}

#[test]
fn the_documentation_lists_every_identifier_with_its_name() {
    let document = include_str!("../../../docs/EXTENSIONS.md");
    let has_row = |arc: u32, name: &str| {
        document.lines().any(|line| line.starts_with(&format!("| .{arc} |")) && line.contains(name))
    };
    for (oid, name) in FULCIO_NAMES {
        assert!(has_row(oid.arcs().last().expect("an arc"), name), "{oid} {name}");
    }
    for claim in GitlabClaim::ALL {
        assert!(has_row(claim as u32, &format!("`{}`", claim.name())), "{claim:?}");
    }
    assert!(document.contains(&ClaimsArc::default().to_string()));
    assert!(document.contains(&extensions::FULCIO.to_string()));
}
