//! What a certificate costs, on the release binary, beside what the machine does by itself. `docs/PERFORMANCE.md` has the figures.
//!
//! `cargo bench` takes about eight minutes, `-- --short` half a minute; `-- --help` says what else there is. Server and driver share the
//! machine, so rates are what both reach together; what the server used is the operating system's account of its process, with
//! the two seconds after the load. Everything is written to `target/issuance.json` and `target/issuance.svg` too.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    clippy::disallowed_methods,
    missing_docs,
    reason = "it runs on a bench"
)]

mod arguments;
#[allow(dead_code, reason = "each bench needs a part of it")]
#[path = "../driver/mod.rs"]
mod driver;
mod figures;
mod growth;
mod machine;
mod measure;
mod picture;
mod reading;
mod replies;
mod run;
mod signing;
mod subject;
mod table;
mod yardstick;

use arguments::Arguments;
use clap::Parser as _;
use countersign::demo::gitlab::Gitlab;
use countersign::server::environment::Environment;
use driver::process::Processes;
use driver::requests;
use driver::server::Home;
use figures::{Figures, Rows};
use machine::Machine;
use run::Run;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use subject::Subject;
use yardstick::Cryptography;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).expect("open files");
    match bench(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("wrong: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(arguments: &Arguments) -> Result<(), String> {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let machine = Machine::here(scratch);
    println!("{machine}\n");
    let gitlab = Gitlab::builder().port(arguments.issuer_port).start(Environment::system().clock).await;
    let gitlab = gitlab.map_err(|error| format!("the make-believe GitLab: {error}"))?;
    let mut peer = peer(arguments, gitlab.url()).await;
    let grown = match arguments.entries {
        0 => None,
        entries => {
            let home = Home::make(&arguments.binary, gitlab.url());
            let request = &requests::distinct(&gitlab, 1)[0];
            growth::fill(&home, request, entries, arguments.small_entries).await;
            Some(home)
        }
    };
    let cryptography = Cryptography::prepare();
    let (mut rows, mut yardsticks) = (Rows::default(), Rows::default());
    for number in 1..=arguments.runs() {
        eprintln!("run {number} of {}", arguments.runs());
        let home = grown.clone().unwrap_or_else(|| Home::make(&arguments.binary, gitlab.url()));
        // Anew for each: a token lives an hour.
        let requests = requests::distinct(&gitlab, arguments.requests());
        let mut run = Run::new(arguments, &requests, &cryptography, scratch, machine.cores);
        let mut own = Subject::own(home.start().await);
        run.own(&mut own).await?;
        run.signing(&own, &gitlab).await?;
        if let Some(server) = own.own {
            server.server.stop();
        }
        if let Some(peer) = &mut peer {
            run.peer(peer).await?;
        }
        let (measured, yardstick) = run.finish();
        measured.into_iter().for_each(|(subject, load, figures)| rows.add(&subject, &load, figures));
        yardsticks.add("", "", yardstick);
    }
    let over_time = match arguments.certificates {
        0 => Vec::new(),
        count => {
            let requests = requests::distinct(&gitlab, arguments.requests());
            let own = Subject::own(Home::make(&arguments.binary, gitlab.url()).start().await);
            run::over_time(own, &requests, count).await?
        }
    };

    let yardstick = yardsticks.0[0].medians();
    let table =
        table::render(&rows, &yardstick, &over_time, arguments.peer.as_ref().map(|_| &*arguments.peer_name));
    println!("{table}");
    let report = json!({
        "machine": machine.to_json(),
        "runs": arguments.runs(),
        "seconds": arguments.duration().as_secs(),
        "entries": arguments.entries,
        "small_entries": arguments.small_entries,
        "yardstick": yardsticks.0[0].to_json(),
        "rows": rows.0.iter().map(figures::Row::to_json).collect::<Vec<_>>(),
        "over_time": over_time.iter().map(Figures::to_json).collect::<Vec<_>>(),
    });
    let picture = picture::draw(&rows, &format!("{machine}; medians of {} runs", arguments.runs()));
    for (name, content) in [("json", format!("{report:#}\n")), ("svg", picture)] {
        let file = scratch.with_file_name(format!("issuance.{name}"));
        std::fs::write(&file, content).map_err(|error| format!("{}: {error}", file.display()))?;
        println!("{}", file.display());
    }
    Ok(())
}

/// The peer, once it answers: it may well wait for the issuer.
async fn peer(arguments: &Arguments, issuer: &str) -> Option<Subject> {
    let address = arguments.peer_address()?;
    eprintln!("The issuer is {issuer}; waiting for {address}, which must trust it.");
    while TcpStream::connect(address).is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let processes = Processes::new(arguments.peer_processes());
    let trust: Option<&PathBuf> = arguments.trust.as_ref();
    Some(Subject::peer(&arguments.peer_name, address, processes, trust.map(PathBuf::as_path)))
}
