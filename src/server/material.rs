//! The certificates and keys that a configuration names: opened at the start, and compared by `countersign config check` before it.

use super::StartError;
use super::credentials;
use super::environment::{CA_KEY_PASSWORD, Environment};
use super::start::read_capped;
use super::timestamps::{self, Ephemeral};
use super::tls::ServerTls;
use crate::certificate::CaChain;
use crate::config::broker::CredentialSource;
use crate::config::{BrokerConfig, CaMaterial, Config, Mismatch, TimestampsMaterial};
use crate::log::ports::LogSigner as _;
use crate::signer::ceremony::{self, NewCa};
use crate::signer::{FileSigner, LogKey, NO_PASSWORD, NoteSigningKey, Password, SignerOpenError};
use rustix::fs::Access;
use rustix::io::Errno;
use std::path::Path;

/// The largest chain file, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// What a start would refuse of the files that a configuration names, as far as that can be seen without the data directory, the network and what
/// is only in the server's own environment. Nothing is written.
pub fn mismatches(config: &Config, environment: &Environment) -> Vec<Mismatch> {
    let mut found = Found(Vec::new());
    let mut chain = None;
    if let CaMaterial::Files { certificates, key, password_file } = &config.ca.material {
        // Read without its key first: the logs' keys are held against it whatever is wrong with that.
        chain = found.look("ca.certificates", &[certificates], || self::chain(certificates, environment));
        if let Some(chain) = &chain {
            let mut files = vec![key.as_path()];
            files.extend(password_file.as_deref());
            let open = || ca_signer(key, password_file.as_deref(), chain, environment);
            found.look("ca.signer.file.key", &files, open);
        }
    }
    if let Some(tls) = &config.tls {
        found.look("tls", &[&tls.certificate, &tls.key], || ServerTls::load(tls.clone()));
    }
    let log = config.log.embedded().and_then(|log| {
        let authority = chain.as_ref().map(CaChain::issuing_spki);
        found.look("log.key", &[&log.key], || log_key(&log.key, authority))
    });
    if let Some(signatures) = &config.signature_log {
        let others = [chain.as_ref().map(CaChain::issuing_spki), log.as_ref().map(|key| key.public_key())];
        found.look("signature_log.key", &[&signatures.key], || signature_key(&signatures.key, others));
    }
    if let Some(timestamps) = &config.timestamps
        && let TimestampsMaterial::Files { certificates, key } = &timestamps.material
    {
        let open = || timestamps::from_files(certificates, key, environment);
        found.look("timestamps.key", &[certificates, key], open);
    }
    if let Some(broker) = &config.broker {
        found.broker(broker, environment);
    }
    found.0
}

struct Found(Vec<Mismatch>);

impl Found {
    /// Opens what lies in these files, and keeps why that fails. One that is not there has been told by the configuration; of one that this user may
    /// not read nothing can be said.
    fn look<T>(
        &mut self,
        key: &str,
        files: &[&Path],
        open: impl FnOnce() -> Result<T, StartError>,
    ) -> Option<T> {
        for file in files {
            match rustix::fs::access(*file, Access::READ_OK) {
                Ok(()) => {}
                Err(Errno::ACCESS) => {
                    let words = format!(
                        "{} may not be read by this user, so it is not known whether it can be used",
                        file.display()
                    );
                    self.add(key, words, true);
                    return None;
                }
                Err(_) => return None,
            }
        }
        match open() {
            Ok(opened) => Some(opened),
            // The password may be in the server's environment alone.
            Err(StartError::Configuration(words)) => {
                let is_warning = words.contains(NO_PASSWORD);
                self.add(key, words, is_warning);
                None
            }
            Err(StartError::Failed(words)) => {
                self.add(key, words, false);
                None
            }
        }
    }

    /// `words` may begin with another key than the one that was looked at.
    fn add(&mut self, key: &str, words: String, is_warning: bool) {
        let is_key = |text: &str| text.bytes().all(|it| it.is_ascii_lowercase() || matches!(it, b'_' | b'.'));
        let (key, message) = match words.split_once(": ") {
            Some((own, message)) if is_key(own) => (own.to_owned(), message.to_owned()),
            _ => (key.to_owned(), words),
        };
        self.0.push(Mismatch { key, message, is_warning });
    }

    /// Main credentials in files, and the key that seals others.
    fn broker(&mut self, config: &BrokerConfig, environment: &Environment) {
        if let Some(path) = &config.seal_key {
            self.look("broker.seal_key", &[path], || credentials::seal_key(path, environment));
        }
        let mut opened = Vec::new();
        for target in &config.targets {
            if let CredentialSource::File(path) = &target.token {
                let open = || credentials::of_target(target, &credentials::SealedTokens::new(), None);
                let credential = self.look("broker.targets", &[path], open);
                opened.extend(credential.map(|it| (target.name.as_str(), it.sha256())));
            }
        }
        self.look("broker.targets", &[], || credentials::refuse_shared(&opened));
    }
}

/// The certificate log's key. What the log signs comes from callers, so it must not be the CA's.
pub(super) fn log_key(path: &Path, authority: Option<&[u8]>) -> Result<LogKey, StartError> {
    let key = LogKey::open(path).map_err(unusable)?;
    if authority == Some(key.public_key()) {
        return Err(StartError::Configuration(
            "log.key: it is the CA's key; the log needs one of its own".to_owned(),
        ));
    }
    Ok(key)
}

/// The signature log's key, which must not be taken for any of the others.
pub(super) fn signature_key(path: &Path, others: [Option<&[u8]>; 2]) -> Result<NoteSigningKey, StartError> {
    let key = NoteSigningKey::open(path).map_err(unusable)?;
    if others.contains(&Some(key.public_key())) {
        return Err(StartError::Configuration(
            "signature_log.key: it is the key of the CA or of the certificate log; the signature log needs one of its own"
                .to_owned(),
        ));
    }
    Ok(key)
}

/// The chain that issues, its key, and what an ephemeral CA has made beside.
pub(super) fn authority(
    material: &CaMaterial,
    environment: &Environment,
) -> Result<(CaChain, FileSigner, Option<Ephemeral>), StartError> {
    match material {
        CaMaterial::Files { certificates, key, password_file } => {
            let chain = chain(certificates, environment)?;
            let signer = ca_signer(key, password_file.as_deref(), &chain, environment)?;
            Ok((chain, signer, None))
        }
        CaMaterial::Ephemeral => ephemeral(environment),
    }
}

/// The key of the chain's issuing certificate, from a file.
fn ca_signer(
    key: &Path,
    password_file: Option<&Path>,
    chain: &CaChain,
    environment: &Environment,
) -> Result<FileSigner, StartError> {
    let password = match (&environment.ca_key_password, password_file) {
        (Some(password), _) => Some(password.clone()),
        (None, Some(file)) => Some(Password::from_file(file).map_err(unusable)?),
        (None, None) => None,
    };
    FileSigner::open(key, password.as_ref(), chain).map_err(|error| {
        let advice = advice(&error, password.as_ref());
        StartError::Configuration(format!("ca.signer.file.key: {error}{advice}"))
    })
}

/// What to do where a password is missing.
fn advice(error: &SignerOpenError, password: Option<&Password>) -> String {
    if password.is_none() && error.0.ends_with(NO_PASSWORD) {
        format!("; name its file in ca.signer.file.password_file, or set {CA_KEY_PASSWORD}")
    } else {
        String::new()
    }
}

/// A CA that nobody will know after this process.
fn ephemeral(environment: &Environment) -> Result<(CaChain, FileSigner, Option<Ephemeral>), StartError> {
    let failed = |error: String| StartError::Failed(format!("ca.ephemeral: {error}"));
    let ca = NewCa::make(&ceremony::Options::default(), environment.clock.now())
        .map_err(|error| failed(error.to_string()))?;
    let chain = CaChain::from_pem(ca.chain().as_bytes()).map_err(|error| failed(error.to_string()))?;
    let signer = FileSigner::from_pem(ca.issuing_key.as_bytes(), None, &chain).map_err(failed)?;
    tracing::warn!(
        "the CA is ephemeral: its keys are gone when this process ends; GET /api/v2/trustBundle has its root"
    );
    let timestamps = Ephemeral { chain: ca.timestamps_chain(), key: ca.timestamps_key };
    Ok((chain, signer, Some(timestamps)))
}

fn chain(path: &Path, environment: &Environment) -> Result<CaChain, StartError> {
    let unusable = |problem: String| {
        StartError::Configuration(format!("ca.certificates: {}: {problem}", path.display()))
    };
    let pem = read_capped(path, MOST_BYTES).map_err(|error| unusable(error.to_string()))?;
    let chain = CaChain::from_pem(&pem).map_err(|error| unusable(error.to_string()))?;
    chain.check_validity(environment.clock.now()).map_err(|error| unusable(error.to_string()))?;
    Ok(chain)
}

/// A key file that cannot be used, which its words name.
pub(super) fn unusable(error: SignerOpenError) -> StartError {
    StartError::Configuration(error.to_string())
}
