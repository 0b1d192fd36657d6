//! `countersign inspect`: what a certificate says, in words. It verifies nothing.

use super::leaf::{Leaf, extension_name, extension_value, sct_json, sct_rows};
use super::report::{Paint, table};
use super::{CliError, Output, files};
use crate::certificate::inspect::AlternativeName;
use crate::identity::extensions::ClaimsArc;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Show what a certificate says: every identity extension by name, its SCT, its validity
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Show what a certificate says: every identity extension by name, its SCT, its validity.\n\n\
        Nothing is verified here: anybody can make a certificate that says anything. `countersign verify` tells \
        whether it is true.",
    after_long_help = "Examples:\n  \
        countersign inspect certificate.pem\n  \
        countersign inspect --json certificate.pem | jq .extensions\n  \
        jq -r .verificationMaterial.certificate.rawBytes artifact.sigstore.json \\\n    \
          | base64 -d | countersign inspect -"
)]
pub struct InspectArgs {
    /// The certificate, PEM or DER; `-` is standard input
    #[arg(value_name = "CERT")]
    pub certificate: PathBuf,
    /// The arc of raw GitLab claims, where the operator set their own
    #[arg(long, value_name = "OID", value_parser = ClaimsArc::parse)]
    pub arc: Option<ClaimsArc>,
}

/// Runs the command.
pub fn run(args: InspectArgs, output: &mut Output) -> Result<(), CliError> {
    let file = files::read(&args.certificate, "the certificate")?;
    let leaf = Leaf::from_file(&file).map_err(|words| {
        CliError::refused(format!("{} is no certificate: {words}", args.certificate.display()))
    })?;
    let arc = args.arc.unwrap_or_default();
    output.json(&document(&leaf, &arc))?;
    show(&leaf, &arc, output)
}

fn show(leaf: &Leaf, arc: &ClaimsArc, output: &mut Output) -> Result<(), CliError> {
    let paint = Paint::for_stdout();
    output.say(paint.strong("Certificate"))?;
    output.say(table(&certificate_rows(leaf)).trim_end())?;
    output.say(paint.strong("Identity"))?;
    let rows: Vec<_> = leaf
        .identity_extensions()
        .iter()
        .map(|extension| (extension_name(extension, arc), extension_value(extension)))
        .collect();
    let rows = if rows.is_empty() { "  no identity extension".to_owned() } else { table(&rows) };
    output.say(rows.trim_end())?;
    output.say(paint.strong("Signed certificate timestamp"))?;
    match leaf.scts() {
        Ok(scts) => {
            for sct in scts {
                output.say(table(&sct_rows(sct)).trim_end())?;
            }
        }
        Err(words) => output.say(format_args!("  {words}"))?,
    }
    output.say(paint.doubtful("Nothing of this is verified; `countersign verify` does that."))
}

fn certificate_rows(leaf: &Leaf) -> Vec<(&'static str, String)> {
    let mut rows: Vec<_> = leaf.sans().into_iter().map(|san| ("SAN", san)).collect();
    if !leaf.subject().is_empty() {
        rows.push(("subject", leaf.subject()));
    }
    rows.push(("issued by", leaf.issuer()));
    rows.push(("serial number", leaf.serial().to_owned()));
    rows.push(("valid from", leaf.not_before().to_string()));
    rows.push(("valid to", leaf.not_after().to_string()));
    rows.push(("key", leaf.public_key().to_string()));
    rows.push(("key usage", leaf.key_usage().join(", ")));
    rows.push(("purpose", purpose(leaf)));
    rows.push(("SHA-256", hex::encode(leaf.fingerprint())));
    rows
}

fn purpose(leaf: &Leaf) -> String {
    let mut words = Vec::new();
    if leaf.is_precertificate() {
        words.push("a precertificate: of no use but to be logged".to_owned());
    }
    if leaf.is_ca() {
        words.push("a CA's".to_owned());
    }
    words.push(if leaf.is_for_code_signing() { "code signing" } else { "not for code signing" }.to_owned());
    words.join(", ")
}

/// The whole certificate for programs.
pub(crate) fn document(leaf: &Leaf, arc: &ClaimsArc) -> Value {
    let extensions: Vec<_> = leaf
        .identity_extensions()
        .iter()
        .map(|extension| {
            json!({
                "oid": extension.oid.to_string(),
                "name": crate::identity::extensions::name_of(&extension.oid, arc),
                "value": extension.text(),
                "critical": extension.critical,
                "der": hex::encode(&extension.content),
            })
        })
        .collect();
    let names: Vec<_> = leaf
        .names()
        .iter()
        .zip(leaf.sans())
        .map(|(name, text)| json!({ "kind": kind(name), "value": text }))
        .collect();
    json!({
        "san": leaf.sans().first(),
        "names": names,
        "subject": leaf.subject(),
        "issued_by": leaf.issuer(),
        "serial": leaf.serial(),
        "not_before": leaf.not_before().to_string(),
        "not_after": leaf.not_after().to_string(),
        "key": leaf.public_key().to_string(),
        "key_usage": leaf.key_usage(),
        "extended_key_usage": leaf.extended_key_usages().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "is_ca": leaf.is_ca(),
        "is_precertificate": leaf.is_precertificate(),
        "subject_key_id": leaf.subject_key_id().map(hex::encode),
        "authority_key_id": leaf.authority_key_id().map(hex::encode),
        "sha256": hex::encode(leaf.fingerprint()),
        "extensions": extensions,
        "scts": leaf.scts().map(|scts| scts.iter().map(sct_json).collect::<Vec<_>>()).unwrap_or_default(),
    })
}

const fn kind(name: &AlternativeName) -> &'static str {
    match name {
        AlternativeName::Uri(_) => "uri",
        AlternativeName::Email(_) => "email",
        AlternativeName::Dns(_) => "dns",
        AlternativeName::Other { .. } => "other",
        AlternativeName::Unknown => "unknown",
    }
}
