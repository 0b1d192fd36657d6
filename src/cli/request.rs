//! `countersign request`: what a CI job runs to get a certificate.
//!
//! The job's key never leaves it; the ID token goes to the CA and nowhere else, and is never printed.

use super::client::{
    CaClient, Http, Patience, Proof, RefusedAnswer, RequestError, SigningRequest, is_loopback,
};
use super::files::{self, Existing};
use super::job_token::{TokenSource, unverified_claims};
use super::leaf::Leaf;
use super::report::{printable, table};
use super::signing_key::SigningKey;
use super::{CliError, Output, encoding};
use crate::server::environment::Environment;
use der::{Decode, Encode};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Ask the CA for a certificate from inside a CI job
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Ask the CA for a certificate from inside a CI job.\n\n\
        Makes an ECDSA P-256 key, proves to the CA that the job holds it, and writes three files: key.pem (for its \
        owner alone), certificate.pem, and chain.pem (intermediate, then root). The identity in the certificate is \
        what GitLab says about the job in its ID token; nobody can choose it.",
    after_long_help = "In .gitlab-ci.yml:\n  \
        sign:\n    \
          id_tokens:\n      \
            SIGSTORE_ID_TOKEN:\n        \
              aud: sigstore\n    \
          script:\n      \
            - countersign request --url https://ca.example.com --out signing\n      \
            - openssl dgst -sha256 -sign signing/key.pem -out artifact.sig artifact\n\n\
        Then anybody can check it:\n  \
        countersign verify signing/certificate.pem --chain chain.pem --log-key log.pem \\\n    \
          --certificate-identity SAN --certificate-oidc-issuer https://gitlab.com \\\n    \
          --signature artifact.sig artifact"
)]
pub struct RequestArgs {
    /// Base URL of the CA
    #[arg(long, value_name = "URL", env = "COUNTERSIGN_URL", hide_env_values = true)]
    pub url: String,
    #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
    #[command(flatten)]
    pub token: TokenSource,
    /// Directory for key.pem, certificate.pem and chain.pem; made where it is not there
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// Use this ECDSA P-256 private key (PEM) and write no key.pem
    #[arg(long, value_name = "FILE", conflicts_with = "csr")]
    pub key: Option<PathBuf>,
    /// Send this certificate signing request (PEM) as key and proof; of its content only the key counts
    #[arg(long, value_name = "FILE")]
    pub csr: Option<PathBuf>,
    /// Replace files that are there already
    #[arg(long)]
    pub force: bool,
    /// PEM certificates to trust for TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
    /// How often to ask again when the CA is busy, out of service or out of reach
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub retries: u32,
}

/// Runs the command.
pub fn run(args: RequestArgs, output: &mut Output) -> Result<(), CliError> {
    let token = args.token.read()?;
    let material = Material::prepare(&args)?;
    let targets = Targets::new(&args, &material)?;
    check_url(&args.url, output)?;
    let proof = material.proof(&token)?;
    let request = SigningRequest { token: &token, proof: proof.as_sent() };
    let client = CaClient::new(Http::new(args.ca_certificate.as_deref())?, &args.url);
    let patience = Patience { retries: args.retries };
    let chain = super::runtime()?
        .block_on(client.signing_certificate(&request, patience, |line| output.note(printable(line))))
        .map_err(|error| explain(&error))?;
    let issued = Issued::read(&chain, &material.spki)?;
    targets.write(&material, &issued)?;
    issued.show(&targets, output)
}

/// The key, wherever it is.
struct Material {
    source: KeySource,
    /// DER SubjectPublicKeyInfo: what the certificate must be for.
    spki: Vec<u8>,
}

enum KeySource {
    Made(SigningKey),
    Given(SigningKey),
    Csr(Vec<u8>),
}

impl Material {
    fn prepare(args: &RequestArgs) -> Result<Self, CliError> {
        if let Some(path) = &args.csr {
            let pem = files::read(path, "the certificate signing request")?;
            let spki =
                csr_key(&pem).map_err(|words| CliError::refused(format!("{}: {words}", path.display())))?;
            return Ok(Self { source: KeySource::Csr(pem), spki });
        }
        if let Some(path) = &args.key {
            let pem = zeroize::Zeroizing::new(files::read(path, "the key")?);
            let key = SigningKey::from_pem(&pem)
                .map_err(|words| CliError::refused(format!("{}: {words}", path.display())))?;
            let spki = key.public_key_der();
            return Ok(Self { source: KeySource::Given(key), spki });
        }
        let key = SigningKey::generate(&*Environment::system().random);
        let spki = key.public_key_der();
        Ok(Self { source: KeySource::Made(key), spki })
    }

    /// The proof of possession: the key's signature over the token's subject, or the signing request.
    fn proof(&self, token: &str) -> Result<OwnedProof<'_>, CliError> {
        let key = match &self.source {
            KeySource::Csr(pem) => return Ok(OwnedProof::Csr(pem)),
            KeySource::Made(key) | KeySource::Given(key) => key,
        };
        let claims = unverified_claims(token).ok_or_else(|| {
            CliError::refused(
                "the ID token is no JSON Web Token: three segments with dots between are expected",
            )
        })?;
        let subject = claims.get("sub").and_then(|subject| subject.as_str()).unwrap_or_default();
        Ok(OwnedProof::Challenge {
            public_key: key.public_key_pem(),
            signature: key.sign(subject.as_bytes()),
        })
    }
}

enum OwnedProof<'m> {
    Challenge { public_key: String, signature: Vec<u8> },
    Csr(&'m [u8]),
}

impl OwnedProof<'_> {
    fn as_sent(&self) -> Proof<'_> {
        match self {
            Self::Challenge { public_key, signature } => Proof::Challenge { public_key, signature },
            Self::Csr(pem) => Proof::Csr(pem),
        }
    }
}

/// DER SubjectPublicKeyInfo of a PEM signing request (RFC 2986).
fn csr_key(pem: &[u8]) -> Result<Vec<u8>, String> {
    let der = encoding::pem_documents(pem, "CERTIFICATE REQUEST")
        .or_else(|words| encoding::pem_documents(pem, "NEW CERTIFICATE REQUEST").map_err(|_| words))?;
    let der = der.first().map(Vec::as_slice).unwrap_or_default();
    x509_cert::request::CertReq::from_der(der)
        .and_then(|request| request.info.public_key.to_der())
        .map_err(|error| format!("it is no certificate signing request: {error}"))
}

/// Where the answer goes.
struct Targets {
    key: Option<PathBuf>,
    certificate: PathBuf,
    chain: PathBuf,
    existing: Existing,
}

impl Targets {
    /// Fails before the CA is asked when something is in the way.
    fn new(args: &RequestArgs, material: &Material) -> Result<Self, CliError> {
        files::make_directory(&args.out)?;
        let targets = Self {
            key: matches!(material.source, KeySource::Made(_)).then(|| args.out.join("key.pem")),
            certificate: args.out.join("certificate.pem"),
            chain: args.out.join("chain.pem"),
            existing: if args.force { Existing::Replace } else { Existing::Keep },
        };
        let taken = targets.paths().find(|path| path.exists());
        match taken {
            Some(path) if !args.force => Err(CliError::refused(format!(
                "{} is there already; choose another --out, or replace it with --force",
                path.display()
            ))),
            _ => Ok(targets),
        }
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.key.iter().chain([&self.certificate, &self.chain]).map(PathBuf::as_path)
    }

    fn write(&self, material: &Material, issued: &Issued) -> Result<(), CliError> {
        if let (Some(path), KeySource::Made(key)) = (&self.key, &material.source) {
            files::write(path, key.to_pem().as_bytes(), true, self.existing)?;
        }
        files::write(&self.certificate, issued.leaf_pem.as_bytes(), false, self.existing)?;
        files::write(&self.chain, issued.chain_pem.as_bytes(), false, self.existing)
    }
}

/// The CA's answer, read back.
struct Issued {
    leaf: Leaf,
    leaf_pem: String,
    chain_pem: String,
}

impl Issued {
    /// Reads the chain and makes sure that the certificate is for our key.
    fn read(chain: &[String], spki: &[u8]) -> Result<Self, CliError> {
        let broken = |words: String| CliError::refused(format!("the CA's answer is broken: {words}"));
        let mut documents = Vec::new();
        for pem in chain {
            documents.extend(encoding::pem_documents(pem.as_bytes(), "CERTIFICATE").map_err(broken)?);
        }
        let (leaf_der, authorities) =
            documents.split_first().ok_or_else(|| broken("it is empty".to_owned()))?;
        let leaf = Leaf::from_der(leaf_der).map_err(|words| broken(format!("the certificate: {words}")))?;
        if leaf.spki_der() != spki {
            return Err(broken("the certificate is for another key than the one that was sent".to_owned()));
        }
        let chain_pem = authorities.iter().fold(String::new(), |mut pem, der| {
            pem += &encoding::to_pem("CERTIFICATE", der);
            pem
        });
        Ok(Self { leaf, leaf_pem: encoding::to_pem("CERTIFICATE", leaf_der), chain_pem })
    }

    fn show(&self, targets: &Targets, output: &mut Output) -> Result<(), CliError> {
        let key = targets.key.as_deref().map(|path| path.display().to_string());
        let (certificate, chain) =
            (targets.certificate.display().to_string(), targets.chain.display().to_string());
        let mut document = self.leaf.summary_json();
        document["files"] = json!({ "key": key, "certificate": certificate, "chain": chain });
        output.json(&document)?;
        let mut rows = self.leaf.summary_rows();
        rows.extend(key.map(|path| ("key".to_owned(), path)));
        rows.push(("certificate".to_owned(), certificate));
        rows.push(("chain".to_owned(), chain));
        output.say(table(&rows).trim_end())
    }
}

/// The URL must be one, and a token should not travel in the clear.
pub(super) fn check_url(text: &str, output: &mut Output) -> Result<(), CliError> {
    let url = url::Url::parse(text).map_err(|error| CliError::usage(format!("{text}: {error}")))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => output
            .note("warning: http:// sends the ID token in the clear to everybody on the way; use https://"),
        other => return Err(CliError::usage(format!("{text}: `{other}` is neither http nor https"))),
    }
    Ok(())
}

/// A failure in the words of whoever refused.
pub(crate) fn explain(error: &RequestError) -> CliError {
    match error {
        RequestError::Failed(words) => CliError::refused(printable(words).into_owned()),
        RequestError::Refused(answer) => {
            CliError::refused(refusal_text("the CA", answer)).with_json(answer.to_json())
        }
    }
}

/// What whoever refused said, and what to do.
pub(crate) fn refusal_text(who: &str, answer: &RefusedAnswer) -> String {
    let mut text = format!("{who} refused ({}): {}", answer.status, printable(&answer.message));
    let rows: Vec<_> =
        answer.rows().into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
    let _ = write!(text, "\n{}", table(&rows).trim_end());
    if answer.reason.as_deref().is_some_and(|code| code.starts_with("TOKEN_") || code.starts_with("CLAIM_")) {
        text += "\n  `countersign token` shows the token's claims and checks them one by one.";
    }
    text
}
