//! Answers recorded from the reference (Fulcio v1.8.8), replayed. What differs must stand in the table of `docs/MIGRATING.md`.
//!
//! Each case has a server of its own and an issuer on loopback. Cases whose issuer is a public https URL share a server by world: the
//! binary, with a proxy and a root of its own in the environment.

mod case;
mod compare;
mod deviations;
mod keys;
mod server;
mod web;

use case::{Case, FIXTURE};
use compare::Outcome;
use countersign::server::environment::Environment;
use deviations::Deviations;
use serde_json::Value;
use server::{Material, Process};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;
use web::Web;

/// What is not replayed, in one place, with the number of cases.
const PENDING: [(&str, usize); 1] = [("DER in a text of protobuf: `grpc::` sends it, our client cannot", 1)];

/// What a case waits for. `None`: it is replayed.
fn pending(raw: &Value) -> Option<&'static str> {
    let request = &raw["request"];
    (request["api"] == "grpc" && request["key_form"] == "der").then_some(PENDING[0].0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_recorded_answer_is_given_or_its_deviation_is_documented() {
    let cases = FIXTURE["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 521);
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut direct, mut worlds) = (Vec::new(), BTreeMap::<&str, Vec<&'static Value>>::new());
    for raw in cases {
        match pending(raw) {
            Some(what) => *waiting.entry(what).or_default() += 1,
            None if raw["needs"].is_null() => direct.push(raw),
            None => worlds.entry(raw["world"].as_str().expect("a world")).or_default().push(raw),
        }
    }
    let web = Arc::new(Web::start().await);
    let material = Arc::new(Material::new());
    let mut found = replay_each(direct, &web, &material).await;
    for (_, cases) in worlds {
        // One after the other: what an issuer was asked is told by what is asked at that time.
        found.extend(replay_world(&cases, &web, &material).await);
    }
    judge(found);
    assert_eq!(waiting, BTreeMap::from(PENDING), "what is not replayed");
}

/// A case's name and quirk, its class of answer, and where that differs.
struct Found {
    name: &'static str,
    quirk: Option<&'static str>,
    class: String,
    differences: Vec<String>,
}

fn judge(found: Vec<Found>) {
    let mut deviations = Deviations::read();
    let mut wrong = Vec::new();
    for case in found.iter().filter(|case| !case.differences.is_empty()) {
        if !deviations.allow(case.name, case.quirk, &case.class) {
            let quirk = case.quirk.unwrap_or("-");
            wrong.push(format!(
                "{} [{quirk}] {}\n    {}",
                case.name,
                case.class,
                case.differences.join("\n    ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), found.len(), wrong.join("\n"));
    let unused = deviations.unused();
    assert!(unused.is_empty(), "the table has rows that no case needs: {unused:#?}");
}

async fn replay_each(cases: Vec<&'static Value>, web: &Arc<Web>, material: &Arc<Material>) -> Vec<Found> {
    const AT_ONCE: usize = 8;
    let mut found = Vec::new();
    let mut running = JoinSet::new();
    for raw in cases {
        if running.len() >= AT_ONCE
            && let Some(done) = running.join_next().await
        {
            found.push(done.expect("a case runs to its end"));
        }
        let (web, material) = (web.clone(), material.clone());
        running.spawn(async move {
            let case = Case::new(raw, &web, now());
            case.publish();
            let outcome = match material.start(&case.config()).await {
                Err(words) => Outcome::NotStarted(words),
                Ok(server) => {
                    let answer = match case.call() {
                        Some(call) => server::call(&server.url(), &call).await,
                        None => server::send(&server.url(), &case.request()).await,
                    };
                    server.stop().await;
                    Outcome::Answered(answer)
                }
            };
            let asked = web.was_asked_for(case.slug());
            found_of(&case, &outcome, asked)
        });
    }
    found.extend(running.join_all().await);
    found
}

async fn replay_world(cases: &[&'static Value], web: &Arc<Web>, material: &Arc<Material>) -> Vec<Found> {
    let mut merged = Value::Null;
    for raw in cases {
        merge(&mut merged, &Case::new(raw, web, now()).config_tree().expect("a tree"));
    }
    let process = Process::start(material, &format!("# YAML\n{merged}"), web).await;
    let mut found = Vec::new();
    for raw in cases {
        let case = Case::new(raw, web, now());
        case.publish();
        web.forget();
        let outcome = Outcome::Answered(server::send(&process.url, &case.request()).await);
        let authority = case.issuer.split("://").nth(1).and_then(|rest| rest.split('/').next());
        let asked = web.was_asked_for(authority.expect("a host"));
        found.push(found_of(&case, &outcome, asked));
    }
    process.stop();
    found
}

fn found_of(case: &Case<'_>, outcome: &Outcome, asked: bool) -> Found {
    let mut differences = compare::differences(case, outcome);
    if let Some(recorded) = case.raw["answer"]["issuer_contacted"].as_bool()
        && recorded != asked
    {
        differences.push(format!("the issuer was asked: {asked}, recorded is {recorded}"));
    }
    let class = compare::class(outcome, &differences);
    Found { name: case.name(), quirk: case.quirk(), class, differences }
}

fn merge(target: &mut Value, source: &Value) {
    match (target, source) {
        (Value::Object(target), Value::Object(source)) => {
            for (name, value) in source {
                merge(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (target, source) => *target = source.clone(),
    }
}

fn now() -> u64 {
    Environment::system().clock.now().as_secs()
}
