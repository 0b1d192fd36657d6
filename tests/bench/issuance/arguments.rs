//! What can be chosen.

use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What a certificate costs: rate, latency, CPU, memory, writes, held against the bare cryptography and the bare sync of this machine.
///
/// Everything is measured --runs times, each time on a server that was just started; the figures are medians. Every answer is checked.
#[derive(Parser)]
#[command(name = "cargo bench --bench issuance --", max_term_width = 110)]
pub struct Arguments {
    /// Runs, of which the median counts [default: 5; with --short: 1]
    #[arg(long)]
    runs: Option<usize>,
    /// Seconds under each load [default: 4; with --short: 1]
    #[arg(long)]
    seconds: Option<u64>,
    /// A quick look
    #[arg(long)]
    pub short: bool,
    /// Another binary of countersign
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_countersign"))]
    pub binary: PathBuf,
    /// Begin with a log of so many entries instead of an empty one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub entries: u64,
    /// Let those entries be of half a kilobyte, where the disk has no room for real ones: the tree is as high
    #[arg(long, requires = "entries")]
    pub small_entries: bool,
    /// Beyond the rest, issue so many certificates on 64 connections and watch the memory
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub certificates: u64,
    /// Only issue: no reading rows
    #[arg(long)]
    pub no_reading: bool,
    /// Drive this server (Fulcio's API v2) as well, in the same runs: http://ADDRESS:PORT
    #[arg(long, value_name = "URL", requires = "pid")]
    pub peer: Option<String>,
    /// The process ids of that server and of its log; or a file with them, which is read once the server answers
    #[arg(long, value_name = "PID|FILE", value_delimiter = ',')]
    pub pid: Vec<String>,
    /// PEM with the root certificate of that server, and its log's public key; without a key no SCT is looked for
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// What that server is called in the table
    #[arg(long, value_name = "NAME", default_value = "peer")]
    pub peer_name: String,
    /// The port of the make-believe GitLab, whose tokens that server must accept: http://127.0.0.1:PORT. Fulcio's type
    /// gitlab-pipeline takes no issuer with a port: 80, and http://127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub issuer_port: u16,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    pub fn runs(&self) -> usize {
        self.runs.unwrap_or(if self.short { 1 } else { 5 }).max(1)
    }

    /// Under each load.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(if self.short { 1 } else { 4 }).max(1))
    }

    /// Different requests: each has a token, a key and a proof of its own.
    pub const fn requests(&self) -> usize {
        if self.short { 512 } else { 4096 }
    }

    /// The peer's address.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        let url = self.peer.as_ref()?.strip_prefix("http://").expect("--peer http://ADDRESS:PORT");
        Some(url.trim_end_matches('/').parse().expect("--peer http://ADDRESS:PORT"))
    }

    /// The peer's process ids.
    pub fn peer_processes(&self) -> Vec<u32> {
        let ids = self.pid.iter().flat_map(|given| {
            let text = std::fs::read_to_string(given).unwrap_or_else(|_| given.clone());
            text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        });
        ids.map(|id| id.parse().expect("--pid: a process id, or a file with some")).collect()
    }
}
