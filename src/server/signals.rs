//! The signals that the server takes notice of.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or SIGINT, and says which it was.
///
/// SIGHUP, which asks other servers to read their configuration again and would end this one without answering what it
/// took, only gets a line in the log.
pub async fn end() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok("SIGTERM"),
            _ = interrupt.recv() => return Ok("SIGINT"),
            _ = hang_up.recv() => {
                tracing::warn!(signal = "SIGHUP", "the configuration is not read again; restart for that");
            }
        }
    }
}
