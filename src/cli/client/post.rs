//! A POST that is tried again while another try may help.

use super::{Http, Patience, RefusedAnswer, RequestError, body, causes};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use std::time::Duration;

/// What is posted where.
#[derive(Clone, Copy, Debug)]
pub struct Post<'p> {
    /// Who is there, for messages.
    pub who: &'p str,
    /// Where.
    pub url: &'p str,
    /// What the body is.
    pub content_type: &'static str,
}

impl Http {
    /// The body of the answer to a POST that succeeded; tried again while another try may help. `note` hears of that.
    pub async fn post(
        &self,
        post: &Post<'_>,
        body: Vec<u8>,
        patience: Patience,
        mut note: impl FnMut(&str),
    ) -> Result<Vec<u8>, RequestError> {
        for tried in 1.. {
            let (error, wish) = match self.post_once(post, body.clone()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(refused)) if !refused.is_passing() => {
                    return Err(RequestError::Refused(Box::new(refused)));
                }
                Ok(Err(refused)) => {
                    let wish = refused.retry_after;
                    (RequestError::Refused(Box::new(refused)), wish)
                }
                Err(Exchange::Unreachable(text)) => (RequestError::Failed(text), None),
                Err(Exchange::Nonsense(text)) => return Err(RequestError::Failed(text)),
            };
            let Some(wait) = patience.wait(tried, wish) else { return Err(error) };
            let what = match &error {
                RequestError::Refused(answer) => {
                    format!("{} answers {}: {}", post.who, answer.status, answer.message)
                }
                RequestError::Failed(text) => text.clone(),
            };
            note(&format!("{what}; trying again in {} s", wait.as_secs()));
            tokio::time::sleep(wait).await;
        }
        Err(RequestError::Failed("no further try".to_owned()))
    }

    async fn post_once(
        &self,
        post: &Post<'_>,
        octets: Vec<u8>,
    ) -> Result<Result<Vec<u8>, RefusedAnswer>, Exchange> {
        let response = self.client_for(post.url).post(post.url);
        let response = response
            .header(CONTENT_TYPE, post.content_type)
            .body(octets)
            .send()
            .await
            .map_err(|error| Exchange::Unreachable(format!("{}: {}", post.url, causes(&error))))?;
        let status = response.status();
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let retry_after =
            header(RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let request_id = header("x-request-id");
        if status.is_redirection() {
            return Err(Exchange::Nonsense(format!(
                "{} redirects elsewhere ({status}); give {}'s own URL",
                post.url, post.who
            )));
        }
        let body =
            body(response).await.map_err(|error| Exchange::Unreachable(format!("{}: {error}", post.url)))?;
        if !status.is_success() {
            return Ok(Err(RefusedAnswer::parse(status, retry_after, request_id, &body)));
        }
        Ok(Ok(body))
    }
}

/// How an exchange failed below the API.
enum Exchange {
    /// Another try may succeed.
    Unreachable(String),
    /// It will not.
    Nonsense(String),
}
