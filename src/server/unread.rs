//! How long an octet waits in the system's memory until a task reads it: as long as the requests beside it.
//!
//! Readiness is told in the order in which it came about. So a pair of sockets of our own, looked at now and then, shows what every
//! caller waits, whatever it is that keeps the workers busy.

use super::listener::OpenConnections;
use crate::environment::Stopwatch;
use crate::issuance::admission::{Unread, Waits};
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::sleep;

/// Between two looks while many are connected.
const OFTEN: Duration = Duration::from_millis(20);
/// Between two looks otherwise.
const SELDOM: Duration = Duration::from_millis(250);
/// From so many connections on it is looked often.
const MANY: usize = 128;

/// Looks for as long as somebody has `unread`.
///
/// # Errors
/// A pair of sockets cannot be had, or does not work.
pub async fn watch(
    unread: Weak<Unread>,
    connections: OpenConnections,
    stopwatch: Arc<dyn Stopwatch>,
) -> io::Result<()> {
    let (mut here, mut there) = UnixStream::pair()?;
    let mut waits = Waits::default();
    loop {
        sleep(if connections.count() < MANY { SELDOM } else { OFTEN }).await;
        let began = stopwatch.elapsed();
        here.write_all(b".").await?;
        there.read_u8().await?;
        let wait = stopwatch.elapsed().saturating_sub(began);
        let Some(unread) = unread.upgrade() else { return Ok(()) };
        unread.refuse(waits.share(wait, connections.count()));
    }
}
