//! The store of the leases keeps what it was given, and says so where it does not.

use super::*;
use crate::broker::{Job, Kind, Lease, Minted, Phase, Revocation};
use crate::leasing::Attempt;
use std::fs;

fn lease(number: u8) -> Lease {
    let name = "f".repeat(30) + &format!("{number:02x}");
    Lease {
        id: LeaseId::parse(&name).unwrap(),
        role: "bot".to_owned(),
        target: "default".to_owned(),
        instance: "https://gitlab.example.com".to_owned(),
        kind: Kind::Project,
        path: "acme/app".to_owned(),
        owner: vec![7],
        name: format!("bot-{name}"),
        scopes: vec!["api".to_owned()],
        access_level: None,
        job: Job { project_path: "acme/app".to_owned(), ..Job::default() },
        created: UnixMillis(1),
        deadline: UnixMillis(2),
        revocation: Revocation::Broker,
        asked_expiry: None,
        past: None,
        phase: Phase::Active { minted: Minted { id: 1, sha256: Some("00".repeat(32)), expires: None } },
    }
}

fn change(number: u8) -> Change {
    Change::Lease(Box::new(lease(number)))
}

fn attempt() -> Attempt {
    serde_json::from_value(serde_json::json!({"time": 5, "role": "x", "outcome": "BROKER_TARGET_REFUSED"}))
        .unwrap()
}

#[test]
fn what_was_written_is_read_back_and_what_was_forgotten_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker");
    let mut store = EmbeddedLeases::open(&path).unwrap();
    assert_eq!(store.load(), Ok(Kept::default()));
    let used = Change::Used { key: [3; 32], count: 2, until: UnixMillis(9) };
    let credential =
        Change::Credential { place: "default https://gitlab.example.com".to_owned(), record: b"{}".to_vec() };
    let refused = Change::Attempt { slot: 7, attempt: Box::new(attempt()) };
    store.write(&[change(1), change(2), used, credential, refused]).unwrap();
    let ended = Lease { phase: Phase::Revoked { at: UnixMillis(4) }, ..lease(2) };
    store.write(&[change(3), Change::Lease(Box::new(ended.clone())), Change::Forget(lease(1).id)]).unwrap();
    drop(store);
    let mut store = EmbeddedLeases::open(&path).unwrap();
    let expected = Kept {
        leases: vec![ended, lease(3)],
        used: vec![([3; 32], 2, UnixMillis(9))],
        credentials: vec![("default https://gitlab.example.com".to_owned(), b"{}".to_vec())],
        attempts: vec![(7, attempt())],
    };
    assert_eq!(store.load(), Ok(expected));
    store.write(&[Change::Unused([3; 32])]).unwrap();
    assert_eq!(store.load().unwrap().used, []);
    assert_eq!(fs::read_dir(path.join("blobs")).unwrap().count(), 0);
}

#[test]
fn every_phase_survives_the_store() {
    let minted = Minted { id: 1, sha256: None, expires: crate::broker::Expiry::parse("2026-07-01") };
    let at = UnixMillis(9);
    let revoking = |minted| Phase::Revoking {
        minted,
        since: at,
        why: "deadline".to_owned(),
        tries: 3,
        next: at,
        fault: "503".to_owned(),
        stuck: true,
        confirmed: Some(at),
    };
    let phases = [
        Phase::Intent,
        Phase::Active { minted: minted.clone() },
        revoking(None),
        revoking(Some(minted)),
        Phase::Revoked { at },
        Phase::Aborted { at, why: "none".to_owned() },
        Phase::Abandoned { at, why: "404".to_owned() },
        Phase::Expired { at },
    ];
    let directory = tempfile::tempdir().unwrap();
    let mut store = EmbeddedLeases::open(&directory.path().join("broker")).unwrap();
    let leases: Vec<_> =
        phases.into_iter().zip(0..).map(|(phase, number)| lease(number).moved_to(phase)).collect();
    assert!(leases.iter().all(|lease| lease.minted().is_some() || !lease.phase.is_over()));
    store
        .write(&leases.iter().cloned().map(|lease| Change::Lease(Box::new(lease))).collect::<Vec<_>>())
        .unwrap();
    assert_eq!(store.load().unwrap().leases, leases);
}

/// sled alone would open without a word.
#[test]
fn a_store_that_has_forgotten_leases_does_not_open_and_names_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let (path, older) = (directory.path().join("broker"), directory.path().join("older"));
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to.join("blobs")).unwrap();
        for item in fs::read_dir(from).unwrap().map(|item| item.unwrap().path()).filter(|item| item.is_file())
        {
            fs::copy(&item, to.join(item.file_name().unwrap())).unwrap();
        }
    };
    let mut store = EmbeddedLeases::open(&path).unwrap();
    store.write(&[change(1)]).unwrap();
    drop(store);
    copy(&path, &older);
    let mut store = EmbeddedLeases::open(&path).unwrap();
    store.write(&[change(2)]).unwrap();
    drop(store);
    fs::remove_dir_all(&path).unwrap();
    let missing = EmbeddedLeases::open(&path).unwrap_err().to_string();
    assert!(missing.contains("is missing") && missing.contains("revoke at GitLab"), "{missing}");
    copy(&older, &path);
    let forgotten = EmbeddedLeases::open(&path).unwrap_err().to_string();
    assert!(forgotten.contains("after 1 writes, and 2 were durable"), "{forgotten}");
    // An operator who knows that it is the newest there is says so, as of a log's head.
    fs::write(record_of(&path), "newest\n").unwrap();
    assert_eq!(EmbeddedLeases::open(&path).unwrap().load().unwrap().leases, [lease(1)]);
}

#[test]
fn a_damaged_value_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker");
    let mut store = EmbeddedLeases::open(&path).unwrap();
    store.write(&[change(1)]).unwrap();
    let mut batch = ::sled::Batch::default();
    batch.insert([&[LEASE][..], lease(1).id.as_bytes()].concat(), b"damaged".to_vec());
    store.parts.as_ref().unwrap().database.apply(batch).unwrap();
    let error = store.load().unwrap_err();
    assert!(matches!(&error, KeepError::Corrupt(what) if what.contains("move both away")), "{error}");
    let large = Change::Credential { place: "x".to_owned(), record: vec![0; LARGEST + 1] };
    assert!(matches!(store.write(&[large]), Err(KeepError::NotWritten(_))));
    store.write(&[change(2)]).unwrap();
}

#[test]
fn a_credential_is_found_by_its_place_and_replaced_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker");
    let mut store = EmbeddedLeases::open(&path).unwrap();
    let put =
        |place: &str, record: &[u8]| Change::Credential { place: place.to_owned(), record: record.to_vec() };
    store.write(&[put("a https://a", b"rotation"), put("a https://a sealed", b"one")]).unwrap();
    assert_eq!(store.credential("a https://a sealed").unwrap().as_deref(), Some(&b"one"[..]));
    store.write(&[put("a https://a sealed", b"two")]).unwrap();
    drop(store);
    let store = EmbeddedLeases::open(&path).unwrap();
    assert_eq!(store.credential("a https://a sealed").unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(store.credential("a https://a").unwrap().as_deref(), Some(&b"rotation"[..]));
    assert_eq!(store.credential("a https://b sealed").unwrap(), None);
    let mut batch = ::sled::Batch::default();
    batch.insert([&[CREDENTIAL][..], b"a https://a sealed"].concat(), b"damaged".to_vec());
    store.parts.as_ref().unwrap().database.apply(batch).unwrap();
    assert!(matches!(store.credential("a https://a sealed"), Err(KeepError::Corrupt(_))));
}

#[test]
fn a_file_that_is_gone_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker");
    let mut store = EmbeddedLeases::open(&path).unwrap();
    store.write(&[change(1)]).unwrap();
    fs::rename(path.join("db"), path.join("aside")).unwrap();
    assert!(matches!(store.check(), Err(KeepError::NotWritten(_))));
    assert!(matches!(store.write(&[change(2)]), Err(KeepError::NotWritten(_))));
    fs::rename(path.join("aside"), path.join("db")).unwrap();
    store.write(&[change(2)]).unwrap();
}

#[test]
fn ten_thousand_leases_are_written_in_groups_and_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker");
    let mut store = EmbeddedLeases::open(&path).unwrap();
    let all: Vec<_> = (0..10_000_u32)
        .map(|number| {
            let id = LeaseId::parse(&format!("{number:032x}")).unwrap();
            Change::Lease(Box::new(Lease { id, ..lease(0) }))
        })
        .collect();
    all.chunks(500).for_each(|group| store.write(group).unwrap());
    drop(store);
    assert_eq!(EmbeddedLeases::open(&path).unwrap().load().unwrap().leases.len(), 10_000);
}
