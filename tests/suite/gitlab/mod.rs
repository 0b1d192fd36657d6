//! The client of GitLab's REST API against the make-believe GitLab: ten kinds of token, what goes wrong, and the main credential.

mod credential;
mod faults;
mod kinds;
mod long_lists;
mod recorded;
mod rights;
mod shapes;
mod skew;

use crate::support::TestClock;
use crate::support::gitlab::{Builder, MakeBelieve, Place};
use countersign::broker::{AccessLevel, Expiry, Kind, Lease};
use countersign::environment::UnixMillis;
use countersign::gitlab::{RestClient, Settings, Surroundings};
use countersign::issuance::Answer;
use countersign::leasing::ports::{CallError, Gitlab as _, Holder, Made, Observer, Order, Secret};
use countersign::leasing::{Attempt, Event};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// 2026-06-29T10:00:00Z.
const NOW: UnixMillis = UnixMillis::from_secs(1_782_727_200);

/// A place that nobody else wants.
struct Alone;

impl countersign::leasing::ports::Place for Alone {
    fn give_way(&self) -> Answer<'_, ()> {
        Box::pin(async {})
    }
}

/// Notes the calls that it hears of.
#[derive(Default)]
struct Heard(Mutex<Vec<(&'static str, u16)>>);

impl Observer for Heard {
    fn exchanged(&self, _: &Attempt) {}
    fn moved(&self, _: &Lease) {}
    fn revocation(&self, _: &Lease, _: &'static str, _: Duration) {}
    fn called(&self, target: &str, route: &'static str, status: u16, _: Duration) {
        assert_eq!(target, "default");
        self.0.lock().unwrap().push((route, status));
    }
    fn event(&self, _: Event<'_>) {}
}

/// A GitLab with something of every kind in it, and its clients.
struct Scene {
    gitlab: MakeBelieve,
    clock: Arc<TestClock>,
    heard: Arc<Heard>,
    alice: u64,
    project: Place,
    group: Place,
}

impl Scene {
    async fn new() -> Self {
        Self::of(MakeBelieve::builder()).await
    }

    async fn of(builder: Builder) -> Self {
        let clock = TestClock::at(NOW);
        let gitlab = builder.start(clock.clone()).await;
        let alice = gitlab.user("alice");
        let group = Place::Group(gitlab.group("acme"));
        let project = Place::Project(gitlab.project("acme/app"));
        gitlab.service_account(None, "robot");
        gitlab.service_account(Some(group), "group-bot");
        gitlab.service_account(Some(project), "project-bot");
        Self { gitlab, clock, heard: Arc::default(), alice, project, group }
    }

    /// A client with the administrator's credential.
    fn client(&self) -> RestClient {
        self.client_of(self.gitlab.credential())
    }

    fn client_of(&self, credential: &str) -> RestClient {
        self.client_with(credential, |_| {})
    }

    fn client_with(&self, credential: &str, edit: impl FnOnce(&mut Settings)) -> RestClient {
        let mut settings = Settings {
            target: "default".into(),
            url: self.gitlab.url().into(),
            allow_http: false,
            credential: Secret::new(credential.into()),
            sudo_user: None,
            ca_certificate: None,
            timeout: Duration::from_secs(20),
        };
        edit(&mut settings);
        let surroundings = Surroundings {
            clock: self.clock.clone(),
            stopwatch: self.clock.clone(),
            observer: self.heard.clone(),
        };
        RestClient::new(settings, surroundings).expect("a client")
    }

    fn path(&self, kind: Kind) -> String {
        match kind {
            Kind::Impersonation => format!("user/{}", self.alice),
            Kind::Personal => "alice".into(),
            Kind::UserServiceAccount => "robot".into(),
            Kind::GroupServiceAccount => "acme/group-bot".into(),
            Kind::ProjectServiceAccount => "acme/app/project-bot".into(),
            Kind::Group | Kind::GroupDeploy => "acme".into(),
            Kind::Project | Kind::ProjectDeploy | Kind::PipelineTrigger => "acme/app".into(),
        }
    }

    async fn holder(&self, client: &RestClient, kind: Kind) -> Holder {
        client.holder(kind, &self.path(kind)).await.unwrap_or_else(|error| panic!("{kind}: {error}"))
    }

    fn live(&self) -> Vec<String> {
        self.gitlab.live_tokens().into_iter().map(|live| live.name).collect()
    }
}

async fn mint(client: &RestClient, holder: &Holder, name: &str) -> Result<Made, CallError> {
    let kind = holder.kind;
    let scopes: &[String] = match kind {
        Kind::PipelineTrigger => &[],
        Kind::ProjectDeploy | Kind::GroupDeploy => &["read_repository".to_owned()],
        _ => &["read_api".to_owned()],
    };
    let expiry = kind.expires_at_gitlab().then(|| Expiry::parse("2026-06-30").unwrap());
    let access_level = kind.has_access_level().then_some(AccessLevel::Reporter);
    client.mint(&Order { holder, name, scopes, access_level, expiry }).await
}

/// `POST …`, `GET …`, `DELETE …` as the make-believe GitLab names them.
pub fn routes(kind: Kind) -> [String; 3] {
    let (make, end) = match kind {
        Kind::Impersonation => ("/users/{user_id}/impersonation_tokens", None),
        Kind::Personal | Kind::UserServiceAccount => {
            ("/users/{user_id}/personal_access_tokens", Some("/personal_access_tokens"))
        }
        Kind::Project => ("/projects/{id}/access_tokens", None),
        Kind::Group => ("/groups/{id}/access_tokens", None),
        Kind::GroupServiceAccount => ("/groups/{id}/service_accounts/{user_id}/personal_access_tokens", None),
        Kind::ProjectServiceAccount => {
            ("/projects/{id}/service_accounts/{user_id}/personal_access_tokens", None)
        }
        Kind::ProjectDeploy => ("/projects/{id}/deploy_tokens", None),
        Kind::GroupDeploy => ("/groups/{id}/deploy_tokens", None),
        Kind::PipelineTrigger => ("/projects/{id}/triggers", None),
    };
    let end = end.unwrap_or(make);
    [format!("POST {make}"), format!("GET {end}"), format!("DELETE {end}/{{token_id}}")]
}

fn word(error: &CallError) -> &'static str {
    match error {
        CallError::NotDone { .. } => "not done",
        CallError::Refused { .. } => "refused",
        CallError::Credential { .. } => "credential",
        CallError::Unknown { .. } => "unknown",
    }
}

/// In a word, `done` where there is a result.
fn outcome<T>(result: &Result<T, CallError>) -> &'static str {
    result.as_ref().err().map_or("done", word)
}
