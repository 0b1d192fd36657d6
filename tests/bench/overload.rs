//! What the server does under more load than it can take, seen by its callers. `docs/SECURITY.md` has the figures.
//!
//! `cargo bench --bench overload` takes three minutes, `-- --short` half a minute; `-- --binary FILE` measures another binary. The server
//! and this driver share the machine, so what is called its capacity is what both reach together. In the short form only what does
//! not depend on the machine's speed decides about the exit code.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    clippy::disallowed_methods,
    missing_docs,
    reason = "it runs on a bench"
)]

#[allow(dead_code, reason = "each bench needs a part of it")]
mod driver;

use countersign::demo::gitlab::Gitlab;
use countersign::server::environment::Environment;
use driver::load::{Load, Manner, SLICE, Seen};
use driver::process::Processes;
use driver::report::{Report, millis};
use driver::requests::{self, Wire};
use driver::server::Server;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const MEMORY: u64 = 256 << 20;
const ACCEPTED: Duration = Duration::from_secs(1);
const REFUSED: Duration = Duration::from_millis(250);

struct Bench {
    server: Server,
    short: bool,
    report: Report,
    /// Requests of many projects, of one that wants everything, of one that wants little, and some that nobody signed.
    everybody: Arc<[Wire]>,
    greedy: Arc<[Wire]>,
    modest: Arc<[Wire]>,
    forged: Arc<[Wire]>,
    /// Certificates a second at 64 connections.
    peak: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let short = arguments.iter().any(|argument| argument == "--short");
    let binary = arguments.iter().skip_while(|argument| *argument != "--binary").nth(1);
    let binary = binary.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_countersign")), PathBuf::from);
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).expect("open files");

    let gitlab = Gitlab::start(Environment::system().clock).await.expect("a GitLab");
    let projects: Vec<_> =
        (0..20).map(|number| requests::of_project(&gitlab, &format!("many/p{number}"))).collect();
    // In turn, so that neighbouring connections belong to different projects.
    let everybody =
        (0..requests::OF_A_PROJECT).flat_map(|turn| projects.iter().map(move |own| own[turn].clone()));
    let mut bench = Bench {
        server: Server::start(&binary, gitlab.url()).await,
        short,
        report: Report::default(),
        everybody: everybody.collect(),
        greedy: requests::of_project(&gitlab, "greedy/project"),
        modest: requests::of_project(&gitlab, "modest/project"),
        forged: requests::forged(&gitlab, "modest/project"),
        peak: 0.0,
    };
    println!("| figure | value | goal | met |\n|---|---|---|---|");
    bench.peak().await;
    bench.polite().await;
    bench.flood_and_recovery().await;
    bench.greedy_beside_modest().await;
    bench.forged_beside_victim().await;
    bench.afterwards();
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("overload.json");
    std::fs::write(&file, format!("{:#}\n", bench.report.to_json())).expect("the report");
    println!("\nIn full: {}", file.display());
    if bench.report.is_met(short) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Bench {
    fn seconds(&self, full: u64, short: u64) -> Duration {
        Duration::from_secs(if self.short { short } else { full })
    }

    fn load(&self, connections: usize, manner: Manner, requests: &Arc<[Wire]>) -> Load {
        Load { address: self.server.address, connections, manner, requests: requests.clone(), keep: false }
    }

    /// Answers are 200 or 429, and every connection that was promised an answer got one.
    fn sound(&mut self, name: &str, seen: &Seen) {
        let others: Vec<_> =
            seen.statuses.iter().filter(|(status, _)| !matches!(status, 200 | 429)).collect();
        let text = if others.is_empty() { "none".to_owned() } else { format!("{others:?}") };
        self.report.must(&format!("{name}: answers other than 200 and 429"), text, "none", others.is_empty());
        self.report.detail(name, seen);
    }

    fn latency(&mut self, name: &str, seen: &Seen) {
        let accepted = seen.accepted.quantile(0.99);
        let shown = format!("{} ms", millis(accepted));
        self.report.should(&format!("{name}: accepted, p99"), shown, "≤ 1 s", accepted <= ACCEPTED);
        let refused = seen.refused.quantile(0.99);
        let shown = format!("{} ms of {}", millis(refused), seen.refused.count());
        self.report.should(&format!("{name}: refused, p99"), shown, "≤ 250 ms", refused <= REFUSED);
    }

    fn memory(&mut self, name: &str) {
        let peak = self.server.peak_memory();
        let shown = format!("{} MB", peak >> 20);
        self.report.must(&format!("{name}: memory at most so far"), shown, "< 256 MB", peak < MEMORY);
    }

    fn unrefused(&mut self, name: &str, seen: &Seen) {
        let refused = seen.refused.count();
        self.report.must(&format!("{name}: refused"), refused, "0", refused == 0);
    }

    fn goodput(&mut self, name: &str, seen: &Seen, part: f64) {
        let goodput = seen.goodput();
        let shown = format!("{goodput:.0}/s, {:.0} %", goodput / self.peak * 100.0);
        let goal = format!("≥ {:.0} % of the peak", part * 100.0);
        self.report.should(&format!("{name}: goodput"), shown, &goal, goodput >= self.peak * part);
    }

    /// One project alone on 64 connections.
    async fn peak(&mut self) {
        self.load(64, Manner::Greedy, &self.greedy).run(self.seconds(3, 1)).await;
        let (cpu, own) = (self.server.cpu(), Processes::own().cpu());
        let seen = self.load(64, Manner::Greedy, &self.greedy).run(self.seconds(15, 4)).await;
        let (cpu, own) = (self.server.cpu() - cpu, Processes::own().cpu() - own);
        self.peak = seen.goodput();
        let name = "64 connections, one project";
        let each = cpu.as_secs_f64() / seen.accepted.count() as f64 * 1e6;
        let shown = format!(
            "{:.0}/s at {each:.0} µs of CPU; the driver's: {:.0} µs",
            self.peak,
            own.as_secs_f64() / seen.accepted.count() as f64 * 1e6
        );
        self.report.should(&format!("{name}: peak"), shown, "", true);
        self.unrefused(name, &seen);
        self.latency(name, &seen);
        self.sound(name, &seen);
    }

    /// 2,000 connections of 20 projects, which wait as long as they are told.
    async fn polite(&mut self) {
        let seen = self.load(2000, Manner::Polite, &self.everybody).run(self.seconds(60, 5)).await;
        let name = "2,000 connections, Retry-After honoured";
        self.goodput(name, &seen, 0.9);
        self.latency(name, &seen);
        self.memory(name);
        self.sound(name, &seen);
    }

    /// Ten times the capacity from 2,000 connections that wait for nothing, then 64 connections.
    async fn flood_and_recovery(&mut self) {
        let duration = self.seconds(60, 5);
        let offered = self.peak * 10.0;
        let flood = self.load(2000, Manner::Open(offered), &self.everybody);
        let get = |address, path| Load {
            address,
            connections: 1,
            manner: Manner::Open(10.0),
            requests: requests::get(path),
            keep: false,
        };
        let health = get(self.server.address, "/healthz");
        let live = get(self.server.admin, "/livez");
        let head = get(self.server.address, "/ct/checkpoint");
        let (cpu, own) = (self.server.cpu(), Processes::own().cpu());
        let (seen, health, live, head) =
            tokio::join!(flood.run(duration), health.run(duration), live.run(duration), head.run(duration));
        let (cpu, own) = (self.server.cpu() - cpu, Processes::own().cpu() - own);

        let name = "Flood";
        let shown = format!(
            "{offered:.0}/s wanted, {:.0}/s sent; CPU: server {:.2}, driver {:.2} cores",
            seen.answered(),
            cpu.as_secs_f64() / duration.as_secs_f64(),
            own.as_secs_f64() / duration.as_secs_f64()
        );
        self.report.should(&format!("{name}: offered"), shown, "10 times the peak", true);
        self.goodput(name, &seen, 0.5);
        self.latency(name, &seen);
        self.memory(name);
        self.sound(name, &seen);
        for (what, seen) in [("/healthz", health), ("/livez", live), ("/ct/checkpoint", head)] {
            let p99 = seen.accepted.quantile(0.99);
            let figure = format!("{name}: {what}, p99");
            self.report.should(&figure, format!("{} ms", millis(p99)), "≤ 250 ms", p99 <= REFUSED);
            self.sound(&format!("{name}: {what}"), &seen);
        }

        let seen = self.load(64, Manner::Greedy, &self.modest).run(self.seconds(5, 3)).await;
        let enough = self.peak * SLICE.as_secs_f64() * 0.8;
        let recovered = seen.slices.iter().position(|&count| f64::from(count) >= enough);
        let shown = recovered.map_or("never".to_owned(), |slices| format!("{} ms", (slices + 1) * 100));
        let met = recovered.is_some_and(|slices| slices < 10);
        self.report.should("After the flood: back at 80 % of the peak", shown, "within 1 s", met);
        self.unrefused("After the flood", &seen);
        self.sound("After the flood", &seen);
    }

    /// A project with 1,000 connections that never wait, beside one with 8.
    async fn greedy_beside_modest(&mut self) {
        let duration = self.seconds(20, 4);
        let (greedy, modest) = tokio::join!(
            self.load(1000, Manner::Greedy, &self.greedy).run(duration),
            self.load(8, Manner::Greedy, &self.modest).run(duration)
        );
        let mut both = greedy.clone();
        both.merge(&modest);
        self.goodput("Greedy and modest together", &both, 0.5);
        self.unrefused("Modest project beside a greedy one", &modest);
        self.latency("Modest project beside a greedy one", &modest);
        self.sound("Greedy project", &greedy);
        self.sound("Modest project beside a greedy one", &modest);
    }

    /// 500 connections with forged tokens that name a project, beside that project's own 8.
    async fn forged_beside_victim(&mut self) {
        let duration = self.seconds(20, 4);
        let (forger, victim) = tokio::join!(
            self.load(500, Manner::Greedy, &self.forged).run(duration),
            self.load(8, Manner::Greedy, &self.modest).run(duration)
        );
        let let_in = forger.accepted.count();
        self.report.must("Forged tokens: certificates", let_in, "0", let_in == 0);
        self.report.detail("Forger", &forger);
        self.unrefused("Project that forged tokens name", &victim);
        self.latency("Project that forged tokens name", &victim);
        self.sound("Project that forged tokens name", &victim);
    }

    /// Memory in the end, and how many lines the log has.
    fn afterwards(&mut self) {
        self.memory("In the end");
        let said = std::fs::read_to_string(self.server.said()).expect("the log");
        let refusals = said.lines().filter(|line| line.contains("\"OVERLOADED\"")).count();
        let panics = said.lines().filter(|line| line.contains("panicked")).count();
        let shown = format!("{refusals} of {}", said.lines().count());
        self.report.must("Lines of the log for refused requests", shown, "< 1,000", refusals < 1000);
        self.report.must("Panics", panics, "0", panics == 0);
    }
}
