//! What an answer means: done, gone, refused, to be tried again, or not known. Pure, and the only place where a status is judged.
//!
//! Two mistakes cost most. To send a POST again that was done makes a token that no lease knows of; so whatever is not certain is
//! [`CallError::Unknown`]. To take a token for dead that lives forgets it; so a 404 says that a token is gone where GitLab says it of the
//! token, and not where it says it of the project, of the user that is acted as, or of the path itself.

use super::words::{self, Said};
use crate::leasing::ports::CallError;
use std::time::Duration;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To know something.
    Look,
    /// To make a token.
    Make,
    /// To end one.
    End,
}

/// What came back, whole.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'h> {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: &'h [u8],
    /// When to come again.
    pub retry_after: Option<Duration>,
}

/// Why an answer is not the one that was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is what it says.
    Certain(CallError),
    /// The token that was to end is not there.
    Gone,
    /// 404, but not of the token: whether that is still there has to be looked up.
    Misplaced(CallError),
    /// 401 without a word about the credential: GitLab says that of rights, too. Whether the credential is good has to be asked.
    Doubtful(CallError),
}

/// Judges an answer.
///
/// # Errors
/// As [`Failure`] says.
pub fn judge(purpose: Purpose, heard: Heard<'_>) -> Result<(), Failure> {
    let Heard { status, body, retry_after } = heard;
    let detail = || words::of(body);
    let refused = || CallError::Refused { status, detail: detail() };
    let credential = || Failure::Certain(CallError::Credential { status, detail: detail() });
    let unknown = || {
        let detail = format!("{status}: {}", detail());
        Failure::Certain(CallError::Unknown { detail, retry_after })
    };
    let said = || Said::read(body);
    match (purpose, status) {
        (Purpose::Look, 200) | (Purpose::Make, 200 | 201) | (Purpose::End, 200 | 204) => Ok(()),
        (_, 401) if said().error() == "invalid_token" => Err(credential()),
        (_, 401) => Err(Failure::Doubtful(refused())),
        (_, 403) if is_of_the_credential(&said()) => Err(credential()),
        (Purpose::End, 404) if is_of_the_token(said().message()) => Err(Failure::Gone),
        (Purpose::End, 404) => Err(Failure::Misplaced(refused())),
        (_, 300..=399) => {
            let detail = "it redirects, which is not followed: name GitLab's own URL".to_owned();
            Err(Failure::Certain(CallError::Refused { status, detail }))
        }
        (_, 429) => {
            let detail = format!("429: {}", detail());
            Err(Failure::Certain(CallError::NotDone { detail, retry_after }))
        }
        (_, 408 | 425) => Err(unknown()),
        (_, 400..=499) => Err(Failure::Certain(refused())),
        _ => Err(unknown()),
    }
}

/// 403 that no project or group has to do with.
fn is_of_the_credential(said: &Said) -> bool {
    said.error() == "insufficient_scope" || said.message().contains("Must be admin to use sudo")
}

/// `404 Not found` of a personal token; `404 project Access Token Not Found`, `404 Could not find project access token with token_id: 9 Not
/// Found` (before 18), `404 Deploy Token Not Found`, `404 Trigger Not Found`, … Not `404 User with ID or username 'token' Not Found`.
fn is_of_the_token(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let Some(what) = message.strip_prefix("404 ").and_then(|rest| rest.strip_suffix("not found")) else {
        return false;
    };
    let what = what.trim();
    what.is_empty()
        || (!what.contains('\'') && (what.ends_with("token") || what == "trigger"))
        || what.starts_with("could not find ") && what.contains(" access token with token_id: ")
}

/// Whether a 404 says that what the token belongs to is not there, or cannot be seen.
pub fn is_of_the_place(error: &CallError) -> bool {
    let places = ["404 Project Not Found", "404 Group Not Found", "404 User Not Found"];
    matches!(error, CallError::Refused { status: 404, detail } if places.contains(&detail.as_str()))
}

#[cfg(test)]
mod tests {
    use super::Purpose::{End, Look, Make};
    use super::*;

    const REVOKED: &str = r#"{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}"#;
    const SCOPE: &str = r#"{"error":"insufficient_scope","error_description":"…","scope":"api"}"#;
    const SUDO: &str = r#"{"message":"403 Forbidden - Must be admin to use sudo"}"#;

    fn word(purpose: Purpose, status: u16, body: &str) -> &'static str {
        match judge(purpose, Heard { status, body: body.as_bytes(), retry_after: None }) {
            Ok(()) => "done",
            Err(Failure::Gone) => "gone",
            Err(Failure::Misplaced(CallError::Refused { .. })) => "misplaced",
            Err(Failure::Doubtful(CallError::Refused { .. })) => "doubtful",
            Err(Failure::Certain(CallError::NotDone { .. })) => "not done",
            Err(Failure::Certain(CallError::Refused { .. })) => "refused",
            Err(Failure::Certain(CallError::Credential { .. })) => "credential",
            Err(Failure::Certain(CallError::Unknown { .. })) => "unknown",
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_answer_has_its_meaning() {
        // Status, body, and what it means for a look, for making, for ending.
        let table = [
            (200, "{}", ["done", "done", "done"]),
            (201, "{}", ["unknown", "done", "unknown"]),
            (202, "", ["unknown", "unknown", "unknown"]),
            (204, "", ["unknown", "unknown", "done"]),
            (206, "", ["unknown", "unknown", "unknown"]),
            (301, "", ["refused", "refused", "refused"]),
            (302, "<a>", ["refused", "refused", "refused"]),
            (400, r#"{"error":"scopes does not have a valid value"}"#, ["refused", "refused", "refused"]),
            (401, r#"{"message":"401 Unauthorized"}"#, ["doubtful", "doubtful", "doubtful"]),
            (401, "", ["doubtful", "doubtful", "doubtful"]),
            (401, REVOKED, ["credential", "credential", "credential"]),
            (403, r#"{"message":"403 Forbidden"}"#, ["refused", "refused", "refused"]),
            (403, SCOPE, ["credential", "credential", "credential"]),
            (403, SUDO, ["credential", "credential", "credential"]),
            (404, r#"{"message":"404 Not found"}"#, ["refused", "refused", "gone"]),
            (404, r#"{"message":"404 Project Not Found"}"#, ["refused", "refused", "misplaced"]),
            (404, r#"{"error":"404 Not Found"}"#, ["refused", "refused", "misplaced"]),
            (404, "<html>", ["refused", "refused", "misplaced"]),
            (405, "", ["refused", "refused", "refused"]),
            (408, "", ["unknown", "unknown", "unknown"]),
            (409, "", ["refused", "refused", "refused"]),
            (412, "", ["refused", "refused", "refused"]),
            (422, "", ["refused", "refused", "refused"]),
            (429, "Retry later\n", ["not done", "not done", "not done"]),
            (500, "", ["unknown", "unknown", "unknown"]),
            (502, "<html>", ["unknown", "unknown", "unknown"]),
            (503, r#"{"message":"maintenance"}"#, ["unknown", "unknown", "unknown"]),
            (599, "", ["unknown", "unknown", "unknown"]),
            (999, "", ["unknown", "unknown", "unknown"]),
        ];
        for (status, body, meanings) in table {
            let found = [Look, Make, End].map(|purpose| word(purpose, status, body));
            assert_eq!(found, meanings, "{status} {body}");
        }
    }

    /// Defect 4 of the Vault plugin: of deploy tokens and triggers that were deleted by hand, 404 was an error for ever.
    #[test]
    fn defect_4_gone_is_said_of_the_token_and_of_nothing_else() {
        for gone in [
            "404 Not found",
            "404 Not Found",
            "404 project Access Token Not Found",
            "404 group Access Token Not Found",
            "404 Could not find project access token with token_id: 999 Not Found",
            "404 Could not find group access token with token_id: 999 Not Found",
            "404 Impersonation Token Not Found",
            "404 Personal Access Token Not Found",
            "404 Deploy Token Not Found",
            "404 Trigger Not Found",
        ] {
            assert_eq!(word(End, 404, &format!(r#"{{"message":"{gone}"}}"#)), "gone", "{gone}");
            assert_eq!(word(End, 404, &format!(r#"{{"error":"{gone}"}}"#)), "misplaced", "{gone}");
        }
        for alive in [
            "404 Project Not Found",
            "404 Group Not Found",
            "404 User Not Found",
            "404 User with ID or username 'deploy-token' Not Found",
            "404 User with ID or username 'x' token Not Found",
            "Not Found",
            "404",
            "token",
            "",
        ] {
            assert_eq!(word(End, 404, &format!(r#"{{"message":"{alive}"}}"#)), "misplaced", "{alive}");
        }
    }

    #[test]
    fn what_the_token_belongs_to_is_told_from_paths_that_are_not_there() {
        let refused = |detail: &str| CallError::Refused { status: 404, detail: detail.into() };
        assert!(is_of_the_place(&refused("404 Project Not Found")));
        assert!(!is_of_the_place(&refused("404 Not Found")));
        assert!(!is_of_the_place(&refused("404 User with ID or username 'x' Not Found")));
    }

    #[test]
    fn when_to_come_again_is_passed_on() {
        let retry_after = Some(Duration::from_secs(7));
        for status in [429, 503] {
            let heard = Heard { status, body: b"", retry_after };
            let Err(Failure::Certain(error)) = judge(Make, heard) else { panic!("{status}") };
            let (CallError::NotDone { retry_after: told, .. } | CallError::Unknown { retry_after: told, .. }) =
                error
            else {
                panic!("{status}")
            };
            assert_eq!(told, retry_after, "{status}");
        }
    }
}
