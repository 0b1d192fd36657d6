//! Submitting to the log: `add-chain` and `add-pre-chain` (RFC 6962 §4.1, §4.2), where the operator accepts other CAs.

use super::ct::{Answer, blocking, json_answer};
use super::{ApiState, only_post};
use crate::certificate::accepted::SubmissionKind;
use crate::refusal::{Reason, Refusal};
use crate::transparency::sct::ReceivedSct;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use std::sync::Arc;

/// The largest body: nine certificates of 64 KiB would be larger, but no chain is.
const MAX_BODY_BYTES: usize = 512 * 1024;

/// The routes, none where no other CA is accepted.
pub fn routes(state: &ApiState) -> Router<Arc<ApiState>> {
    let accepts = state.authority.log.own().is_some_and(|log| log.accepts_submissions());
    if !accepts {
        return Router::new();
    }
    Router::new()
        .route("/ct/ct/v1/add-chain", only_post(add_chain))
        .route("/ct/ct/v1/add-pre-chain", only_post(add_pre_chain))
}

/// RFC 6962 §4.1.
async fn add_chain(State(state): State<Arc<ApiState>>, headers: HeaderMap, body: Body) -> Answer {
    add(&state, &headers, body, SubmissionKind::Certificate).await
}

/// RFC 6962 §4.2.
async fn add_pre_chain(State(state): State<Arc<ApiState>>, headers: HeaderMap, body: Body) -> Answer {
    add(&state, &headers, body, SubmissionKind::Precertificate).await
}

async fn add(state: &ApiState, headers: &HeaderMap, body: Body, kind: SubmissionKind) -> Answer {
    let _place = state.admit_submission()?;
    let body = state.bodies.read(headers, body, state.draining()).await?;
    let chain = parse(&body)?;
    let submission = {
        let _turn = state.reads.acquire().await.map_err(|_| Reason::ShuttingDown)?;
        blocking(state, move |log| log.check_submission(chain, kind)).await?
    };
    let log = state.authority.log.own().ok_or(Reason::NotFound)?;
    let sct = ReceivedSct::from(log.submit(submission).await?);
    Ok(json_answer(&sct.to_json(), "no-store"))
}

#[derive(Deserialize)]
struct Chain {
    chain: Vec<String>,
}

/// `{"chain": [base64 of DER, …]}`, the certificate first.
fn parse(body: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Reason::RequestTooLarge.into());
    }
    let malformed = |detail: &'static str| Refusal::new(Reason::RequestMalformed).because(detail);
    let Chain { chain } = serde_json::from_slice(body)
        .map_err(|_| malformed("The body must be JSON with the member `chain`, a list of base64 texts."))?;
    if chain.is_empty() {
        return Err(malformed("The list `chain` is empty."));
    }
    let decoded = chain.iter().map(|text| BASE64_STANDARD.decode(text));
    decoded.collect::<Result<_, _>>().map_err(|_| malformed("A text in `chain` is not base64."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_base64_in_a_list() {
        assert_eq!(parse(br#"{"chain":["AQID","BA=="],"more":1}"#), Ok(vec![vec![1, 2, 3], vec![4]]));
        for wrong in [
            &b""[..],
            b"null",
            b"[]",
            b"{}",
            br#"{"chain":[]}"#,
            br#"{"chain":"AQID"}"#,
            br#"{"chain":["*"]}"#,
            br#"{"chain":[1]}"#,
        ] {
            assert_eq!(parse(wrong).map_err(|refusal| refusal.reason()), Err(Reason::RequestMalformed));
        }
        let large = format!(r#"{{"chain":["{}"]}}"#, "A".repeat(MAX_BODY_BYTES));
        assert_eq!(parse(large.as_bytes()).map_err(|it| it.reason()), Err(Reason::RequestTooLarge));
    }
}
