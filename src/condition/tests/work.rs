//! What would take too long is not begun. Counted in steps, so that no clock decides.

use super::super::work::{MOST_STEPS, Size, Sizes, of_texts, steps};
use super::*;

fn groups(count: usize, length: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:0length$}")).collect()
}

fn counted(source: &str, list: &[String]) -> u64 {
    let condition = Condition::compile(source, &scope()).unwrap_or_else(|fault| panic!("{source}: {fault}"));
    let path = |text: &str| text.split('.').map(str::to_owned).collect();
    let sizes = Sizes::from([
        (path("claims.groups_direct"), of_texts(list)),
        (path("claims.project_path"), Size::of_text(8)),
    ]);
    steps(&condition.written, &sizes)
}

/// A chain of `+`, asked of each element.
fn chain(links: usize) -> String {
    let sum = ["claims.project_path"].into_iter().chain(std::iter::repeat_n("g", links)).collect::<Vec<_>>();
    format!("has(claims.groups_direct) && claims.groups_direct.exists(g, {} == \"x\")", sum.join(" + "))
}

#[test]
fn the_work_is_counted_before_it_is_done() {
    let holds = |source: &str, list: &[String]| {
        let condition = Condition::compile(source, &scope()).unwrap();
        condition.holds(&given(&[("claims.groups_direct", Value::Texts(list.to_vec()))]))
    };
    let too_long = Err(Undecided("the values are too long for what is asked of them".to_owned()));
    // As many as fit into a token of 64 KiB.
    for (count, length) in [(20_000, 1), (6_000, 8), (600, 100)] {
        let list = groups(count, length);
        assert!(counted(&chain(50), &list) > MOST_STEPS, "{count}");
        assert_eq!(holds(&chain(50), &list), too_long, "{count}");
        assert_eq!(holds(r#"has(claims.groups_direct) && "x" in claims.groups_direct"#, &list), Ok(false));
        assert_eq!(
            holds(r#"has(claims.groups_direct) && claims.groups_direct.exists(g, g == "x")"#, &list),
            Ok(false)
        );
    }
    let list = groups(20_000, 1);
    let each_in_all =
        "has(claims.groups_direct) && claims.groups_direct.all(g, g in claims.groups_direct) == false";
    assert_eq!(holds(each_in_all, &list), too_long);
    let steps = Condition::compile(each_in_all, &scope())
        .unwrap()
        .steps(&given(&[("claims.groups_direct", Value::Texts(list))]));
    assert!(steps.len() == 1 && steps[0].holds.is_err(), "{steps:?}");
}

#[test]
fn what_gitlab_writes_is_far_below_the_bound() {
    // GitLab puts 200 groups into a token at most, and a path has 255 characters.
    let list = groups(200, 255);
    let wanted = (0..250).map(|number| format!("\"acme/{number}\"")).collect::<Vec<_>>().join(", ");
    for source in [
        r#"has(claims.groups_direct) && claims.groups_direct.exists(g, g == "acme" || g.startsWith("acme/"))"#
            .to_owned(),
        r#"has(claims.groups_direct) && claims.groups_direct.exists(g, g.matches("^acme/[a-z]+$"))"#.to_owned(),
        format!("has(claims.groups_direct) && claims.groups_direct.exists(g, g in [{wanted}])"),
    ] {
        let steps = counted(&source, &list);
        assert!(steps < MOST_STEPS / 2, "{steps} {source}");
    }
}

/// The count is no less than what happens: each look at an element, each link of a chain and each octet of its sums.
#[test]
fn the_count_grows_with_elements_links_and_octets() {
    for (count, length) in [(10, 1), (1000, 1), (1000, 40)] {
        let list = groups(count, length);
        let mut before = 0;
        for links in [1, 10, 50] {
            let steps = counted(&chain(links), &list);
            // Each sum is a new text of all that stands before it.
            let octets: usize = (1..=links).map(|link| 8 + link * length).sum();
            assert!(steps >= (count * links + count * (octets / 16).saturating_sub(links)) as u64, "{steps}");
            assert!(steps > before);
            before = steps;
        }
    }
    let pattern = |text: &str| format!(r#"claims.groups_direct.exists(g, g.matches("{text}"))"#);
    let counted =
        |text: &str| counted(&format!("has(claims.groups_direct) && {}", pattern(text)), &groups(100, 160));
    assert!(counted(&"(a|b)".repeat(90)) > 50 * counted("a"));
}
