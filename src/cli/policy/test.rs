//! `countersign policy test`: the operator's own cases.

use super::cases::{self, Case, POLICY_FILES};
use super::coverage::Coverage;
use super::paper::{self, Answer, Knowledge, Stage};
use super::rules::Source;
use crate::cli::report::{Paint, printable};
use crate::cli::{CliError, Output};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

/// Run your own cases against rules, and say which rules they reach
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Run your own cases against rules, and say which rules they reach.\n\n\
        A case says which claims are asked about and what is expected: allow or deny, and by which rule. Every file .yaml, .yml \
        and .json of the directory is read; unknown keys are errors with their line. The rules are those of policy.yaml in the \
        directory, unless an option names others. At the end stands what became of each rule; rules that no case reaches \
        are named.\n\n\
        Claims that say the same (ref, ref_type, ref_path, ci_config_ref_uri) have to agree, as in a token: a case that is refused \
        before any rule is read is an error, unless it expects just that (rule: gitlab-6 for a fork).",
    after_long_help = "A file of cases:\n  \
        cases:\n  \
        - name: a protected tag of ours may sign\n    \
          claims: claims/release.json     # of a token, or the claims themselves\n    \
          # what differs; null: is absent\n    \
          set: { ref: v2, ref_path: refs/tags/v2, ci_config_ref_uri: null }\n    \
          expect: allow\n    \
          rule: acme releases             # the rule that decides; may be left out\n  \
        - name: a branch that anybody may push to may not\n    \
          issuer: https://gitlab.com      # else the claims' iss, else the first issuer\n    \
          key_type: ed25519               # else ecdsa-p256\n    \
          claims: claims/release.json\n    \
          set: { ref_protected: \"false\" }\n    \
          expect: deny\n\n\
        Examples:\n  \
        countersign policy test policy/\n  \
        countersign policy test policy/ --config ca/countersign.yaml\n\n\
        Exit codes: 0 every case is as expected, 1 not so, 2 usage, 78 the rules or the cases cannot be read."
)]
pub struct TestArgs {
    /// The directory of the cases
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    #[command(flatten)]
    pub source: Source,
}

/// Runs the command.
pub fn run(args: &TestArgs, output: &mut Output) -> Result<(), CliError> {
    let own = own_policy(&args.directory);
    let rules = args.source.read(own.as_deref())?;
    let warnings = rules.warn(output);
    let read = cases::read(&args.directory, &rules)?;
    let mut coverage = Coverage::of(&rules.policy);
    let results: Vec<_> = read
        .cases
        .iter()
        .map(|case| {
            let answer = paper::ask(&rules, &case.request(), Knowledge::Case);
            if answer.stage != Stage::Identity {
                coverage.add(&case.request());
            }
            Outcome::of(case, &answer)
        })
        .collect();
    say(&results, &read.notes, &coverage, output)?;
    let failed = results.iter().filter(|result| result.unexpected.is_some()).count();
    let document = json!({
        "ok": failed == 0,
        "policy": rules.file.display().to_string(),
        "cases": results.iter().map(Outcome::to_json).collect::<Vec<_>>(),
        "coverage": coverage.to_json(),
        "never_reached": coverage.never_reached(),
        "notes": read.notes,
        "warnings": warnings,
    });
    if failed == 0 {
        let count = match results.len() {
            1 => "The case is".to_owned(),
            count => format!("All {count} cases are"),
        };
        output.say(Paint::for_stdout().good(&format!("{count} as expected.")))?;
        return output.json(&document);
    }
    let words = format!("{failed} of {} cases are not as expected", results.len());
    Err(CliError::refused(words).with_json(document))
}

/// The rules beside the cases.
fn own_policy(directory: &Path) -> Option<PathBuf> {
    let files = POLICY_FILES.map(|name| directory.join(name));
    // Without any, the error names the first.
    files.iter().find(|file| file.is_file()).or(files.first()).cloned()
}

/// A case, and what became of it.
struct Outcome<'c> {
    case: &'c Case,
    allowed: bool,
    rule: Option<String>,
    message: Option<String>,
    warned: Vec<String>,
    /// Why it is not as expected.
    unexpected: Option<String>,
}

impl<'c> Outcome<'c> {
    fn of(case: &'c Case, answer: &Answer<'_>) -> Self {
        let (allowed, rule, message) = (answer.is_allowed(), answer.rule(), answer.message());
        let got = by(allowed, rule.as_deref());
        let unexpected = if allowed != case.allow {
            Some(format!("{got}, and expected is {}", by(case.allow, case.rule.as_deref())))
        } else if case.rule.as_deref().is_some_and(|expected| !answer.is_by(expected)) {
            Some(format!(
                "{got}, and expected is that by the rule {:?}",
                case.rule.as_deref().unwrap_or_default()
            ))
        } else {
            None
        };
        let warned = answer.warned.iter().map(|rule| rule.name.to_string()).collect();
        Self { case, allowed, rule, message, warned, unexpected }
    }

    fn to_text(&self, paint: Paint) -> String {
        let (word, detail) = match &self.unexpected {
            None => (paint.good("ok    "), by(self.allowed, self.rule.as_deref())),
            Some(words) => {
                let place = format!("{}:{}", self.case.file.display(), self.case.line);
                let said = self.message.as_deref().map(|message| format!("; it says: {message}"));
                (paint.bad("FAILED"), format!("{words}{} ({place})", said.unwrap_or_default()))
            }
        };
        let trial: String = self.warned.iter().map(|name| format!("; on trial: \"{name}\"")).collect();
        format!("  {word} {}: {}{}", printable(&self.case.name), printable(&detail), printable(&trial))
    }

    fn to_json(&self) -> Json {
        json!({
            "name": self.case.name,
            "file": self.case.file.display().to_string(),
            "line": self.case.line,
            "issuer": self.case.iss,
            "key_type": self.case.key.code(),
            "expected": { "effect": effect(self.case.allow), "rule": self.case.rule },
            "effect": effect(self.allowed),
            "rule": self.rule,
            "message": self.message,
            "on_trial": self.warned,
            "ok": self.unexpected.is_none(),
        })
    }
}

fn by(allowed: bool, rule: Option<&str>) -> String {
    match rule {
        Some(rule) => format!("{} by \"{rule}\"", effect(allowed)),
        None => effect(allowed).to_owned(),
    }
}

const fn effect(allowed: bool) -> &'static str {
    if allowed { "allow" } else { "deny" }
}

fn say(
    results: &[Outcome<'_>],
    notes: &[String],
    coverage: &Coverage<'_>,
    output: &mut Output,
) -> Result<(), CliError> {
    let paint = Paint::for_stdout();
    if !output.is_json() {
        notes.iter().for_each(|note| output.note(format_args!("note: {}", printable(note))));
    }
    output.say(paint.strong("Cases"))?;
    for result in results {
        output.say(result.to_text(paint))?;
    }
    output.say(paint.strong("Rules"))?;
    output.say(coverage.to_text().trim_end())?;
    for gap in coverage.gaps() {
        output.say(format_args!("  {}", paint.doubtful(&printable(&gap))))?;
    }
    Ok(())
}
