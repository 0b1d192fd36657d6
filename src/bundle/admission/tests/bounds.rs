//! What somebody else's bundle may make a verifier read, keep and show.

use super::*;
use crate::bundle::admission::evidence::LONGEST_TEXT;
use crate::bundle::admission::refused::beginning;
use crate::condition::Value;

fn logged(url: &str) -> LoggedAt {
    LoggedAt { log: url.to_owned(), index: 1, kind: "dsse 0.0.2".to_owned() }
}

#[test]
fn a_value_that_is_shown_is_cut_and_one_that_nobody_compares_decides_nothing() {
    let job = protected();
    let when = r#"log.url == "https://log.example.com""#;
    let of = |url: &str| {
        let log = logged(url);
        let seen = Evidence { logged: std::slice::from_ref(&log), ..evidence(&job) };
        policy(when).admit(&seen).map(drop).map_err(|error| error.refused().to_vec())
    };
    assert_eq!(of("https://log.example.com"), Ok(()));
    for length in [201, LONGEST_TEXT] {
        let refused = of(&"x".repeat(length)).unwrap_err();
        let shown = format!("{}… ({length} characters)", "x".repeat(200));
        assert_eq!(refused[0].reasons(), [format!(r#"{when} does not hold (log.url is "{shown}")"#)]);
        let Why::Fails(steps) = refused[0].why() else { panic!("{refused:?}") };
        assert_eq!(steps[0].facts, [("log.url".to_owned(), Some(Value::Text(shown)))]);
    }
    assert!(of(&"x".repeat(200)).unwrap_err()[0].to_string().ends_with("x\")"));
    for length in [LONGEST_TEXT + 1, 3_000_000] {
        let expected =
            format!("it cannot be decided: log.url has {length} octets; {LONGEST_TEXT} are possible");
        assert_eq!(of(&"x".repeat(length)).unwrap_err()[0].reasons(), [expected]);
    }
}

#[test]
fn a_list_that_is_shown_is_cut_too() {
    let texts = |count: usize| Value::Texts((0..count).map(|number| number.to_string()).collect());
    assert_eq!(beginning(texts(16)), texts(16));
    let Value::Texts(shown) = beginning(texts(256)) else { panic!("no list") };
    assert_eq!((shown.len(), shown[15].as_str(), shown[16].as_str()), (17, "15", "… and 240 more"));
    let Value::Texts(shown) = beginning(Value::Texts(vec!["ü".repeat(1_000)])) else { panic!("no list") };
    assert_eq!(shown, [format!("{}… (1000 characters)", "ü".repeat(200))]);
}

#[test]
fn of_many_policies_the_first_are_explained_and_the_others_are_named() {
    let one = |number: usize| AdmissionPolicy::new(format!("p{number}"), r#"cert.san == "x""#, None).unwrap();
    let policies = Policies::new((0..MOST_POLICIES).map(one).collect()).unwrap();
    let job = protected();
    let error = policies.admit(&evidence(&job)).unwrap_err();
    let names: Vec<_> = error.refused().iter().map(Refused::policy).collect();
    assert_eq!(names, (0..MOST_POLICIES).map(|number| format!("p{number}")).collect::<Vec<_>>());
    let (explained, others) = error.refused().split_at(MOST_EXPLAINED);
    assert!(explained.iter().all(|refused| refused.reasons()[0].contains("(cert.san is ")));
    assert!(others.iter().all(|refused| *refused.why() == Why::AlsoFails));
    assert_eq!(
        others[0].reasons(),
        ["its condition does not hold either; which part of it is told of 16 policies"]
    );
}
