//! A writer that never waits for whoever reads: lines come together in memory, and a thread writes them.
//!
//! One buffer for all, which is written whole: a system call, an allocation and a wake-up for each line would cost more than the line. A
//! line that comes after a pause is written at once; those behind it wait a few milliseconds for each other.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// Octets of lines that may wait to be written.
const ROOM: usize = 4 << 20;
/// How long lines wait for each other. Much less than the room takes to fill, and than anybody notices.
const TOGETHER: Duration = Duration::from_millis(5);
/// With so many octets nothing is waited for; and no more is kept for what comes.
const MANY: usize = 256 * 1024;

/// Lines dropped since the process began. It has one stderr, whatever runs in it.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines were dropped since the process began, since stderr was read too slowly.
pub fn lines_dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Hands lines to the thread.
pub struct LineWriter(Arc<Shared>);

/// Ends the thread, once it has written everything.
pub struct Flush {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// What is not written yet.
#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    /// Lines that had no room.
    dropped: u64,
    /// Whether the thread waits for a first line.
    idle: bool,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineWriter {
    /// Starts the thread that writes to `output`.
    pub fn start(output: impl Write + Send + 'static) -> (Self, Flush) {
        let shared = Arc::<Shared>::default();
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || write_all(&shared, output)
        });
        (Self(shared.clone()), Flush { shared, thread: Some(thread) })
    }
}

fn write_all(shared: &Shared, mut output: impl Write) {
    let mut text = Vec::new();
    loop {
        let mut waiting = shared.lock();
        waiting.idle = true;
        let nothing = |waiting: &mut Waiting| waiting.text.is_empty() && !waiting.ended;
        waiting = shared.changed.wait_while(waiting, nothing).unwrap_or_else(PoisonError::into_inner);
        waiting.idle = false;
        std::mem::swap(&mut waiting.text, &mut text);
        let (dropped, ended) = (std::mem::take(&mut waiting.dropped), waiting.ended);
        drop(waiting);
        if dropped > 0 {
            let told = format!("{dropped} log lines were dropped: stderr is read too slowly\n");
            text.extend_from_slice(told.as_bytes());
        }
        // Nobody is left to be told when stderr fails.
        let _ = output.write_all(&text);
        if ended {
            break;
        }
        if text.len() < MANY {
            // Meanwhile lines come without waking anybody; only the end does.
            let goes_on = |waiting: &mut Waiting| !waiting.ended;
            drop(shared.changed.wait_timeout_while(shared.lock(), TOGETHER, goes_on));
        }
        text.clear();
        text.shrink_to(MANY);
    }
    let _ = output.flush();
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One event's line, written in one piece or several: nobody else's comes between.
pub struct Line<'w> {
    shared: &'w Shared,
    waiting: MutexGuard<'w, Waiting>,
    /// Where it begins; `None`: it has no room.
    start: Option<usize>,
}

impl<'w> MakeWriter<'w> for LineWriter {
    type Writer = Line<'w>;
    fn make_writer(&'w self) -> Line<'w> {
        let waiting = self.0.lock();
        let start = Some(waiting.text.len()).filter(|_| !waiting.ended);
        Line { shared: &self.0, waiting, start }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(start) = self.start {
            if self.waiting.text.len() + bytes.len() <= ROOM {
                self.waiting.text.extend_from_slice(bytes);
            } else {
                self.waiting.text.truncate(start);
                self.waiting.dropped += 1;
                DROPPED.fetch_add(1, Ordering::Relaxed);
                self.start = None;
            }
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.waiting.text.is_empty() && std::mem::take(&mut self.waiting.idle) {
            self.shared.changed.notify_one();
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
