//! A writer that never waits: lines go to a thread through a bounded queue.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait to be written: a few MB at most.
const QUEUE: usize = 16 * 1024;

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
    // Nobody is left to be told when stderr fails.
    while let Ok(Message::Line(line)) = lines.recv() {
        let _ = output.write_all(&line);
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(output, "{lost} log lines were dropped: stderr is read too slowly");
        }
    }
    let _ = output.flush();
}

impl Drop for Flush {
    fn drop(&mut self) {
        let _ = self.queue.send(Message::End);
        if let Some(thread) = self.thread.take() {
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
        Line { writer: self, text: Vec::new() }
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
