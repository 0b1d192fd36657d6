//! DSSE envelopes (secure-systems-lab/dsse, protocol.md) and the in-toto statements in them (in-toto attestation, v0.1 and v1).

use super::error::{Problem, VerificationError, problem};
use super::format::Envelope;
use super::signature::Artifact;
use crate::hash::HashAlgorithm;
use crate::protojson::{Object, objects};
use crate::transparency::Hash;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The payload type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// The type of the statements that are written.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const STATEMENTS: [&str; 2] = [STATEMENT, "https://in-toto.io/Statement/v0.1"];

/// The most subjects of a statement.
const MAX_SUBJECTS: usize = 10_000;

/// The octets of a new statement about one artifact.
pub fn statement(name: &str, sha256: &[u8], predicate_type: &str, predicate: &Value) -> Vec<u8> {
    let document = serde_json::json!({
        "_type": STATEMENT,
        "subject": [{ "name": name, "digest": { "sha256": hex::encode(sha256) } }],
        "predicateType": predicate_type,
        "predicate": predicate,
    });
    document.to_string().into_bytes()
}

/// What of a statement is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(deserialize_with = "objects")]
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    /// Not parsed; in the type so that it may not stand there twice.
    #[serde(default, skip_serializing)]
    predicate: Skipped,
}

/// A value that is passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(from).map(|_| Self)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    #[serde(default)]
    name: Option<String>,
    #[serde(deserialize_with = "distinct")]
    digest: BTreeMap<String, String>,
}

/// An object none of whose members is given twice.
fn distinct<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Digests;
    impl<'de> Visitor<'de> for Digests {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("digests by the names of their functions")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let mut digests = BTreeMap::new();
            while let Some((name, digest)) = members.next_entry()? {
                if digests.insert(name, digest).is_some() {
                    return Err(A::Error::custom("a digest is given twice"));
                }
            }
            Ok(digests)
        }
    }
    from.deserialize_map(Digests)
}

impl Statement {
    /// Reads an envelope's payload.
    pub fn of(envelope: &Envelope) -> Result<Self, VerificationError> {
        if envelope.payload_type != IN_TOTO {
            let words = format!("`payloadType` is not {IN_TOTO}");
            return Err(problem(Problem::StatementMalformed, "bundle.dsseEnvelope", words));
        }
        Self::from_json(&envelope.payload)
    }

    /// Reads a statement.
    pub fn from_json(payload: &[u8]) -> Result<Self, VerificationError> {
        let malformed = |words: String| problem(Problem::StatementMalformed, "statement", words);
        let Object(statement): Object<Self> =
            serde_json::from_slice(payload).map_err(|error| malformed(error.to_string()))?;
        if !STATEMENTS.contains(&statement.kind.as_str()) {
            return Err(malformed("`_type` is not an in-toto statement's, v0.1 or v1".to_owned()));
        }
        if statement.subject.len() > MAX_SUBJECTS {
            return Err(malformed(format!("more than {MAX_SUBJECTS} subjects")));
        }
        Ok(statement)
    }

    /// The type of its predicate.
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// What it calls its subjects, in its order; "" where one has no name.
    pub fn subject_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.subject.iter().map(|subject| subject.name.as_deref().unwrap_or_default())
    }

    /// The SHA-256 of the first subject that has one; `None`: no file's SHA-256 alone says that the statement is about it.
    pub fn sha256(&self) -> Option<Hash> {
        self.subject
            .iter()
            .find_map(|subject| hex::decode(subject.digest.get("sha256")?).ok()?.try_into().ok())
    }

    /// That one of its subjects is the artifact: of the digests that are known, the subject has at least one and all agree.
    pub fn verify_subject(&self, artifact: Artifact<'_>) -> Result<&str, VerificationError> {
        let found = self.subject.iter().find(|subject| subject.is(artifact));
        match found {
            Some(subject) => Ok(subject.name.as_deref().unwrap_or_default()),
            None => Err(problem(
                Problem::SubjectMismatch,
                "statement.subject",
                format!(
                    "none of its subjects has the artifact's digest sha256:{}",
                    hex::encode(artifact.sha256())
                ),
            )),
        }
    }
}

impl Subject {
    fn is(&self, artifact: Artifact<'_>) -> bool {
        let mut agreeing = 0;
        for (name, value) in &self.digest {
            let known = HashAlgorithm::ALL.into_iter().find(|hash| hash.plain_name() == name);
            let known = known.and_then(|hash| artifact.digest(hash));
            let Some(digest) = known else { continue };
            if !value.eq_ignore_ascii_case(&hex::encode(digest.as_ref())) {
                return false;
            }
            agreeing += 1;
        }
        agreeing > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transparency::sha256;

    #[test]
    fn a_statement_is_about_its_subjects_and_nothing_else() {
        let hash = sha256(b"artifact");
        let payload = statement("a.txt", &hash, "https://example.com/p/v1", &serde_json::json!({"x": 1}));
        let read = Statement::from_json(&payload).unwrap();
        assert_eq!(read.predicate_type(), "https://example.com/p/v1");
        assert_eq!(read.verify_subject(Artifact::Octets(b"artifact")), Ok("a.txt"));
        assert_eq!(read.verify_subject(Artifact::Sha256(hash)), Ok("a.txt"));
        let refused = read.verify_subject(Artifact::Octets(b"other")).unwrap_err();
        assert_eq!(refused.problem(), Problem::SubjectMismatch);
    }

    #[test]
    fn every_digest_that_is_known_must_agree() {
        let with = |digest: Value| {
            let document = serde_json::json!({
                "_type": STATEMENT, "subject": [{ "digest": digest }], "predicateType": "p", "predicate": null,
            });
            Statement::from_json(document.to_string().as_bytes())
                .unwrap()
                .verify_subject(Artifact::Octets(b"a"))
                .is_ok()
        };
        let (right, right512) = (hex::encode(sha256(b"a")), hex::encode(HashAlgorithm::Sha512.digest(b"a")));
        assert!(with(serde_json::json!({ "sha256": right, "sha512": right512, "gitCommit": "00" })));
        assert!(with(serde_json::json!({ "sha256": right.to_uppercase() })));
        assert!(!with(serde_json::json!({ "sha256": right, "sha512": right })));
        assert!(!with(serde_json::json!({ "md5": "0cc175b9c0f1b6a831c399e269772661" })));
        assert!(!with(serde_json::json!({})));
    }

    #[test]
    fn a_statement_is_about_the_first_sha256_that_it_has() {
        let about = |subjects: Value| {
            let document =
                serde_json::json!({ "_type": STATEMENT, "subject": subjects, "predicateType": "p" });
            Statement::from_json(document.to_string().as_bytes()).unwrap().sha256()
        };
        let (one, two) = (hex::encode([1; 32]), hex::encode([2; 32]));
        let without = serde_json::json!({ "digest": { "sha512": "00", "gitCommit": "00" } });
        assert_eq!(about(serde_json::json!([without])), None);
        assert_eq!(about(serde_json::json!([])), None);
        assert_eq!(about(serde_json::json!([{ "digest": { "sha256": "0102" } }])), None);
        let found =
            serde_json::json!([without, { "digest": { "sha256": one } }, { "digest": { "sha256": two } }]);
        assert_eq!(about(found), Some([1; 32]));
    }

    #[test]
    fn what_is_no_statement_is_refused() {
        let whole =
            r#"{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"p","predicate":{}"#;
        assert!(Statement::from_json(format!("{whole}}}").as_bytes()).is_ok());
        for tail in [",\"subject\":[]}", ",\"predicate\":{}}", ",\"_type\":\"x\"}", "", "}}"] {
            assert!(Statement::from_json(format!("{whole}{tail}").as_bytes()).is_err(), "{tail}");
        }
        let digests = |digests: &str| {
            let subject = format!(r#"[{{"digest":{{{digests}}}}}]"#);
            Statement::from_json(format!("{whole}}}").replace("[]", &subject).as_bytes())
        };
        assert!(digests(r#""sha256":"aa""#).is_ok());
        assert!(digests(r#""sha256":"aa","sha256":"bb""#).is_err());
        assert!(digests(r#""sha256":"aa","sha\u003256":"aa""#).is_err());
        assert!(Statement::from_json(b"{\"_type\":\"x\",\"subject\":[],\"predicateType\":\"p\"}").is_err());
    }
}
