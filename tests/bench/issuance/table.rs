//! The figures as Markdown.

use crate::figures::{Figures, Rows, median_ratio};
use crate::run::{BESIDE_READERS, BY_THE_CLOCK, MIDDLE};
use crate::signing;
use std::fmt::Write as _;

/// Headings, figures, and digits after the point.
const ISSUING: [(&str, &str, usize); 12] = [
    ("certificates/s", "per_second", 0),
    ("p50 ms", "p50_ms", 2),
    ("p99 ms", "p99_ms", 2),
    ("max ms", "max_ms", 1),
    ("CPU µs", "cpu_us", 0),
    ("/ bare", "cpu_to_bare", 2),
    ("driver's CPU µs", "driver_us", 0),
    ("peak MiB", "peak_mib", 1),
    ("written B", "written", 0),
    ("beyond the entry", "beyond_entry", 2),
    ("group", "group", 1),
    ("bare sync ms", "bare_sync_ms", 2),
];
const READING: [(&str, &str, usize); 5] = [
    ("reads/s", "per_second", 0),
    ("p50 ms", "p50_ms", 2),
    ("p99 ms", "p99_ms", 2),
    ("CPU µs", "cpu_us", 0),
    ("driver's CPU µs", "driver_us", 0),
];
const SIGNING: [(&str, &str, usize); 7] = [
    ("a second", "per_second", 0),
    ("p50 ms", "p50_ms", 2),
    ("p99 ms", "p99_ms", 2),
    ("CPU µs", "cpu_us", 0),
    ("bare µs", "bare_us", 0),
    ("/ bare", "cpu_to_bare", 2),
    ("driver's CPU µs", "driver_us", 0),
];
const OVER_TIME: [(&str, &str, usize); 5] = [
    ("certificates", "certificates", 0),
    ("resident MiB", "resident_mib", 1),
    ("peak MiB", "peak_mib", 1),
    ("CPU µs", "cpu_us", 0),
    ("certificates/s", "per_second", 0),
];

/// Everything that was measured.
pub fn render(rows: &Rows, yardstick: &Figures, over_time: &[Figures], peer: Option<&str>) -> String {
    let mut text = String::new();
    let yard = |name: &str| yardstick.get(name).unwrap_or_default();
    let _ = writeln!(
        text,
        "Bare cryptography of a certificate: {:.0} µs of one core ({:.0} µs while all cores do it). An entry: {:.0} octets. Start-up: \
         {:.0} ms.\n",
        yard("bare_cryptography_us"),
        yard("bare_cryptography_all_cores_us"),
        yard("entry_octets"),
        yard("start_up_ms"),
    );
    let labelled = |kind: &'static str| {
        let chosen = rows.0.iter().filter_map(move |row| Some((row, of_kind(&row.load, kind)?)));
        chosen.map(|(row, load)| (vec![row.subject.clone(), load.to_owned()], row.medians()))
    };
    table(&mut text, &["server", "load"], &ISSUING, labelled(""));
    table(&mut text, &["server", "reading"], &READING, labelled("reading"));
    table(&mut text, &["server", "signing"], &SIGNING, labelled("signing"));
    table(&mut text, &[], &OVER_TIME, over_time.iter().map(|figures| (Vec::new(), figures.clone())));
    goals(&mut text, rows, yardstick);
    if let Some(peer) = peer {
        beside(&mut text, rows, peer);
    }
    text
}

/// The load without its kind, where it is of that one. Certificates have none.
fn of_kind<'l>(load: &'l str, kind: &str) -> Option<&'l str> {
    match load.split_once(": ") {
        Some((its, rest)) => (its == kind).then_some(rest),
        None => kind.is_empty().then_some(load),
    }
}

fn table(
    text: &mut String,
    labels: &[&str],
    columns: &[(&str, &str, usize)],
    rows: impl Iterator<Item = (Vec<String>, Figures)>,
) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let heads: Vec<&str> = labels.iter().copied().chain(columns.iter().map(|(head, ..)| *head)).collect();
    let _ = writeln!(text, "| {} |\n|{}", heads.join(" | "), "---|".repeat(heads.len()));
    for (mut cells, figures) in rows {
        cells.extend(columns.iter().map(|(_, name, digits)| {
            figures.get(name).map_or_else(String::new, |value| format!("{value:.digits$}"))
        }));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text.push('\n');
}

/// Our own figures beside what they are to reach.
fn goals(text: &mut String, rows: &Rows, yardstick: &Figures) {
    let own = |load: &str, name: &str| rows.median("countersign", load, name).unwrap_or_default();
    let bare = yardstick.get("bare_cryptography_us").unwrap_or_default() / 1e3;
    let floor = bare + own("1 connection", "bare_sync_ms") + 0.3;
    let of_the_clock = rows
        .row("countersign", BY_THE_CLOCK)
        .and_then(|row| median_ratio(row.runs.iter().map(|run| (run, run)), ["p99_ms", "p50_ms"]));
    let mut lines = vec![
        ("CPU / bare cryptography, 64 connections", own(MIDDLE, "cpu_to_bare"), 1.5, 2),
        (
            "p50 ms, 1 connection: bare sync + bare cryptography + 0.3 ms",
            own("1 connection", "p50_ms"),
            floor,
            2,
        ),
        ("p99 / p50 at 70 % of the peak, 64 connections", of_the_clock.unwrap_or_default(), 4.0, 2),
        ("peak MiB, 64 connections", own(MIDDLE, "peak_mib"), 64.0, 1),
        ("written beyond the entry / entry, 64 connections", own(MIDDLE, "beyond_entry"), 2.0, 2),
    ];
    if let Some(beside) = rows.median("countersign", BESIDE_READERS, "reads_p99_ms") {
        lines.push(("p99 ms of 2,000 reads/s beside issuing", beside, 0.0, 1));
    }
    for (what, figure) in [
        ("log entries", "CPU / (verification + Ed25519 signature) of a log entry over HTTP, 64 connections"),
        ("timestamps", "CPU / signature of a timestamp over HTTP, 64 connections"),
    ] {
        if let Some(ratio) = rows.median("countersign", &signing::name(what, 64), "cpu_to_bare") {
            // What both are without HTTP, for which the goal is, `--bench steps` tells.
            lines.push((figure, ratio, 0.0, 2));
        }
    }
    text.push_str("| figure | value | goal | met |\n|---|---|---|---|\n");
    for (figure, value, goal, digits) in lines {
        let (goal, met) = match goal {
            0.0 => (String::new(), ""),
            goal => (format!("≤ {goal:.digits$}"), if value <= goal { "yes" } else { "no" }),
        };
        let _ = writeln!(text, "| {figure} | {value:.digits$} | {goal} | {met} |");
    }
    let rate = own(MIDDLE, "per_second");
    let met = if rate >= 6000.0 { "yes" } else { "no" };
    let _ = writeln!(
        text,
        "| certificates/s, 64 connections, all cores, the driver's work included | {rate:.0} | ≥ 6000 | {met} |"
    );
}

/// How many times a peer needs what we need.
fn beside(text: &mut String, rows: &Rows, peer: &str) {
    let _ =
        writeln!(text, "\n| {peer} / countersign | CPU | p50 | p99 | peak memory |\n|---|---|---|---|---|");
    for row in rows.0.iter().filter(|row| row.subject == peer) {
        let Some(ours) = rows.row("countersign", &row.load) else { continue };
        let times = ["cpu_us", "p50_ms", "p99_ms", "peak_mib"].map(|name| {
            let ratio = median_ratio(row.runs.iter().zip(&ours.runs), [name, name]);
            format!("{:.1} ×", ratio.unwrap_or_default())
        });
        let _ = writeln!(text, "| {} | {} |", row.load, times.join(" | "));
    }
}
