//! Signing with an identity: a key in memory, a certificate, a timestamp and a log entry for it, and the bundle of all of them.
//!
//! The key signs once and is wiped. What the services answered is verified before anybody gets the bundle.

use super::client::{CaClient, Http, Patience, Proof, RequestError, SigningRequest};
use super::job_token::unverified_claims;
use super::report::printable;
use super::request::refusal_text;
use super::signing_key::SigningKey;
use super::signing_services::{log, log_request, message_signature, timestamp};
use super::{CliError, encoding};
use crate::bundle::dsse::{IN_TOTO, Statement};
use crate::bundle::{
    Artifact, Bundle, Content, Envelope, EnvelopeSignature, Expected, Identity, LogEntry, Signatory,
    SigningConfig, Verified, Verifier, issuer_of,
};
use crate::certificate::inspect::Inspected;
use crate::environment::UnixMillis;
use crate::rekor::dsse::pre_authentication_encoding;
use crate::server::environment::Environment;
use crate::timestamping::verification::Token;
use crate::transparency::{Hash, sha256};
use serde_json::Value;
use std::time::Duration;

/// How far a timestamp authority's clock may be behind the CA's; it is waited for.
const MOST_LAG: Duration = Duration::from_secs(3);

/// Where to sign.
pub struct Services {
    /// The CA's base URL.
    pub ca: String,
    /// Each one's URL, whole.
    pub timestamp_authorities: Vec<String>,
    /// Each one's base URL.
    pub logs: Vec<String>,
}

impl Services {
    /// As a signing config names them.
    pub fn configured(text: &[u8], now: UnixMillis) -> Result<Self, crate::bundle::VerificationError> {
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

/// The services, how to ask them, and what their answers must hold against.
pub struct Signing {
    /// How they are reached.
    pub http: Http,
    /// Which they are.
    pub services: Services,
    /// How often one of them is asked again.
    pub patience: Patience,
    /// Clock and randomness.
    pub environment: Environment,
    /// With the trusted root.
    pub verifier: Verifier,
}

/// What they answered.
struct Answers {
    certificate: Vec<u8>,
    timestamps: Vec<Vec<u8>>,
    entries: Vec<LogEntry>,
}

impl Signing {
    /// Signs `content`, or the statement `payload` about it, in the name that the token gives. Nothing is answered that does not verify.
    /// `note` hears of every further try.
    pub async fn sign(
        &self,
        token: &str,
        content: &[u8],
        payload: Option<Vec<u8>>,
        note: &impl Fn(&str),
    ) -> Result<(Bundle, Verified), CliError> {
        let key = SigningKey::generate(&*self.environment.random);
        let signed = Signed::make(&key, content, payload);
        let answers = self.all(&key, token, &signed, note).await?;
        drop(key);
        answers.verify(&self.verifier, content, signed)
    }

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
                let entry = log(&self.http, url, &request, self.patience, note).await;
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
        let begins = Inspected::from_der(&certificate).map(|certificate| certificate.not_before()).ok();
        for (url, answer) in self.services.timestamp_authorities.iter().zip(&mut timestamps) {
            // Asked for at the same time, it may be of the second before; and other machines' clocks lag.
            for again in 0..2 {
                let Some(lag) = lag(answer, begins).filter(|lag| *lag <= MOST_LAG) else { break };
                if again > 0 {
                    tokio::time::sleep(lag).await;
                }
                *answer = self.timestamp(url, signed, note).await?;
            }
        }
        Ok(Answers { certificate, timestamps, entries })
    }

    async fn timestamp(&self, url: &str, signed: &Signed, note: &impl Fn(&str)) -> Result<Vec<u8>, CliError> {
        let random = &*self.environment.random;
        let answer = timestamp(&self.http, url, &signed.signature, random, self.patience, note).await;
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
        let subject = signed.payload.as_deref().and_then(subject);
        let artifact = subject.map_or(Artifact::Octets(content), Artifact::Sha256);
        let made = Bundle::new(self.certificate, signed.into_content(), self.timestamps, self.entries);
        let made = made.map_err(|error| unfit(&error))?;
        let verified = verifier.verify(&made, artifact, &Signatory::Identity(identity));
        let verified = verified.map_err(|error| unfit(&error))?;
        Ok((made, verified))
    }
}

/// How long before the certificate's first second the timestamp is; `None`: it is not.
fn lag(answer: &[u8], begins: Option<UnixMillis>) -> Option<Duration> {
    let stated = Token::from_response(answer).ok()?.time();
    let begins = begins.filter(|begins| stated < *begins)?;
    Some(begins.since(stated))
}

/// What a statement that was given whole is about.
fn subject(payload: &[u8]) -> Option<Hash> {
    Statement::from_json(payload).ok()?.sha256()
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
            CliError::refused(refusal_text(who, answer)).with_json(answer.to_json())
        }
    }
}
