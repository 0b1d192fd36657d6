//! The one way in which a certificate is asked for: what differs between the four APIs is a [`Dialect`].
//!
//! In this order: refuse at once where nobody could get a place, read the message, authorize, issue, answer. Who gets a place is
//! decided on the way, by `issuance::admission`.

use super::edge::IssuedNote;
use super::error::Rejection;
use super::{ApiState, body};
use crate::issuance::{Authorized, CertificateRequest, Course, Issued};
use crate::refusal::Refusal;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;

/// How one API spells the request and its answer.
pub trait Dialect {
    /// The request's message, parsed.
    type Message: Send + Sync;

    /// Reads and parses the body.
    ///
    /// # Errors
    /// It did not arrive, or is no such message.
    fn read(
        state: &ApiState,
        headers: &HeaderMap,
        body: Body,
    ) -> impl Future<Output = Result<Self::Message, Refusal>> + Send;

    /// The token, the key and its proof.
    ///
    /// # Errors
    /// One of them is missing where this API looks for it.
    fn request<'r>(
        message: &'r Self::Message,
        headers: &'r HeaderMap,
    ) -> Result<CertificateRequest<'r>, Refusal>;

    /// The answer for what was issued.
    fn answer(state: &ApiState, issued: &Issued) -> Response;
}

/// A handler: from the request to the answer, whichever it is, with how far the request got, for metrics and its event.
pub async fn certificate<D: Dialect>(State(state): State<Arc<ApiState>>, request: Request) -> Response {
    let mut course = state.authority.course();
    let mut response = match issue::<D>(&state, request, &mut course).await {
        Ok(issued) => {
            let mut response = D::answer(&state, &issued);
            response.extensions_mut().insert(IssuedNote {
                serial: issued.certificate.serial().to_owned(),
                log_index: issued.place.map(|place| place.index),
            });
            response
        }
        Err(refusal) => Rejection(refusal).into_response(),
    };
    response.extensions_mut().insert(course);
    response
}

async fn issue<D: Dialect>(
    state: &ApiState,
    request: Request,
    course: &mut Course,
) -> Result<Issued, Refusal> {
    if let Err(refusal) = state.authority.admission.is_full() {
        // Over HTTP/1 a connection with unread octets is closed by a reset, and the caller may never see the answer. Nearly
        // always the body is here already, and this costs nothing.
        body::drain(request.into_body()).await;
        return Err(refusal);
    }
    let authorized = authorize::<D>(state, request, course).await?;
    state.issue(authorized, course).await
}

/// Of the request nothing is left afterwards. Whoever waits for the log goes on on any thread, and the allocator of one has
/// to wait for the other's where it gives back what that one took.
async fn authorize<D: Dialect>(
    state: &ApiState,
    request: Request,
    course: &mut Course,
) -> Result<Authorized, Refusal> {
    let (head, body) = request.into_parts();
    let message = D::read(state, &head.headers, body).await?;
    state.authorize(D::request(&message, &head.headers)?, course).await
}
