//! `signature_log:`, off where it is absent.

use super::reader::{Field, Section};
use super::{LogConfig, issuers, read_key, values};
use crate::rekor::{Listed, Writers};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use url::Url;

/// `signature_log:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLogConfig {
    /// PEM private key, Ed25519 or ECDSA P-256.
    pub key: PathBuf,
    /// The origin line of checkpoints: the bare host of the URL under which clients write.
    pub origin: String,
    /// Who may write.
    pub writers: Writers,
}

/// Words that `admit` and its list know.
const OWN: &str = "own";
const ANY: &str = "any";

pub(super) fn read(
    section: &Section<'_>,
    directory: &Path,
    default_origin: Option<String>,
) -> Option<SignatureLogConfig> {
    let key = section
        .require("key", "name the PEM file of the signature log's private key (Ed25519 or ECDSA P-256)")
        .and_then(|field| read_key(&field, directory));
    let origin = match section.get("origin") {
        Some(field) => {
            let origin = field.parse(values::origin);
            if let (Some(origin), Some(host)) = (&origin, &default_origin)
                && origin != host
            {
                field.warning(format!(
                    "is not {}, the bare host of the URL that clients are given: most of them refuse such a log",
                    values::quoted(host)
                ));
            }
            origin
        }
        None => default_origin,
    };
    let writers = match section.get("admit") {
        Some(field) => read_writers(&field, directory),
        None => Some(Writers::Own),
    };
    section.report_unknown();
    Some(SignatureLogConfig { key: key?, origin: origin?, writers: writers? })
}

/// `own`, `any`, or a list of `own` and PEM files.
fn read_writers(field: &Field<'_>, directory: &Path) -> Option<Writers> {
    match field.word() {
        Some(OWN) => return Some(Writers::Own),
        Some(ANY) => {
            field.warning("takes entries of everybody who reaches this server, and keeps them for good");
            return Some(Writers::Any);
        }
        Some(other) => {
            let other = values::quoted(other);
            field.error(format!("{other} is not known; write own, any, or a list of own and PEM files"));
            return None;
        }
        None => {}
    }
    let mut listed = Listed::default();
    let items = field.items()?;
    if items.is_empty() {
        field.error("is empty: nobody could write; write own, or name PEM files of CAs and public keys");
        return None;
    }
    for item in items {
        if item.text() == Some(OWN) {
            listed.own = true;
            continue;
        }
        let pem = issuers::read_named_file(&item, directory)?;
        if let Err(problem) = listed.add_pem(&pem) {
            item.error(problem);
            return None;
        }
    }
    Some(Writers::Listed(listed))
}

/// A URL's host, without port; without brackets for IPv6, as clients take it.
pub(super) fn bare_host(url: &str) -> Option<String> {
    Some(Url::parse(url).ok()?.host_str()?.trim_matches(['[', ']']).to_owned())
}

/// The bare host of the base URL: clients make the log's name of it.
pub(super) fn default_origin(public_url: Option<&str>, listen: Option<SocketAddr>) -> Option<String> {
    match (public_url, listen) {
        (Some(url), _) => bare_host(url),
        (None, Some(listen)) => Some(listen.ip().to_string()),
        (None, None) => None,
    }
}

/// The two logs must be told apart by name and by key.
pub(super) fn refuse_mixed(
    top: &Section<'_>,
    ca_key: Option<&Path>,
    log: Option<&LogConfig>,
    signatures: Option<&SignatureLogConfig>,
) {
    let Some(signatures) = signatures else { return };
    let Some(section) = top.get("signature_log").and_then(|field| field.section()) else { return };
    let at = |key, problem: &str| match section.get(key) {
        Some(field) => field.error(problem),
        None => section.error(format!("{key} {problem}")),
    };
    if ca_key == Some(&signatures.key) {
        at("key", "is the CA's key; the signature log needs one of its own");
    }
    if let Some(log) = log.and_then(LogConfig::embedded) {
        if log.key == signatures.key {
            at("key", "is the certificate log's key; the signature log needs one of its own");
        }
        if log.origin == signatures.origin {
            at("origin", "is the certificate log's (log.origin): each log needs a name of its own");
        }
    }
}
