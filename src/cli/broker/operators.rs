//! `countersign broker leases`, `revoke` and `rotate`: what operators ask their own listener.

use super::connection::{Broker, Reach};
use super::exchange;
use crate::cli::client::broker::Ask;
use crate::cli::report::printable;
use crate::cli::{CliError, Output, files};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// How many leases one answer has.
const PAGE: &str = "1000";

/// Where the operators' listener is.
#[derive(Debug, clap::Args)]
pub struct Operators {
    /// Base URL of the operators' listener (`admin` in the configuration)
    #[arg(long, value_name = "URL", env = "COUNTERSIGN_ADMIN_URL", hide_env_values = true)]
    pub admin: String,
    #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
    #[command(flatten)]
    pub reach: Reach,
}

/// Which leases.
#[derive(Debug, Default, clap::Args)]
pub struct Which {
    /// Of this role
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// Of jobs of this project, by its path
    #[arg(long, value_name = "PATH")]
    pub project: Option<String>,
    /// Of the job with this number
    #[arg(long, value_name = "ID")]
    pub job: Option<String>,
    /// Of jobs that this user triggered
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

impl Which {
    fn fields(&self) -> Vec<(&'static str, &str)> {
        let fields =
            [("role", &self.role), ("project", &self.project), ("job", &self.job), ("user", &self.user)];
        fields.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
    }
}

/// List the tokens that were handed out
#[derive(Debug, clap::Args)]
#[command(
    long_about = "List the tokens that were handed out.\n\n\
        A line for each lease: its name, where it stands (intent, active, revoking, stuck, settling, revoked, aborted, abandoned, expired), when the broker ends it, its \
        role, kind and path, and the job that has it. Never a token. With --refused the requests of verified ID tokens that got none, the newest first.",
    after_long_help = "Examples:\n  \
        countersign broker leases --admin http://127.0.0.1:2112\n  \
        countersign broker leases --state stuck\n  \
        countersign broker leases --project acme/app --json\n  \
        countersign broker leases --refused --role bot\n\n\
        Exit codes: 0 listed, 1 the broker did not answer, 2 usage."
)]
pub struct LeasesArgs {
    #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
    #[command(flatten)]
    pub operators: Operators,
    #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
    #[command(flatten)]
    pub which: Which,
    /// That stand there: intent, active, revoking, stuck, settling, revoked, aborted, abandoned or expired
    #[arg(long, value_name = "STATE", value_parser = crate::broker::Phase::CODES)]
    pub state: Option<String>,
    /// List requests that were refused instead
    #[arg(long, conflicts_with = "state")]
    pub refused: bool,
}

/// Lists them.
pub fn leases(args: LeasesArgs, output: &mut Output) -> Result<(), CliError> {
    let broker = Broker::for_operators(&args.operators.admin, &args.operators.reach)?;
    let (path, name, line): (_, _, fn(&Value) -> String) = match args.refused {
        true => ("/v1/attempts", "refused", refused_line),
        false => ("/v1/leases", "leases", line),
    };
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut fields = args.which.fields();
        fields.push(("limit", PAGE));
        fields.extend(args.state.as_deref().map(|state| ("state", state)));
        fields.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let ask = Ask { method: Method::GET, path: path.to_owned(), fields, repeatable: true };
        let mut page = broker.ask_now(&ask, output)?;
        let Value::Array(listed) = page[name].take() else { return Err(no_broker()) };
        for one in &listed {
            output.say(line(one))?;
        }
        if output.is_json() {
            all.extend(listed);
        }
        let next = page["next"].as_str().map(str::to_owned);
        // The same again would go on for ever.
        if next.is_none() || next == cursor {
            return output.json(&json!({ name: all }));
        }
        cursor = next;
    }
}

fn no_broker() -> CliError {
    CliError::refused(
        "the answer is no list: is this the operators' listener of a countersign with a broker?",
    )
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or("-")
}

fn line(lease: &Value) -> String {
    let job = &lease["job"];
    let line = format!(
        "{}  {:8}  {}  {}  {}  {}  {} job {} by {}",
        text(lease, "id"),
        text(lease, "phase"),
        text(lease, "deadline"),
        text(lease, "role"),
        text(lease, "kind"),
        text(lease, "path"),
        text(job, "project_path"),
        text(job, "job_id"),
        text(job, "user"),
    );
    printable(&line).into_owned()
}

fn refused_line(attempt: &Value) -> String {
    let job = &attempt["job"];
    let time = attempt["time"].as_u64().map(|time| crate::environment::UnixMillis(time).to_string());
    let time = time.unwrap_or_else(|| text(attempt, "time").to_owned());
    let line = format!(
        "{time}  {}  {}  {} job {} by {}  {}",
        text(attempt, "outcome"),
        text(attempt, "role"),
        text(job, "project_path"),
        text(job, "job_id"),
        text(job, "user"),
        text(attempt, "detail"),
    );
    printable(&line).into_owned()
}

/// End tokens now
#[derive(Debug, clap::Args)]
#[command(
    long_about = "End tokens now.\n\n\
        On the operators' listener: one lease by its name, or all of a role, project, job or user, or all there are. They are told to die at once and \
        durably; GitLab confirms each within seconds where it is up (`broker leases --state revoking`). In a job: the token in a file, with --url.\n\n\
        With --abandon one lease is given up that cannot be ended, because its project is deleted and nobody can tell that the token died with it: it \
        is ten minutes late, and a call has failed or its instance does not answer. Its token is not revoked; see to that first.",
    after_long_help = "Examples:\n  \
        countersign broker revoke --admin http://127.0.0.1:2112 --lease 0123456789abcdef0123456789abcdef\n  \
        countersign broker revoke --project acme/app\n  \
        countersign broker revoke --all\n  \
        countersign broker revoke --lease 0123456789abcdef0123456789abcdef --abandon\n  \
        countersign broker revoke --url https://ca.example.com --token-file token\n\n\
        Exit codes: 0 told, 1 the broker did not do it, 2 usage."
)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true)
    .args(["lease", "role", "project", "job", "user", "all", "token_file"]))]
pub struct RevokeArgs {
    /// Base URL of the operators' listener (`admin` in the configuration)
    #[arg(long, value_name = "URL", env = "COUNTERSIGN_ADMIN_URL", hide_env_values = true)]
    pub admin: Option<String>,
    /// Base URL of the broker, for --token-file
    #[arg(long, value_name = "URL", env = "COUNTERSIGN_URL", hide_env_values = true)]
    pub url: Option<String>,
    /// The lease with this name
    #[arg(long, value_name = "LEASE", value_parser = lease_id, conflicts_with_all = ["role", "project", "job", "user", "all", "token_file"])]
    pub lease: Option<String>,
    /// Do not revoke it: give it up, since its token is dead or was ended by hand
    #[arg(long, requires = "lease", conflicts_with_all = ["role", "project", "job", "user", "all", "token_file"])]
    pub abandon: bool,
    #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
    #[command(flatten)]
    pub which: Which,
    /// All there are
    #[arg(long, conflicts_with_all = ["role", "project", "job", "user", "token_file"])]
    pub all: bool,
    /// The token in this file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["role", "project", "job", "user"])]
    pub token_file: Option<PathBuf>,
    #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
    #[command(flatten)]
    pub reach: Reach,
}

/// It stands in a path.
fn lease_id(text: &str) -> Result<String, String> {
    let id = crate::broker::LeaseId::parse(text).ok_or("a lease's name has 32 lower-case hex digits")?;
    Ok(id.to_string())
}

/// Ends them.
pub fn revoke(args: RevokeArgs, output: &mut Output) -> Result<(), CliError> {
    if let Some(file) = &args.token_file {
        let url =
            args.url.as_deref().ok_or_else(|| CliError::usage("--token-file needs --url, the broker's"))?;
        let broker = Broker::for_jobs(url, &args.reach)?;
        let octets = Zeroizing::new(files::read_up_to(file, "the token", 4096)?);
        let text = std::str::from_utf8(&octets).map(str::trim).ok().filter(|text| !text.is_empty());
        let token = text.ok_or_else(|| CliError::usage(format!("{} holds no token", file.display())))?;
        let ended = exchange::revoke(&broker, token, |line| output.note(printable(line)));
        broker.runtime.block_on(ended)?;
        output.say("the token is revoked, if the broker gave it")?;
        return output.json(&json!({ "revoked": true }));
    }
    let admin = args.admin.as_deref();
    let admin =
        admin.ok_or_else(|| CliError::usage("leases are ended on the operators' listener: give --admin"))?;
    let broker = Broker::for_operators(admin, &args.reach)?;
    let (path, mut fields) = match &args.lease {
        Some(lease) if args.abandon => (format!("/v1/leases/{lease}/abandon"), Vec::new()),
        Some(lease) => (format!("/v1/leases/{lease}/revoke"), Vec::new()),
        None => ("/v1/leases/revoke".to_owned(), args.which.fields()),
    };
    fields.extend(args.all.then_some(("all", "true")));
    let answer = broker.ask_now(&Ask { method: Method::POST, path, fields, repeatable: true }, output)?;
    if args.abandon {
        let lease = answer.get("lease").ok_or_else(no_broker)?;
        let number = lease["minted"]["id"]
            .as_u64()
            .map_or_else(|| "of no known number".to_owned(), |id| id.to_string());
        let line = format!(
            "given up: {} {}; its token may live: {number} at GitLab",
            text(lease, "kind"),
            text(lease, "name")
        );
        output.say(printable(&line))?;
        return output.json(&answer);
    }
    let count = answer["revoking"].as_u64().ok_or_else(no_broker)?;
    output.say(format_args!("{count} told to die"))?;
    output.json(&answer)
}

/// Replace a target's main credential now
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Replace a target's main credential now.\n\n\
        As the broker does by itself when it is due (`rotate` of the target): a new one is made, written down and tried before the old one ends, or \
        the credential rotates itself.",
    after_long_help = "Example:\n  \
        countersign broker rotate --admin http://127.0.0.1:2112 default\n\n\
        Exit codes: 0 replaced, 1 not, 2 usage."
)]
pub struct RotateArgs {
    #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
    #[command(flatten)]
    pub operators: Operators,
    /// The target's name in the configuration
    #[arg(value_name = "TARGET")]
    pub target: String,
}

/// Replaces it.
pub fn rotate(args: RotateArgs, output: &mut Output) -> Result<(), CliError> {
    let broker = Broker::for_operators(&args.operators.admin, &args.operators.reach)?;
    let name = percent_encoding::utf8_percent_encode(&args.target, percent_encoding::NON_ALPHANUMERIC);
    let path = format!("/v1/targets/{name}/rotate");
    // Not sent again when its answer was lost: it would be replaced twice.
    let answer =
        broker.ask_now(&Ask { method: Method::POST, path, fields: vec![], repeatable: false }, output)?;
    let end = answer["credential_expires_at"].as_str().unwrap_or("nobody knows when");
    let line = format!("{} has a new main credential, good until {end}", args.target);
    output.say(printable(&line))?;
    output.json(&answer)
}
