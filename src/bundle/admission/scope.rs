//! The names that policies of verifiers may use, and the parts of them that may be missing.

use crate::condition::{Condition, Fault, Member, Record, Scope, Type};
use crate::identity::extensions::{FULCIO_NAMES, GitlabClaim, OTHER_NAME};
use crate::identity::gitlab::{EVERY_JOB_HAS, FLAG, REF_TYPES};
use crate::possession::KeyKind;
use der::asn1::ObjectIdentifier;
use std::fmt;
use std::sync::LazyLock;

/// The kinds of subject alternative names, as `cert.san_type` has them.
const SAN_TYPES: &[&str] = &["uri", "email", "dns", "other"];
/// Who states the time of a signature.
const TIME_SOURCES: &[&str] = &["timestamp-authority", "log"];

/// Kinds and versions of log entries: those that a bundle's verifier knows.
const LOG_KINDS: &[&str] =
    &["hashedrekord 0.0.2", "dsse 0.0.2", "hashedrekord 0.0.1", "dsse 0.0.1", "intoto 0.0.2"];

/// Whether the file itself was signed, or a statement about it.
pub(super) const SIGNED_AS: &[&str] = &["file", "statement"];

/// What a verification may have found, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `cert`: none where a managed key signed.
    Certificate,
    /// `cert.gitlab`: the raw claims of a GitLab job.
    GitlabClaims,
    /// `sct`
    Sct,
    /// `signed_at` and `signed_at_source`
    SignedAt,
    /// `artifact`
    Artifact,
    /// `log`
    Log,
    /// `attestation`: none where the file itself was signed.
    Attestation,
}

impl Part {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Certificate,
        Self::GitlabClaims,
        Self::Sct,
        Self::SignedAt,
        Self::Artifact,
        Self::Log,
        Self::Attestation,
    ];

    /// What its names begin with.
    const fn paths(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Certificate => &[&["cert"]],
            Self::GitlabClaims => &[&["cert", "gitlab"]],
            Self::Sct => &[&["sct"]],
            Self::SignedAt => &[&["signed_at"], &["signed_at_source"]],
            Self::Artifact => &[&["artifact"]],
            Self::Log => &[&["log"]],
            Self::Attestation => &[&["attestation"]],
        }
    }

    /// Whether the condition names it without asking whether it is there: where it may be absent, the check refuses that.
    pub(super) fn is_needed_by(self, condition: &Condition) -> bool {
        let named = condition.names().any(|path| {
            self.paths().iter().any(|prefix| {
                path.len() >= prefix.len() && path.iter().zip(*prefix).all(|(name, wanted)| name == wanted)
            })
        });
        named && Condition::compile(condition.source(), &without(Some(self))).is_err()
    }
}

impl fmt::Display for Part {
    /// That it is not there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "there is no certificate: a managed key signed",
            Self::GitlabClaims => "the certificate has no GitLab claims",
            Self::Sct => "there is no certificate, and so no SCT",
            Self::SignedAt => "nothing that is trusted says when it was signed",
            Self::Artifact => "no signed file was verified",
            Self::Log => "no entry of a signature log was verified",
            Self::Attestation => "it is no attestation: the file itself was signed",
        })
    }
}

/// The names of a policy: `docs/VERIFYING.md` explains each.
pub fn scope() -> Scope {
    static WHOLE: LazyLock<Scope> = LazyLock::new(|| without(None));
    WHOLE.clone()
}

/// The same where a part may be missing, so that the condition has to ask.
fn without(part: Option<Part>) -> Scope {
    let there = |this: Part| part != Some(this);
    let text = || Member::always(Type::Text);
    let gitlab = Record::of(GitlabClaim::ALL.map(|claim| (claim.name(), claim_member(claim))));
    let fulcio = Record::of(fulcio_members().map(|(_, name)| (name, Member::sometimes(Type::Text))));
    let certificate = Record::of([
        ("san", text()),
        ("san_type", text().one_of(SAN_TYPES)),
        ("issuer", text()),
        ("not_before", Member::always(Type::Time)),
        ("not_after", Member::always(Type::Time)),
        ("key_type", text().one_of(&KeyKind::CODES)),
        ("gitlab", Member::record(gitlab, there(Part::GitlabClaims))),
        ("fulcio", Member::record(fulcio, true)),
        ("extensions", Member::record(Record::default().and_others(Type::Text), true)),
    ]);
    let sct =
        Record::of([("timestamp", Member::always(Type::Time)), ("log_index", Member::sometimes(Type::Int))]);
    let artifact = Record::of([("digest", text()), ("signed_as", text().one_of(SIGNED_AS))]);
    let log = Record::of([
        ("index", Member::always(Type::Int)),
        ("url", text()),
        ("kind", text().one_of(LOG_KINDS)),
    ]);
    let attestation = Record::of([
        ("predicate_type", text()),
        ("subject", text()),
        ("subjects", Member::always(Type::texts())),
        ("builder_id", Member::sometimes(Type::Text)),
        ("build_type", Member::sometimes(Type::Text)),
    ]);
    let value = |of: Type, part: Part| if there(part) { Member::always(of) } else { Member::sometimes(of) };
    Scope::of([
        ("cert", Member::record(certificate, there(Part::Certificate))),
        ("sct", Member::record(sct, there(Part::Sct))),
        ("signed_at", value(Type::Time, Part::SignedAt)),
        ("signed_at_source", value(Type::Text, Part::SignedAt).one_of(TIME_SOURCES)),
        ("artifact", Member::record(artifact, there(Part::Artifact))),
        ("log", Member::record(log, there(Part::Log))),
        ("attestation", Member::record(attestation, there(Part::Attestation))),
    ])
}

fn claim_member(claim: GitlabClaim) -> Member {
    // GitLab leaves `ref_protected` out where it cannot say; policies read "" then.
    let member = match EVERY_JOB_HAS.contains(&claim) || claim == GitlabClaim::RefProtected {
        true => Member::always(Type::Text),
        false => Member::sometimes(Type::Text),
    };
    match claim_values(claim) {
        [] => member,
        values => member.one_of(values),
    }
}

/// The only values that a claim has, when there are few.
pub(super) const fn claim_values(claim: GitlabClaim) -> &'static [&'static str] {
    match claim {
        GitlabClaim::RefType => REF_TYPES,
        GitlabClaim::RefProtected => FLAG,
        GitlabClaim::EnvironmentProtected => &["true", "false"],
        _ => &[],
    }
}

/// The members of `cert.fulcio`: Sigstore's names in lower case, with underscores. The one that is no extension is not among them.
pub(super) fn fulcio_members() -> impl Iterator<Item = (ObjectIdentifier, String)> {
    FULCIO_NAMES.iter().filter(|(oid, _)| *oid != OTHER_NAME).map(|(oid, name)| (*oid, member_name(name)))
}

/// `Issuer (V2)` as `issuer_v2`.
fn member_name(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_lowercase()
}

/// What stands in `cert.extensions[…]` must be an object identifier, or no certificate would ever have it.
pub(super) fn check_extensions(condition: &Condition) -> Result<(), Fault> {
    for path in condition.names() {
        if let [cert, extensions, oid] = path
            && cert == "cert"
            && extensions == "extensions"
            && ObjectIdentifier::new(oid).is_err()
        {
            let message = format!(
                "cert.extensions has object identifiers: {oid:?} is none; write cert.extensions[\"1.3.6.1.4.1.99999.1\"]"
            );
            return Err(condition.fault_at(path, message));
        }
    }
    Ok(())
}
