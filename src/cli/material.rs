//! What a verifier trusts: chains of CAs and keys of logs, from PEM files or from a `trusted_root.json`.

use super::{CliError, encoding, files, time};
use crate::certificate::CaChain;
use crate::environment::UnixMillis;
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
    /// From PEM SubjectPublicKeyInfo.
    pub fn from_pem(path: &Path) -> Result<Self, CliError> {
        let pem = files::read(path, "the log's public key")?;
        let refuse = |words: String| CliError::refused(format!("{}: {words}", path.display()));
        let spki = encoding::pem_documents(&pem, "PUBLIC KEY").map_err(refuse)?.swap_remove(0);
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
        let document: Value = serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))?;
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

fn chain(authority: &Value) -> Result<TrustedChain, String> {
    let certificates = authority["certChain"]["certificates"].as_array().ok_or("`certChain.certificates` is missing")?;
    let ders: Option<Vec<_>> = certificates.iter().map(raw_bytes).collect();
    let ders = ders.ok_or("a certificate's `rawBytes` is no base64")?;
    let chain = CaChain::from_der(ders).map_err(|error| error.to_string())?;
    Ok(TrustedChain { chain, valid_for: valid_for(&authority["validFor"])? })
}

fn log_of(log: &Value) -> Result<TrustedLog, String> {
    let spki = raw_bytes(&log["publicKey"]).ok_or("`publicKey.rawBytes` is no base64")?;
    let id = sha256(&spki);
    let stated = log["logId"]["keyId"].as_str();
    if stated.is_some_and(|stated| encoding::from_base64(stated).as_deref() != Some(&id)) {
        return Err("`logId.keyId` is not the SHA-256 of `publicKey.rawBytes`".to_owned());
    }
    let base_url = log["baseUrl"].as_str().map(str::to_owned);
    Ok(TrustedLog { id, spki, base_url, valid_for: valid_for(&log["publicKey"]["validFor"])? })
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
