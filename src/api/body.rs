//! Request bodies: read whole, within a size and a time. Memory for them is `server`'s: a body comes no faster than there is room.

use crate::refusal::{Reason, Refusal};
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt as _;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The largest body, in bytes; the reference's cap.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// How long a body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a body may still take once the server is shutting down.
const LAST_READ_TIMEOUT: Duration = Duration::from_secs(3);
/// How much of a refused body is read and thrown away, so that a caller that is still writing gets to read the answer.
const DRAINED_BYTES: usize = 64 * 1024 * 1024;
/// How long that may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// There is no memory for the rest of a body: the error of a body that `server` does not read on.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("there is no memory for the rest of the body")]
pub struct NoRoom;

/// Reads bodies for one server.
#[derive(Default)]
pub struct Bodies {
    _private: (),
}

impl Bodies {
    /// The whole body.
    ///
    /// # Errors
    /// [`Reason::EncodingUnsupported`], [`Reason::RequestTooLarge`], [`Reason::RequestTimeout`], [`Reason::RequestMalformed`] when the caller broke off,
    /// [`Reason::ShuttingDown`] when it is still sending a while after `draining` has ended.
    pub async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        draining: impl Future<Output = ()>,
    ) -> Result<Bytes, Refusal> {
        self.read_capped(headers, body, draining, MAX_BODY_BYTES).await
    }

    /// The same with another cap than everybody's, in octets.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_capped(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        draining: impl Future<Output = ()>,
        most: usize,
    ) -> Result<Bytes, Refusal> {
        let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let unwanted = if is_encoded(headers) {
            Some(Reason::EncodingUnsupported)
        } else {
            declared.is_some_and(|length| length > most as u64).then_some(Reason::RequestTooLarge)
        };
        // RFC 9110 §10.1.1: a caller that expects `100 Continue` has not begun to send.
        if let Some(reason) = unwanted
            && headers.contains_key(EXPECT)
        {
            return Err(reason.into());
        }
        let read: Result<_, Refusal> = match unwanted {
            Some(reason) => Err(reason.into()),
            None => tokio::select! {
                // Nearly always the body is here already, and no timer is needed.
                biased;
                read = collect(&mut body, most) => read,
                () = sleep(READ_TIMEOUT) => Err(Reason::RequestTimeout.into()),
                () = async { draining.await; sleep(LAST_READ_TIMEOUT).await } => Err(Reason::ShuttingDown.into()),
            },
        };
        if matches!(&read, Err(it) if matches!(it.reason(), Reason::RequestTooLarge | Reason::EncodingUnsupported))
        {
            drain(body).await;
        }
        read
    }
}

/// Whether the body is compressed or otherwise encoded (RFC 9110 §8.4). `identity` is no encoding.
fn is_encoded(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let mut codings =
        values.flat_map(|value| value.as_bytes().split(|octet| *octet == b',')).map(<[u8]>::trim_ascii);
    codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

async fn collect(body: &mut Body, most: usize) -> Result<Bytes, Refusal> {
    let mut whole = Vec::new();
    let mut first: Option<Bytes> = None;
    while let Some(data) = next(body).await? {
        let length = whole.len() + first.as_ref().map_or(0, Bytes::len) + data.len();
        if length > most {
            return Err(Reason::RequestTooLarge.into());
        }
        match (first.take(), whole.is_empty()) {
            // Most bodies arrive in one piece, which is then used as it is.
            (None, true) => first = Some(data),
            (Some(piece), _) => whole = [piece, data].concat(),
            (None, false) => whole.extend_from_slice(&data),
        }
    }
    Ok(first.unwrap_or_else(|| whole.into()))
}

/// The next piece with any data in it.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.into_inner().is::<NoRoom>() {
            true => Refusal::from(Reason::Overloaded),
            false => Refusal::new(Reason::RequestMalformed).because("The body broke off before its end."),
        })?;
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Reads what comes of a body that nobody wants, within bounds.
pub async fn drain(mut body: Body) {
    let mut left = DRAINED_BYTES;
    let _ = timeout(DRAIN_TIMEOUT, async {
        while let Ok(Some(data)) = next(&mut body).await {
            left = left.saturating_sub(data.len());
            if left == 0 {
                break;
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Frame;
    use std::future::pending;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    async fn read(body: Body) -> Result<Bytes, Reason> {
        Bodies::default().read(&HeaderMap::new(), body, pending()).await.map_err(|refusal| refusal.reason())
    }

    #[tokio::test]
    async fn bodies_up_to_the_cap_are_read_and_larger_ones_refused() {
        assert_eq!(read(Body::empty()).await, Ok(Bytes::new()));
        assert_eq!(read(Body::from("abc")).await, Ok(Bytes::from("abc")));
        assert_eq!(
            read(Body::from(vec![0; MAX_BODY_BYTES])).await.map(|body| body.len()),
            Ok(MAX_BODY_BYTES)
        );
        assert_eq!(read(Body::from(vec![0; MAX_BODY_BYTES + 1])).await, Err(Reason::RequestTooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_408_and_one_that_breaks_off_malformed() {
        assert_eq!(read(Body::new(Stuck)).await, Err(Reason::RequestTimeout));
        let drained =
            Bodies::default().read(&HeaderMap::new(), Body::new(Stuck), std::future::ready(())).await;
        assert_eq!(drained.map_err(|refusal| refusal.reason()), Err(Reason::ShuttingDown));
        assert_eq!(read(Body::new(Broken)).await, Err(Reason::RequestMalformed));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_is_for_the_whole_body_however_steadily_it_trickles() {
        assert_eq!(
            read(Body::new(Trickle(tokio::time::interval(Duration::from_secs(1))))).await,
            Err(Reason::RequestTimeout)
        );
    }

    /// A body of one octet a second, without end.
    struct Trickle(tokio::time::Interval);

    impl hyper::body::Body for Trickle {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0.poll_tick(context).map(|_| Some(Ok(Frame::data(Bytes::from_static(b" ")))))
        }
    }

    /// A body of which nothing ever comes.
    struct Stuck;

    impl hyper::body::Body for Stuck {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }

    /// A body that fails.
    struct Broken;

    impl hyper::body::Body for Broken {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(Some(Err(std::io::Error::other("gone"))))
        }
    }

    #[tokio::test]
    async fn a_declared_length_above_the_cap_is_refused_before_anything_is_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, (MAX_BODY_BYTES + 1).into());
        let read = Bodies::default().read(&headers, Body::from("abc"), pending()).await;
        assert_eq!(read.map_err(|refusal| refusal.reason()), Err(Reason::RequestTooLarge));
    }

    #[tokio::test]
    async fn an_encoded_body_is_not_read_and_identity_is_no_encoding() {
        for (encoding, read) in [
            ("gzip", Err(Reason::EncodingUnsupported)),
            ("identity, br", Err(Reason::EncodingUnsupported)),
            ("\u{e9}", Err(Reason::EncodingUnsupported)),
            ("Identity", Ok(3)),
            (" , identity", Ok(3)),
            ("", Ok(3)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, encoding.try_into().expect("a value"));
            let body = Bodies::default().read(&headers, Body::from("abc"), pending()).await;
            assert_eq!(body.map(|it| it.len()).map_err(|it| it.reason()), read, "{encoding}");
        }
    }
}
