//! `POST /v1/token-revoke`: RFC 7009, by the token, or by the lease from the job that has it.

use super::error::Told;
use super::{Answer, api, bearer, read_form, uncached};
use crate::api::{ApiState, plain};
use crate::broker::LeaseId;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use std::sync::Arc;

pub(super) async fn revoke(State(state): State<Arc<ApiState>>, headers: HeaderMap, body: Body) -> Answer {
    let api = api(&state)?;
    let form = read_form(&state, &headers, body).await?;
    match (form.get("token"), form.get("lease_id")) {
        (Some(token), None) => api.broker.revoke_token(token).await?,
        (None, Some(lease)) => {
            let lease =
                LeaseId::parse(lease).ok_or(Told::invalid("lease_id is not one: it has 32 hex digits."))?;
            let id_token = match form.get("subject_token") {
                Some(id_token) => Some(id_token),
                None => bearer(&headers),
            };
            let id_token =
                id_token.ok_or(Told::invalid("subject_token is missing: an ID token of the same job."))?;
            api.broker.revoke_lease(lease, id_token).await?;
        }
        _ => return Err(Told::invalid("Give token, or lease_id and subject_token.")),
    }
    // RFC 7009 §2.2: whether there was such a token is nobody's business.
    Ok(uncached(plain(StatusCode::OK, "application/json", "{}")))
}
