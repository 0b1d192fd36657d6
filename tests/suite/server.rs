//! Starting and stopping: what is refused, in which words, and what ends how.

use crate::support::{StoppedCa, TestCa};
use countersign::server::StartError;
use countersign::signer::ceremony::{NewCa, Options};
use std::fs;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The words of a configuration's refusal, exit code 78.
async fn unusable(ca: &StoppedCa) -> String {
    match ca.refused().await {
        StartError::Configuration(words) => words,
        StartError::Failed(words) => panic!("it is the configuration that is at fault: {words}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_a_data_directory_is_told_whose_it_is() {
    let ca = TestCa::builder().configure(|config| config.admin = None).start().await;
    let Err(StartError::Failed(words)) = ca.start_second().await.map(drop) else { panic!("it started") };
    assert!(words.contains(&ca.config().data.display().to_string()), "{words}");
    assert!(words.contains(&format!("process {}", std::process::id())), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named_and_the_data_directory_is_free_again() {
    let holder = TestCa::start().await;
    let taken = holder.url("").trim_start_matches("http://").parse().expect("an address");
    let mut ca = TestCa::builder().configure(move |config| config.listen = taken).prepare().await;
    let StartError::Failed(words) = ca.refused().await else { panic!("the port is at fault") };
    assert!(words.contains(&taken.to_string()), "{words}");
    ca.config.listen = "127.0.0.1:0".parse().expect("an address");
    ca.start().await.issue().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_has_ended_or_not_begun_does_not_start() {
    let ca = TestCa::builder().prepare().await;
    let now = countersign::environment::Clock::now(&*ca.clock);
    ca.clock.advance(Duration::from_secs(6 * 365 * 86_400));
    assert!(unusable(&ca).await.contains("ca.certificates"));
    ca.clock.set(countersign::environment::UnixMillis(now.0 - 86_400_000));
    assert!(unusable(&ca).await.contains("ca.certificates"));
    ca.clock.set(now);
    ca.start().await.issue().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn material_that_does_not_belong_together_does_not_start() {
    let ca = TestCa::builder().prepare().await;
    let now = countersign::environment::Clock::now(&*ca.clock);
    let other = NewCa::make(&Options::default(), now).expect("a CA");
    let key = fs::read(ca.config.ca.key().unwrap()).expect("a file");
    let chain = fs::read(ca.config.ca.certificates().unwrap()).expect("a file");

    fs::write(ca.config.ca.key().unwrap(), other.issuing_key.as_bytes()).expect("a file");
    assert!(unusable(&ca).await.contains("ca.key"));
    fs::write(ca.config.ca.key().unwrap(), key).expect("a file");

    fs::write(
        ca.config.ca.certificates().unwrap(),
        format!("{}{}", other.issuing, String::from_utf8_lossy(&chain)),
    )
    .expect("a file");
    unusable(&ca).await;
    fs::write(ca.config.ca.certificates().unwrap(), "no PEM").expect("a file");
    unusable(&ca).await;
    fs::write(ca.config.ca.certificates().unwrap(), chain).expect("a file");

    fs::write(&ca.config.log.embedded().unwrap().key, other.root_key.as_bytes()).expect("a file");
    assert!(unusable(&ca).await.contains("log.key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_hold_up_the_end() {
    let ca = TestCa::start().await;
    let address = ca.url("").trim_start_matches("http://").to_owned();
    let mut silent = TcpStream::connect(&address).await.expect("a connection");
    let mut idle = TcpStream::connect(&address).await.expect("a connection");
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is written");
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 404");
    ca.stop().await;
    for connection in [&mut silent, &mut idle] {
        connection.read_to_end(&mut Vec::new()).await.expect("the end of the connection");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_issued_is_there_after_a_restart_and_issuing_goes_on() {
    let mut ca = TestCa::start().await;
    for round in 1..=3 {
        ca.issue().await;
        ca = ca.stop().await.start().await;
        assert_eq!(ca.get("/ct/ct/v1/get-sth").await.json()["tree_size"], round);
    }
}
