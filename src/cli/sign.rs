//! `countersign sign`: a file or a statement about it, signed by a CI job, as a Sigstore bundle.
//!
//! The key is made in memory, signs once and is wiped. What the services answered is verified with the trusted root, as
//! any verifier would, before the bundle is written: nothing that others would refuse leaves the job.

use super::client::{CaClient, Http, Patience, Proof, RequestError, SigningRequest};
use super::files::{self, Existing};
use super::job_token::{TokenSource, unverified_claims};
use super::report::{Paint, printable, table};
use super::signing_key::SigningKey;
use super::signing_services::{log, log_request, message_signature, timestamp};
use super::{CliError, Output, bundle, encoding};
use crate::bundle::dsse::{IN_TOTO, Statement, statement};
use crate::bundle::{
    Artifact, Bundle, Content, Envelope, EnvelopeSignature, Expected, Identity, LogEntry, MAX_SIGNING_CONFIG,
    Signatory, SigningConfig, Verified, Verifier, issuer_of,
};
use crate::certificate::inspect::Inspected;
use crate::environment::UnixMillis;
use crate::rekor::dsse::pre_authentication_encoding;
use crate::server::environment::Environment;
use crate::timestamping::verification::Token;
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
    let services = Services::of(&args, environment.clock.now())?;
    super::request::check_url(&services.ca, output)?;
    let verifier = Verifier::new(bundle::trusted_root(&args.trusted_root)?);
    let content = files::read_whole(&args.file, "the file")?;
    let payload = args.payload(&content)?;
    if args.bundle.exists() && !args.force {
        let taken = args.bundle.display();
        return Err(CliError::refused(format!("{taken} is there already; replace it with --force")));
    }
    let token = args.token.read()?;
    let http = Http::new(args.ca_certificate.as_deref())?;
    let key = SigningKey::generate(&*environment.random);
    let signed = Signed::make(&key, &content, payload);
    let patience = Patience { retries: args.retries };
    let asked = Asked { http: &http, services: &services, patience, environment: &environment };
    let answers = {
        let notes = RefCell::new(&mut *output);
        let note = |line: &str| notes.borrow_mut().note(printable(line));
        super::runtime()?.block_on(asked.all(&key, &token, &signed, &note))?
    };
    drop(key);
    let (made, verified) = answers.verify(&verifier, &content, signed)?;
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
    /// The statement that is signed, if one is.
    fn payload(&self, content: &[u8]) -> Result<Option<Vec<u8>>, CliError> {
        if self.statement {
            Statement::from_json(content).map_err(|error| CliError::refused(error.to_string()))?;
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

/// Where to sign.
struct Services {
    ca: String,
    timestamp_authorities: Vec<String>,
    logs: Vec<String>,
}

impl Services {
    fn of(args: &SignArgs, now: UnixMillis) -> Result<Self, CliError> {
        if let Some(path) = &args.signing_config {
            let text = files::read_up_to(path, "the signing config", MAX_SIGNING_CONFIG as u64)?;
            return Self::configured(&text, now)
                .map_err(|error| CliError::refused(format!("{} cannot be used: {error}", path.display())));
        }
        let ca = args.url.clone().unwrap_or_default();
        let timestamp_authorities = match args.timestamp_url.is_empty() {
            true => vec![format!("{}/api/v1/timestamp", ca.trim_end_matches('/'))],
            false => args.timestamp_url.clone(),
        };
        Ok(Self { ca, timestamp_authorities, logs: args.log_url.clone() })
    }

    fn configured(text: &[u8], now: UnixMillis) -> Result<Self, crate::bundle::VerificationError> {
        let config = SigningConfig::from_json(text)?;
        let owned = |urls: Vec<&str>| urls.into_iter().map(str::to_owned).collect();
        Ok(Self {
            ca: config.ca(now)?.to_owned(),
            timestamp_authorities: owned(config.timestamp_authorities(now)?),
            logs: owned(config.logs(now)?),
        })
    }
}

/// The signature and what it is over.
struct Signed {
    payload: Option<Vec<u8>>,
    /// SHA-256 of what was signed: the file, or the statement's PAE.
    digest: [u8; 32],
    signature: Vec<u8>,
}

impl Signed {
    fn make(key: &SigningKey, content: &[u8], payload: Option<Vec<u8>>) -> Self {
        let encoded = payload.as_ref().map(|payload| pre_authentication_encoding(IN_TOTO, payload));
        let message = encoded.as_deref().unwrap_or(content);
        Self { digest: sha256(message), signature: key.sign(message), payload }
    }

    fn into_content(self) -> Content {
        match self.payload {
            None => Content::Message(message_signature(&self.digest, &self.signature)),
            Some(payload) => Content::Envelope(Envelope {
                payload: payload.into(),
                payload_type: IN_TOTO.to_owned(),
                signatures: vec![EnvelopeSignature { sig: self.signature.into(), keyid: String::new() }],
            }),
        }
    }
}

/// The services, and how to ask them.
struct Asked<'a> {
    http: &'a Http,
    services: &'a Services,
    patience: Patience,
    environment: &'a Environment,
}

/// What they answered.
struct Answers {
    certificate: Vec<u8>,
    timestamps: Vec<Vec<u8>>,
    entries: Vec<LogEntry>,
}

impl Asked<'_> {
    /// All of them, each as soon as what it needs is there: a timestamp needs the signature alone, a log entry the certificate.
    async fn all(
        &self,
        key: &SigningKey,
        token: &str,
        signed: &Signed,
        note: &impl Fn(&str),
    ) -> Result<Answers, CliError> {
        let logged = async {
            let certificate = self.certificate(key, token, note).await?;
            let request = log_request(&signed.digest, &signed.signature, &certificate);
            let mut entries = Vec::new();
            for url in &self.services.logs {
                let entry = log(self.http, url, &request, self.patience, note).await;
                entries.push(entry.map_err(|error| explain("the signature log", &error))?);
            }
            Ok::<_, CliError>((certificate, entries))
        };
        let stamped = async {
            let mut timestamps = Vec::new();
            for url in &self.services.timestamp_authorities {
                timestamps.push(self.timestamp(url, signed, note).await?);
            }
            Ok::<_, CliError>(timestamps)
        };
        let ((certificate, entries), mut timestamps) = tokio::try_join!(logged, stamped)?;
        // Asked for at the same time, a timestamp may be of the second before the certificate's first.
        let begins = Inspected::from_der(&certificate).map(|certificate| certificate.not_before()).ok();
        for (url, answer) in self.services.timestamp_authorities.iter().zip(&mut timestamps) {
            let stated = Token::from_response(answer).map(|token| token.time()).ok();
            if stated < begins {
                *answer = self.timestamp(url, signed, note).await?;
            }
        }
        Ok(Answers { certificate, timestamps, entries })
    }

    async fn timestamp(&self, url: &str, signed: &Signed, note: &impl Fn(&str)) -> Result<Vec<u8>, CliError> {
        let random = &*self.environment.random;
        let answer = timestamp(self.http, url, &signed.signature, random, self.patience, note).await;
        answer.map_err(|error| explain("the timestamp authority", &error))
    }

    /// The certificate for the key, DER.
    async fn certificate(
        &self,
        key: &SigningKey,
        token: &str,
        note: &impl Fn(&str),
    ) -> Result<Vec<u8>, CliError> {
        let claims = unverified_claims(token).ok_or_else(|| {
            CliError::refused(
                "the ID token is no JSON Web Token: three segments with dots between are expected",
            )
        })?;
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        let (public_key, proof) = (key.public_key_pem(), key.sign(subject.as_bytes()));
        let request =
            SigningRequest { token, proof: Proof::Challenge { public_key: &public_key, signature: &proof } };
        let client = CaClient::new(self.http.clone(), &self.services.ca);
        let chain = client
            .signing_certificate(&request, self.patience, note)
            .await
            .map_err(|error| super::request::explain(&error))?;
        let pem = chain.first().map(String::as_bytes).unwrap_or_default();
        encoding::pem_documents(pem, "CERTIFICATE")
            .map(|mut documents| documents.swap_remove(0))
            .map_err(|words| CliError::refused(format!("the CA's answer is broken: {words}")))
    }
}

impl Answers {
    /// The bundle, verified as anybody would, for whom the certificate names.
    fn verify(
        self,
        verifier: &Verifier,
        content: &[u8],
        signed: Signed,
    ) -> Result<(Bundle, Verified), CliError> {
        let certificate = Inspected::from_der(&self.certificate)
            .map_err(|error| CliError::refused(format!("the CA's answer is broken: {error}")))?;
        let named = certificate.names().first().map(ToString::to_string).unwrap_or_default();
        let identity = Identity {
            name: Expected::Exactly(named),
            issuer: Expected::Exactly(issuer_of(&certificate).unwrap_or_default().to_owned()),
        };
        let subject = signed.payload.as_deref().and_then(first_subject);
        let artifact = subject.map_or(Artifact::Octets(content), Artifact::Sha256);
        let made = Bundle::new(self.certificate, signed.into_content(), self.timestamps, self.entries);
        let made = made.map_err(|error| unfit(&error))?;
        let verified = verifier.verify(&made, artifact, &Signatory::Identity(identity));
        let verified = verified.map_err(|error| unfit(&error))?;
        Ok((made, verified))
    }
}

/// The SHA-256 of a statement's first subject: what a statement that was given whole is about.
fn first_subject(payload: &[u8]) -> Option<[u8; 32]> {
    let document: Value = serde_json::from_slice(payload).ok()?;
    hex::decode(document["subject"][0]["digest"]["sha256"].as_str()?).ok()?.try_into().ok()
}

fn unfit(error: &crate::bundle::VerificationError) -> CliError {
    CliError::refused(format!(
        "what the services answered does not verify, so no bundle was written: {error}\n  {}",
        error.problem().explanation()
    ))
}

/// A failure in the words of whoever refused.
fn explain(who: &str, error: &RequestError) -> CliError {
    match error {
        RequestError::Failed(words) => CliError::refused(printable(words).into_owned()),
        RequestError::Refused(answer) => {
            let words = format!("{who} refused ({}): {}", answer.status, printable(&answer.message));
            CliError::refused(words).with_json(answer.to_json())
        }
    }
}
