//! `timestamps:`, the timestamp authority.

use super::reader::{Field, Section};
use super::{issuers, read_key, read_path, values};
use crate::certificate::{CaAlgorithm, TimestampChain};
use crate::timestamping::{DEFAULT_ACCURACY, DEFAULT_POLICY};
use der::asn1::ObjectIdentifier;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ACCURACY_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
const TOLERANCE_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The default of `timestamps.ntp.tolerance`.
const DEFAULT_TOLERANCE: Duration = Duration::from_secs(1);
/// More servers than anybody compares with.
const MOST_SERVERS: usize = 8;
/// The port of NTP (RFC 5905 §7.2).
const NTP_PORT: u16 = 123;

/// `timestamps:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampsConfig {
    /// Its certificates and its key.
    pub material: TimestampsMaterial,
    /// The policy that tokens name.
    pub policy: ObjectIdentifier,
    /// How far tokens' times may be off.
    pub accuracy: Duration,
    /// Other clocks to compare with.
    pub ntp: Option<NtpConfig>,
}

/// Where the authority's certificates and key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimestampsMaterial {
    /// From files.
    Files {
        /// PEM, the authority's own certificate first, root last.
        certificates: PathBuf,
        /// PEM private key of the first.
        key: PathBuf,
    },
    /// Made with an ephemeral CA.
    Ephemeral,
}

/// `timestamps.ntp:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NtpConfig {
    /// Host and port of each server.
    pub servers: Vec<(String, u16)>,
    /// How far our clock may be from theirs.
    pub tolerance: Duration,
}

impl TimestampsConfig {
    /// The file of the key, where there is one.
    pub fn key(&self) -> Option<&Path> {
        match &self.material {
            TimestampsMaterial::Files { key, .. } => Some(key),
            TimestampsMaterial::Ephemeral => None,
        }
    }
}

pub(super) fn read(section: &Section<'_>, directory: &Path) -> Option<TimestampsConfig> {
    let material = match section.has("ephemeral").then(|| section.get("ephemeral")) {
        Some(field) => {
            field?.section()?.report_unknown();
            Some(TimestampsMaterial::Ephemeral)
        }
        None => read_files(section, directory),
    };
    let policy = match section.get("policy") {
        Some(field) => field.parse_scalar(|text| {
            ObjectIdentifier::new(text).map_err(|_| {
                format!("{} is no object identifier; write numbers joined by dots", values::quoted(text))
            })
        }),
        None => Some(DEFAULT_POLICY),
    };
    let accuracy = match section.get("accuracy") {
        Some(field) => field.parse_scalar(|text| values::duration(text, ACCURACY_BOUNDS)),
        None => Some(DEFAULT_ACCURACY),
    };
    let ntp = section.get("ntp").map(|field| read_ntp(&field.section()?));
    section.report_unknown();
    Some(TimestampsConfig {
        material: material?,
        policy: policy?,
        accuracy: accuracy?,
        ntp: match ntp {
            Some(ntp) => Some(ntp?),
            None => None,
        },
    })
}

fn read_files(section: &Section<'_>, directory: &Path) -> Option<TimestampsMaterial> {
    let certificates = section
        .require(
            "certificates",
            "name the PEM file of the chain, the authority's certificate first, root last",
        )
        .and_then(|field| read_chain(&field, directory));
    let key = section
        .require("key", "name the PEM file of the timestamp certificate's private key")
        .and_then(|field| read_key(&field, directory));
    Some(TimestampsMaterial::Files { certificates: certificates?, key: key? })
}

fn read_chain(field: &Field<'_>, directory: &Path) -> Option<PathBuf> {
    let path = read_path(field, directory)?;
    let pem = issuers::read_unwatched_file(field, directory);
    match pem.as_deref().map(TimestampChain::from_pem) {
        Some(Err(error)) => {
            field.error(format!("{}: {error}", path.display()));
            return None;
        }
        Some(Ok(chain)) if chain.algorithm() == CaAlgorithm::Ed25519 => {
            field.warning("has an Ed25519 key: old clients refuse such timestamps");
        }
        _ => {}
    }
    Some(path)
}

fn read_ntp(section: &Section<'_>) -> Option<NtpConfig> {
    let servers =
        section.require("servers", "list hosts, or addresses, perhaps with a port").and_then(|field| {
            let items = field.items()?;
            if items.is_empty() || items.len() > MOST_SERVERS {
                field.error(format!("has {} servers; 1 to {MOST_SERVERS} are possible", items.len()));
                return None;
            }
            items.iter().map(|item| item.parse(server)).collect::<Option<Vec<_>>>()
        });
    let tolerance = match section.get("tolerance") {
        Some(field) => field.parse_scalar(|text| values::duration(text, TOLERANCE_BOUNDS)),
        None => Some(DEFAULT_TOLERANCE),
    };
    section.report_unknown();
    Some(NtpConfig { servers: servers?, tolerance: tolerance? })
}

/// `host`, `host:port`, `[address]:port`.
fn server(text: &str) -> Result<(String, u16), String> {
    let wrong =
        || format!("{} is no host; write time.example.com, or time.example.com:123", values::quoted(text));
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().map_err(|_| wrong())?)
        }
        _ => (text, NTP_PORT),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    if host.is_empty() || host.len() > 253 || !host.chars().all(fits) || port == 0 {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_hosts_perhaps_with_a_port() {
        let of = |host: &str, port| Ok((host.to_owned(), port));
        assert_eq!(server("time.example.com"), of("time.example.com", 123));
        assert_eq!(server("192.0.2.1:1123"), of("192.0.2.1", 1123));
        assert_eq!(server("[2001:db8::1]:1123"), of("2001:db8::1", 1123));
        assert_eq!(server("2001:db8::1"), of("2001:db8::1", 123));
        for wrong in ["", "a:b", "a:0", "a:99999", "ntp://a", "a b", ":123"] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
    }
}
