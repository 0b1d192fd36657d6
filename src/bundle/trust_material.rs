//! The three files that tell clients whom to trust and where to ask.
//!
//! Sigstore's `TrustedRoot` v0.1, `SigningConfig` v0.2 and `ClientTrustConfig` v0.1 (github.com/sigstore/protobuf-specs) in
//! JSON, in the forms that cosign, sigstore-python, -js, -go and -java all take.

use super::error::VerificationError;
use super::trusted_root::TrustedRoot;
use crate::certificate::inspect::Inspected;
use crate::certificate::{CaChain, TimestampChain};
use crate::environment::UnixMillis;
use crate::transparency::note::{NoteKey, NoteKeyKind};
use crate::transparency::{Hash, sha256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The name of the trusted root's file.
pub const TRUSTED_ROOT: &str = "trusted_root.json";
/// The name of the signing config's file, with the version of its format: another version is another file.
pub const SIGNING_CONFIG: &str = "signing_config.v0.2.json";
/// The name of the file with both.
pub const CLIENT_TRUST_CONFIG: &str = "client_trust_config.json";

/// What clients need to know of a CA, its logs and its timestamp authority.
pub struct TrustMaterial {
    /// The CA's base URL, without a slash at its end.
    ca_url: String,
    /// DER, issuing certificate first.
    chain: Vec<Vec<u8>>,
    /// `O` and `CN` of the root.
    organization: String,
    common_name: String,
    /// When the CA began: the latest notBefore of the chain.
    ca_start: UnixMillis,
    /// When the log began, as far as anybody knows: the root's notBefore, which outlives issuing certificates.
    log_start: UnixMillis,
    /// The log's base URL and its key, DER SubjectPublicKeyInfo; `None`: certificates are logged nowhere.
    log: Option<(String, Vec<u8>)>,
    /// The signature log, at the CA's URL.
    signature_log: Option<SignatureLog>,
    /// The timestamp authority's certificates, DER, its own first; and since when they are valid.
    timestamps: Option<(Vec<Vec<u8>>, UnixMillis)>,
    /// What else is trusted: from before a key was replaced, or of one to come.
    also: Vec<AlsoTrusted>,
    /// When all windows end.
    end: Option<UnixMillis>,
}

/// A signature log's key.
struct SignatureLog {
    spki: Vec<u8>,
    kind: NoteKeyKind,
    log_id: Hash,
}

/// A trusted root whose CAs, logs and timestamp authorities are named beside the present ones, windows and all.
#[derive(Clone, Debug)]
pub struct AlsoTrusted(Value);

impl AlsoTrusted {
    /// Reads `trusted_root.json`.
    ///
    /// # Errors
    /// What [`TrustedRoot::from_json`] refuses.
    pub fn from_json(text: &[u8]) -> Result<Self, VerificationError> {
        TrustedRoot::from_json(text)?;
        let malformed = |error: serde_json::Error| {
            super::error::problem(super::Problem::TrustedRootMalformed, "trusted root", error.to_string())
        };
        let document: Value = serde_json::from_slice(text).map_err(malformed)?;
        let mut document = in_camel_case(document);
        let root = document.get_mut("trustedRoot").map(Value::take).filter(|root| !root.is_null());
        Ok(Self(root.unwrap_or(document)))
    }
}

/// The same with every member by the name that protobuf's JSON writes: readers take the names of the .proto file too
/// (`raw_bytes`), and other clients get what is written here.
fn in_camel_case(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (camel_case(&name), in_camel_case(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(in_camel_case).collect(),
        plain => plain,
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        name.chars().chain(letters.next().map(|first| first.to_ascii_uppercase())).chain(letters).collect()
    })
}

/// One of the files: the octets that are printed and served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFile {
    /// How it is called.
    pub name: &'static str,
    /// JSON, indented, with a newline at its end.
    pub octets: Vec<u8>,
}

impl TrustFile {
    fn new(name: &'static str, document: &Value) -> Self {
        Self { name, octets: format!("{document:#}\n").into_bytes() }
    }

    /// What a job pins.
    pub fn sha256(&self) -> Hash {
        sha256(&self.octets)
    }
}

/// The digests of all files, as `sha256sum -c` reads them.
pub fn digests(files: &[TrustFile]) -> String {
    files.iter().map(|file| format!("{}  {}\n", hex::encode(file.sha256()), file.name)).collect()
}

/// Below the CA's URL; clients post to it as it stands.
const TIMESTAMP_PATH: &str = "/api/v1/timestamp";

/// The lists of a trusted root, and where their items say who they are.
const LISTS: [(&str, &str); 4] = [
    ("tlogs", "/logId/keyId"),
    ("certificateAuthorities", "/certChain/certificates"),
    ("ctlogs", "/logId/keyId"),
    ("timestampAuthorities", "/certChain/certificates"),
];

impl TrustMaterial {
    /// For a CA at `ca_url` (no slash at its end) and a log by its URL and the DER SubjectPublicKeyInfo of its key.
    ///
    /// # Errors
    /// When the root cannot be read again; a chain that was made has none such.
    pub fn new(ca_url: String, log: Option<(String, Vec<u8>)>, chain: &CaChain) -> Result<Self, String> {
        let root = chain.certificates().last().ok_or("the chain is empty")?;
        let root = Inspected::from_der(root).map_err(|error| format!("the root: {error}"))?;
        Ok(Self {
            ca_url,
            chain: chain.certificates().to_vec(),
            organization: root.subject_organization().unwrap_or_default(),
            common_name: root.subject_common_name().unwrap_or_default(),
            ca_start: chain.not_before(),
            log_start: root.not_before(),
            log,
            signature_log: None,
            timestamps: None,
            also: Vec::new(),
            end: None,
        })
    }

    /// The same with a signature log at the CA's URL, by the DER SubjectPublicKeyInfo of its key.
    ///
    /// # Errors
    /// A key that such a log cannot have.
    pub fn with_signature_log(self, spki: &[u8], origin: &str) -> Result<Self, String> {
        let key = NoteKey::from_spki(spki).map_err(|error| error.to_string())?;
        let signature_log =
            Some(SignatureLog { kind: key.kind(), log_id: key.log_id(origin), spki: spki.to_vec() });
        Ok(Self { signature_log, ..self })
    }

    /// The same with a timestamp authority at the CA's URL.
    #[must_use]
    pub fn with_timestamps(self, chain: &TimestampChain) -> Self {
        Self { timestamps: Some((chain.certificates().to_vec(), chain.not_before())), ..self }
    }

    /// The same with what else is trusted. What stands in it twice, or among the present keys, is named once, as it came first.
    #[must_use]
    pub fn with_also(self, also: Vec<AlsoTrusted>) -> Self {
        Self { also, ..self }
    }

    /// The same with every window of the present keys ending then.
    #[must_use]
    pub fn until(self, end: UnixMillis) -> Self {
        Self { end: Some(end), ..self }
    }

    /// The files, as they are printed and served.
    pub fn files(&self) -> [TrustFile; 3] {
        [
            TrustFile::new(TRUSTED_ROOT, &self.trusted_root()),
            TrustFile::new(SIGNING_CONFIG, &self.signing_config()),
            TrustFile::new(CLIENT_TRUST_CONFIG, &self.client_config()),
        ]
    }

    /// `trusted_root.json`. Binary values are base64 of DER. Go's verifier refuses a log key without `validFor`.
    pub fn trusted_root(&self) -> Value {
        let certificates: Vec<_> =
            self.chain.iter().map(|der| json!({ "rawBytes": STANDARD.encode(der) })).collect();
        let mut root = json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": self.signature_log.iter().map(|log| self.tlog(log)).collect::<Vec<_>>(),
            "certificateAuthorities": [{
                "subject": { "organization": self.organization, "commonName": self.common_name },
                "uri": self.ca_url,
                "certChain": { "certificates": certificates },
                "validFor": self.window(self.ca_start),
            }],
            "ctlogs": self.log.iter().map(|(url, key)| self.ct_log(url, key)).collect::<Vec<_>>(),
            "timestampAuthorities": self.timestamps.iter().map(|(chain, start)| self.timestamp_authority(chain, *start)).collect::<Vec<_>>(),
        });
        for AlsoTrusted(other) in &self.also {
            for (list, identity) in LISTS {
                let (Some(items), Some(known)) = (other[list].as_array(), root[list].as_array_mut()) else {
                    continue;
                };
                for item in items {
                    let same = |it: &Value| it.pointer(identity) == item.pointer(identity);
                    if item.pointer(identity).is_none() || !known.iter().any(same) {
                        known.push(item.clone());
                    }
                }
            }
        }
        root
    }

    fn window(&self, start: UnixMillis) -> Value {
        match self.end {
            None => json!({ "start": start.to_string() }),
            Some(end) => json!({ "start": start.to_string(), "end": end.to_string() }),
        }
    }

    /// Go, Java and JavaScript compare the host of `baseUrl` with the origin of checkpoints.
    fn tlog(&self, log: &SignatureLog) -> Value {
        let details = match log.kind {
            NoteKeyKind::Ed25519 => "PKIX_ED25519",
            NoteKeyKind::EcdsaP256 => "PKIX_ECDSA_P256_SHA_256",
        };
        json!({
            "baseUrl": self.ca_url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(&log.spki),
                "keyDetails": details,
                "validFor": self.window(self.log_start),
            },
            "logId": { "keyId": STANDARD.encode(log.log_id) },
        })
    }

    /// The chain with the authority's own certificate: most clients want it.
    fn timestamp_authority(&self, chain: &[Vec<u8>], start: UnixMillis) -> Value {
        let certificates: Vec<_> =
            chain.iter().map(|der| json!({ "rawBytes": STANDARD.encode(der) })).collect();
        json!({
            "subject": { "organization": self.organization, "commonName": self.common_name },
            "uri": format!("{}{TIMESTAMP_PATH}", self.ca_url),
            "certChain": { "certificates": certificates },
            "validFor": self.window(start),
        })
    }

    fn ct_log(&self, url: &str, key: &[u8]) -> Value {
        json!({
            "baseUrl": url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(key),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": self.window(self.log_start),
            },
            "logId": { "keyId": STANDARD.encode(sha256(key)) },
        })
    }

    /// `signing_config.json`, without selectors for services that are not there: sigstore-js refuses those; and with them for
    /// those that are: cosign and Go end without.
    pub fn signing_config(&self) -> Value {
        let operator = if self.organization.is_empty() { "countersign" } else { &self.organization };
        let service = |url: String, version: u8, start: UnixMillis| {
            json!([{
                "url": url,
                "majorApiVersion": version,
                "validFor": { "start": start.to_string() },
                "operator": operator,
            }])
        };
        let mut document = json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": service(self.ca_url.clone(), 1, self.ca_start),
            "oidcUrls": [],
            "rekorTlogUrls": [],
            "tsaUrls": [],
        });
        if self.signature_log.is_some() {
            document["rekorTlogUrls"] = service(self.ca_url.clone(), 2, self.log_start);
            document["rekorTlogConfig"] = json!({ "selector": "ANY" });
        }
        if let Some((_, start)) = &self.timestamps {
            document["tsaUrls"] = service(format!("{}{TIMESTAMP_PATH}", self.ca_url), 1, *start);
            document["tsaConfig"] = json!({ "selector": "ANY" });
        }
        document
    }

    /// Both in one document.
    pub fn client_config(&self) -> Value {
        json!({
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root(),
            "signingConfig": self.signing_config(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same document by the names of the .proto file.
    fn in_snake_case(value: &Value) -> Value {
        let snake = |name: &str| {
            name.chars().fold(String::new(), |mut name, letter| {
                if letter.is_ascii_uppercase() {
                    name.push('_');
                }
                name.push(letter.to_ascii_lowercase());
                name
            })
        };
        match value {
            Value::Object(members) => {
                members.iter().map(|(name, value)| (snake(name), in_snake_case(value))).collect()
            }
            Value::Array(items) => items.iter().map(in_snake_case).collect(),
            plain => plain.clone(),
        }
    }

    #[test]
    fn what_else_is_trusted_is_named_whatever_its_file_calls_the_members() {
        let text = include_str!("../../tests/fixtures/bundle/trusted_root.json");
        let camel: Value = serde_json::from_str(text).unwrap();
        let snake = in_snake_case(&camel);
        assert!(snake["timestamp_authorities"][0]["cert_chain"].is_object());
        let read = |document: &Value| AlsoTrusted::from_json(document.to_string().as_bytes()).unwrap().0;
        for document in [
            &camel,
            &snake,
            &json!({ "trustedRoot": camel }),
            &json!({ "trusted_root": snake }),
            &json!({ "trustedRoot": null, "mediaType": camel["mediaType"], "tlogs": camel["tlogs"],
                "ctlogs": camel["ctlogs"], "certificate_authorities": camel["certificateAuthorities"],
                "timestamp_authorities": camel["timestampAuthorities"] }),
        ] {
            for (list, _) in LISTS {
                assert_eq!(read(document)[list], camel[list], "{list}");
            }
        }
    }
}
