//! The server as operators run it: the binary, `init`, `serve`, in a directory that goes away.

use rustix::param::clock_ticks_per_second;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A process that serves.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    directory: TempDir,
}

impl Server {
    /// Makes a CA that trusts the GitLab at `issuer`, starts it, and waits until it takes connections. What it says goes to a file.
    pub async fn start(binary: &Path, issuer: &str) -> Self {
        let directory = TempDir::with_prefix_in("bench-", env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let (address, admin) = (free(), free());
        let home = directory.path().join("ca");
        let init = Command::new(binary)
            .args([
                "init",
                "--gitlab",
                issuer,
                "--listen",
                &address.to_string(),
                "--admin",
                &admin.to_string(),
            ])
            .arg(&home)
            .stdout(Stdio::null())
            .status()
            .expect("the binary runs");
        assert!(init.success(), "init");
        let said = File::create(directory.path().join("said")).expect("a file");
        let child = Command::new(binary)
            .args(["serve", "--log-format", "json", "--config"])
            .arg(home.join("countersign.yaml"))
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .expect("the binary runs");
        while TcpStream::connect(address).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { child, address, admin, directory }
    }

    /// CPU time used so far, of all its threads.
    pub fn cpu(&self) -> Duration {
        cpu_of(&self.child.id().to_string())
    }

    /// The most memory that it ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
    }

    /// What it wrote to stderr.
    pub fn said(&self) -> PathBuf {
        self.directory.path().join("said")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// CPU time of this process.
pub fn own_cpu() -> Duration {
    cpu_of("self")
}

/// proc_pid_stat(5): utime and stime are fields 14 and 15; the name in field 2 may hold spaces.
fn cpu_of(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().map(|index| fields[*index].parse::<f64>().expect("a number")).sum();
    Duration::from_secs_f64(ticks / clock_ticks_per_second() as f64)
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}
