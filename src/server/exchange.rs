//! One request and its answer on a connection: counted, and given memory, from the head's end to the answer's last octet.

use super::activity::{Activity, Awaited, Underway, Wait};
use super::crowd::{Crowd, Room};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tower::Service;

/// Memory that every request gets besides its head: for the usual body, and for the usual answer after it.
const USUAL: usize = 16 * 1024;
/// Larger bodies get memory in steps of this.
const STEP: usize = 64 * 1024;
/// What a header takes besides its name and value (RFC 9113 §6.5.2 counts 32; this is what it is in memory).
const HEADER: usize = 104;

/// The router, around which requests are counted.
#[derive(Clone)]
pub struct Exchanges {
    router: Router,
    crowd: Arc<Crowd>,
    activity: Arc<Activity>,
}

impl Exchanges {
    /// On the connection with this activity.
    pub const fn new(router: Router, crowd: Arc<Crowd>, activity: Arc<Activity>) -> Self {
        Self { router, crowd, activity }
    }
}

impl Service<Request<Incoming>> for Exchanges {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let underway = self.activity.begin();
        let (mut router, crowd) = (self.router.clone(), self.crowd.clone());
        Box::pin(async move {
            let body = (!request.body().is_end_stream()).then(|| underway.activity().wait(Awaited::Body));
            let room = crowd.memory(head_size(&request) + USUAL).await;
            let exchange = Arc::new(Exchange { underway, _room: room, body: Mutex::new((body, None)) });
            let request = request.map(|body| Body::new(Received::new(body, &crowd, &exchange)));
            let Ok(mut answer) = router.call(request).await;
            exchange.end_body();
            let size = answer.body().size_hint().exact().map_or(0, |size| usize::try_from(size).unwrap_or(0));
            let room = if size > USUAL { crowd.memory(size).await } else { None };
            // Whoever makes large answers a few at a time may make the next one now: this one has its room.
            answer.extensions_mut().clear();
            Ok(answer.map(|body| Body::new(Given { body, room, exchange })))
        })
    }
}

/// What the head takes.
fn head_size(request: &Request<Incoming>) -> usize {
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        name.as_str().len() + value.len() + HEADER
    };
    path + request.headers().iter().map(header).sum::<usize>()
}

/// What is held for one request, until the last octet of its answer is taken.
struct Exchange {
    underway: Underway,
    _room: Option<Room>,
    /// Until it is answered: the wait for its body, and the body's memory above the usual.
    body: Mutex<(Option<Wait>, Option<Room>)>,
}

impl Exchange {
    fn end_wait(&self) {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).0 = None;
    }

    fn end_body(&self) {
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = (None, None);
    }

    fn add_room(&self, more: Option<Room>) {
        let Some(more) = more else { return };
        let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut body.1 {
            Some(room) => room.merge(more),
            none => *none = Some(more),
        }
    }
}

type MoreRoom = Pin<Box<dyn Future<Output = Option<Room>> + Send>>;

/// A request's body: it gets memory before it is read on.
struct Received {
    body: Incoming,
    crowd: Arc<Crowd>,
    exchange: Arc<Exchange>,
    read: usize,
    granted: usize,
    more: Option<MoreRoom>,
}

impl Received {
    fn new(body: Incoming, crowd: &Arc<Crowd>, exchange: &Arc<Exchange>) -> Self {
        let (crowd, exchange) = (crowd.clone(), exchange.clone());
        Self { body, crowd, exchange, read: 0, granted: USUAL, more: None }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.read > self.granted && self.more.is_none() {
            let step = (self.read - self.granted).next_multiple_of(STEP);
            self.granted += step;
            let crowd = self.crowd.clone();
            self.more = Some(Box::pin(async move { crowd.memory(step).await }));
        }
        if let Some(more) = &mut self.more {
            let room = ready!(more.as_mut().poll(context));
            self.exchange.add_room(room);
            self.more = None;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => self.read += frame.data_ref().map_or(0, Bytes::len),
            _ => self.exchange.end_wait(),
        }
        if self.body.is_end_stream() {
            self.exchange.end_wait();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer: each piece of it is waited for until the connection has got rid of it.
struct Given {
    body: Body,
    room: Option<Room>,
    exchange: Arc<Exchange>,
}

impl HttpBody for Given {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let room = self.room.take();
        let (exchange, wait) =
            (self.exchange.clone(), self.exchange.underway.activity().wait(Awaited::Taking));
        let taken =
            |octets| Bytes::from_owner(Piece { octets, _wait: wait, _room: room, _exchange: exchange });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(taken))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Octets that are dropped when the connection has written them.
struct Piece {
    octets: Bytes,
    _wait: Wait,
    _room: Option<Room>,
    _exchange: Arc<Exchange>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}
