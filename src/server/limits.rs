//! How many connections may be held, and the open files that they need.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Connections on the public listener at most.
const CONNECTIONS: usize = 8192;
/// Connections on the operators' listener at most.
pub const ADMIN_CONNECTIONS: usize = 64;
/// Open files for everything but public connections: tiles, the store, fetches, logs.
const OTHER_FILES: usize = 512;

/// Raises the soft limit of open files as far as it is needed and allowed, and says how many connections fit under it.
pub fn connections() -> usize {
    let wanted = (CONNECTIONS + OTHER_FILES) as u64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
        let before = limit.current;
        limit.current = Some(raised);
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.current = before;
        }
    }
    let files = limit.current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let connections = files.saturating_sub(OTHER_FILES).clamp(64, CONNECTIONS);
    if connections < CONNECTIONS {
        tracing::warn!(
            connections,
            files,
            "few connections can be held: raise the limit of open files (LimitNOFILE)"
        );
    }
    connections
}
