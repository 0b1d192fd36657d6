//! The object identifiers of identity extensions, their names, and the encoding of their values.
//!
//! Two families: Fulcio's registered arc (Sigstore's OID registry, `1.3.6.1.4.1.57264.1`) and the arc of raw GitLab
//! claims, countersign's own or the operator's. `docs/EXTENSIONS.md` explains every one of them to policy writers.

use super::IdentityExtension;
use bytes::Bytes;
use der::Decode;
use der::asn1::{ObjectIdentifier, Utf8StringRef};
use std::fmt;
use std::str::FromStr;

macro_rules! fulcio {
    ($($(#[doc = $doc:literal])+ $number:literal $constant:ident = $name:literal;)+) => {
        $(
            $(#[doc = $doc])+
            pub const $constant: ObjectIdentifier =
                ObjectIdentifier::new_unwrap(concat!("1.3.6.1.4.1.57264.1.", $number));
        )+

        /// Every member of Fulcio's arc with its name in Sigstore's OID registry, ascending.
        pub const FULCIO_NAMES: &[(ObjectIdentifier, &str)] = &[$(($constant, $name),)+];
    };
}

/// Fulcio's arc, registered by Sigstore.
pub const FULCIO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");

fulcio! {
    /// `iss`, as raw bytes (deprecated by .8, still read by old verifiers).
    "1" ISSUER = "Issuer";
    /// Raw bytes, GitHub only, deprecated.
    "2" GITHUB_WORKFLOW_TRIGGER = "GitHub Workflow Trigger";
    /// Raw bytes, GitHub only, deprecated.
    "3" GITHUB_WORKFLOW_SHA = "GitHub Workflow SHA";
    /// Raw bytes, GitHub only, deprecated.
    "4" GITHUB_WORKFLOW_NAME = "GitHub Workflow Name";
    /// Raw bytes, GitHub only, deprecated.
    "5" GITHUB_WORKFLOW_REPOSITORY = "GitHub Workflow Repository";
    /// Raw bytes, GitHub only, deprecated.
    "6" GITHUB_WORKFLOW_REF = "GitHub Workflow Ref";
    /// Not an extension: the type of an otherName in the subject alternative name.
    "7" OTHER_NAME = "OtherName SAN";
    /// `iss`.
    "8" ISSUER_V2 = "Issuer (V2)";
    /// The subject's text before percent-encoding.
    "9" BUILD_SIGNER_URI = "Build Signer URI";
    /// The commit of the CI configuration.
    "10" BUILD_SIGNER_DIGEST = "Build Signer Digest";
    /// Who runs the runner.
    "11" RUNNER_ENVIRONMENT = "Runner Environment";
    /// The project's URL.
    "12" SOURCE_REPOSITORY_URI = "Source Repository URI";
    /// The commit that was built.
    "13" SOURCE_REPOSITORY_DIGEST = "Source Repository Digest";
    /// The full ref that was built.
    "14" SOURCE_REPOSITORY_REF = "Source Repository Ref";
    /// The project's immutable id.
    "15" SOURCE_REPOSITORY_IDENTIFIER = "Source Repository Identifier";
    /// The namespace's URL.
    "16" SOURCE_REPOSITORY_OWNER_URI = "Source Repository Owner URI";
    /// The namespace's immutable id.
    "17" SOURCE_REPOSITORY_OWNER_IDENTIFIER = "Source Repository Owner Identifier";
    /// The same as .9.
    "18" BUILD_CONFIG_URI = "Build Config URI";
    /// The same as .10.
    "19" BUILD_CONFIG_DIGEST = "Build Config Digest";
    /// What started the pipeline.
    "20" BUILD_TRIGGER = "Build Trigger";
    /// The job's URL.
    "21" RUN_INVOCATION_URI = "Run Invocation URI";
    /// The project's visibility.
    "22" SOURCE_REPOSITORY_VISIBILITY_AT_SIGNING = "Source Repository Visibility At Signing";
    /// The deployment environment.
    "23" DEPLOYMENT_ENVIRONMENT = "Deployment Environment";
    /// The raw `sub`.
    "24" TOKEN_SUBJECT = "Token Subject";
}

macro_rules! gitlab_claims {
    ($($number:literal $variant:ident = $name:literal,)+) => {
        /// A claim that goes unaltered into the certificate. The discriminant is its last arc, a contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum GitlabClaim {
            $(#[doc = concat!("`", $name, "`, member .", $number)] $variant = $number,)+
        }

        impl GitlabClaim {
            /// Every member of the claims arc, ascending.
            pub const ALL: [Self; 23] = [$(Self::$variant,)+];

            /// The claim's name in the token.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

gitlab_claims! {
    1 NamespacePath = "namespace_path",
    2 NamespaceId = "namespace_id",
    3 ProjectPath = "project_path",
    4 ProjectId = "project_id",
    5 PipelineId = "pipeline_id",
    6 PipelineSource = "pipeline_source",
    7 JobId = "job_id",
    8 Ref = "ref",
    9 RefType = "ref_type",
    10 RefPath = "ref_path",
    11 RefProtected = "ref_protected",
    12 Environment = "environment",
    13 EnvironmentProtected = "environment_protected",
    14 DeploymentTier = "deployment_tier",
    15 RunnerId = "runner_id",
    16 RunnerEnvironment = "runner_environment",
    17 JobProjectPath = "job_project_path",
    18 JobProjectId = "job_project_id",
    19 JobSource = "job_source",
    20 ProjectVisibility = "project_visibility",
    21 Sha = "sha",
    22 CiConfigRefUri = "ci_config_ref_uri",
    23 CiConfigSha = "ci_config_sha",
}

/// The arc of raw GitLab claims: countersign's own (the default), or the operator's.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimsArc {
    arc: ObjectIdentifier,
    members: [ObjectIdentifier; GitlabClaim::ALL.len()],
}

/// countersign's own arc, derived from a UUID by Microsoft's self-service scheme. Every component fits in 31 bits, which
/// Go's parser of certificates demands and which rules out the arc 2.25.
const OWN_ARC: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113556.1.8000.2554.28867.4258.65327.16907.43729.14999557.3402717");

/// Arcs whose members mean something else in a certificate: an extension of ours below them would be read as that.
const TAKEN_ARCS: [(ObjectIdentifier, &str); 6] = [
    (ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264"), "Sigstore's"),
    (
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129"),
        "Google's, with the extensions of Certificate Transparency",
    ),
    (ObjectIdentifier::new_unwrap("2.5.29"), "X.509's own extensions"),
    (ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7"), "PKIX's"),
    (ObjectIdentifier::new_unwrap("2.16.840.1.113730"), "Netscape's"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549"), "PKCS's"),
];

impl ClaimsArc {
    /// An operator's own arc in dotted form, for instance below their IANA private enterprise number.
    ///
    /// Refused, with words for the operator: what is not an OID, a component above 2^31 - 1 (Go cannot parse it), fewer
    /// than five components (such arcs belong to standards bodies), more than 38 octets of DER, and arcs whose members have a meaning already.
    pub fn parse(dotted: &str) -> Result<Self, String> {
        Self::of(operators_own(dotted).map_err(|fault| format!("the arc {fault}"))?)
            .ok_or_else(|| "the arc is too long: 38 octets of DER at most".to_owned())
    }

    /// The arc itself.
    pub const fn arc(&self) -> &ObjectIdentifier {
        &self.arc
    }

    /// The object identifier of a claim.
    pub const fn oid(&self, claim: GitlabClaim) -> ObjectIdentifier {
        self.members[claim as usize - 1]
    }

    /// The claim that an object identifier stands for.
    pub fn claim(&self, oid: &ObjectIdentifier) -> Option<GitlabClaim> {
        GitlabClaim::ALL.into_iter().find(|claim| self.members[*claim as usize - 1] == *oid)
    }

    fn of(arc: ObjectIdentifier) -> Option<Self> {
        let mut members = [arc; GitlabClaim::ALL.len()];
        for (member, claim) in members.iter_mut().zip(GitlabClaim::ALL) {
            *member = arc.push_arc(claim as u32).ok()?;
        }
        Some(Self { arc, members })
    }
}

impl Default for ClaimsArc {
    fn default() -> Self {
        Self::of(OWN_ARC).expect("our own arc has 33 octets, and its members have one more")
    }
}

impl FromStr for ClaimsArc {
    type Err = String;

    fn from_str(dotted: &str) -> Result<Self, String> {
        Self::parse(dotted)
    }
}

impl fmt::Display for ClaimsArc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arc.fmt(f)
    }
}

impl fmt::Debug for ClaimsArc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimsArc({})", self.arc)
    }
}

/// The object identifier of an extension that is the operator's own, in dotted form. None of the arcs of raw claims that are in use
/// may have it, nor any arc above or below it.
///
/// # Errors
/// As [`ClaimsArc::parse`], in words that follow a key's name.
pub fn own_extension<'a>(
    dotted: &str,
    mut claims_arcs: impl Iterator<Item = &'a ClaimsArc>,
) -> Result<ObjectIdentifier, String> {
    let oid = operators_own(dotted)?;
    match claims_arcs.find(|arc| overlap(oid, arc.arc)) {
        Some(arc) => Err(format!("overlaps {arc}, the arc of the extensions with GitLab's claims")),
        None => Ok(oid),
    }
}

/// An arc that can be an operator's own.
fn operators_own(dotted: &str) -> Result<ObjectIdentifier, String> {
    let arc = ObjectIdentifier::new(dotted).map_err(|_| {
        "is not an object identifier: numbers joined by dots are expected, such as 1.3.6.1.4.1.99999.1, of 38 octets at most"
            .to_owned()
    })?;
    if arc.arcs().any(|component| component > i32::MAX as u32) {
        return Err("has a component above 2147483647, which Go's certificate parser refuses".to_owned());
    }
    if arc.arcs().count() < 5 {
        return Err(
            "is too short to be anybody's own: take one below your IANA private enterprise number".to_owned()
        );
    }
    match TAKEN_ARCS.iter().find(|(taken, _)| overlap(arc, *taken)) {
        Some((taken, whose)) => {
            Err(format!("overlaps {taken} ({whose}): take one below your IANA private enterprise number"))
        }
        None => Ok(arc),
    }
}

/// The extension for a text, encoded as its object identifier asks for.
pub fn extension(oid: ObjectIdentifier, text: &str) -> IdentityExtension {
    let mut content = Vec::new();
    push_content(&mut content, &oid, text);
    IdentityExtension { oid, content: content.into() }
}

/// Appends the content of an extension of that type.
fn push_content(contents: &mut Vec<u8>, oid: &ObjectIdentifier, text: &str) {
    if is_raw(oid) {
        contents.extend_from_slice(text.as_bytes());
    } else {
        push_utf8_string(contents, text);
    }
}

/// Extensions for many texts, whose contents lie in one buffer.
pub(super) struct ExtensionList {
    contents: Vec<u8>,
    /// Each with where its content ends.
    list: Vec<(ObjectIdentifier, usize)>,
}

impl ExtensionList {
    /// None yet, and room for so many of common length.
    pub(super) fn with_capacity(count: usize) -> Self {
        Self { contents: Vec::with_capacity(64 * count), list: Vec::with_capacity(count) }
    }

    /// As [`extension`].
    pub(super) fn push(&mut self, oid: ObjectIdentifier, text: &str) {
        push_content(&mut self.contents, &oid, text);
        self.list.push((oid, self.contents.len()));
    }

    /// All of them, in their order.
    pub(super) fn finish(self) -> Vec<IdentityExtension> {
        let contents = Bytes::from(self.contents);
        let mut begin = 0;
        let cut = |(oid, end)| {
            let content = contents.slice(std::mem::replace(&mut begin, end)..end);
            IdentityExtension { oid, content }
        };
        self.list.into_iter().map(cut).collect()
    }
}

/// The extensions of Fulcio's arc that a certificate gets: the issuer, these, and the raw `sub`, ascending. An absent or empty
/// value has none.
pub fn identity_extensions<'t>(
    issuer: &'t str,
    sub: &'t str,
    others: impl IntoIterator<Item = (ObjectIdentifier, Option<&'t str>)>,
) -> Vec<IdentityExtension> {
    let common = [(ISSUER, Some(issuer)), (ISSUER_V2, Some(issuer)), (TOKEN_SUBJECT, Some(sub))].into_iter();
    let mut list: Vec<_> = common
        .chain(others)
        .filter_map(|(oid, text)| Some(extension(oid, text.filter(|text| !text.is_empty())?)))
        .collect();
    list.sort_by_key(|extension| FULCIO_NAMES.iter().position(|(oid, _)| *oid == extension.oid));
    list
}

/// The name of an identity extension: Sigstore's (`Build Signer URI`) or the claim's (`project_path`).
pub fn name_of(oid: &ObjectIdentifier, arc: &ClaimsArc) -> Option<&'static str> {
    fulcio_name(oid).or_else(|| arc.claim(oid).map(GitlabClaim::name))
}

/// The object identifier that a person means by a name: the inverse of [`name_of`], for command lines.
///
/// Taken are a claim's name exactly (`project_path`), a name of Sigstore's with any letter case and with spaces, hyphens or nothing
/// between its words (`Build Signer URI`, `build-signer-uri`, `BuildSignerURI`), and any OID in dotted form. So
/// `runner_environment` is the raw claim, `runner-environment` Fulcio's .11.
pub fn oid_of(name: &str, arc: &ClaimsArc) -> Option<ObjectIdentifier> {
    let claim = GitlabClaim::ALL.into_iter().find(|claim| claim.name() == name);
    claim
        .map(|claim| arc.oid(claim))
        .or_else(|| FULCIO_NAMES.iter().find(|(_, known)| same_words(known, name)).map(|(oid, _)| *oid))
        .or_else(|| ObjectIdentifier::new(name).ok())
}

/// The text in an extension's `extnValue`: raw bytes for .1 to .6 of Fulcio's arc, a DER UTF8String for all others.
/// `None`: it is not encoded like that.
pub fn text_of<'e>(oid: &ObjectIdentifier, content: &'e [u8]) -> Option<&'e str> {
    if is_raw(oid) { std::str::from_utf8(content).ok() } else { decode_utf8_string(content) }
}

/// Whether the extension's content is raw bytes rather than DER: .1 to .6 of Fulcio's arc.
pub fn is_raw(oid: &ObjectIdentifier) -> bool {
    FULCIO_NAMES.iter().take(6).any(|(raw, _)| raw == oid)
}

/// A DER UTF8String (X.690 §8.23, tag 12) with minimal length octets (§10.1).
pub fn encode_utf8_string(text: &str) -> Vec<u8> {
    let mut der = Vec::new();
    push_utf8_string(&mut der, text);
    der
}

/// Appends [`encode_utf8_string`].
fn push_utf8_string(der: &mut Vec<u8>, text: &str) {
    const TAG: u8 = 0x0c;
    let length = text.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|octet| **octet == 0).count().min(length.len() - 1)..];
    der.reserve(2 + significant.len() + text.len());
    der.push(TAG);
    if text.len() >= 0x80 {
        der.push(0x80 | significant.len() as u8);
    }
    der.extend_from_slice(significant);
    der.extend_from_slice(text.as_bytes());
}

/// The text of a DER UTF8String; `None` for anything else, trailing octets and lengths that are not minimal included.
pub fn decode_utf8_string(der: &[u8]) -> Option<&str> {
    Utf8StringRef::from_der(der).ok().map(|text| text.as_str())
}

fn fulcio_name(oid: &ObjectIdentifier) -> Option<&'static str> {
    FULCIO_NAMES.iter().find(|(known, _)| known == oid).map(|(_, name)| *name)
}

/// Whether one is the other, or lies below it. Of the identifiers, not of their text: 057264 is 57264.
fn overlap(one: ObjectIdentifier, other: ObjectIdentifier) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// Whether two names have the same words. An underscore is no separator: it marks a claim.
fn same_words(one: &str, other: &str) -> bool {
    let letters = |name: &str| -> Vec<u8> {
        name.bytes().filter(|b| !matches!(b, b' ' | b'-')).map(|b| b.to_ascii_lowercase()).collect()
    };
    letters(one) == letters(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::Encode;
    use proptest::prelude::*;

    #[test]
    fn names_and_identifiers_are_inverse() {
        let arc = ClaimsArc::default();
        for (oid, name) in FULCIO_NAMES {
            assert_eq!(name_of(oid, &arc), Some(*name));
            assert_eq!(oid_of(name, &arc), Some(*oid));
        }
        for claim in GitlabClaim::ALL {
            assert_eq!(name_of(&arc.oid(claim), &arc), Some(claim.name()));
            assert_eq!(oid_of(claim.name(), &arc), Some(arc.oid(claim)));
        }
        assert_eq!(name_of(&arc.arc().push_arc(24).unwrap(), &arc), None);
        assert_eq!(name_of(&FULCIO, &arc), None);
    }

    #[test]
    fn members_are_numbered_as_the_contract_says() {
        for (index, (oid, _)) in FULCIO_NAMES.iter().enumerate() {
            assert_eq!(oid.to_string(), format!("1.3.6.1.4.1.57264.1.{}", index + 1));
        }
        let arc = ClaimsArc::default();
        for (index, claim) in GitlabClaim::ALL.into_iter().enumerate() {
            assert_eq!(arc.oid(claim).to_string(), format!("{arc}.{}", index + 1));
        }
    }

    #[test]
    fn a_name_may_be_spelled_as_people_spell_it() {
        let arc = ClaimsArc::default();
        for spelling in ["Build Signer URI", "build-signer-uri", "BuildSignerURI", "1.3.6.1.4.1.57264.1.9"] {
            assert_eq!(oid_of(spelling, &arc), Some(BUILD_SIGNER_URI), "{spelling}");
        }
        assert_eq!(oid_of("runner_environment", &arc), Some(arc.oid(GitlabClaim::RunnerEnvironment)));
        assert_eq!(oid_of("runner-environment", &arc), Some(RUNNER_ENVIRONMENT));
        for unknown in ["", "user_login", "build_signer_uri", "Project_Path", "1", "1..2"] {
            assert_eq!(oid_of(unknown, &arc), None, "{unknown}");
        }
    }

    #[test]
    fn an_operators_arc_is_taken_or_refused_with_a_reason() {
        let own = ClaimsArc::parse("1.3.6.1.4.1.99999.7").unwrap();
        assert_eq!(own.oid(GitlabClaim::CiConfigSha).to_string(), "1.3.6.1.4.1.99999.7.23");
        assert_eq!(ClaimsArc::parse(&ClaimsArc::default().to_string()), Ok(ClaimsArc::default()));
        let table = [
            ("", "not an object identifier"),
            ("hello", "not an object identifier"),
            ("1.3.6.1.4.1.99999.", "not an object identifier"),
            (".1.3.6.1.4.1.99999", "not an object identifier"),
            ("1.3.6.1.4.1.-5", "not an object identifier"),
            ("1.3.6.1.4.1.4294967296", "not an object identifier"),
            ("3.3.6.1.4.1.99999", "not an object identifier"),
            ("1.3.6.1.4.1.2147483648", "2147483647"),
            ("2.25.1.2", "too short"),
            ("1.3.6.1", "too short"),
            ("1.3.6.1.4.1", "overlaps"),
            ("1.3.6.1.4.1.057264.1", "overlaps"),
            ("01.3.6.1.4.1.57264.1.8", "overlaps"),
            ("1.3.6.1.4.1.57264.1", "overlaps"),
            ("1.3.6.1.4.1.57264.1.8.1", "overlaps"),
            ("1.3.6.1.4.1.11129.2.4", "overlaps"),
            ("2.5.29.1.1", "overlaps"),
            ("1.3.6.1.5.5.7.1", "overlaps"),
            (
                "1.3.6.1.4.1.2147483647.2147483647.2147483647.2147483647.2147483647.2147483647.2147483647",
                "octets",
            ),
        ];
        for (dotted, expected) in table {
            let error = ClaimsArc::parse(dotted).expect_err(dotted);
            assert!(error.contains(expected), "{dotted}: {error}");
        }
        assert!(ClaimsArc::parse("1.3.6.1.4.1.572640.1").is_ok(), "a longer number is another arc");
    }

    #[test]
    fn raw_and_der_contents_are_told_apart_by_the_identifier() {
        assert_eq!(text_of(&ISSUER, b"https://gitlab.com"), Some("https://gitlab.com"));
        assert_eq!(text_of(&ISSUER_V2, b"\x0c\x02ab"), Some("ab"));
        assert_eq!(text_of(&ISSUER_V2, b"https://gitlab.com"), None);
        assert_eq!(text_of(&ISSUER, b"\xff"), None);
        for broken in
            [&b""[..], b"\x0c", b"\x0c\x02a", b"\x0c\x01ab", b"\x0c\x81\x01a", b"\x13\x01a", b"\x0c\x01\xff"]
        {
            assert_eq!(decode_utf8_string(broken), None, "{broken:02x?}");
        }
    }

    #[test]
    fn lengths_are_minimal_at_every_border() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536, 200_000] {
            let text = "a".repeat(length);
            let expected = Utf8StringRef::new(&text).unwrap().to_der().unwrap();
            assert!(encode_utf8_string(&text) == expected, "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_text_survives_its_encoding(text in ".{0,300}") {
            let der = encode_utf8_string(&text);
            prop_assert_eq!(decode_utf8_string(&der), Some(text.as_str()));
        }

        #[test]
        fn no_arc_panics(text in "[0-9.]{0,60}") {
            let _ = ClaimsArc::parse(&text);
            let _ = oid_of(&text, &ClaimsArc::default());
        }
    }
}
