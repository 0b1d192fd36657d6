//! One request and its answer on a connection: counted, and given memory, from the head's end to the answer's last octet.

use super::activity::{Activity, Awaited, Leave, Underway, Wait};
use super::crowd::{Crowd, NoRoom, Room};
use super::limits::UNASKED;
use crate::api;
use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tower::Service;

/// Memory that every request gets besides its head: for the usual body, and for the usual answer after it.
pub const USUAL: usize = 8 * 1024;
/// What a request takes by being there: its stream, its task, its handlers.
const BEING: usize = 4 * 1024;
/// Larger bodies get memory in steps of this.
const STEP: usize = 64 * 1024;
/// What a header takes besides its name and value (RFC 9113 §6.5.2 counts 32; this is what it is in memory).
const HEADER: usize = 104;
/// Whoever asks whether the server is well needs an answer the more, the less memory there is.
const HEALTH: [&str; 4] = ["/healthz", "/readyz", "/livez", "/grpc.health.v1.Health/Check"];
/// The body of a question for health.
const SMALL: usize = 1024;
/// What the edge could say, who is not asked: a request without memory does not get as far.
const NO_ROOM: &str = r#"{"code":14,"message":"The server has no memory for the request now","details":[]}"#;
const RETRY_SECONDS: u64 = 2;

/// Whatever answers the requests of a listener.
pub trait Answering:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<A> Answering for A where
    A: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// What answers, around which requests are counted.
#[derive(Clone)]
pub struct Exchanges<A> {
    answering: A,
    crowd: Arc<Crowd>,
    activity: Arc<Activity>,
}

impl<A> Exchanges<A> {
    /// On the connection with this activity.
    pub const fn new(answering: A, crowd: Arc<Crowd>, activity: Arc<Activity>) -> Self {
        Self { answering, crowd, activity }
    }

    /// What pays for a request that has just begun.
    fn admit(&self, request: &Request<Incoming>) -> Admitted {
        let head = head_size(request) + BEING;
        // What is held for the connection itself has room for one small request.
        let small = head <= UNASKED && self.activity.is_of_one();
        if small && HEALTH.contains(&request.uri().path()) {
            return Admitted::Ready(None);
        }
        if let Some(room) = self.crowd.request_now(head + USUAL) {
            return Admitted::Ready(Some(room));
        }
        let parked = self.crowd.parked_now(head);
        if parked.is_none() && !small {
            self.activity.tell_to_leave(Leave::AtOnce);
            return Admitted::Never;
        }
        Admitted::Later(parked, head + USUAL)
    }
}

/// Whether there is memory for a request.
enum Admitted {
    /// There is; nothing besides the connection's own where there is none.
    Ready(Option<Room>),
    /// Perhaps soon; meanwhile it is held with this, and needs so many octets.
    Later(Option<Room>, usize),
    /// Not even for waiting: its connection ends.
    Never,
}

impl<A: Answering> Service<Request<Incoming>> for Exchanges<A> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let underway = self.activity.begin();
        let admitted = self.admit(&request);
        // From here on the connection is not read until there is room.
        let short = matches!(admitted, Admitted::Later(..)).then(|| self.activity.short());
        let wait = (!request.body().is_end_stream()).then(|| self.activity.wait(Awaited::Body));
        let (answering, crowd) = (self.answering.clone(), self.crowd.clone());
        Box::pin(async move {
            let (room, free) = match admitted {
                Admitted::Ready(Some(room)) => (Ok(Some(room)), USUAL),
                Admitted::Ready(None) => (Ok(None), SMALL),
                Admitted::Later(parked, octets) => match crowd.request(octets).await {
                    Ok(room) => (Ok(Some(room)), USUAL),
                    Err(NoRoom) => (Err(parked), 0),
                },
                Admitted::Never => (Err(None), 0),
            };
            drop(short);
            let exchange =
                |room| Arc::new(Exchange { underway, _room: room, body: Mutex::new((wait, None)) });
            Ok(match room {
                // Of what comes later nothing is in the parked request's own future, which stays small.
                Ok(room) => Box::pin(answered(answering, crowd, request, exchange(room), free)).await,
                Err(parked) => {
                    let exchange = exchange(parked);
                    exchange.end_body();
                    given(no_room(), None, exchange)
                }
            })
        })
    }
}

/// The answer to a request that has its memory.
async fn answered(
    mut answering: impl Answering,
    crowd: Arc<Crowd>,
    request: Request<Incoming>,
    exchange: Arc<Exchange>,
    free: usize,
) -> Response<Body> {
    let request = request.map(|body| Body::new(Received::new(body, &crowd, &exchange, free)));
    let Ok(answer) = answering.call(request).await;
    exchange.end_body();
    let size = answer.body().size_hint().exact().map_or(0, |size| usize::try_from(size).unwrap_or(0));
    if size <= USUAL {
        return given(answer, None, exchange);
    }
    let short = exchange.underway.activity().short();
    let room = crowd.large(size).await;
    drop(short);
    match room {
        Ok(room) => given(answer, Some(room), exchange),
        Err(NoRoom) => given(no_room(), None, exchange),
    }
}

/// An answer on its way.
fn given(mut answer: Response<Body>, room: Option<Room>, exchange: Arc<Exchange>) -> Response<Body> {
    // Whoever makes large answers a few at a time may make the next one now: this one has its room.
    answer.extensions_mut().clear();
    answer.map(|body| Body::new(Given { body, room, exchange }))
}

/// 503: gRPC's clients take it for UNAVAILABLE.
fn no_room() -> Response<Body> {
    let mut answer = Response::new(Body::from(NO_ROOM));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    answer
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

    /// What was read is not kept: a body that is larger than any that is taken.
    fn end_room(&self) {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).1 = None;
    }

    fn add_room(&self, more: Room) {
        let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut body.1 {
            Some(room) => room.merge(more),
            none => *none = Some(more),
        }
    }
}

type MoreRoom = Pin<Box<dyn Future<Output = Result<Room, NoRoom>> + Send>>;

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
    fn new(body: Incoming, crowd: &Arc<Crowd>, exchange: &Arc<Exchange>, free: usize) -> Self {
        let (crowd, exchange) = (crowd.clone(), exchange.clone());
        // Of a body that announces to be too large nothing is kept.
        let too_large = body.size_hint().lower() > api::MAX_BODY_BYTES as u64;
        let granted = if too_large { usize::MAX } else { free };
        Self { body, crowd, exchange, read: 0, granted, more: None }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.read > api::MAX_BODY_BYTES && self.granted < usize::MAX {
            (self.granted, self.more) = (usize::MAX, None);
            self.exchange.end_room();
        }
        if self.read > self.granted && self.more.is_none() {
            let step = (self.read - self.granted).next_multiple_of(STEP);
            self.granted += step;
            let (crowd, short) = (self.crowd.clone(), self.exchange.underway.activity().short());
            self.more = Some(Box::pin(async move {
                let _short = short;
                crowd.large(step).await
            }));
        }
        if let Some(more) = &mut self.more {
            let room = ready!(more.as_mut().poll(context));
            self.more = None;
            match room {
                Ok(room) => self.exchange.add_room(room),
                Err(NoRoom) => {
                    self.exchange.end_wait();
                    return Poll::Ready(Some(Err(api::NoRoom.into())));
                }
            }
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => self.read += frame.data_ref().map_or(0, Bytes::len),
            _ => self.exchange.end_wait(),
        }
        if self.body.is_end_stream() {
            self.exchange.end_wait();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
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
