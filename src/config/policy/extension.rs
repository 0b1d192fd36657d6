//! The extensions that an allowing rule adds.

use super::against::Against;
use crate::config::reader::{Field, Section};
use crate::config::values::quoted;
use crate::identity::extensions::{ClaimsArc, own_extension};
use crate::policy::ClaimExtension;
use der::asn1::ObjectIdentifier;

/// How many a rule may add: each is in the certificate, in the log, for ever.
const MOST: usize = 32;

/// `extensions: [{ oid, claim }]`
pub fn read_all(
    field: &Field<'_>,
    issuers: Option<&[String]>,
    against: &Against<'_>,
) -> Option<Vec<ClaimExtension>> {
    let items = field.items()?;
    if items.len() > MOST {
        field.error(format!("has {} extensions; {MOST} are possible", items.len()));
        return None;
    }
    let mut read: Vec<ClaimExtension> = Vec::new();
    let mut sound = true;
    for item in &items {
        match item.section().and_then(|section| read_one(&section, issuers, against)) {
            Some(extension) if read.iter().any(|other| other.oid == extension.oid) => {
                item.error(format!(
                    "has the oid {} of an extension before it; a certificate has each once",
                    extension.oid
                ));
                sound = false;
            }
            Some(extension) => read.push(extension),
            None => sound = false,
        }
    }
    sound.then_some(read)
}

fn read_one(
    section: &Section<'_>,
    issuers: Option<&[String]>,
    against: &Against<'_>,
) -> Option<ClaimExtension> {
    let oid = section
        .require("oid", "write an object identifier below your IANA private enterprise number")
        .and_then(|field| field.parse_scalar(|text| read_oid(text, against)));
    let claim = section
        .require("claim", "name the claim that goes in")
        .and_then(|field| read_claim(&field, issuers, against));
    section.report_unknown();
    Some(ClaimExtension { oid: oid?, claim: claim? })
}

fn read_oid(text: &str, against: &Against<'_>) -> Result<ObjectIdentifier, String> {
    let own = ClaimsArc::default();
    own_extension(text, against.claims_arcs().chain([&own]))
}

fn read_claim(field: &Field<'_>, issuers: Option<&[String]>, against: &Against<'_>) -> Option<String> {
    let name = field.text()?;
    if name.is_empty() || name.chars().any(char::is_control) {
        field.error("is no name of a claim");
        return None;
    }
    for entry in against.entries(issuers) {
        let claims = entry.kind.claims();
        if let Some(meant) = claims.meant_by(name) {
            field.error(format!(
                "{} is no claim of {}; did you mean {meant}?",
                quoted(name),
                entry.kind.name()
            ));
            return None;
        }
        if !claims.has_text(name) {
            field.error(format!(
                "{} is not a text in tokens of {}, and only texts go into certificates",
                quoted(name),
                entry.kind.name()
            ));
            return None;
        }
    }
    if name.starts_with("user_") || name == "email" {
        field.warning("is about a person, and a certificate is public for ever");
    }
    Some(name.to_owned())
}
