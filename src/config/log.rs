//! `log:`, in its three modes.

use super::reader::{Field, Section};
use super::{issuers, read_key, values};
use crate::certificate::accepted::AcceptedCas;
use crate::certificate::{PublicKeyKind, pem};
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// The default of `log.timeout`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// `log:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogConfig {
    /// `mode: embedded`
    Embedded(EmbeddedLogConfig),
    /// `mode: external`
    External(ExternalLogConfig),
    /// `mode: none`
    None,
}

/// The log that is part of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedLogConfig {
    /// PEM private key, ECDSA P-256.
    pub key: PathBuf,
    /// The origin line of checkpoints: the log's base URL without its scheme.
    pub origin: String,
    /// Other CAs whose certificates the log takes.
    pub accept: AcceptedCas,
}

/// A log elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalLogConfig {
    /// Its base URL, without a slash at its end.
    pub url: String,
    /// DER SubjectPublicKeyInfo of its key, ECDSA P-256.
    pub public_key: Vec<u8>,
    /// Whether precertificates are logged, and SCTs embedded.
    pub precertificates: bool,
    /// How long one certificate may wait for it.
    pub timeout: Duration,
    /// PEM certificates that are trusted beside the system's roots for its https.
    pub ca_certificate: Option<Vec<u8>>,
}

impl LogConfig {
    /// The log of this process, if there is one.
    pub const fn embedded(&self) -> Option<&EmbeddedLogConfig> {
        match self {
            Self::Embedded(log) => Some(log),
            Self::External(_) | Self::None => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Embedded,
    External,
    None,
}

/// Whether the file's `log.mode` is embedded, or nothing that anybody knows.
pub(super) fn is_embedded(top: &Section<'_>) -> bool {
    let mode = || top.get("log")?.scalar_below("mode");
    mode().and_then(|text| parse_mode(text).ok()).is_none_or(|mode| mode == Mode::Embedded)
}

pub(super) fn read(
    section: &Section<'_>,
    directory: &Path,
    default_origin: Option<String>,
) -> Option<LogConfig> {
    let mode = section.get("mode");
    let log = match mode.as_ref().and_then(|field| field.parse(parse_mode)).unwrap_or(Mode::Embedded) {
        Mode::Embedded => read_embedded(section, directory, default_origin).map(LogConfig::Embedded),
        Mode::External => read_external(section, directory).map(LogConfig::External),
        Mode::None => {
            if let Some(field) = mode {
                field.warning(
                    "records nowhere what is issued: clients that ask for an SCT, nearly all, refuse",
                );
            }
            Some(LogConfig::None)
        }
    };
    refuse_keys_of_other_modes(section, log.as_ref());
    section.report_unknown();
    log
}

/// Keys that mean something, but not here.
fn refuse_keys_of_other_modes(section: &Section<'_>, log: Option<&LogConfig>) {
    const EMBEDDED: &[&str] = &["key", "origin", "accept"];
    const EXTERNAL: &[&str] =
        &["url", "public_key", "precertificates", "timeout", "ca_certificate", "insecure_http"];
    let (mode, others): (_, &[&[&str]]) = match log {
        Some(LogConfig::Embedded(_)) => ("embedded", &[EXTERNAL]),
        Some(LogConfig::External(_)) => ("external", &[EMBEDDED]),
        Some(LogConfig::None) => ("none", &[EMBEDDED, EXTERNAL]),
        None => return,
    };
    for key in others.concat() {
        // Asked for only when it is there, so that it is not offered as a known key.
        if section.has(key)
            && let Some(field) = section.get(key)
        {
            field.error(format!("has no use with mode: {mode}; remove it, or choose another mode"));
        }
    }
}

fn parse_mode(text: &str) -> Result<Mode, String> {
    match text {
        "embedded" => Ok(Mode::Embedded),
        "external" => Ok(Mode::External),
        "none" => Ok(Mode::None),
        _ => Err(format!("{} is no mode; write embedded, external or none", values::quoted(text))),
    }
}

fn read_embedded(
    section: &Section<'_>,
    directory: &Path,
    default_origin: Option<String>,
) -> Option<EmbeddedLogConfig> {
    let key = section
        .require("key", "name the PEM file of the log's private key (ECDSA P-256)")
        .and_then(|field| read_key(&field, directory));
    let origin = match section.get("origin") {
        Some(field) => field.parse(values::origin),
        None => default_origin,
    };
    let accept = match section.get("accept") {
        Some(field) => read_accept(&field, directory),
        None => Some(AcceptedCas::default()),
    };
    Some(EmbeddedLogConfig { key: key?, origin: origin?, accept: accept? })
}

/// Chain files of other CAs, each with its root.
fn read_accept(field: &Field<'_>, directory: &Path) -> Option<AcceptedCas> {
    let mut accepted = AcceptedCas::default();
    for item in field.items()? {
        let pem = issuers::read_named_file(&item, directory)?;
        if let Err(problem) = accepted.add_pem(&pem) {
            item.error(problem);
            return None;
        }
    }
    Some(accepted)
}

fn read_external(section: &Section<'_>, directory: &Path) -> Option<ExternalLogConfig> {
    let insecure_http = section.get("insecure_http").is_some_and(|field| field.boolean() == Some(true));
    let url = section
        .require("url", "write the log's base URL, what stands before /ct/v1/add-pre-chain")
        .and_then(|field| read_url(&field, insecure_http));
    let public_key = section
        .require("public_key", "name the PEM file of the log's public key (ECDSA P-256)")
        .and_then(|field| {
            let pem = issuers::read_named_file(&field, directory)?;
            public_key(&pem).map_err(|problem| field.error(problem)).ok()
        });
    let precertificates = match section.get("precertificates") {
        Some(field) => field.boolean(),
        None => Some(true),
    };
    let timeout = match section.get("timeout") {
        Some(field) => field.parse_scalar(|text| values::duration(text, TIMEOUT_BOUNDS)),
        None => Some(DEFAULT_TIMEOUT),
    };
    let ca_certificate = section.get("ca_certificate").map(|field| {
        let pem = issuers::read_named_file(&field, directory)?;
        values::pem_certificates(&pem).map_err(|problem| field.error(problem)).ok()?;
        Some(pem)
    });
    Some(ExternalLogConfig {
        url: url?,
        public_key: public_key?,
        precertificates: precertificates?,
        timeout: timeout?,
        ca_certificate: ca_certificate.map_or(Some(None), |pem| pem.map(Some))?,
    })
}

fn read_url(field: &Field<'_>, insecure_http: bool) -> Option<String> {
    let url: Url = field.parse(values::http_url)?;
    let text = url.as_str().trim_end_matches('/').to_owned();
    if values::is_exposed(&text) && !insecure_http {
        field.error(format!(
            "{} is plain http to another machine; use https, or set insecure_http: true here",
            values::quoted(&text)
        ));
        return None;
    }
    Some(text)
}

/// The DER of the one P-256 key in a PEM file.
fn public_key(text: &[u8]) -> Result<Vec<u8>, String> {
    let blocks = pem::blocks(text)?;
    let [block] = blocks.as_slice() else {
        return Err(format!("has {} PEM blocks; one PUBLIC KEY is expected", blocks.len()));
    };
    if block.label != "PUBLIC KEY" {
        return Err(format!("has a block {:?}; one PUBLIC KEY is expected", block.label));
    }
    match PublicKeyKind::of(&block.der) {
        Ok(PublicKeyKind::P256) => Ok(block.der.to_vec()),
        Ok(other) => Err(format!("is {other}; a log's key must be ECDSA P-256")),
        Err(error) => Err(format!("is no public key: {error}")),
    }
}
