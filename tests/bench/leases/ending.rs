//! How late each token dies: between the moment at which it was to be dead and the call that GitLab gets.

use crate::broker::Broker;
use crate::driver::connection::Connection;
use crate::driver::histogram::Histogram;
use crate::driver::requests::{get, post};
use crate::exchange::{Made, now};
use crate::support::gitlab::MakeBelieve;
use countersign::environment::UnixMillis;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long nothing may happen before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// What the end of all of them was like.
pub struct Ended {
    pub lags: Histogram,
    /// From the first call to the last.
    pub elapsed: Duration,
    /// CPU time of the server.
    pub cpu: Duration,
    /// Calls beyond one for each.
    pub repeated: usize,
}

/// What they die of.
pub enum Cause {
    /// An operator, now.
    Ordered,
    /// Each its own deadline.
    Deadline,
}

/// Waits until all are dead, and looks when each died.
pub async fn watch(
    broker: &Broker,
    gitlab: &MakeBelieve,
    made: &Made,
    cause: Cause,
) -> Result<Ended, String> {
    let process = broker.process();
    let cpu = process.cpu();
    let ordered = now();
    if matches!(cause, Cause::Ordered) {
        let order = post("/v1/leases/revoke", "application/x-www-form-urlencoded", b"all=true");
        let answer = ask(broker, &order, 202).await?;
        if answer["revoking"] != made.given.len() {
            return Err(format!("it is to revoke {}, and says {answer}", made.given.len()));
        }
    }
    let last = made.given.iter().map(|given| given.sent.plus(given.ttl)).max().unwrap_or(ordered);
    let mut left = usize::MAX;
    let mut moved = Instant::now();
    while left > 0 {
        tokio::time::sleep(LOOK).await;
        let live = gitlab.live_tokens().len();
        if live != left || (matches!(cause, Cause::Deadline) && now() < last) {
            (left, moved) = (live, Instant::now());
        } else if moved.elapsed() > PATIENCE {
            return Err(format!("{live} tokens live on"));
        }
    }
    none_is_live(broker).await?;
    let cpu = process.cpu().saturating_sub(cpu);

    let calls = Calls::of(gitlab);
    let mut lags = Histogram::default();
    let (mut first, mut end, mut count) = (UnixMillis(u64::MAX), UnixMillis(0), 0);
    for given in &made.given {
        let deaths = calls.ended.get(&given.id).ok_or("a token died of something else")?;
        let death = *deaths.first().ok_or("no call")?;
        let due = match cause {
            Cause::Ordered => ordered,
            // The lease is written, and then GitLab is asked: the deadline is that much earlier.
            Cause::Deadline => {
                let begun = calls.made.get(&given.lease).copied().ok_or("nobody asked for a token")?;
                begun.plus(given.ttl)
            }
        };
        let earliest = match cause {
            Cause::Ordered => ordered,
            Cause::Deadline => given.sent.plus(given.ttl),
        };
        if death < earliest {
            return Err(format!("a token died {:?} before its time", earliest.since(death)));
        }
        lags.add(death.since(due));
        (first, end, count) = (first.min(death), end.max(death), count + deaths.len());
    }
    Ok(Ended { lags, elapsed: end.since(first), cpu, repeated: count - made.given.len() })
}

/// When GitLab was asked for what.
struct Calls {
    /// By the lease's id.
    made: BTreeMap<String, UnixMillis>,
    /// By its number.
    ended: BTreeMap<u64, Vec<UnixMillis>>,
}

impl Calls {
    fn of(gitlab: &MakeBelieve) -> Self {
        let (mut made, mut ended) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
        for call in gitlab.calls() {
            match &*call.route {
                "POST /projects/{id}/access_tokens" => {
                    let name = call.fields.get("name").and_then(Value::as_str).unwrap_or_default();
                    made.insert(name.rsplit('-').next().unwrap_or_default().to_owned(), call.at);
                }
                "DELETE /projects/{id}/access_tokens/{token_id}" => {
                    let id = call.uri.rsplit('/').next().and_then(|id| id.parse().ok()).unwrap_or_default();
                    ended.entry(id).or_default().push(call.at);
                }
                _ => {}
            }
        }
        Self { made, ended }
    }
}

/// The broker says so too, and has nothing left to do.
async fn none_is_live(broker: &Broker) -> Result<(), String> {
    let began = Instant::now();
    for phase in ["intent", "active", "revoking", "stuck"] {
        loop {
            let question = get(&format!("/v1/leases?state={phase}&limit=1"));
            let answer = ask(broker, &question[0], 200).await?;
            match answer["leases"].as_array().map(Vec::len) {
                Some(0) => break,
                _ if began.elapsed() > PATIENCE => return Err(format!("leases stay {phase}: {answer}")),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }
    Ok(())
}

/// On the operators' listener.
async fn ask(broker: &Broker, request: &[u8], wanted: u16) -> Result<Value, String> {
    let mut connection = Connection::open(broker.admin).await.map_err(|error| error.to_string())?;
    let reply = connection.ask(request).await.map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(connection.content()).into_owned();
    if reply.status != wanted {
        return Err(format!("{} instead of {wanted}: {answer}", reply.status));
    }
    serde_json::from_str(&answer).map_err(|error| error.to_string())
}
