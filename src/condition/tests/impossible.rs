//! Comparisons that could never hold, wherever that can be known.

use super::*;

#[test]
fn a_comparison_that_could_never_hold_is_an_error() {
    let never = |name: &str| format!("{name} is never that: it is one of");
    for (source, place, words) in [
        (r#"claims.?flag.orValue("none") == "yes""#, "1:33", never(r#"claims.?flag.orValue("none")"#)),
        (r#""yes" != claims.?flag.orValue("none")"#, "1:1", never(r#"claims.?flag.orValue("none")"#)),
        (
            r#"claims.?flag.orValue("none") in ["true", "yes"]"#,
            "1:42",
            never(r#"claims.?flag.orValue("none")"#),
        ),
        ("claims.ref == \"x\" &&\nclaims.ref_protected == claims.kind", "2:", never("claims.ref_protected")),
        (r#"claims["ref_protected"] == claims.kind"#, "1:", never(r#"claims["ref_protected"]"#)),
        (r#"["true", "yes"].exists(v, claims.ref_protected == v)"#, "1:10", never("claims.ref_protected")),
        (r#"["true", "yes"].all(v, v != claims.ref_protected)"#, "1:10", never("claims.ref_protected")),
        (r#"[claims.ref_protected].exists(v, v == "yes")"#, "1:39", never("claims.ref_protected")),
        (r#"["x"].exists(v, v in [claims.ref_protected])"#, "1:2", never("claims.ref_protected")),
        (r#"claims.ref_protected == (claims.ref == "x" ? "yes" : "no")"#, "", never("claims.ref_protected")),
        (r#"(claims.ref == "x" ? claims.ref_protected : "maybe") == "yes""#, "1:57", "is never that".into()),
        (
            r#"claims.ref_protected.startsWith("yes")"#,
            "",
            "never holds: claims.ref_protected is one of".into(),
        ),
        (r#"claims.ref_protected.contains("TRUE")"#, "", "never holds".into()),
        (r#"claims.ref_protected.matches("^yes$")"#, "", "never holds".into()),
        (r#"matches(claims.ref_protected, "^yes$")"#, "", "never holds".into()),
    ] {
        let fault = fault(source);
        assert!(fault.starts_with(place) && fault.contains(&words), "{source}\n  {fault}");
    }
    for source in [
        r#"claims.?flag.orValue("none") == "none""#,
        r#"claims.?flag.orValue("none") == claims.ref_protected"#,
        r#"["true", ""].exists(v, claims.ref_protected == v)"#,
        r#"claims.ref_protected in ["true", claims.ref]"#,
        r#"claims.ref == "yes" && "a" == "b""#,
        r#"["a"].exists(v, v == "b")"#,
        r#"[claims.ref, "x"].exists(v, v == claims.ref_protected) || true"#,
        r#"claims.ref_protected.endsWith("e") && claims.ref_protected.matches("^t")"#,
        r#"(claims.ref == "x" ? claims.ref_protected : "maybe") == "maybe""#,
    ] {
        let compiled = Condition::compile(source, &scope());
        // An element that is written out is compared, too.
        let expected = !source.starts_with("[claims.ref, \"x\"]");
        assert_eq!(compiled.is_ok(), expected, "{source}: {compiled:?}");
    }
}
