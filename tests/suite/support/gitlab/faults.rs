//! What goes wrong, as a test scripts it: per route, one fault a call.

use super::LARGEST;
use super::reply::Reply;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::Response;
use axum::middleware::Next;
use countersign::environment::Clock;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What happens to one call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing: the call after it may be meant.
    Pass,
    /// Answered so; nothing is done.
    Status(u16, &'static str),
    /// 429 as GitLab has it: `Retry later` as plain text; nothing is done.
    RetryLater(Option<u64>),
    /// The connection ends without a word; nothing is done.
    DropBefore,
    /// It is done, and the connection ends without a word.
    DropAfter,
    /// It is done, and answered so all the same.
    StatusAfter(u16),
    /// It is done, and half of the answer comes, as if it were all.
    Truncated,
    /// It is done, and the answer has this many octets more.
    Huge(usize),
    /// Waits at the gate before it is done.
    HeldBefore(Gate),
    /// It is done, and waits at the gate before it is answered.
    HeldAfter(Gate),
    /// Redirected there; nothing is done.
    Redirect(String),
}

/// Holds calls until a test opens it: latency without a clock.
#[derive(Clone, Debug)]
pub struct Gate {
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    /// A closed one.
    pub fn closed() -> Self {
        Self { open: watch::Sender::new(false), waiting: watch::Sender::new(0) }
    }

    /// Lets through whoever waits, and whoever comes.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until so many calls have come to it.
    pub async fn reached(&self, calls: usize) {
        let mut waiting = self.waiting.subscribe();
        waiting.wait_for(|waiting| *waiting >= calls).await.expect("the gate is there");
    }

    async fn pass(&self) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.expect("the gate is there");
    }
}

/// The script.
#[derive(Default)]
pub struct Faults {
    of: Mutex<HashMap<String, VecDeque<Fault>>>,
    of_all: Mutex<VecDeque<Fault>>,
}

impl Faults {
    /// The next calls of this route (`POST /projects/{id}/access_tokens`) fare so.
    pub fn script(&self, route: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.entry(route.to_owned()).or_default().extend(faults);
    }

    /// The next calls fare so, whatever their route.
    pub fn script_all(&self, faults: impl IntoIterator<Item = Fault>) {
        self.of_all.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
    }

    /// Forgets what has not come to pass.
    pub fn clear(&self) {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.of_all.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn next(&self, route: &str) -> Fault {
        let of_all = self.of_all.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of_all.or_else(|| of.get_mut(route)?.pop_front()).unwrap_or(Fault::Pass)
    }
}

/// Does to a call what the script says.
pub(super) async fn fare(
    fault: Fault,
    clock: Arc<dyn Clock>,
    request: Request,
    next: Next,
) -> Response<Body> {
    match &fault {
        Fault::Status(status, body) => {
            let body = serde_json::from_str(body).unwrap_or_else(|_| Value::from(*body));
            let mut reply = Reply::json(*status, &body);
            if *status >= 500 {
                // As an instance that says in every answer how much of the rate is left.
                reply.headers.push(("ratelimit-reset", (clock.now().as_secs() + 60).to_string()));
            }
            return reply.into_response();
        }
        Fault::RetryLater(after) => {
            let mut reply = Reply { status: 429, headers: Vec::new(), body: "Retry later\n".into() };
            reply.headers.push(("content-type", "text/plain".into()));
            if let Some(seconds) = after {
                let reset = clock.now().as_secs() + seconds;
                reply.headers.push(("retry-after", seconds.to_string()));
                reply.headers.push(("ratelimit-reset", reset.to_string()));
                reply.headers.push(("ratelimit-remaining", "0".into()));
            }
            return reply.into_response();
        }
        Fault::DropBefore => return dropped(),
        Fault::Redirect(to) => {
            let headers = vec![("location", to.clone())];
            return Reply { status: 302, headers, body: String::new() }.into_response();
        }
        Fault::HeldBefore(gate) => gate.pass().await,
        _ => {}
    }
    let response = next.run(request).await;
    match fault {
        Fault::DropAfter => dropped(),
        Fault::StatusAfter(status) => {
            Reply::message(status, format!("{status} from the proxy")).into_response()
        }
        Fault::HeldAfter(gate) => {
            gate.pass().await;
            response
        }
        Fault::Truncated => cut(response, |body| body.slice(..body.len() / 2)).await,
        Fault::Huge(octets) => {
            cut(response, |body| [body.as_ref(), " ".repeat(octets).as_bytes()].concat().into()).await
        }
        _ => response,
    }
}

async fn cut(response: Response<Body>, change: impl Fn(Bytes) -> Bytes) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove("content-length");
    Response::from_parts(parts, Body::from(change(to_bytes(body, LARGEST).await.expect("a body"))))
}

/// An answer of which the server cannot send one octet, so that it ends the connection. 502, should anybody see its head.
fn dropped() -> Response<Body> {
    let broken = Err::<Frame<Bytes>, _>(io::Error::other("dropped by the test"));
    let body = Body::new(StreamBody::new(tokio_stream::once(broken)));
    Response::builder().status(502).body(body).expect("a response")
}
