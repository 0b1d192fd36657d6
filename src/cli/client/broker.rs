//! Questions to a token broker: forms and queries; its answers are JSON, its refusals OAuth's.

use super::{Http, Patience, body, causes};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use std::time::Duration;
use url::form_urlencoded;
use zeroize::Zeroizing;

const FORM: &str = "application/x-www-form-urlencoded";

/// What is asked.
pub struct Ask<'a> {
    /// `GET` with the fields as a query, or `POST` with them as a form.
    pub method: Method,
    /// Below the base URL.
    pub path: String,
    /// Parameters.
    pub fields: Vec<(&'static str, &'a str)>,
    /// Whether it may be sent again when its answer was lost.
    pub repeatable: bool,
}

/// A refusal as the broker tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The HTTP status.
    pub status: u16,
    /// `error`, RFC 6749 §5.2.
    pub error: Option<String>,
    /// `error_description`.
    pub description: String,
    /// The broker's own code.
    pub reason: Option<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The broker said why.
    Refused(Told),
    /// It could not be reached, or what answered is none.
    Exchange(String),
}

/// How one try failed, and whether another may help.
struct Try {
    failed: Failed,
    may_help: bool,
    wish: Option<Duration>,
}

impl Http {
    /// The answer's JSON; asked again while that may help. `note` hears of every further try.
    pub async fn ask(
        &self,
        base: &str,
        ask: &Ask<'_>,
        patience: Patience,
        mut note: impl FnMut(&str),
    ) -> Result<Value, Failed> {
        for tried in 1.. {
            let failed = match self.ask_once(base, ask).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let wait = patience.wait(tried, failed.wish).filter(|_| failed.may_help);
            let Some(wait) = wait else { return Err(failed.failed) };
            let what = match &failed.failed {
                Failed::Refused(told) => format!("the broker answers {}: {}", told.status, told.description),
                Failed::Exchange(words) => words.clone(),
            };
            note(&format!("{what}; trying again in {} s", wait.as_secs()));
            tokio::time::sleep(wait).await;
        }
        Err(Failed::Exchange("no further try".to_owned()))
    }

    fn request(&self, url: &str, ask: &Ask<'_>) -> RequestBuilder {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(&ask.fields);
        let form = Zeroizing::new(form.finish());
        if ask.method == Method::GET {
            let url = if form.is_empty() { url.to_owned() } else { format!("{url}?{}", *form) };
            return self.client_for(&url).get(url);
        }
        self.client_for(url).post(url).header(CONTENT_TYPE, FORM).body(form.as_bytes().to_vec())
    }

    async fn ask_once(&self, base: &str, ask: &Ask<'_>) -> Result<Value, Try> {
        let url = format!("{base}{}", ask.path);
        let failed = |words: String, may_help| Try { failed: Failed::Exchange(words), may_help, wish: None };
        let lost = |words: &str| failed(format!("{url}: {words}"), ask.repeatable);
        let sent = self.request(&url, ask).send().await;
        let response = sent.map_err(|error| {
            let may_help = ask.repeatable || error.is_connect();
            failed(format!("{url}: {}", causes(&error.without_url())), may_help)
        })?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_redirection() {
            return Err(failed(
                format!("{url} redirects elsewhere ({status}); give the broker's own URL"),
                false,
            ));
        }
        let octets = Zeroizing::new(body(response).await.map_err(|error| lost(&error))?);
        if status.is_success() {
            return serde_json::from_slice(&octets).map_err(|_| {
                failed(format!("{url} answered, but not as a broker does: is this its URL?"), false)
            });
        }
        let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        // These say that nothing was done; of others only what can be done twice is tried again.
        let undone = matches!(status.as_u16(), 429 | 503);
        let passing = ask.repeatable && matches!(status.as_u16(), 408 | 500 | 502 | 504);
        Err(Try {
            failed: Failed::Refused(told(status, &octets)),
            may_help: undone || passing,
            wish: seconds.map(Duration::from_secs),
        })
    }
}

fn told(status: StatusCode, body: &[u8]) -> Told {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| document[name].as_str().map(str::to_owned);
    Told {
        status: status.as_u16(),
        error: text("error"),
        description: text("error_description").unwrap_or_else(|| format!("{status}, without an explanation")),
        reason: text("reason"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_oauths() {
        let body = br#"{"error":"invalid_scope","error_description":"No.","reason":"BROKER_SCOPE_REFUSED"}"#;
        let expected = Told {
            status: 400,
            error: Some("invalid_scope".into()),
            description: "No.".into(),
            reason: Some("BROKER_SCOPE_REFUSED".into()),
        };
        assert_eq!(told(StatusCode::BAD_REQUEST, body), expected);
        for body in [&b""[..], b"<html>", b"[]", br#"{"error":1}"#] {
            let told = told(StatusCode::BAD_GATEWAY, body);
            assert_eq!(
                (told.description.as_str(), told.error),
                ("502 Bad Gateway, without an explanation", None)
            );
        }
    }
}
