//! What short-lived GitLab tokens cost, on the release binary against the make-believe GitLab: exchanges, memory, start-up, and how late
//! tokens die. `docs/PERFORMANCE.md` has the figures.
//!
//! `cargo bench --bench leases` makes ten thousand leases three times and takes some minutes, `-- --short` one thousand; `-- --binary FILE` measures another
//! binary. Server, GitLab and jobs share the machine, so rates are what all three reach together. Everything is written to `target/leases.json`
//! too.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    clippy::disallowed_methods,
    missing_docs,
    reason = "it runs on a bench"
)]

mod broker;
#[allow(dead_code, reason = "each bench needs a part of it")]
#[path = "../driver/mod.rs"]
mod driver;
mod ending;
mod exchange;
#[path = "../issuance/machine.rs"]
mod machine;
#[allow(dead_code, unused_imports, reason = "the suite needs all of it")]
mod support;
mod table;

use broker::{Broker, Home};
use clap::Parser;
use countersign::server::environment::Environment;
use ending::{Cause, Ended};
use exchange::{Made, Ttl};
use machine::Machine;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use support::gitlab::MakeBelieve;
use table::Table;

/// What short-lived GitLab tokens cost: rate, latency, CPU, memory, start-up, lateness of revocations. Every answer is checked.
#[derive(Parser)]
#[command(name = "cargo bench --bench leases --", max_term_width = 110)]
struct Arguments {
    /// Live leases at once [default: 10000; with --short: 1000]
    #[arg(long)]
    leases: Option<usize>,
    /// A quick look
    #[arg(long)]
    short: bool,
    /// Another binary of countersign
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_countersign"))]
    binary: PathBuf,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match bench(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("wrong: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// One store, and the GitLab behind it.
struct Bench {
    gitlab: MakeBelieve,
    home: Home,
    count: usize,
    table: Table,
}

async fn bench(arguments: &Arguments) -> Result<(), String> {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let machine = Machine::here(scratch);
    println!("{machine}\n");
    let gitlab = MakeBelieve::start(Environment::system().clock).await;
    let home = Home::make(&arguments.binary, &gitlab);
    let count = arguments.leases.unwrap_or(if arguments.short { 1000 } else { 10_000 }).max(1);
    let mut bench = Bench { gitlab, home, count, table: Table::default() };
    bench.run().await?;
    println!("{}", bench.table);
    let report = json!({ "machine": machine.to_json(), "leases": count, "figures": bench.table.to_json() });
    let file = scratch.with_file_name("leases.json");
    std::fs::write(&file, format!("{report:#}\n")).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("{}", file.display());
    Ok(())
}

impl Bench {
    async fn run(&mut self) -> Result<(), String> {
        // The first one makes the store.
        self.home.start().kill();
        let broker = self.home.start();
        let empty = self.started("no lease in the store", &broker);

        let made = self.made(&broker, "ordered", Ttl::Each(Duration::from_secs(3600))).await?;
        let rate = self.count as f64 / made.elapsed.as_secs_f64();
        self.exchanges(&made, rate);
        self.memory("resident MiB, all of them live", made.memory, Some(empty));
        broker.kill();
        let broker = self.home.start();
        let loaded = self.started("all of them live in the store", &broker);
        self.table.put(
            "bytes a live lease, after a start",
            (loaded.saturating_sub(empty)) as f64 / self.count as f64,
            0,
        );
        let live = self.gitlab.live_tokens().len();
        if live != self.count {
            return Err(format!("{live} tokens live after the kill"));
        }
        let ended = ending::watch(&broker, &self.gitlab, &made, Cause::Ordered).await?;
        self.ended("ordered at once", &ended);

        // All of them are to live at once, also where the machine is slower by then.
        let time = Duration::from_secs_f64(self.count as f64 / rate * 2.5 + 15.0);
        let made = self.made(&broker, "each", Ttl::Each(time)).await?;
        let ended = ending::watch(&broker, &self.gitlab, &made, Cause::Deadline).await?;
        self.ended("deadlines as they were made", &ended);

        let tokens = exchange::id_tokens(&self.gitlab, "one", self.count);
        let until = exchange::now().plus(time);
        let made = exchange::run(&broker, &self.gitlab, tokens, Ttl::Until(until)).await?;
        let ended = ending::watch(&broker, &self.gitlab, &made, Cause::Deadline).await?;
        self.ended("deadlines in one second", &ended);
        self.memory("resident MiB, all over, three times as many listed", broker.process().memory(), None);
        broker.kill();
        let broker = self.home.start();
        self.started("all over, three times as many listed", &broker);
        match self.gitlab.live_tokens().len() {
            0 => Ok(()),
            live => Err(format!("{live} tokens live at the end")),
        }
    }

    async fn made(&self, broker: &Broker, round: &str, ttl: Ttl) -> Result<Made, String> {
        eprintln!("{} leases: {round}", self.count);
        let tokens = exchange::id_tokens(&self.gitlab, round, self.count);
        exchange::run(broker, &self.gitlab, tokens, ttl).await
    }

    /// Start-up and memory of a process that has just begun to serve; the memory.
    fn started(&mut self, with: &str, broker: &Broker) -> u64 {
        let memory = broker.process().memory();
        self.table.put(&format!("start-up ms, {with}"), broker.start_up.as_secs_f64() * 1e3, 0);
        self.memory(&format!("resident MiB after it, {with}"), memory, None);
        memory
    }

    fn memory(&mut self, name: &str, memory: u64, before: Option<u64>) {
        self.table.put(name, memory as f64 / f64::from(1 << 20), 1);
        if let Some(before) = before {
            let each = memory.saturating_sub(before) as f64 / self.count as f64;
            self.table.put("bytes a live lease, as they were made", each, 0);
        }
    }

    fn exchanges(&mut self, made: &Made, rate: f64) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.count as f64;
        let (cpu, driver) = (each(made.cpu), each(made.driver));
        self.table.put(&format!("exchanges/s, {} connections", exchange::CONNECTIONS), rate, 0);
        self.table.put("exchange p50 ms", millis(made.times.quantile(0.5)), 1);
        self.table.put("exchange p99 ms", millis(made.times.quantile(0.99)), 1);
        self.table.put("server's CPU µs an exchange", cpu, 0);
        self.table.put("GitLab's and the jobs' CPU µs an exchange", driver, 0);
    }

    fn ended(&mut self, name: &str, ended: &Ended) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.count as f64;
        let rows = [
            ("lag p50 ms", millis(ended.lags.quantile(0.5)), 0),
            ("lag p99 ms", millis(ended.lags.quantile(0.99)), 0),
            ("lag max ms", millis(ended.lags.max()), 0),
            ("revocations/s", self.count as f64 / ended.elapsed.as_secs_f64(), 0),
            ("server's CPU µs a revocation", each(ended.cpu), 0),
            ("calls beyond one each", ended.repeated as f64, 0),
        ];
        for (what, value, digits) in rows {
            self.table.put(&format!("{name}: {what}"), value, digits);
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
