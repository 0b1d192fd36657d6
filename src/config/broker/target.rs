//! `broker.targets`: GitLab instances, each with the credential that makes tokens.

use super::role::{gitlabs, not_listed};
use super::{DAY, HOUR, MOST_TARGETS, refuse_twice};
use crate::broker::{Hosting, Kind, check_path};
use crate::config::reader::{Field, Section};
use crate::config::{issuers, read_path, values};
use crate::identity::Issuers;
use crate::leasing::{Method, Rotation};
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

const TIMEOUT_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const INFLIGHT_BOUNDS: (u32, u32) = (1, 256);
const DEFAULT_INFLIGHT: u32 = 16;
const BEFORE_BOUNDS: (Duration, Duration) = (DAY, Duration::from_secs(730 * HOUR.as_secs()));
const DEFAULT_BEFORE: Duration = Duration::from_secs(3 * DAY.as_secs());
const LIFETIME_BOUNDS: (Duration, Duration) =
    (Duration::from_secs(2 * DAY.as_secs()), Duration::from_secs(365 * DAY.as_secs()));
const DEFAULT_LIFETIME: Duration = Duration::from_secs(30 * DAY.as_secs());
/// The longest name, in octets.
const LONGEST_NAME: usize = 64;

/// One of `broker.targets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetConfig {
    /// What roles and records call it.
    pub name: String,
    /// Below which `/api/v4` is; without a slash at its end.
    pub url: String,
    /// How it is run.
    pub hosting: Hosting,
    /// Where the main credential comes from, as long as the store has none that replaced it.
    pub token: CredentialSource,
    /// Calls for impersonation are made in this administrator's name.
    pub sudo_user: Option<String>,
    /// PEM certificates that are trusted beside the system's roots.
    pub ca_certificate: Option<Vec<u8>>,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many calls may be under way at once.
    pub max_inflight: u32,
    /// Whether and when the main credential is replaced.
    pub rotate: Option<Rotation>,
}

/// The word for a credential that the store has.
const SEALED: &str = "sealed";

/// Where a secret comes from. Never from the configuration itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// A file with nothing else in it but line breaks at its end.
    File(PathBuf),
    /// An environment variable's name.
    Environment(String),
    /// The store, where an operator has sealed it.
    Sealed,
}

impl CredentialSource {
    /// The same however it is written: a file by its real path, where there is one.
    fn place(&self) -> Self {
        match self {
            Self::File(path) => Self::File(path.canonicalize().unwrap_or_else(|_| path.clone())),
            Self::Environment(name) => Self::Environment(name.clone()),
            Self::Sealed => Self::Sealed,
        }
    }
}

/// What roles have to know of a target, as far as it could be read: of one with a fault in it, roles are judged all the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Sketch {
    pub name: Option<String>,
    pub url: Option<String>,
    pub hosting: Option<Hosting>,
    pub rotates: bool,
    pub is_sealed: bool,
    /// The issuer that the operator says is this instance; `None`: he says nothing.
    pub issuer: Option<String>,
}

/// All of them, or none where one is wrong; and what is known of each.
pub(super) fn read_all(
    list: &Field<'_>,
    directory: &Path,
    issuers: &Issuers,
) -> (Option<Vec<TargetConfig>>, Vec<Sketch>) {
    let Some(items) = list.items() else { return (None, Vec::new()) };
    if items.is_empty() || items.len() > MOST_TARGETS {
        list.error(format!("has {} targets; 1 to {MOST_TARGETS} are possible", items.len()));
        return (None, Vec::new());
    }
    let mut sketches = vec![Sketch::default(); items.len()];
    let targets: Vec<_> = items
        .iter()
        .zip(&mut sketches)
        .map(|(item, sketch)| read(&item.section()?, directory, issuers, sketch))
        .collect();
    let unique = refuse_twice(&items, sketches.iter().map(|sketch| sketch.name.as_deref()), "target");
    let apart = refuse_shared(&items, &targets);
    let targets = targets.into_iter().collect::<Option<Vec<_>>>().filter(|_| unique && apart);
    (targets, sketches)
}

/// A credential that two targets name: at another URL it would be given away, and were one of them to replace it, the other's would be dead. At one
/// URL, too, two are no use: what they share is counted twice.
fn refuse_shared(items: &[Field<'_>], targets: &[Option<TargetConfig>]) -> bool {
    let mut seen: Vec<(CredentialSource, usize)> = Vec::new();
    let mut apart = true;
    for (item, target) in items.iter().zip(targets) {
        // What is sealed is each target's own.
        let Some(target) = target.as_ref().filter(|target| target.token != CredentialSource::Sealed) else {
            continue;
        };
        let source = target.token.place();
        match seen.iter().find(|(known, _)| *known == source) {
            Some((_, first)) => {
                let message = format!(
                    "is the credential of the target on line {first} too: it would be sent to both, and a rotation of one would end the other's; give \
                     each its own"
                );
                if let Some(section) = item.section() {
                    section.error_at("token", message);
                }
                apart = false;
            }
            None => seen.push((source, item.line())),
        }
    }
    apart
}

fn read(
    section: &Section<'_>,
    directory: &Path,
    issuers: &Issuers,
    sketch: &mut Sketch,
) -> Option<TargetConfig> {
    let name = section
        .require("name", "roles and records name the instance by it; write default where there is but one")
        .and_then(|field| field.parse(name));
    let allow_http = section.get("allow_http").map_or(Some(false), |field| field.boolean());
    let hosting = match section.get("type") {
        Some(field) => field.parse(hosting),
        None => Some(Hosting::default()),
    };
    let issuer = section.get("issuer").and_then(|field| read_issuer(&field, issuers));
    let url = section
        .require("url", "write the instance's URL, https://gitlab.example.com for instance")
        .and_then(|field| read_url(&field, allow_http?, hosting));
    let token = section
        .require("token", "name where the credential is: { file: gitlab.token }, { env: NAME }, or sealed")
        .and_then(|field| read_token(&field, directory));
    let sudo_user = match section.get("sudo_user") {
        Some(field) => field
            .parse(|text| {
                check_path(Kind::Personal, text).map(|()| text.to_owned()).map_err(|fault| fault.to_string())
            })
            .map(Some),
        None => Some(None),
    };
    let ca_certificate = match section.get("ca_certificate") {
        Some(field) => read_certificates(&field, directory).map(Some),
        None => Some(None),
    };
    let timeout = match section.get("timeout") {
        Some(field) => field.parse_scalar(|text| values::duration(text, TIMEOUT_BOUNDS)),
        None => Some(DEFAULT_TIMEOUT),
    };
    let max_inflight = match section.get("max_inflight") {
        Some(field) => field.parse_scalar(|text| values::whole_number(text, INFLIGHT_BOUNDS)),
        None => Some(DEFAULT_INFLIGHT),
    };
    let rotate = match section.get("rotate") {
        Some(field) => field.section().and_then(|section| read_rotation(&section)).map(Some),
        None => Some(None),
    };
    section.report_unknown();
    *sketch = Sketch {
        name: name.clone(),
        // Of one whose issuer cannot be read nobody knows which GitLab it is.
        url: url.clone().filter(|_| section.has("issuer") == issuer.is_some()),
        hosting,
        rotates: section.has("rotate"),
        is_sealed: token == Some(CredentialSource::Sealed),
        issuer,
    };
    Some(TargetConfig {
        name: name?,
        url: url?,
        hosting: hosting?,
        token: token?,
        sudo_user: sudo_user?,
        ca_certificate: ca_certificate?,
        timeout: timeout?,
        max_inflight: max_inflight?,
        rotate: rotate?,
    })
}

fn name(text: &str) -> Result<String, String> {
    let sound =
        text.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-' | b'.'));
    if text.is_empty() || text.len() > LONGEST_NAME || !sound {
        return Err(format!("is 1 to {LONGEST_NAME} letters, digits, _ - and full stops"));
    }
    Ok(text.to_owned())
}

fn hosting(text: &str) -> Result<Hosting, String> {
    Hosting::ALL.into_iter().find(|hosting| hosting.code() == text).ok_or_else(|| {
        let known = Hosting::ALL.map(Hosting::code).join(", ");
        format!("{} is no type of instance; there are {known}", values::quoted(text))
    })
}

fn read_url(field: &Field<'_>, allow_http: bool, hosting: Option<Hosting>) -> Option<String> {
    let url = field.parse(values::base_url)?;
    if values::is_exposed(&url) {
        if !allow_http {
            field.error("is plain http, over which the credential would go in the clear; write https, or set allow_http: true");
            return None;
        }
        field.warning("is plain http: whoever is on the way reads the credential and every token");
    }
    let is_gitlab_com = Url::parse(&url).is_ok_and(|url| url.host_str() == Some("gitlab.com"));
    if is_gitlab_com && hosting.is_some_and(|hosting| hosting != Hosting::Saas) {
        field.warning("is GitLab.com; write type: saas, so that roles that cannot work there are refused");
    }
    Some(url)
}

/// The issuer that is this instance, where its URL is another.
fn read_issuer(field: &Field<'_>, issuers: &Issuers) -> Option<String> {
    let (url, known) = (field.text()?, gitlabs(issuers));
    if known.iter().any(|issuer| issuer.url == url) {
        return Some(url.to_owned());
    }
    // Without any GitLab there is an error already.
    if !known.is_empty() {
        field.error(not_listed(url, &known));
    }
    None
}

fn read_token(field: &Field<'_>, directory: &Path) -> Option<CredentialSource> {
    if field.word() == Some(SEALED) {
        return Some(CredentialSource::Sealed);
    }
    if field.word().is_some() {
        // What stands there may be the secret: it is not repeated.
        field.error("is no place for the credential itself; put it into a file, and write { file: gitlab.token }, { env: NAME }, or sealed");
        return None;
    }
    let section = field.section()?;
    let (file, env) = (section.get("file"), section.get("env"));
    section.report_unknown();
    match (file, env) {
        (Some(_), Some(env)) => {
            env.error("has no use beside file; name one of the two");
            None
        }
        (Some(file), None) => read_token_file(&file, directory).map(CredentialSource::File),
        (None, Some(env)) => env.parse(variable).map(CredentialSource::Environment),
        (None, None) => {
            if !section.has("file") && !section.has("env") {
                section.error("names no place; write { file: gitlab.token }, { env: NAME }, or sealed");
            }
            None
        }
    }
}

/// A file that platforms may have put there, with a mode of their own: a mode that is too wide is told, and no error.
fn read_token_file(field: &Field<'_>, directory: &Path) -> Option<PathBuf> {
    let path = read_path(field, directory)?;
    match values::check_file(&path) {
        Ok(()) => {
            if let Err(message) = values::check_private(&path) {
                field.warning(message);
            }
        }
        Err(values::FileError::Missing(message)) => field.missing_file(message),
        Err(values::FileError::Unusable(message)) => {
            field.error(message);
            return None;
        }
    }
    Some(path)
}

fn variable(text: &str) -> Result<String, String> {
    let word = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
    let begins = text.bytes().next().is_some_and(|octet| !octet.is_ascii_digit());
    if begins && text.bytes().all(word) {
        return Ok(text.to_owned());
    }
    // It may be the secret, by mistake.
    Err("is no name of an environment variable: letters, digits and _".to_owned())
}

fn read_certificates(field: &Field<'_>, directory: &Path) -> Option<Vec<u8>> {
    let pem = issuers::read_named_file(field, directory)?;
    if let Err(message) = values::pem_certificates(&pem) {
        field.error(message);
        return None;
    }
    Some(pem)
}

fn read_rotation(section: &Section<'_>) -> Option<Rotation> {
    let before = match section.get("before") {
        Some(field) => field.parse_scalar(|text| values::duration(text, BEFORE_BOUNDS)),
        None => Some(DEFAULT_BEFORE),
    };
    let lifetime = match section.get("lifetime") {
        Some(field) => field.parse_scalar(|text| values::duration(text, LIFETIME_BOUNDS)),
        None => Some(DEFAULT_LIFETIME),
    };
    let method = match section.get("method") {
        Some(field) => field.parse(method),
        None => Some(Method::default()),
    };
    section.report_unknown();
    let (before, lifetime) = (before?, lifetime?);
    if before >= lifetime {
        section.error_at(
            "before",
            "is not less than lifetime, so that every new credential would be replaced at once",
        );
        return None;
    }
    Some(Rotation { before, lifetime, method: method? })
}

fn method(text: &str) -> Result<Method, String> {
    match text {
        "auto" => Ok(Method::Auto),
        "create" => Ok(Method::Create),
        "self" => Ok(Method::Itself),
        _ => Err(format!("{} is no method; write auto, create or self", values::quoted(text))),
    }
}
