//! What a server answered, beside what the case recorded.

use super::case::Case;
use crate::support::Answer;
use der::asn1::{Ia5String, Utf8StringRef};
use der::oid::AssociatedOid as _;
use der::{Decode as _, DecodePem as _, Encode as _};
use serde_json::{Map, Value, json};
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};

/// What became of a case.
pub enum Outcome {
    /// The configuration was refused, in these words.
    NotStarted(String),
    Answered(Answer),
}

/// What an answer is, in a word of the table in `docs/MIGRATING.md`.
pub fn class(outcome: &Outcome, differences: &[String]) -> String {
    let Outcome::Answered(answer) = outcome else { return "not started".to_owned() };
    if differences.iter().all(|difference| difference.starts_with("message:")) {
        return "other text".to_owned();
    }
    match answer.status.as_u16() {
        200 | 201 => "other certificate".to_owned(),
        status => status.to_string(),
    }
}

/// Where the answer differs from the recorded one; nothing when it does not.
pub fn differences(case: &Case<'_>, outcome: &Outcome) -> Vec<String> {
    let recorded = &case.raw["answer"];
    if let Some(any) = recorded["any_of"].as_array() {
        let mut all = any.iter().map(|one| differences_to(case, one, outcome));
        return all.find(Vec::is_empty).unwrap_or_else(|| vec!["none of the recorded answers".to_owned()]);
    }
    differences_to(case, recorded, outcome)
}

fn differences_to(case: &Case<'_>, recorded: &Value, outcome: &Outcome) -> Vec<String> {
    let answer = match (outcome, recorded["startup"] == "refused") {
        (Outcome::NotStarted(_), true) => return Vec::new(),
        (Outcome::NotStarted(words), false) => return vec![format!("startup: refused: {words}")],
        (Outcome::Answered(answer), true) => return vec![format!("startup: it started, {}", answer.status)],
        (Outcome::Answered(answer), false) => answer,
    };
    let mut found = Vec::new();
    let mut compare = |what: &str, ours: Value, theirs: &Value| {
        let theirs = case.tree(theirs);
        if ours != theirs {
            found.push(format!("{what}: {ours}, recorded is {theirs}"));
        }
    };
    // gRPC's codes stand where HTTP has statuses.
    let status = match recorded["grpc_code"].as_i64() {
        Some(0) => json!(200),
        Some(_) => json!(400),
        None => recorded["status"].clone(),
    };
    compare("status", json!(answer.status.as_u16()), &status);
    if answer.status.as_u16() != status {
        found.push(format!("body: {}", answer.text()));
        return found;
    }
    let content_type = recorded["headers"]["content-type"].as_str();
    if let Some(content_type) = content_type {
        compare("content type", json!(answer.header("content-type")), &json!(content_type));
    }
    if !recorded["san"].is_null() {
        match issued(answer) {
            Ok(ours) => {
                for (what, mut value) in ours {
                    if what == "extensions" {
                        without_issuers_octets(&mut value, &recorded[&what]);
                    }
                    if recorded.get(&what).is_some() || what == "extensions" {
                        compare(&what, value, &recorded[&what]);
                    }
                }
            }
            Err(error) => compare("certificate", json!(error), &json!("one that parses")),
        }
    } else if let Some(issuers) = recorded["issuers"].as_array() {
        compare("issuers", sorted(&answer.json()["issuers"]), &sorted(&Value::Array(issuers.clone())));
    } else if !recorded["grpc_code"].is_null() {
        let body = answer.json();
        compare("code", body["code"].clone(), &recorded["grpc_code"]);
        compare("message", body["message"].clone(), &recorded["message"]);
    } else if !recorded["code"].is_null() && !answer.body.is_empty() {
        let body = answer.json();
        compare("code", body["code"].clone(), &recorded["code"]);
        compare("message", body["message"].clone(), &recorded["message"]);
    } else if let Some(text) = recorded["body_text"].as_str() {
        compare("body", json!(pems_hidden(answer.text())), &json!(text.trim_end()));
    }
    found
}

/// What of a certificate the fixture records.
fn issued(answer: &Answer) -> Result<Map<String, Value>, String> {
    let chain: Vec<String> = if answer.header("content-type").starts_with("application/json") {
        let body = answer.json();
        let part = ["signedCertificateEmbeddedSct", "signedCertificateDetachedSct"]
            .iter()
            .find_map(|form| body[form]["chain"]["certificates"].as_array().cloned())
            .ok_or("no chain")?;
        part.iter().filter_map(|pem| Some(pem.as_str()?.to_owned())).collect()
    } else {
        let blocks = pem::parse_many(answer.text()).map_err(|error| error.to_string())?;
        blocks.iter().map(pem::encode).collect()
    };
    let leaf = chain.first().ok_or("an empty chain")?;
    let leaf = Certificate::from_pem(format!("{}\n", leaf.trim_end())).map_err(|error| error.to_string())?;
    let tbs = leaf.tbs_certificate();
    let extensions = tbs.extensions().ok_or("no extensions")?;
    let mut identity = Map::new();
    let mut shown = Map::from_iter([("chain_length".to_owned(), json!(chain.len()))]);
    for extension in extensions {
        let (oid, value) = (extension.extn_id.to_string(), extension.extn_value.as_bytes());
        if let Some(number) = oid.strip_prefix("1.3.6.1.4.1.57264.1.") {
            let raw = number.parse::<u8>().is_ok_and(|number| number <= 6);
            let text = if raw { std::str::from_utf8(value).ok() } else { utf8_string(value) };
            let encoding = if raw { "raw" } else { "utf8string" };
            identity
                .insert(oid, json!({ "value": text, "encoding": encoding, "raw_hex": hex::encode(value) }));
        } else if extension.extn_id == SubjectAltName::OID {
            shown.insert("san".to_owned(), alternative_name(value).ok_or("no single name")?);
            shown.insert("san_critical".to_owned(), json!(extension.critical));
        } else if oid == "2.5.29.15" && value == [3, 2, 7, 0x80] {
            shown.insert("ku".to_owned(), json!(["digitalSignature"]));
        } else if extension.extn_id == ExtendedKeyUsage::OID {
            let usages = ExtendedKeyUsage::from_der(value).map_err(|error| error.to_string())?.0;
            let names: Vec<_> = usages.iter().map(|oid| oid.to_string()).collect();
            let is_code_signing = names == ["1.3.6.1.5.5.7.3.3"];
            shown.insert(
                "eku".to_owned(),
                if is_code_signing { json!(["codeSigning"]) } else { json!(names) },
            );
        }
    }
    shown.insert("extensions".to_owned(), Value::Object(identity));
    let validity = tbs.validity();
    let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
    let lifetime = seconds(validity.not_after) - seconds(validity.not_before);
    shown.insert("validity_seconds".to_owned(), json!(lifetime));
    Ok(shown)
}

/// Recorded extensions lack `raw_hex` where the issuer is in them; so ours lose it there too.
fn without_issuers_octets(ours: &mut Value, recorded: &Value) {
    for (oid, extension) in ours.as_object_mut().into_iter().flatten() {
        if recorded[oid.as_str()].get("raw_hex").is_none() {
            extension.as_object_mut().expect("an object").remove("raw_hex");
        }
    }
}

fn utf8_string(der: &[u8]) -> Option<&str> {
    Utf8StringRef::from_der(der).ok().map(|text| text.as_str())
}

fn alternative_name(value: &[u8]) -> Option<Value> {
    let [name] = <[GeneralName; 1]>::try_from(SubjectAltName::from_der(value).ok()?.0).ok()?;
    let text = |text: Ia5String| text.as_str().to_owned();
    Some(match name {
        GeneralName::UniformResourceIdentifier(uri) => json!({ "type": "uri", "value": text(uri) }),
        GeneralName::Rfc822Name(address) => json!({ "type": "email", "value": text(address) }),
        GeneralName::OtherName(other) => {
            let der = other.value.to_der().ok()?;
            json!({ "type": "other-name", "oid": other.type_id.to_string(), "tag": der[0], "value": utf8_string(&der)? })
        }
        other => json!({ "type": format!("{other:?}") }),
    })
}

fn sorted(issuers: &Value) -> Value {
    let mut issuers = issuers.as_array().cloned().unwrap_or_default();
    let name = |issuer: &Value| {
        let member = |name: &str| issuer[name].as_str().unwrap_or_default().to_owned();
        [member("issuerUrl"), member("wildcardIssuerUrl"), member("audience")]
    };
    issuers.sort_by_key(name);
    Value::Array(issuers)
}

/// A body with every certificate as `${PEM}`.
fn pems_hidden(body: &str) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut hidden = String::new();
    let mut rest = body;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        hidden.push_str(before);
        hidden.push_str("${PEM}");
        rest = after.split_once(END).map_or("", |(_, rest)| rest);
    }
    hidden.push_str(rest);
    hidden.trim_end().to_owned()
}
