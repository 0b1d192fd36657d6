//! `countersign log audit`: every entry of a log read, its tree rebuilt and compared with what is signed.

use super::audit_source::{AuditSource, EntryCheck};
use super::log::{Opened, Readable, Source};
use super::log_reader::LogReader;
use super::metrics_file::{self, Entries};
use super::report::{Checks, Paint, table};
use super::{CliError, Output, encoding};
use crate::log::LogKind;
use crate::log::audit::{Audit, Report};
use crate::log::kind::LoggedEntry;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Audits the logs that are meant, each to its end, and says of each what was found.
pub fn run(source: &Source, metrics_file: Option<&Path>, output: &mut Output) -> Result<(), CliError> {
    metrics_file::observed(&metrics_file::AUDIT, metrics_file, |entries| {
        let runtime = super::runtime()?;
        let own = source.config.is_some();
        let mut found = Vec::new();
        for opened in source.open_all(&runtime)? {
            let kind = opened.reader.log().kind();
            if !found.is_empty() {
                output.say("")?;
            }
            found.push((kind, audit_log(opened, own, &runtime, entries, output)));
        }
        conclude(found, output)
    })
}

/// Whatever is wrong with one log, the others were audited too: one document of all of it, and one outcome.
fn conclude(found: Vec<(LogKind, Result<Audited, CliError>)>, output: &mut Output) -> Result<(), CliError> {
    let mut wrong = Vec::new();
    let documents = found.into_iter().map(|(kind, audited)| {
        let document = match audited {
            Ok(Audited { document, is_good: true }) => document,
            Ok(Audited { document, is_good: false }) => {
                wrong.push(format!("the {} is not what it should be", kind.name()));
                document
            }
            Err(error) => {
                wrong.push(format!("the {}: {}", kind.name(), error.message()));
                json!({ "consistent": false, "error": error.message() })
            }
        };
        (kind, document)
    });
    let documents: Vec<_> = documents.collect();
    let document = in_one(documents);
    if wrong.is_empty() {
        return output.json(&document);
    }
    let mut document = document;
    let words = wrong.join("\n");
    document["consistent"] = json!(false);
    document["error"] = json!(words);
    Err(CliError::refused(words).with_json(document))
}

/// What is said of several logs in one document: the first has its place at the top, the second is a member.
pub fn in_one(documents: Vec<(LogKind, Value)>) -> Value {
    let mut documents = documents.into_iter();
    let Some((_, mut whole)) = documents.next() else { return Value::Null };
    for (kind, document) in documents {
        whole[kind.section()] = document;
    }
    whole
}

/// What an audit that came to its end found.
struct Audited {
    document: Value,
    is_good: bool,
}

fn audit_log(
    opened: Opened,
    own: bool,
    runtime: &Runtime,
    entries: &mut Entries,
    output: &mut Output,
) -> Result<Audited, CliError> {
    let kind = opened.reader.log().kind();
    let mut checks = Checks::default();
    let Readable { reader, head, unsigned } = opened.readable(own, runtime)?;
    let signed = unsigned.is_none();
    match unsigned {
        None => {
            let time = if kind.is_dated() { format!(" at {}", head.timestamp) } else { String::new() };
            checks.ok("checkpoint", format!("{} entries, signed{time}", head.size));
        }
        // Without a server the sealed part can still be read; what it adds up to is signed by nobody.
        Some(words) => checks.not_checked("checkpoint", format!("no server answers: {words}")),
    }
    let reader = Arc::new(reader);
    let check = EntryCheck::of(reader.log());
    let corresponds =
        |index: u64, entry: &LoggedEntry<'_>, issuer: Option<&[u8]>| check.check(index, entry, issuer);
    let audit = Audit::of_head(head).of_kind(kind).corresponding(&corresponds);
    let mut tiles = AuditSource::new(reader.clone(), runtime.handle(), audit.tiles());
    let bar = output.progress(head.size, "entries");
    let audited = audit.run(&mut tiles, &mut |done, _| bar.set_position(done));
    bar.finish_and_clear();
    let audited =
        audited.map_err(|error| CliError::refused(format!("the log cannot be read to its end: {error}")))?;
    entries.note(kind, audited.entries);
    describe(&mut checks, kind, &audited, signed);
    report(&checks, &audited, &reader, output)
}

/// What was checked, in words.
fn describe(checks: &mut Checks, kind: LogKind, audited: &Report, signed: bool) {
    let Report { entries, data_tiles, hash_tiles, issuers, .. } = audited;
    if !signed {
        checks.not_checked(
            "unsealed entries",
            "the newest entries, up to a few hundred, are not in the files yet; the server alone has them",
        );
    }
    if audited.is_clean() && *entries > 0 {
        let words = match kind {
            LogKind::Certificates => {
                "each at its index, in order of time, and signed by the CA that it names"
            }
            LogKind::Signatures => "the first of them the log's own, each canonical",
        };
        checks.ok("entries", format!("{entries}, {words}"));
        checks.ok(
            "tiles",
            format!("{data_tiles} data tiles and {hash_tiles} hash tiles hold what the entries make"),
        );
        if kind == LogKind::Certificates {
            checks.ok("CA certificates", format!("{issuers}, as the entries name them"));
        }
    }
    for problem in &audited.problems {
        checks.failed("problem", problem.to_string());
    }
    if audited.abandoned {
        checks.failed("problem", "too much is wrong; the rest was not read");
    }
    match (signed, audited.is_clean()) {
        (true, true) => checks.ok("root", "the tree rebuilt from the entries is the one that the checkpoint signs"),
        (true, false) => checks.failed("root", "see the problems"),
        (false, _) => checks.not_checked(
            "root",
            "only what is sealed was read, and no checkpoint says what it must add up to; run this beside the server",
        ),
    }
}

fn report(
    checks: &Checks,
    audited: &Report,
    reader: &LogReader,
    output: &mut Output,
) -> Result<Audited, CliError> {
    let paint = Paint::for_stdout();
    let root = encoding::base64(&audited.head.map_or(audited.root, |head| head.root));
    let document = json!({
        "consistent": checks.passed(),
        "origin": reader.origin(),
        "size": audited.head.map_or(audited.size, |head| head.size),
        "entries": audited.entries,
        "data_tiles": audited.data_tiles,
        "hash_tiles": audited.hash_tiles,
        "issuers": audited.issuers,
        "root_hash": root,
        "problems": audited.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "abandoned": audited.abandoned,
        "checks": checks.to_json(),
    });
    let rows = [
        ("log", reader.origin().to_owned()),
        ("read from", reader.place()),
        ("entries", audited.entries.to_string()),
        ("root", root),
    ];
    output.say(table(&rows).trim_end())?;
    output.say(checks.to_text(paint).trim_end_matches('\n'))?;
    let is_good = checks.passed();
    if is_good {
        output.say(paint.good("Nothing is wrong with what was checked."))?;
    }
    Ok(Audited { document, is_good })
}
