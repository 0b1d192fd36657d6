//! Rule 9, and the formats of what is put into URLs or compared: paths, refs, ids.
//!
//! Only what GitLab or git cannot produce is refused. A control character is one of Unicode's category Cc: U+0000 to
//! U+001F, U+007F to U+009F. Other invisible characters (U+2028, bidirectional controls) are legal in a ref: the SAN percent-encodes
//! them, and who shows a raw value to people must escape them.

use super::schema::{JobClaims, SUB};
use crate::identity::extensions::GitlabClaim;
use crate::refusal::{Reason, Refusal};

/// Rule 9 for every value that can enter the certificate, then the formats.
pub(super) fn check(job: &JobClaims<'_>) -> Result<(), Refusal> {
    let values = GitlabClaim::ALL.into_iter().filter_map(|claim| Some((claim.name(), job.raw(claim)?)));
    for (name, value) in [(SUB, job.sub)].into_iter().chain(values) {
        if value.chars().any(char::is_control) {
            return Err(Refusal::new(Reason::ClaimControlCharacter).of_claim(name).by_rule("gitlab-9"));
        }
    }
    formats(job)
}

fn formats(job: &JobClaims<'_>) -> Result<(), Refusal> {
    use GitlabClaim as Claim;
    type Format = (fn(&str) -> bool, &'static str, &'static str);
    const ID: Format = (is_id, "gitlab-3", "It must be a decimal number, as a string.");
    const PATH: Format =
        (is_full_path, "gitlab-3", "It must be a GitLab path: letters, digits, `_`, `-`, `.` and `/`.");
    const REF: Format =
        (is_ref_name, "gitlab-4", "It must be a name that git allows (git check-ref-format).");
    let table = [
        (Claim::NamespaceId, ID),
        (Claim::NamespacePath, PATH),
        (Claim::ProjectId, ID),
        (Claim::ProjectPath, PATH),
        (Claim::PipelineId, ID),
        (Claim::JobId, ID),
        (Claim::JobProjectPath, PATH),
        (Claim::JobProjectId, ID),
        (Claim::Ref, REF),
    ];
    for (claim, (holds, rule, must)) in table {
        if job.raw(claim).is_some_and(|value| !holds(value)) {
            return Err(Refusal::new(Reason::ClaimInvalid)
                .of_claim(claim.name())
                .by_rule(rule)
                .because(must));
        }
    }
    Ok(())
}

/// A database id in decimal.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A project's or a group's full path: segments `[A-Za-z0-9_.][A-Za-z0-9_.-]*`, none of them `.` or `..`.
fn is_full_path(text: &str) -> bool {
    text.split('/').all(|segment| {
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
        segment.bytes().next().is_some_and(word)
            && segment.bytes().all(|b| word(b) || b == b'-')
            && !matches!(segment, "." | "..")
    })
}

/// What may follow `refs/heads/` or `refs/tags/`: the rules of git-check-ref-format(1).
fn is_ref_name(name: &str) -> bool {
    let component = |text: &str| !text.is_empty() && !text.starts_with('.') && !text.ends_with(".lock");
    let forbidden = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    name.split('/').all(component)
        && !name.contains(forbidden)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_gitlabs() {
        for path in ["acme", "acme/widgets", "8gears/a-b/c.d_e", "_x/.y", "a/..b", "a/b.git-"] {
            assert!(is_full_path(path), "{path}");
        }
        for path in [
            "", "/", "a/", "/a", "a//b", "a/../b", "a/.", "-a", "a/-b", "a@b", "a b", "a%2fb", "é", "a\\b",
            "a?b", "a:b",
        ] {
            assert!(!is_full_path(path), "{path}");
        }
    }

    #[test]
    fn refs_are_gits() {
        for name in [
            "main",
            "a/b",
            "@",
            "a@b",
            "#1",
            "100%",
            "<>\"{|}&",
            "é",
            "x@refs/heads/main",
            "-x",
            "a.b",
            "lock",
            "refs/heads/x",
        ] {
            assert!(is_ref_name(name), "{name}");
        }
        for name in [
            "", "/", "a/", "/a", "a//b", ".a", "a/.b", "a..b", "a.", "a.lock", "a.lock/b", "a b", "a~1",
            "a^", "a:b", "a?", "a*", "a[", "a\\b", "a@{1}", "a\u{7f}", "a\u{85}",
        ] {
            assert!(!is_ref_name(name), "{name}");
        }
    }
}
