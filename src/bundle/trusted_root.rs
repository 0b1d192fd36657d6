//! What a verifier trusts: `sigstore_trustroot.proto` in JSON, or the client trust config around it.
//!
//! Members that are not known are passed over: a trusted root of tomorrow names more services. What is known must be whole:
//! a key or a chain without the beginning of its validity is refused.

use super::error::{Problem, VerificationError, problem};
use super::json::Octets;
use crate::certificate::PublicKeyKind;
use crate::certificate::path::Authorities;
use crate::environment::UnixMillis;
use crate::protojson::{object, objects, optional};
use crate::transparency::{Hash, sha256};
use serde::Deserialize;

/// The largest trusted root that is read, in octets.
pub const MAX_TRUSTED_ROOT: usize = 4 * 1024 * 1024;
/// The most logs or authorities of one sort.
const MAX_SERVICES: usize = 256;

/// All that is trusted.
#[derive(Clone, Debug, Default)]
pub struct TrustedRoot {
    certificate_authorities: Vec<TrustedAuthority>,
    timestamp_authorities: Vec<TrustedAuthority>,
    certificate_logs: Vec<TrustedLog>,
    signature_logs: Vec<TrustedLog>,
}

/// An authority: it issues signing certificates, or timestamps.
#[derive(Clone, Debug)]
pub struct TrustedAuthority {
    /// Whoever issues first, the anchor last. A timestamp authority's own certificate is not here.
    pub authorities: Option<Authorities>,
    /// A timestamp authority's own certificate, DER, where the trusted root has it.
    pub own: Option<Vec<u8>>,
    /// When it counts.
    pub valid_for: Window,
    /// Where it is; for messages.
    pub uri: String,
}

/// A log.
#[derive(Clone, Debug)]
pub struct TrustedLog {
    /// How entries and SCTs name it.
    pub id: Vec<u8>,
    /// DER SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// What sort of key that is.
    pub key: PublicKeyKind,
    /// Its base URL.
    pub base_url: String,
    /// When its key counts.
    pub valid_for: Window,
}

impl TrustedLog {
    /// The host of its base URL, without a port and an IPv6 address's brackets: the origin of its checkpoints.
    pub fn host(&self) -> Option<&str> {
        let (_, rest) = self.base_url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => host,
            _ => host,
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        (!host.is_empty()).then_some(host)
    }
}

/// When something counts; both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first moment.
    pub start: UnixMillis,
    /// The last.
    pub end: Option<UnixMillis>,
}

impl Window {
    /// Whether it counts then.
    pub fn contains(&self, at: UnixMillis) -> bool {
        self.start <= at && self.end.is_none_or(|end| at <= end)
    }
}

impl TrustedRoot {
    /// Reads the JSON.
    pub fn from_json(text: &[u8]) -> Result<Self, VerificationError> {
        let malformed = |words: String| problem(Problem::TrustedRootMalformed, "trusted root", words);
        if text.len() > MAX_TRUSTED_ROOT {
            return Err(malformed(format!("larger than {MAX_TRUSTED_ROOT} octets")));
        }
        let file: File = serde_json::from_slice(text).map_err(|error| malformed(error.to_string()))?;
        let root = match file.trusted_root {
            Some(root) => *root,
            None => file.root,
        };
        let media_type = root.media_type.unwrap_or_default();
        if !media_type.starts_with("application/vnd.dev.sigstore.trustedroot") {
            return Err(malformed("`mediaType` is not a trusted root's".to_owned()));
        }
        Ok(Self {
            certificate_authorities: each("certificateAuthorities", root.certificate_authorities, |it| {
                authority(it, false)
            })?,
            timestamp_authorities: each("timestampAuthorities", root.timestamp_authorities, |it| {
                authority(it, true)
            })?,
            certificate_logs: each("ctlogs", root.ctlogs, certificate_log)?.into_iter().flatten().collect(),
            signature_logs: each("tlogs", root.tlogs, log)?.into_iter().flatten().collect(),
        })
    }

    /// Whoever may issue signing certificates.
    pub fn certificate_authorities(&self) -> &[TrustedAuthority] {
        &self.certificate_authorities
    }

    /// Whoever may state times.
    pub fn timestamp_authorities(&self) -> &[TrustedAuthority] {
        &self.timestamp_authorities
    }

    /// The certificate logs with this id.
    pub fn certificate_logs(&self, id: &[u8]) -> impl Iterator<Item = &TrustedLog> {
        self.certificate_logs.iter().filter(move |log| log.id == id)
    }

    /// The signature logs with this id.
    pub fn signature_logs(&self, id: &[u8]) -> impl Iterator<Item = &TrustedLog> {
        self.signature_logs.iter().filter(move |log| log.id == id)
    }
}

/// A trusted root, or the client trust config that holds one.
#[derive(Deserialize)]
struct File {
    #[serde(default, rename = "trustedRoot", alias = "trusted_root", deserialize_with = "optional")]
    trusted_root: Option<Box<Root>>,
    #[serde(flatten)]
    root: Root,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Root {
    #[serde(default, alias = "media_type")]
    media_type: Option<String>,
    #[serde(default, deserialize_with = "objects")]
    tlogs: Vec<LogInstance>,
    #[serde(default, alias = "certificate_authorities", deserialize_with = "objects")]
    certificate_authorities: Vec<Authority>,
    #[serde(default, deserialize_with = "objects")]
    ctlogs: Vec<LogInstance>,
    #[serde(default, alias = "timestamp_authorities", deserialize_with = "objects")]
    timestamp_authorities: Vec<Authority>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogInstance {
    #[serde(default, alias = "base_url")]
    base_url: Option<String>,
    #[serde(default, alias = "hash_algorithm")]
    hash_algorithm: Option<String>,
    #[serde(alias = "public_key", deserialize_with = "object")]
    public_key: PublicKey,
    #[serde(alias = "log_id", deserialize_with = "object")]
    log_id: KeyId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicKey {
    #[serde(alias = "raw_bytes")]
    raw_bytes: Octets,
    #[serde(default, alias = "key_details")]
    key_details: Option<String>,
    #[serde(default, alias = "valid_for", deserialize_with = "optional")]
    valid_for: Option<TimeRange>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyId {
    #[serde(alias = "key_id")]
    key_id: Octets,
}

#[derive(Deserialize)]
pub(super) struct TimeRange {
    #[serde(default)]
    start: Option<String>,
    #[serde(default)]
    end: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authority {
    #[serde(default)]
    uri: Option<String>,
    #[serde(alias = "cert_chain", deserialize_with = "object")]
    cert_chain: Chain,
    #[serde(default, alias = "valid_for", deserialize_with = "optional")]
    valid_for: Option<TimeRange>,
}

#[derive(Deserialize)]
struct Chain {
    #[serde(default, deserialize_with = "objects")]
    certificates: Vec<Certificate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    #[serde(alias = "raw_bytes")]
    raw_bytes: Octets,
}

fn each<T, U>(
    name: &str,
    items: Vec<T>,
    read: impl Fn(T) -> Result<U, String>,
) -> Result<Vec<U>, VerificationError> {
    if items.len() > MAX_SERVICES {
        let words = format!("more than {MAX_SERVICES} of them");
        return Err(problem(Problem::TrustedRootMalformed, name.to_owned(), words));
    }
    let place = |at| format!("{name}[{at}]");
    let refuse = |at, words| problem(Problem::TrustedRootMalformed, place(at), words);
    items
        .into_iter()
        .enumerate()
        .map(|(at, item)| read(item).map_err(|words: String| refuse(at, words)))
        .collect()
}

fn authority(authority: Authority, for_timestamps: bool) -> Result<TrustedAuthority, String> {
    let mut certificates: Vec<_> =
        authority.cert_chain.certificates.into_iter().map(|certificate| certificate.raw_bytes.0).collect();
    let first = certificates.first().ok_or("`certChain.certificates` is empty")?;
    let is_own = for_timestamps
        && !crate::certificate::path::is_ca(first).map_err(|error| format!("`certChain`: {error}"))?;
    let own = is_own.then(|| certificates.remove(0));
    let authorities = match certificates.is_empty() {
        true => None,
        false => Some(Authorities::new(certificates).map_err(|error| format!("`certChain`: {error}"))?),
    };
    let valid_for = window(authority.valid_for)?;
    Ok(TrustedAuthority { authorities, own, valid_for, uri: authority.uri.unwrap_or_default() })
}

/// `None`: its key is a bare RSA key, in a form that `sigstore_common.proto` has deprecated. Nothing that such a log signs is verified,
/// so it is as if it were not there.
fn log(log: LogInstance) -> Result<Option<TrustedLog>, String> {
    if log.hash_algorithm.as_deref().is_some_and(|name| name != "SHA2_256") {
        return Err("`hashAlgorithm` is not SHA2_256".to_owned());
    }
    let valid_for = window(log.public_key.valid_for)?;
    let id = log.log_id.key_id.0;
    if id.len() != 32 {
        return Err("`logId.keyId` has not 32 octets".to_owned());
    }
    if log.public_key.key_details.is_some_and(|name| name.starts_with("PKCS1_")) {
        return Ok(None);
    }
    let spki = log.public_key.raw_bytes.0;
    let key = PublicKeyKind::of(&spki).map_err(|error| format!("`publicKey.rawBytes`: {error}"))?;
    let base_url = log.base_url.unwrap_or_default();
    Ok(Some(TrustedLog { id, spki, key, base_url, valid_for }))
}

/// RFC 6962 §3.2: a certificate log's id is the hash of its key.
fn certificate_log(instance: LogInstance) -> Result<Option<TrustedLog>, String> {
    let log = log(instance)?;
    let hash = |log: &TrustedLog| -> Hash { sha256(&log.spki) };
    match log {
        Some(log) if log.id != hash(&log) => Err("`logId.keyId` is not the SHA-256 of the key".to_owned()),
        log => Ok(log),
    }
}

pub(super) fn window(range: Option<TimeRange>) -> Result<Window, String> {
    let range = range.ok_or("`validFor` is missing")?;
    let start = range.start.ok_or("`validFor.start` is missing")?;
    let start = time(&start).ok_or("`validFor.start` is no RFC 3339 time")?;
    let end = match range.end {
        Some(end) => Some(time(&end).ok_or("`validFor.end` is no RFC 3339 time")?),
        None => None,
    };
    Ok(Window { start, end })
}

/// RFC 3339 in UTC, to the millisecond.
pub(crate) fn time(text: &str) -> Option<UnixMillis> {
    let utc = text.strip_suffix(['Z', 'z']).or_else(|| text.strip_suffix("+00:00"))?;
    let (whole, fraction) = utc.split_once('.').unwrap_or((utc, "0"));
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    let date: der::DateTime = format!("{}Z", whole.replacen('t', "T", 1)).parse().ok()?;
    let seconds = UnixMillis::from_secs(date.unix_duration().as_secs());
    Some(seconds.plus(std::time::Duration::from_millis(millis.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logs_host_has_neither_a_port_nor_brackets() {
        for (url, host) in [
            ("https://ca.example.com/log", Some("ca.example.com")),
            ("http://127.0.0.1:28444", Some("127.0.0.1")),
            ("http://[::1]:28444", Some("::1")),
            ("https://[2001:db8::7]/", Some("2001:db8::7")),
            ("https://[]", None),
            ("https://", None),
        ] {
            let window = Window { start: UnixMillis(0), end: None };
            let log = TrustedLog {
                id: Vec::new(),
                spki: Vec::new(),
                key: PublicKeyKind::Ed25519,
                base_url: url.to_owned(),
                valid_for: window,
            };
            assert_eq!(log.host(), host, "{url}");
        }
    }
}
