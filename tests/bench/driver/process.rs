//! What the operating system says of processes: proc_pid_stat(5), proc_pid_status(5), proc_pid_io(5).

use rustix::param::clock_ticks_per_second;
use std::fs;
use std::time::Duration;

/// Processes that serve together, counted as one.
#[derive(Clone)]
pub struct Processes(Vec<String>);

impl Processes {
    /// These, by their ids.
    pub fn new(ids: impl IntoIterator<Item = u32>) -> Self {
        Self(ids.into_iter().map(|id| id.to_string()).collect())
    }

    /// This process.
    pub fn own() -> Self {
        Self(vec!["self".into()])
    }

    /// CPU time used so far, of all their threads, in user and system mode.
    pub fn cpu(&self) -> Duration {
        // utime and stime are fields 14 and 15; the name in field 2 may hold spaces.
        let of = |process: &String| {
            let stat = read(process, "stat");
            let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
            let ticks: f64 =
                [11, 12].iter().map(|index| fields[*index].parse::<f64>().expect("a number")).sum();
            Duration::from_secs_f64(ticks / clock_ticks_per_second() as f64)
        };
        self.0.iter().map(of).sum()
    }

    /// The most memory that they ever had, or had since [`Self::forget_peak`], in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.0.iter().map(|process| number(&read(process, "status"), "VmHWM:") * 1024).sum()
    }

    /// The memory that they have now, in bytes.
    pub fn memory(&self) -> u64 {
        self.0.iter().map(|process| number(&read(process, "status"), "VmRSS:") * 1024).sum()
    }

    /// The peak begins anew. Processes of somebody else keep theirs.
    pub fn forget_peak(&self) {
        for process in &self.0 {
            fs::write(format!("/proc/{process}/clear_refs"), "5").ok();
        }
    }

    /// Bytes that they caused to be written to disks; `None` for processes of somebody else.
    pub fn written(&self) -> Option<u64> {
        let io = self.0.iter().map(|process| fs::read_to_string(format!("/proc/{process}/io")).ok());
        io.map(|io| io.map(|io| number(&io, "write_bytes:"))).sum()
    }
}

fn read(process: &str, file: &str) -> String {
    fs::read_to_string(format!("/proc/{process}/{file}")).expect("the process runs")
}

/// The number on the line with this name.
fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("it is there");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}
