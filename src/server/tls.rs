//! TLS on the public listener: 1.2 and 1.3 with aws-lc, HTTP/2 and HTTP/1.1 by ALPN, and a certificate that is loaded anew
//! when its files change.

use super::StartError;
use crate::config::TlsConfig;
use crate::environment::UnixMillis;
use aws_lc_rs::digest::{Context, SHA256};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use x509_cert::der::Decode as _;
use zeroize::Zeroizing;

/// The largest certificate or key file, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// The listener's certificate, and the files that it comes from.
pub struct ServerTls {
    files: Mutex<TlsConfig>,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    /// What the files held when they were last looked at, usable or not.
    seen: Mutex<Fingerprint>,
}

/// What a look at the files found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// What they held at the last look, or nothing that can be read once more.
    Unchanged,
    /// Another certificate, which serves from now on.
    Loaded,
    /// Something that cannot be used.
    Refused(String),
}

/// SHA-256 over both files.
type Fingerprint = [u8; 32];

/// The certificate that new connections get.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl ServerTls {
    /// Loads the certificate and its key. Reads files.
    ///
    /// # Errors
    /// [`StartError::Configuration`]: a file cannot be read, is not PEM, or the two do not belong together.
    pub fn load(files: TlsConfig) -> Result<Self, StartError> {
        let provider = Arc::new(provider::default_provider());
        let material =
            Material::read(&files).map_err(|error| StartError::Configuration(format!("tls: {error}")))?;
        let key = material
            .certified(&files, &provider)
            .map_err(|error| StartError::Configuration(format!("tls: {error}")))?;
        tracing::info!(expires = expiry(&key), "TLS with the certificate of {}", files.certificate.display());
        let current = Arc::new(Current(RwLock::new(Arc::new(key))));
        Ok(Self { files: Mutex::new(files), provider, current, seen: Mutex::new(material.fingerprint()) })
    }

    /// What connections are accepted with.
    ///
    /// # Errors
    /// When the cryptography has no suite for these versions of TLS.
    pub fn config(&self) -> Result<Arc<ServerConfig>, StartError> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| StartError::Failed(format!("TLS cannot be set up: {error}")))?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Loads the certificate anew if a file has changed. What cannot be used is reported once, and the last good one stays:
    /// the second of the two files may still be on its way. Reads files.
    pub fn look(&self, now: UnixMillis) -> Look {
        let files = self.files();
        let material = match Material::read(&files) {
            Ok(material) => material,
            Err(error) => {
                if !self.is_news([0; 32]) {
                    return Look::Unchanged;
                }
                tracing::warn!(error, "the TLS certificate cannot be read; the last good one stays");
                return Look::Refused(error);
            }
        };
        if !self.is_news(material.fingerprint()) {
            return Look::Unchanged;
        }
        match material.certified(&files, &self.provider).and_then(|key| still_valid(key, now)) {
            Ok(key) => {
                self.serve(key);
                Look::Loaded
            }
            Err(error) => {
                tracing::warn!(error, "the TLS certificate cannot be used; the last good one stays");
                Look::Refused(error)
            }
        }
    }

    /// Serves what is in other files from now on. Reads files.
    ///
    /// # Errors
    /// What is wrong with them; then everything is as it was.
    pub fn replace(&self, files: TlsConfig, now: UnixMillis) -> Result<(), String> {
        let material = Material::read(&files).map_err(|error| format!("tls: {error}"))?;
        let key = material
            .certified(&files, &self.provider)
            .and_then(|key| still_valid(key, now))
            .map_err(|error| format!("tls: {error}"))?;
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = files;
        self.is_news(material.fingerprint());
        self.serve(key);
        Ok(())
    }

    fn files(&self) -> TlsConfig {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn serve(&self, key: CertifiedKey) {
        tracing::info!(expires = expiry(&key), "the TLS certificate was loaded anew");
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }

    /// Whether the files were different the last time; now they are not.
    fn is_news(&self, fingerprint: Fingerprint) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *seen, fingerprint) != fingerprint
    }
}

/// What the files hold.
struct Material {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Material {
    fn read(files: &TlsConfig) -> Result<Self, String> {
        let read = |path: &Path| {
            super::start::read_capped(path, MOST_BYTES)
                .map(Zeroizing::new)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))
        };
        Ok(Self { certificate: read(&files.certificate)?.to_vec(), key: read(&files.key)? })
    }

    fn fingerprint(&self) -> Fingerprint {
        let mut digest = Context::new(&SHA256);
        digest.update(&(self.certificate.len() as u64).to_be_bytes());
        digest.update(&self.certificate);
        digest.update(&self.key);
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest.finish().as_ref());
        fingerprint
    }

    fn certified(&self, files: &TlsConfig, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("{certificate} is not PEM: {error}"))?;
        if chain.is_empty() {
            return Err(format!("{certificate} has no certificate"));
        }
        // Its error may quote the file.
        let private = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| {
            format!("{key} has no private key in PEM (PKCS#8, SEC 1 or PKCS#1, not encrypted)")
        })?;
        CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => format!("{key} is not the key of {certificate}"),
            error => format!("{certificate} and {key} cannot be used: {error}"),
        })
    }
}

/// A certificate that has ended never takes the place of another: no client would go on.
fn still_valid(key: CertifiedKey, now: UnixMillis) -> Result<CertifiedKey, String> {
    let end = leaf(&key).map(|leaf| leaf.tbs_certificate().validity().not_after.to_unix_duration());
    match end {
        Some(end) if end.as_secs() < now.as_secs() => {
            Err(format!("the certificate ended at {}", UnixMillis::from_secs(end.as_secs())))
        }
        _ => Ok(key),
    }
}

/// The end of the server's own certificate, for the log.
fn expiry(key: &CertifiedKey) -> Option<String> {
    Some(leaf(key)?.tbs_certificate().validity().not_after.to_string())
}

fn leaf(key: &CertifiedKey) -> Option<x509_cert::Certificate> {
    x509_cert::Certificate::from_der(key.cert.first()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const NOW: UnixMillis = UnixMillis::from_secs(1_800_000_000);

    struct Files {
        directory: TempDir,
    }

    impl Files {
        fn new() -> Self {
            let files = Self { directory: tempfile::tempdir().expect("a directory") };
            files.replace();
            files
        }
        fn config(&self) -> TlsConfig {
            let path = |name| self.directory.path().join(name);
            TlsConfig { certificate: path("server.pem"), key: path("server.key") }
        }
        /// A fresh self-signed certificate, and its key.
        fn fresh() -> (String, String) {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
            (made.cert.pem(), made.signing_key.serialize_pem())
        }
        fn replace(&self) {
            let (certificate, key) = Self::fresh();
            std::fs::write(self.config().certificate, certificate).expect("written");
            std::fs::write(self.config().key, key).expect("written");
        }
    }

    fn served(tls: &ServerTls) -> Vec<u8> {
        tls.current.0.read().expect("not poisoned").cert[0].to_vec()
    }

    fn refusal(files: &Files) -> String {
        match ServerTls::load(files.config()) {
            Ok(_) => panic!("it was taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_changed_certificate_is_served_and_an_unusable_one_is_not() {
        let files = Files::new();
        let tls = ServerTls::load(files.config()).expect("loaded");
        let first = served(&tls);
        tls.look(NOW);
        assert_eq!(served(&tls), first);
        files.replace();
        tls.look(NOW);
        let second = served(&tls);
        assert_ne!(second, first);
        // The certificate is there before its key: the old pair stays until both are.
        let (certificate, key) = Files::fresh();
        std::fs::write(files.config().certificate, certificate).expect("written");
        tls.look(NOW);
        assert_eq!(served(&tls), second);
        std::fs::write(files.config().key, key).expect("written");
        tls.look(NOW);
        let third = served(&tls);
        assert_ne!(third, second);
        std::fs::remove_file(files.config().key).expect("removed");
        tls.look(NOW);
        std::fs::write(files.config().certificate, "nothing").expect("written");
        tls.look(NOW);
        assert_eq!(served(&tls), third);
    }

    #[test]
    fn a_certificate_that_has_ended_never_replaces_one() {
        let files = Files::new();
        let tls = ServerTls::load(files.config()).expect("loaded");
        let first = served(&tls);
        let mut ended = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("names");
        ended.not_after = rcgen::date_time_ymd(2020, 2, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let ended = ended.self_signed(&key).expect("a certificate");
        std::fs::write(files.config().certificate, ended.pem()).expect("written");
        std::fs::write(files.config().key, key.serialize_pem()).expect("written");
        assert!(matches!(tls.look(NOW), Look::Refused(reason) if reason.contains("ended at 2020-02-01")));
        assert!(tls.replace(files.config(), NOW).is_err());
        assert_eq!(served(&tls), first);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_file() {
        let files = Files::new();
        let (_, other) = Files::fresh();
        std::fs::write(files.config().key, other).expect("written");
        assert!(refusal(&files).contains("server.key is not the key of"), "{}", refusal(&files));
        std::fs::write(files.config().key, "secret").expect("written");
        assert!(refusal(&files).contains("server.key has no private key"), "{}", refusal(&files));
        assert!(!refusal(&files).contains("secret"));
        std::fs::remove_file(files.config().certificate).expect("removed");
        assert!(refusal(&files).contains("server.pem cannot be read"), "{}", refusal(&files));
    }
}
