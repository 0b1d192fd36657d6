//! Look-ups in lists of many pages have one limit for all of them.

use super::{Heard, Scene, mint};
use crate::support::TestClock;
use countersign::broker::{Kind, Lease};
use countersign::gitlab::{RestClient, Settings, Surroundings};
use countersign::leasing::ports::{CallError, Gitlab as _, Observer, Secret};
use countersign::leasing::{Attempt, Event};
use std::sync::Arc;
use std::time::Duration;

/// Each call takes six seconds.
struct Slow(Arc<TestClock>, Heard);

impl Observer for Slow {
    fn exchanged(&self, _: &Attempt) {}
    fn moved(&self, _: &Lease) {}
    fn revocation(&self, _: &Lease, _: &'static str, _: Duration) {}
    fn called(&self, target: &str, route: &'static str, status: u16, took: Duration) {
        self.0.advance(Duration::from_secs(6));
        self.1.called(target, route, status, took);
    }
    fn event(&self, _: Event<'_>) {}
}

#[tokio::test]
async fn a_look_up_ends_in_its_time_and_one_in_a_long_list_gets_longer_each_time() {
    let scene = Scene::new().await;
    let quick = scene.client();
    let holder = scene.holder(&quick, Kind::PipelineTrigger).await;
    let mut last = 0;
    for number in 0..201 {
        last = mint(&quick, &holder, &format!("trigger-{number}")).await.unwrap().minted.id;
    }
    let observer = Arc::new(Slow(scene.clock.clone(), Heard::default()));
    let settings = Settings {
        target: "default".into(),
        url: scene.gitlab.url().into(),
        allow_http: false,
        credential: Secret::new(scene.gitlab.credential().into()),
        sudo_user: None,
        ca_certificate: None,
        timeout: Duration::from_secs(10),
    };
    let surroundings = Surroundings {
        clock: scene.clock.clone(),
        stopwatch: scene.clock.clone(),
        observer: observer.clone(),
    };
    let client = RestClient::new(settings, surroundings).unwrap();
    let calls = || std::mem::take(&mut *observer.1.0.lock().unwrap()).len();
    // Two pages take more than ten seconds, four more than twenty; the list has three, which are read twice where nothing is found.
    let is_short_of_time = |result: Result<Vec<_>, CallError>| matches!(result, Err(CallError::Refused { status: 0, detail }) if detail.starts_with("the list has too many pages"));
    assert!(is_short_of_time(client.find(&holder, "none").await));
    assert_eq!(calls(), 2);
    let found = client.find(&holder, "trigger-200").await.unwrap();
    assert_eq!((found.first().map(|minted| minted.id), calls()), (Some(last), 3));
    assert!(is_short_of_time(client.find(&holder, "none").await));
    assert_eq!(calls(), 4);
    assert_eq!(client.find(&holder, "none").await.unwrap(), []);
    assert_eq!(calls(), 5);
    // Others have lists of their own.
    let other = scene.holder(&quick, Kind::ProjectDeploy).await;
    assert_eq!(client.find(&other, "none").await.unwrap(), []);
    // Once it is short again it has no more time than others.
    for minted in found.into_iter().map(|minted| minted.id).chain(1..=last) {
        let _ = quick.revoke(&holder, minted).await;
    }
    assert_eq!(scene.live(), [""; 0]);
    assert_eq!(client.find(&holder, "none").await.unwrap(), []);
}
