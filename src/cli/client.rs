//! HTTP as the users' commands speak it: to a CA's `POST /api/v2/signingCert`, and to what a log publishes.
//!
//! Redirects are not followed (a token must not travel on), answers are capped, the system's roots count
//! (`SSL_CERT_FILE`, `SSL_CERT_DIR`) and a private CA may be added to them. Proxies come from the environment.

pub mod broker;
mod post;

pub use post::Post;

use super::CliError;
use crate::outbound;
use crate::refusal::Reason;
use reqwest::{ClientBuilder, Response, StatusCode, redirect};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The largest answer that is read, in bytes: a full data tile is below it.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one exchange may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest wait between two tries, whatever the server asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// An HTTP client.
#[derive(Clone, Debug)]
pub struct Http {
    /// Through the proxy that the environment names, if any.
    proxied: reqwest::Client,
    /// For loopback, where a proxy would reach its own machine.
    direct: reqwest::Client,
}

impl Http {
    /// A client that trusts the system's roots and the PEM certificates of `ca_certificate`.
    pub fn new(ca_certificate: Option<&Path>) -> Result<Self, CliError> {
        Self::build(ca_certificate, |builder| builder)
    }

    /// The same, for a server that is called `name` and is at `address`.
    pub fn at(name: &str, address: SocketAddr, ca_certificate: Option<&Path>) -> Result<Self, CliError> {
        Self::build(ca_certificate, |builder| builder.resolve(name, address).no_proxy())
    }

    fn build(
        ca_certificate: Option<&Path>,
        adapt: impl Fn(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, CliError> {
        let tls = match ca_certificate {
            None => outbound::client_config(None).map_err(CliError::refused)?,
            Some(path) => {
                let pem = super::files::read(path, "the CA certificate for TLS")?;
                let unusable = |error| CliError::usage(format!("{}: {error}", path.display()));
                outbound::client_config(Some(&pem)).map_err(unusable)?
            }
        };
        let builder = || {
            adapt(reqwest::Client::builder())
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(EXCHANGE_TIMEOUT)
                .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
                .tls_backend_preconfigured(tls.clone())
        };
        let build = |builder: ClientBuilder| {
            let failed = |error| CliError::refused(format!("cannot set up TLS: {}", causes(&error)));
            builder.build().map_err(failed)
        };
        Ok(Self { proxied: build(builder())?, direct: build(builder().no_proxy())? })
    }

    fn client_for(&self, url: &str) -> &reqwest::Client {
        if url::Url::parse(url).is_ok_and(|url| is_loopback(&url)) { &self.direct } else { &self.proxied }
    }

    /// The body at `url`, `None` where there is nothing (404).
    ///
    /// # Errors
    /// Anything but 200 and 404, in words that name the URL.
    pub async fn get(&self, url: &str) -> Result<Option<Vec<u8>>, String> {
        let response = self
            .client_for(url)
            .get(url)
            .send()
            .await
            .map_err(|error| format!("{url}: {}", causes(&error)))?;
        match response.status() {
            StatusCode::OK => body(response).await.map(Some).map_err(|error| format!("{url}: {error}")),
            StatusCode::NOT_FOUND => Ok(None),
            other => Err(format!("{url} answered {other}")),
        }
    }
}

/// Whether the URL's host is this machine, by name or address.
pub fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What a CA is asked for.
pub struct SigningRequest<'r> {
    /// The ID token.
    pub token: &'r str,
    /// The key and its proof.
    pub proof: Proof<'r>,
}

/// The two ways of proving possession of a key.
pub enum Proof<'r> {
    /// A public key as PEM, and its signature over the token's subject.
    Challenge {
        /// PEM SubjectPublicKeyInfo.
        public_key: &'r str,
        /// The signature.
        signature: &'r [u8],
    },
    /// A certificate signing request as PEM.
    Csr(&'r [u8]),
}

impl SigningRequest<'_> {
    /// The request's body. The token goes here and not into a header: no proxy's header limit or access log meets it.
    fn to_json(&self) -> Value {
        let credentials = json!({ "oidcIdentityToken": self.token });
        match self.proof {
            Proof::Challenge { public_key, signature } => json!({
                "credentials": credentials,
                "publicKeyRequest": {
                    "publicKey": { "algorithm": "ECDSA", "content": public_key },
                    "proofOfPossession": super::encoding::base64(signature),
                },
            }),
            Proof::Csr(pem) => json!({
                "credentials": credentials,
                "certificateSigningRequest": super::encoding::base64(pem),
            }),
        }
    }
}

/// Why a CA gave no certificate.
#[derive(Debug)]
pub enum RequestError {
    /// It said why not.
    Refused(Box<RefusedAnswer>),
    /// It could not be reached, or what it answered is no answer of a CA.
    Failed(String),
}

/// A refusal as the CA spelled it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The error's `message`.
    pub message: String,
    /// `ErrorInfo.reason`, where the CA is a countersign.
    pub reason: Option<String>,
    /// `ErrorInfo.metadata` without the request id: claim, rule, and what else the CA says.
    pub metadata: Vec<(String, String)>,
    /// The id under which the operator finds the request.
    pub request_id: Option<String>,
    /// When the CA wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl RefusedAnswer {
    fn parse(
        status: StatusCode,
        retry_after: Option<Duration>,
        request_id: Option<String>,
        body: &[u8],
    ) -> Self {
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let info =
            document["details"].as_array().into_iter().flatten().find(|detail| detail["reason"].is_string());
        let members = info.and_then(|info| info["metadata"].as_object()).into_iter().flatten();
        let (ids, metadata): (Vec<_>, Vec<_>) = members
            .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
            .partition(|(name, _)| name == "request_id" || name == "requestId");
        Self {
            status: status.as_u16(),
            message: text(&document["message"])
                .unwrap_or_else(|| format!("{status}, without an explanation")),
            reason: info.and_then(|info| text(&info["reason"])),
            metadata,
            request_id: ids.into_iter().next().map(|(_, id)| id).or(request_id),
            retry_after,
        }
    }

    /// What the reason means and what to do about it, for the reasons that this version knows.
    pub fn help(&self) -> Option<&'static str> {
        let code = self.reason.as_deref()?;
        Reason::ALL.iter().find(|reason| reason.code() == code).map(|reason| reason.explanation())
    }

    /// The rows below the message: reason, what the CA added, help, request id.
    pub fn rows(&self) -> Vec<(&str, &str)> {
        let mut rows: Vec<(&str, &str)> = Vec::new();
        rows.extend(self.reason.as_deref().map(|reason| ("reason", reason)));
        let message = self.metadata.iter().find(|(name, _)| name == "message").map(|(_, text)| text.as_str());
        rows.extend(self.metadata.iter().map(|(name, value)| {
            // What a rule's author has to say stands in its own row, and is not said twice.
            let said = message.filter(|_| name == "help").and_then(|message| value.strip_suffix(message));
            (name.as_str(), said.map_or(value.as_str(), str::trim_end))
        }));
        if !self.metadata.iter().any(|(name, _)| name == "help" || name == "explanation") {
            rows.extend(self.help().map(|help| ("help", help)));
        }
        rows.extend(self.request_id.as_deref().map(|id| ("request id", id)));
        rows
    }

    /// The refusal for programs.
    pub fn to_json(&self) -> Value {
        let metadata: serde_json::Map<_, _> =
            self.metadata.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "error": self.message, "status": self.status, "reason": self.reason, "metadata": metadata,
            "help": self.help(), "request_id": self.request_id,
        })
    }

    /// Whether the same request may succeed later.
    const fn is_passing(&self) -> bool {
        matches!(self.status, 408 | 429 | 500 | 502 | 503 | 504)
    }
}

/// How often and how patiently a CA is asked again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Tries beyond the first.
    pub retries: u32,
}

impl Patience {
    /// How long to wait before try number `tried + 1`; `None`: give up. The server's wish counts, within bounds.
    fn wait(self, tried: u32, wish: Option<Duration>) -> Option<Duration> {
        let grown = Duration::from_secs(1 << tried.saturating_sub(1).min(5));
        (tried <= self.retries).then(|| wish.unwrap_or(grown).min(LONGEST_WAIT))
    }
}

/// A CA that speaks Fulcio's v2 API.
#[derive(Clone, Debug)]
pub struct CaClient {
    http: Http,
    endpoint: String,
}

impl CaClient {
    /// For the CA with this base URL; slashes at its end do not matter.
    pub fn new(http: Http, base: &str) -> Self {
        Self { http, endpoint: format!("{}/api/v2/signingCert", base.trim_end_matches('/')) }
    }

    /// The chain that the CA issues, PEM, leaf first, root last. `note` hears of every further try.
    pub async fn signing_certificate(
        &self,
        request: &SigningRequest<'_>,
        patience: Patience,
        note: impl FnMut(&str),
    ) -> Result<Vec<String>, RequestError> {
        let post = Post { who: "the CA", url: &self.endpoint, content_type: "application/json" };
        let body = request.to_json().to_string().into_bytes();
        let answer = self.http.post(&post, body, patience, note).await?;
        chain_of(&answer).ok_or_else(|| {
            RequestError::Failed(format!(
                "{} answered, but not with a certificate chain: is this the URL of a CA?",
                self.endpoint
            ))
        })
    }
}

/// The chain in an answer of `signingCert`, with an embedded or a detached SCT.
fn chain_of(body: &[u8]) -> Option<Vec<String>> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let answer = [&document["signedCertificateEmbeddedSct"], &document["signedCertificateDetachedSct"]]
        .into_iter()
        .find(|answer| answer.is_object())?;
    let certificates = answer["chain"]["certificates"].as_array()?;
    let chain: Option<Vec<_>> = certificates.iter().map(|pem| pem.as_str().map(str::to_owned)).collect();
    chain.filter(|chain| !chain.is_empty())
}

/// The body, as long as it is not larger than any answer should be.
async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| causes(&error))? {
        if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(format!("the answer is larger than {} MiB", MAX_ANSWER_BYTES / 1024 / 1024));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// An error with everything that caused it, the URL said once by the caller.
fn causes(error: &reqwest::Error) -> String {
    let mut words = if error.is_timeout() {
        "timed out".to_owned()
    } else if error.is_connect() {
        "cannot connect".to_owned()
    } else {
        "the exchange failed".to_owned()
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_wish_to_wait_counts_within_bounds_and_tries_are_bounded() {
        let patience = Patience { retries: 3 };
        let seconds = |tried, wish: Option<u64>| {
            patience.wait(tried, wish.map(Duration::from_secs)).map(|wait| wait.as_secs())
        };
        let cases = [
            (1, None, Some(1)),
            (2, None, Some(2)),
            (3, None, Some(4)),
            (4, None, None),
            (1, Some(7), Some(7)),
            (1, Some(86_400), Some(30)),
            (4, Some(1), None),
        ];
        for (tried, wish, expected) in cases {
            assert_eq!(seconds(tried, wish), expected, "try {tried}, wish {wish:?}");
        }
    }

    #[test]
    fn a_refusal_is_read_with_reason_claim_help_and_request_id() {
        let body = br#"{"code":3,"message":"There was an error processing the identity token","details":[
            {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TOKEN_EXPIRED","domain":"countersign",
             "metadata":{"request_id":"abc","claim":"exp"}}]}"#;
        let answer = RefusedAnswer::parse(StatusCode::BAD_REQUEST, None, None, body);
        assert_eq!(answer.reason.as_deref(), Some("TOKEN_EXPIRED"));
        assert_eq!(answer.metadata, [("claim".to_owned(), "exp".to_owned())]);
        assert_eq!(answer.request_id.as_deref(), Some("abc"));
        assert_eq!(answer.help(), Some(Reason::TokenExpired.explanation()));
        assert!(!answer.is_passing());
    }

    #[test]
    fn a_rules_message_is_shown_once() {
        let body = br#"{"code":7,"message":"m","details":[{"reason":"POLICY_DENIED","metadata":{"request_id":"abc",
            "rule":"releases","message":"Protect the tag.","help":"The rules do not allow it. Protect the tag."}}]}"#;
        let answer = RefusedAnswer::parse(StatusCode::FORBIDDEN, None, None, body);
        assert_eq!(
            answer.rows(),
            [
                ("reason", "POLICY_DENIED"),
                ("rule", "releases"),
                ("message", "Protect the tag."),
                ("help", "The rules do not allow it."),
                ("request id", "abc"),
            ]
        );
    }

    #[test]
    fn a_refusal_without_any_detail_is_still_told() {
        for body in [&b""[..], b"<html>", b"[]", br#"{"details":[1,{"reason":2}]}"#] {
            let answer = RefusedAnswer::parse(StatusCode::BAD_GATEWAY, None, None, body);
            assert_eq!(answer.message, "502 Bad Gateway, without an explanation");
            assert!(answer.is_passing());
        }
    }

    #[test]
    fn only_a_chain_is_an_answer() {
        let good = br#"{"signedCertificateEmbeddedSct":{"chain":{"certificates":["a","b"]}}}"#;
        assert_eq!(chain_of(good), Some(vec!["a".to_owned(), "b".to_owned()]));
        for bad in [&b"{}"[..], b"null", br#"{"signedCertificateEmbeddedSct":{"chain":{"certificates":[]}}}"#]
        {
            assert_eq!(chain_of(bad), None);
        }
    }
}
