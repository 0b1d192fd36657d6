//! Ten thousand jobs ask for a token each, on 64 connections, and every answer is looked at.

use crate::broker::{AUDIENCE, Broker, ROLE};
use crate::driver::connection::Connection;
use crate::driver::histogram::Histogram;
use crate::driver::process::Processes;
use crate::driver::requests::{claims, post};
use crate::support::gitlab::MakeBelieve;
use countersign::environment::UnixMillis;
use countersign::server::environment::Environment;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

pub const CONNECTIONS: usize = 64;
const PROJECTS: usize = 20;
/// What is written after the last answer counts too.
const AFTER: Duration = Duration::from_secs(2);

/// How long the tokens are to live.
#[derive(Clone, Copy)]
pub enum Ttl {
    /// Each so long.
    Each(Duration),
    /// All until the same moment, to the second.
    Until(UnixMillis),
}

impl Ttl {
    fn of(self, now: UnixMillis) -> u64 {
        match self {
            Self::Each(duration) => duration.as_secs(),
            Self::Until(moment) => moment.since(now).as_secs(),
        }
    }
}

/// What a job got.
pub struct Given {
    /// GitLab's number of the token.
    pub id: u64,
    /// The lease's: the token's name ends with it.
    pub lease: String,
    pub ttl: Duration,
    /// When it was asked for.
    pub sent: UnixMillis,
}

/// What all of them cost.
pub struct Made {
    pub given: Vec<Given>,
    pub times: Histogram,
    pub elapsed: Duration,
    /// CPU time of the server, and of this process: GitLab's part and the jobs'.
    pub cpu: Duration,
    pub driver: Duration,
    /// Resident with all of them alive.
    pub memory: u64,
}

/// The machine's time.
pub fn now() -> UnixMillis {
    Environment::system().clock.now()
}

/// ID tokens of so many jobs, each its own.
pub fn id_tokens(gitlab: &MakeBelieve, round: &str, count: usize) -> Vec<String> {
    let ids: Vec<_> = (0..PROJECTS).map(|number| gitlab.project(&project(number)).to_string()).collect();
    let token = |number: usize| {
        let mut claims = claims(&gitlab.issuer, &project(number));
        claims["project_id"] = json!(ids[number % PROJECTS]);
        claims["job_project_id"] = json!(ids[number % PROJECTS]);
        claims["namespace_path"] = json!("bench");
        claims["job_namespace_path"] = json!("bench");
        claims["aud"] = json!(AUDIENCE);
        claims["jti"] = json!(format!("{round}-{number}"));
        claims["job_id"] = json!((1000 + number).to_string());
        gitlab.issuer.token(&claims)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let part = |at: usize| (count * at / threads..count * (at + 1) / threads).map(&token).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|at| scope.spawn(move || part(at))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("tokens")).collect()
    })
}

fn project(number: usize) -> String {
    format!("bench/p{}", number % PROJECTS)
}

/// All of them exchanged.
pub async fn run(
    broker: &Broker,
    gitlab: &MakeBelieve,
    tokens: Vec<String>,
    ttl: Ttl,
) -> Result<Made, String> {
    let tokens: Arc<[String]> = tokens.into();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(broker.public).await.map_err(|error| error.to_string())?);
    }
    let (process, own) = (broker.process(), Processes::own());
    let (cpu, driver) = (process.cpu(), own.cpu());
    let began = Instant::now();
    let mut jobs = JoinSet::new();
    for (first, connection) in connections.into_iter().enumerate() {
        jobs.spawn(job(connection, tokens.clone(), first, ttl));
    }
    let (mut given, mut times, mut texts) = (Vec::new(), Histogram::default(), BTreeMap::new());
    while let Some(ended) = jobs.join_next().await {
        for (one, text, took) in ended.map_err(|error| error.to_string())?? {
            times.add(took);
            texts.insert(text, one.id);
            given.push(one);
        }
    }
    let elapsed = began.elapsed();
    tokio::time::sleep(AFTER).await;
    let (cpu, driver) = (process.cpu().saturating_sub(cpu), own.cpu().saturating_sub(driver));
    let made = Made { given, times, elapsed, cpu, driver, memory: process.memory() };

    let numbers: BTreeSet<u64> = texts.values().copied().collect();
    let live: BTreeSet<u64> = gitlab.live_tokens().into_iter().map(|live| live.id).collect();
    if texts.len() != tokens.len() || numbers != live {
        return Err(format!("{} tokens for {} jobs, {} live", texts.len(), tokens.len(), live.len()));
    }
    match texts.keys().find(|text| !gitlab.opens(text)) {
        Some(_) => Err("a token opens nothing".into()),
        None => Ok(made),
    }
}

/// One connection: every 64th job.
async fn job(
    mut connection: Connection,
    tokens: Arc<[String]>,
    first: usize,
    ttl: Ttl,
) -> Result<Vec<(Given, String, Duration)>, String> {
    let mut given = Vec::new();
    for token in tokens.iter().skip(first).step_by(CONNECTIONS) {
        let sent = now();
        let ttl = ttl.of(sent);
        let form = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token_type=urn:ietf:params:oauth:token-type:id_token\
             &role={ROLE}&ttl={ttl}&subject_token={token}"
        );
        let request = post("/v1/token-exchange", "application/x-www-form-urlencoded", form.as_bytes());
        let began = Instant::now();
        let reply = connection.ask(&request).await.map_err(|error| error.to_string())?;
        let took = began.elapsed();
        let answer = String::from_utf8_lossy(connection.content()).into_owned();
        if reply.status != 200 {
            return Err(format!("an exchange got {}: {answer}", reply.status));
        }
        let answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
        let text = answer["access_token"].as_str().ok_or("no token")?.to_owned();
        let id = answer["gitlab_token_id"].as_u64().ok_or("no number")?;
        let lease = answer["lease_id"].as_str().ok_or("no lease")?.to_owned();
        given.push((Given { id, lease, ttl: Duration::from_secs(ttl), sent }, text, took));
    }
    Ok(given)
}
