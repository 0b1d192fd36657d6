//! `GET /v1/leases/{id}`: a lease's state, for the job that has it.

use super::{Answer, Named, api, bearer, uncached};
use crate::api::{ApiState, plain};
use crate::broker::{Code, Job, Lease, LeaseId, Phase, Refused};
use crate::environment::UnixMillis;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::sync::Arc;

/// What a job is told where GitLab's words stand for operators.
const NOT_CONFIRMED: &str = "GitLab has not confirmed that the token is dead. It is asked again.";
const NEVER_WAS: &str = "There is no token.";
const GIVEN_UP: &str = "An operator has given it up. The token may live until GitLab ends it.";

pub(super) async fn of_the_job(
    State(state): State<Arc<ApiState>>,
    Named(id): Named,
    headers: HeaderMap,
) -> Answer {
    let api = api(&state)?;
    let id_token = bearer(&headers).ok_or(Refused::new(Code::TokenRefused))?;
    let id = LeaseId::parse(&id).ok_or(Refused::new(Code::LeaseUnknown))?;
    let lease = api.broker.lease(id, id_token).await?;
    Ok(uncached(plain(StatusCode::OK, "application/json", shown_to_its_job(&lease).to_string())))
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

/// The same for the job that has it: where it stands. What GitLab said, and how often it was asked, is for operators.
fn shown_to_its_job(lease: &Lease) -> Value {
    let mut shown = shown(lease);
    if let Some(members) = shown.as_object_mut() {
        for name in ["fault", "tries", "next"] {
            members.remove(name);
        }
    }
    match &lease.phase {
        Phase::Revoking { tries: 1.., .. } => shown["fault"] = NOT_CONFIRMED.into(),
        Phase::Aborted { .. } => shown["why"] = NEVER_WAS.into(),
        Phase::Abandoned { .. } => shown["why"] = GIVEN_UP.into(),
        _ => {}
    }
    shown
}

/// Who asked, as it is listed.
pub(super) fn shown_job(job: &Job) -> Value {
    let mut shown = serde_json::to_value(job).unwrap_or_default();
    shown["expires"] = job.expires.to_string().into();
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Kind, Revocation};

    /// What GitLab said, of which nothing reaches a job.
    const WORDS: &str = "refused with 404: 404 Project Not Found";

    fn lease(phase: Phase) -> Lease {
        let job = serde_json::json!({
            "issuer": "https://gitlab.example.com", "project_path": "acme/app", "project_id": "1", "ref": "main", "pipeline_id": "2",
            "job_id": "3", "user": "ada", "user_id": "5", "runner_id": "4", "jti": "x", "expires": 0,
        });
        Lease {
            id: LeaseId::parse(&"0".repeat(32)).unwrap(),
            role: "tag".into(),
            target: "gitlab".into(),
            instance: String::new(),
            kind: Kind::Project,
            path: "acme/app".into(),
            owner: vec![],
            name: "tag".into(),
            scopes: vec![],
            access_level: None,
            job: serde_json::from_value(job).unwrap(),
            created: UnixMillis(0),
            deadline: UnixMillis(0),
            revocation: Revocation::Broker,
            asked_expiry: None,
            past: None,
            phase,
        }
    }

    fn revoking(tries: u32, fault: &str, stuck: bool) -> Phase {
        let (since, next) = (UnixMillis(0), UnixMillis(0));
        let why = "holder".to_owned();
        Phase::Revoking {
            minted: None,
            since,
            why,
            tries,
            next,
            fault: fault.to_owned(),
            stuck,
            confirmed: None,
        }
    }

    #[test]
    fn gitlabs_words_are_for_operators_alone() {
        let at = UnixMillis(0);
        for (phase, code, member, told) in [
            (revoking(1, WORDS, false), "revoking", "fault", NOT_CONFIRMED),
            (revoking(9, WORDS, true), "stuck", "fault", NOT_CONFIRMED),
            (Phase::Aborted { at, why: WORDS.into() }, "aborted", "why", NEVER_WAS),
            (Phase::Abandoned { at, why: WORDS.into() }, "abandoned", "why", GIVEN_UP),
        ] {
            let lease = lease(phase);
            let job = shown_to_its_job(&lease);
            assert_eq!((&job["phase"], &job[member]), (&code.into(), &told.into()), "{job}");
            assert!(!job.to_string().contains("404") && job.get("tries").is_none(), "{job}");
            assert_eq!(shown(&lease)[member], WORDS);
        }
        let job = shown_to_its_job(&lease(revoking(0, "", false)));
        assert_eq!((job.get("fault"), &job["why"]), (None, &"holder".into()), "{job}");
    }
}
