//! The signals that the server takes notice of.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for SIGTERM or SIGINT, and says which it was.
pub async fn end() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

/// Every SIGHUP from now on, which would otherwise end the process without answering what it took.
pub fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}
