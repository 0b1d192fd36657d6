//! Texts of conditions that no token has, as far as the configuration tells.

use super::against::Against;
use crate::config::reader::Field;
use crate::config::values::quoted;
use crate::identity::gitlab::{GitlabRules, PIPELINE_SOURCES};
use crate::policy::Rule;
use crate::spelling::nearest;

/// Warns of a rule's comparisons with issuers that are not listed, with audiences that none of its issuers has, and with what is nearly a source of
/// pipelines.
pub fn of_rule(rule: &Rule, item: &Field<'_>, against: &Against<'_>) {
    let Some(condition) = &rule.when else { return };
    for path in [&["issuer"][..], &["claims", "iss"]] {
        for text in condition.compared(path) {
            let label = against.issuers().label(text);
            if label.is_none_or(|label| !rule.concerns(label)) {
                let known = against.names().filter(|name| rule.concerns(name) && !name.contains('*'));
                tell(item, path, text, "which is no issuer that it is about", known);
            }
        }
    }
    let path = ["claims", "aud"];
    let audiences = || against.entries(rule.issuers.as_deref()).map(|entry| entry.audience.as_str());
    // A token may name further ones beside it, and then its list is no text.
    for text in condition.compared(&path).into_iter().filter(|text| !audiences().any(|it| it == *text)) {
        tell(item, &path, text, "which no entry of its issuers has as audience", audiences());
    }
    let mut entries = against.entries(rule.issuers.as_deref());
    if entries.any(|entry| entry.kind.as_type::<GitlabRules>().is_some()) {
        let path = ["claims", "pipeline_source"];
        for text in condition.compared(&path).into_iter().filter(|text| !PIPELINE_SOURCES.contains(text)) {
            let known = PIPELINE_SOURCES.iter().copied();
            if nearest(text, known.clone(), |known| known.len() / 3).is_some() {
                tell(item, &path, text, "which is not known to start pipelines", known);
            }
        }
    }
}

fn tell<'n>(item: &Field<'_>, path: &[&str], text: &str, why: &str, known: impl Iterator<Item = &'n str>) {
    let meant = nearest(text, known, |known| (known.len() / 3).max(1));
    let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    item.warning(format!(
        "compares {} with {}, {why}, so that never holds{meant}",
        path.join("."),
        quoted(text)
    ));
}
