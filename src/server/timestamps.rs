//! The timestamp authority, put together: its files, the logs that attest times, other machines' clocks.

use super::StartError;
use super::environment::Environment;
use super::start::read_capped;
use crate::certificate::{CaChain, TimestampChain};
use crate::config::{NtpConfig, TimestampsConfig, TimestampsMaterial};
use crate::outbound::sntp::{self, Own};
use crate::signer::TimestampKey;
use crate::telemetry::metrics::Metrics;
use crate::timestamping::{Attested, Surroundings, TimestampAuthority};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The largest chain file, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;
/// How often other clocks are asked.
const NTP_INTERVAL: Duration = Duration::from_secs(600);
/// How soon again after none of them has answered, or while they disagree with ours.
const NTP_AGAIN: Duration = Duration::from_secs(30);

/// What an ephemeral CA has made for its timestamp authority: chain and key, as PEM.
pub struct Ephemeral {
    pub chain: String,
    pub key: zeroize::Zeroizing<String>,
}

/// The authority of the configuration.
pub fn open(
    config: &TimestampsConfig,
    ephemeral: Option<Ephemeral>,
    ca: &CaChain,
    attested: Arc<dyn Attested>,
    metrics: &Arc<Metrics>,
    environment: &Environment,
) -> Result<TimestampAuthority, StartError> {
    let wrong = StartError::Configuration;
    let (chain, key) = match (&config.material, ephemeral) {
        (TimestampsMaterial::Files { certificates, key }, _) => from_files(certificates, key, environment)?,
        (TimestampsMaterial::Ephemeral, Some(Ephemeral { chain, key })) => {
            let failed = |error: String| StartError::Failed(format!("timestamps.ephemeral: {error}"));
            let chain =
                TimestampChain::from_pem(chain.as_bytes()).map_err(|error| failed(error.to_string()))?;
            let key = TimestampKey::from_pem(key.as_bytes(), &chain).map_err(failed)?;
            (chain, key)
        }
        (TimestampsMaterial::Ephemeral, None) => {
            return Err(wrong("timestamps.ephemeral has a use only beside ca.ephemeral".into()));
        }
    };
    if chain.certificates().last() != ca.certificates().last() {
        tracing::warn!(
            "the timestamp authority has another root than the CA; trust material has to name both"
        );
    }
    let around = Surroundings {
        signer: Arc::new(key),
        attested,
        clock: environment.clock.clone(),
        stopwatch: environment.stopwatch.clone(),
        random: environment.random.clone(),
        observer: metrics.clone(),
    };
    TimestampAuthority::new(chain, config.policy, config.accuracy, around)
        .map_err(|error| StartError::Failed(error.to_string()))
}

/// The chain in a file, and its key in another.
pub fn from_files(
    certificates: &Path,
    key: &Path,
    environment: &Environment,
) -> Result<(TimestampChain, TimestampKey), StartError> {
    let wrong = StartError::Configuration;
    let unusable =
        |problem: String| wrong(format!("timestamps.certificates: {}: {problem}", certificates.display()));
    let pem = read_capped(certificates, MOST_BYTES).map_err(|error| unusable(error.to_string()))?;
    let chain = TimestampChain::from_pem(&pem).map_err(|error| unusable(error.to_string()))?;
    chain.check_validity(environment.clock.now()).map_err(|error| unusable(error.to_string()))?;
    let key = TimestampKey::open(key, &chain).map_err(|error| wrong(format!("timestamps.key: {error}")))?;
    Ok((chain, key))
}

/// Asks the servers every few minutes, for as long as the authority lives. The middle of their answers counts, so one that is
/// wrong among three moves nothing.
pub async fn compare(authority: Weak<TimestampAuthority>, ntp: NtpConfig, environment: Environment) {
    loop {
        let own = Own {
            clock: &*environment.clock,
            stopwatch: &*environment.stopwatch,
            random: &*environment.random,
        };
        let mut offsets = Vec::new();
        for (host, port) in &ntp.servers {
            match sntp::offset(host, *port, own).await {
                Ok(offset) => offsets.push(offset),
                Err(error) => tracing::warn!(server = host, error, "an NTP server gave no time"),
            }
        }
        let Some(authority) = authority.upgrade() else { return };
        let wait = match middle(offsets) {
            None => NTP_AGAIN,
            Some(offset) => {
                authority.heard(offset, ntp.tolerance);
                if u128::from(offset.unsigned_abs()) > ntp.tolerance.as_millis() {
                    tracing::error!(
                        offset_ms = offset,
                        "the clock is not that of the NTP servers; no timestamps"
                    );
                    NTP_AGAIN
                } else {
                    NTP_INTERVAL
                }
            }
        };
        drop(authority);
        tokio::time::sleep(wait).await;
    }
}

/// The median; of two in the middle the one nearer to zero.
fn middle(mut offsets: Vec<i64>) -> Option<i64> {
    offsets.sort_unstable();
    let last = offsets.len().checked_sub(1)?;
    let (low, high) = (*offsets.get(last / 2)?, *offsets.get(offsets.len() / 2)?);
    Some(if low.unsigned_abs() <= high.unsigned_abs() { low } else { high })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_clock_among_three_moves_nothing() {
        assert_eq!(middle(vec![]), None);
        assert_eq!(middle(vec![7]), Some(7));
        assert_eq!(middle(vec![90_000, -3]), Some(-3));
        assert_eq!(middle(vec![90_000, -3, 5]), Some(5));
        assert_eq!(middle(vec![-90_000, i64::MIN, -3, 5]), Some(-3));
    }
}
