//! Who built something, and how, by a provenance (slsa.dev/spec, v0.2 and v1.x).

use crate::protojson::{Object, optional};
use serde::Deserialize;

const V1: &str = "https://slsa.dev/provenance/v1";
const V0_2: &str = "https://slsa.dev/provenance/v0.2";

/// The two members of a provenance that policies compare. `None`: it has none, or is no provenance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    pub(super) builder_id: Option<String>,
    pub(super) build_type: Option<String>,
}

/// A statement with a predicate; a member that stands there twice is an error.
#[derive(Deserialize)]
struct Carrier<P> {
    #[serde(deserialize_with = "optional", default = "Option::default", bound = "P: Deserialize<'de>")]
    predicate: Option<P>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate1 {
    #[serde(deserialize_with = "optional", default)]
    build_definition: Option<BuildDefinition>,
    #[serde(deserialize_with = "optional", default)]
    run_details: Option<RunDetails>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: Option<String>,
}

#[derive(Deserialize)]
struct RunDetails {
    #[serde(deserialize_with = "optional", default)]
    builder: Option<Builder>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate02 {
    #[serde(deserialize_with = "optional", default)]
    builder: Option<Builder>,
    build_type: Option<String>,
}

#[derive(Deserialize)]
struct Builder {
    id: Option<String>,
}

impl Provenance {
    /// Of a signed statement's octets, whose predicate is of this type.
    pub fn of(payload: &[u8], predicate_type: &str) -> Self {
        let read = match predicate_type {
            V1 => read::<Predicate1>(payload).map(|predicate| Self {
                builder_id: predicate.run_details.and_then(|details| details.builder).and_then(|it| it.id),
                build_type: predicate.build_definition.and_then(|definition| definition.build_type),
            }),
            V0_2 => read::<Predicate02>(payload).map(|predicate| Self {
                builder_id: predicate.builder.and_then(|builder| builder.id),
                build_type: predicate.build_type,
            }),
            _ => None,
        };
        read.unwrap_or_default()
    }
}

fn read<P: for<'de> Deserialize<'de>>(payload: &[u8]) -> Option<P> {
    serde_json::from_slice::<Object<Carrier<P>>>(payload).ok()?.0.predicate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(predicate: &str, kind: &str) -> (Option<String>, Option<String>) {
        let payload = format!(r#"{{"_type":"x","predicate":{predicate},"subject":[]}}"#);
        let read = Provenance::of(payload.as_bytes(), kind);
        (read.builder_id, read.build_type)
    }

    #[test]
    fn builder_and_build_type_are_read_from_both_versions_and_nothing_else() {
        let one = r#"{"buildDefinition":{"buildType":"t","x":[1]},"runDetails":{"builder":{"id":"b","version":{}}}}"#;
        let two = r#"{"builder":{"id":"b"},"buildType":"t","invocation":{}}"#;
        let whole = (Some("b".to_owned()), Some("t".to_owned()));
        assert_eq!(of(one, V1), whole);
        assert_eq!(of(two, V0_2), whole);
        assert_eq!(of(two, V1), (None, None));
        assert_eq!(of(one, V0_2), (None, None));
        assert_eq!(of(one, "https://slsa.dev/provenance/v1/"), (None, None));
        assert_eq!(of(r#"{"runDetails":{"builder":{"id":"b"}}}"#, V1), (Some("b".to_owned()), None));
    }

    #[test]
    fn what_is_ambiguous_or_of_another_type_says_nothing() {
        for predicate in [
            r#"{"runDetails":{"builder":{"id":"a","id":"b"}}}"#,
            r#"{"runDetails":{"builder":{"id":"a"}},"runDetails":{"builder":{"id":"b"}}}"#,
            r#"{"runDetails":{"builder":{"id":7}}}"#,
            r#"{"runDetails":{"builder":["b"]}}"#,
            r#"{"runDetails":[{"id":"b"}]}"#,
            r#"[{"buildType":"t"}]"#,
            "null",
            "7",
        ] {
            assert_eq!(of(predicate, V1), (None, None), "{predicate}");
        }
        let twice = r#"{"predicate":{"runDetails":{"builder":{"id":"a"}}},"predicate":{}}"#;
        assert_eq!(Provenance::of(twice.as_bytes(), V1), Provenance::default());
    }
}
