//! Whose token: the path of a project or a group, the name of a user, or one in the other.
//!
//! A path reaches GitLab within a URL, so it is held to the form that GitLab's own paths have, whoever it comes from. A path of digits alone
//! is none: GitLab would take it for the number of another project or group.

use super::Kind;
use super::braces::{Piece, split};
use regex::Regex;

/// The longest path, in octets.
const LONGEST: usize = 512;
/// The longest segment, in octets.
const LONGEST_SEGMENT: usize = 255;
/// The longest pattern, in octets, and what it may take compiled.
const LONGEST_PATTERN: usize = 512;
const LARGEST_PATTERN: usize = 256 * 1024;

/// What is wrong with a path or a rule for one, in words that follow the key's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PathFault(String);

fn fault<T>(message: impl Into<String>) -> Result<T, PathFault> {
    Err(PathFault(message.into()))
}

/// The claims that a path may be made of: every job's token has them, and a job cannot choose them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    ProjectPath,
    ProjectId,
    NamespacePath,
    NamespaceId,
}

impl Claim {
    const ALL: [Self; 4] = [Self::ProjectPath, Self::ProjectId, Self::NamespacePath, Self::NamespaceId];

    const fn name(self) -> &'static str {
        match self {
            Self::ProjectPath => "project_path",
            Self::ProjectId => "project_id",
            Self::NamespacePath => "namespace_path",
            Self::NamespaceId => "namespace_id",
        }
    }

    /// What stands for it when a rule is checked before there is a token.
    const fn sample(self) -> &'static str {
        match self {
            Self::ProjectPath => "group/project",
            Self::NamespacePath => "group",
            Self::ProjectId | Self::NamespaceId => "1",
        }
    }

    const fn is_of_a_project(self) -> bool {
        matches!(self, Self::ProjectPath | Self::ProjectId)
    }
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Project,
    Group,
    User,
}

/// Where tokens of a kind live; service accounts of groups and projects have the user's name behind it.
const fn place(kind: Kind) -> Place {
    match kind {
        Kind::Impersonation | Kind::Personal | Kind::UserServiceAccount => Place::User,
        Kind::Project | Kind::ProjectServiceAccount | Kind::ProjectDeploy | Kind::PipelineTrigger => {
            Place::Project
        }
        Kind::Group | Kind::GroupServiceAccount | Kind::GroupDeploy => Place::Group,
    }
}

const fn has_user(kind: Kind) -> bool {
    matches!(kind, Kind::GroupServiceAccount | Kind::ProjectServiceAccount)
}

/// Whether this path leads to the job's own project or group: the claim that then has GitLab's number for it. `claim`: the texts of the job's
/// claims.
pub(super) fn own_number(
    kind: Kind,
    path: &str,
    claim: impl Fn(&str) -> Option<String>,
) -> Option<&'static str> {
    let (own, number) = match place(kind) {
        Place::Project => (Claim::ProjectPath, Claim::ProjectId),
        Place::Group => (Claim::NamespacePath, Claim::NamespaceId),
        Place::User => return None,
    };
    // Paths are the same to GitLab whatever their case.
    claim(own.name())
        .filter(|own| own.eq_ignore_ascii_case(split_account(kind, path).0))
        .map(|_| number.name())
}

/// A path of a service account of a group or project, taken apart: `acme/platform/bot` is the account `bot` of `acme/platform`. Of other
/// kinds the whole is the first part.
pub fn split_account(kind: Kind, path: &str) -> (&str, Option<&str>) {
    match path.rsplit_once('/') {
        Some((place, user)) if has_user(kind) => (place, Some(user)),
        _ => (path, None),
    }
}

/// Whether a path can be one of this kind's: segments of letters, digits, `_`, `-` and `.`, none of which begins or ends with a sign, or with
/// `.git` or `.atom`; as many of them as the kind has. A project or group may be its number.
///
/// # Errors
/// What is wrong.
pub fn check_path(kind: Kind, path: &str) -> Result<(), PathFault> {
    if path.is_empty() || path.len() > LONGEST {
        return fault(format!("has {} octets; 1 to {LONGEST} are possible", path.len()));
    }
    for segment in path.split('/') {
        check_segment(segment)?;
    }
    let (holder, account) = split_account(kind, path);
    if has_user(kind) && account.is_none() {
        return fault("names no account; write the path, a slash, and the account's name");
    }
    let segments = holder.split('/').count();
    match place(kind) {
        Place::User if segments != 1 => fault("is not the name of a user, which has no slash in it"),
        Place::Project if segments < 2 && !is_number(holder) => {
            fault("is not the path of a project: the group's path, a slash, and its name")
        }
        _ => Ok(()),
    }
}

fn check_segment(segment: &str) -> Result<(), PathFault> {
    let sign = |octet: &u8| matches!(octet, b'_' | b'-' | b'.');
    let octets = segment.as_bytes();
    if segment.is_empty() {
        return fault("begins or ends with a slash, or has two of them in a row");
    }
    if segment.len() > LONGEST_SEGMENT {
        return fault(format!("has a part of more than {LONGEST_SEGMENT} octets"));
    }
    if !octets.iter().all(|octet| octet.is_ascii_alphanumeric() || sign(octet)) {
        return fault("has something else in it than letters, digits, _ - . and slashes");
    }
    if octets.first().is_some_and(sign) || octets.last().is_some_and(sign) || segment.contains("..") {
        return fault("has a part that begins or ends with _ - or ., or two full stops in a row");
    }
    let lower = segment.to_ascii_lowercase();
    if lower.ends_with(".git") || lower.ends_with(".atom") {
        return fault("has a part that ends in .git or .atom, as none of GitLab's does");
    }
    Ok(())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

/// How a role comes to the path of its tokens.
#[derive(Clone, Debug)]
pub struct PathRule(Rule);

#[derive(Clone, Debug)]
enum Rule {
    /// None is needed: the user who triggered the job.
    OfUser,
    /// The same for everybody, or made from claims.
    Made { pieces: Vec<Piece<Claim>>, may_be_number: bool },
    /// The job asks for one that matches, as a whole.
    Requested { pattern: String, whole: Regex },
}

impl PathRule {
    /// For impersonation, which goes by the claim `user_id`.
    pub const fn of_user() -> Self {
        Self(Rule::OfUser)
    }

    /// From a path with names of claims in braces.
    ///
    /// # Errors
    /// It can never be a path of this kind.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, PathFault> {
        let pieces = split(text, claim).map_err(PathFault)?;
        let of_place = |claim: &Claim| match place(kind) {
            Place::Group => !claim.is_of_a_project(),
            Place::Project => *claim != Claim::NamespaceId,
            Place::User => true,
        };
        for piece in &pieces {
            if let Piece::Name(claim) = piece
                && !of_place(claim)
            {
                return fault(format!(
                    "has {{{}}} in it, which leads to something else than {kind} has",
                    claim.name()
                ));
            }
        }
        check_path(kind, &make(&pieces, |claim| Some(claim.sample().to_owned()))?)?;
        // Written so, the operator means the number.
        let (holder, _) = split_account(kind, text);
        let may_be_number = is_number(holder) || matches!(holder, "{project_id}" | "{namespace_id}");
        let rule = Self(Rule::Made { pieces, may_be_number });
        rule.resolve(kind, |name| sample(name).map(str::to_owned), None)?;
        Ok(rule)
    }

    /// From a regular expression, which has to match the whole of what a job asks for.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn requested(pattern: &str) -> Result<Self, PathFault> {
        if pattern.is_empty() || pattern.len() > LONGEST_PATTERN {
            return fault(format!("has {} octets; 1 to {LONGEST_PATTERN} are possible", pattern.len()));
        }
        let compile = |pattern: &str| {
            regex::RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).build().map_err(|error| match error
            {
                regex::Error::CompiledTooBig(_) => {
                    PathFault("is a regular expression that takes too much memory".to_owned())
                }
                _ => PathFault("is no regular expression (RE2's syntax)".to_owned()),
            })
        };
        // By itself, so that no parenthesis closes the one around it.
        compile(pattern)?;
        let whole = compile(&format!(r"\A(?:{pattern})\z"))?;
        Ok(Self(Rule::Requested { pattern: pattern.to_owned(), whole }))
    }

    /// Whether the job chooses.
    pub const fn is_requested(&self) -> bool {
        matches!(self.0, Rule::Requested { .. })
    }

    /// Whether the path is what is written, for every job.
    pub fn is_literal(&self) -> bool {
        matches!(&self.0, Rule::Made { pieces, .. } if pieces.iter().all(|piece| matches!(piece, Piece::Text(_))))
    }

    /// The pattern that a job's path must match.
    pub fn pattern(&self) -> Option<&str> {
        match &self.0 {
            Rule::Requested { pattern, .. } => Some(pattern),
            _ => None,
        }
    }

    /// The path for a job. `claim` reads a claim's text. Of impersonation it is empty.
    ///
    /// # Errors
    /// The job asked where there is nothing to choose, or did not where there is; the path matches no pattern, or cannot be one.
    pub fn resolve(
        &self,
        kind: Kind,
        claim: impl Fn(&str) -> Option<String>,
        requested: Option<&str>,
    ) -> Result<String, PathFault> {
        let (path, may_be_number) = match (&self.0, requested) {
            (Rule::OfUser, None) => return Ok(String::new()),
            (Rule::Made { pieces, may_be_number }, None) => {
                (make(pieces, |name| claim(name.name()))?, *may_be_number)
            }
            (Rule::Requested { whole, .. }, Some(path)) => {
                check_path(kind, path)?;
                if !whole.is_match(path) {
                    return fault("is not one that the role's pattern matches");
                }
                (path.to_owned(), false)
            }
            (Rule::Requested { .. }, None) => return fault("is missing, and the role has none of its own"),
            (_, Some(_)) => return fault("is asked for, and the role lets nobody choose"),
        };
        check_path(kind, &path)?;
        if place(kind) != Place::User && !may_be_number && is_number(split_account(kind, &path).0) {
            return fault("is a number, which GitLab would take for that of another project or group");
        }
        Ok(path)
    }
}

fn claim(name: &str) -> Result<Claim, String> {
    Claim::ALL.into_iter().find(|claim| claim.name() == name).ok_or_else(|| {
        let name: String = name.chars().take(64).collect();
        let known = Claim::ALL.map(Claim::name).join(", ");
        format!("names {name:?}, which paths are not made of; there are {known}")
    })
}

fn sample(name: &str) -> Option<&'static str> {
    Claim::ALL.into_iter().find(|claim| claim.name() == name).map(Claim::sample)
}

fn make(pieces: &[Piece<Claim>], value: impl Fn(Claim) -> Option<String>) -> Result<String, PathFault> {
    let mut path = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => path.push_str(text),
            Piece::Name(claim) => match value(*claim) {
                Some(value) => path.push_str(&value),
                None => return fault(format!("has no {}, which the token does not say", claim.name())),
            },
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The table of the Vault plugin's `IsValidPath`, without what it let pass: a project without a group.
    #[test]
    fn paths_are_held_to_gitlabs_form() {
        for (kind, path, holds) in [
            (Kind::Project, "group/project", true),
            (Kind::Project, "a/b/c.d-e_f", true),
            (Kind::Project, "12", true),
            (Kind::Project, "group", false),
            (Kind::Project, "../x", false),
            (Kind::Project, "a//b", false),
            (Kind::Project, "/a/b", false),
            (Kind::Project, "a/b/", false),
            (Kind::Project, "a/b c", false),
            (Kind::Project, "a/é", false),
            (Kind::Project, "g%2Fp", false),
            (Kind::Project, "a/_b", false),
            (Kind::Project, "a-/b", false),
            (Kind::Project, "a/b.", false),
            (Kind::Project, "a/x..y", false),
            (Kind::Project, "a/b.git", false),
            (Kind::Project, "a/b.Git", false),
            (Kind::Project, "a.atom/b", false),
            (Kind::Project, "a/b\n", false),
            (Kind::Project, "a/b?x=1", false),
            (Kind::Project, "a/b#", false),
            (Kind::Project, "a/b\\c", false),
            (Kind::Project, "", false),
            (Kind::PipelineTrigger, "group/project", true),
            (Kind::ProjectDeploy, "group", false),
            (Kind::Group, "group", true),
            (Kind::Group, "group/sub", true),
            (Kind::GroupDeploy, "1", true),
            (Kind::Personal, "ada", true),
            (Kind::Personal, "ada/lovelace", false),
            (Kind::UserServiceAccount, "bot.1", true),
            (Kind::GroupServiceAccount, "group/bot", true),
            (Kind::GroupServiceAccount, "group/sub/bot", true),
            (Kind::GroupServiceAccount, "7/bot", true),
            (Kind::GroupServiceAccount, "bot", false),
            (Kind::ProjectServiceAccount, "group/project/bot", true),
            (Kind::ProjectServiceAccount, "7/bot", true),
            (Kind::ProjectServiceAccount, "group/bot", false),
        ] {
            assert_eq!(check_path(kind, path).is_ok(), holds, "{kind} {path:?}");
        }
        assert!(check_path(Kind::Group, &"a".repeat(256)).is_err());
        assert!(check_path(Kind::Group, &["a"; 300].join("/")).is_err());
        assert_eq!(split_account(Kind::GroupServiceAccount, "a/b/bot"), ("a/b", Some("bot")));
        assert_eq!(split_account(Kind::Project, "a/b"), ("a/b", None));
    }

    #[test]
    fn rules_that_can_never_hold_are_refused_when_they_are_read() {
        for (kind, text, holds) in [
            (Kind::Project, "{project_path}", true),
            (Kind::Project, "{project_id}", true),
            (Kind::Project, "{namespace_path}/app", true),
            (Kind::Project, "{namespace_path}", false),
            (Kind::Project, "{namespace_id}", false),
            (Kind::Project, "{project_path}.git", false),
            (Kind::Project, "acme//{project_path}", false),
            (Kind::Project, "acme/1{project_id}", true),
            (Kind::Project, "1{project_id}", false),
            (Kind::Group, "{namespace_path}", true),
            (Kind::Group, "{namespace_id}", true),
            (Kind::Group, "{project_path}", false),
            (Kind::Group, "{project_id}", false),
            (Kind::GroupServiceAccount, "{namespace_path}/bot", true),
            (Kind::GroupServiceAccount, "{namespace_id}/bot", true),
            (Kind::ProjectServiceAccount, "{project_id}/bot", true),
            (Kind::Personal, "bot-{project_id}", true),
            (Kind::Personal, "{project_path}", false),
            (Kind::Personal, "{user_login}", false),
            (Kind::Project, "{ref}", false),
            (Kind::Project, "{project_path", false),
            (Kind::Project, "a/b}", false),
            (Kind::Project, "a/{}", false),
            (Kind::Project, "a/{{project_path}}", false),
            (Kind::Project, "", false),
        ] {
            assert_eq!(PathRule::parse(kind, text).is_ok(), holds, "{kind} {text:?}");
        }
        for pattern in ["", "(", "a)|(b", "(?x)a # b", "a{1000}{1000}", &"a".repeat(513)] {
            assert!(PathRule::requested(pattern).is_err(), "{pattern:.20}");
        }
        assert!(PathRule::requested("team/[a-z]+").expect("a rule").is_requested());
        assert!(PathRule::parse(Kind::Project, "a/b").expect("a rule").is_literal());
        assert!(!PathRule::parse(Kind::Project, "a/{project_id}").expect("a rule").is_literal());
    }

    proptest! {
        /// Whatever is asked for: what comes out is what was asked for, in one piece, and no way to another part of GitLab's API.
        #[test]
        fn what_is_resolved_leads_nowhere_else(path in "([a-zA-Z0-9_.%/?# -]|\\PC){0,24}", index in 0..Kind::ALL.len()) {
            let kind = Kind::ALL[index];
            let rule = PathRule::requested("(?s).*").expect("a rule");
            if let Ok(resolved) = rule.resolve(kind, |_| None, Some(&path)) {
                prop_assert_eq!(&resolved, &path);
                prop_assert!(!resolved.contains("..") && !resolved.contains("//"));
                prop_assert!(resolved.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"_-./".contains(&octet)));
            }
        }
    }
}
