//! A connection's octets on their way in: what is not yet a request takes memory too.

use super::activity::Activity;
use super::connection::MAX_HEAD_BYTES;
use super::crowd::{Crowd, Room};
use super::exchange;
use super::frames::Frames;
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
    frames: Frames,
    /// Read, and not handed on before there is memory for what becomes of it. No more than one read.
    held: Vec<u8>,
    room: Option<Room>,
    more: Option<Pin<Box<dyn Future<Output = Option<Room>> + Send>>>,
}

impl<S> Guarded<S> {
    /// Around a connection's stream.
    pub const fn new(stream: S, crowd: Arc<Crowd>, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            crowd,
            activity,
            started: 0,
            read: 0,
            allowed: UNASKED,
            frames: Frames::new(),
            held: Vec::new(),
            room: None,
            more: None,
        }
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
        if self.read < self.allowed && !self.frames.is_head_open() {
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
        loop {
            let allowed = ready!(this.poll_room(context));
            if !this.held.is_empty() {
                let count = this.held.len().min(buffer.remaining());
                buffer.put_slice(this.held.get(..count).unwrap_or_default());
                this.held.drain(..count);
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            if buffer.remaining() <= allowed {
                ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            } else {
                let mut part = ReadBuf::new(buffer.initialize_unfilled_to(allowed));
                ready!(Pin::new(&mut this.stream).poll_read(context, &mut part))?;
                let read = part.filled().len();
                buffer.advance(read);
            }
            let octets = buffer.filled().get(before..).unwrap_or_default();
            this.read = this.read.saturating_add(octets.len());
            this.frames.follow(octets);
            if octets.is_empty() || this.room.is_some() || !this.frames.is_head_open() {
                return Poll::Ready(Ok(()));
            }
            this.held = octets.to_vec();
            buffer.set_filled(before);
        }
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
