//! The form of a path: what GitLab's own look like, for each kind of token.

use super::{PathFault, fault};
use crate::broker::Kind;

/// The longest path, in octets.
const LONGEST: usize = 512;
/// The longest segment, in octets.
const LONGEST_SEGMENT: usize = 255;

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Project,
    Group,
    User,
}

/// Where tokens of a kind live; service accounts of groups and projects have the user's name behind it.
pub(super) const fn place(kind: Kind) -> Place {
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

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}
