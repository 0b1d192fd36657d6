//! A writer that never waits: lines go to a thread through a bounded queue.
//!
//! The thread writes what has come together at once: a system call and a wake-up for each line would cost more than the line. A line
//! that comes after a pause is written at once; those behind it wait a few milliseconds for each other.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{JoinHandle, park_timeout};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait to be written: a few MB at most.
const QUEUE: usize = 16 * 1024;
/// How long lines wait for each other. Much less than the queue takes to fill, and than anybody notices.
const TOGETHER: Duration = Duration::from_millis(5);
/// So many octets are written at once at most, and a line's length more.
const AT_ONCE: usize = 256 * 1024;
/// Room for a line from the start: nearly all of a request fit.
const LINE: usize = 512;

/// Lines dropped since the process began. It has one stderr, whatever runs in it.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines were dropped since the process began, since stderr was read too slowly.
pub fn lines_dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Hands lines to the thread.
pub struct LineWriter {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

/// Ends the thread, once it has written everything.
pub struct Flush {
    queue: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Line(Vec<u8>),
    End,
}

impl LineWriter {
    /// Starts the thread that writes to `output`.
    pub fn start(output: impl Write + Send + 'static) -> (Self, Flush) {
        let (queue, lines) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = dropped.clone();
        let thread = std::thread::spawn(move || write_all(&lines, output, &counter));
        (Self { queue: queue.clone(), dropped }, Flush { queue, thread: Some(thread) })
    }
}

fn write_all(lines: &Receiver<Message>, mut output: impl Write, dropped: &AtomicU64) {
    let mut text = Vec::new();
    let mut ended = false;
    while !ended {
        let Ok(first) = lines.recv() else { break };
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => text.extend_from_slice(&line),
                Message::End => ended = true,
            }
            next = if ended || text.len() >= AT_ONCE { None } else { lines.try_recv().ok() };
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let told = format!("{lost} log lines were dropped: stderr is read too slowly\n");
            text.extend_from_slice(told.as_bytes());
        }
        // Nobody is left to be told when stderr fails.
        let _ = output.write_all(&text);
        let waits = !ended && text.len() < AT_ONCE;
        text.clear();
        if waits {
            // Meanwhile lines come without waking anybody; only the end does.
            park_timeout(TOGETHER);
        }
    }
    let _ = output.flush();
}

impl Drop for Flush {
    fn drop(&mut self) {
        let _ = self.queue.send(Message::End);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// One event's line: formatted in pieces, sent as one.
pub struct Line<'w> {
    writer: &'w LineWriter,
    text: Vec<u8>,
}

impl<'w> MakeWriter<'w> for LineWriter {
    type Writer = Line<'w>;
    fn make_writer(&'w self) -> Line<'w> {
        Line { writer: self, text: Vec::with_capacity(LINE) }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let text = std::mem::take(&mut self.text);
        if let Err(TrySendError::Full(_)) = self.writer.queue.try_send(Message::Line(text)) {
            self.writer.dropped.fetch_add(1, Ordering::Relaxed);
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_before_the_end() {
        let output = Shared::default();
        let (writer, flush) = LineWriter::start(output.clone());
        for number in 0..1000 {
            writeln!(writer.make_writer(), "line {number}").expect("it never fails");
        }
        drop(flush);
        let text = String::from_utf8(output.0.lock().expect("not poisoned").clone()).expect("UTF-8");
        assert_eq!(text.lines().count(), 1000);
        assert!(text.ends_with("line 999\n"));
    }
}
