//! `countersign policy explain`: what rules make of one token, step by step.

use super::claims::{self, shown};
use super::paper::{self, Answer, Knowledge, Stage};
use super::rules::{DEFAULT_KEY, Rules, Source, effect, key_kinds, mode};
use crate::cli::report::{Paint, duration, printable, table};
use crate::cli::{CliError, Output};
use crate::condition::{Step, Undecided, Value};
use crate::identity::gitlab::SubjectMode;
use crate::policy::{Decision, Mode, Outcome, RequestFacts, Rule, Tightening};
use crate::possession::KeyKind;
use serde_json::{Map, Value as Json, json};
use std::path::{Path, PathBuf};

/// Show step by step what rules make of a token's claims
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Show step by step what rules make of a token's claims.\n\n\
        Every rule is shown in order with the parts of its condition, whether each holds, and the claims that it asks \
        for; then which rule decides, what the caller is told, and what the rule makes of the certificate.\n\n\
        Nothing of the token is verified, and it is never printed: whether it is good, `countersign token --config` tells.",
    after_long_help = "Examples:\n  \
        countersign policy explain --token token.jwt --config ca/countersign.yaml\n  \
        printf %s \"$SIGSTORE_ID_TOKEN\" | countersign policy explain --token - --policy policy.yaml\n  \
        countersign policy explain --claims claims.json --policy policy.yaml --key-type ed25519\n\n\
        Exit codes: 0 a certificate is allowed, 1 it is refused, 2 usage, 78 the rules cannot be read."
)]
#[command(group = clap::ArgGroup::new("whose").args(["token", "claims"]).required(true))]
pub struct ExplainArgs {
    /// The file of an ID token; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub token: Option<PathBuf>,
    /// A file of claims, a JSON object; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub claims: Option<PathBuf>,
    #[command(flatten)]
    pub source: Source,
    /// The type of the key that the certificate would be for
    #[arg(long, value_name = "TYPE", value_parser = key_kinds(), default_value = DEFAULT_KEY.code())]
    pub key_type: KeyKind,
}

/// Runs the command.
pub fn run(args: &ExplainArgs, output: &mut Output) -> Result<(), CliError> {
    let rules = args.source.read(None)?;
    let (Some(path), is_token) = (args.token.as_ref().or(args.claims.as_ref()), args.token.is_some()) else {
        return Err(CliError::usage("give --token FILE or --claims FILE"));
    };
    let claims = claims::from_file(path)?;
    let warnings = rules.warn(output);
    let named = claims::issuer(&claims)
        .map_err(|words| CliError::refused(format!("{}: the claims have {words}", shown(path))))?;
    let iss = match (named, rules.first_issuer()) {
        (Some(iss), _) => iss,
        (None, Some(first)) if !is_token => first,
        (None, _) => return Err(CliError::refused(format!("{}: the claims have no iss", shown(path)))),
    };
    let Some(label) = rules.label(iss) else {
        let words = format!(
            "the issuer {iss} is not listed in {}: its tokens are refused before any rule is read",
            rules.file.display()
        );
        return Err(CliError::refused(words));
    };
    let request = RequestFacts { issuer: label, iss, claims: &claims, key: args.key_type };
    let answer = paper::ask(&rules, &request, Knowledge::Token);
    let notes = notes(&rules, &request, &answer);
    Explanation { rules: &rules, request, answer, notes, path }.show(warnings, output)
}

/// What the author of the claims should know.
fn notes(rules: &Rules, request: &RequestFacts<'_>, answer: &Answer<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if answer.stage == Stage::Identity {
        notes.push(
            "such a token is refused before any rule is read; what is said of the rules holds where it is not"
                .to_owned(),
        );
    }
    if let Some(open) = &answer.open {
        notes.push(format!("the certificate's names were not made: {open}"));
    }
    notes.extend(claims::unknown(rules, request.iss, request.claims));
    notes
}

struct Explanation<'e> {
    rules: &'e Rules,
    request: RequestFacts<'e>,
    answer: Answer<'e>,
    notes: Vec<String>,
    path: &'e Path,
}

impl Explanation<'_> {
    fn show(&self, warnings: Json, output: &mut Output) -> Result<(), CliError> {
        let readings = self.rules.policy.readings(&self.request);
        let decision = &self.answer.decision;
        let document = self.document(&readings, warnings);
        let paint = Paint::for_stdout();
        if !output.is_json() {
            self.notes.iter().for_each(|note| output.note(format_args!("note: {}", printable(note))));
        }
        output.say(paint.doubtful(&format!(
            "NOT VERIFIED: nobody looked at a signature or at times; anybody can write such claims ({}).",
            shown(self.path)
        )))?;
        let rows = [
            ("issuer", self.request.iss.to_owned()),
            ("key", self.request.key.code().to_owned()),
            ("rules", self.rules.file.display().to_string()),
        ];
        output.say(table(&rows).trim_end())?;
        for (at, (rule, outcome)) in readings.iter().enumerate() {
            output.say(paint.strong(&format!("{}. {}", at + 1, printable(&headline(rule, outcome)))))?;
            if *outcome != Outcome::OfOthers && *outcome != Outcome::NotRead {
                self.say_steps(rule, output)?;
            }
        }
        let tightening = tightening_of(decision);
        let Some(refusal) = &self.answer.refusal else {
            let by = match decision.rule() {
                Some(rule) => format!("Allowed by the rule \"{rule}\"."),
                None => "Allowed: no rule in force is about this issuer.".to_owned(),
            };
            output.say(paint.good(&printable(&by)))?;
            let rows = tightening.map(tightening_rows).unwrap_or_default();
            if !rows.is_empty() {
                output.say("The certificate:")?;
                output.say(table(&rows).trim_end())?;
            }
            return output.json(&document);
        };
        let why = match (self.answer.stage, decision) {
            (Stage::Identity, _) => {
                let rule = refusal.rule().map(|rule| format!(" by {rule}")).unwrap_or_default();
                format!("such a token is refused{rule} before any rule is read")
            }
            (Stage::Certificate, Decision::Allowed(rule)) => {
                format!("the rule \"{}\" allows it, and the certificate cannot be made as it says", rule.name)
            }
            (Stage::Certificate | Stage::Rules, _) => {
                format!("the certificate is refused by \"{}\"", refusal.rule().unwrap_or_default())
            }
        };
        let told = format!("{why}; the caller is told\n  {refusal}");
        Err(CliError::refused(told.lines().map(printable).collect::<Vec<_>>().join("\n")).with_json(document))
    }

    fn say_steps(&self, rule: &Rule, output: &mut Output) -> Result<(), CliError> {
        for step in rule.when.iter().flat_map(|condition| condition.steps(&self.request)) {
            let holds = match &step.holds {
                Ok(true) => "true ".to_owned(),
                Ok(false) => "false".to_owned(),
                Err(Undecided(_)) if !step.is_asked => "-    ".to_owned(),
                Err(Undecided(_)) => "?????".to_owned(),
            };
            let why = match &step.holds {
                Err(_) if !step.is_asked => " (is not asked)".to_owned(),
                Err(undecided) => format!(" ({undecided})"),
                Ok(_) => String::new(),
            };
            let facts: Vec<_> =
                step.facts.iter().map(|(name, value)| format!("{name} {}", is(value.as_ref()))).collect();
            let facts = if facts.is_empty() { String::new() } else { format!("   [{}]", facts.join(", ")) };
            let line = format!("{}{}{why}{facts}", "  ".repeat(step.depth), step.text);
            output.say(format_args!("   {holds} {}", printable(&line)))?;
        }
        Ok(())
    }

    fn document(&self, readings: &[(&Rule, Outcome)], warnings: Json) -> Json {
        let Answer { decision, refusal, .. } = &self.answer;
        let rules: Vec<_> = readings
            .iter()
            .map(|(rule, outcome)| {
                let is_read = !matches!(outcome, Outcome::OfOthers | Outcome::NotRead);
                let conditions = rule.when.iter().filter(|_| is_read);
                let steps: Vec<_> =
                    conditions.flat_map(|condition| condition.steps(&self.request)).map(step_json).collect();
                json!({
                    "rule": *rule.name, "effect": effect(rule), "mode": mode(rule),
                    "outcome": word(rule, outcome), "steps": steps,
                })
            })
            .collect();
        json!({
            "verified": false,
            "issuer": self.request.iss,
            "key_type": self.request.key.code(),
            "policy": self.rules.file.display().to_string(),
            "allowed": self.answer.is_allowed(),
            "rule": self.answer.rule(),
            "message": self.answer.message(),
            "refusal": refusal.as_ref().map(|refusal| json!({
                "reason": refusal.reason().code(), "rule": refusal.rule(), "text": refusal.to_string(),
            })),
            "certificate": tightening_of(decision).filter(|_| self.answer.is_allowed()).map(tightening_json),
            "rules": rules,
            "notes": self.notes,
            "warnings": warnings,
        })
    }
}

/// What became of a rule, for programs.
fn word(rule: &Rule, outcome: &Outcome) -> &'static str {
    match (outcome, rule.mode) {
        (Outcome::OfOthers, _) => "of other issuers",
        (Outcome::NotRead, _) => "not read",
        (Outcome::Passed, _) => "does not hold",
        (Outcome::Decides(Err(_)), Mode::Enforce) => "cannot be decided",
        (Outcome::Decides(Ok(())), Mode::Enforce) => "decides",
        (Outcome::Decides(_), Mode::Warn) => "would decide",
    }
}

/// The same for people.
fn headline(rule: &Rule, outcome: &Outcome) -> String {
    let words = match (outcome, rule.mode) {
        (Outcome::OfOthers, _) => "is about other issuers",
        (Outcome::NotRead, _) => "is not read: the decision was made before",
        (Outcome::Passed, _) => "does not hold",
        (Outcome::Decides(Err(_)), Mode::Enforce) => "cannot be decided, which refuses",
        (Outcome::Decides(Ok(())), Mode::Enforce) if rule.when.is_none() => "has no condition, and decides",
        (Outcome::Decides(Ok(())), Mode::Enforce) => "holds, and decides",
        (Outcome::Decides(_), Mode::Warn) => "would decide, and is on trial (mode: warn)",
    };
    format!("{} ({}): {words}", rule.name, effect(rule))
}

fn is(value: Option<&Value>) -> String {
    match value {
        None => "is absent".to_owned(),
        Some(Value::Group) => "is there".to_owned(),
        Some(value) => format!("is {}", value_json(value)),
    }
}

fn value_json(value: &Value) -> Json {
    match value {
        Value::Bool(yes) => json!(yes),
        Value::Int(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Texts(texts) => json!(texts),
        Value::Time(time) => json!(time.to_string()),
        Value::Group => json!({}),
    }
}

fn step_json(step: Step) -> Json {
    let facts: Map<_, _> = step
        .facts
        .iter()
        .map(|(name, value)| (name.clone(), value.as_ref().map_or(Json::Null, value_json)))
        .collect();
    let (holds, undecided) = match step.holds {
        Ok(holds) => (json!(holds), Json::Null),
        Err(Undecided(_)) if !step.is_asked => (Json::Null, Json::Null),
        Err(Undecided(words)) => (Json::Null, json!(words)),
    };
    json!({ "depth": step.depth, "text": step.text, "holds": holds, "undecided": undecided, "asked": step.is_asked, "claims": facts })
}

const fn tightening_of<'d>(decision: &Decision<'d>) -> Option<&'d Tightening> {
    match decision {
        Decision::Allowed(rule) => rule.effect.tightening(),
        _ => None,
    }
}

fn tightening_rows(tightening: &Tightening) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    if let Some(validity) = tightening.validity {
        rows.push(("validity".to_owned(), format!("{} at most", duration(validity))));
    }
    if !tightening.key_types.is_empty() {
        rows.push(("key types".to_owned(), codes(tightening).join(", ")));
    }
    if let Some(subject) = tightening.subject {
        rows.push(("subject".to_owned(), subject_word(subject).to_owned()));
    }
    for extension in &tightening.extensions {
        rows.push((extension.oid.to_string(), format!("the claim {}", extension.claim)));
    }
    rows
}

fn tightening_json(tightening: &Tightening) -> Json {
    let extensions =
        tightening.extensions.iter().map(|it| json!({ "oid": it.oid.to_string(), "claim": it.claim }));
    json!({
        "validity_seconds": tightening.validity.map(|validity| validity.as_secs()),
        "key_types": codes(tightening),
        "subject": tightening.subject.map(subject_word),
        "extensions": extensions.collect::<Vec<_>>(),
    })
}

fn codes(tightening: &Tightening) -> Vec<&'static str> {
    tightening.key_types.iter().map(|kind| kind.code()).collect()
}

const fn subject_word(subject: SubjectMode) -> &'static str {
    match subject {
        SubjectMode::PipelineDefinition => "pipeline-definition",
        SubjectMode::Project => "project",
    }
}
