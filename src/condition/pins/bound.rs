//! What a claim is bound to by a text that it is compared with.

use super::super::lint::splits;
use super::Pin;

/// What is asked of a condition.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    /// That it pins a project or a group of GitLab's.
    Pins,
    /// That it ties anything that not everybody at a public issuer has, whoever that is. `issuer`: the issuer is such a thing, where a pattern
    /// stands for many.
    Ties { issuer: bool },
}

/// Claims that say whose job it is at a GitLab: one project.
const PROJECT: [&str; 3] = ["project_path", "project_id", "sub"];
/// The same of a group.
const NAMESPACE: [&str; 2] = ["namespace_path", "namespace_id"];
/// Claims that say besides, at any issuer, whose job it is or who somebody is.
const SOMEBODY: [&str; 34] = [
    "job_project_path",
    "job_project_id",
    "job_namespace_path",
    "job_namespace_id",
    "ci_config_ref_uri",
    "user_id",
    "user_login",
    "user_email",
    "groups_direct",
    "email",
    "hd",
    "tid",
    "oid",
    "groups",
    "preferred_username",
    "azp",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "workflow_ref",
    "job_workflow_ref",
    "actor",
    "actor_id",
    "enterprise",
    "enterprise_id",
    "organization_slug",
    "organization_id",
    "account_id",
    "account_name",
    "terraform_organization_id",
    "terraform_organization_name",
    "oidc.circleci.com/project-id",
    "kubernetes.io",
];

/// What of a claim a text is compared with.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Whole,
    Beginning,
    End,
    /// By a regular expression.
    Pattern,
}

impl Asked {
    pub(super) const fn is_wide(self) -> bool {
        matches!(self, Self::Ties { .. })
    }

    /// What a claim is bound to by a text.
    pub(super) fn of(self, part: Part, claim: &str, text: &str) -> Option<Pin> {
        match (self, part) {
            (Self::Pins, Part::Whole) => is_one(claim, text),
            (Self::Pins, Part::Beginning) => begins_with(claim, text),
            (Self::Pins, Part::End) => None,
            (Self::Pins, Part::Pattern) => matches(claim, text),
            (Self::Ties { issuer }, part) => {
                let is_tied = PROJECT.contains(&claim)
                    || NAMESPACE.contains(&claim)
                    || SOMEBODY.contains(&claim)
                    || issuer && claim == "iss";
                let says_something = match part {
                    Part::Whole => !text.is_empty(),
                    Part::Beginning => says_something(text),
                    // The domain of an address.
                    Part::End => claim.ends_with("email") && text.contains('@'),
                    Part::Pattern if claim.ends_with("email") => text.contains('@'),
                    Part::Pattern => groups(text).iter().all(|text| says_something(text)),
                };
                (is_tied && says_something).then_some(Pin::Namespace)
            }
        }
    }
}

/// More than what all subjects of a GitLab begin with.
fn says_something(beginning: &str) -> bool {
    !beginning.strip_prefix("project_path:").unwrap_or(beginning).trim_start_matches("https://").is_empty()
}

/// What texts begin with that match a pattern; several, where it begins with a group of plain words: `^(acme|labs)/`.
fn groups(pattern: &str) -> Vec<String> {
    let alternatives = || {
        let (words, _) = pattern.strip_prefix("^(")?.split_once(')')?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '|');
        words.strip_prefix("?:").unwrap_or(words).chars().all(is_plain).then_some(words)
    };
    match alternatives() {
        Some(words) => words.strip_prefix("?:").unwrap_or(words).split('|').map(str::to_owned).collect(),
        None => vec![beginning(pattern).map(|(text, _)| text).unwrap_or_default()],
    }
}

fn is_one(claim: &str, text: &str) -> Option<Pin> {
    match claim {
        _ if text.is_empty() => None,
        claim if PROJECT.contains(&claim) => Some(Pin::Project),
        claim if NAMESPACE.contains(&claim) => Some(Pin::Namespace),
        _ => None,
    }
}

fn begins_with(claim: &str, prefix: &str) -> Option<Pin> {
    let is_group = |prefix: &str| prefix.ends_with('/') && !prefix.starts_with('/');
    match claim {
        "project_path" | "namespace_path" => is_group(prefix).then_some(Pin::Namespace),
        // GitLab's begin with project_path:{path}: whatever the project has chosen for the rest.
        "sub" => {
            let path = prefix.strip_prefix("project_path:")?;
            match path.split_once(':') {
                Some((project, _)) => (!project.is_empty()).then_some(Pin::Project),
                None => is_group(path).then_some(Pin::Namespace),
            }
        }
        _ => None,
    }
}

fn matches(claim: &str, pattern: &str) -> Option<Pin> {
    let (prefix, is_whole) = beginning(pattern)?;
    if is_whole { is_one(claim, &prefix) } else { begins_with(claim, &prefix) }
}

/// What every text begins with that the pattern matches, and whether that is all there is. `None`: that cannot be said.
fn beginning(pattern: &str) -> Option<(String, bool)> {
    let rest = pattern.strip_prefix('^').or_else(|| pattern.strip_prefix("\\A"))?;
    // Flags change how the rest is read.
    let has_flags = pattern.match_indices("(?").any(|(at, _)| {
        let behind = pattern.get(at + 2..).unwrap_or_default();
        ![":", "P<", "<"].iter().any(|group| behind.starts_with(group))
    });
    if has_flags || splits(pattern) {
        return None;
    }
    let mut prefix = String::new();
    let mut characters = rest.chars().peekable();
    loop {
        match characters.next() {
            None => return Some((prefix, false)),
            Some(plain) if plain.is_ascii_alphanumeric() || matches!(plain, '/' | '_' | '-' | ':' | '@') => {
                prefix.push(plain);
            }
            Some('$') if characters.peek().is_none() => return Some((prefix, true)),
            Some('\\') => match characters.next() {
                Some('z') if characters.peek().is_none() => return Some((prefix, true)),
                Some(escaped) if escaped.is_ascii_punctuation() => prefix.push(escaped),
                _ => return Some((prefix, false)),
            },
            // The character before it may be absent.
            Some('?' | '*' | '+' | '{') => {
                prefix.pop();
                return Some((prefix, false));
            }
            Some(_) => return Some((prefix, false)),
        }
    }
}
