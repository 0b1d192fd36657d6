//! One connection for one question after the other, where no load is meant.

use super::answer::{Answer, Reply};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that is kept alive.
pub struct Connection {
    stream: TcpStream,
    answer: Answer,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Answer::default() })
    }

    /// The content of the last answer.
    pub fn content(&self) -> &[u8] {
        self.answer.content()
    }

    /// Sends a request and reads its answer whole.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        let mut octets = vec![0; 16 * 1024];
        loop {
            let length = match self.stream.read(&mut octets).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => length,
            };
            if let Some(reply) = self.answer.more(&octets[..length])? {
                return Ok(reply);
            }
        }
    }
}
