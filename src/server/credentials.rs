//! Main credentials of the broker's targets: where they come from, and the key that seals them in the store.

use super::StartError;
use super::environment::Environment;
use super::start::read_capped;
use crate::config::broker::{CredentialSource, TargetConfig};
use crate::leasing::ports::Sealing;
use crate::leasing::{SealKey, Secret, open_sealed_token, place_of_sealed_token};
use std::collections::BTreeMap;
use std::path::Path;
use zeroize::Zeroizing;

/// The longest main credential, in octets, with the line's end.
pub const LONGEST: u64 = 1024;

/// What operators have sealed into the store, by its place there.
pub(super) type SealedTokens = BTreeMap<String, Vec<u8>>;

/// The key in this file, which `broker.seal_key` names.
///
/// # Errors
/// [`StartError::Configuration`]: it cannot be read, or is none.
pub fn seal_key(path: &Path, environment: &Environment) -> Result<SealKey, StartError> {
    let unusable = |why: &str| {
        let path = path.display();
        StartError::Configuration(format!(
            "broker.seal_key: {path}: {why}; `countersign broker seal-key FILE` makes one"
        ))
    };
    let text = read(path).and_then(|octets| line(&octets)).map_err(|error| unusable(&error))?;
    SealKey::parse(&text, environment.random.clone()).ok_or_else(|| unusable("is not 32 octets in hex"))
}

/// A main credential: one word, with nothing behind it but line breaks.
///
/// # Errors
/// It is none, in words that do not repeat it.
pub fn credential(octets: &[u8]) -> Result<Secret, String> {
    let text = line(octets)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("is no token: one word of printable ASCII is expected".to_owned());
    }
    Ok(Secret::new(text.to_string()))
}

/// The configured main credential of a target.
pub(super) fn of_target(
    target: &TargetConfig,
    sealed: &SealedTokens,
    sealing: Option<&dyn Sealing>,
) -> Result<Secret, StartError> {
    let unusable =
        |why: String| StartError::Configuration(format!("broker.targets: {}: token: {why}", target.name));
    match &target.token {
        CredentialSource::File(path) => {
            let read = read(path).map_err(|error| unusable(format!("{}: {error}", path.display())))?;
            credential(&read).map_err(unusable)
        }
        CredentialSource::Environment(name) => {
            let set = std::env::var(name).map(Zeroizing::new);
            let set = set.map_err(|_| unusable(format!("the environment variable {name} is not set")))?;
            credential(set.as_bytes()).map_err(unusable)
        }
        CredentialSource::Sealed => {
            let TargetConfig { name, url, .. } = target;
            let way_out =
                format!("`countersign broker seal-token --config FILE --target {name}` puts one there");
            let record = sealed.get(&place_of_sealed_token(name, url)).ok_or_else(|| {
                unusable(format!(
                    "is sealed, and the data directory has none for this target at {url}; {way_out}"
                ))
            })?;
            // The configuration has asked for the key already.
            let sealing = sealing.ok_or_else(|| unusable("there is no seal key".to_owned()))?;
            open_sealed_token(name, url, record, sealing).map_err(|why| {
                unusable(format!("{why}; put the old seal key back, or a new token: {way_out}"))
            })
        }
    }
}

/// One credential that lies in two places: to one of the two instances it would be given away, and were one target to replace it, the other's would be
/// dead. Each is its target's name and the SHA-256.
pub(super) fn refuse_shared(targets: &[(&str, String)]) -> Result<(), StartError> {
    for (at, (name, configured)) in targets.iter().enumerate() {
        if let Some((first, _)) = targets.iter().take(at).find(|(_, other)| other == configured) {
            return Err(StartError::Configuration(format!(
                "broker.targets: {name}: token: is the credential of target {first} too, wherever the two lie: it would be sent to both, and a rotation of \
                 one would end the other's; give each its own"
            )));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    read_capped(path, LONGEST).map(Zeroizing::new).map_err(|error| error.to_string())
}

/// A file's one line.
fn line(octets: &[u8]) -> Result<Zeroizing<String>, String> {
    let text = std::str::from_utf8(octets).map_err(|_| "is not text".to_owned())?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}
