//! A stream of questions that ends with the server.

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;

/// A request's body that ends early when `end` does. It holds the stream's place while it lives.
pub struct Until {
    body: Body,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Until {
    /// Around `body`.
    pub fn new(
        body: Body,
        end: impl Future<Output = ()> + Send + 'static,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { body, end: Box::pin(end), ended: false, _place: place }
    }
}

impl HttpBody for Until {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ended || self.end.as_mut().poll(context).is_ready() {
            self.ended = true;
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}
