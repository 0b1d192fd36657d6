//! A Fulcio identity configuration, exactly as it stands: YAML, or JSON with the names that Fulcio's JSON has.
//!
//! Entries of type `gitlab-pipeline` become issuers. Entries of other types are checked as Fulcio checks them and left
//! out with a warning. Keys that Fulcio does not know are warnings too, since Fulcio ignores them.

use super::issuers::{self, Declared, LATER_TYPES};
use super::reader::{Field, Section, Source, Strictness};
use super::report::{Finding, Place, Report};
use super::tree::{self, Node, SyntaxError};
use super::values;
use crate::identity::extensions::ClaimsArc;
use crate::identity::gitlab::{GitlabRules, SubjectMode};
use crate::identity::{Entry, IssuerPattern, KeySource};
use std::path::Path;

/// What a file declares.
#[derive(Default)]
pub struct Identities {
    /// `oidc-issuers`.
    pub issuers: Vec<Declared>,
    /// `meta-issuers`.
    pub patterns: Vec<IssuerPattern>,
}

/// The names of keys: Fulcio's structs have one for YAML and one for JSON, and a file has one kind.
struct Names {
    sections: [&'static str; 3],
    issuer_url: &'static str,
    client_id: &'static str,
    kind: &'static str,
    ci_provider: &'static str,
    issuer_claim: &'static str,
    subject_domain: &'static str,
    trust_domain: &'static str,
    ca_cert: &'static str,
    /// Taken and not needed: for people, or without effect on certificates.
    others: [&'static str; 5],
}

const YAML: Names = Names {
    sections: ["oidc-issuers", "meta-issuers", "ci-issuer-metadata"],
    issuer_url: "issuer-url",
    client_id: "client-id",
    kind: "type",
    ci_provider: "ci-provider",
    issuer_claim: "issuer-claim",
    subject_domain: "subject-domain",
    trust_domain: "spiffe-trust-domain",
    ca_cert: "ca-cert",
    others: ["challenge-claim", "description", "contact", "environment", "skip-email-verification"],
};

const JSON: Names = Names {
    sections: ["OIDCIssuers", "MetaIssuers", "CIIssuerMetadata"],
    issuer_url: "IssuerURL",
    client_id: "ClientID",
    kind: "Type",
    ci_provider: "CIProvider",
    issuer_claim: "IssuerClaim",
    subject_domain: "SubjectDomain",
    trust_domain: "SPIFFETrustDomain",
    ca_cert: "CACert",
    others: ["ChallengeClaim", "Description", "Contact", "Environment", "SkipEmailVerification"],
};

/// Whether a file is such a configuration rather than one of ours: by its top-level keys.
pub fn is_identity_configuration(document: &Node) -> bool {
    let tree::Value::Map(entries) = &document.value else { return false };
    entries.iter().any(|(key, _)| {
        matches!(&key.value, tree::Value::Scalar { text, .. }
            if YAML.sections.contains(&text.as_str()) || JSON.sections.contains(&text.as_str()))
    })
}

/// Reads the text of `file`. What is wrong goes into `report`.
pub fn read(file: &Path, text: &str, claims_arc: Option<&ClaimsArc>, report: &Report) -> Identities {
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let document = match tree::parse_json_too(text) {
        Ok(document) => document,
        Err(SyntaxError { line, message }) => {
            report.error(Place { file, line, key: "" }, message);
            return Identities::default();
        }
    };
    let reader = Reader { names: if is_json { &JSON } else { &YAML }, claims_arc, report };
    let source = Source { file, report, strictness: Strictness::Lenient };
    Section::new(source, &document, "").map(|section| reader.document(section)).unwrap_or_default()
}

struct Reader<'r> {
    names: &'r Names,
    claims_arc: Option<&'r ClaimsArc>,
    report: &'r Report,
}

/// An entry of either section, checked.
struct Checked {
    entry: Entry,
    key_source: KeySource,
}

impl Reader<'_> {
    fn document(&self, document: Section<'_>) -> Identities {
        let [oidc_issuers, meta_issuers, metadata] = self.names.sections;
        let mut identities = Identities::default();
        let mut count = 0;
        if let Some(section) = document.get(oidc_issuers).and_then(|field| field.section()) {
            count += section.fields().count();
            identities.issuers = section.fields().filter_map(|field| self.issuer(field)).collect();
        }
        if let Some(section) = document.get(meta_issuers).and_then(|field| field.section()) {
            count += section.fields().count();
            identities.patterns = section.fields().filter_map(|field| self.pattern(field)).collect();
        }
        // `define` is where files keep their anchors. Templates are for types of later versions.
        let _ = (document.get(metadata), document.get("define"));
        document.report_unknown();
        if count == 0 {
            document.error(format!("names no issuer; {oidc_issuers} or {meta_issuers} should have one"));
        }
        identities
    }

    fn issuer(&self, field: &Field<'_>) -> Option<Declared> {
        let section = field.section()?;
        let url = section
            .require(self.names.issuer_url, "write the issuer's URL, the same as the key above")
            .and_then(|field| Some((field.text()?.to_owned(), field)));
        if let Some((text, issuer_url)) = &url
            && text != field.name()
        {
            issuer_url.error(format!(
                "is {}, its key is {}; they must be the same",
                values::quoted(text),
                values::quoted(field.name())
            ));
        }
        let checked = self.entry(field, &section)?;
        let url = values::issuer_url(field.name()).map_err(|message| field.error(message)).ok()?;
        if !self.is_safe(field, &url) {
            return None;
        }
        issuers::warn_of_spelling(field, &url);
        let place = field.place();
        let place = Finding {
            file: place.file.to_owned(),
            line: place.line,
            key: place.key.to_owned(),
            message: String::new(),
        };
        Some(Declared { url, entry: checked.entry, key_source: checked.key_source, place })
    }

    fn pattern(&self, field: &Field<'_>) -> Option<IssuerPattern> {
        let section = field.section()?;
        // Fulcio takes the key and looks at no `issuer-url` here.
        let _ = section.get(self.names.issuer_url);
        let checked = self.entry(field, &section)?;
        if !self.is_safe(field, field.name()) {
            return None;
        }
        IssuerPattern::parse(field.name(), [checked.entry], checked.key_source)
            .map_err(|message| field.error(message))
            .ok()
    }

    /// Fulcio's own checks of an entry, then what of it this version can use.
    fn entry(&self, field: &Field<'_>, section: &Section<'_>) -> Option<Checked> {
        let names = self.names;
        let kind = section.require(names.kind, "write the type of identity, gitlab-pipeline for instance");
        let client_id = section
            .require(names.client_id, "write the audience, sigstore for instance")
            .and_then(|field| field.parse(issuers::audience));
        let ca_certificate = section.get(names.ca_cert).map(|field| {
            let pem = field.text()?.as_bytes().to_vec();
            values::pem_certificates(&pem).map_err(|message| field.error(message)).ok()?;
            Some(pem)
        });
        let issuer_claim = section.get(names.issuer_claim);
        let subject_domain = section.get(names.subject_domain);
        let trust_domain = section.get(names.trust_domain);
        let provider = section.get(names.ci_provider);
        for name in names.others {
            let _ = section.get(name);
        }
        section.report_unknown();

        let kind_field = kind?;
        let kind = kind_field.text()?;
        if let Some(claim) = issuer_claim.filter(|_| kind != "email") {
            claim.error("is for entries of type email alone; remove it");
        }
        match kind {
            "uri" | "username" => {
                check_subject_domain(field, kind, section, subject_domain, names.subject_domain)
            }
            "spiffe" if field.path().starts_with(names.sections[1]) => {
                kind_field.error("spiffe is not for patterns of issuers; name each issuer");
            }
            "spiffe" if trust_domain.is_none() => {
                section.error(format!("is of type spiffe and has no {}", names.trust_domain));
            }
            _ => {}
        }
        if kind != "gitlab-pipeline" {
            self.left_out(field, &kind_field, kind, provider.as_ref());
            return None;
        }
        let rules = GitlabRules {
            subject: SubjectMode::PipelineDefinition,
            instance_url: None,
            allow_fork_pipelines: false,
            allow_undecidable_forks: false,
            claims_arc: self.claims_arc.cloned(),
        };
        let ca_certificate = match ca_certificate {
            Some(checked) => Some(checked?),
            None => None,
        };
        Some(Checked {
            entry: Entry { audience: client_id?, allow_multiple_audiences: false, kind: rules.into() },
            key_source: KeySource::Discovery { ca_certificate, outage_grace: issuers::DEFAULT_OUTAGE_GRACE },
        })
    }

    /// A known type of a later version: a warning. Any other: an error.
    fn left_out(&self, field: &Field<'_>, kind_field: &Field<'_>, kind: &str, provider: Option<&Field<'_>>) {
        if !LATER_TYPES.contains(&kind) {
            kind_field.error(format!("{} is no type of identity", values::quoted(kind)));
            return;
        }
        let is_gitlab = provider.and_then(Field::text) == Some("gitlab-pipeline");
        let advice = if is_gitlab { "; write type: gitlab-pipeline to have it now" } else { "" };
        field.warning(format!("type {kind} comes with a later version, so this entry is not used{advice}"));
    }

    fn is_safe(&self, field: &Field<'_>, url: &str) -> bool {
        // A pattern's `*` is no part of a URL; any label will do to see the scheme and whether the host is loopback.
        let safe = !values::is_exposed(&url.replace('*', "x"));
        if !safe {
            self.report.error(
                field.place(),
                "is plain http to another machine: whoever is on the network could hand out keys; use https, or move \
                 the entry to issuers: of the main configuration with insecure_http: true",
            );
        }
        safe
    }
}

/// The checks that Fulcio makes at its start.
fn check_subject_domain(
    entry: &Field<'_>,
    kind: &str,
    section: &Section<'_>,
    domain: Option<Field<'_>>,
    name: &str,
) {
    let Some(field) = domain else {
        section.error(format!("is of type {kind} and has no {name}"));
        return;
    };
    let Some(domain) = field.text() else { return };
    let scheme = domain.split_once("://").map(|(scheme, _)| scheme);
    match (kind, scheme) {
        ("username", Some(_)) => field.error("has a scheme; write the domain alone"),
        ("uri", None) => field.error("has no scheme; write it as https://host"),
        ("uri", Some(scheme)) if entry.name().split_once("://").map(|(scheme, _)| scheme) != Some(scheme) => {
            field.error("has another scheme than the issuer");
        }
        _ => {}
    }
}
