//! A server in a runtime of its own, which can be taken away from it in the middle of everything, on a data directory that stays; a
//! make-believe GitLab beside it that goes on; and one clock for both, turned by hand.

use super::super::{AUDIENCE, GRANT, ID_TOKEN, broker_of};
use super::given::{Given, roles};
use crate::gitlab::routes;
use crate::support::gitlab::{Fault, Gate, MakeBelieve, Place};
use crate::support::{Answer, TestClock, client, logs, secrets};
use countersign::broker::Kind;
use countersign::config::Config;
use countersign::environment::UnixMillis;
use countersign::server::Running;
use countersign::server::environment::Environment;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use url::form_urlencoded::Serializer;

/// 2026-06-29T10:00:00Z: midnight, when GitLab ends tokens by itself, is far away.
const NOW: UnixMillis = UnixMillis::from_secs(1_782_727_200);
/// Longer than a name that is not there is looked up.
const SETTLED: u64 = 601;
/// Its token is made to wake the scheduler: nobody waits five seconds for a clock that was turned.
pub const BELL: &str = "bell";

/// What is served, and where it runs.
struct Up {
    running: Option<Running>,
    runtime: Option<Runtime>,
}

impl Drop for Up {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub struct Machine {
    pub gitlab: MakeBelieve,
    pub alice: u64,
    clock: Arc<TestClock>,
    config: Config,
    http: Client,
    up: Option<Up>,
    jtis: AtomicU64,
    over: BTreeSet<String>,
    _directory: TempDir,
}

impl Machine {
    pub async fn start() -> Self {
        logs::collect();
        let clock = TestClock::at(NOW);
        let gitlab = MakeBelieve::start(clock.clone()).await;
        let group = Place::Group(gitlab.group("my-group"));
        let project = Place::Project(gitlab.project("my-group/my-project"));
        gitlab.project("my-group/tools");
        let alice = gitlab.user("alice");
        gitlab.service_account(None, "robot");
        gitlab.service_account(Some(group), "group-bot");
        gitlab.service_account(Some(project), "project-bot");
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = broker_of(&gitlab, &directory, &roles(), "");
        config.admin = Some("127.0.0.1:0".parse().expect("an address"));
        let (http, jtis) = (client(), AtomicU64::new(0));
        let mut machine = Self {
            gitlab,
            alice,
            clock,
            config,
            http,
            up: None,
            jtis,
            over: BTreeSet::new(),
            _directory: directory,
        };
        machine.restart().await;
        machine
    }

    /// Ends the server as a crash does: whatever it was at is dropped where it stood, and nobody is told.
    pub async fn crash(&mut self) {
        let Some(mut up) = self.up.take() else { return };
        let (runtime, running) = (up.runtime.take(), up.running.take());
        tokio::task::spawn_blocking(move || {
            drop(runtime);
            drop(running);
        })
        .await
        .expect("it is gone");
    }

    /// Starts it again on what the last one left, and waits until it has asked GitLab what a start asks.
    pub async fn restart(&mut self) {
        self.crash().await;
        let asked = "GET /metadata";
        let before = self.gitlab.asked(asked);
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let environment =
            Environment { clock: self.clock.clone(), stopwatch: self.clock.clone(), ..Environment::system() };
        let mut running = None;
        for _ in 0..1000 {
            let start = Running::start(self.config.clone(), environment.clone());
            match runtime.spawn(start).await.expect("it starts or says why") {
                Ok(up) => {
                    running = Some(up);
                    break;
                }
                // The last one's operators' thread is nobody's to wait for.
                Err(error) => {
                    assert!(error.to_string().contains("in use"), "{error}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        assert!(running.is_some(), "the data directory stays in use");
        self.up = Some(Up { running, runtime: Some(runtime) });
        self.until("a start asks", || self.gitlab.asked(asked) > before).await;
    }

    fn running(&self) -> &Running {
        self.up.as_ref().and_then(|up| up.running.as_ref()).expect("it runs")
    }

    fn form(&self, admin: bool, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        let address =
            if admin { self.running().admin_address().expect("one") } else { self.running().address() };
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(format!("http://{address}{path}"));
        request.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    /// An ID token of the same job as every other, never used before.
    pub fn id_token(&self) -> String {
        let mut claims = self.gitlab.issuer.claims();
        claims["aud"] = AUDIENCE.into();
        claims["user_id"] = self.alice.to_string().into();
        claims["jti"] = format!("jti-{}", self.jtis.fetch_add(1, Ordering::Relaxed)).into();
        self.gitlab.issuer.token(&claims)
    }

    fn asking(&self, role: &str, id_token: &str) -> RequestBuilder {
        let form = [
            ("grant_type", GRANT),
            ("subject_token", id_token),
            ("subject_token_type", ID_TOKEN),
            ("role", role),
        ];
        self.form(false, "/v1/token-exchange", &form)
    }

    /// Asks for a token of the kind; on its way from now on. No answer: it crashed.
    pub fn ask(&self, kind: Kind, id_token: &str) -> impl Future<Output = Option<Answer>> + Send + use<> {
        let request = self.asking(kind.code(), id_token);
        secrets::note_request(&request);
        async move {
            match request.send().await {
                Ok(response) => Some(Answer::read(response).await),
                Err(_) => None,
            }
        }
    }

    /// Asks for one of each kind at the same time, and crashes when all ten have come to the gate. Nobody was given anything. The ID
    /// tokens.
    pub async fn crash_at(&mut self, gate: &Gate) -> Vec<(Kind, String)> {
        let tokens: Vec<_> = Kind::ALL.iter().map(|kind| (*kind, self.id_token())).collect();
        let mut asking = JoinSet::new();
        for (kind, token) in &tokens {
            asking.spawn(self.ask(*kind, token));
        }
        gate.reached(Kind::ALL.len()).await;
        self.crash().await;
        let answers = asking.join_all().await;
        // What goes down with the server may still say so.
        assert!(answers.iter().flatten().all(|answer| answer.status == 503), "{answers:?}");
        tokens
    }

    /// A token of the kind, which must be given.
    pub async fn given(&self, kind: Kind) -> Given {
        self.given_for(kind, &self.id_token()).await
    }

    /// The same for this ID token.
    pub async fn given_for(&self, kind: Kind, id_token: &str) -> Given {
        let answer = self.ask(kind, id_token).await.expect("an answer");
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
        let body = answer.json();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let token = text("access_token").expect("a token");
        secrets::note(token.as_bytes());
        Given { kind, lease: text("lease_id").expect("a lease"), token, username: text("username") }
    }

    /// One of each kind.
    pub async fn all_given(&self) -> Vec<Given> {
        let mut all = Vec::new();
        for kind in Kind::ALL {
            all.push(self.given(*kind).await);
        }
        all
    }

    /// Uses it where such a token is used; whether it opened anything.
    pub async fn opens(&self, given: &Given) -> bool {
        given.opens(&self.http, self.gitlab.url()).await
    }

    /// RFC 7009.
    pub async fn end_token(&self, given: &Given) {
        let answer = Answer::of(self.form(false, "/v1/token-revoke", &[("token", &given.token)])).await;
        assert_eq!(answer.status, 200, "{}: {}", given.kind, answer.text());
    }

    /// The same by the lease, with an ID token of the job.
    pub async fn end_lease(&self, given: &Given) {
        let id_token = self.id_token();
        let form = [("lease_id", &*given.lease), ("subject_token", &id_token)];
        let answer = Answer::of(self.form(false, "/v1/token-revoke", &form)).await;
        assert_eq!(answer.status, 200, "{}: {}", given.kind, answer.text());
    }

    /// What befalls the next call of each kind to the route (0: made, 1: listed, 2: ended) of its tokens.
    pub fn befall(&self, route: usize, fault: &Fault) {
        for kind in Kind::ALL {
            self.gitlab.faults().script(&routes(*kind)[route], [fault.clone()]);
        }
    }

    /// The same where each call waits at one gate; it is there when all ten have come.
    pub fn hold(&self, route: usize, held: fn(Gate) -> Fault) -> Gate {
        let gate = Gate::closed();
        self.befall(route, &held(gate.clone()));
        gate
    }

    /// Time passes, and the scheduler is told of something.
    pub async fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        let request = self.asking(BELL, &self.id_token());
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        secrets::note(answer.json()["access_token"].as_str().expect("a token").as_bytes());
    }

    /// Time passes while nobody is there.
    pub fn sleep(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Every lease but the bell's, with its phase.
    pub async fn leases(&self) -> BTreeMap<String, (String, String)> {
        let address = self.running().admin_address().expect("one");
        let answer = Answer::of(self.http.get(format!("http://{address}/v1/leases?limit=1000"))).await.json();
        let text = |lease: &Value, name: &str| lease[name].as_str().expect("a text").to_owned();
        let leases = answer["leases"].as_array().expect("leases").iter();
        let all = leases.map(|lease| (text(lease, "id"), (text(lease, "role"), text(lease, "phase"))));
        all.filter(|(_, (role, _))| role != BELL).collect()
    }

    /// The phases of the leases that are not over, each once.
    pub async fn phases(&self) -> Vec<String> {
        let open = self.leases().await.into_iter().filter(|(id, _)| !self.over.contains(id));
        let mut phases: Vec<_> = open.map(|(_, (_, phase))| phase).collect();
        phases.sort();
        phases.dedup();
        phases
    }

    /// Names of tokens that open something, but for the bell's.
    pub fn live(&self) -> Vec<String> {
        let live = self.gitlab.live_tokens().into_iter().map(|live| live.name);
        live.filter(|name| !name.starts_with(BELL)).collect()
    }

    pub async fn until(&self, what: &str, is: impl Fn() -> bool) {
        for _ in 0..6000 {
            if is() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("waited for in vain: {what}; live: {:?}", self.live());
    }

    pub async fn until_dead(&self) {
        self.until("all are dead", || self.live().is_empty()).await;
    }

    /// Lets time pass until every lease is over. How those ended that were not over the last time: `role phase`, sorted.
    pub async fn settled(&mut self) -> Vec<String> {
        for _ in 0..40 {
            self.pass(SETTLED).await;
            for _ in 0..20 {
                let leases = self.leases().await;
                if leases.values().all(|(_, phase)| ["revoked", "aborted", "expired"].contains(&&**phase)) {
                    let new = leases.into_iter().filter(|(id, _)| self.over.insert(id.clone()));
                    let mut ends: Vec<_> = new.map(|(_, (role, phase))| format!("{role} {phase}")).collect();
                    ends.sort();
                    return ends;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        panic!("leases are not over: {:?}", self.leases().await);
    }

    /// The end of every row: nothing lives, nothing has only ended by itself, and every token that was ever made has a lease.
    pub async fn finish(mut self, known: &[Given]) {
        let order = Answer::of(self.form(true, "/v1/leases/revoke", &[("all", "true")])).await;
        assert_eq!(order.status, 202, "{}", order.text());
        self.settled().await;
        let order = Answer::of(self.form(true, "/v1/leases/revoke", &[("all", "true")])).await;
        assert_eq!(order.status, 202, "{}", order.text());
        self.until("the bells are dead", || self.gitlab.unrevoked().is_empty()).await;
        let leases = self.leases().await;
        for given in known {
            assert!(leases.contains_key(&given.lease), "{given:?}: the lease is forgotten");
        }
        let made = self
            .gitlab
            .names()
            .into_iter()
            .filter(|name| name != "main credential" && !name.starts_with(BELL));
        for name in made {
            let lease = name.rsplit('-').next().expect("a name");
            assert!(leases.contains_key(lease), "{name}: a token without a lease");
        }
    }
}

/// So ended one of each kind.
pub fn all(phases: &[&str]) -> Vec<String> {
    let each = |kind: &Kind| phases.iter().map(|phase| format!("{kind} {phase}")).collect::<Vec<_>>();
    let mut ends: Vec<_> = Kind::ALL.iter().flat_map(each).collect();
    ends.sort();
    ends
}
