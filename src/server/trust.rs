//! Trust material of what runs here, for whoever asks the server for it.

use super::StartError;
use crate::api::TrustFiles;
use crate::bundle::trust_material::TrustMaterial;
use crate::certificate::CaChain;
use crate::config::{Config, LogConfig};
use crate::log::{CtLog, SignatureLog};
use crate::timestamping::TimestampAuthority;

/// The parts that it names.
pub struct Parts<'p> {
    pub chain: &'p CaChain,
    pub log: Option<&'p CtLog>,
    pub signatures: Option<&'p SignatureLog>,
    pub timestamps: Option<&'p TimestampAuthority>,
}

/// The files that are served; `None` where clients have no address to be told.
pub fn files(config: &Config, parts: &Parts<'_>) -> Result<Option<TrustFiles>, StartError> {
    if !config.has_address() {
        tracing::info!(
            "no trust material is served: public_url is not set, and listen is no address to connect to"
        );
        return Ok(None);
    }
    let log = match &config.log {
        LogConfig::External(log) => Some((log.url.clone(), log.public_key.clone())),
        LogConfig::Embedded(_) | LogConfig::None => {
            parts.log.map(|log| (config.log_url(), log.public_key().to_vec()))
        }
    };
    let failed = |error: String| StartError::Failed(format!("the trust material: {error}"));
    let also =
        config.also_trusted().map_err(|error| StartError::Configuration(format!("trust.also: {error}")))?;
    let mut material =
        TrustMaterial::new(config.base_url(), log, parts.chain).map_err(failed)?.with_also(also);
    if let Some(log) = parts.signatures {
        material = material.with_signature_log(log.public_key(), log.origin()).map_err(failed)?;
    }
    if let Some(authority) = parts.timestamps {
        material = material.with_timestamps(authority.chain());
    }
    Ok(Some(TrustFiles::new(&material.files())))
}
