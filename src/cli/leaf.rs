//! A signing certificate as the commands show it: names in place of object identifiers, the SCT in words.

use super::encoding;
use crate::certificate::inspect::{AlternativeName, ExtensionValue, Inspected};
use crate::environment::UnixMillis;
use crate::identity::extensions::{self, ClaimsArc, name_of};
use crate::transparency::sct::ReceivedSct;
use serde_json::{Value, json};
use std::ops::Deref;

/// A certificate with its SCTs. Everything that [`Inspected`] knows is here as well.
#[derive(Clone)]
pub struct Leaf {
    inspected: Inspected,
    scts: Result<Vec<ReceivedSct>, String>,
}

impl Deref for Leaf {
    type Target = Inspected;

    fn deref(&self) -> &Inspected {
        &self.inspected
    }
}

impl Leaf {
    /// The first certificate of a file, PEM or DER; also the base64 of PEM, as cosign 2 writes it.
    pub fn from_file(bytes: &[u8]) -> Result<Self, String> {
        if bytes.starts_with(b"LS0tLS1") {
            let pem = std::str::from_utf8(bytes).ok().and_then(encoding::from_base64);
            return Self::from_inspected(&pem.ok_or("its base64 is damaged")?);
        }
        Self::from_inspected(bytes)
    }

    fn from_inspected(bytes: &[u8]) -> Result<Self, String> {
        Inspected::parse(bytes).map(Self::new).map_err(|error| error.to_string())
    }

    /// A DER certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        Inspected::from_der(der).map(Self::new).map_err(|error| error.to_string())
    }

    fn new(inspected: Inspected) -> Self {
        let scts = match inspected.sct_list() {
            Some(list) => ReceivedSct::parse_list(list).map_err(|error| error.to_string()),
            None => Err("it has no SCT: it is in no log, or the log is not named in it".to_owned()),
        };
        Self { inspected, scts }
    }

    /// Its signed certificate timestamps, or why there are none.
    pub fn scts(&self) -> Result<&[ReceivedSct], &str> {
        self.scts.as_deref().map_err(String::as_str)
    }

    /// The subject alternative names as text; one in what a CA of this kind issues.
    pub fn sans(&self) -> Vec<String> {
        self.names().iter().map(name_text).collect()
    }

    /// The issuer of the ID token: extension .8 of Fulcio's arc, else .1.
    pub fn oidc_issuer(&self) -> Option<&str> {
        [extensions::ISSUER_V2, extensions::ISSUER]
            .iter()
            .find_map(|oid| self.identity_extensions().iter().find(|extension| extension.oid == *oid)?.text())
    }

    /// Its index in the log, from the SCT.
    pub fn log_index(&self) -> Option<u64> {
        self.scts().ok()?.first()?.place().ok().map(|place| place.index)
    }

    /// The few rows that `request` prints.
    pub fn summary_rows(&self) -> Vec<(String, String)> {
        let mut rows: Vec<_> = self.sans().into_iter().map(|san| ("SAN".to_owned(), san)).collect();
        rows.extend(self.oidc_issuer().map(|issuer| ("issuer".to_owned(), issuer.to_owned())));
        rows.push(("validity".to_owned(), format!("{} to {}", self.not_before(), self.not_after())));
        rows.extend(self.log_index().map(|index| ("log index".to_owned(), index.to_string())));
        rows.push(("serial number".to_owned(), self.serial().to_owned()));
        rows
    }

    /// The same for programs.
    pub fn summary_json(&self) -> Value {
        json!({
            "san": self.sans().first(),
            "issuer": self.oidc_issuer(),
            "not_before": self.not_before().to_string(),
            "not_after": self.not_after().to_string(),
            "log_index": self.log_index(),
            "serial": self.serial(),
        })
    }
}

/// The name of an extension, or its object identifier in dotted form.
pub fn extension_name(extension: &ExtensionValue, arc: &ClaimsArc) -> String {
    name_of(&extension.oid, arc).map_or_else(|| extension.oid.to_string(), str::to_owned)
}

/// The value of an extension: its text, else its octets in hex.
pub fn extension_value(extension: &ExtensionValue) -> String {
    let octets = || format!("hex {}", hex::encode(&extension.content));
    extension.text().map_or_else(octets, str::to_owned)
}

/// An SCT in rows.
pub fn sct_rows(sct: &ReceivedSct) -> Vec<(String, String)> {
    let mut rows = vec![
        ("log id".to_owned(), hex::encode(sct.log_id())),
        ("time".to_owned(), with_millis(sct.timestamp())),
    ];
    rows.push((
        "log index".to_owned(),
        match sct.place() {
            Ok(place) => place.index.to_string(),
            Err(error) => format!("not said ({error})"),
        },
    ));
    rows
}

/// An SCT for programs.
pub fn sct_json(sct: &ReceivedSct) -> Value {
    json!({
        "log_id": hex::encode(sct.log_id()),
        "timestamp_ms": sct.timestamp().0,
        "time": sct.timestamp().to_string(),
        "log_index": sct.place().ok().map(|place| place.index),
    })
}

/// With milliseconds, as logs count.
fn with_millis(at: UnixMillis) -> String {
    let seconds = at.to_string();
    match seconds.strip_suffix('Z') {
        Some(seconds) => format!("{seconds}.{:03}Z", at.0 % 1000),
        None => seconds,
    }
}

fn name_text(name: &AlternativeName) -> String {
    match name {
        AlternativeName::Uri(text) | AlternativeName::Email(text) | AlternativeName::Dns(text) => {
            text.clone()
        }
        AlternativeName::Other { text, .. } => text.clone(),
        AlternativeName::Unknown => "(a name of an unknown kind)".to_owned(),
    }
}
