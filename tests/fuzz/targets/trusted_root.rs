//! A `trusted_root.json` that somebody gave a verifier.

use super::config::with_file;
use countersign::bundle::TrustedRoot;
use countersign::cli::material::TrustMaterial;
use countersign::transparency::sha256;

/// What is read names every log by the hash of its key, and has a chain that holds; a refusal has words, and a place.
pub fn target(data: &[u8]) {
    match TrustedRoot::from_json(data) {
        Err(error) => assert!(!error.detail().is_empty() && !error.place().is_empty()),
        Ok(root) => {
            for authority in root.certificate_authorities().iter().chain(root.timestamp_authorities()) {
                assert!(authority.own.is_some() || authority.authorities.is_some());
                assert!(
                    authority.valid_for.end.is_some()
                        || authority.valid_for.contains(authority.valid_for.start)
                );
            }
        }
    }
    with_file("trusted_root.json", data, |path| {
        let mut material = TrustMaterial::default();
        match material.add_trusted_root(path) {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(()) => {
                assert!(!material.chains.is_empty());
                for log in &material.logs {
                    assert_eq!(log.id, sha256(&log.spki));
                    assert!(material.log(&log.id).is_some());
                }
            }
        }
    });
}
