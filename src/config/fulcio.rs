//! A Fulcio identity configuration, exactly as it stands: YAML, or JSON with the names that Fulcio's JSON has.
//!
//! Everything that Fulcio checks at its start is checked, and what it would only find out when a token comes. Keys that Fulcio
//! does not know are warnings, since Fulcio ignores them.

use super::issuers::{self, Declared};
use super::providers::{self, Providers};
use super::reader::{Field, Section, Source, Strictness};
use super::report::{Finding, Place, Report};
use super::tree::{self, Node, SyntaxError};
use super::values;
use crate::identity::extensions::ClaimsArc;
use crate::identity::gitlab::{GitlabRules, Instance, SubjectMode};
use crate::identity::types::{self, Setting, SettingError, Settings};
use crate::identity::{Entry, EntryKind, IssuerPattern, KeySource};
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
    challenge_claim: &'static str,
    skip_email_verification: &'static str,
    ca_cert: &'static str,
    /// For people.
    others: [&'static str; 3],
    providers: providers::Names,
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
    challenge_claim: "challenge-claim",
    skip_email_verification: "skip-email-verification",
    ca_cert: "ca-cert",
    others: ["description", "contact", "environment"],
    providers: providers::YAML,
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
    challenge_claim: "ChallengeClaim",
    skip_email_verification: "SkipEmailVerification",
    ca_cert: "CACert",
    others: ["Description", "Contact", "Environment"],
    providers: providers::JSON,
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
    let names = if is_json { &JSON } else { &YAML };
    let reader = Reader { names, claims_arc, report, providers: Providers::new() };
    let source = Source { file, report, strictness: Strictness::Lenient };
    Section::new(source, &document, "").map(|section| reader.document(section)).unwrap_or_default()
}

struct Reader<'r> {
    names: &'r Names,
    claims_arc: Option<&'r ClaimsArc>,
    report: &'r Report,
    providers: Providers,
}

/// An entry of either section, checked.
struct Checked {
    entry: Entry,
    key_source: KeySource,
}

impl Reader<'_> {
    fn document(mut self, document: Section<'_>) -> Identities {
        let [oidc_issuers, meta_issuers, metadata] = self.names.sections;
        if let Some(section) = document.get(metadata).and_then(|field| field.section()) {
            self.providers = providers::read(&section, &self.names.providers);
        }
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
        // `define` is where files keep their anchors.
        let _ = document.get("define");
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
        if !self.is_safe(field, &url) || !can_be_named(field, &url, &checked.entry) {
            return None;
        }
        issuers::warn_of_spelling(field, &url, &checked.entry);
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
        if !self.is_safe(field, field.name()) || !can_be_named(field, field.name(), &checked.entry) {
            return None;
        }
        IssuerPattern::parse(field.name(), [checked.entry], checked.key_source)
            .map_err(|message| field.error(message))
            .ok()
    }

    /// What an entry makes of tokens, and where its keys come from.
    fn entry(&self, field: &Field<'_>, section: &Section<'_>) -> Option<Checked> {
        let names = self.names;
        let kind = section.require(names.kind, "write the type of identity, gitlab-pipeline for instance");
        let audience = section
            .require(names.client_id, "write the audience, sigstore for instance")
            .and_then(|field| field.parse(issuers::audience));
        let ca_certificate = section.get(names.ca_cert).map(|field| {
            let pem = field.text()?.as_bytes().to_vec();
            values::pem_certificates(&pem).map_err(|message| field.error(message)).ok()?;
            Some(pem)
        });
        let kind = self.kind(field, section, kind);
        for name in names.others {
            let _ = section.get(name);
        }
        section.report_unknown();
        let ca_certificate = match ca_certificate {
            Some(checked) => Some(checked?),
            None => None,
        };
        Some(Checked {
            entry: Entry { audience: audience?, allow_multiple_audiences: false, kind: kind? },
            key_source: KeySource::Discovery { ca_certificate, outage_grace: issuers::DEFAULT_OUTAGE_GRACE },
        })
    }

    fn kind(&self, entry: &Field<'_>, section: &Section<'_>, kind: Option<Field<'_>>) -> Option<EntryKind> {
        let names = self.names;
        let text = |field: &Option<Field<'_>>| field.as_ref().and_then(Field::text).map(str::to_owned);
        let issuer_claim = section.get(names.issuer_claim);
        let subject_domain = section.get(names.subject_domain);
        let trust_domain = section.get(names.trust_domain);
        let skip_email_verification = section.get(names.skip_email_verification);
        let challenge_claim = section.get(names.challenge_claim);
        let provider = section.get(names.ci_provider);
        let (issuer_claim_text, domain, trust) =
            (text(&issuer_claim), text(&subject_domain), text(&trust_domain));
        let settings = Settings {
            issuer: entry.name(),
            is_pattern: entry.path().starts_with(names.sections[1]),
            subject_domain: domain.as_deref(),
            trust_domain: trust.as_deref(),
            issuer_claim: issuer_claim_text.as_deref(),
            skip_email_verification: match skip_email_verification {
                Some(field) => field.boolean()?,
                None => false,
            },
            gitlab: GitlabRules {
                subject: SubjectMode::PipelineDefinition,
                instance_url: None,
                allow_fork_pipelines: false,
                allow_undecidable_forks: false,
                claims_arc: self.claims_arc.cloned(),
            },
            provider: match &provider {
                Some(field) => Some(self.provider(field)?),
                None => None,
            },
        };
        let kind = kind?;
        let name = kind.text()?;
        let Some(identity) = types::find(name) else {
            kind.error(format!("{} is no type of identity", values::quoted(name)));
            return None;
        };
        if let Some(claim) =
            issuer_claim.as_ref().filter(|_| !identity.settings.contains(&Setting::IssuerClaim))
        {
            claim.error("is for entries of type email alone; remove it");
            return None;
        }
        let built = (identity.build)(&settings).map_err(|SettingError { setting, is_missing, message }| {
            let (key, field) = match setting {
                Setting::SubjectDomain => (names.subject_domain, &subject_domain),
                Setting::TrustDomain => (names.trust_domain, &trust_domain),
                Setting::IssuerClaim => (names.issuer_claim, &issuer_claim),
                Setting::Provider => (names.ci_provider, &provider),
                Setting::SkipEmailVerification | Setting::Gitlab | Setting::Kind => {
                    return kind.error(message);
                }
            };
            match field {
                Some(field) if !is_missing => field.error(message),
                _ => section.error(format!("is of type {name} and has no {key}; {message}")),
            }
        });
        let built = built.ok()?;
        Some(match challenge_claim.as_ref().and_then(Field::text).filter(|claim| !claim.is_empty()) {
            Some(claim) => built.announcing_challenge(claim),
            None => built,
        })
    }

    /// The provider that an entry names, compiled.
    fn provider(&self, field: &Field<'_>) -> Option<EntryKind> {
        let Some(provider) = self.providers.get(field.text()?) else {
            let metadata = self.names.sections[2];
            field.error(format!("names no provider; {metadata} should have it, with its templates"));
            return None;
        };
        provider.clone()
    }

    fn is_safe(&self, field: &Field<'_>, url: &str) -> bool {
        // A pattern's `*` is no part of a URL. In an IPv4 address it can only be a number, and the first number alone says
        // whether that is loopback, wherever the others are.
        let host = values::without_scheme(url);
        let first_label = host.split(['.', ':', '/']).next().unwrap_or(host);
        let any_host = url.starts_with("http:") && first_label.contains('*');
        let safe = !any_host && !values::is_exposed(&url.replace('*', "1"));
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

/// Whether certificates can name pipelines by this URL: checked here, so that no token is refused for it later.
fn can_be_named(field: &Field<'_>, url: &str, entry: &Entry) -> bool {
    if entry.kind.as_type::<GitlabRules>().is_none() {
        return true;
    }
    // A star stands for letters and digits; what a token names by it is read again when it comes.
    let read = |stands_for| Instance::parse(&url.replace('*', stands_for)).map(|_| ());
    match read("x").or_else(|_| read("1")) {
        Ok(()) => true,
        Err(message) => {
            field.error(format!(
                "{message}; move the entry to issuers: of the main configuration with instance_url, since certificates name \
                 pipelines by this URL"
            ));
            false
        }
    }
}
