//! The binary with a broker and nothing else to do: no log, a CA that goes away with it.

use crate::driver::process::Processes;
use crate::support::gitlab::MakeBelieve;
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const AUDIENCE: &str = "https://ca.example.com/broker";
pub const ROLE: &str = "bench";

/// Its directory, which outlives every process.
pub struct Home {
    binary: PathBuf,
    directory: TempDir,
}

impl Home {
    /// A configuration with one role, which jobs of `bench/…` may use for their project.
    pub fn make(binary: &Path, gitlab: &MakeBelieve) -> Self {
        let directory = TempDir::with_prefix_in("leases-", env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let credential = directory.path().join("gitlab.token");
        fs::write(&credential, gitlab.credential()).expect("a file");
        fs::set_permissions(&credential, fs::Permissions::from_mode(0o600)).expect("its mode");
        let url = gitlab.url();
        let text = format!(
            "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\nca: {{ ephemeral: {{}} }}\nlog: {{ mode: none }}\ndata: data\n\
             issuers: [{{ url: \"{url}\", type: gitlab-pipeline }}]\n\
             broker:\n  audience: {AUDIENCE}\n  rate_per_project: 60000\n  \
             targets: [{{ name: gitlab, url: \"{url}\", token: {{ file: gitlab.token }} }}]\n  roles:\n    \
             - {{ name: {ROLE}, kind: project, path: \"{{project_path}}\", scopes: [read_api], access_level: developer, ttl: 10s, max_ttl: 1h,\n        \
             max_active: 100000, max_active_per_project: 100000, when: 'claims.project_path.startsWith(\"bench/\")' }}\n"
        );
        fs::write(directory.path().join("countersign.yaml"), text).expect("a file");
        Self { binary: binary.to_owned(), directory }
    }

    /// Starts it, and waits until it serves.
    pub fn start(&self) -> Broker {
        let began = Instant::now();
        let mut child = Command::new(&self.binary)
            .args(["serve", "--log-format", "json", "--config"])
            .arg(self.directory.path().join("countersign.yaml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut said = String::new();
        let serving = loop {
            let Some(Ok(line)) = lines.next() else { panic!("it ended: {said}") };
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["message"] == "serving" {
                break event;
            }
            said.push_str(&line);
        };
        let start_up = began.elapsed();
        // Nobody may wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let address = |name: &str| serving[name].as_str().and_then(|it| it.parse().ok()).expect("an address");
        Broker { public: address("listen"), admin: address("admin"), child, start_up }
    }
}

/// A process that serves.
pub struct Broker {
    child: Child,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    /// From its start until it said that it serves.
    pub start_up: Duration,
}

impl Broker {
    pub fn process(&self) -> Processes {
        Processes::new([self.child.id()])
    }

    /// Ends it without a word.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
