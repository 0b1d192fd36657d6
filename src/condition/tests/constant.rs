//! Conditions that hold for everybody, or for nobody.

use super::*;

#[test]
fn what_holds_for_everybody_is_known_before_anybody_asks() {
    let (yes, no) = (Some(true), Some(false));
    for (source, expected) in [
        ("true", yes),
        (" ( true ) ", yes),
        ("!false", yes),
        ("!true", no),
        ("false", no),
        ("has(claims.project_id)", yes),
        (r#""project_id" in claims"#, yes),
        ("!has(claims.project_id)", no),
        ("claims.?project_id.hasValue()", yes),
        ("has(claims.environment)", None),
        ("has(claims.custom)", None),
        ("has(cert.gitlab)", None),
        ("has(cert.san)", yes),
        ("claims.ref == claims.ref", yes),
        ("claims.ref != claims.ref", no),
        ("claims.ref == claims.project_id", None),
        (r#"claims.ref.startsWith("") && claims.ref.endsWith("") && claims.ref.contains("")"#, yes),
        (r#"claims.ref.startsWith("a")"#, None),
        (r#"claims.ref.matches(".*") || claims.ref == "x""#, yes),
        (r#"claims.ref.matches("^.*$")"#, yes),
        (r#"claims.ref.matches("x?")"#, yes),
        (r#"claims.ref.matches("^x?$")"#, None),
        (r#"claims.ref.matches("x|")"#, yes),
        (r#"claims.ref.matches("\\b")"#, None),
        (r#"claims.ref in ["x", claims.ref]"#, yes),
        (r#"claims.ref in ["x", "y"]"#, None),
        (r#"claims.ref_protected in ["true", "false", ""]"#, yes),
        (r#"claims.ref_protected in ["true", "false"]"#, None),
        (r#"claims.ref_protected == "true" || claims.ref_protected != "true""#, yes),
        (r#""true" == claims.ref_protected || claims.ref == "x" || claims.ref_protected != "true""#, yes),
        (r#"claims.ref_protected == "true" && claims.ref_protected != "true""#, no),
        (
            r#"claims.ref_protected == "true" || claims.ref_protected == "false" || "" == claims.ref_protected"#,
            yes,
        ),
        (r#"claims.ref_protected == "true" || claims.ref_protected == "false""#, None),
        (
            r#"claims.ref_protected != "true" && claims.ref_protected != "false" && claims.ref_protected != """#,
            no,
        ),
        (r#"has(claims.environment) || !has(claims.environment)"#, yes),
        (r#"has(claims.environment) ? true : claims.ref != "" || true"#, yes),
        (r#"has(claims.environment) ? true : false"#, None),
        (r#"claims.ref == "x" || true"#, yes),
        (r#"claims.ref == "x" && true"#, None),
        (r#"claims.ref == "x" && false"#, no),
        (r#""a" == "b""#, no),
        (r#"claims.project_path.startsWith("acme/") && claims.ref_protected == "true""#, None),
    ] {
        let condition =
            Condition::compile(source, &scope()).unwrap_or_else(|fault| panic!("{source}: {fault}"));
        assert_eq!(condition.constant(), expected, "{source}");
    }
}

/// Of whatever can be written of these, what is said to be constant is what comes out.
#[test]
fn what_is_constant_is_what_comes_out() {
    let atoms = [
        "true",
        "false",
        "has(claims.environment)",
        r#"claims.ref == "main""#,
        r#"claims.ref != "main""#,
        r#"claims.ref_protected == "true""#,
        r#"claims.ref_protected in ["false", ""]"#,
        r#"claims.ref.matches("m?")"#,
    ];
    let mut told = 0;
    let atom = |index: usize| atoms[index % atoms.len()];
    for index in 0..atoms.len().pow(3) {
        let (one, other, third) = (atom(index), atom(index / atoms.len()), atom(index / atoms.len().pow(2)));
        for source in [
            format!("{one} || {other} || !({third})"),
            format!("{one} && !({other} && {third})"),
            format!("{one} ? {other} : {third}"),
        ] {
            let condition = Condition::compile(&source, &scope()).unwrap();
            let Some(constant) = condition.constant() else { continue };
            told += 1;
            for (name, flag) in [("main", "true"), ("main", "false"), ("dev", ""), ("dev", "true")] {
                let mut facts = vec![("claims.ref", text(name)), ("claims.ref_protected", text(flag))];
                assert_eq!(condition.holds(&given(&facts)), Ok(constant), "{source}");
                facts.push(("claims.environment", text("x")));
                assert_eq!(condition.holds(&given(&facts)), Ok(constant), "{source}");
            }
        }
    }
    assert!(told > 300, "{told}");
}
