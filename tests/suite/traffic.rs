//! Many requests at once, the end in the middle of them, and what the log lines say.

use crate::support::grpc::GrpcClient;
use crate::support::key::TestKey;
use crate::support::{Answer, TestCa, client, logs};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_line_in_the_log_and_nothing_of_its_token_is_in_any() {
    logs::collect();
    let ca = TestCa::start().await;
    let mut claims = ca.gitlab.claims();
    claims["user_login"] = json!("SECRETLOGIN");
    let token = ca.gitlab.token(&claims);
    let key = TestKey::new();
    let mut request = key.request(&ca.challenge());
    request["credentials"] = json!({ "oidcIdentityToken": token });
    let post = |id: &str, body: String| Answer::of(ca.signing().header("x-request-id", id).body(body));
    let issued = post("log-issued", request.to_string()).await.certificates();
    request["publicKeyRequest"]["proofOfPossession"] = json!(TestKey::new().proof("x"));
    post("log-refused", request.to_string()).await;
    Answer::of(ca.http.get(ca.url("/SECRETPATH?SECRETQUERY")).header("x-request-id", "log-nothing")).await;
    let grpc = GrpcClient::connect(ca.url("")).await;
    let method = "dev.sigstore.fulcio.v2.CA/CreateSigningCertificate";
    let bare = key.request(&ca.challenge());
    let sent = [("oidcidentitytoken", &*token), ("x-request-id", "log-grpc")];
    grpc.call_with(method, bare, &sent).await.expect("issued");
    let sent = [("oidcidentitytoken", &*token), ("x-request-id", "log-grpc-no")];
    grpc.call_with(method, json!({}), &sent).await.expect_err("refused");
    drop((ca, grpc));

    let text = logs::text();
    let (ok, refused, nothing) =
        (logs::event("log-issued"), logs::event("log-refused"), logs::event("log-nothing"));
    assert_eq!(
        (&ok["method"], &ok["path"], &ok["status"]),
        (&json!("POST"), &json!("/api/v2/signingCert"), &json!(200))
    );
    assert_eq!(ok["issuer"], claims["iss"]);
    assert_eq!(ok["log_index"], 0);
    assert!(ok["serial"].as_str().is_some_and(|serial| serial.len() == 38), "{ok}");
    let (called, no) = (logs::event("log-grpc"), logs::event("log-grpc-no"));
    assert_eq!(
        (&called["path"], &called["status"], &called["log_index"]),
        (&json!(format!("/{method}")), &json!(200), &json!(1))
    );
    assert_eq!((&no["status"], &no["reason"]), (&json!(400), &json!("KEY_MISSING")));
    assert_eq!((&refused["status"], &refused["reason"]), (&json!(400), &json!("PROOF_INVALID")));
    assert_eq!((&refused["issuer"], &refused["outcome"]), (&claims["iss"], &json!("refused")));
    assert_eq!((&ok["outcome"], &nothing["outcome"]), (&json!("issued"), &json!("refused")));
    // The steps' times, for those who ask for details: a refused request has those of the steps that it passed.
    assert!(ok["certificate_us"].is_u64() && refused["identity_us"].is_u64());
    assert!(refused["possession_us"].is_null() && nothing["token_us"].is_null());
    assert_eq!((&nothing["status"], &nothing["path"]), (&json!(404), &json!("-")));

    // Other tests of this process log too; what is secret here is named so.
    let segments = token.split('.').skip(1);
    for secret in segments.chain(["SECRETLOGIN", "SECRETPATH", "SECRETQUERY"]) {
        assert!(!text.lines().any(|line| line.contains(secret)), "{secret}");
    }
    assert!(!issued.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_requests_over_64_connections_are_all_answered_and_in_the_log() {
    let ca = Arc::new(TestCa::start().await);
    let (token, challenge) = (ca.token(), ca.challenge());
    let workers: Vec<_> = (0..64)
        .map(|worker| {
            let (ca, token, challenge) = (ca.clone(), token.clone(), challenge.clone());
            tokio::spawn(async move {
                // A client of its own is a connection of its own.
                let http = client();
                let mut request = TestKey::new().request(&challenge);
                request["credentials"] = json!({ "oidcIdentityToken": token });
                let body = request.to_string();
                let mut leaves = Vec::new();
                for _ in 0..(2000 / 64 + usize::from(worker < 2000 % 64)) {
                    let post = http.post(ca.url("/api/v2/signingCert")).body(body.clone());
                    leaves.push(Answer::of(post).await.certificates().swap_remove(0));
                }
                leaves
            })
        })
        .collect();
    let mut leaves = HashSet::new();
    for worker in workers {
        leaves.extend(worker.await.expect("no worker fails"));
    }
    assert_eq!(leaves.len(), 2000);
    assert_eq!(ca.get("/ct/ct/v1/get-sth").await.json()["tree_size"], 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_in_the_middle_of_a_burst_answers_everything_it_took() {
    let ca = TestCa::start().await;
    // The keys are fetched once, so that the burst is made of nothing but issuing.
    ca.issue().await;
    let (url, bodies) = (ca.url("/api/v2/signingCert"), (0..200).map(|_| ca.signing_request().to_string()));
    let (first, mut answered) = tokio::sync::mpsc::unbounded_channel();
    let callers: Vec<_> = bodies
        .map(|body| {
            let (url, first) = (url.clone(), first.clone());
            tokio::spawn(async move {
                let answer = client().post(url).body(body).send().await;
                let _ = first.send(());
                match answer {
                    Ok(answer) => Some(Answer::read(answer).await),
                    // Never connected: the listener was gone. Everything else was taken, and must be answered.
                    Err(error) if error.is_connect() => None,
                    Err(error) => panic!("a request that was taken was not answered: {error:?}"),
                }
            })
        })
        .collect();
    answered.recv().await;
    let stopped = ca.stop().await;
    let mut issued = 0;
    for caller in callers {
        if let Some(answer) = caller.await.expect("no caller fails") {
            answer.certificates();
            issued += 1;
        }
    }
    assert!(issued > 0);
    let ca = stopped.start().await;
    let size = ca.get("/ct/ct/v1/get-sth").await.json()["tree_size"].as_u64().expect("a number");
    assert_eq!(size, issued + 1, "what was answered is in the log after a restart");
}
