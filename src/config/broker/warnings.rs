//! Roles that give more than their author thinks.

use super::target::TargetConfig;
use crate::broker::{AccessLevel, Kind, Role};
use crate::condition::{Lint, Pin};
use crate::config::reader::{Field, Section};

/// Warns of a single role.
pub(super) fn of_role(role: &Role, item: &Field<'_>) {
    for advice in role.when().advice() {
        if advice.lint != Lint::PathWithoutId {
            item.warning(format!("{}: {}", advice.lint.code(), advice.message));
        }
    }
    let has = |scope: &str| role.scopes().iter().any(|known| known == scope);
    let of_user = matches!(role.kind(), Kind::Impersonation | Kind::Personal);
    let may_administer = of_user || role.access_level().is_some_and(|level| level >= AccessLevel::Maintainer);
    if role.pin() == Pin::Namespace && has("api") && role.access_level() == Some(AccessLevel::Owner) {
        item.warning(
            "gives every project of a group, whoever makes one there, a token that may do everything (api, owner); name projects in when, or a \
             lower access_level",
        );
    }
    if has("api") && may_administer {
        item.warning(
            "gives tokens that can make others (api, with the rights of a maintainer or a user), and those end with no lease; take a lower \
             access_level or a narrower scope where that does",
        );
    }
    for scope in ["sudo", "admin_mode"] {
        if has(scope) {
            item.warning(format!(
                "has the scope {scope}, with which an administrator's token acts as anybody"
            ));
        }
    }
    if has("self_rotate") {
        item.warning(
            "has the scope self_rotate, with which a job replaces its token by one that lives longer",
        );
    }
    if role.allow_admin() {
        item.warning("allows administrators: whoever gets one to start a job has an administrator's token");
    }
    if lets_choose_anything(role) {
        item.warning("lets jobs choose any path; narrow the pattern, or ask for request.path in when");
    }
}

/// Whether jobs may ask for what nobody has thought of.
fn lets_choose_anything(role: &Role) -> bool {
    let asks = role.when().names().any(|path| path.first().is_some_and(|name| name == "request"));
    // Names that nobody has written into a pattern.
    let anything = ["q7x/z9w", "q7x", "x4y/q7x/z9w"];
    let no_claims = |_: &str| None;
    role.path().is_requested()
        && !asks
        && anything.iter().any(|path| role.path().resolve(role.kind(), no_claims, Some(path)).is_ok())
}

/// Warns of instances that no role is for.
pub(super) fn of_unused(section: &Section<'_>, targets: &[TargetConfig], roles: &[Role]) {
    for target in targets {
        if !roles.iter().any(|role| role.target() == target.name) {
            section.warning_at("targets", format!("has {}, and no role is for it", target.name));
        }
    }
}
