//! One call: sent once, with the main credential, within its time; its answer read up to a bound, judged, and told to the observer.

use super::routes::Route;
use super::verdict::{Failure, Heard, Purpose, judge};
use crate::environment::{Clock, Stopwatch, UnixMillis};
use crate::leasing::ports::{CallError, Observer, Secret};
use crate::outbound::{Clients, causes};
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LINK, RETRY_AFTER};
use reqwest::{Method, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use url::Url;
use zeroize::Zeroizing;

/// The largest answer, in octets: a page of a hundred tokens has about 50,000.
const MAX_ANSWER: usize = 1024 * 1024;
/// The longest wait that GitLab may ask for.
const LONGEST_WAIT: u64 = 3600;

/// The header that takes every kind of access token.
const PRIVATE_TOKEN: &str = "private-token";

/// The connection to one instance.
pub struct Transport {
    pub target: String,
    /// With a slash at its end.
    pub api: String,
    pub clients: Clients,
    pub timeout: Duration,
    pub clock: Arc<dyn Clock>,
    pub stopwatch: Arc<dyn Stopwatch>,
    pub observer: Arc<dyn Observer>,
    pub credential: RwLock<HeaderValue>,
    /// The time in the latest answer.
    pub heard: Mutex<Option<UnixMillis>>,
}

/// What is asked.
pub struct Call<'c> {
    pub method: Method,
    pub route: Route,
    pub purpose: Purpose,
    pub body: Option<Value>,
    /// Another credential than the one in use.
    pub credential: Option<&'c Secret>,
}

impl Call<'_> {
    /// To know something.
    pub const fn look(route: Route) -> Self {
        Self { method: Method::GET, route, purpose: Purpose::Look, body: None, credential: None }
    }

    /// To make a token.
    pub const fn make(route: Route, body: Value) -> Self {
        Self { method: Method::POST, route, purpose: Purpose::Make, body: Some(body), credential: None }
    }

    /// To end one.
    pub const fn end(route: Route) -> Self {
        Self { method: Method::DELETE, route, purpose: Purpose::End, body: None, credential: None }
    }
}

/// An answer that is the one that was wanted.
pub struct Answered {
    body: Zeroizing<Vec<u8>>,
    /// Whether a list goes on; `None`: GitLab does not say.
    pub goes_on: Option<bool>,
}

impl Answered {
    /// Reads it.
    ///
    /// # Errors
    /// [`CallError::Unknown`], without a word of the answer, which may hold a token.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|_| unreadable())
    }
}

/// An answer that says that it was done, and not what.
pub fn unreadable() -> CallError {
    CallError::Unknown { detail: "its answer is cut off, or not the API's".into(), retry_after: None }
}

/// A credential as a header that no log shows.
///
/// # Errors
/// It cannot be one.
pub fn header(credential: &Secret) -> Result<HeaderValue, String> {
    let text = credential.expose();
    let value = HeaderValue::from_str(text).ok().filter(|_| !text.is_empty() && text.is_ascii());
    let mut value = value.ok_or("the main credential has a character in it that no token of GitLab's has")?;
    value.set_sensitive(true);
    Ok(value)
}

impl Transport {
    /// Sends it, once.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub async fn send(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let (label, purpose) = (call.route.label, call.purpose);
        let began = self.stopwatch.elapsed();
        let answer = self.exchange(call).await;
        let took = self.stopwatch.elapsed().saturating_sub(began);
        let status = answer.as_ref().map_or(0, |(status, ..)| *status);
        self.observer.called(&self.target, label, status, took);
        let (status, headers, body) = answer.map_err(Failure::Certain)?;
        let body = body.map_err(Failure::Certain)?;
        judge(purpose, Heard { status, body: &body, retry_after: self.retry_after(status, &headers) })?;
        Ok(Answered { body, goes_on: goes_on(&headers) })
    }

    /// Status, headers and body; the body's error apart, so that the status is counted.
    async fn exchange(&self, call: Call<'_>) -> Result<(u16, HeaderMap, Read), CallError> {
        let not_sent = |detail: String| CallError::NotDone { detail, retry_after: None };
        let mut url = Url::parse(&format!("{}{}", self.api, call.route.path))
            .map_err(|error| not_sent(error.to_string()))?;
        if !call.route.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.route.query);
        }
        let credential = match call.credential {
            Some(other) => header(other).map_err(not_sent)?,
            None => self.credential.read().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let client = self.clients.client_for(&url);
        let mut request = client.request(call.method, url).timeout(self.timeout);
        request = request.header(PRIVATE_TOKEN, credential).header(ACCEPT, "application/json");
        if let Some(body) = call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if let Some(time) = date(&headers) {
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
        }
        // What ended needs no body, and has none.
        let body = if call.purpose == Purpose::End && status == 204 {
            Ok(Zeroizing::default())
        } else {
            read(response).await
        };
        Ok((status, headers, body))
    }

    /// `Retry-After` in seconds, or, of an answer that there were too many calls, `RateLimit-Reset`, which is a time and stands in every answer.
    fn retry_after(&self, status: u16, headers: &HeaderMap) -> Option<Duration> {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
        let reset = || {
            let time = number("ratelimit-reset").filter(|_| status == 429)?;
            Some(time.saturating_sub(self.clock.now().as_secs()))
        };
        let seconds = number(RETRY_AFTER.as_str()).or_else(reset)?;
        Some(Duration::from_secs(seconds.min(LONGEST_WAIT)))
    }
}

type Read = Result<Zeroizing<Vec<u8>>, CallError>;

/// An error of the connection: before it was there nothing was sent.
fn failed(error: reqwest::Error) -> CallError {
    let sent = !error.is_connect() && !error.is_builder();
    let detail = if error.is_timeout() { "no answer in time".into() } else { causes(&error.without_url()) };
    let detail = super::words::fit(&detail);
    match sent {
        true => CallError::Unknown { detail, retry_after: None },
        false => CallError::NotDone { detail, retry_after: None },
    }
}

async fn read(mut response: Response) -> Read {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            let detail = format!("its answer is larger than {} KiB", MAX_ANSWER / 1024);
            return Err(CallError::Unknown { detail, retry_after: None });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// `Date`: what the clock of whoever answers says.
fn date(headers: &HeaderMap) -> Option<UnixMillis> {
    let time = chrono::DateTime::parse_from_rfc2822(headers.get(DATE)?.to_str().ok()?).ok()?;
    u64::try_from(time.timestamp_millis()).ok().map(UnixMillis)
}

/// Whether there is another page. GitLab's links are not followed: where to ask is not for an answer to say.
fn goes_on(headers: &HeaderMap) -> Option<bool> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    match text("x-next-page") {
        Some(next) => Some(!next.trim().is_empty()),
        None => text(LINK.as_str()).map(|links| links.contains("rel=\"next\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_header_that_is_not_shown() {
        let value = header(&Secret::new("glpat-abc".into())).unwrap();
        assert_eq!((value.to_str().unwrap(), format!("{value:?}").as_str()), ("glpat-abc", "Sensitive"));
        for wrong in ["", "a\nb", "é", "a\r\nx: y"] {
            let error = header(&Secret::new(wrong.into())).unwrap_err();
            assert!(wrong.is_empty() || !error.contains(wrong));
        }
    }

    #[test]
    fn an_answers_date_is_a_time() {
        let told = |text: &str| {
            date(&[(DATE, HeaderValue::from_str(text).unwrap())].into_iter().collect()).map(|time| time.0)
        };
        assert_eq!(told("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        for wrong in
            ["", "now", "Sun, 06 Nov 1994", "Mon, 06 Nov 1994 08:49:37 GMT", "Wed, 31 Dec 1969 23:59:59 GMT"]
        {
            assert_eq!(told(wrong), None, "{wrong}");
        }
        assert_eq!(date(&HeaderMap::new()), None);
    }

    #[test]
    fn a_list_goes_on_where_gitlab_says_so() {
        let told = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (reqwest::header::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            goes_on(&pairs.collect())
        };
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[("x-next-page", "2")]), Some(true));
        assert_eq!(told(&[("x-next-page", ""), ("link", "<a>; rel=\"next\"")]), Some(false));
        assert_eq!(
            told(&[("link", "<https://evil.example/>; rel=\"next\", <b>; rel=\"first\"")]),
            Some(true)
        );
        assert_eq!(told(&[("link", "<b>; rel=\"first\"")]), Some(false));
    }
}
