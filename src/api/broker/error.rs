//! A refusal as callers see it: RFC 6749 §5.2.

use super::uncached;
use crate::api::plain;
use crate::broker::{Code, Refused};
use crate::refusal::{Reason, Refusal};
use axum::http::StatusCode;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::borrow::Cow;
use std::time::Duration;

/// When to try again where nothing better is known.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);

/// On a response: the reason's code, for the request's log line.
#[derive(Clone, Copy, Debug)]
pub struct BrokerCode(pub Code);

/// A refusal on its way out, with what may be said of the request itself.
#[derive(Debug)]
pub struct Told {
    refused: Refused,
    /// Of the request's form, never of a token or role.
    hint: Cow<'static, str>,
    is_compat: bool,
    /// The hint is all that is said: what a reason means to a job is not what it means to an operator.
    is_operator: bool,
}

impl Told {
    /// The request's form is wrong: `hint` says how.
    pub const fn invalid(hint: &'static str) -> Self {
        Self::with_hint(Refused::new(Code::RequestInvalid), hint)
    }

    /// The same in words that are made for it, for operators.
    pub fn saying(hint: String) -> Self {
        Self { hint: Cow::Owned(hint), ..Self::invalid("") }
    }

    /// With this hint.
    pub const fn with_hint(refused: Refused, hint: &'static str) -> Self {
        Self { refused, hint: Cow::Borrowed(hint), is_compat: false, is_operator: false }
    }

    /// A body that did not come, or not whole.
    pub fn of_transport(refusal: &Refusal) -> Self {
        let (code, hint) = match refusal.reason() {
            Reason::RequestTooLarge => (Code::RequestInvalid, "The body is larger than 128 KiB."),
            Reason::EncodingUnsupported => (Code::RequestInvalid, Reason::EncodingUnsupported.explanation()),
            Reason::Overloaded => (Code::LimitReached, ""),
            Reason::ShuttingDown => (Code::ShuttingDown, ""),
            _ => (Code::RequestInvalid, "The body did not arrive whole."),
        };
        Self::with_hint(Refused::new(code), hint)
    }

    /// What the operator's record says of it: the hint is all there is to know.
    pub fn for_the_record(&self) -> Refused {
        self.refused.clone().because(self.hint.clone())
    }

    /// What an operator ordered was not done: why, in the record's words, which are for him.
    pub fn to_operator(refused: Refused) -> Self {
        let words = Cow::Owned(refused.record().to_owned());
        Self { hint: words, is_operator: true, ..Self::with_hint(refused, "") }
    }

    /// As gitlab-jwt-2-pat answers: a token that is not accepted is 401 with a challenge and no body.
    pub fn compat(self) -> Self {
        Self { is_compat: true, ..self }
    }
}

impl From<Refused> for Told {
    fn from(refused: Refused) -> Self {
        // How large it was, its caller knows.
        let hint = match refused.of_token() {
            Some(Reason::TokenTooLarge) => Reason::TokenTooLarge.explanation(),
            _ => "",
        };
        Self::with_hint(refused, hint)
    }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        let code = self.refused.code();
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = if self.is_compat && code == Code::TokenRefused {
            let mut response = plain(StatusCode::UNAUTHORIZED, "text/plain; charset=utf-8", "");
            let challenge = HeaderValue::from_static(r#"Bearer realm="gitlab-pat""#);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            response
        } else {
            let description = match self.is_operator && !self.hint.is_empty() {
                true => self.hint.into_owned(),
                false => [code.explanation(), &self.hint].join(" "),
            };
            let body = json!({
                "error": code.error(),
                "error_description": description.trim_end(),
                "reason": code.code(),
            });
            plain(status, "application/json", body.to_string())
        };
        insert_wait(response.headers_mut(), &self.refused);
        response.extensions_mut().insert(BrokerCode(code));
        uncached(response)
    }
}

/// `Retry-After`, where another try has a chance.
fn insert_wait(headers: &mut HeaderMap, refused: &Refused) {
    let temporary = matches!(refused.code().status(), 429 | 503);
    if let Some(wait) = refused.wait().or(temporary.then_some(DEFAULT_WAIT)) {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1000).max(1) as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_temporary_refusal_says_when_to_come_again_and_no_other_does() {
        for &code in Code::ALL {
            let response = Told::from(Refused::new(code).because("secret")).into_response();
            assert_eq!(response.status().as_u16(), code.status(), "{code:?}");
            let temporary = matches!(code.status(), 429 | 503);
            assert_eq!(response.headers().contains_key(RETRY_AFTER), temporary, "{code:?}");
            assert_eq!(response.headers()["cache-control"], "no-store");
        }
    }

    #[tokio::test]
    async fn the_record_is_for_the_operator_alone() {
        let told = Told::with_hint(Refused::new(Code::GitlabRefused).because("404 Project Not Found"), "");
        let body = axum::body::to_bytes(told.into_response().into_body(), 4096).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"], "invalid_target");
        assert_eq!(body["reason"], "BROKER_GITLAB_REFUSED");
        assert!(!body.to_string().contains("404"), "{body}");
    }

    #[tokio::test]
    async fn an_operator_is_told_what_the_record_says() {
        let pending = || Refused::new(Code::NotRotated).retry_after(Duration::from_secs(540));
        for (refused, wait, words) in [
            (Refused::new(Code::GitlabRefused).because("refused with 403: no"), None, "refused with 403: no"),
            (pending().because("It is waited for."), Some("540"), "It is waited for."),
            (Code::TargetUnknown.into(), None, "There is no such target."),
        ] {
            let response = Told::to_operator(refused).into_response();
            let told = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!(told, wait, "{words}");
            let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["error_description"], words);
        }
    }

    #[tokio::test]
    async fn a_token_that_is_not_accepted_is_a_challenge_on_the_old_path() {
        let response = Told::from(Refused::new(Code::TokenRefused)).compat().into_response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], r#"Bearer realm="gitlab-pat""#);
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        assert!(body.is_empty());
        assert_eq!(Told::from(Refused::new(Code::TargetRefused)).compat().into_response().status(), 400);
    }
}
