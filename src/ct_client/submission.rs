//! One submission: as many tries as its time allows.

use crate::outbound::causes;
use crate::transparency::sct::ReceivedSct;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

/// The largest answer, in octets; those of logs have about 300.
const MAX_ANSWER: usize = 64 * 1024;
/// How much of an answer an error quotes, in characters.
const MAX_QUOTED: usize = 200;
/// The wait before the second try; doubled before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait that we choose ourselves.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What is sent, and where.
pub struct Submission<'s> {
    pub client: &'s Client,
    pub url: &'s Url,
    pub body: String,
    /// For all tries together.
    pub timeout: Duration,
}

/// Why there is no SCT.
#[derive(Debug)]
pub struct Fault {
    /// For operators: it may quote what the log answered.
    pub problem: String,
    /// When the log said that another try has a chance.
    pub retry_after: Option<Duration>,
    /// How often it was asked.
    pub tries: u32,
    /// What it says of the log.
    pub kind: Kind,
}

/// What a fault says of the log as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It does not answer, or fails: the next entry will fare no better.
    Down,
    /// It is up and takes entries, only not so many: 429.
    Busy,
    /// It is up and did not take this entry, or its answer was not accepted: the next entry may fare better.
    Refused,
}

/// What became of one try.
enum Failed {
    /// Worth another try: the network, 408, 429, 5xx.
    ForNow { problem: String, retry_after: Option<Duration>, kind: Kind },
    /// It would be the same again.
    ForGood(String),
}

/// `{"chain": […]}` (RFC 6962 §4.1).
pub fn body(chain: &[&[u8]]) -> String {
    let chain: Vec<String> = chain.iter().map(|der| STANDARD.encode(der)).collect();
    json!({ "chain": chain }).to_string()
}

impl Submission<'_> {
    /// Sends it until `verify` takes what comes back, or the time is up.
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock of tokio's own timers, which the deadline is for"
    )]
    pub async fn send(
        &self,
        verify: impl Fn(&ReceivedSct) -> Result<(), String> + Send + Sync,
    ) -> Result<ReceivedSct, Fault> {
        let deadline = Instant::now() + self.timeout;
        let mut wait = FIRST_WAIT;
        let mut tries = 0;
        let mut last = None;
        loop {
            tries += 1;
            let failed = match timeout_at(deadline, self.attempt(&verify)).await {
                Ok(Ok(sct)) => return Ok(sct),
                Ok(Err(failed)) => failed,
                Err(_) => {
                    let (problem, retry_after) = last.unwrap_or_default();
                    let sep = if tries > 1 { "; before: " } else { "" };
                    let problem = format!("no complete answer within {:?}{sep}{problem}", self.timeout);
                    return Err(Fault { problem, retry_after, tries, kind: Kind::Down });
                }
            };
            let (problem, retry_after, kind) = match failed {
                Failed::ForNow { problem, retry_after, kind } => (problem, retry_after, kind),
                Failed::ForGood(problem) => {
                    return Err(Fault { problem, retry_after: None, tries, kind: Kind::Refused });
                }
            };
            // A log that says 0 is not asked in a tight loop.
            let pause = retry_after.unwrap_or(wait).max(wait);
            // A try that could not be answered in time is not made.
            if Instant::now() + pause >= deadline {
                return Err(Fault { problem, retry_after, tries, kind });
            }
            sleep(pause).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            last = Some((problem, retry_after));
        }
    }

    async fn attempt(
        &self,
        verify: &(impl Fn(&ReceivedSct) -> Result<(), String> + Sync),
    ) -> Result<ReceivedSct, Failed> {
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let response = request.body(self.body.clone()).send().await.map_err(network)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = read_capped(response).await?;
        if status != StatusCode::OK {
            return Err(refused(status, &headers, &answer));
        }
        let sct = ReceivedSct::from_json(&answer).map_err(|error| {
            Failed::ForGood(format!("its answer is no SCT: {error}: {}", quoted(&answer)))
        })?;
        verify(&sct).map_err(|error| Failed::ForGood(format!("its SCT is not accepted: {error}")))?;
        Ok(sct)
    }
}

fn network(error: reqwest::Error) -> Failed {
    // The URL is in the log line already.
    Failed::ForNow { problem: causes(&error.without_url()), retry_after: None, kind: Kind::Down }
}

async fn read_capped(mut response: Response) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(network)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(Failed::ForGood(format!("its answer is larger than {} KiB", MAX_ANSWER / 1024)));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn refused(status: StatusCode, headers: &HeaderMap, answer: &[u8]) -> Failed {
    if status.is_redirection() {
        return Failed::ForGood(format!(
            "status {status}: redirects are not followed; name the log's own URL"
        ));
    }
    let problem = format!("status {status}: {}", quoted(answer));
    let temporary = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    let kind = if status == StatusCode::TOO_MANY_REQUESTS { Kind::Busy } else { Kind::Down };
    match temporary {
        true => Failed::ForNow { problem, retry_after: retry_after(headers), kind },
        false => Failed::ForGood(problem),
    }
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3); a date is passed over.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Duration::from_secs(text.parse::<u32>().unwrap_or(u32::MAX).into()))
}

/// The beginning of an answer, without control characters.
fn quoted(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let shown: String = text.chars().take(MAX_QUOTED).collect();
    format!("{:?}", shown.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_whole_seconds() {
        for (text, expected) in [
            ("5", Some(5)),
            (" 0 ", Some(0)),
            ("99999999999999", Some(u64::from(u32::MAX))),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("Fri, 31 Dec 1999 23:59:59 GMT", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn a_body_is_a_chain_in_base64() {
        assert_eq!(body(&[b"leaf", b"root"]), r#"{"chain":["bGVhZg==","cm9vdA=="]}"#);
    }
}
