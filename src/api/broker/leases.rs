//! `GET /v1/leases/{id}`: a lease's state, for the job that has it.

use super::{Answer, api, bearer, uncached};
use crate::api::{ApiState, plain};
use crate::broker::{Code, Job, Lease, LeaseId, Refused};
use crate::environment::UnixMillis;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::sync::Arc;

pub(super) async fn of_the_job(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let api = api(&state)?;
    let id_token = bearer(&headers).ok_or(Refused::new(Code::TokenRefused))?;
    let id = LeaseId::parse(&id).ok_or(Refused::new(Code::LeaseUnknown))?;
    let lease = api.broker.lease(id, id_token).await?;
    Ok(uncached(plain(StatusCode::OK, "application/json", shown(&lease).to_string())))
}

/// A lease as it is listed: nothing in it is secret, and no time is a number. Its token is told of in one way, living or dead.
pub(super) fn shown(lease: &Lease) -> Value {
    let mut shown = serde_json::to_value(lease).unwrap_or_default();
    for (name, time) in [("created", lease.created), ("deadline", lease.deadline)] {
        shown[name] = time.to_string().into();
    }
    for name in ["at", "since", "next", "confirmed"] {
        if let Some(time) = shown.get(name).and_then(Value::as_u64) {
            shown[name] = UnixMillis(time).to_string().into();
        }
    }
    shown["job"] = shown_job(&lease.job);
    if let Some(end) = lease.asked_expiry {
        shown["asked_expiry"] = end.date().into();
    }
    if let Some(members) = shown.as_object_mut() {
        members.remove("past");
    }
    if let Some(minted) = lease.minted() {
        shown["minted"] = serde_json::to_value(minted).unwrap_or_default();
        if let Some(end) = minted.expires {
            shown["minted"]["expires"] = end.date().into();
        }
    }
    if let Some(why) = lease.why() {
        shown["why"] = why.into();
    }
    // The store has one `phase` for what is being revoked, whether it is stuck or settling; whoever looks is told.
    shown["phase"] = lease.phase.code().into();
    shown
}

/// Who asked, as it is listed.
pub(super) fn shown_job(job: &Job) -> Value {
    let mut shown = serde_json::to_value(job).unwrap_or_default();
    shown["expires"] = job.expires.to_string().into();
    shown
}
