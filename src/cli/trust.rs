//! `countersign trust …`: the three files that tell clients whom to trust and where to ask.
//!
//! Sigstore's `TrustedRoot` v0.1, `SigningConfig` v0.2 and `ClientTrustConfig` v0.1 (github.com/sigstore/protobuf-specs) in
//! JSON, in the forms that cosign, sigstore-python, -js, -go and -java all take. Nothing but certificates and the logs' keys
//! is read, so this works beside a running server.

use super::{CliError, Output, serve};
use crate::certificate::inspect::Inspected;
use crate::certificate::{CaChain, TimestampChain};
use crate::config::{Config, LogConfig, TimestampsMaterial};
use crate::environment::UnixMillis;
use crate::log::ports::LogSigner as _;
use crate::signer::{LogKey, NoteSigningKey};
use crate::transparency::note::{NoteKey, NoteKeyKind};
use crate::transparency::{Hash, sha256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Print the trust material that clients take
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Print the trust material that clients take, as JSON on standard output.\n\n\
        root            trusted_root.json: certificates of CA and timestamp authority, keys of the logs, for verifying\n\
        signing-config  signing_config.json: where to ask for certificates, entries and timestamps, for signing\n\
        client-config   both in one file, as sigstore-python's --trust-config takes it\n\n\
        It works beside a running server. The URLs come from public_url, or from listen where that is not set.",
    after_long_help = "Examples:\n  \
        countersign trust root --config ca/countersign.yaml > trusted_root.json\n  \
        countersign trust signing-config --config ca/countersign.yaml > signing_config.json\n  \
        cosign sign-blob artifact --yes --trusted-root trusted_root.json \\\n      \
        --signing-config signing_config.json --bundle artifact.sigstore.json"
)]
pub struct TrustArgs {
    #[command(subcommand)]
    command: TrustCommand,
}

#[derive(Debug, Subcommand)]
enum TrustCommand {
    /// trusted_root.json: certificates of CA and timestamp authority, keys of the logs
    Root(Configured),
    /// signing_config.json: where to ask for certificates, entries and timestamps
    SigningConfig(Configured),
    /// Both in one file, a client trust config
    ClientConfig(Configured),
}

#[derive(Debug, clap::Args)]
struct Configured {
    /// The CA's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Prints the file that was asked for.
pub fn run(args: TrustArgs, output: &mut Output) -> Result<(), CliError> {
    type Document = fn(&TrustMaterial) -> Value;
    let (configured, document): (_, Document) = match args.command {
        TrustCommand::Root(configured) => (configured, TrustMaterial::trusted_root),
        TrustCommand::SigningConfig(configured) => (configured, TrustMaterial::signing_config),
        TrustCommand::ClientConfig(configured) => (configured, TrustMaterial::client_config),
    };
    let config = serve::load(&configured.config, output)?;
    let material = TrustMaterial::load(&config).map_err(CliError::configuration)?;
    output.document(&document(&material))
}

/// What clients need to know of a CA, its logs and its timestamp authority.
pub struct TrustMaterial {
    /// The CA's base URL, without a slash at its end.
    ca_url: String,
    /// DER, issuing certificate first.
    chain: Vec<Vec<u8>>,
    /// `O` and `CN` of the root.
    organization: String,
    common_name: String,
    /// When the CA began: the latest notBefore of the chain.
    ca_start: UnixMillis,
    /// When the log began, as far as anybody knows: the root's notBefore, which outlives issuing certificates.
    log_start: UnixMillis,
    /// The log's base URL and its key, DER SubjectPublicKeyInfo; `None`: certificates are logged nowhere.
    log: Option<(String, Vec<u8>)>,
    /// The signature log, at the CA's URL.
    signature_log: Option<SignatureLog>,
    /// The timestamp authority's certificates, DER, its own first; and since when they are valid.
    timestamps: Option<(Vec<Vec<u8>>, UnixMillis)>,
}

/// A signature log's key.
struct SignatureLog {
    spki: Vec<u8>,
    kind: NoteKeyKind,
    log_id: Hash,
}

/// Below the CA's URL; clients post to it as it stands.
const TIMESTAMP_PATH: &str = "/api/v1/timestamp";

impl TrustMaterial {
    /// Reads the certificates and the logs' keys that a configuration names.
    ///
    /// # Errors
    /// In words for the operator: which file, what is wrong.
    pub fn load(config: &Config) -> Result<Self, String> {
        let path = config.ca.certificates().ok_or(
            "ca is ephemeral, so no file has its certificates: ask the running server for /api/v2/trustBundle",
        )?;
        let pem =
            std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let chain = CaChain::from_pem(&pem).map_err(|error| format!("{}: {error}", path.display()))?;
        let log = match &config.log {
            LogConfig::Embedded(log) => {
                let key = LogKey::open(&log.key).map_err(|error| error.to_string())?;
                Some((config.log_url(), key.spki_der().to_vec()))
            }
            LogConfig::External(log) => Some((log.url.clone(), log.public_key.clone())),
            LogConfig::None => None,
        };
        let signature_log = config.signature_log.as_ref().map(|log| {
            let key = NoteSigningKey::open(&log.key).map_err(|error| error.to_string())?;
            let spki = key.public_key().to_vec();
            let note_key = NoteKey::from_spki(&spki).map_err(|error| error.to_string())?;
            Ok::<_, String>(SignatureLog {
                kind: note_key.kind(),
                log_id: note_key.log_id(&log.origin),
                spki,
            })
        });
        let timestamps = config.timestamps.as_ref().and_then(|timestamps| match &timestamps.material {
            TimestampsMaterial::Files { certificates, .. } => Some(timestamp_chain(certificates)),
            TimestampsMaterial::Ephemeral => None,
        });
        let material = Self::new(config.base_url(), log, &chain)?;
        Ok(Self {
            signature_log: signature_log.transpose()?,
            timestamps: timestamps.transpose()?,
            ..material
        })
    }

    /// For a CA at `ca_url` (no slash at its end) and a log by its URL and the DER SubjectPublicKeyInfo of its key.
    ///
    /// # Errors
    /// When the root cannot be read again; a chain that was made has none such.
    pub fn new(ca_url: String, log: Option<(String, Vec<u8>)>, chain: &CaChain) -> Result<Self, String> {
        let root = chain.certificates().last().ok_or("the chain is empty")?;
        let root = Inspected::from_der(root).map_err(|error| format!("the root: {error}"))?;
        Ok(Self {
            ca_url,
            chain: chain.certificates().to_vec(),
            organization: root.subject_organization().unwrap_or_default().to_owned(),
            common_name: root.subject_common_name().unwrap_or_default().to_owned(),
            ca_start: chain.not_before(),
            log_start: root.not_before(),
            log,
            signature_log: None,
            timestamps: None,
        })
    }

    /// `trusted_root.json`. Binary values are base64 of DER. Go's verifier refuses a log key without `validFor`.
    pub fn trusted_root(&self) -> Value {
        let certificates: Vec<_> =
            self.chain.iter().map(|der| json!({ "rawBytes": STANDARD.encode(der) })).collect();
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": self.signature_log.iter().map(|log| self.tlog(log)).collect::<Vec<_>>(),
            "certificateAuthorities": [{
                "subject": { "organization": self.organization, "commonName": self.common_name },
                "uri": self.ca_url,
                "certChain": { "certificates": certificates },
                "validFor": { "start": self.ca_start.to_string() },
            }],
            "ctlogs": self.log.iter().map(|(url, key)| self.ct_log(url, key)).collect::<Vec<_>>(),
            "timestampAuthorities": self.timestamps.iter().map(|(chain, start)| self.timestamp_authority(chain, *start)).collect::<Vec<_>>(),
        })
    }

    /// Go, Java and JavaScript compare the host of `baseUrl` with the origin of checkpoints.
    fn tlog(&self, log: &SignatureLog) -> Value {
        let details = match log.kind {
            NoteKeyKind::Ed25519 => "PKIX_ED25519",
            NoteKeyKind::EcdsaP256 => "PKIX_ECDSA_P256_SHA_256",
        };
        json!({
            "baseUrl": self.ca_url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(&log.spki),
                "keyDetails": details,
                "validFor": { "start": self.log_start.to_string() },
            },
            "logId": { "keyId": STANDARD.encode(log.log_id) },
        })
    }

    /// The chain with the authority's own certificate: most clients want it.
    fn timestamp_authority(&self, chain: &[Vec<u8>], start: UnixMillis) -> Value {
        let certificates: Vec<_> =
            chain.iter().map(|der| json!({ "rawBytes": STANDARD.encode(der) })).collect();
        json!({
            "subject": { "organization": self.organization, "commonName": self.common_name },
            "uri": format!("{}{TIMESTAMP_PATH}", self.ca_url),
            "certChain": { "certificates": certificates },
            "validFor": { "start": start.to_string() },
        })
    }

    fn ct_log(&self, url: &str, key: &[u8]) -> Value {
        json!({
            "baseUrl": url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(key),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": { "start": self.log_start.to_string() },
            },
            "logId": { "keyId": STANDARD.encode(sha256(key)) },
        })
    }

    /// `signing_config.json`, without selectors for services that are not there: sigstore-js refuses those; and with them for
    /// those that are: cosign and Go end without.
    pub fn signing_config(&self) -> Value {
        let operator = if self.organization.is_empty() { "countersign" } else { &self.organization };
        let service = |url: String, version: u8, start: UnixMillis| {
            json!([{
                "url": url,
                "majorApiVersion": version,
                "validFor": { "start": start.to_string() },
                "operator": operator,
            }])
        };
        let mut document = json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": service(self.ca_url.clone(), 1, self.ca_start),
            "oidcUrls": [],
            "rekorTlogUrls": [],
            "tsaUrls": [],
        });
        if self.signature_log.is_some() {
            document["rekorTlogUrls"] = service(self.ca_url.clone(), 2, self.log_start);
            document["rekorTlogConfig"] = json!({ "selector": "ANY" });
        }
        if let Some((_, start)) = &self.timestamps {
            document["tsaUrls"] = service(format!("{}{TIMESTAMP_PATH}", self.ca_url), 1, *start);
            document["tsaConfig"] = json!({ "selector": "ANY" });
        }
        document
    }

    /// Both in one document.
    pub fn client_config(&self) -> Value {
        json!({
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root(),
            "signingConfig": self.signing_config(),
        })
    }
}

/// The timestamp authority's certificates, and since when all of them are valid.
fn timestamp_chain(path: &Path) -> Result<(Vec<Vec<u8>>, UnixMillis), String> {
    let pem = std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let chain = TimestampChain::from_pem(&pem).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((chain.certificates().to_vec(), chain.not_before()))
}
