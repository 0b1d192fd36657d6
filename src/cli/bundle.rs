//! `countersign verify --bundle`, and what `sign` shares with it: files on the outside, [`crate::bundle`] on the inside.

use super::admission::PolicyFile;
use super::report::{Checks, Paint, table};
use super::verify::VerifyArgs;
use super::{CliError, Output, admission, encoding, files, verification};
use crate::bundle::{
    Artifact, Bundle, Expected, Identity, MAX_BUNDLE, MAX_TRUSTED_ROOT, Problem, Signatory, SigningKey,
    TrustedRoot, VerificationError, Verified, Verifier, issuer_of,
};
use crate::transparency::Hash;
use serde_json::{Value, json};
use std::path::Path;

/// Verifies a file with its bundle.
pub fn verify(args: &VerifyArgs, bundle: &Path, output: &mut Output) -> Result<(), CliError> {
    let text = files::read_up_to(bundle, "the bundle", MAX_BUNDLE as u64)?;
    let root =
        args.trusted_root.as_deref().ok_or_else(|| CliError::usage("--bundle needs --trusted-root"))?;
    let policies = args.policies()?;
    let mut verifier = Verifier::new(trusted_root(root)?);
    if let Some(file) = &policies {
        file.warn(output);
        verifier = verifier.policies(file.policies.clone());
    }
    let signatory = signatory(args)?;
    let given = Given::read(&args.certificate)?;
    let verified = Bundle::from_json(&text)
        .and_then(|bundle| verifier.verify(&bundle, given.artifact(), &signatory))
        .map_err(|error| refused_by(&error, policies.as_ref()))?;
    let mut checks = checks(&verified);
    if let Some(certificate) = verified.certificate() {
        let arc = args.arc.clone().unwrap_or_default();
        verification::extensions(&mut checks, certificate, &args.extensions, &arc);
    }
    output.say(checks.to_text(Paint::for_stdout()).trim_end_matches('\n'))?;
    let mut document = document(&verified);
    document["checks"] = checks.to_json();
    if let Some(file) = &policies {
        document["policy"] = json!(verified.admitted_by());
        document["warnings"] = file.warnings_json();
    }
    if !checks.passed() {
        document["verified"] = Value::Bool(false);
        if policies.is_some() {
            // Whoever reads this member alone must not take it for admitted.
            document["policy"] = Value::Null;
        }
        let words = format!("not verified: {}", checks.failures().join(", "));
        return Err(CliError::refused(words).with_json(document));
    }
    output.say(Paint::for_stdout().good("Verified."))?;
    output.say(table(&rows(&verified)).trim_end())?;
    output.json(&document)
}

/// The trusted root in a file.
pub fn trusted_root(path: &Path) -> Result<TrustedRoot, CliError> {
    let text = files::read_up_to(path, "the trusted root", MAX_TRUSTED_ROOT as u64)?;
    TrustedRoot::from_json(&text).map_err(|error| {
        CliError::refused(format!("{} cannot be used: {error}", path.display())).with_json(error_json(&error))
    })
}

/// A verification that failed.
pub fn refused(error: &VerificationError) -> CliError {
    refused_by(error, None)
}

/// The same where policies were asked, or would have been.
fn refused_by(error: &VerificationError, policies: Option<&PolicyFile>) -> CliError {
    let mut words = format!("not verified: {error}\n  {}", error.problem().explanation());
    for line in admission::lines(error) {
        words.push_str("\n  ");
        words.push_str(&line);
    }
    let mut document = error_json(error);
    if let Some(file) = policies {
        document["policy"] = Value::Null;
        document["warnings"] = file.warnings_json();
    }
    CliError::refused(words).with_json(document)
}

fn error_json(error: &VerificationError) -> Value {
    let mut document = json!({
        "verified": false,
        "error": error.to_string(),
        "reason": error.problem().code(),
        "place": error.place(),
        "detail": error.detail(),
    });
    if error.problem() == Problem::NotAdmitted {
        document["policies"] = admission::refused_json(error);
    }
    document
}

fn signatory(args: &VerifyArgs) -> Result<Signatory, CliError> {
    if let Some(path) = &args.key {
        let pem = files::read(path, "the public key")?;
        let refuse = |words: String| CliError::refused(format!("{}: {words}", path.display()));
        let spki = encoding::pem_documents(&pem, "PUBLIC KEY").map_err(refuse)?.swap_remove(0);
        return SigningKey::from_spki(&spki).map(Signatory::Key).map_err(|error| refused(&error));
    }
    if !args.is_identified() {
        return Ok(Signatory::Admitted);
    }
    let name = expected(
        args.certificate_identity.as_deref(),
        args.certificate_identity_regexp.as_deref(),
        "identity",
    )?;
    let issuer = expected(
        args.certificate_oidc_issuer.as_deref(),
        args.certificate_oidc_issuer_regexp.as_deref(),
        "issuer",
    )?;
    Ok(Signatory::Identity(Identity { name, issuer }))
}

fn expected(exactly: Option<&str>, pattern: Option<&str>, what: &str) -> Result<Expected, CliError> {
    match (exactly, pattern) {
        (Some(text), _) if !text.is_empty() => Ok(Expected::Exactly(text.to_owned())),
        (None, Some(pattern)) if !pattern.is_empty() => Expected::matching(pattern)
            .map_err(|error| CliError::usage(format!("the {what}'s regular expression: {error}"))),
        // Empty would be met by a certificate that names nobody.
        _ => Err(CliError::usage(format!("the {what} that is expected is empty"))),
    }
}

/// What was signed, from the command line.
pub enum Given {
    /// A file's octets.
    Octets(Vec<u8>),
    /// Its digest.
    Sha256(Hash),
}

impl Given {
    /// A file, or `sha256:HEX` where no file is called so; `-` is standard input.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        if let Some(hash) = path.to_str().and_then(digest_of)
            && !path.exists()
        {
            return Ok(Self::Sha256(hash));
        }
        let octets = match path == Path::new("-") {
            true => files::read_up_to(path, "the signed file", u64::MAX - 1)?,
            false => files::read_whole(path, "the signed file")?,
        };
        Ok(Self::Octets(octets))
    }

    /// The same for the verifier.
    pub fn artifact(&self) -> Artifact<'_> {
        match self {
            Self::Octets(octets) => Artifact::Octets(octets),
            Self::Sha256(hash) => Artifact::Sha256(*hash),
        }
    }
}

fn digest_of(text: &str) -> Option<Hash> {
    hex::decode(text.strip_prefix("sha256:")?).ok()?.try_into().ok()
}

/// What was found to hold, as lines.
pub fn checks(verified: &Verified) -> Checks {
    let mut checks = Checks::default();
    for fact in verified.facts() {
        checks.ok(fact.name, fact.words.clone());
    }
    checks
}

/// The few rows that matter.
pub fn rows(verified: &Verified) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    if let Some(certificate) = verified.certificate() {
        rows.extend(certificate.names().iter().map(|name| ("SAN".to_owned(), name.to_string())));
        rows.extend(issuer_of(certificate).map(|issuer| ("issuer".to_owned(), issuer.to_owned())));
    }
    rows.extend(verified.times().iter().map(|time| ("signed at".to_owned(), time.at.to_string())));
    rows.extend(
        verified.logged().iter().map(|at| ("log index".to_owned(), format!("{} of {}", at.index, at.log))),
    );
    rows.extend(verified.statement().map(|it| ("predicate".to_owned(), it.predicate_type().to_owned())));
    rows
}

/// The same for programs.
pub fn document(verified: &Verified) -> Value {
    let certificate = verified.certificate().map(|certificate| {
        json!({
            "san": certificate.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "issuer": issuer_of(certificate),
            "not_before": certificate.not_before().to_string(),
            "not_after": certificate.not_after().to_string(),
            "serial": certificate.serial(),
        })
    });
    let times: Vec<_> = verified
        .times()
        .iter()
        .map(|time| json!({ "time": time.at.to_string(), "source": time.source.to_string() }))
        .collect();
    let logged: Vec<_> = verified
        .logged()
        .iter()
        .map(|at| json!({ "log": at.log, "index": at.index, "kind": at.kind }))
        .collect();
    json!({
        "verified": true,
        "checks": checks(verified).to_json(),
        "certificate": certificate,
        "times": times,
        "log_entries": logged,
        "predicate_type": verified.statement().map(|statement| statement.predicate_type()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_64_hex_digits_behind_its_name() {
        let hex = "a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf";
        assert!(digest_of(&format!("sha256:{hex}")).is_some());
        for wrong in [
            hex.to_owned(),
            format!("sha256:{}", hex.trim_start_matches("a0")),
            format!("sha512:{hex}{hex}"),
            "sha256:".into(),
        ] {
            assert!(digest_of(&wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn nobody_is_no_identity() {
        assert!(expected(Some(""), None, "identity").is_err());
        assert!(expected(None, Some(""), "identity").is_err());
        assert!(expected(None, Some("("), "identity").is_err());
        assert!(expected(None, Some("^https://gitlab\\.com/"), "identity").is_ok());
    }
}
