//! `countersign policy dry-run`: new rules asked about what was issued, or about claims from a file.

use super::certificates::Issued;
use super::claims::{issuer, shown};
use super::list::ClaimsList;
use super::paper::Knowledge;
use super::replay::{Asked, Counts, Replay};
use super::rules::{DEFAULT_KEY, Rules, Source, key_kinds};
use crate::cli::audit_source::AuditSource;
use crate::cli::log::{self, Readable, Which};
use crate::cli::report::{Paint, printable};
use crate::cli::{CliError, Output, time};
use crate::environment::UnixMillis;
use crate::identity::extensions::ClaimsArc;
use crate::log::audit::Audit;
use crate::log::kind::LoggedEntry;
use crate::possession::KeyKind;
use serde_json::{Value as Json, json};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many groups are printed for people.
const MOST_LINES: usize = 50;

/// Ask new rules about everything that the log has, and list who would be refused
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Ask new rules about everything that the log has, and list who would be refused.\n\n\
        Every certificate in the log was issued, so whoever the new rules refuse would notice. With --against OLD the new rules \
        are compared with others, in both directions. In place of a log --claims takes a file with many claims sets, a JSON list or one \
        object a line. Who changes is listed by project and rule, with how many and an example.\n\n\
        The claims are read from the certificates: the raw GitLab claims, iss and sub. Where a certificate does not carry \
        what the rules ask for (another type of identity, the claims' arc turned off, user_login) nothing is guessed: it is \
        counted as not judged, with the reason. While the log is read its tree is rebuilt and compared with the signed root.",
    after_long_help = "Examples:\n  \
        countersign policy dry-run --policy new.yaml --config ca/countersign.yaml\n  \
        countersign policy dry-run --policy new.yaml --against old.yaml --config ca/countersign.yaml\n  \
        countersign policy dry-run --policy new.yaml --url https://ca.example.com/ct --key trusted_root.json\n  \
        countersign policy dry-run --policy new.yaml --claims claims.jsonl --json\n\n\
        Exit codes: 0 nobody would be refused; 1 somebody would, nothing could be judged, or the log cannot be read; 2 usage; \
        78 the rules or the configuration cannot be read."
)]
pub struct DryRunArgs {
    #[command(flatten)]
    pub source: Source,
    /// Compare with these rules instead of what happened
    #[arg(long, value_name = "OLD")]
    pub against: Option<PathBuf>,
    /// Base URL of the log, `https://ca.example.com/ct` for instance [default: the log of --config]
    #[arg(long, value_name = "URL", requires = "key")]
    pub url: Option<String>,
    /// The log's public key, PEM, or a trusted root that names it
    #[arg(long, value_name = "FILE", requires = "url")]
    pub key: Option<PathBuf>,
    /// The log's origin, the first line of its checkpoints [default: the URL without its scheme]
    #[arg(long, value_name = "ORIGIN", requires = "url")]
    pub origin: Option<String>,
    /// PEM certificates to trust for TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
    /// The arc of raw GitLab claims [default: the configuration's, else countersign's own]
    #[arg(long, value_name = "OID", value_parser = ClaimsArc::parse)]
    pub arc: Option<ClaimsArc>,
    /// Judge what was logged since then alone: RFC 3339 in UTC or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub since: Option<UnixMillis>,
    /// Claims sets in place of a log: a JSON list, or one object a line; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "since", "arc"])]
    pub claims: Option<PathBuf>,
    /// The type of the keys that certificates would be for
    #[arg(long, value_name = "TYPE", value_parser = key_kinds(), default_value = DEFAULT_KEY.code(), requires = "claims")]
    pub key_type: KeyKind,
}

/// Runs the command.
pub fn run(args: &DryRunArgs, output: &mut Output) -> Result<(), CliError> {
    let new = args.source.read(None)?;
    let old = args.against.as_deref().map(|file| new.others(file)).transpose()?;
    let warnings = new.warn(output);
    let (place, replay) = match &args.claims {
        Some(path) => (shown(path), from_claims(path, args.key_type, &new, old.as_ref(), output)?),
        None => from_log(args, &new, old.as_ref(), output)?,
    };
    conclude(&new, args.against.as_deref(), &place, &replay, warnings, output)
}

fn from_claims<'r>(
    path: &Path,
    key: KeyKind,
    new: &'r Rules,
    old: Option<&'r Rules>,
    output: &Output,
) -> Result<Replay<'r>, CliError> {
    let refuse = |words: String| CliError::refused(format!("{}: {words}", shown(path)));
    let (reader, length): (Box<dyn BufRead>, u64) = if path == Path::new("-") {
        (Box::new(io::stdin().lock()), 0)
    } else {
        let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        (Box::new(BufReader::new(file)), length)
    };
    let mut replay = Replay::new(new, old, Knowledge::Token);
    let bar = output.progress(length, "octets");
    let mut list = ClaimsList::new(reader);
    while let Some(claims) = list.next() {
        let claims = claims.map_err(refuse)?;
        let iss = issuer(&claims).map_err(|words| format!("it has {words}"));
        let iss = iss.and_then(|iss| {
            iss.or_else(|| new.first_issuer()).ok_or_else(|| "it names no issuer".to_owned())
        });
        replay.add(replay.counts.asked, iss.map(|iss| Asked { iss, claims: &claims, key }));
        bar.set_position(list.octets());
    }
    bar.finish_and_clear();
    Ok(replay)
}

fn from_log<'r>(
    args: &DryRunArgs,
    new: &'r Rules,
    old: Option<&'r Rules>,
    output: &mut Output,
) -> Result<(String, Replay<'r>), CliError> {
    if args.url.is_none() && args.source.config.is_none() {
        return Err(CliError::usage(
            "say what to ask about: --config FILE for the log of a server, --url URL and --key FILE, or --claims FILE",
        ));
    }
    let source = log::Source {
        log: Some(Which::Certificates),
        config: args.source.config.clone().filter(|_| args.url.is_none()),
        url: args.url.clone(),
        key: args.key.clone(),
        origin: args.origin.clone(),
        ca_certificate: args.ca_certificate.clone(),
    };
    let runtime = crate::cli::runtime()?;
    let own = source.config.is_some();
    let Readable { reader, head, unsigned } = source.open_one(&runtime)?.readable(own, &runtime)?;
    if let Some(words) = unsigned {
        if head.size == 0 {
            let words =
                format!("no server answers ({words}), and no entry is sealed in its files yet: start it");
            return Err(CliError::refused(words));
        }
        output.note(format_args!(
            "note: no server answers ({words}), so the newest entries, up to a few hundred, are not among these"
        ));
    }
    let arc = args.arc.clone().or_else(|| new.config.as_ref()?.claims_arc.clone()).unwrap_or_default();
    let since = args.since.unwrap_or(UnixMillis(0));
    let replay = RefCell::new(Replay::new(new, old, Knowledge::Certificate));
    let replay_entry = |index: u64, entry: &LoggedEntry<'_>, _: Option<&[u8]>| {
        if entry.place().is_none_or(|place| place.timestamp >= since) {
            let issued = Issued::of(entry, &arc);
            let asked = issued.as_ref().map(|Issued { iss, claims, key }| Asked { iss, claims, key: *key });
            replay.borrow_mut().add(index, asked.map_err(Clone::clone));
        }
        Ok(())
    };
    let place = reader.place();
    let reader = Arc::new(reader);
    let audit = Audit::of_head(head).corresponding(&replay_entry);
    let mut tiles = AuditSource::new(reader, runtime.handle(), audit.tiles());
    let bar = output.progress(head.size, "entries");
    let audited = audit.run(&mut tiles, &mut |done, _| bar.set_position(done));
    bar.finish_and_clear();
    let audited =
        audited.map_err(|error| CliError::refused(format!("the log cannot be read to its end: {error}")))?;
    if let Some(problem) = audited.problems.first() {
        return Err(CliError::refused(format!(
            "the log is not what it should be ({problem}), so nothing follows from it; `countersign log audit` says more"
        )));
    }
    Ok((place, replay.into_inner()))
}

fn conclude(
    rules: &Rules,
    against: Option<&Path>,
    place: &str,
    replay: &Replay<'_>,
    warnings: Json,
    output: &mut Output,
) -> Result<(), CliError> {
    let counts = replay.counts;
    let mut document = replay.to_json();
    document["policy"] = json!(rules.file.display().to_string());
    document["against"] = json!(against.map(|path| path.display().to_string()));
    document["read_from"] = json!(place);
    document["warnings"] = warnings;
    say(place, replay, output)?;
    let Counts { asked, refused, not_judged, .. } = counts;
    if refused > 0 {
        let words = format!("{refused} of {asked} would be refused by {}", rules.file.display());
        return Err(CliError::refused(words).with_json(document));
    }
    if asked > 0 && not_judged == asked {
        let words = format!("none of {asked} can be judged, so nothing is known of {}", rules.file.display());
        return Err(CliError::refused(words).with_json(document));
    }
    let words = match (asked, not_judged) {
        (0, _) => "There is nothing to ask about.".to_owned(),
        (_, 0) => "Nobody would be refused.".to_owned(),
        (_, open) => {
            format!("Nobody would be refused, as far as can be told: {open} of {asked} cannot be judged.")
        }
    };
    output.say(Paint::for_stdout().good(&words))?;
    output.json(&document)
}

fn say(place: &str, replay: &Replay<'_>, output: &mut Output) -> Result<(), CliError> {
    let Counts { asked, still_allowed, still_refused, refused, newly_allowed, not_judged } = replay.counts;
    output.say(Paint::for_stdout().strong(&format!("{asked} asked about, from {}", printable(place))))?;
    for (count, words) in [
        (still_allowed, "are allowed as before"),
        (still_refused, "are refused as before"),
        (refused, "would be refused"),
        (newly_allowed, "would be allowed that were refused"),
        (not_judged, "cannot be judged:"),
    ] {
        if count > 0 {
            output.say(format_args!("{count:>8}  {words}"))?;
        }
    }
    for line in replay.not_judged_lines() {
        output.say(printable(&line))?;
    }
    let (lines, groups) = replay.group_lines(MOST_LINES);
    for line in lines {
        output.say(printable(&line))?;
    }
    if groups > MOST_LINES {
        output.say(format_args!("  … and {} more groups; --json has them all", groups - MOST_LINES))?;
    }
    Ok(())
}
