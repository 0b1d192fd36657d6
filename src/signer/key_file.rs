//! Private keys in PEM files: PKCS#8 `PRIVATE KEY` (RFC 5958) or SEC 1 `EC PRIVATE KEY` (RFC 5915), not encrypted.

use super::SignerOpenError;
use crate::certificate::pem;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, KeyPair, UnparsedPublicKey,
};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// The largest key file that is read, in octets.
const MAX_KEY_FILE: usize = 64 * 1024;

/// What a new key is tried on.
const TRIAL: &[u8] = b"countersign: a key is tried before it is used";

/// An ECDSA key with what it signs and verifies with.
pub(super) struct EcdsaKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl EcdsaKey {
    /// Reads the one private key of a PEM text, which must be for `algorithm`.
    pub(super) fn from_pem(
        text: &[u8],
        algorithm: &'static EcdsaSigningAlgorithm,
        kind: &str,
    ) -> Result<Self, String> {
        let der = private_key(text)?;
        let pair = EcdsaKeyPair::from_private_key_der(algorithm, &der)
            .map_err(|_| format!("it is not a sound private key for {kind}"))?;
        #[expect(clippy::disallowed_methods, reason = "ECDSA's nonce is the signer's own business")]
        let random = SystemRandom::new();
        Ok(Self { pair, random })
    }

    /// The public key as an uncompressed point (SEC 1 §2.3.3).
    pub(super) fn point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// DER ECDSA signature over the hash of `message` that belongs to the key's curve.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let signature = self.pair.sign(&self.random, message);
        signature.map(|signature| signature.as_ref().to_vec()).map_err(|_| "signing failed".to_owned())
    }

    /// Signs something and verifies it with the public key `point`: it is the key's own, and the key works.
    pub(super) fn matches(&self, verification: &'static EcdsaVerificationAlgorithm, point: &[u8]) -> bool {
        let public = UnparsedPublicKey::new(verification, point);
        self.sign(TRIAL).is_ok_and(|signature| public.verify(TRIAL, &signature).is_ok())
    }
}

/// Reads a key file that only its owner may read, and hands its text to `parse`. Every error names the file.
pub(super) fn open<T>(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<T, SignerOpenError> {
    read(path)
        .and_then(|text| parse(&text))
        .map_err(|problem| SignerOpenError(format!("key file {}: {problem}", path.display())))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let metadata = file.metadata().map_err(|error| format!("cannot be examined: {error}"))?;
    if !metadata.is_file() {
        return Err("it is not a file".into());
    }
    check_mode(&metadata)?;
    // Its final size from the start, so that no half of a key stays behind in a buffer that was too small.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE + 1));
    file.take(MAX_KEY_FILE as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() > MAX_KEY_FILE {
        return Err(format!("it is larger than {MAX_KEY_FILE} octets"));
    }
    Ok(text)
}

#[cfg(unix)]
fn check_mode(metadata: &std::fs::Metadata) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(format!(
        "its mode is {mode:04o}, so others than its owner may use it; make it 0600 or 0400 (chmod 600)"
    ))
}

#[cfg(not(unix))]
fn check_mode(_: &std::fs::Metadata) -> Result<(), String> {
    Ok(())
}

/// The DER of the one private key in the text.
fn private_key(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut key = None;
    for block in pem::blocks(text)? {
        match block.label.as_str() {
            "PRIVATE KEY" | "EC PRIVATE KEY" if !block.has_headers => {
                if key.replace(block.der).is_some() {
                    return Err("it has several keys; keep one".into());
                }
            }
            "PRIVATE KEY" | "EC PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => {
                return Err(
                    "it is encrypted, which is not supported; decrypt it with `openssl pkey -in … -out …`"
                        .into(),
                );
            }
            "EC PARAMETERS" => {} // the openssl command line writes them before a SEC 1 key
            other => {
                return Err(format!(
                    "it has a block {other:?}; one `PRIVATE KEY` or `EC PRIVATE KEY` is expected"
                ));
            }
        }
    }
    key.ok_or_else(|| {
        "there is no private key in it; PEM `PRIVATE KEY` or `EC PRIVATE KEY` is expected".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::ISSUING_KEY;
    use aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;

    /// RFC 5915's form of a key, with the parameters block that the openssl command line writes before it.
    const SEC1: &str = include_str!("../../tests/fixtures/certificate/sec1.key");
    const ENCRYPTED: &str = include_str!("../../tests/fixtures/certificate/encrypted.key");

    fn parse(text: &str) -> Result<(), String> {
        EcdsaKey::from_pem(text.as_bytes(), &ECDSA_P256_SHA256_ASN1_SIGNING, "ECDSA P-256").map(|_| ())
    }

    #[test]
    fn keys_are_read_from_pkcs8_and_sec1() {
        assert_eq!(parse(ISSUING_KEY), Ok(()));
        assert_eq!(parse(SEC1), Ok(()));
    }

    #[test]
    fn what_is_no_single_plain_key_is_refused_without_showing_it() {
        let old = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X\n\nAAAA\n-----END EC PRIVATE KEY-----";
        let two = format!("{ISSUING_KEY}{SEC1}");
        let cut = ISSUING_KEY.replacen("MIGH", "MIGI", 1);
        for (text, expected) in [
            ("", "no private key in it"),
            (ENCRYPTED, "it is encrypted"),
            (old, "it is encrypted"),
            (&two, "several keys"),
            (&cut, "not a sound private key for ECDSA P-256"),
            (crate::certificate::testing::CHAIN, "a block \"CERTIFICATE\""),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----",
                "a block \"RSA PRIVATE KEY\"",
            ),
        ] {
            let refusal = parse(text).unwrap_err();
            assert!(
                refusal.contains(expected) && refusal.len() < 200,
                "expected {expected:?}, got {refusal:?}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn files_that_others_may_read_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.key");
        std::fs::write(&path, ISSUING_KEY).unwrap();
        let opened = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            open(&path, |text| Ok(text.len())).map_err(|error| error.to_string())
        };
        assert_eq!(opened(0o600), Ok(ISSUING_KEY.len()));
        assert_eq!(opened(0o400), Ok(ISSUING_KEY.len()));
        for mode in [0o640, 0o604, 0o660, 0o620, 0o610, 0o644, 0o777] {
            let refusal = opened(mode).unwrap_err();
            assert!(refusal.contains("ca.key: its mode is 0") && refusal.contains("chmod 600"), "{refusal}");
        }
    }

    #[test]
    fn what_is_no_file_or_too_large_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| open(path, |text| Ok(text.len())).unwrap_err().to_string();
        assert!(refusal(&directory.path().join("absent")).contains("absent: cannot be opened"));
        assert!(refusal(directory.path()).contains("it is not a file"));
        let large = directory.path().join("large");
        std::fs::write(&large, vec![b' '; MAX_KEY_FILE + 1]).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&large, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        assert!(refusal(&large).contains("larger than"));
    }
}
