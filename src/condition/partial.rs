//! What is sure of a condition of which some members are not known: Kleene's logic over its [`Step`]s.

use super::Step;
use super::evaluation::{ALL_OF, NOT, ONE_OF};

/// The truth of the first step, with the deeper ones behind it, where no unknown member can change it.
pub(super) fn of_steps(steps: &[Step], is_unknown: &dyn Fn(&str) -> bool) -> Option<bool> {
    let (first, rest) = steps.split_first()?;
    let mut parts = Vec::new();
    let mut rest = rest;
    while let [part, ..] = rest
        && part.depth > first.depth
    {
        let deeper = rest.iter().skip(1).take_while(|step| step.depth > part.depth).count();
        let (own, after) = rest.split_at_checked(deeper + 1)?;
        parts.push(of_steps(own, is_unknown));
        rest = after;
    }
    let some = |truth: bool| parts.contains(&Some(truth));
    let all = |truth: bool| parts.iter().all(|part| *part == Some(truth));
    match first.text.as_str() {
        ALL_OF if some(false) => Some(false),
        ALL_OF if all(true) => Some(true),
        ONE_OF if some(true) => Some(true),
        ONE_OF if all(false) => Some(false),
        NOT => parts.first()?.map(|part| !part),
        ALL_OF | ONE_OF => None,
        _ if first.facts.iter().any(|(name, _)| is_unknown(name)) => None,
        _ => first.holds.clone().ok(),
    }
}
