//! `countersign sign`: a file or a statement about it, signed by a CI job, as a Sigstore bundle.
//!
//! The key is made in memory, signs once and is wiped. What the services answered is verified with the trusted root, as
//! any verifier would, before the bundle is written: nothing that others would refuse leaves the job.

use super::client::{Http, Patience};
use super::files::{self, Existing};
use super::job_token::TokenSource;
use super::report::{Paint, printable, table};
use super::signing::{Services, Signing};
use super::{CliError, Output, bundle};
use crate::bundle::dsse::{Statement, statement};
use crate::bundle::{MAX_SIGNING_CONFIG, Verifier};
use crate::environment::UnixMillis;
use crate::server::environment::Environment;
use crate::transparency::sha256;
use serde_json::Value;
use std::cell::RefCell;
use std::path::PathBuf;

/// Sign a file from inside a CI job, as a Sigstore bundle
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Sign a file from inside a CI job, as a Sigstore bundle.\n\n\
        Makes a key in memory, asks the CA for a certificate of the job's identity, a timestamp authority for the time and \
        a signature log for an entry, verifies what they answered with the trusted root, and writes one file with all of \
        it. With --attestation a statement about the file is signed in place of the file itself (in-toto, DSSE).",
    after_long_help = "In .gitlab-ci.yml:\n  \
        sign:\n    \
          id_tokens:\n      \
            SIGSTORE_ID_TOKEN:\n        \
              aud: sigstore\n    \
          script:\n      \
            - countersign sign --signing-config signing_config.json --trusted-root trusted_root.json\n          \
              --bundle artifact.sigstore.json artifact\n\n\
        Then anybody can check it, now and years later:\n  \
        countersign verify --bundle artifact.sigstore.json --trusted-root trusted_root.json \\\n    \
          --certificate-identity SAN --certificate-oidc-issuer https://gitlab.com artifact"
)]
pub struct SignArgs {
    /// The file to sign; with --statement an in-toto statement
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where the bundle goes
    #[arg(long, value_name = "OUT")]
    pub bundle: PathBuf,
    /// Trusted CAs, timestamp authorities and logs: trusted_root.json, or a client trust config
    #[arg(long, value_name = "FILE")]
    pub trusted_root: PathBuf,
    /// Where to sign: signing_config.json (v0.2), or a client trust config
    #[arg(long, value_name = "FILE", required_unless_present = "url", conflicts_with_all = ["url", "timestamp_url", "log_url"])]
    pub signing_config: Option<PathBuf>,
    /// Base URL of the CA
    #[arg(long, value_name = "URL", requires = "log_url")]
    pub url: Option<String>,
    /// URL of a timestamp authority, whole; any number of times [default: api/v1/timestamp at --url]
    #[arg(long, value_name = "URL", requires = "url")]
    pub timestamp_url: Vec<String>,
    /// Base URL of a signature log; any number of times
    #[arg(long, value_name = "URL", requires = "url")]
    pub log_url: Vec<String>,
    #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
    #[command(flatten)]
    pub token: TokenSource,
    /// Sign a statement about the file
    #[arg(long, requires = "predicate_type", conflicts_with = "statement")]
    pub attestation: bool,
    /// The type of the statement's predicate, a URI
    #[arg(long, value_name = "URI", requires = "attestation")]
    pub predicate_type: Option<String>,
    /// The predicate, JSON [default: an empty one]
    #[arg(long, value_name = "FILE", requires = "attestation")]
    pub predicate: Option<PathBuf>,
    /// FILE is an in-toto statement, signed as it is
    #[arg(long)]
    pub statement: bool,
    /// Replace the bundle if it is there already
    #[arg(long)]
    pub force: bool,
    /// PEM certificates to trust for TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
    /// How often to ask again when a service is busy, out of service or out of reach
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub retries: u32,
}

/// Runs the command.
pub fn run(args: SignArgs, output: &mut Output) -> Result<(), CliError> {
    let environment = Environment::system();
    let services = args.services(environment.clock.now())?;
    super::request::check_url(&services.ca, output)?;
    let verifier = Verifier::new(bundle::trusted_root(&args.trusted_root)?);
    let content = files::read_whole(&args.file, "the file")?;
    let payload = args.payload(&content)?;
    if args.bundle.exists() && !args.force {
        let taken = args.bundle.display();
        return Err(CliError::refused(format!("{taken} is there already; replace it with --force")));
    }
    let token = args.token.read()?;
    let signing = Signing {
        http: Http::new(args.ca_certificate.as_deref())?,
        services,
        patience: Patience { retries: args.retries },
        environment,
        verifier,
    };
    let (made, verified) = {
        let notes = RefCell::new(&mut *output);
        let note = |line: &str| notes.borrow_mut().note(printable(line));
        super::runtime()?.block_on(signing.sign(&token, &content, payload, &note))?
    };
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    files::write(&args.bundle, format!("{}\n", made.to_json()).as_bytes(), false, existing)?;
    output.say(bundle::checks(&verified).to_text(Paint::for_stdout()).trim_end_matches('\n'))?;
    let mut rows = bundle::rows(&verified);
    rows.push(("bundle".to_owned(), args.bundle.display().to_string()));
    output.say(table(&rows).trim_end())?;
    let mut document = bundle::document(&verified);
    document["bundle"] = Value::from(args.bundle.display().to_string());
    output.json(&document)
}

impl SignArgs {
    fn services(&self, now: UnixMillis) -> Result<Services, CliError> {
        if let Some(path) = &self.signing_config {
            let text = files::read_up_to(path, "the signing config", MAX_SIGNING_CONFIG as u64)?;
            return Services::configured(&text, now)
                .map_err(|error| CliError::refused(format!("{} cannot be used: {error}", path.display())));
        }
        let ca = self.url.clone().unwrap_or_default();
        let timestamp_authorities = match self.timestamp_url.is_empty() {
            true => vec![format!("{}/api/v1/timestamp", ca.trim_end_matches('/'))],
            false => self.timestamp_url.clone(),
        };
        Ok(Services { ca, timestamp_authorities, logs: self.log_url.clone() })
    }

    /// The statement that is signed, if one is.
    fn payload(&self, content: &[u8]) -> Result<Option<Vec<u8>>, CliError> {
        if self.statement {
            let statement =
                Statement::from_json(content).map_err(|error| CliError::refused(error.to_string()))?;
            // What was signed is verified against that; without it the services would be asked in vain, the log for ever.
            if statement.sha256().is_none() {
                let words =
                    "none of the statement's subjects has a SHA-256 digest (`sha256`, 64 hexadecimal digits)";
                return Err(CliError::refused(words));
            }
            return Ok(Some(content.to_vec()));
        }
        let Some(predicate_type) = self.predicate_type.as_deref().filter(|_| self.attestation) else {
            return Ok(None);
        };
        let predicate = match &self.predicate {
            Some(path) => {
                let text = files::read_whole(path, "the predicate")?;
                serde_json::from_slice(&text)
                    .map_err(|error| CliError::refused(format!("{} is no JSON: {error}", path.display())))?
            }
            None => serde_json::json!({}),
        };
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        Ok(Some(statement(&name, &sha256(content), predicate_type, &predicate)))
    }
}
