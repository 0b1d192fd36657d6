//! Where to sign: `SigningConfig` v0.2 of `sigstore_trustroot.proto` in JSON, or the client trust config around it.

use super::error::{Problem, VerificationError, problem};
use super::json::Number;
use super::trusted_root::{TimeRange, Window, window};
use crate::environment::UnixMillis;
use crate::protojson::{objects, optional};
use serde::Deserialize;

/// The largest file that is read, in octets.
pub const MAX_SIGNING_CONFIG: usize = 1024 * 1024;

/// The API that is spoken here, for each sort of service.
const CA_VERSION: u64 = 1;
const LOG_VERSION: u64 = 2;
const TIMESTAMP_VERSION: u64 = 1;

/// The services of one Sigstore.
#[derive(Clone, Debug)]
pub struct SigningConfig {
    cas: Vec<Service>,
    logs: (Vec<Service>, Selector),
    timestamp_authorities: (Vec<Service>, Selector),
}

#[derive(Clone, Debug)]
struct Service {
    url: String,
    version: u64,
    valid_for: Window,
}

/// How many services of a sort sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selector {
    /// As many, and no fewer; 1 for `ANY`.
    Exactly(usize),
    /// Every one.
    All,
}

impl SigningConfig {
    /// Reads the JSON.
    pub fn from_json(text: &[u8]) -> Result<Self, VerificationError> {
        if text.len() > MAX_SIGNING_CONFIG {
            return Err(malformed(format!("larger than {MAX_SIGNING_CONFIG} octets")));
        }
        let file: File = serde_json::from_slice(text).map_err(|error| malformed(error.to_string()))?;
        let config = file.signing_config.map_or(file.config, |config| *config);
        if config.media_type.as_deref() != Some("application/vnd.dev.sigstore.signingconfig.v0.2+json") {
            return Err(malformed("`mediaType` is not a signing config's of version 0.2".to_owned()));
        }
        let services = |name: &str, services: Vec<ServiceMessage>| {
            let read = services.into_iter().map(ServiceMessage::read).collect::<Result<Vec<_>, _>>();
            read.map_err(|words| malformed(format!("`{name}`: {words}")))
        };
        Ok(Self {
            cas: services("caUrls", config.ca_urls)?,
            logs: (services("rekorTlogUrls", config.rekor_tlog_urls)?, selector(config.rekor_tlog_config)?),
            timestamp_authorities: (services("tsaUrls", config.tsa_urls)?, selector(config.tsa_config)?),
        })
    }

    /// The CA to ask: of those that count now, the newest.
    pub fn ca(&self, now: UnixMillis) -> Result<&str, VerificationError> {
        let found = select(&self.cas, Selector::Exactly(1), CA_VERSION, now, "caUrls")?;
        found.first().copied().ok_or_else(|| malformed("`caUrls` names none".to_owned()))
    }

    /// The signature logs to write to.
    pub fn logs(&self, now: UnixMillis) -> Result<Vec<&str>, VerificationError> {
        select(&self.logs.0, self.logs.1, LOG_VERSION, now, "rekorTlogUrls")
    }

    /// The timestamp authorities to ask: whole URLs.
    pub fn timestamp_authorities(&self, now: UnixMillis) -> Result<Vec<&str>, VerificationError> {
        select(&self.timestamp_authorities.0, self.timestamp_authorities.1, TIMESTAMP_VERSION, now, "tsaUrls")
    }
}

fn malformed(words: String) -> VerificationError {
    problem(Problem::SigningConfigMalformed, "signing config", words)
}

/// Of the services that count now and speak that version, the newest first.
fn select<'c>(
    services: &'c [Service],
    selector: Selector,
    version: u64,
    now: UnixMillis,
    name: &str,
) -> Result<Vec<&'c str>, VerificationError> {
    let counts = |service: &&Service| service.version == version && service.valid_for.contains(now);
    let mut found: Vec<_> = services.iter().filter(counts).collect();
    found.sort_by_key(|service| std::cmp::Reverse(service.valid_for.start));
    let wanted = match selector {
        Selector::Exactly(count) => count,
        Selector::All => found.len().max(1),
    };
    if found.len() < wanted {
        let words = format!(
            "`{name}`: {} of them count at {now} and speak version {version}, wanted: {wanted}",
            found.len()
        );
        return Err(malformed(words));
    }
    Ok(found.into_iter().take(wanted).map(|service| service.url.as_str()).collect())
}

#[derive(Deserialize)]
struct File {
    #[serde(default, rename = "signingConfig", alias = "signing_config", deserialize_with = "optional")]
    signing_config: Option<Box<ConfigMessage>>,
    #[serde(flatten)]
    config: ConfigMessage,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigMessage {
    #[serde(default, alias = "media_type")]
    media_type: Option<String>,
    #[serde(default, alias = "ca_urls", deserialize_with = "objects")]
    ca_urls: Vec<ServiceMessage>,
    #[serde(default, alias = "rekor_tlog_urls", deserialize_with = "objects")]
    rekor_tlog_urls: Vec<ServiceMessage>,
    #[serde(default, alias = "rekor_tlog_config", deserialize_with = "optional")]
    rekor_tlog_config: Option<SelectorMessage>,
    #[serde(default, alias = "tsa_urls", deserialize_with = "objects")]
    tsa_urls: Vec<ServiceMessage>,
    #[serde(default, alias = "tsa_config", deserialize_with = "optional")]
    tsa_config: Option<SelectorMessage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceMessage {
    url: String,
    #[serde(alias = "major_api_version")]
    major_api_version: Number,
    #[serde(default, alias = "valid_for", deserialize_with = "optional")]
    valid_for: Option<TimeRange>,
}

impl ServiceMessage {
    fn read(self) -> Result<Service, String> {
        Ok(Service { url: self.url, version: self.major_api_version.0, valid_for: window(self.valid_for)? })
    }
}

#[derive(Deserialize)]
struct SelectorMessage {
    selector: String,
    #[serde(default)]
    count: Option<Number>,
}

fn selector(message: Option<SelectorMessage>) -> Result<Selector, VerificationError> {
    let Some(message) = message else { return Ok(Selector::Exactly(1)) };
    match (message.selector.as_str(), message.count) {
        ("ANY", _) => Ok(Selector::Exactly(1)),
        ("ALL", _) => Ok(Selector::All),
        ("EXACT", Some(Number(count @ 1..=8))) => Ok(Selector::Exactly(count as usize)),
        _ => Err(malformed("a selector is none of ANY, ALL, EXACT with a count of 1 to 8".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(selector: serde_json::Value) -> Result<SigningConfig, VerificationError> {
        let service = |url: &str, version: u64, start: &str, end: Option<&str>| json!({ "url": url, "majorApiVersion": version, "validFor": { "start": start, "end": end }, "operator": "x" });
        let document = json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [service("https://ca", 1, "2026-01-01T00:00:00Z", None)],
            "rekorTlogUrls": [
                service("https://one", 2, "2026-01-01T00:00:00Z", None),
                service("https://two", 2, "2026-02-01T00:00:00Z", None),
                service("https://old", 2, "2025-01-01T00:00:00Z", Some("2026-01-01T00:00:00Z")),
                service("https://v1", 1, "2026-02-02T00:00:00Z", None),
            ],
            "rekorTlogConfig": selector,
            "tsaUrls": [],
        });
        SigningConfig::from_json(document.to_string().as_bytes())
    }

    #[test]
    fn of_the_services_that_count_the_newest_sign() {
        let now = super::super::trusted_root::time("2026-03-01T00:00:00Z").unwrap();
        let logs = |selector| {
            config(selector)
                .and_then(|config| Ok(config.logs(now)?.into_iter().map(str::to_owned).collect::<Vec<_>>()))
        };
        assert_eq!(logs(json!(null)).unwrap(), ["https://two"]);
        assert_eq!(logs(json!({ "selector": "ANY" })).unwrap(), ["https://two"]);
        assert_eq!(logs(json!({ "selector": "ALL" })).unwrap(), ["https://two", "https://one"]);
        assert_eq!(logs(json!({ "selector": "EXACT", "count": 2 })).unwrap(), ["https://two", "https://one"]);
        assert!(logs(json!({ "selector": "EXACT", "count": 3 })).is_err());
        assert!(logs(json!({ "selector": "EXACT" })).is_err());
        let config = config(json!(null)).unwrap();
        assert_eq!(config.ca(now), Ok("https://ca"));
        assert!(config.timestamp_authorities(now).is_err());
        assert!(config.ca(UnixMillis(0)).is_err());
    }
}
