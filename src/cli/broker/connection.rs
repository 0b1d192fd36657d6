//! To a broker, and what it answers: JSON, or an error of OAuth (RFC 6749 §5.2).

use crate::cli::client::Patience;
use crate::cli::client::broker::{Ask, Failed, Told};
use crate::cli::client::{Http, is_loopback};
use crate::cli::report::{printable, table};
use crate::cli::{CliError, Output};
use serde_json::{Value, json};
use std::path::PathBuf;
use tokio::runtime::Runtime;

/// How a broker is reached.
#[derive(Debug, clap::Args)]
pub struct Reach {
    /// PEM certificates to trust for TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
    /// How often to ask again when the broker is busy, out of service or out of reach
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub retries: u32,
}

/// A broker's API at a base URL.
pub struct Broker {
    http: Http,
    base: String,
    patience: Patience,
    pub runtime: Runtime,
}

impl Broker {
    /// For jobs, whose ID token must not cross a network in the clear.
    pub fn for_jobs(url: &str, reach: &Reach) -> Result<Self, CliError> {
        let parsed = parse(url)?;
        if parsed.scheme() == "http" && !is_loopback(&parsed) {
            return Err(CliError::usage(format!(
                "{url}: tokens would cross the network in the clear; use https://"
            )));
        }
        Self::new(url, reach)
    }

    /// For operators, whose listener is on their own network.
    pub fn for_operators(url: &str, reach: &Reach) -> Result<Self, CliError> {
        parse(url)?;
        Self::new(url, reach)
    }

    fn new(url: &str, reach: &Reach) -> Result<Self, CliError> {
        Ok(Self {
            http: Http::new(reach.ca_certificate.as_deref())?,
            base: url.trim_end_matches('/').to_owned(),
            patience: Patience { retries: reach.retries },
            runtime: crate::cli::runtime()?,
        })
    }

    /// Asks, again where another try may help and cannot do harm; the answer's JSON.
    pub async fn ask(&self, ask: &Ask<'_>, note: impl FnMut(&str)) -> Result<Value, CliError> {
        self.http.ask(&self.base, ask, self.patience, note).await.map_err(|failed| explain(&failed))
    }

    /// The same, for commands that do nothing else.
    pub fn ask_now(&self, ask: &Ask<'_>, output: &mut Output) -> Result<Value, CliError> {
        self.runtime.block_on(self.ask(ask, |line| output.note(printable(line))))
    }
}

fn parse(url: &str) -> Result<url::Url, CliError> {
    let parsed = url::Url::parse(url).map_err(|error| CliError::usage(format!("{url}: {error}")))?;
    match parsed.scheme() {
        "https" | "http" => Ok(parsed),
        other => Err(CliError::usage(format!("{url}: `{other}` is neither http nor https"))),
    }
}

/// A failure in the broker's words.
fn explain(failed: &Failed) -> CliError {
    match failed {
        Failed::Exchange(words) => CliError::refused(printable(words).into_owned()),
        Failed::Refused(told) => {
            let Told { status, error, description, reason } = told;
            let mut text = format!("the broker refused ({status}): {}", printable(description));
            let rows = [("reason", reason.as_deref()), ("error", error.as_deref())];
            let rows: Vec<_> = rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            if !rows.is_empty() {
                text.push('\n');
                text.push_str(table(&rows).trim_end());
            }
            let document =
                json!({ "error": description, "status": status, "reason": reason, "oauth_error": error });
            CliError::refused(text).with_json(document)
        }
    }
}
