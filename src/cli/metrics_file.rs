//! What commands that run from cron leave for Prometheus: a file for node_exporter's textfile collector, replaced in one
//! step. It says how the last run ended, and when one last ended well, which is what an alarm asks.

use super::CliError;
use super::files::{self, Existing};
use crate::environment::UnixMillis;
use crate::log::LogKind;
use crate::server::environment::Environment;
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// A command with metrics of its own.
#[derive(Debug)]
pub struct Family {
    /// What the names begin with.
    pub prefix: &'static str,
    /// What it does, in the texts.
    noun: &'static str,
}

/// `log audit`.
pub const AUDIT: Family = Family { prefix: "countersign_log_audit", noun: "audit" };
/// `backup`.
pub const BACKUP: Family = Family { prefix: "countersign_backup", noun: "backup" };

/// What each of them has, by the end of its name.
pub const GAUGES: [&str; 6] = [
    "success",
    "timestamp_seconds",
    "last_success_timestamp_seconds",
    "entries",
    "duration_seconds",
    "signature_entries",
];

/// What a run counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entries {
    /// Of the certificate log.
    pub certificates: u64,
    /// Of the signature log, where there is one.
    pub signatures: Option<u64>,
}

impl Entries {
    /// Notes how many entries a log has.
    pub fn note(&mut self, kind: LogKind, entries: u64) {
        match kind {
            LogKind::Certificates => self.certificates = entries,
            LogKind::Signatures => self.signatures = Some(entries),
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    success: bool,
    ended: UnixMillis,
    last_success: Option<UnixMillis>,
    entries: Entries,
    took: Duration,
}

/// Does the work, which counts entries, and writes how it ended, also where it failed. A usage error, or a refused
/// configuration, is a failure too: the alarm is for whoever believes that there are audits.
pub fn observed(
    family: &Family,
    file: Option<&Path>,
    work: impl FnOnce(&mut Entries) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let Environment { clock, stopwatch, .. } = Environment::system();
    let (began, mut entries) = (stopwatch.elapsed(), Entries::default());
    let done = work(&mut entries);
    let Some(file) = file else { return done };
    let ended = clock.now();
    let success = done.is_ok();
    let last_success = if success { Some(ended) } else { last_success(family, file) };
    let run = Run { success, ended, last_success, entries, took: stopwatch.elapsed().saturating_sub(began) };
    let written = files::write(file, family.text(&run).as_bytes(), false, Existing::Replace);
    match (done, written) {
        (Err(failed), Err(unwritten)) => Err(failed.with_advice(&format!("and {}", unwritten.message()))),
        (done, written) => done.and(written),
    }
}

impl Family {
    fn text(&self, run: &Run) -> String {
        let Self { prefix, noun } = self;
        let seconds = |time: UnixMillis| format!("{}.{:03}", time.as_secs(), time.0 % 1000);
        let [success, timestamp, last, entries, duration, signatures] = GAUGES;
        let rows = [
            (
                success,
                format!("1 when the last {noun} succeeded, else 0."),
                Some(u8::from(run.success).to_string()),
            ),
            (timestamp, format!("When the last {noun} ended."), Some(seconds(run.ended))),
            (last, format!("When the last {noun} that succeeded ended."), run.last_success.map(seconds)),
            (
                entries,
                format!("Entries of the certificate log in the last {noun}."),
                Some(run.entries.certificates.to_string()),
            ),
            (
                duration,
                format!("How long the last {noun} took."),
                Some(format!("{:.3}", run.took.as_secs_f64())),
            ),
            (
                signatures,
                format!("Entries of the signature log in the last {noun}."),
                run.entries.signatures.map(|entries| entries.to_string()),
            ),
        ];
        rows.into_iter().filter_map(|(name, help, value)| Some((name, help, value?))).fold(
            String::new(),
            |mut text, (name, help, value)| {
                let _ = write!(
                    text,
                    "# HELP {prefix}_{name} {help}\n# TYPE {prefix}_{name} gauge\n{prefix}_{name} {value}\n"
                );
                text
            },
        )
    }
}

/// What the file says of the last success: it is carried on through failures. A file that cannot be read says nothing.
fn last_success(family: &Family, file: &Path) -> Option<UnixMillis> {
    let mut text = String::new();
    std::fs::File::open(file).ok()?.take(64 * 1024).read_to_string(&mut text).ok()?;
    let name = format!("{}_{} ", family.prefix, GAUGES[2]);
    let value: f64 = text.lines().find_map(|line| line.strip_prefix(&name))?.trim().parse().ok()?;
    // Rounded, so that it is the millisecond that was written.
    let time = Duration::try_from_secs_f64(value + 0.0005).ok()?;
    Some(UnixMillis(u64::try_from(time.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output;

    fn read(file: &Path) -> String {
        std::fs::read_to_string(file).unwrap()
    }

    #[test]
    fn a_failure_keeps_the_time_of_the_last_success() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("audit.prom");
        let fail = || observed(&AUDIT, Some(&file), |_| Err(CliError::refused("it is wrong")));
        assert_eq!(fail().unwrap_err().code(), output::REFUSED);
        let first = read(&file);
        assert!(first.contains("\ncountersign_log_audit_success 0\n"), "{first}");
        assert!(!first.contains("last_success"), "there was none: {first}");

        observed(&AUDIT, Some(&file), |entries| {
            *entries = Entries { certificates: 7, signatures: Some(9) };
            Ok(())
        })
        .unwrap();
        let good = read(&file);
        assert!(good.contains("\ncountersign_log_audit_success 1\n"), "{good}");
        assert!(good.contains("\ncountersign_log_audit_entries 7\n"), "{good}");
        assert!(good.contains("\ncountersign_log_audit_signature_entries 9\n"), "{good}");
        assert!(!first.contains("signature_entries"), "none was read: {first}");
        for end in GAUGES {
            assert!(good.contains(&format!("# TYPE countersign_log_audit_{end} gauge\n")), "{end}: {good}");
        }
        let line = |text: &str| {
            let found = text.lines().find(|line| line.starts_with("countersign_log_audit_last_success"));
            found.map(str::to_owned)
        };
        fail().unwrap_err();
        assert!(line(&good).is_some());
        assert_eq!(line(&read(&file)), line(&good));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_a_failure() {
        let nowhere = Path::new("/nowhere/audit.prom");
        assert!(observed(&BACKUP, Some(nowhere), |_| Ok(())).is_err());
        let both = observed(&BACKUP, Some(nowhere), |_| Err(CliError::configuration("first"))).unwrap_err();
        assert_eq!(both.code(), output::CONFIGURATION);
        assert!(both.message().contains("first") && both.message().contains("/nowhere"), "{both}");
    }
}
