//! The make-believe GitLab as a process of its own, for `tests/interop/broker.py`: orders come on stdin, answers go to stdout, both JSON, a line
//! each.

use super::AUDIENCE;
use crate::support::gitlab::MakeBelieve;
use countersign::server::environment::Environment;
use serde_json::{Value, json};
use std::io::{BufRead as _, Write as _};

/// What an answer's line begins with: the harness of the tests writes on stdout too.
const MARK: &str = "gitlab> ";

fn say(answer: &Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{answer}").expect("somebody reads");
    out.flush().expect("somebody reads");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by tests/interop/broker.py"]
async fn child_that_is_a_gitlab() {
    let gitlab = MakeBelieve::start(Environment::system().clock).await;
    say(&json!({ "url": gitlab.url(), "credential": gitlab.credential(), "audience": AUDIENCE }));
    let (send, mut orders) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| send.send(line))
    });
    while let Some(order) = orders.recv().await {
        let order: Value = serde_json::from_str(&order).expect("an order");
        let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
        say(&match order["do"].as_str() {
            Some("project") => json!({ "id": gitlab.project(&text("path")) }),
            Some("token") => {
                let mut claims = gitlab.issuer.claims();
                claims["aud"] = AUDIENCE.into();
                for (name, value) in order["claims"].as_object().into_iter().flatten() {
                    claims[name] = value.clone();
                }
                json!({ "token": gitlab.issuer.token(&claims) })
            }
            Some("opens") => json!({ "opens": gitlab.opens(&text("token")) }),
            Some("live") => json!({ "live": gitlab.live_tokens().len() }),
            other => panic!("{other:?} is no order"),
        });
    }
}
