//! A connection's octets on their way in: what is not yet a request takes memory too.

use super::activity::Activity;
use super::connection::MAX_HEAD_BYTES;
use super::crowd::{Crowd, Room};
use super::exchange;
use super::limits::UNASKED;
use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What hyper may hold above what is unasked: over HTTP/1 a head and one more read, each as long as a head may be; over HTTP/2
/// less, the window for bodies that nobody reads yet.
const LARGE: usize = 2 * MAX_HEAD_BYTES as usize;

/// A stream that is read on only when there is memory for it, and while none of its requests waits for memory.
pub struct Guarded<S> {
    stream: S,
    crowd: Arc<Crowd>,
    activity: Arc<Activity>,
    /// Requests that had begun, and had their memory, at the last look.
    started: u64,
    /// Octets read since, and how many may be.
    read: usize,
    allowed: usize,
    room: Option<Room>,
    more: Option<Pin<Box<dyn Future<Output = Option<Room>> + Send>>>,
}

impl<S> Guarded<S> {
    /// Around a connection's stream.
    pub const fn new(stream: S, crowd: Arc<Crowd>, activity: Arc<Activity>) -> Self {
        Self { stream, crowd, activity, started: 0, read: 0, allowed: UNASKED, room: None, more: None }
    }

    /// Ready when the stream may be read on, with how much of it.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        let started = ready!(self.activity.poll_settled(context));
        if started != self.started {
            // What was read has become a request, which has memory of its own: for a usual body too.
            (self.started, self.read, self.more) = (started, 0, None);
            self.allowed = UNASKED + exchange::USUAL;
            if self.room.take().is_some() {
                self.activity.hold_large_head(false);
            }
        }
        if self.room.is_some() {
            return Poll::Ready(usize::MAX);
        }
        if self.read < self.allowed {
            return Poll::Ready(self.allowed - self.read);
        }
        let crowd = &self.crowd;
        let more = self.more.get_or_insert_with(|| {
            let crowd = crowd.clone();
            Box::pin(async move { crowd.large_head(LARGE).await })
        });
        self.room = ready!(more.as_mut().poll(context));
        self.more = None;
        self.activity.hold_large_head(true);
        Poll::Ready(usize::MAX)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = self.get_mut();
        let allowed = ready!(this.poll_room(context));
        let read = if buffer.remaining() <= allowed {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            buffer.filled().len() - before
        } else {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(allowed));
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut part))?;
            let read = part.filled().len();
            buffer.advance(read);
            read
        };
        this.read = this.read.saturating_add(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, octets)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, octets)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
