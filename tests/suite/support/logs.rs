//! The log lines of the whole process, with the most that an operator can ask for.

use countersign::telemetry::{Format, subscribe};
use serde_json::Value;
use std::sync::{Mutex, OnceLock, PoisonError};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Collector;

impl std::io::Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        super::secrets::check("a log line", bytes);
        LINES.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Collects lines from now on. Other tests log too: what a test looks for it names so that nobody else does.
pub fn collect() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        super::secrets::watch_panics();
        subscribe(Format::Json, Some("trace"), false, || Collector).expect("nobody else logs");
    });
}

/// The lines so far.
pub fn text() -> String {
    String::from_utf8(LINES.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("UTF-8")
}

/// The only event with this text in it.
pub fn event(id: &str) -> Value {
    let text = text();
    let mut events = text.lines().filter(|line| line.contains(&format!("\"{id}\"")));
    let event: Value = serde_json::from_str(events.next().expect("a line")).expect("JSON");
    assert!(events.next().is_none(), "one line for {id}");
    event
}
