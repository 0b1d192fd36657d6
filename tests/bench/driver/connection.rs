//! HTTP/1.1 over one connection, one request at a time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that is kept alive.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The last answer's content where it came in chunks; else it stands in the buffer from `start` on.
    chunked: Option<Vec<u8>>,
    start: usize,
}

/// What of an answer counts here.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    pub status: u16,
    /// `Retry-After`.
    pub wait: Option<Duration>,
    /// The server closes the connection.
    pub last: bool,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024), chunked: None, start: 0 })
    }

    /// The content of the last answer.
    pub fn content(&self) -> &[u8] {
        self.chunked.as_deref().unwrap_or(&self.buffer[self.start..])
    }

    /// Sends a request and reads its answer whole.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let text = std::str::from_utf8(&self.buffer[..head]).map_err(io::Error::other)?;
        let mut reply = Reply { status: 0, wait: None, last: false };
        reply.status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        let (mut length, mut chunks) = (0, false);
        for (name, value) in text.lines().skip(1).filter_map(|line| line.split_once(": ")) {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("content-length") {
                length = value.parse().map_err(io::Error::other)?;
            } else if is("retry-after") {
                reply.wait = value.parse().ok().map(Duration::from_secs);
            } else if is("connection") {
                reply.last = value == "close";
            } else if is("transfer-encoding") {
                chunks = value == "chunked";
            }
        }
        (self.start, self.chunked) = (head, None);
        if chunks {
            self.chunked = Some(self.chunks(head).await?);
        } else {
            while self.buffer.len() < head + length {
                self.more().await?;
            }
        }
        Ok(reply)
    }

    /// RFC 9112 §7.1, without trailers.
    async fn chunks(&mut self, mut at: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = self.buffer[at..].windows(2).position(|two| two == b"\r\n") {
                    break at + end;
                }
                self.more().await?;
            };
            let size = std::str::from_utf8(&self.buffer[at..end]).map_err(io::Error::other)?;
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            while self.buffer.len() < end + 2 + size + 2 {
                self.more().await?;
            }
            content.extend_from_slice(&self.buffer[end + 2..end + 2 + size]);
            at = end + 2 + size + 2;
            if size == 0 {
                return Ok(content);
            }
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
