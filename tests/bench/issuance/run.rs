//! One run: every load once, on a server that was just started.

use crate::arguments::Arguments;
use crate::driver::load::Manner;
use crate::driver::requests::Wire;
use crate::figures::Figures;
use crate::measure::{self, Issuing, all_accepted};
use crate::reading::{self, Questions};
use crate::replies::{Promised, compare_log};
use crate::subject::Subject;
use crate::yardstick::{self, Cryptography};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Connections of each load.
pub const CONNECTIONS: [usize; 4] = [1, 8, 64, 256];
/// Where most goals are.
pub const MIDDLE: &str = "64 connections";
/// Requests by the clock, at this part of what [`MIDDLE`] reached.
const PART: f64 = 0.7;
/// The name of that.
pub const BY_THE_CLOCK: &str = "64 connections, 70 % of their peak";
/// Reads a second beside issuing.
const READS: f64 = 2000.0;
/// The name of that.
pub const BESIDE_READERS: &str = "64 connections, 2,000 reads/s beside";

/// What a run has measured so far.
pub struct Run<'a> {
    arguments: &'a Arguments,
    requests: &'a Arc<[Wire]>,
    cryptography: &'a Cryptography,
    scratch: &'a Path,
    rows: Vec<(String, String, Figures)>,
    /// The bare cryptography, before, in between and after.
    bare: Vec<Duration>,
    cores: usize,
    start_up: Duration,
    entry: f64,
}

impl<'a> Run<'a> {
    pub fn new(
        arguments: &'a Arguments,
        requests: &'a Arc<[Wire]>,
        cryptography: &'a Cryptography,
        scratch: &'a Path,
        cores: usize,
    ) -> Self {
        let (rows, bare) = (Vec::new(), vec![cryptography.cpu()]);
        let (start_up, entry) = (Duration::ZERO, 0.0);
        Self { arguments, requests, cryptography, scratch, rows, bare, cores, start_up, entry }
    }

    fn issuing(&self, connections: usize, manner: Manner) -> Issuing {
        let (requests, duration) = (self.requests.clone(), self.arguments.duration());
        Issuing { connections, manner, requests, duration }
    }

    /// Our own server: every load, the log compared with every answer.
    pub async fn own(&mut self, subject: &mut Subject) -> Result<(), String> {
        self.start_up = subject.own.as_ref().expect("our own server").server.took;
        let first = subject.checkpoint().await.head().size;
        let mut promised = self.loads(subject).await?;
        if !self.arguments.no_reading {
            promised.append(&mut self.readers(subject).await?);
        }
        self.entry = compare_log(subject, first, promised).await?;
        Ok(())
    }

    /// A peer: every load.
    pub async fn peer(&mut self, subject: &mut Subject) -> Result<(), String> {
        self.loads(subject).await.map(drop)
    }

    async fn loads(&mut self, subject: &mut Subject) -> Result<Vec<Promised>, String> {
        let warm_up = Issuing { duration: Duration::from_secs(1), ..self.issuing(64, Manner::Greedy) };
        let (_, _, mut all) = measure::issue(subject, &warm_up, None).await?;
        let mut peak = 0.0;
        for connections in CONNECTIONS {
            let issuing = self.issuing(connections, Manner::Greedy);
            let (figures, _, mut promised) = measure::issue(subject, &issuing, None).await?;
            all.append(&mut promised);
            let name = match connections {
                1 => "1 connection".to_owned(),
                _ => format!("{connections} connections"),
            };
            if name == MIDDLE {
                peak = figures.get("per_second").unwrap_or_default();
            }
            self.row(subject, &name, figures);
        }
        self.bare.push(self.cryptography.cpu());
        let issuing = self.issuing(64, Manner::Due(peak * PART));
        let (figures, _, mut promised) = measure::issue(subject, &issuing, None).await?;
        all.append(&mut promised);
        self.row(subject, BY_THE_CLOCK, figures);
        Ok(all)
    }

    /// Reading alone, each kind, and beside issuing.
    async fn readers(&mut self, subject: &mut Subject) -> Result<Vec<Promised>, String> {
        let questions = Questions::of(subject).await;
        for (name, requests) in &questions.0 {
            let load = reading::load(subject, requests.clone(), Manner::Greedy);
            let figures = measure::read(subject, load, self.arguments.duration() / 2).await?;
            self.row(subject, &format!("reading: {name}"), figures);
        }
        let beside = reading::load(subject, questions.mixed(), Manner::Due(READS));
        let issuing = self.issuing(64, Manner::Greedy);
        let (mut figures, read, promised) = measure::issue(subject, &issuing, Some(beside)).await?;
        let read = read.expect("it ran beside");
        all_accepted(&read)?;
        figures.put("reads_per_second", read.goodput());
        figures.put("reads_p99_ms", read.accepted.quantile(0.99).as_secs_f64() * 1e3);
        self.row(subject, BESIDE_READERS, figures);
        Ok(promised)
    }

    fn row(&mut self, subject: &Subject, load: &str, figures: Figures) {
        eprintln!("{}, {load}: {:.1?}", subject.name, figures.0);
        self.rows.push((subject.name.clone(), load.into(), figures));
    }

    /// The rows, held against the yardsticks, and the yardsticks.
    pub fn finish(mut self) -> (Vec<(String, String, Figures)>, Figures) {
        self.bare.push(self.cryptography.cpu());
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
        let bare = micros(self.bare.iter().sum::<Duration>() / self.bare.len() as u32);
        let mut yardstick = Figures::default();
        yardstick.put("bare_cryptography_us", bare);
        let cryptography = self.cryptography.cpu_of_all(self.cores);
        yardstick.put("bare_cryptography_all_cores_us", micros(cryptography));
        yardstick.put("entry_octets", self.entry);
        yardstick.put("start_up_ms", self.start_up.as_secs_f64() * 1e3);
        for (subject, load, figures) in &mut self.rows {
            if load.starts_with("reading") {
                continue;
            }
            if let Some(cpu) = figures.get("cpu_us") {
                figures.put("cpu_to_bare", cpu / bare);
            }
            let Some(group) = figures.get("group") else { continue };
            if let Some(written) = figures.get("written") {
                figures.put("beyond_entry", (written - self.entry) / self.entry);
            }
            let sync = yardstick::sync(self.scratch, (group * self.entry) as usize);
            figures.put("bare_sync_ms", sync.as_secs_f64() * 1e3);
            if subject == "countersign" && load == "1 connection" {
                yardstick.put("bare_sync_of_one_ms", sync.as_secs_f64() * 1e3);
            }
        }
        (self.rows, yardstick)
    }
}

/// Memory while so many certificates are issued on 64 connections; a figure for each ten seconds.
pub async fn over_time(
    mut subject: Subject,
    requests: &Arc<[Wire]>,
    count: u64,
) -> Result<Vec<Figures>, String> {
    let duration = Duration::from_secs(10);
    let issuing = Issuing { connections: 64, manner: Manner::Greedy, requests: requests.clone(), duration };
    let (mut all, mut points) = (Vec::new(), Vec::new());
    while (all.len() as u64) < count {
        let (mut figures, _, mut promised) = measure::issue(&mut subject, &issuing, None).await?;
        all.append(&mut promised);
        figures.put("certificates", all.len() as f64);
        figures.put("resident_mib", subject.processes.memory() as f64 / f64::from(1 << 20));
        eprintln!("{:.1?}", figures.0);
        points.push(figures);
    }
    compare_log(&subject, 0, all).await?;
    Ok(points)
}
