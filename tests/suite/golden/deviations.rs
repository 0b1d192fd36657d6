//! The table of deviations in `docs/MIGRATING.md`, which is all that may differ from the recorded answers.

use std::collections::{BTreeMap, BTreeSet};

/// A row: the quirk or the case, and what countersign answers.
#[derive(Debug)]
pub struct Deviations {
    /// From a quirk's or a case's name to the classes of answers that are allowed.
    allowed: BTreeMap<String, BTreeSet<String>>,
    used: BTreeSet<(String, String)>,
}

impl Deviations {
    /// From the page, between its markers: rows ``| `name` | `class`, `class` | why |``.
    pub fn read() -> Self {
        let page = include_str!("../../../docs/MIGRATING.md");
        let table = page
            .split_once("<!-- deviations -->")
            .and_then(|(_, rest)| rest.split_once("<!-- /deviations -->"))
            .expect("the markers")
            .0;
        let mut allowed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in table.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [names, classes, why] = cells[..] else { panic!("a row has three cells: {row}") };
            assert!(!why.is_empty(), "a row says why: {row}");
            for name in in_code(names) {
                let classes = in_code(classes).map(str::to_owned).collect::<BTreeSet<_>>();
                assert!(!classes.is_empty(), "a row says what: {row}");
                assert!(allowed.insert(name.to_owned(), classes).is_none(), "{name} has two rows");
            }
        }
        assert!(!allowed.is_empty());
        Self { allowed, used: BTreeSet::new() }
    }

    /// Whether a case with this quirk may have this class of answer.
    pub fn allow(&mut self, name: &str, quirk: Option<&str>, class: &str) -> bool {
        let row = [Some(name), quirk]
            .into_iter()
            .flatten()
            .find(|key| self.allowed.get(*key).is_some_and(|classes| classes.contains(class)));
        if let Some(row) = row {
            self.used.insert((row.to_owned(), class.to_owned()));
        }
        row.is_some()
    }

    /// What the table allows and no case needed.
    pub fn unused(&self) -> Vec<String> {
        let rows = self.allowed.iter();
        rows.flat_map(|(name, classes)| classes.iter().map(move |class| (name.clone(), class.clone())))
            .filter(|row| !self.used.contains(row))
            .map(|(name, class)| format!("{name}: {class}"))
            .collect()
    }
}

/// The texts in backquotes.
fn in_code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}
