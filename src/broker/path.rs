//! Whose token: the path of a project or a group, the name of a user, or one in the other.
//!
//! A path reaches GitLab within a URL, so it is held to the form that GitLab's own paths have, whoever it comes from. A path of digits alone
//! is none: GitLab would take it for the number of another project or group.

mod form;

pub use form::{check_path, split_account};

use super::Kind;
use super::braces::{Piece, split};
use form::{Place, is_number, place};
use regex::Regex;

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

/// Whether this path leads to the job's own project or group, or to something in its group: the claim that then has GitLab's number, and how many
/// steps above the path's end what it numbers is. `claim`: the texts of the job's claims.
pub(super) fn numbered(
    kind: Kind,
    path: &str,
    claim: impl Fn(&str) -> Option<String>,
) -> Option<(&'static str, usize)> {
    let path = split_account(kind, path).0;
    let above = |own: Claim| steps_between(&claim(own.name())?, path);
    let in_group = || above(Claim::NamespacePath).map(|steps| (Claim::NamespaceId.name(), steps));
    match place(kind) {
        Place::Project if above(Claim::ProjectPath) == Some(0) => Some((Claim::ProjectId.name(), 0)),
        Place::Project => in_group().filter(|(_, steps)| *steps > 0),
        Place::Group => in_group(),
        Place::User => None,
    }
}

/// How many segments `path` has below `above`; `None`: it is not below it. Paths are the same to GitLab whatever their case.
fn steps_between(above: &str, path: &str) -> Option<usize> {
    let mut rest = path.split('/');
    let mut segments = above.split('/');
    segments
        .all(|segment| rest.next().is_some_and(|other| other.eq_ignore_ascii_case(segment)))
        .then(|| rest.count())
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
            Place::User => *claim != Claim::ProjectPath,
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
        if place(kind) == Place::User && is_made_of_numbers(&pieces) {
            return fault(
                "is made of numbers, and whoever is called so would be meant; write a name around them, bot-{project_id} for instance",
            );
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

/// Whether a number of GitLab's stands in it without a letter that the operator wrote: it is no user's name.
fn is_made_of_numbers(pieces: &[Piece<Claim>]) -> bool {
    let is_number =
        |piece: &Piece<Claim>| matches!(piece, Piece::Name(Claim::ProjectId | Claim::NamespaceId));
    let has_letter = |piece: &Piece<Claim>| match piece {
        Piece::Text(text) => text.bytes().any(|octet| octet.is_ascii_alphabetic()),
        Piece::Name(_) => false,
    };
    pieces.iter().any(is_number) && !pieces.iter().any(has_letter)
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
mod tests;
