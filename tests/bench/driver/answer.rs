//! An answer of HTTP/1.1 as it comes in, piece by piece.

use std::io;
use std::ops::Range;
use std::time::Duration;

/// What of an answer counts here.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    pub status: u16,
    /// `Retry-After`.
    pub wait: Option<Duration>,
    /// The server closes the connection.
    pub last: bool,
}

/// What came so far.
pub struct Answer {
    octets: Vec<u8>,
    head: Option<Head>,
    /// The content where it came in chunks, as far as they are complete.
    chunks: Vec<u8>,
}

struct Head {
    reply: Reply,
    content: Content,
}

/// Where the content stands.
enum Content {
    Plain(Range<usize>),
    /// The next chunk begins there.
    Chunked(usize),
}

impl Default for Answer {
    fn default() -> Self {
        Self { octets: Vec::with_capacity(16 * 1024), head: None, chunks: Vec::new() }
    }
}

impl Answer {
    /// The next one is another.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.chunks.clear();
        self.head = None;
    }

    /// The content, once the answer is complete.
    pub fn content(&self) -> &[u8] {
        match &self.head {
            Some(Head { content: Content::Plain(range), .. }) => &self.octets[range.clone()],
            _ => &self.chunks,
        }
    }

    /// More of it; what it says, once it is complete.
    pub fn more(&mut self, octets: &[u8]) -> io::Result<Option<Reply>> {
        self.octets.extend_from_slice(octets);
        let head = match &mut self.head {
            Some(head) => head,
            None => match self.octets.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => self.head.insert(Head::parse(&self.octets[..end + 4])?),
                None => return Ok(None),
            },
        };
        let complete = match &mut head.content {
            Content::Plain(range) => self.octets.len() >= range.end,
            Content::Chunked(at) => take_chunks(&self.octets, at, &mut self.chunks)?,
        };
        Ok(complete.then_some(head.reply))
    }
}

impl Head {
    fn parse(head: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(head).map_err(io::Error::other)?;
        let mut reply = Reply { status: 0, wait: None, last: false };
        reply.status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        let mut content = Content::Plain(head.len()..head.len());
        for (name, value) in text.lines().skip(1).filter_map(|line| line.split_once(": ")) {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("content-length") {
                let length: usize = value.parse().map_err(io::Error::other)?;
                content = Content::Plain(head.len()..head.len() + length);
            } else if is("retry-after") {
                reply.wait = value.parse().ok().map(Duration::from_secs);
            } else if is("connection") {
                reply.last = value == "close";
            } else if is("transfer-encoding") && value == "chunked" {
                content = Content::Chunked(head.len());
            }
        }
        Ok(Self { reply, content })
    }
}

/// RFC 9112 §7.1, without trailers; whether the last one is there.
fn take_chunks(octets: &[u8], at: &mut usize, content: &mut Vec<u8>) -> io::Result<bool> {
    while let Some(length) = octets[*at..].windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&octets[*at..*at + length]).map_err(io::Error::other)?;
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        let start = *at + length + 2;
        let Some(chunk) = octets.get(start..start + size + 2) else { break };
        content.extend_from_slice(&chunk[..size]);
        *at = start + size + 2;
        if size == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
