//! Private keys in PEM files: PKCS#8 `PRIVATE KEY` (RFC 5958) and `ENCRYPTED PRIVATE KEY` (PBES2, RFC 8018 §6.2), SEC 1
//! `EC PRIVATE KEY` (RFC 5915), PKCS#1 `RSA PRIVATE KEY` (RFC 8017 §A.1.2).

use super::SignerOpenError;
use super::password::Password;
use crate::certificate::pem;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// The largest key file that is read, in octets.
const MAX_KEY_FILE: usize = 64 * 1024;

/// What to do about an encryption that is not read.
const CONVERT: &str = "convert it with `openssl pkcs8 -topk8 -v2 aes-256-cbc -in … -out …`";

/// How the error for an encrypted key without a password ends.
pub const NO_PASSWORD: &str = "it is encrypted, and there is no password for it";

/// A private key's DER, of one of the forms that aws-lc tells apart by itself.
pub(super) struct PrivateKey {
    /// PKCS#8, SEC 1 or PKCS#1, not encrypted. Wiped when dropped.
    pub(super) der: Zeroizing<Vec<u8>>,
    /// Whether it is PKCS#8.
    pub(super) is_pkcs8: bool,
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

pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
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

/// The one private key in the text.
pub(super) fn private_key(text: &[u8], password: Option<&Password>) -> Result<PrivateKey, String> {
    let mut key = None;
    for block in pem::blocks(text)? {
        let found = match block.label.as_str() {
            "EC PARAMETERS" => continue, // the openssl command line writes them before a SEC 1 key
            "PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY" | "ENCRYPTED PRIVATE KEY"
                if block.has_headers =>
            {
                return Err(format!(
                    "it is encrypted in OpenSSL's old way, which is not supported; {CONVERT}"
                ));
            }
            "PRIVATE KEY" => PrivateKey { der: block.der, is_pkcs8: true },
            "EC PRIVATE KEY" | "RSA PRIVATE KEY" => PrivateKey { der: block.der, is_pkcs8: false },
            "ENCRYPTED PRIVATE KEY" => PrivateKey { der: decrypt(&block.der, password)?, is_pkcs8: true },
            other => {
                return Err(format!(
                    "it has a block {other:?}; one `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY` is expected"
                ));
            }
        };
        if key.replace(found).is_some() {
            return Err("it has several keys; keep one".into());
        }
    }
    key.ok_or_else(|| {
        "there is no private key in it; PEM `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY` is expected"
            .into()
    })
}

/// PKCS#8 out of EncryptedPrivateKeyInfo (RFC 5958 §3).
fn decrypt(der: &[u8], password: Option<&Password>) -> Result<Zeroizing<Vec<u8>>, String> {
    let encrypted = pkcs8::EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|_| format!("it is encrypted in a way that is not supported (PBES2 is); {CONVERT}"))?;
    let Some(password) = password else {
        return Err(NO_PASSWORD.into());
    };
    // A wrong password shows as padding or DER that is wrong, so no more than this can be said.
    let plain = encrypted
        .decrypt(password.as_bytes())
        .map_err(|_| "it cannot be decrypted: the password is wrong, or the key is damaged".to_owned())?;
    Ok(Zeroizing::new(plain.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::super::signing_key::SigningKey;
    use super::*;
    use crate::certificate::CaAlgorithm;
    use crate::certificate::testing::ISSUING_KEY;

    /// RFC 5915's form of a key, with the parameters block that the openssl command line writes before it.
    const SEC1: &str = include_str!("../../tests/fixtures/certificate/sec1.key");
    const ENCRYPTED: &str = include_str!("../../tests/fixtures/certificate/encrypted.key");

    fn parse(text: &str) -> Result<(), String> {
        private_key(text.as_bytes(), None)
            .and_then(|key| SigningKey::read(&key, CaAlgorithm::EcdsaP256Sha256))
            .map(|_| ())
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
            (ENCRYPTED, "it is encrypted, and there is no password"),
            (old, "it is encrypted in OpenSSL's old way"),
            (&two, "several keys"),
            (&cut, "not a sound private key for ECDSA P-256"),
            (crate::certificate::testing::CHAIN, "a block \"CERTIFICATE\""),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----",
                "not a sound private key for ECDSA P-256",
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
