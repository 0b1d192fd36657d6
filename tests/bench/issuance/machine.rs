//! What the figures were measured on.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Processor, cores, kernel, file system, and how busy it was.
pub struct Machine {
    processor: String,
    pub cores: usize,
    kernel: String,
    file_system: String,
    load: String,
}

impl Machine {
    /// This one; `directory` is where the server's data lies.
    pub fn here(directory: &Path) -> Self {
        let cpus = read("/proc/cpuinfo");
        let processor = cpus.lines().find_map(|line| line.strip_prefix("model name"));
        let processor = processor.map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
        Self {
            processor: processor.to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(directory),
            load: read("/proc/loadavg").split(' ').take(1).collect(),
        }
    }

    pub fn to_json(&self) -> Value {
        json!({
            "processor": self.processor,
            "cores": self.cores,
            "kernel": self.kernel,
            "file_system": self.file_system,
            "load_before": self.load,
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { processor, cores, kernel, file_system, load } = self;
        write!(f, "{processor}, {cores} cores; Linux {kernel}; {file_system}; load before: {load}")
    }
}

/// proc_pid_mountinfo(5): the mount with the longest path above `directory`.
fn file_system(directory: &Path) -> String {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let mounts = read("/proc/self/mountinfo");
    let above = mounts.lines().filter_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        directory.starts_with(point).then(|| (point.len(), system.split(' ').next().unwrap_or("unknown")))
    });
    above.max().map_or("unknown", |(_, system)| system).to_owned()
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}
