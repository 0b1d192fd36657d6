//! The signals that end the server, and the one that makes it look at its files.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that are caught: from the moment this is made none of them ends the process by itself. What comes before somebody
/// asks is kept.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// The system's.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one.
    pub async fn next(&mut self) -> Signalled {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signalled::End("SIGTERM"),
            _ = self.interrupt.recv() => Signalled::End("SIGINT"),
            _ = self.hang_up.recv() => Signalled::Reload,
        }
    }

    /// Waits for SIGTERM or SIGINT, and says which it was. SIGHUP is kept for [`Self::next`].
    pub async fn end(&mut self) -> &'static str {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// What a signal asks for.
pub enum Signalled {
    /// The end, by the signal of this name.
    End(&'static str),
    /// A look at the files.
    Reload,
}
