//! Characters that nobody sees.

use super::*;

#[test]
fn a_condition_has_no_character_that_nobody_sees() {
    for (hidden, escape) in [
        ('\u{200b}', r"\u200b"),
        ('\u{202e}', r"\u202e"),
        ('\u{a0}', r"\u00a0"),
        ('\u{0}', r"\u0000"),
        ('\u{e0041}', r"\U000e0041"),
    ] {
        for source in [
            format!("true &&\n claims.ref == \"ma{hidden}in\""),
            format!("true &&\n claims.ref in ['{hidden}']"),
            format!("true &&\n claims.ref.matches(r'^{hidden}$')"),
            format!("true &&\n {hidden}true"),
        ] {
            let fault = Condition::compile(&source, &scope()).unwrap_err();
            let seen =
                "has a character in it that nobody sees, or that turns others around; delete it, or write ";
            assert!(fault.message.starts_with(&format!("{seen}{escape} ")), "{source:?}: {fault:?}");
            assert_eq!(fault.line, 2, "{source:?}");
        }
    }
    let place = Condition::compile("claims.ref == \"ü\u{200b}\"", &scope()).unwrap_err();
    assert_eq!((place.line, place.column), (1, 17));
}

#[test]
fn its_escape_is_seen_and_means_it() {
    let condition = Condition::compile(r#"claims.ref == "ma\u200bin\U000e0041""#, &scope()).unwrap();
    assert_eq!(condition.holds(&given(&[("claims.ref", text("ma\u{200b}in\u{e0041}"))])), Ok(true));
    assert_eq!(condition.holds(&given(&[])), Ok(false));
    let spaces = "claims.ref ==\t\"größe 東京\"\r\n";
    assert!(Condition::compile(spaces, &scope()).is_ok());
}
