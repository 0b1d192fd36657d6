//! What a verifier trusts: chains of CAs and keys of logs, from PEM files or from a `trusted_root.json`.

use super::{CliError, encoding, files, time};
use crate::certificate::{CaChain, PublicKeyKind};
use crate::environment::UnixMillis;
use crate::log::LogKind;
use crate::transparency::{Hash, sha256};
use serde_json::Value;
use std::path::Path;

/// When a key or a chain counts; both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValidFor {
    start: Option<UnixMillis>,
    end: Option<UnixMillis>,
}

impl ValidFor {
    /// Whether it counts at that time.
    pub fn contains(&self, at: UnixMillis) -> bool {
        self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at <= end)
    }
}

/// A chain that is trusted to issue.
#[derive(Clone, Debug)]
pub struct TrustedChain {
    /// Issuing certificate first, root last.
    pub chain: CaChain,
    /// When it counts.
    pub valid_for: ValidFor,
}

/// A log that is trusted.
#[derive(Clone, Debug)]
pub struct TrustedLog {
    /// SHA-256 of the key.
    pub id: Hash,
    /// DER SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// Where it is read, when the trusted root says so.
    pub base_url: Option<String>,
    /// When it counts.
    pub valid_for: ValidFor,
}

impl TrustedLog {
    /// From a PEM SubjectPublicKeyInfo, or from a trusted root that names one log of that kind, or one at `base_url`.
    pub fn from_file(path: &Path, base_url: Option<&str>, kind: LogKind) -> Result<Self, CliError> {
        let file = files::read(path, "the log's public key")?;
        let refuse = |words: String| CliError::refused(format!("{}: {words}", path.display()));
        if file.trim_ascii_start().starts_with(b"{") {
            let logs = match kind {
                LogKind::Certificates => {
                    let mut material = TrustMaterial::default();
                    material.read_trusted_root(&file).map(|()| material.logs)
                }
                LogKind::Signatures => signature_logs(&file),
            };
            return only_log(logs.map_err(refuse)?, base_url).map_err(|words| refuse(words.to_owned()));
        }
        let spki = encoding::pem_documents(&file, "PUBLIC KEY").map_err(refuse)?.swap_remove(0);
        match (PublicKeyKind::of(&spki), kind) {
            (Ok(PublicKeyKind::P256), _) | (Ok(PublicKeyKind::Ed25519), LogKind::Signatures) => {}
            (Ok(other), LogKind::Certificates) => {
                return Err(refuse(format!("it is {other}; a log's key is ECDSA P-256")));
            }
            (Ok(other), LogKind::Signatures) => {
                return Err(refuse(format!(
                    "it is {other}; a signature log's key is Ed25519 or ECDSA P-256"
                )));
            }
            (Err(error), _) => return Err(refuse(format!("it is no public key: {error}"))),
        }
        Ok(Self { id: sha256(&spki), spki, base_url: None, valid_for: ValidFor::default() })
    }
}

/// All that is trusted.
#[derive(Clone, Debug, Default)]
pub struct TrustMaterial {
    /// Chains.
    pub chains: Vec<TrustedChain>,
    /// Logs.
    pub logs: Vec<TrustedLog>,
}

impl TrustMaterial {
    /// Adds the chain of a PEM file: intermediates, then the root.
    pub fn add_chain(&mut self, path: &Path) -> Result<(), CliError> {
        let pem = files::read(path, "the chain")?;
        let chain = CaChain::from_pem(&pem)
            .map_err(|error| CliError::refused(format!("{} cannot be used: {error}", path.display())))?;
        self.chains.push(TrustedChain { chain, valid_for: ValidFor::default() });
        Ok(())
    }

    /// Adds the authorities and certificate logs of a `trusted_root.json`.
    pub fn add_trusted_root(&mut self, path: &Path) -> Result<(), CliError> {
        let text = files::read(path, "the trusted root")?;
        self.read_trusted_root(&text)
            .map_err(|words| CliError::refused(format!("{} cannot be used: {words}", path.display())))
    }

    fn read_trusted_root(&mut self, text: &[u8]) -> Result<(), String> {
        let document: Value =
            serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))?;
        // A client trust config holds a trusted root.
        let root = document.get("trustedRoot").unwrap_or(&document);
        let list = |name: &str| root[name].as_array().map(Vec::as_slice).unwrap_or_default();
        for (at, authority) in list("certificateAuthorities").iter().enumerate() {
            let chain = chain(authority).map_err(|words| format!("certificateAuthorities[{at}]: {words}"))?;
            self.chains.push(chain);
        }
        for (at, log) in list("ctlogs").iter().enumerate() {
            self.logs.push(log_of(log).map_err(|words| format!("ctlogs[{at}]: {words}"))?);
        }
        if self.chains.is_empty() {
            return Err("it has no `certificateAuthorities`; is it a trusted root?".to_owned());
        }
        Ok(())
    }

    /// The log with this id.
    pub fn log(&self, id: &Hash) -> Option<&TrustedLog> {
        self.logs.iter().find(|log| log.id == *id)
    }
}

const NO_LOG: &str = "it names no log of that kind";

/// The signature logs of a trusted root. Their ids depend on their origins, and are not asked here.
fn signature_logs(text: &[u8]) -> Result<Vec<TrustedLog>, String> {
    let document: Value = serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))?;
    let root = document.get("trustedRoot").unwrap_or(&document);
    let logs = root["tlogs"].as_array().map(Vec::as_slice).unwrap_or_default().iter().enumerate();
    logs.map(|(at, log)| keyed(log).map_err(|words| format!("tlogs[{at}]: {words}"))).collect()
}

/// The log that is meant: the one at that URL, else the only one.
fn only_log(logs: Vec<TrustedLog>, base_url: Option<&str>) -> Result<TrustedLog, &'static str> {
    let plain = |url: &str| url.trim_end_matches('/').to_owned();
    let wanted = base_url.map(plain);
    let is_wanted = |log: &TrustedLog| wanted.is_some() && log.base_url.as_deref().map(plain) == wanted;
    let named = logs.iter().position(is_wanted).or((logs.len() == 1).then_some(0));
    match named {
        Some(at) => logs.into_iter().nth(at).ok_or(NO_LOG),
        None if logs.is_empty() => Err(NO_LOG),
        None => Err("it names several logs, and none of them at this URL"),
    }
}

fn chain(authority: &Value) -> Result<TrustedChain, String> {
    let certificates =
        authority["certChain"]["certificates"].as_array().ok_or("`certChain.certificates` is missing")?;
    let ders: Option<Vec<_>> = certificates.iter().map(raw_bytes).collect();
    let ders = ders.ok_or("a certificate's `rawBytes` is no base64")?;
    let chain = CaChain::from_der(ders).map_err(|error| error.to_string())?;
    Ok(TrustedChain { chain, valid_for: valid_for(&authority["validFor"])? })
}

fn log_of(log: &Value) -> Result<TrustedLog, String> {
    let log_of_key = keyed(log)?;
    let stated = log["logId"]["keyId"].as_str();
    if stated.is_some_and(|stated| encoding::from_base64(stated).as_deref() != Some(&log_of_key.id)) {
        return Err("`logId.keyId` is not the SHA-256 of `publicKey.rawBytes`".to_owned());
    }
    Ok(log_of_key)
}

/// Message `TransparencyLogInstance`, without a look at its id.
fn keyed(log: &Value) -> Result<TrustedLog, String> {
    let spki = raw_bytes(&log["publicKey"]).ok_or("`publicKey.rawBytes` is no base64")?;
    let base_url = log["baseUrl"].as_str().map(str::to_owned);
    let valid_for = valid_for(&log["publicKey"]["validFor"])?;
    Ok(TrustedLog { id: sha256(&spki), spki, base_url, valid_for })
}

fn raw_bytes(value: &Value) -> Option<Vec<u8>> {
    encoding::from_base64(value["rawBytes"].as_str()?)
}

fn valid_for(value: &Value) -> Result<ValidFor, String> {
    let end_of = |name: &str| match value[name].as_str() {
        Some(text) => time::parse(text).map(Some).map_err(|words| format!("`validFor.{name}`: {words}")),
        None => Ok(None),
    };
    Ok(ValidFor { start: end_of("start")?, end: end_of("end")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::SigningKey;
    use p256::pkcs8::EncodePublicKey;
    use serde_json::json;

    fn log(byte: u8, base_url: &str) -> Value {
        let key = SigningKey::from_slice(&[byte; 32]).expect("a scalar");
        let spki = key.verifying_key().to_public_key_der().expect("a key").into_vec();
        json!({
            "baseUrl": base_url,
            "publicKey": {
                "rawBytes": encoding::base64(&spki),
                "validFor": { "start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z" },
            },
            "logId": { "keyId": encoding::base64(&sha256(&spki)) },
        })
    }

    #[test]
    fn a_log_counts_from_its_start_to_its_end() {
        let log = log_of(&log(1, "https://a/ct")).expect("a log");
        let at = |text| time::parse(text).expect("a time");
        let cases = [
            ("2025-12-31T23:59:59Z", false),
            ("2026-01-01T00:00:00Z", true),
            ("2026-02-01T00:00:00Z", true),
            ("2026-02-01T00:00:01Z", false),
        ];
        for (time, counts) in cases {
            assert_eq!(log.valid_for.contains(at(time)), counts, "{time}");
        }
    }

    #[test]
    fn a_log_is_found_by_its_url_or_by_being_the_only_one() {
        let one = || log_of(&log(1, "https://a/ct")).expect("a log");
        let two = || log_of(&log(2, "https://b/ct")).expect("a log");
        assert_eq!(only_log(vec![one()], Some("https://elsewhere")).expect("the only one").id, one().id);
        assert_eq!(only_log(vec![one(), two()], Some("https://b/ct/")).expect("by its URL").id, two().id);
        assert!(only_log(vec![one(), two()], Some("https://c/ct")).is_err());
        assert!(only_log(vec![one(), two()], None).is_err());
        assert!(only_log(Vec::new(), None).is_err());
    }

    #[test]
    fn damaged_trusted_roots_are_refused_by_place() {
        let mut foreign_id = log(1, "https://a/ct");
        foreign_id["logId"]["keyId"] = json!(encoding::base64(&[0; 32]));
        let mut no_time = log(1, "https://a/ct");
        no_time["publicKey"]["validFor"]["start"] = json!("soon");
        let cases = [
            (json!([]), "certificateAuthorities"),
            (
                json!({ "certificateAuthorities": [{}] }),
                "certificateAuthorities[0]: `certChain.certificates` is missing",
            ),
            (json!({ "ctlogs": [{}] }), "ctlogs[0]: `publicKey.rawBytes`"),
            (json!({ "ctlogs": [foreign_id] }), "ctlogs[0]: `logId.keyId`"),
            (json!({ "ctlogs": [no_time] }), "ctlogs[0]: `validFor.start`"),
        ];
        for (document, words) in cases {
            let text = document.to_string();
            let error = TrustMaterial::default().read_trusted_root(text.as_bytes()).expect_err(&text);
            assert!(error.contains(words), "{error}");
        }
    }
}
