//! Figures beside their goals, for people and for programs.

use super::load::Seen;
use serde_json::{Value, json};
use std::time::Duration;

/// Everything that was measured.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    details: Vec<(String, Value)>,
}

struct Row {
    figure: String,
    value: String,
    goal: String,
    met: bool,
    /// It depends on how fast and how quiet the machine is.
    timing: bool,
}

impl Report {
    /// A figure that must hold anywhere.
    pub fn must(&mut self, figure: &str, value: impl ToString, goal: &str, met: bool) {
        self.row(figure, value.to_string(), goal, met, false);
    }

    /// A figure that depends on the machine.
    pub fn should(&mut self, figure: &str, value: impl ToString, goal: &str, met: bool) {
        self.row(figure, value.to_string(), goal, met, true);
    }

    fn row(&mut self, figure: &str, value: String, goal: &str, met: bool, timing: bool) {
        let row = Row { figure: figure.to_owned(), value, goal: goal.to_owned(), met, timing };
        println!("| {} | {} | {} | {} |", row.figure, row.value, row.goal, if met { "yes" } else { "NO" });
        self.rows.push(row);
    }

    /// What a load saw, in full.
    pub fn detail(&mut self, name: &str, seen: &Seen) {
        let times = |histogram: &super::histogram::Histogram| {
            json!({
                "count": histogram.count(),
                "p50_ms": millis(histogram.quantile(0.5)),
                "p99_ms": millis(histogram.quantile(0.99)),
                "max_ms": millis(histogram.max()),
            })
        };
        let detail = json!({
            "seconds": seen.elapsed.as_secs_f64(),
            "goodput": seen.goodput(),
            "answered": seen.answered(),
            "missed": seen.missed,
            "statuses": seen.statuses.iter().map(|(status, count)| (status.to_string(), json!(count))).collect::<serde_json::Map<_, _>>(),
            "accepted": times(&seen.accepted),
            "refused": times(&seen.refused),
        });
        eprintln!("{name}: {detail}");
        self.details.push((name.to_owned(), detail));
    }

    /// Whether every goal is met; where `everywhere`, only those that hold on any machine.
    pub fn is_met(&self, everywhere: bool) -> bool {
        self.rows.iter().all(|row| row.met || (everywhere && row.timing))
    }

    pub fn to_json(&self) -> Value {
        let rows = self
            .rows
            .iter()
            .map(|row| json!({ "figure": row.figure, "value": row.value, "goal": row.goal, "met": row.met }));
        json!({ "figures": rows.collect::<Vec<_>>(), "loads": self.details.iter().cloned().collect::<serde_json::Map<_, _>>() })
    }
}

/// With one decimal.
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
