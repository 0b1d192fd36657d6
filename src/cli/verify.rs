//! `countersign verify`: is the certificate what it says, and was the file signed with it?

use super::admission::{self, PolicyFile};
use super::leaf::Leaf;
use super::log_reader::LogReader;
use super::material::{TrustMaterial, TrustedChain, TrustedLog};
use super::proof::InclusionProof;
use super::report::{Checks, Paint, table};
use super::verification::{self, ExpectedIdentity, TrustedSct};
use super::{CliError, Output, client::Http, encoding, files, time};
use crate::bundle::admission::VerifiedCertificate;
use crate::environment::UnixMillis;
use crate::identity::extensions::ClaimsArc;
use crate::log::LogKind;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Verify a signed file with its bundle, or a certificate
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Verify a signed file with its bundle, or a certificate.\n\n\
        With --bundle: the file's signature, or a statement about it, with all that stands in a Sigstore bundle: the \
        certificate and its SCT, who signed, when (timestamps, or the log's own word), and that it is logged. Nothing is \
        asked online; only the trusted root is trusted.\n\n\
        Without: a certificate's chain, SCT, inclusion in the log, identity; and a file's signature by it. \
        Every check is listed as ok, failed or not checked. What is trusted comes from you: the CA's chain and the log's \
        public key, or a trusted root that names both (`countersign trust root` prints it). The certificate lives for \
        ten minutes and is judged as of the time in its SCT, which says when it was issued, or as of --at.\n\n\
        With --policy a file of conditions says who is admitted, in place of one identity or beside it. The answer names the policy \
        that admits it, or says of each why it does not.",
    after_long_help = "Examples:\n  \
        countersign verify --bundle artifact.sigstore.json --trusted-root trusted_root.json \\\n    \
          --certificate-identity https://gitlab.com/group/project//.gitlab-ci.yml@refs/heads/main \\\n    \
          --certificate-oidc-issuer https://gitlab.com artifact\n  \
        countersign verify certificate.pem --chain chain.pem --log-key log.pem \\\n    \
          --certificate-identity https://gitlab.com/group/project//.gitlab-ci.yml@refs/heads/main \\\n    \
          --certificate-oidc-issuer https://gitlab.com --signature artifact.sig artifact\n  \
        countersign verify certificate.pem --trusted-root trusted_root.json --online \\\n    \
          --certificate-identity … --certificate-oidc-issuer … --extension ref_protected=true\n  \
        countersign verify --bundle artifact.sigstore.json --trusted-root trusted_root.json \\\n    \
          --policy policies.yaml artifact\n\n\
        Exit codes: 0 every check that was made is ok, 1 one failed, 2 usage, 78 the policy file is refused."
)]
pub struct VerifyArgs {
    /// With --bundle the signed file, or its digest as `sha256:HEX`; else the certificate, PEM or DER. `-` is standard input
    #[arg(value_name = "FILE|CERT")]
    pub certificate: PathBuf,
    /// The file that was signed; with --signature
    #[arg(value_name = "FILE", requires = "signature")]
    pub file: Option<PathBuf>,
    /// The Sigstore bundle of the file
    #[arg(
        long,
        value_name = "BUNDLE",
        requires = "trusted_root",
        conflicts_with_all = [
            "file", "signature", "chain", "log_key", "proof", "log_url", "online", "log_origin", "ca_certificate",
            "at"
        ]
    )]
    pub bundle: Option<PathBuf>,
    /// The public key that must have signed the bundle, PEM, in place of an identity
    #[arg(long, value_name = "FILE", requires = "bundle")]
    pub key: Option<PathBuf>,
    /// The file's signature, raw or base64
    #[arg(long, value_name = "SIG", requires = "file")]
    pub signature: Option<PathBuf>,
    /// The trusted CA: PEM, issuing certificate first, root last
    #[arg(long, value_name = "FILE", required_unless_present = "trusted_root")]
    pub chain: Option<PathBuf>,
    /// Trusted CAs and logs: trusted_root.json, or a client trust config
    #[arg(long, value_name = "FILE")]
    pub trusted_root: Option<PathBuf>,
    /// The trusted log's public key, PEM, or a trusted root that names it
    #[arg(long, value_name = "FILE")]
    pub log_key: Option<PathBuf>,
    /// Prove inclusion with this file, as `countersign log prove` prints it; nothing is asked online
    #[arg(long, value_name = "FILE", conflicts_with_all = ["log_url", "online"])]
    pub proof: Option<PathBuf>,
    /// Prove inclusion by asking the log at this base URL
    #[arg(long, value_name = "URL")]
    pub log_url: Option<String>,
    /// Prove inclusion by asking the log at the URL in the trusted root
    #[arg(long, requires = "trusted_root", conflicts_with = "log_url")]
    pub online: bool,
    /// The log's origin, the first line of its checkpoints [default: its base URL without scheme]
    #[arg(long, value_name = "ORIGIN")]
    pub log_origin: Option<String>,
    /// PEM certificates to trust for TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
    /// The subject alternative name that the certificate must have, exactly
    #[arg(long, value_name = "SAN", required_unless_present_any = ["key", "policy", "certificate_identity_regexp"], conflicts_with = "key")]
    pub certificate_identity: Option<String>,
    /// The same as a regular expression, found anywhere in it; with --bundle
    #[arg(long, value_name = "REGEX", requires = "bundle", conflicts_with_all = ["key", "certificate_identity"])]
    pub certificate_identity_regexp: Option<String>,
    /// The issuer that must vouch for it, exactly
    #[arg(long, value_name = "URL", required_unless_present_any = ["key", "policy", "certificate_oidc_issuer_regexp"], conflicts_with = "key")]
    pub certificate_oidc_issuer: Option<String>,
    /// The same as a regular expression, found anywhere in it; with --bundle
    #[arg(long, value_name = "REGEX", requires = "bundle", conflicts_with_all = ["key", "certificate_oidc_issuer"])]
    pub certificate_oidc_issuer_regexp: Option<String>,
    /// Policies, one of which must admit it: CEL over the certificate and the bundle, in YAML; in place of an identity or beside one
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// An extension that the certificate must have, by name or OID, exactly; any number of times
    #[arg(long = "extension", value_name = "NAME=VALUE", value_parser = name_and_value, conflicts_with = "key")]
    pub extensions: Vec<(String, String)>,
    /// The arc of raw GitLab claims, where the operator set their own; with --bundle for --policy and --extension
    #[arg(long, value_name = "OID", value_parser = ClaimsArc::parse)]
    pub arc: Option<ClaimsArc>,
    /// Judge as of then: RFC 3339 in UTC or seconds since 1970 [default: the SCT's time]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub at: Option<UnixMillis>,
}

/// Runs the command.
pub fn run(args: VerifyArgs, output: &mut Output) -> Result<(), CliError> {
    if let Some(bundle) = &args.bundle {
        return super::bundle::verify(&args, bundle, output);
    }
    let file = files::read(&args.certificate, "the certificate")?;
    let leaf = Leaf::from_file(&file).map_err(|words| {
        CliError::refused(format!("{} is no certificate: {words}", args.certificate.display()))
    })?;
    let material = args.material()?;
    let policies = args.policies()?;
    let arc = args.arc.clone().unwrap_or_default();

    let mut checks = Checks::default();
    let at = verification::time_of(&leaf, args.at);
    let chain = verification::chain(&mut checks, &leaf, &material, at);
    let sct = verification::scts(&mut checks, &leaf, chain, &material);
    inclusion(&mut checks, &args, &leaf, chain, sct.as_ref())?;
    if let (Some(san), Some(issuer)) = (&args.certificate_identity, &args.certificate_oidc_issuer) {
        let extensions = args.extensions.clone();
        let expected = ExpectedIdentity { san: san.clone(), issuer: issuer.clone(), extensions };
        verification::identity(&mut checks, &leaf, &expected, &arc);
    } else {
        verification::extensions(&mut checks, &leaf, &args.extensions, &arc);
    }
    signature(&mut checks, &args, &leaf)?;
    let mut more = json!({});
    if let Some(file) = &policies {
        file.warn(output);
        more = policy(&mut checks, &leaf, file, chain, sct.as_ref(), at.0);
    }
    report(&checks, &leaf, more, output)
}

/// Asked last, and only about what holds.
fn policy(
    checks: &mut Checks,
    leaf: &Leaf,
    file: &PolicyFile,
    chain: Option<&TrustedChain>,
    sct: Option<&TrustedSct<'_>>,
    at: UnixMillis,
) -> Value {
    const NAME: &str = "policy";
    let warnings = file.warnings_json();
    if !checks.passed() {
        checks.not_checked(NAME, "policies are asked only about what holds");
        return json!({ "policy": null, "warnings": warnings });
    }
    let (Some(chain), Some(sct)) = (chain, sct) else {
        checks.failed(
            NAME,
            "policies are asked only about a certificate whose SCT holds: give --log-key or --trusted-root",
        );
        return json!({ "policy": null, "warnings": warnings });
    };
    let verified = VerifiedCertificate::verify(leaf, &chain.chain, at, &sct.log.spki);
    let admitted = verified.and_then(|verified| {
        file.policies.admit(&verified.evidence()).map(|policy| policy.name().to_owned())
    });
    match admitted {
        Ok(name) => {
            checks.ok(NAME, format!("admitted by \"{name}\""));
            json!({ "policy": name, "warnings": warnings })
        }
        Err(error) => {
            let reasons: Vec<_> = error.refused().iter().map(ToString::to_string).collect();
            let detail = error.detail();
            checks.failed(NAME, if reasons.is_empty() { detail.to_owned() } else { reasons.join("; ") });
            json!({
                "policy": null,
                "reason": error.problem().code(),
                "policies": admission::refused_json(&error),
                "warnings": warnings,
            })
        }
    }
}

impl VerifyArgs {
    /// Whether an identity is expected.
    pub fn is_identified(&self) -> bool {
        self.certificate_identity.is_some()
            || self.certificate_identity_regexp.is_some()
            || self.certificate_oidc_issuer.is_some()
            || self.certificate_oidc_issuer_regexp.is_some()
    }

    /// The policies of `--policy`.
    pub fn policies(&self) -> Result<Option<PolicyFile>, CliError> {
        let is_named = self.certificate_identity.is_some() || self.certificate_identity_regexp.is_some();
        let is_vouched =
            self.certificate_oidc_issuer.is_some() || self.certificate_oidc_issuer_regexp.is_some();
        if is_named != is_vouched {
            return Err(CliError::usage("--certificate-identity and --certificate-oidc-issuer go together"));
        }
        match &self.policy {
            Some(path) => {
                let identified = self.is_identified() || self.key.is_some();
                PolicyFile::read(path, self.arc.as_ref(), identified).map(Some)
            }
            None if self.arc.is_some() && self.bundle.is_some() && self.extensions.is_empty() => {
                Err(CliError::usage("--arc has no use beside --bundle without --policy or --extension"))
            }
            None => Ok(None),
        }
    }

    fn material(&self) -> Result<TrustMaterial, CliError> {
        let mut material = TrustMaterial::default();
        if let Some(path) = &self.chain {
            material.add_chain(path)?;
        }
        if let Some(path) = &self.trusted_root {
            material.add_trusted_root(path)?;
        }
        if let Some(path) = &self.log_key {
            material.logs.push(TrustedLog::from_file(path, self.log_url.as_deref(), LogKind::Certificates)?);
        }
        Ok(material)
    }
}

fn inclusion(
    checks: &mut Checks,
    args: &VerifyArgs,
    leaf: &Leaf,
    chain: Option<&TrustedChain>,
    sct: Option<&TrustedSct<'_>>,
) -> Result<(), CliError> {
    const NAME: &str = "inclusion";
    let wanted = args.proof.is_some() || args.log_url.is_some() || args.online;
    if !wanted {
        checks.not_checked(NAME, "give --proof, --log-url or --online; the SCT is only the log's promise");
        return Ok(());
    }
    let (Some(chain), Some(sct)) = (chain, sct) else {
        checks.failed(NAME, "it needs a chain and an SCT that hold, and the log's key");
        return Ok(());
    };
    let proof = match &args.proof {
        Some(path) => read_proof(path)?,
        None => match ask_log(args, leaf, chain, sct)? {
            Ok(proof) => proof,
            Err(words) => {
                checks.failed(NAME, words);
                return Ok(());
            }
        },
    };
    let origin = args.origin(sct.log);
    let result = verification::promised(leaf, chain, sct.sct).and_then(|(leaf_hash, place)| {
        verification::inclusion(&proof, &leaf_hash, place, sct.log, origin.as_deref())
    });
    checks.record(NAME, result.map(|words| ((), words)));
    Ok(())
}

impl VerifyArgs {
    fn base_url<'a>(&'a self, log: &'a TrustedLog) -> Option<&'a str> {
        self.log_url.as_deref().or(log.base_url.as_deref())
    }

    fn origin(&self, log: &TrustedLog) -> Option<String> {
        self.log_origin.clone().or_else(|| self.base_url(log).map(super::log_reader::origin_of))
    }
}

fn read_proof(path: &Path) -> Result<InclusionProof, CliError> {
    let text = files::read(path, "the inclusion proof")?;
    InclusionProof::from_json(&text)
        .map_err(|words| CliError::refused(format!("{} is no inclusion proof: {words}", path.display())))
}

/// The proof as the log gives it now.
fn ask_log(
    args: &VerifyArgs,
    leaf: &Leaf,
    chain: &TrustedChain,
    sct: &TrustedSct<'_>,
) -> Result<Result<InclusionProof, String>, CliError> {
    let Some(url) = args.base_url(sct.log) else {
        return Ok(Err("the trusted root does not say where the log is; give --log-url".to_owned()));
    };
    let place = match verification::promised(leaf, chain, sct.sct) {
        Ok((_, place)) => place,
        Err(words) => return Ok(Err(words)),
    };
    let http = Http::new(args.ca_certificate.as_deref())?;
    let origin = args.origin(sct.log).unwrap_or_else(|| super::log_reader::origin_of(url));
    let log = LogReader::over_http(http, url, &origin, sct.log.spki.clone());
    Ok(super::runtime()?.block_on(log.prove(place.index)))
}

fn signature(checks: &mut Checks, args: &VerifyArgs, leaf: &Leaf) -> Result<(), CliError> {
    const NAME: &str = "signature";
    let (Some(path), Some(file)) = (&args.signature, &args.file) else {
        checks.not_checked(NAME, "no file was given with --signature");
        return Ok(());
    };
    let signature = files::read(path, "the signature")?;
    let content = files::read_whole(file, "the signed file")?;
    let decoded = std::str::from_utf8(&signature).ok().and_then(encoding::from_base64);
    let signature = decoded.unwrap_or(signature);
    let result = verification::file_signature(leaf, &content, &signature);
    checks.record(NAME, result.map(|words| ((), format!("{}: {words}", file.display()))));
    checks.not_checked(
        "signing time",
        "no timestamp says that the file was signed while the certificate was valid",
    );
    Ok(())
}

fn report(checks: &Checks, leaf: &Leaf, more: Value, output: &mut Output) -> Result<(), CliError> {
    let paint = Paint::for_stdout();
    output.say(checks.to_text(paint).trim_end_matches('\n'))?;
    let mut document = json!({
        "verified": checks.passed(),
        "checks": checks.to_json(),
        "certificate": leaf.summary_json(),
    });
    if let (Some(document), Value::Object(more)) = (document.as_object_mut(), more) {
        document.extend(more);
    }
    if checks.passed() {
        output.say(paint.good("Verified."))?;
        output.say(table(&leaf.summary_rows()).trim_end())?;
        return output.json(&document);
    }
    Err(CliError::refused(format!("not verified: {}", checks.failures().join(", "))).with_json(document))
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is expected, `ref_protected=true` for instance".to_owned()),
    }
}
