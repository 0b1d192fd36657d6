//! A condition of a rule, and behind the first NUL the claims that it is asked about.

use super::world::SECRET;
use countersign::condition::{Condition, Scope};
use countersign::identity::IdentityType as _;
use countersign::identity::gitlab::GitlabRules;
use countersign::policy::{RequestFacts, scope};
use countersign::possession::KeyKind;
use countersign::token::Claims;
use std::sync::OnceLock;

fn gitlab() -> &'static Scope {
    static SCOPE: OnceLock<Scope> = OnceLock::new();
    SCOPE.get_or_init(|| scope(GitlabRules::default().claims()))
}

/// Whatever is written, there is a condition or a fault with its place; whatever it is asked about, it holds or not, or says that
/// it cannot tell, and says the same again.
pub fn target(data: &[u8]) {
    let mut parts = data.splitn(2, |octet| *octet == 0);
    let source = parts.next().unwrap_or_default();
    let claims = parts.next().unwrap_or(b"{}");
    let Ok(source) = std::str::from_utf8(source) else { return };
    let condition = match Condition::compile(source, gitlab()) {
        Ok(condition) => condition,
        Err(fault) => {
            let lines = source.chars().filter(|c| matches!(c, '\n' | '\r')).count() + 2;
            assert!((1..=lines).contains(&fault.line) && fault.column >= 1, "{fault:?}");
            return assert!(!fault.message.is_empty());
        }
    };
    assert_eq!(condition.source(), source);
    for advice in condition.advice() {
        assert!(!advice.message.is_empty() && !advice.lint.code().is_empty());
    }
    let Ok(claims) = Claims::parse(claims) else { return };
    for key in KeyKind::ALL {
        let facts =
            RequestFacts { issuer: "https://gitlab.com", iss: "https://gitlab.com", claims: &claims, key };
        let holds = condition.holds(&facts);
        assert_eq!(holds, condition.holds(&facts));
        if let Err(undecided) = &holds {
            let words = undecided.to_string();
            assert!(!words.is_empty() && (source.contains(SECRET) || !words.contains(SECRET)), "{words}");
        }
        assert!(!condition.steps(&facts).is_empty());
    }
}
