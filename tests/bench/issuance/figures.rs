//! Figures by name, of one row and of several runs.

use serde_json::{Map, Value, json};

/// The figures of one row of one run.
#[derive(Clone, Debug, Default)]
pub struct Figures(pub Vec<(&'static str, f64)>);

impl Figures {
    pub fn put(&mut self, name: &'static str, value: f64) {
        self.0.push((name, value));
    }

    pub fn to_json(&self) -> Value {
        let members = self.0.iter().map(|(name, value)| ((*name).to_owned(), json!(round(*value))));
        Value::Object(members.collect::<Map<_, _>>())
    }

    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// A row: who, under what, and its figures in every run.
pub struct Row {
    pub subject: String,
    pub load: String,
    pub runs: Vec<Figures>,
}

impl Row {
    /// The median of each figure.
    pub fn medians(&self) -> Figures {
        let names = self.runs.first().map(|run| run.0.iter().map(|(name, _)| *name)).into_iter().flatten();
        let of = |name| Some((name, median(self.runs.iter().filter_map(|run| run.get(name)))?));
        Figures(names.filter_map(of).collect())
    }

    pub fn to_json(&self) -> Value {
        json!({
            "subject": self.subject,
            "load": self.load,
            "medians": self.medians().to_json(),
            "runs": self.runs.iter().map(Figures::to_json).collect::<Vec<_>>(),
        })
    }
}

/// All rows, in the order in which they came first.
#[derive(Default)]
pub struct Rows(pub Vec<Row>);

impl Rows {
    pub fn add(&mut self, subject: &str, load: &str, figures: Figures) {
        let same = |row: &&mut Row| row.subject == subject && row.load == load;
        match self.0.iter_mut().find(same) {
            Some(row) => row.runs.push(figures),
            None => self.0.push(Row { subject: subject.into(), load: load.into(), runs: vec![figures] }),
        }
    }

    /// This row.
    pub fn row(&self, subject: &str, load: &str) -> Option<&Row> {
        self.0.iter().find(|row| row.subject == subject && row.load == load)
    }

    /// The median of a figure.
    pub fn median(&self, subject: &str, load: &str, name: &str) -> Option<f64> {
        self.row(subject, load)?.medians().get(name)
    }
}

/// The one in the middle, or between the two; none of none.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], upper) } else { upper })
}

/// The median of a ratio, which is taken within each run: between two of them the machine changes its pace.
pub fn median_ratio<'r>(
    runs: impl Iterator<Item = (&'r Figures, &'r Figures)>,
    [above, below]: [&str; 2],
) -> Option<f64> {
    median(runs.filter_map(|(one, other)| Some(one.get(above)? / other.get(below)?)))
}

/// Four digits that count.
fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}
