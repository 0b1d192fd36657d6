//! The process, from `/proc`, under the names that Prometheus' client libraries share. Where there is no `/proc` they stay 0.

use super::families::Families;
use super::readings::set_counter;
use prometheus::{Counter, Gauge, Result};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use std::fs;

pub struct Process {
    cpu: Counter,
    resident: Gauge,
    virtual_memory: Gauge,
    started: Gauge,
    threads: Gauge,
    open_files: Gauge,
    most_files: Gauge,
}

impl Process {
    pub fn new(families: &Families<'_>) -> Result<Self> {
        let gauge = |name, help| families.gauge(name, help);
        Ok(Self {
            cpu: families.read_counter(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
            )?,
            resident: gauge("process_resident_memory_bytes", "Resident memory size in bytes.")?,
            virtual_memory: gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
            started: gauge(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
            )?,
            threads: gauge("process_threads", "Number of OS threads in the process.")?,
            open_files: gauge("process_open_fds", "Number of open file descriptors.")?,
            most_files: gauge("process_max_fds", "Maximum number of open file descriptors.")?,
        })
    }

    /// Reads it anew.
    pub fn read(&self) {
        if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::parse(&text)) {
            let ticks = clock_ticks_per_second().max(1) as f64;
            set_counter(&self.cpu, stat.cpu_ticks as f64 / ticks);
            self.resident.set((stat.resident_pages * page_size() as u64) as f64);
            self.virtual_memory.set(stat.virtual_bytes as f64);
            self.threads.set(stat.threads as f64);
            if let Some(boot) = boot_time() {
                self.started.set(boot as f64 + stat.start_ticks as f64 / ticks);
            }
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory itself.
            self.open_files.set(files.count().saturating_sub(1) as f64);
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            self.most_files.set(most as f64);
        }
    }
}

/// The parts of `/proc/self/stat` that are shown (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in brackets, and may hold anything. What follows is field 3.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.checked_add(field(15)?)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// Seconds since 1970.
fn boot_time() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_may_hold_anything() {
        let text = "7 (a) b) (c) S 1 7 7 0 -1 4194560 10 0 0 0 30 12 0 0 20 0 5 0 4711 900000 250 18446744073709551615";
        let stat = Stat {
            cpu_ticks: 42,
            threads: 5,
            start_ticks: 4711,
            virtual_bytes: 900_000,
            resident_pages: 250,
        };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("7 (x) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }
}
