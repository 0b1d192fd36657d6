//! What stands around the routes of a listener, in one step: the edge, the choice between gRPC and JSON, the net under a panic.
//!
//! One service instead of a layer for each: a layer costs every request a few allocations, and refusals in a flood cost little else.

use super::edge::{Edge, edge};
use super::error::Rejection;
use super::grpc;
use crate::refusal::Reason;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tower::Service;

/// The routes of a listener with everything around them. The edge goes around the router, not into it: it rewrites paths, and it
/// renders the router's own answers.
#[derive(Clone)]
pub struct Around {
    json: Router,
    grpc: Option<Router>,
    edge: Edge,
}

impl Around {
    /// Around these routes.
    pub const fn new(json: Router, edge: Edge) -> Self {
        Self { json, grpc: None, edge }
    }

    /// gRPC and JSON share the listener. Go's clients send JSON over HTTP/2 too, so the content type tells them apart.
    #[must_use]
    pub fn beside_grpc(self, grpc: Router) -> Self {
        Self { grpc: Some(grpc), ..self }
    }

    async fn answer(self, request: Request) -> Response {
        let Self { json, grpc, edge: state } = self;
        let routes = |request: Request| {
            let router = grpc.filter(|_| grpc::is_grpc(request.headers())).unwrap_or(json);
            contained(router, request)
        };
        edge(state, request, routes).await
    }
}

impl Service<Request> for Around {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let around = self.clone();
        Box::pin(async move { Ok(around.answer(request).await) })
    }
}

/// The router's answer, INTERNAL if a handler panics.
async fn contained(mut router: Router, request: Request) -> Response {
    let mut answer = pin!(async move { router.call(request).await });
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(Ok(response))) => Poll::Ready(response),
        Err(panic) => {
            // The panic's text may hold anything, so nobody gets to see it; and it may panic when it is dropped.
            std::mem::forget(panic);
            tracing::error!("a handler panicked; the request is answered with INTERNAL");
            Poll::Ready(Rejection(Reason::Internal.into()).into_response())
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::get;

    #[tokio::test]
    async fn a_panic_becomes_internal_wherever_it_happens() {
        async fn at_once() -> Response {
            panic!("secret")
        }
        async fn later() -> Response {
            tokio::task::yield_now().await;
            panic!("secret")
        }
        let router = Router::new().route("/at-once", get(at_once)).route("/later", get(later));
        for path in ["/at-once", "/later"] {
            let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
            let response = contained(router.clone(), request).await;
            let rejection = response.extensions().get::<Rejection>();
            assert_eq!(rejection.map(|it| it.0.reason()), Some(Reason::Internal), "{path}");
        }
    }
}
