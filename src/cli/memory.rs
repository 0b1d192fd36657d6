//! Keeps the process's memory, which has keys in it, out of files and away from other processes.

/// No core dumps, whatever the limits are that it was started under (`RLIMIT_CORE`), and no other process of the same user may
/// read its memory or trace it (`PR_SET_DUMPABLE`, prctl(2)); root may. For every command: nearly all of them have a key or a
/// token in memory at some time.
///
/// # Errors
/// In words, when the system refuses, which Linux does not.
pub fn keep_private() -> Result<(), String> {
    no_core_dumps()
        .and_then(|()| not_dumpable())
        .map_err(|error| format!("core dumps cannot be switched off, and one would have keys in it: {error}"))
}

#[cfg(unix)]
fn no_core_dumps() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

#[cfg(not(unix))]
fn no_core_dumps() -> std::io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn not_dumpable() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(not(target_os = "linux"))]
fn not_dumpable() -> std::io::Result<()> {
    Ok(())
}
