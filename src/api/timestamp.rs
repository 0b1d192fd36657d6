//! Timestamps (RFC 3161 §3.4, and the reference's JSON), the authority's chain, and whether it is there.
//!
//! Errors have the reference's statuses, and its `code`, which is the status; what RFC 3161 would have said is in `failure_info`.
//! `Accept` is not looked at: there is one form of answer.

use super::body;
use super::ct::Answer;
use super::error::StatusAsCode;
use super::{ApiState, only_get, only_post, plain};
use crate::refusal::{Reason, Refusal};
use crate::timestamping::request::{MAX_DER, MAX_JSON};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;

const REPLY: &str = "application/timestamp-reply";
const CHAIN: &str = "application/pem-certificate-chain";

/// The routes; none where there is no timestamp authority.
pub fn routes(state: &ApiState) -> Router<Arc<ApiState>> {
    if state.timestamps.is_none() {
        return Router::new();
    }
    Router::new()
        .route("/api/v1/timestamp", only_post(timestamp))
        .route("/api/v1/timestamp/certchain", only_get(chain))
        .route("/ping", only_get(ping))
        .route_layer(from_fn(as_the_reference))
}

/// Errors' `code` is the HTTP status here, and a wrong method 405.
async fn as_the_reference(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.extensions_mut().insert(StatusAsCode);
    response
}

/// Which parser the content type asks for.
#[derive(Clone, Copy)]
enum Form {
    Der,
    Json,
}

impl Form {
    /// Parameters of the media type do not count.
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = text.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/timestamp-query") {
            Ok(Self::Der)
        } else if essence.eq_ignore_ascii_case("application/json") {
            Ok(Self::Json)
        } else {
            Err(Refusal::new(Reason::ContentTypeUnsupported)
                .because("Send application/timestamp-query or application/json."))
        }
    }

    const fn cap(self) -> usize {
        match self {
            Self::Der => MAX_DER,
            Self::Json => MAX_JSON,
        }
    }
}

/// `POST /api/v1/timestamp`
async fn timestamp(State(state): State<Arc<ApiState>>, headers: HeaderMap, body: Body) -> Answer {
    // Who cannot get a place now is told so before the body is looked at.
    if state.timestamping.available_permits() == 0 {
        body::drain(body).await;
        return Err(full().into());
    }
    let form = match Form::of(&headers) {
        Ok(form) => form,
        Err(refusal) => {
            body::drain(body).await;
            return Err(refusal.into());
        }
    };
    let body = state.bodies.read_capped(&headers, body, state.draining(), form.cap()).await?;
    // A place is for work alone: who sends slowly holds none. The others of a burst wait here, and are no more than a few
    // milliseconds of work.
    let _place = state.timestamping.try_acquire().map_err(|_| full())?;
    tokio::task::yield_now().await;
    let authority = state.timestamps.as_ref().ok_or(Reason::NotFound)?;
    let reply = match form {
        Form::Der => authority.answer_der(&body)?,
        Form::Json => authority.answer_json(&body)?,
    };
    Ok(uncached(plain(StatusCode::OK, REPLY, reply)))
}

/// `GET /api/v1/timestamp/certchain`: the authority's certificate first.
async fn chain(State(state): State<Arc<ApiState>>) -> Answer {
    let authority = state.timestamps.as_ref().ok_or(Reason::NotFound)?;
    Ok(uncached(plain(StatusCode::OK, CHAIN, authority.chain().pem())))
}

/// `GET /ping`: 200 while timestamps are made.
async fn ping(State(state): State<Arc<ApiState>>) -> Answer {
    let authority = state.timestamps.as_ref().ok_or(Reason::NotFound)?;
    if authority.health().is_err() {
        return Err(Reason::TimestampUnavailable.into());
    }
    Ok(uncached(plain(StatusCode::OK, "text/plain; charset=utf-8", ".")))
}

fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn full() -> Refusal {
    Refusal::new(Reason::Overloaded).retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_decides_whatever_its_case_and_parameters() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(text));
            Form::of(&headers).map(Form::cap).map_err(|refusal| refusal.reason())
        };
        assert_eq!(of("application/timestamp-query"), Ok(MAX_DER));
        assert_eq!(of("Application/JSON; charset=utf-8"), Ok(MAX_JSON));
        for wrong in
            ["", "text/plain", "application/timestamp-query2", "application/jsonx", "application/ json"]
        {
            assert_eq!(of(wrong), Err(Reason::ContentTypeUnsupported), "{wrong}");
        }
        assert!(Form::of(&HeaderMap::new()).is_err());
    }
}
