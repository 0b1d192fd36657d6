//! One run: every load once, on a server that was just started.

use crate::arguments::Arguments;
use crate::driver::load::{Load, Manner};
use crate::driver::requests::Wire;
use crate::figures::Figures;
use crate::measure::{self, Issuing, all_accepted};
use crate::reading::{self, Questions};
use crate::replies::{Promised, compare_log, entry_octets};
use crate::signing;
use crate::subject::Subject;
use crate::yardstick::{self, Cryptography};
use countersign::demo::gitlab::Gitlab;
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
    /// The bare cryptography, before and after each row: processors change their pace within seconds.
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
        let (rows, bare) = (Vec::new(), Vec::new());
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
        compare_log(subject, first, promised).await
    }

    /// Our own server: log entries and timestamps.
    pub async fn signing(&mut self, subject: &Subject, gitlab: &Gitlab) -> Result<(), String> {
        for (name, figures) in signing::measure(subject, gitlab, self.arguments.duration()).await? {
            self.row(subject, &name, figures);
        }
        Ok(())
    }

    /// A peer: every load.
    pub async fn peer(&mut self, subject: &mut Subject) -> Result<(), String> {
        self.loads(subject).await.map(drop)
    }

    async fn loads(&mut self, subject: &mut Subject) -> Result<Vec<Promised>, String> {
        let warm_up = Issuing { duration: Duration::from_secs(1), ..self.issuing(64, Manner::Greedy) };
        let (_, _, mut all) = measure::issue(subject, &warm_up, None).await?;
        if subject.own.is_some() {
            self.entry = entry_octets(subject).await?;
        }
        for connections in CONNECTIONS {
            let name = match connections {
                1 => "1 connection".to_owned(),
                _ => format!("{connections} connections"),
            };
            let issuing = self.issuing(connections, Manner::Greedy);
            let rate = self.issue(subject, &name, &issuing, None, &mut all).await?;
            if name == MIDDLE {
                // At once: the machine's pace changes, and a part of another pace's peak is another part.
                let issuing = self.issuing(connections, Manner::Due(rate * PART));
                self.issue(subject, BY_THE_CLOCK, &issuing, None, &mut all).await?;
            }
        }
        Ok(all)
    }

    /// One row, held against the yardsticks as they are before and after it. Says the rate.
    async fn issue(
        &mut self,
        subject: &mut Subject,
        name: &str,
        issuing: &Issuing,
        beside: Option<Load>,
        all: &mut Vec<Promised>,
    ) -> Result<f64, String> {
        let before = self.cryptography.cpu();
        let (mut figures, read, mut promised) = measure::issue(subject, issuing, beside).await?;
        let bare = (before + self.cryptography.cpu()) / 2;
        self.bare.push(bare);
        all.append(&mut promised);
        let of = |name| figures.get(name).unwrap_or_default();
        let (rate, ratio) = (of("per_second"), of("cpu_us") / micros(bare));
        figures.put("cpu_to_bare", ratio);
        if let (Some(group), Some(written)) = (figures.get("group"), figures.get("written")) {
            figures.put("beyond_entry", (written - self.entry) / self.entry);
            let sync = yardstick::sync(self.scratch, (group * self.entry) as usize);
            figures.put("bare_sync_ms", sync.as_secs_f64() * 1e3);
        }
        if let Some(read) = &read {
            all_accepted(read)?;
            figures.put("reads_per_second", read.goodput());
            figures.put("reads_p99_ms", read.accepted.quantile(0.99).as_secs_f64() * 1e3);
        }
        self.row(subject, name, figures);
        Ok(rate)
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
        let mut promised = Vec::new();
        self.issue(subject, BESIDE_READERS, &issuing, Some(beside), &mut promised).await?;
        Ok(promised)
    }

    fn row(&mut self, subject: &Subject, load: &str, figures: Figures) {
        eprintln!("{}, {load}: {:.1?}", subject.name, figures.0);
        self.rows.push((subject.name.clone(), load.into(), figures));
    }

    /// The rows, and the yardsticks.
    pub fn finish(self) -> (Vec<(String, String, Figures)>, Figures) {
        let mut yardstick = Figures::default();
        let bare = self.bare.iter().sum::<Duration>() / self.bare.len().max(1) as u32;
        yardstick.put("bare_cryptography_us", micros(bare));
        let cryptography = self.cryptography.cpu_of_all(self.cores);
        yardstick.put("bare_cryptography_all_cores_us", micros(cryptography));
        yardstick.put("entry_octets", self.entry);
        yardstick.put("start_up_ms", self.start_up.as_secs_f64() * 1e3);
        (self.rows, yardstick)
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
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
