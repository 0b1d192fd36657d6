//! The figures as a picture: three panels of bars, one group for each number of connections.

use crate::figures::Rows;
use crate::run::CONNECTIONS;
use std::fmt::Write as _;

/// Colours of subjects; each has a lighter and a darker one beside it, for p50 and the maximum.
const COLOURS: [[&str; 3]; 2] = [["#9cc3e6", "#2f6fb0", "#173a5e"], ["#f2c299", "#d0742b", "#6e3a10"]];
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 420.0;
const TOP: f64 = 90.0;
const BOTTOM: f64 = 350.0;

/// A panel's place and scale.
struct Panel {
    left: f64,
    width: f64,
    top_value: f64,
    /// The value at the bottom of a logarithmic scale.
    lowest: Option<f64>,
}

impl Panel {
    fn y(&self, value: f64) -> f64 {
        let part = match self.lowest {
            Some(lowest) => (value / lowest).max(1.0).ln() / (self.top_value / lowest).ln(),
            None => value / self.top_value,
        };
        BOTTOM - (BOTTOM - TOP) * part.clamp(0.0, 1.0)
    }
}

/// Draws it; `note` stands below.
pub fn draw(rows: &Rows, note: &str) -> String {
    let mut subjects: Vec<&str> = rows.0.iter().map(|row| row.subject.as_str()).collect();
    subjects.dedup();
    subjects.truncate(COLOURS.len());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let top = |name: &str| highest(rows, &subjects, name);
    let ratio = Panel { left: 50.0, width: 270.0, top_value: top("cpu_to_bare").max(1.5), lowest: None };
    panel(&mut svg, rows, &subjects, &ratio, "CPU / bare cryptography", &["cpu_to_bare"], 2);
    for (value, name) in [(1.0, "bare"), (1.5, "goal")] {
        let (y, right) = (ratio.y(value), ratio.left + ratio.width);
        let _ = writeln!(
            svg,
            "<line x1=\"{}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#b03030\" stroke-dasharray=\"4 3\"/>\
             <text x=\"{}\" y=\"{:.1}\" fill=\"#b03030\" text-anchor=\"end\" font-size=\"10\">{name}</text>",
            ratio.left,
            ratio.left - 4.0,
            y + 3.0
        );
    }
    let rate = Panel { left: 380.0, width: 230.0, top_value: top("per_second"), lowest: None };
    panel(&mut svg, rows, &subjects, &rate, "certificates per second", &["per_second"], 0);
    let times = Panel { left: 660.0, width: 320.0, top_value: top("max_ms").max(1.0), lowest: Some(0.1) };
    let title = "latency: p50, p99, max (ms, logarithmic)";
    panel(&mut svg, rows, &subjects, &times, title, &["p50_ms", "p99_ms", "max_ms"], 1);
    for (index, subject) in subjects.iter().enumerate() {
        let x = 50.0 + 160.0 * index as f64;
        let colour = COLOURS[index][1];
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"12\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"22\" font-size=\"14\">{}</text>",
            x + 18.0,
            escaped(subject)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"50\" y=\"{}\" fill=\"#555555\" font-size=\"11\">{}</text>\n</svg>",
        HEIGHT - 12.0,
        escaped(note)
    );
    svg
}

/// One group of bars for each number of connections: for each subject, one bar for each figure.
fn panel(
    svg: &mut String,
    rows: &Rows,
    subjects: &[&str],
    panel: &Panel,
    title: &str,
    names: &[&str],
    digits: usize,
) {
    let (left, right) = (panel.left, panel.left + panel.width);
    let _ = writeln!(
        svg,
        "<text x=\"{left}\" y=\"50\" font-size=\"14\" font-weight=\"bold\">{title}</text>\
         <line x1=\"{left}\" x2=\"{right}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\" stroke=\"#333333\"/>\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#333333\">connections</text>",
        left + panel.width / 2.0,
        BOTTOM + 34.0
    );
    let group = panel.width / CONNECTIONS.len() as f64;
    let bar = group * 0.86 / (subjects.len() * names.len()) as f64;
    for (number, connections) in CONNECTIONS.iter().enumerate() {
        let start = left + group * (number as f64 + 0.07);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{connections}</text>",
            start + group * 0.43,
            BOTTOM + 17.0
        );
        let bars = subjects.iter().enumerate().flat_map(|(of, subject)| {
            names.iter().enumerate().map(move |(which, name)| (of, *subject, which, *name))
        });
        for (turn, (of, subject, which, name)) in bars.enumerate() {
            let value = rows.median(subject, &load(*connections), name).unwrap_or_default();
            let (x, y) = (start + bar * turn as f64, panel.y(value));
            let colour = COLOURS[of][if names.len() == 1 { 1 } else { which }];
            let digits = if value < 10.0 { digits } else { 0 };
            let (middle, above) = (x + bar / 2.0, y - 4.0);
            // Narrow bars have their figures upright.
            let place = if bar < 26.0 {
                format!("transform=\"translate({:.1} {above:.1}) rotate(-90)\"", middle + 3.5)
            } else {
                format!("x=\"{middle:.1}\" y=\"{above:.1}\" text-anchor=\"middle\"")
            };
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\
                 <text {place} font-size=\"10\">{value:.digits$}</text>",
                bar - 1.5,
                BOTTOM - y
            );
        }
    }
}

fn load(connections: usize) -> String {
    if connections == 1 { "1 connection".into() } else { format!("{connections} connections") }
}

fn highest(rows: &Rows, subjects: &[&str], name: &str) -> f64 {
    let all = subjects.iter().flat_map(|subject| {
        CONNECTIONS.iter().filter_map(|connections| rows.median(subject, &load(*connections), name))
    });
    all.fold(0.0, f64::max)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
