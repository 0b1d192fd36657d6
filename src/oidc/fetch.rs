//! One fetch of an issuer's keys: the discovery document, then the key set, within five seconds in all.

use crate::outbound::{Clients, causes};
use crate::token::{KeySet, parse_object};
use reqwest::header::{AGE, CACHE_CONTROL, HeaderMap};
use reqwest::{Response, StatusCode};
use serde_json::{Map, Value};
use std::fmt;
use std::time::Duration;
use url::Url;

/// How long one fetch may take, from the first look-up of a name to the last octet of the key set.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest discovery document or key set, in bytes. GitLab's have 2 KB.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// How much of a URL or of an answer an error quotes, in characters.
const MAX_ERROR_CHARS: usize = 300;

/// What a fetch brought.
pub struct Fetched {
    /// The keys.
    pub keys: KeySet,
    /// How long they may be used, as the issuer said (RFC 9111 §4.2.1); `None`: it did not.
    pub freshness: Option<Duration>,
}

/// A step of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Building the HTTP client.
    Client,
    /// Getting and reading `/.well-known/openid-configuration`.
    Discovery,
    /// Getting and reading the document at `jwks_uri`.
    KeySet,
    /// All of it: the time was up.
    Whole,
}

/// Why an issuer's keys could not be fetched. Its text is for operators: it may quote what the issuer answered.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct FetchError {
    step: Step,
    at: String,
    problem: String,
    public: &'static str,
}

impl FetchError {
    /// The step that failed.
    pub fn step(&self) -> Step {
        self.step
    }

    /// What failed, in words that callers may see: nothing of the operator's network.
    pub fn public(&self) -> &'static str {
        self.public
    }

    pub(super) fn client(problem: String) -> Self {
        let public = "The CA's HTTP client for this issuer cannot be built.";
        Self { step: Step::Client, at: "HTTP client".to_owned(), problem, public }
    }
}

/// Fetches an issuer's keys once. `ca_certificate`: PEM certificates that are trusted beside the system's roots.
///
/// # Errors
/// What failed at which URL, for people.
pub async fn fetch_keys(issuer: &str, ca_certificate: Option<&[u8]>) -> Result<KeySet, FetchError> {
    let clients = Clients::build(ca_certificate).map_err(FetchError::client)?;
    Ok(fetch(&clients, issuer).await?.keys)
}

/// The same with clients at hand, and with what the cache wants to know.
pub async fn fetch(clients: &Clients, issuer: &str) -> Result<Fetched, FetchError> {
    let both = async {
        let key_set = discover(clients, issuer).await?;
        fetch_key_set(clients, key_set).await
    };
    tokio::time::timeout(FETCH_TIMEOUT, both).await.unwrap_or_else(|_| {
        Err(FetchError {
            step: Step::Whole,
            at: issuer.to_owned(),
            problem: format!("no complete answer within {} s", FETCH_TIMEOUT.as_secs()),
            public: "It did not answer in time.",
        })
    })
}

/// Asks for the discovery document and returns its `jwks_uri`.
async fn discover(clients: &Clients, issuer: &str) -> Result<Url, FetchError> {
    let url = format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
    let at = Place { step: Step::Discovery, url: &url };
    let parsed =
        Url::parse(&url).map_err(|error| at.error(format!("not a URL: {error}"), "It is no URL."))?;
    let document = at.get_object(clients, parsed).await?;
    let text = |name: &str| match document.get(name) {
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(at.error(format!("`{name}` is not a string"), "The discovery document is malformed.")),
        None => Err(at.error(format!("there is no `{name}`"), "The discovery document is incomplete.")),
    };
    let named = text("issuer")?;
    if named != issuer {
        return Err(at.error(
            format!("its `issuer` is {named:?}, and must be {issuer:?} to the byte"),
            "The discovery document names another issuer.",
        ));
    }
    key_set_url(issuer, text("jwks_uri")?).map_err(|fault| at.error(fault, "Its `jwks_uri` cannot be used."))
}

/// `jwks_uri` may be on another host: GitLab builds it from the request's, which differs behind a proxy. It may not be
/// less protected than the issuer.
fn key_set_url(issuer: &str, jwks_uri: &str) -> Result<Url, String> {
    let url = Url::parse(jwks_uri).map_err(|error| format!("`jwks_uri` is not a URL: {error}"))?;
    match url.scheme() {
        "https" => {}
        "http" if issuer.starts_with("http://") => {}
        "http" => return Err("`jwks_uri` is plain http, and the issuer is https".to_owned()),
        other => return Err(format!("`jwks_uri` has the scheme {other:?}, not https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("`jwks_uri` has a user name or a password in it".to_owned());
    }
    Ok(url)
}

async fn fetch_key_set(clients: &Clients, url: Url) -> Result<Fetched, FetchError> {
    let text = url.to_string();
    let at = Place { step: Step::KeySet, url: &text };
    let answer = at.get_octets(clients, url).await?;
    let keys = KeySet::parse(&answer.body).map_err(|fault| at.error(fault, "Its key set cannot be used."))?;
    Ok(Fetched { keys, freshness: freshness(&answer.headers) })
}

/// Where a fetch stands, for its errors.
struct Place<'u> {
    step: Step,
    url: &'u str,
}

struct Octets {
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Place<'_> {
    fn error(&self, problem: impl fmt::Display, public: &'static str) -> FetchError {
        let shorten = |text: &str| text.chars().take(MAX_ERROR_CHARS).collect();
        let (at, problem) = (shorten(self.url), shorten(&problem.to_string()));
        FetchError { step: self.step, at, problem, public }
    }

    async fn get_object(&self, clients: &Clients, url: Url) -> Result<Map<String, Value>, FetchError> {
        let octets = self.get_octets(clients, url).await?;
        parse_object(&octets.body).map_err(|fault| {
            self.error(
                format!("the document cannot be read: {fault}"),
                "The discovery document is malformed.",
            )
        })
    }

    async fn get_octets(&self, clients: &Clients, url: Url) -> Result<Octets, FetchError> {
        let request = clients.client_for(&url).get(url).header(reqwest::header::ACCEPT, "application/json");
        let response = request.send().await.map_err(|error| self.transport_error(error))?;
        if response.status() != StatusCode::OK {
            return Err(self.error(format!("status {}", response.status()), "It answered with an error."));
        }
        let headers = response.headers().clone();
        Ok(Octets { headers, body: self.read_capped(response).await? })
    }

    async fn read_capped(&self, mut response: Response) -> Result<Vec<u8>, FetchError> {
        let too_large =
            || self.error(format!("more than {} KiB", MAX_BODY_BYTES / 1024), "Its answer is too large.");
        if response.content_length().is_some_and(|length| length > MAX_BODY_BYTES as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport_error(error))? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn transport_error(&self, error: reqwest::Error) -> FetchError {
        let public = if error.is_redirect() {
            "It redirects to another host, which is not followed."
        } else {
            "It could not be reached."
        };
        // The URL is in our own text already.
        self.error(causes(&error.without_url()), public)
    }
}

/// `max-age` less `Age` (RFC 9111 §5.1, §5.2.2); nothing for answers that are not to be kept.
fn freshness(headers: &HeaderMap) -> Option<Duration> {
    let directives = || {
        let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).map(|it| it.trim().to_ascii_lowercase())
    };
    if directives().any(|it| it == "no-store" || it == "no-cache") {
        return Some(Duration::ZERO);
    }
    let max_age: u64 = directives().find_map(|it| seconds(it.strip_prefix("max-age=")?.trim_matches('"')))?;
    let age = headers.get(AGE).and_then(|age| seconds(age.to_str().ok()?)).unwrap_or(0);
    Some(Duration::from_secs(max_age.saturating_sub(age)))
}

/// delta-seconds (RFC 9111 §1.2.2): digits; what is too large counts as very long.
fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::from(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_what_cache_control_says() {
        for (cache_control, age, expected) in [
            (None, None, None),
            (Some("max-age=86400, public, must-revalidate"), None, Some(86400)),
            (Some("public,MAX-AGE=60"), None, Some(60)),
            (Some("max-age=\"60\""), None, Some(60)),
            (Some("max-age=100"), Some("40"), Some(60)),
            (Some("max-age=100"), Some("400"), Some(0)),
            (Some("max-age=100"), Some("soon"), Some(100)),
            (Some("max-age=99999999999999999999999"), None, Some(u64::from(u32::MAX))),
            (Some("max-age=-5"), None, None),
            (Some("max-age=+5"), None, None),
            (Some("max-age="), None, None),
            (Some("no-store"), None, Some(0)),
            (Some("max-age=600, no-cache"), None, Some(0)),
            (Some("public"), None, None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = cache_control {
                headers.insert(CACHE_CONTROL, value.parse().expect("a header"));
            }
            if let Some(value) = age {
                headers.insert(AGE, value.parse().expect("a header"));
            }
            assert_eq!(freshness(&headers), expected.map(Duration::from_secs), "{cache_control:?} {age:?}");
        }
    }

    #[test]
    fn a_key_set_may_be_elsewhere_but_not_less_protected() {
        for (issuer, jwks_uri, allowed) in [
            ("https://gitlab.com", "https://gitlab.com/oauth/discovery/keys", true),
            ("https://gitlab.example", "https://internal.example:8443/keys", true),
            ("https://gitlab.example", "http://gitlab.example/keys", false),
            ("http://127.0.0.1:8080", "http://127.0.0.2:8080/keys", true),
            ("http://127.0.0.1:8080", "https://gitlab.example/keys", true),
            ("https://gitlab.example", "file:///etc/passwd", false),
            ("https://gitlab.example", "ftp://gitlab.example/keys", false),
            ("https://gitlab.example", "/oauth/discovery/keys", false),
            ("https://gitlab.example", "https://user:word@gitlab.example/keys", false),
            ("https://gitlab.example", "", false),
        ] {
            assert_eq!(key_set_url(issuer, jwks_uri).is_ok(), allowed, "{issuer} {jwks_uri}");
        }
    }
}
