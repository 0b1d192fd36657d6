//! `grpc.health.v1.Health`: the truth of `/healthz`, for probes and load balancers that speak gRPC.

use super::messages::{HealthCheckRequest, HealthCheckResponse, ServingStatus};
use super::unary;
use crate::api::ApiState;
use crate::api::error::Rejection;
use crate::refusal::Reason;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// The services that can be asked for. The empty name is the server.
const SERVICES: [&str; 3] = ["", "dev.sigstore.fulcio.v2.CA", "dev.sigstore.fulcio.v1beta.CA"];

/// How often a watched state is looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

type Update = Result<HealthCheckResponse, Status>;

/// `Check`
pub async fn check(
    State(state): State<Arc<ApiState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Rejection> {
    let message: HealthCheckRequest = unary::message(&state, &headers, body).await?;
    match status(&state, &message.service) {
        ServingStatus::ServiceUnknown => Err(Reason::NotFound.into()),
        status => Ok(unary::answer(HealthCheckResponse { status: status.into() })),
    }
}

/// `Watch`: the state now, and again whenever it changes. It ends when the server shuts down.
pub async fn watch(
    State(state): State<Arc<ApiState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Rejection> {
    let place = state.admit_stream()?;
    let message: HealthCheckRequest = unary::message(&state, &headers, body).await?;
    let (updates, received) = mpsc::channel(1);
    tokio::spawn(report(state, message.service, updates, place));
    Ok(unary::answers(ReceiverStream::new(received)))
}

async fn report(
    state: Arc<ApiState>,
    service: String,
    updates: mpsc::Sender<Update>,
    _place: OwnedSemaphorePermit,
) {
    let mut told = None;
    loop {
        let ending = state.is_draining();
        let now = status(&state, &service);
        if told != Some(now) {
            told = Some(now);
            if updates.send(Ok(HealthCheckResponse { status: now.into() })).await.is_err() {
                return;
            }
        }
        if ending {
            let _ = updates.send(Err(Status::unavailable("The server is shutting down"))).await;
            return;
        }
        tokio::select! {
            () = sleep(WATCH_INTERVAL) => {}
            () = state.draining() => {}
            () = updates.closed() => return,
        }
    }
}

fn status(state: &ApiState, service: &str) -> ServingStatus {
    if !SERVICES.contains(&service) {
        return ServingStatus::ServiceUnknown;
    }
    match state.health() {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}
