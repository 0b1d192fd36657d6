//! `issuers:`, and how its entries and those of the identity configuration become one allow-list.

use super::reader::{Field, Section};
use super::report::{Finding, Place, Report};
use super::values;
use crate::identity::extensions::ClaimsArc;
use crate::identity::gitlab::{GitlabRules, Instance, SubjectMode};
use crate::identity::types::{self, Setting, Settings};
use crate::identity::{Entry, EntryKind, Issuer, KeySource};
use crate::token::KeySet;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long the last good keys of an issuer serve when it cannot be reached, unless `outage_grace` says otherwise.
pub const DEFAULT_OUTAGE_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
const LONGEST_OUTAGE_GRACE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The audience that clients of Sigstore ask GitLab for.
const DEFAULT_AUDIENCE: &str = "sigstore";
/// Files of certificates and key sets.
const MOST_BYTES: u64 = 1024 * 1024;

/// One entry as a file declares it, before entries of one issuer are put together.
pub struct Declared {
    /// `iss`, byte for byte.
    pub url: String,
    /// What its tokens become.
    pub entry: Entry,
    /// Where its keys come from.
    pub key_source: KeySource,
    /// Where it stands; the message is empty.
    pub place: Finding,
}

/// Reads the list `issuers:`.
pub fn read(list: &Field<'_>, claims_arc: Option<&ClaimsArc>, directory: &Path) -> Vec<Declared> {
    let items = list.items().unwrap_or_default();
    items.iter().filter_map(|item| read_entry(&item.section()?, item, claims_arc, directory)).collect()
}

/// Puts entries of one issuer together. Two entries for one audience, or two sources of keys, are errors at the later.
pub fn unite(declared: Vec<Declared>, report: &Report) -> Vec<Issuer> {
    let mut issuers: Vec<(Vec<Declared>, String)> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for declared in declared {
        match index.get(&declared.url).and_then(|at| issuers.get_mut(*at)) {
            Some((entries, _)) => {
                if agrees(entries, &declared, report) {
                    entries.push(declared);
                }
            }
            None => {
                index.insert(declared.url.clone(), issuers.len());
                let url = declared.url.clone();
                issuers.push((vec![declared], url));
            }
        }
    }
    issuers
        .into_iter()
        .filter_map(|(entries, url)| {
            let key_source = Arc::new(entries.first()?.key_source.clone());
            let entries = entries.into_iter().map(|declared| declared.entry).collect();
            Some(Issuer { url, entries, key_source })
        })
        .collect()
}

fn agrees(earlier: &[Declared], declared: &Declared, report: &Report) -> bool {
    let place = Place { file: &declared.place.file, line: declared.place.line, key: &declared.place.key };
    let shown = |place: &Finding| format!("{}:{}", place.file.display(), place.line);
    if let Some(same) = earlier.iter().find(|other| other.entry.audience == declared.entry.audience) {
        let (url, audience) = (values::quoted(&declared.url), values::quoted(&declared.entry.audience));
        let message = format!(
            "issuer {url} has an entry for audience {audience} at {} already; remove one, or give it another audience",
            shown(&same.place)
        );
        report.error(place, message);
        return false;
    }
    match earlier.first() {
        Some(first) if !same_source(&first.key_source, &declared.key_source) => {
            let message = format!(
                "gets its keys from elsewhere than the entry of the same issuer at {}; an issuer has one set of keys: \
                 make ca_certificate, jwks_file and outage_grace the same",
                shown(&first.place)
            );
            report.error(place, message);
            false
        }
        _ => true,
    }
}

fn same_source(one: &KeySource, other: &KeySource) -> bool {
    match (one, other) {
        (KeySource::Static(one), KeySource::Static(other)) => one == other,
        (
            KeySource::Discovery { ca_certificate: ca, outage_grace: grace },
            KeySource::Discovery { ca_certificate: other_ca, outage_grace: other_grace },
        ) => ca == other_ca && grace == other_grace,
        _ => false,
    }
}

fn read_entry(
    section: &Section<'_>,
    item: &Field<'_>,
    claims_arc: Option<&ClaimsArc>,
    directory: &Path,
) -> Option<Declared> {
    let url_field = section.require("url", "write the issuer's URL, as its tokens' iss has it");
    let insecure_http = boolean(section, "insecure_http");
    let url = url_field.as_ref().and_then(|field| read_url(field, insecure_http));
    let kind = section.require("type", "write the type of identity, gitlab-pipeline for instance");
    let audience = match section.get("audience") {
        Some(field) => field.parse(audience),
        None => Some(DEFAULT_AUDIENCE.to_owned()),
    };
    let kind = read_kind(section, item, kind, url.as_deref().unwrap_or_default(), claims_arc);
    if let (Some(field), Some(url), Some(kind)) = (&url_field, &url, &kind) {
        check_can_be_named(field, url, kind, section.has("instance_url"));
    }
    let allow_multiple_audiences = boolean(section, "allow_multiple_audiences");
    let key_source = read_key_source(section, directory);
    section.report_unknown();
    let entry = Entry { audience: audience?, allow_multiple_audiences, kind: kind? };
    let url = url?;
    warn_of_spelling(&url_field?, &url, &entry);
    let place = Finding {
        file: item.place().file.to_owned(),
        line: item.line(),
        key: item.path().to_owned(),
        message: String::new(),
    };
    Some(Declared { url, entry, key_source: key_source?, place })
}

/// Whether certificates can name pipelines by this URL: checked here, so that no token is refused for it later.
fn check_can_be_named(field: &Field<'_>, url: &str, kind: &EntryKind, has_instance_url: bool) {
    let by_url = kind.as_type::<GitlabRules>().is_some() && !has_instance_url;
    if let Some(message) = by_url.then(|| Instance::parse(url).err()).flatten() {
        field.error(format!(
            "{message}; set instance_url beside it, since certificates name pipelines by this URL"
        ));
    }
}

/// Keys that only some types have, with the setting that each is.
const SETTINGS: [(&str, Setting); 8] = [
    ("subject", Setting::Gitlab),
    ("instance_url", Setting::Gitlab),
    ("allow_fork_pipelines", Setting::Gitlab),
    ("allow_undecidable_forks", Setting::Gitlab),
    ("subject_domain", Setting::SubjectDomain),
    ("trust_domain", Setting::TrustDomain),
    ("issuer_claim", Setting::IssuerClaim),
    ("skip_email_verification", Setting::SkipEmailVerification),
];

/// The type of an entry with what is set for it. A key of another type is an error: it would have no effect.
fn read_kind(
    section: &Section<'_>,
    item: &Field<'_>,
    kind: Option<Field<'_>>,
    url: &str,
    claims_arc: Option<&ClaimsArc>,
) -> Option<EntryKind> {
    let gitlab = GitlabRules {
        subject: section.get("subject").and_then(|field| field.parse(subject_mode)).unwrap_or_default(),
        instance_url: section.get("instance_url").and_then(|field| field.parse(read_instance_url)),
        allow_fork_pipelines: boolean(section, "allow_fork_pipelines"),
        allow_undecidable_forks: boolean(section, "allow_undecidable_forks"),
        claims_arc: claims_arc.cloned(),
    };
    let subject_domain = section.get("subject_domain");
    let trust_domain = section.get("trust_domain");
    let issuer_claim = section.get("issuer_claim");
    let text = |field: &Option<Field<'_>>| field.as_ref().and_then(Field::text).map(str::to_owned);
    let (domain, trust, claim) = (text(&subject_domain), text(&trust_domain), text(&issuer_claim));
    let settings = Settings {
        issuer: url,
        is_pattern: false,
        subject_domain: domain.as_deref(),
        trust_domain: trust.as_deref(),
        issuer_claim: claim.as_deref(),
        skip_email_verification: boolean(section, "skip_email_verification"),
        gitlab,
        provider: None,
    };
    let kind = kind?;
    let name = kind.text()?;
    // Templates stand in an identity configuration.
    let identity = types::find(name).filter(|identity| !identity.settings.contains(&Setting::Provider));
    let Some(identity) = identity else {
        kind.error(unknown_type(name));
        return None;
    };
    let mut fits = true;
    for (key, setting) in SETTINGS {
        if section.has(key) && !identity.settings.contains(&setting) {
            if let Some(field) = section.get(key) {
                field.error(format!("is not for entries of type {name}; remove it"));
            }
            fits = false;
        }
    }
    // Without a URL nothing can be said of what depends on it; that it is missing is said already.
    if !fits || url.is_empty() {
        return None;
    }
    let built = (identity.build)(&settings).map_err(|error| {
        let field = match error.setting {
            Setting::SubjectDomain => ("subject_domain", &subject_domain),
            Setting::TrustDomain => ("trust_domain", &trust_domain),
            Setting::IssuerClaim => ("issuer_claim", &issuer_claim),
            Setting::SkipEmailVerification | Setting::Gitlab | Setting::Provider | Setting::Kind => {
                return kind.error(error.message);
            }
        };
        match field {
            (_, Some(field)) if !error.is_missing => field.error(error.message),
            (key, _) => item.error(format!("is of type {name} and has no {key}; {}", error.message)),
        }
    });
    built.ok()
}

fn unknown_type(name: &str) -> String {
    if name == "ci-provider" {
        return "ci-provider stands in identity_config alone, with its templates".to_owned();
    }
    let in_our_file = |identity: &&types::IdentityTypeInfo| !identity.settings.contains(&Setting::Provider);
    let known: Vec<_> = types::TYPES.iter().filter(in_our_file).map(|identity| identity.name).collect();
    format!("{} is no type of identity; there are {}", values::quoted(name), known.join(", "))
}

fn read_url(field: &Field<'_>, insecure_http: bool) -> Option<String> {
    let url = field.parse(values::issuer_url)?;
    if url.contains('*') {
        field.error(format!(
            "{} has a *, and no token's iss has; patterns stand in the meta-issuers of a Fulcio identity configuration \
             (identity_config)",
            values::quoted(&url)
        ));
        return None;
    }
    if values::is_exposed(&url) && !insecure_http {
        field.error(format!(
            "{} is plain http to another machine: whoever is on the network could hand out keys; use https, or set \
             insecure_http: true on this entry",
            values::quoted(&url)
        ));
        return None;
    }
    Some(url)
}

/// A URL that nobody, or no GitLab, would write so in `iss`.
pub fn warn_of_spelling(field: &Field<'_>, url: &str, entry: &Entry) {
    if values::is_root_with_slash(url) && entry.kind.as_type::<GitlabRules>().is_some() {
        field.warning(format!(
            "ends in a slash, and a GitLab's iss does not; tokens are compared byte for byte, so only an iss spelled {url} is accepted"
        ));
        return;
    }
    if let Some(usual) = values::usual_spelling(url) {
        field.warning(format!(
            "is usually spelled {usual}; tokens are compared byte for byte, so only an iss spelled {url} is accepted"
        ));
    }
}

/// `ca_certificate` and `outage_grace`, or `jwks_file`.
fn read_key_source(section: &Section<'_>, directory: &Path) -> Option<KeySource> {
    let ca_certificate = section.get("ca_certificate");
    let jwks_file = section.get("jwks_file");
    let grace = section.get("outage_grace");
    if let Some(jwks_file) = jwks_file {
        for useless in [&ca_certificate, &grace].into_iter().flatten() {
            useless.error(
                "has no use beside jwks_file: no keys are fetched for this issuer; remove one of them",
            );
        }
        let keys = read_named_file(&jwks_file, directory)?;
        if let Err(message) = KeySet::parse(&keys) {
            jwks_file.error(format!("is not a usable JWK set: {message}"));
            return None;
        }
        return Some(KeySource::Static(keys));
    }
    let ca_certificate = match ca_certificate {
        Some(field) => {
            let pem = read_named_file(&field, directory)?;
            if let Err(message) = values::pem_certificates(&pem) {
                field.error(message);
                return None;
            }
            Some(pem)
        }
        None => None,
    };
    let outage_grace = match grace {
        Some(field) => {
            field.parse_scalar(|text| values::duration(text, (Duration::ZERO, LONGEST_OUTAGE_GRACE)))?
        }
        None => DEFAULT_OUTAGE_GRACE,
    };
    Some(KeySource::Discovery { ca_certificate, outage_grace })
}

/// The content of a file that a key names, as part of the configuration.
pub fn read_named_file(field: &Field<'_>, directory: &Path) -> Option<Vec<u8>> {
    let path = directory.join(field.text()?);
    usable(field, field.read_file(&path, MOST_BYTES))
}

/// The same of a file that is only checked: whoever uses it reads it again.
pub fn read_unwatched_file(field: &Field<'_>, directory: &Path) -> Option<Vec<u8>> {
    usable(field, values::read_file(&directory.join(field.text()?), MOST_BYTES))
}

fn usable(field: &Field<'_>, content: Result<Vec<u8>, values::FileError>) -> Option<Vec<u8>> {
    match content {
        Ok(bytes) => Some(bytes),
        Err(values::FileError::Missing(message)) => {
            field.missing_file(message);
            None
        }
        Err(values::FileError::Unusable(message)) => {
            field.error(message);
            None
        }
    }
}

/// What certificates name pipelines by: checked here, so that no token is refused for it later.
fn read_instance_url(text: &str) -> Result<String, String> {
    let url = values::base_url(text.strip_suffix('/').unwrap_or(text))?;
    Instance::parse(&url)?;
    Ok(url)
}

fn boolean(section: &Section<'_>, key: &'static str) -> bool {
    section.get(key).and_then(|field| field.boolean()).unwrap_or(false)
}

/// How a GitLab pipeline's subject is named.
pub fn subject_mode(text: &str) -> Result<SubjectMode, String> {
    match text {
        "pipeline-definition" => Ok(SubjectMode::PipelineDefinition),
        "project" => Ok(SubjectMode::Project),
        _ => Err(format!("{} is no subject; write pipeline-definition or project", values::quoted(text))),
    }
}

/// An audience: any non-empty string without control characters (RFC 7519 §4.1.3).
pub fn audience(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty; write the audience that jobs ask for, sigstore for instance".to_owned());
    }
    if text.contains(char::is_control) {
        return Err(format!("{} has a control character in it", values::quoted(text)));
    }
    Ok(text.to_owned())
}
