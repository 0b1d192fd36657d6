//! The server as operators run it: the binary, `init`, `serve`, in a directory that goes away.

use super::process::Processes;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A CA and its log, in a directory of their own.
pub struct Home {
    binary: PathBuf,
    address: SocketAddr,
    admin: SocketAddr,
    directory: TempDir,
}

impl Home {
    /// Makes a CA that trusts the GitLab at `issuer`.
    pub fn make(binary: &Path, issuer: &str) -> Arc<Self> {
        let directory = TempDir::with_prefix_in("bench-", env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let home = Self { binary: binary.to_owned(), address: free(), admin: free(), directory };
        let init = Command::new(binary)
            .args(["init", "--gitlab", issuer])
            .args(["--listen", &home.address.to_string(), "--admin", &home.admin.to_string()])
            .arg(home.path())
            .stdout(Stdio::null())
            .status()
            .expect("the binary runs");
        assert!(init.success(), "init");
        Arc::new(home)
    }

    /// What `init` made.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("ca")
    }

    /// What the servers here wrote to stderr, one after the other.
    pub fn said(&self) -> PathBuf {
        self.directory.path().join("said")
    }

    /// Starts the server and waits until it takes connections. What it says goes to a file.
    pub async fn start(self: Arc<Self>) -> Server {
        let said = File::options().create(true).append(true).open(self.said()).expect("a file");
        let began = Instant::now();
        let child = Command::new(&self.binary)
            .args(["serve", "--log-format", "json", "--config"])
            .arg(self.path().join("countersign.yaml"))
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .expect("the binary runs");
        while TcpStream::connect(self.address).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = began.elapsed();
        Server { child, address: self.address, admin: self.admin, took, home: self }
    }
}

/// A process that serves.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    /// From its start until it took connections.
    pub took: Duration,
    pub home: Arc<Home>,
}

impl Server {
    /// A new CA, and its server.
    pub async fn start(binary: &Path, issuer: &str) -> Self {
        Home::make(binary, issuer).start().await
    }

    /// Its process.
    pub fn process(&self) -> Processes {
        Processes::new([self.child.id()])
    }

    /// CPU time used so far, of all its threads.
    pub fn cpu(&self) -> Duration {
        self.process().cpu()
    }

    /// The most memory that it ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.process().peak_memory()
    }

    /// What it wrote to stderr.
    pub fn said(&self) -> PathBuf {
        self.home.said()
    }

    /// Ends it in order.
    pub fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        assert!(self.child.wait().expect("it ends").success(), "it ends in order");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}
