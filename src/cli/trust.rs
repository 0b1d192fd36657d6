//! `countersign trust …`: the files that tell clients whom to trust and where to ask, their digests, and fetching one by its digest.
//!
//! Nothing but certificates and the logs' keys is read, so this works beside a running server, which serves the same octets.

use super::client::Http;
use super::files::{self, Existing};
use super::{CliError, Output, serve, time};
use crate::bundle::trust_material::{
    CLIENT_TRUST_CONFIG, SIGNING_CONFIG, TRUSTED_ROOT, TrustFile, TrustMaterial, digests,
};
use crate::certificate::{CaChain, TimestampChain};
use crate::config::{Config, LogConfig, TimestampsMaterial};
use crate::environment::UnixMillis;
use crate::log::ports::LogSigner as _;
use crate::signer::{LogKey, NoteSigningKey};
use crate::transparency::{Hash, sha256};
use clap::Subcommand;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Print the trust material that clients take
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Print the trust material that clients take, as JSON on standard output.\n\n\
        root            trusted_root.json: certificates of CA and timestamp authority, keys of the logs, for verifying\n\
        signing-config  signing_config.v0.2.json: where to ask for certificates, entries and timestamps, for signing\n\
        client-config   both in one file, as sigstore-python's --trust-config takes it\n\
        digests         the SHA-256 of each, to pin\n\
        fetch           one of them from a server, by its SHA-256\n\n\
        It works beside a running server, which has the same files below /trust. The URLs come from public_url, or from listen \
        where that is not set.",
    after_long_help = "Examples:\n  \
        countersign trust root --config ca/countersign.yaml > trusted_root.json\n  \
        countersign trust signing-config --config ca/countersign.yaml > signing_config.json\n  \
        cosign sign-blob artifact --yes --trusted-root trusted_root.json \\\n      \
        --signing-config signing_config.json --bundle artifact.sigstore.json\n\n\
        In a job, with the digest that the CA's operator has told you:\n  \
        curl -fsSO https://ca.example.com/trust/trusted_root.json\n  \
        echo \"SHA256  trusted_root.json\" | sha256sum -c"
)]
pub struct TrustArgs {
    #[command(subcommand)]
    command: TrustCommand,
}

#[derive(Debug, Subcommand)]
enum TrustCommand {
    /// trusted_root.json: certificates of CA and timestamp authority, keys of the logs
    Root(Root),
    /// signing_config.v0.2.json: where to ask for certificates, entries and timestamps
    SigningConfig(Configured),
    /// Both in one file, a client trust config
    ClientConfig(Configured),
    /// The SHA-256 of each file, as `sha256sum -c` reads them
    Digests(Configured),
    /// A file from a server, if it has the SHA-256 that is expected
    Fetch(Fetch),
}

#[derive(Debug, clap::Args)]
struct Configured {
    /// The CA's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Root {
    #[command(flatten)]
    configured: Configured,
    /// End every window then: for a root that goes into `trust.also` when a key is replaced. RFC 3339, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    until: Option<UnixMillis>,
}

#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:\n  \
        countersign trust fetch https://ca.example.com/trust/trusted_root.json --sha256 HEX --out trusted_root.json\n\n\
        Nothing is printed or written when the digest is another.")]
struct Fetch {
    /// Where it is: `https://ca.example.com/trust/trusted_root.json`
    #[arg(value_name = "URL")]
    url: String,
    /// Its SHA-256, as `trust digests` prints it for the CA's operator
    #[arg(long, value_name = "HEX", value_parser = digest)]
    sha256: Hash,
    /// Where it goes, in place of what is there [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// PEM certificates to trust for TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    ca_certificate: Option<PathBuf>,
}

/// Prints the file that was asked for.
pub fn run(args: TrustArgs, output: &mut Output) -> Result<(), CliError> {
    let (configured, until, wanted) = match &args.command {
        TrustCommand::Root(root) => (&root.configured, root.until, TRUSTED_ROOT),
        TrustCommand::SigningConfig(configured) => (configured, None, SIGNING_CONFIG),
        TrustCommand::ClientConfig(configured) => (configured, None, CLIENT_TRUST_CONFIG),
        TrustCommand::Digests(configured) => return show_digests(configured, output),
        TrustCommand::Fetch(fetch) => return fetched(fetch, output),
    };
    let mut material = configured.material(output)?;
    if let Some(end) = until {
        material = material.until(end);
    }
    let files = material.files();
    let file = files.iter().find(|file| file.name == wanted);
    output.raw(file.map_or(&[][..], |file| &file.octets))
}

impl Configured {
    fn material(&self, output: &mut Output) -> Result<TrustMaterial, CliError> {
        let config = serve::load(&self.config, output)?;
        load(&config).map_err(CliError::configuration)
    }
}

fn show_digests(configured: &Configured, output: &mut Output) -> Result<(), CliError> {
    let files = configured.material(output)?.files();
    output.say(digests(&files).trim_end())?;
    let entry = |file: &TrustFile| (file.name.to_owned(), Value::from(hex::encode(file.sha256())));
    output.json(&Value::Object(files.iter().map(entry).collect::<Map<_, _>>()))
}

fn fetched(args: &Fetch, output: &mut Output) -> Result<(), CliError> {
    let http = Http::new(args.ca_certificate.as_deref())?;
    let octets = super::runtime()?.block_on(http.get(&args.url)).map_err(CliError::refused)?;
    let octets =
        octets.ok_or_else(|| CliError::refused(format!("{}: there is nothing (404 Not Found)", args.url)))?;
    let found = sha256(&octets);
    if found != args.sha256 {
        return Err(CliError::refused(format!(
            "{} has another digest than is pinned: {}. Ask the CA's operator whether it is theirs; keys may have been replaced",
            args.url,
            hex::encode(found)
        )));
    }
    match &args.out {
        None => output.raw(&octets),
        Some(path) => {
            files::write(path, &octets, false, Existing::Replace)?;
            output.say(format_args!("{}: {}", path.display(), hex::encode(found)))
        }
    }
}

fn digest(text: &str) -> Result<Hash, String> {
    let wrong = || "64 hexadecimal digits are expected".to_owned();
    hex::decode(text).map_err(|_| wrong())?.try_into().map_err(|_| wrong())
}

/// Reads the certificates and the logs' keys that a configuration names.
///
/// # Errors
/// In words for the operator: which file, what is wrong.
pub fn load(config: &Config) -> Result<TrustMaterial, String> {
    let path = config
        .ca
        .certificates()
        .ok_or("ca is ephemeral, so no file has its certificates: ask the running server for /trust/trusted_root.json")?;
    let chain = CaChain::from_pem(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
    let log = match &config.log {
        LogConfig::Embedded(log) => {
            let key = LogKey::open(&log.key).map_err(|error| error.to_string())?;
            Some((config.log_url(), key.spki_der().to_vec()))
        }
        LogConfig::External(log) => Some((log.url.clone(), log.public_key.clone())),
        LogConfig::None => None,
    };
    let mut material = TrustMaterial::new(config.base_url(), log, &chain)?.with_also(config.also_trusted()?);
    if let Some(log) = &config.signature_log {
        let key = NoteSigningKey::open(&log.key).map_err(|error| error.to_string())?;
        material = material.with_signature_log(key.public_key(), &log.origin)?;
    }
    let timestamps = config.timestamps.as_ref().map(|timestamps| &timestamps.material);
    if let Some(TimestampsMaterial::Files { certificates, .. }) = timestamps {
        let chain = TimestampChain::from_pem(&read(certificates)?);
        let chain = chain.map_err(|error| format!("{}: {error}", certificates.display()))?;
        material = material.with_timestamps(&chain);
    }
    Ok(material)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}
