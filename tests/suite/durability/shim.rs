//! The shim below a process's files, compiled with the C compiler that links every Rust program on Linux.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The shared object for `LD_PRELOAD`, see `disk.c`. `None` where it cannot be had, which is said once.
pub fn shim() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/durability/disk.c");
    // Of this process alone: tests of several runs may build at once.
    let object = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("disk-{}.so", std::process::id()));
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .args([&object, &source])
        .arg("-lpthread")
        .output();
    match compiled {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("the shim does not compile: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            eprintln!("!!! SKIPPED: every test on the simulated disk: there is no C compiler `cc` ({error})");
            return None;
        }
    }
    let named = object.with_file_name("disk.so");
    std::fs::rename(&object, &named).expect("the shim's own name");
    Some(named)
}
