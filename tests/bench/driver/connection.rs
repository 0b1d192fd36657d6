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
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
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
        let mut length = 0;
        for (name, value) in text.lines().skip(1).filter_map(|line| line.split_once(": ")) {
            match name {
                "content-length" => length = value.parse().map_err(io::Error::other)?,
                "retry-after" => reply.wait = value.parse().ok().map(Duration::from_secs),
                "connection" => reply.last = value == "close",
                _ => {}
            }
        }
        while self.buffer.len() < head + length {
            self.more().await?;
        }
        Ok(reply)
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
