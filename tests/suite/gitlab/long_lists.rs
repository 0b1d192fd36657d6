//! Look-ups in lists of many pages end when the list does, and let others go first after each page.

use super::{Scene, mint};
use countersign::broker::Kind;
use countersign::issuance::Answer;
use countersign::leasing::ports::{Gitlab as _, Place};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts how often others went first.
#[derive(Default)]
struct Giving(AtomicUsize);

impl Place for Giving {
    fn give_way(&self) -> Answer<'_, ()> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {})
    }
}

#[tokio::test]
async fn a_look_up_in_a_long_list_reads_it_to_its_end_and_gives_way_after_each_page() {
    let scene = Scene::new().await;
    let client = scene.client();
    let holder = scene.holder(&client, Kind::PipelineTrigger).await;
    let mut last = 0;
    for number in 0..201 {
        last = mint(&client, &holder, &format!("trigger-{number}")).await.unwrap().minted.id;
    }
    // Three pages, which are read twice where nothing is found; what is to be revoked is looked for where it is not there any more.
    for (name, found, given) in [("trigger-200", vec![last], 2), ("none", vec![], 4)] {
        let place = Giving::default();
        let minted = client.find(&holder, name, &place).await.unwrap();
        assert_eq!(minted.iter().map(|minted| minted.id).collect::<Vec<_>>(), found, "{name}");
        assert_eq!(place.0.into_inner(), given, "{name}");
    }
    for minted in 1..=last {
        let _ = client.revoke(&holder, minted, &Giving::default()).await;
    }
    assert_eq!(scene.live(), [""; 0]);
}
