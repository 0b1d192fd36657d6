//! What is stored of a target's main credential: which one is in use, and how far a change of it had got.

use super::super::ports::{Sealing, Secret};
use crate::broker::Expiry;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The record of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::leasing) struct Record {
    /// SHA-256 of the configured credential that it began with: where the operator configures another, that one is used.
    pub(super) configured: String,
    /// The one in use; `None`: the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<Sealed>,
    /// How far a change has got.
    pub(super) step: Step,
    /// Since when the step waits for what a lost request may still do, by this process's stopwatch.
    #[serde(skip)]
    pub(super) since: Option<Duration>,
    /// Credentials that may have been made. There is at most one second one for each user: while there is one, that user's credential makes no other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) lost: Vec<Lost>,
    /// Credentials that are not used any more, and shall be revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) retire: Vec<Retired>,
}

/// A credential that may have been made, and whose text is known to nobody: it is looked for by its name, and a second one is revoked. The successor
/// of one that replaced itself has that one's name, which others may have too, so an operator is told of it. It stands here until somebody who may see
/// it has looked for it for long enough, or its own end has passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lost {
    /// Its user.
    pub(super) user_id: u64,
    /// Its name: unique, but for a successor's.
    pub(super) name: String,
    /// Its end, as GitLab was asked for; `None`: an older record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<Expiry>,
    /// The credential that may have replaced itself by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<u64>,
    /// Since when it is looked for, by this process's stopwatch.
    #[serde(skip)]
    pub(super) since: Option<Duration>,
}

/// A credential that is not used any more. It stands here until it is certainly dead; where nobody can read its text, no longer than it lives, or
/// until an operator who was told of it has ordered a rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retired {
    /// GitLab's number for it.
    pub(super) id: u64,
    /// Its text, where the broker made it: there is no other copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sealed: Option<Sealed>,
    /// SHA-256 of the configured credential that it was used in place of, where the operator has configured another one since: with the old one it
    /// comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) configured: Option<String>,
    /// Its own end, where its text is not here and GitLab told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<Expiry>,
}

/// A credential that only the key file's holder can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::leasing) struct Sealed {
    /// GitLab's number for it.
    pub(super) id: u64,
    /// In base64.
    text: String,
}

/// How far a change of the credential has got. Each step is durable before the next one is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Step {
    /// There is no change under way.
    #[default]
    Rest,
    /// A second credential may have been made. Where no more is known of it it is [`Lost`].
    Creating {
        /// Its user.
        user_id: u64,
        /// Its name, unique.
        name: String,
        /// Its end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<Expiry>,
    },
    /// A second one exists, and is not in use yet.
    Created {
        /// It.
        new: Sealed,
        /// The one in use.
        old: u64,
        /// The end of that one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old_expires: Option<Expiry>,
    },
    /// The one in use may have replaced itself.
    Rotating {
        /// It.
        old: u64,
        /// Its successor; `None`: an older record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new: Option<Lost>,
    },
    /// It did, and nobody knows the new one.
    Lost {
        /// What it was.
        old: u64,
        /// The new one; `None`: an older record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new: Option<Lost>,
    },
}

impl Sealed {
    /// Seals a credential.
    pub(super) fn new(id: u64, secret: &Secret, target: &str, sealing: &dyn Sealing) -> Result<Self, String> {
        Ok(Self { id, text: STANDARD.encode(sealing.seal(target, secret)?) })
    }

    /// Opens it.
    pub(super) fn open(&self, target: &str, sealing: &dyn Sealing) -> Result<Secret, String> {
        let sealed = STANDARD.decode(&self.text).map_err(|_| "it is damaged".to_owned())?;
        sealing.open(target, &sealed)
    }
}

impl Record {
    /// From the store.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes)
            .map_err(|error| format!("the record of its main credential is damaged: {error}"))
    }

    /// For the store.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The same for another configured credential: what was in use, or about to be, is to be revoked with the new one. Where the new one is an old
    /// one that was put back, what was in use with it is in use again.
    pub(super) fn reconfigured(self, configured: &str) -> Self {
        let (mut retire, mut lost) = (self.retire, self.lost);
        let was = Some(self.configured);
        retire.extend(self.current.map(|sealed| Retired { configured: was, ..Retired::kept(sealed) }));
        let again = retire.iter().position(|old| old.configured.as_deref() == Some(configured));
        let current = again.and_then(|at| retire.remove(at).sealed);
        let step = match self.step {
            Step::Created { new, .. } => {
                retire.push(Retired::kept(new));
                Step::Rest
            }
            step @ Step::Creating { .. } => step,
            Step::Rotating { new, .. } | Step::Lost { new, .. } => {
                lost.extend(new);
                Step::Rest
            }
            Step::Rest => Step::Rest,
        };
        Self { configured: configured.to_owned(), current, step, since: None, lost, retire }
    }
}

impl Lost {
    /// Whether it is the same one.
    pub(super) fn is(&self, other: &Self) -> bool {
        (&self.name, self.replaces) == (&other.name, other.replaces)
    }
}

impl Retired {
    /// One whose text is known here alone.
    pub(super) const fn kept(sealed: Sealed) -> Self {
        Self { id: sealed.id, sealed: Some(sealed), configured: None, expires: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As they were written before credentials that are lost and ends were kept.
    #[test]
    fn older_records_are_read() {
        let sealed = r#"{"id":7,"text":"AAAA"}"#;
        for step in [
            r#"{"step":"rest"}"#.to_owned(),
            r#"{"step":"creating","user_id":1,"name":"n"}"#.to_owned(),
            format!(r#"{{"step":"created","new":{sealed},"old":1}}"#),
            r#"{"step":"rotating","old":1}"#.to_owned(),
            r#"{"step":"lost","old":1}"#.to_owned(),
        ] {
            let text = format!(
                r#"{{"configured":"c","current":{sealed},"step":{step},"retire":[{{"id":1}},{{"id":2,"sealed":{sealed},"configured":"b"}}]}}"#
            );
            let record = Record::parse(text.as_bytes()).unwrap();
            assert_eq!(record.encode(), text.as_bytes(), "{step}");
        }
    }

    #[test]
    fn what_is_lost_stays_in_the_record_and_what_was_measured_does_not() {
        let expires = Expiry::parse("2026-07-29");
        let lost = Lost { user_id: 1, name: "n".into(), expires, replaces: None, since: None };
        let record = Record { lost: vec![lost.clone()], ..Record::default() };
        let measured = Record {
            since: Some(Duration::ZERO),
            lost: vec![Lost { since: Some(Duration::ZERO), ..lost }],
            ..Record::default()
        };
        assert_eq!(Record::parse(&measured.encode()), Ok(record.clone()));
        assert_eq!(record.clone().reconfigured("other").lost, record.lost);
    }
}
