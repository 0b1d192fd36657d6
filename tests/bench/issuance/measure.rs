//! One row: a load, and what it cost the server.

use crate::driver::histogram::Histogram;
use crate::driver::load::{Load, Manner, Seen};
use crate::driver::process::Processes;
use crate::driver::requests::Wire;
use crate::figures::Figures;
use crate::replies::{self, Promised};
use crate::subject::Subject;
use std::sync::Arc;
use std::time::Duration;

/// What is written a little later is part of the cost: tiles, and what the store does when it has time.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// The cost of serving, from [`Meter::start`] to [`Meter::stop`].
struct Meter<'s> {
    subject: &'s Subject,
    cpu: Duration,
    driver: Duration,
    written: Option<u64>,
    said: Option<u64>,
    groups: Option<(f64, f64)>,
}

/// What it came to.
struct Cost {
    cpu: Duration,
    driver: Duration,
    written: Option<u64>,
    said: Option<u64>,
    /// Entries in a group, on average.
    group: Option<f64>,
}

impl<'s> Meter<'s> {
    async fn start(subject: &'s Subject) -> Self {
        subject.processes.forget_peak();
        Self {
            groups: subject.groups().await,
            written: subject.processes.written(),
            said: subject.said(),
            driver: Processes::own().cpu(),
            cpu: subject.processes.cpu(),
            subject,
        }
    }

    async fn stop(self) -> Cost {
        let driver = Processes::own().cpu() - self.driver;
        tokio::time::sleep(AFTERWARDS).await;
        let cpu = self.subject.processes.cpu() - self.cpu;
        let since = |now: Option<u64>, then: Option<u64>| Some(now? - then?);
        let written = since(self.subject.processes.written(), self.written);
        let said = since(self.subject.said(), self.said);
        let groups = self.subject.groups().await.zip(self.groups);
        let group = groups.map(|(now, then)| (now.0 - then.0) / (now.1 - then.1).max(1.0));
        Cost { cpu, driver, written, said, group }
    }
}

/// How certificates are asked for.
#[derive(Clone)]
pub struct Issuing {
    pub connections: usize,
    pub manner: Manner,
    pub requests: Arc<[Wire]>,
    pub duration: Duration,
}

impl Issuing {
    /// As a load on a server; the answers are kept.
    pub fn load(&self, subject: &Subject) -> Load {
        let Self { connections, manner, requests, .. } = self.clone();
        Load { address: subject.address, connections, manner, requests, keep: true }
    }
}

/// Asks for certificates, and what that cost. `beside`: what else is asked meanwhile.
pub async fn issue(
    subject: &mut Subject,
    issuing: &Issuing,
    beside: Option<Load>,
) -> Result<(Figures, Option<Seen>, Vec<Promised>), String> {
    let meter = Meter::start(subject).await;
    let load = issuing.load(subject).run(issuing.duration);
    let (seen, read) = match beside {
        Some(beside) => {
            let (seen, read) = tokio::join!(load, beside.run(issuing.duration));
            (seen, Some(read))
        }
        None => (load.await, None),
    };
    let cost = meter.stop().await;
    let memory = subject.processes.peak_memory();
    all_accepted(&seen)?;
    let promised = replies::check(&mut subject.trust, &seen.kept)?;

    Ok((figures(&seen, &cost, memory), read, promised))
}

/// Whatever is asked, and what that cost.
pub async fn cost(subject: &Subject, load: Load, duration: Duration) -> Result<(Figures, Seen), String> {
    let meter = Meter::start(subject).await;
    let seen = load.run(duration).await;
    let cost = meter.stop().await;
    let memory = subject.processes.peak_memory();
    all_accepted(&seen)?;
    Ok((figures(&seen, &cost, memory), seen))
}

fn figures(seen: &Seen, cost: &Cost, memory: u64) -> Figures {
    let count = seen.accepted.count() as f64;
    let mut figures = Figures::default();
    figures.put("per_second", seen.goodput());
    put_latency(&mut figures, &seen.accepted);
    figures.put("cpu_us", cost.cpu.as_secs_f64() / count * 1e6);
    figures.put("driver_us", cost.driver.as_secs_f64() / count * 1e6);
    figures.put("peak_mib", memory as f64 / f64::from(1 << 20));
    if let Some(written) = cost.written {
        figures.put("written", written as f64 / count);
    }
    if let Some(said) = cost.said {
        figures.put("log_output", said as f64 / count);
    }
    if let Some(group) = cost.group {
        figures.put("group", group);
    }
    figures
}

/// Reads for so long, and what that cost.
pub async fn read(subject: &Subject, load: Load, duration: Duration) -> Result<Figures, String> {
    let (cpu, driver) = (subject.processes.cpu(), Processes::own().cpu());
    let seen = load.run(duration).await;
    let (cpu, driver) = (subject.processes.cpu() - cpu, Processes::own().cpu() - driver);
    all_accepted(&seen)?;
    let count = seen.accepted.count() as f64;
    let mut figures = Figures::default();
    figures.put("per_second", seen.goodput());
    put_latency(&mut figures, &seen.accepted);
    figures.put("cpu_us", cpu.as_secs_f64() / count * 1e6);
    figures.put("driver_us", driver.as_secs_f64() / count * 1e6);
    Ok(figures)
}

/// Everybody got what was asked for.
pub fn all_accepted(seen: &Seen) -> Result<(), String> {
    let others: Vec<_> = seen.statuses.iter().filter(|(status, _)| !matches!(status, 200 | 201)).collect();
    match (others.is_empty(), seen.accepted.count()) {
        (true, 1..) => Ok(()),
        _ => Err(format!("answers by status: {:?}", seen.statuses)),
    }
}

fn put_latency(figures: &mut Figures, took: &Histogram) {
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    figures.put("p50_ms", millis(took.quantile(0.5)));
    figures.put("p99_ms", millis(took.quantile(0.99)));
    figures.put("max_ms", millis(took.max()));
}
