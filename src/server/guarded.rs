//! A connection's octets on their way in: what is not yet a request takes memory too.

use super::activity::Activity;
use super::crowd::{Crowd, Room};
use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What every connection may send before it has made a request of it.
const USUAL: usize = 16 * 1024;
/// What hyper may hold above that: over HTTP/1 a head and one more read, each as long as a head may be; over HTTP/2 less, the
/// window for bodies that nobody reads yet.
const LARGE: usize = 368 * 1024;

/// A stream that is read on only when there is memory for it.
pub struct Guarded<S> {
    stream: S,
    crowd: Arc<Crowd>,
    activity: Arc<Activity>,
    /// Requests that had begun at the last look.
    started: u64,
    /// Octets read since.
    read: usize,
    room: Option<Room>,
    more: Option<Pin<Box<dyn Future<Output = Option<Room>> + Send>>>,
}

impl<S> Guarded<S> {
    /// Around a connection's stream.
    pub const fn new(stream: S, crowd: Arc<Crowd>, activity: Arc<Activity>) -> Self {
        Self { stream, crowd, activity, started: 0, read: 0, room: None, more: None }
    }

    /// Ready when the stream may be read on.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.read <= USUAL {
            return Poll::Ready(());
        }
        let started = self.activity.started();
        if started != self.started {
            // What was read has become a request, which has memory of its own.
            (self.started, self.read, self.more) = (started, 0, None);
            if self.room.take().is_some() {
                self.activity.hold_large_head(false);
            }
            return Poll::Ready(());
        }
        if self.room.is_some() {
            return Poll::Ready(());
        }
        let crowd = &self.crowd;
        let more = self.more.get_or_insert_with(|| {
            let crowd = crowd.clone();
            Box::pin(async move { crowd.memory(LARGE).await })
        });
        self.room = ready!(more.as_mut().poll(context));
        self.more = None;
        self.activity.hold_large_head(true);
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_room(context));
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        this.read = this.read.saturating_add(buffer.filled().len() - before);
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
