//! The operators' side: which leases there are, ending them, roles and targets, a credential replaced now.

use super::error::Told;
use super::form::Form;
use super::leases::{shown, shown_job};
use super::{Answer, BrokerApi, Named, api, page, paper, uncached};
use crate::api::{ApiState, only_get, only_post, plain};
use crate::broker::{Code, LeaseId, Phase, Refused};
use crate::leasing::{Attempt, Attempts, Filter, Page, Slot};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

/// How many leases one answer has, unless fewer are asked for.
const MOST_LEASES: usize = 1000;
/// What a list may be asked for.
const LIST: [&str; 7] = ["role", "project", "job", "user", "state", "cursor", "limit"];
/// What the list of refused requests may be asked for.
const ATTEMPTS: [&str; 6] = ["role", "project", "job", "user", "cursor", "limit"];
/// What an order to revoke may say.
const ORDER: [&str; 6] = ["role", "project", "job", "user", "state", "all"];

/// Everything that operators may do with the broker; nothing where there is none.
pub fn routes(state: &Arc<ApiState>) -> Router {
    let Some(BrokerApi { admin_names, .. }) = &state.broker else { return Router::new() };
    let names: Arc<[String]> = admin_names.clone().into();
    Router::new()
        .route("/v1/leases", only_get(leases))
        .route("/v1/leases/{id}", only_get(lease))
        .route("/v1/leases/{id}/revoke", only_post(revoke_one))
        .route("/v1/leases/{id}/abandon", only_post(abandon))
        .route("/v1/leases/revoke", only_post(revoke_many))
        .route("/v1/attempts", only_get(attempts))
        .route("/v1/roles", only_get(roles))
        .route("/v1/targets", only_get(targets))
        .route("/v1/targets/{name}/rotate", only_post(rotate))
        .route("/v1/policy/test", only_post(paper::test))
        .route_layer(from_fn_with_state(names, page::refuse))
        .with_state(state.clone())
}

pub(super) fn answered(status: StatusCode, body: &Value) -> Response {
    uncached(plain(status, "application/json", body.to_string()))
}

/// `role`, `project`, `job`, `user`, `state` of a query or a form.
fn filter(form: &Form) -> Result<Filter, Told> {
    if form.get("state").is_some_and(|state| !Phase::CODES.contains(&state)) {
        return Err(Told::saying(format!("state is one of {}.", Phase::CODES.join(", "))));
    }
    let text = |name| form.get(name).map(str::to_owned);
    Ok(Filter {
        role: text("role"),
        project: text("project"),
        job_id: text("job"),
        user: text("user"),
        phase: text("state"),
    })
}

/// `cursor` and `limit`.
fn part<C>(query: &Form, parse: impl Fn(&str) -> Option<C>) -> Result<(Option<C>, usize), Told> {
    let after = query.get("cursor").map(|cursor| {
        parse(cursor).ok_or(Told::invalid("cursor is not what the answer before had as `next`."))
    });
    let most = query.get("limit").map(|limit| {
        let limit = limit.parse().ok().filter(|limit| (1..=MOST_LEASES).contains(limit));
        limit.ok_or(Told::invalid("limit is a number from 1 to 1000."))
    });
    Ok((after.transpose()?, most.transpose()?.unwrap_or(MOST_LEASES)))
}

/// Of what takes no parameters: what somebody has sent all the same he meant to say something with.
pub(super) fn no_query(uri: &Uri) -> Result<(), Told> {
    Form::strict(uri.query().unwrap_or_default().as_bytes(), &[]).map(drop)
}

/// The same of an order, whose body would be the parameters.
async fn no_parameters(state: &ApiState, headers: &HeaderMap, uri: &Uri, body: Body) -> Result<(), Told> {
    let read = state.bodies.read_capped(headers, body, state.draining(), super::MOST_BYTES).await;
    let octets = read.map_err(|refusal| Told::of_transport(&refusal))?;
    no_query(uri)?;
    Form::strict(&octets, &[]).map(drop)
}

async fn leases(State(state): State<Arc<ApiState>>, uri: Uri) -> Answer {
    let api = api(&state)?;
    let query = Form::strict(uri.query().unwrap_or_default().as_bytes(), &LIST)?;
    let (after, most) = part(&query, LeaseId::parse)?;
    let Page { leases, next } = api.broker.leases(&filter(&query)?, after, most);
    let leases: Vec<Value> = leases.iter().map(|lease| shown(lease)).collect();
    Ok(answered(StatusCode::OK, &json!({ "leases": leases, "next": next })))
}

async fn lease(State(state): State<Arc<ApiState>>, Named(id): Named, uri: Uri) -> Answer {
    no_query(&uri)?;
    let lease = LeaseId::parse(&id).and_then(|id| api(&state).ok()?.broker.find(id));
    let lease = lease.ok_or(Refused::new(Code::LeaseUnknown))?;
    Ok(answered(StatusCode::OK, &shown(&lease)))
}

async fn revoke_one(
    State(state): State<Arc<ApiState>>,
    Named(id): Named,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    no_parameters(&state, &headers, &uri, body).await?;
    let id = LeaseId::parse(&id).ok_or(Refused::new(Code::LeaseUnknown))?;
    let broker = &api(&state)?.broker;
    let is_live = broker.revoke(id).await?;
    if !is_live && broker.find(id).is_none() {
        return Err(Refused::new(Code::LeaseUnknown).into());
    }
    Ok(answered(StatusCode::ACCEPTED, &json!({ "revoking": usize::from(is_live) })))
}

/// One lease by its name, and never by a filter: whoever says so has looked at it.
async fn abandon(
    State(state): State<Arc<ApiState>>,
    Named(id): Named,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    no_parameters(&state, &headers, &uri, body).await?;
    let id = LeaseId::parse(&id).ok_or(Refused::new(Code::LeaseUnknown))?;
    let broker = &api(&state)?.broker;
    if !broker.abandon(id).await? {
        return Err(Told::invalid(
            "Only a lease is given up that is ten minutes late, and that a call has failed to end or whose instance does not answer.",
        ));
    }
    let lease = broker.find(id).map(|lease| shown(&lease));
    Ok(answered(StatusCode::OK, &json!({ "abandoned": 1, "lease": lease })))
}

/// A form that says which: `role`, `project`, `job`, `user`, `state`, or `all=true`. What is half understood is no order.
async fn revoke_many(State(state): State<Arc<ApiState>>, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    let form = Form::strict(&super::form_of(&state, &headers, body).await?, &ORDER)?;
    no_query(&uri)?;
    let filter = filter(&form)?;
    let is_all = match form.get("all") {
        None => false,
        Some("true") => true,
        Some(_) => return Err(Told::invalid("all is true, or is not there.")),
    };
    if (filter == Filter::default()) != is_all {
        return Err(Told::invalid("Say which leases: role, project, job, user or state; or all=true alone."));
    }
    let count = api(&state)?.broker.revoke_where(&filter).await?;
    Ok(answered(StatusCode::ACCEPTED, &json!({ "revoking": count })))
}

/// Requests that were refused, newest first.
async fn attempts(State(state): State<Arc<ApiState>>, uri: Uri) -> Answer {
    let query = Form::strict(uri.query().unwrap_or_default().as_bytes(), &ATTEMPTS)?;
    let (after, most) = part(&query, Slot::parse)?;
    let Attempts { attempts, next } = api(&state)?.broker.refused(&filter(&query)?, after, most);
    let attempts: Vec<Value> = attempts.iter().map(|attempt| refused(attempt)).collect();
    let next = next.map(|next| next.to_string());
    Ok(answered(StatusCode::OK, &json!({ "refused": attempts, "next": next })))
}

fn refused(attempt: &Attempt) -> Value {
    let mut shown = serde_json::to_value(attempt).unwrap_or_default();
    shown["time"] = attempt.time.to_string().into();
    if let Some(job) = &attempt.job {
        shown["job"] = shown_job(job);
    }
    shown
}

async fn roles(State(state): State<Arc<ApiState>>, uri: Uri) -> Answer {
    no_query(&uri)?;
    let roles: Vec<Value> = api(&state)?.broker.roles().iter().map(role).collect();
    Ok(answered(StatusCode::OK, &json!({ "roles": roles })))
}

fn role(role: &crate::broker::Role) -> Value {
    json!({
        "name": role.name(),
        "target": role.target(),
        "kind": role.kind().code(),
        "scopes": role.scopes(),
        "access_level": role.access_level(),
        "ttl_seconds": role.ttl().as_secs(),
        "max_ttl_seconds": role.max_ttl().as_secs(),
        "max_active": role.max_active(),
        "max_active_per_project": role.max_active_per_project(),
        "when": role.when().source(),
    })
}

async fn targets(State(state): State<Arc<ApiState>>, uri: Uri) -> Answer {
    no_query(&uri)?;
    let BrokerApi { broker, targets, .. } = api(&state)?;
    let reading = broker.reading();
    let targets = targets.iter().map(|(name, url)| {
        let known = reading.targets.iter().find(|target| target.name == *name);
        json!({
            "name": name,
            "url": url,
            "version": known.and_then(|known| known.version.map(|version| version.to_string())),
            "configured_credential_sha256": known.map(|known| &known.configured),
            "credential_id": known.and_then(|known| known.credential),
            "credential_seconds_left": known.and_then(|known| known.credential_left).map(|left| left.as_secs()),
            "credentials_to_revoke": known.map(|known| &known.to_revoke),
            "down": known.and_then(|known| known.down.clone()),
        })
    });
    Ok(answered(StatusCode::OK, &json!({ "targets": targets.collect::<Vec<_>>() })))
}

async fn rotate(
    State(state): State<Arc<ApiState>>,
    Named(name): Named,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    no_parameters(&state, &headers, &uri, body).await?;
    let rotated = api(&state)?.broker.rotate(&name).await.map_err(Told::to_operator)?;
    let end = rotated.expires.map(|expiry| expiry.date());
    Ok(answered(
        StatusCode::OK,
        &json!({ "target": name, "credential_id": rotated.id, "credential_expires_at": end }),
    ))
}
