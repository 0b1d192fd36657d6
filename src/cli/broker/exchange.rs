//! What a job asks a broker for: a token, and its end.

use super::connection::{Broker, Reach};
use crate::broker::LeaseId;
use crate::cli::CliError;
use crate::cli::client::broker::Ask;
use crate::cli::job_token::read_from;
use reqwest::Method;
use serde_json::Value;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The variable in which a job finds the ID token for the broker. Not the one for signing, whose audience is another.
pub const TOKEN_VARIABLE: &str = "BROKER_ID_TOKEN";

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// What is asked for, and of whom.
#[derive(Debug, clap::Args)]
pub struct Wanted {
    /// The role to get a token of
    #[arg(long, value_name = "NAME")]
    pub role: String,
    /// Base URL of the broker
    #[arg(long, value_name = "URL", env = "COUNTERSIGN_URL", hide_env_values = true)]
    pub url: String,
    /// Project, group or account, where the role lets the job choose
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// A scope, fewer than the role's; any number of times [default: all of the role's]
    #[arg(long, value_name = "SCOPE")]
    pub scope: Vec<String>,
    /// Seconds that it shall live [default: the role's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=999_999_999))]
    pub ttl: Option<u64>,
    /// File with the ID token; `-` is standard input [default: the variable BROKER_ID_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub reach: Reach,
}

/// A token that was handed out.
pub struct Handed {
    /// It.
    pub token: Zeroizing<String>,
    /// The whole answer.
    pub document: Value,
}

impl Handed {
    fn read(mut document: Value) -> Result<Self, CliError> {
        let token = document["access_token"].as_str().map(|text| Zeroizing::new(text.to_owned()));
        let fits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic());
        match token.filter(|token| fits(token)) {
            Some(token) => Ok(Self { token, document }),
            None => {
                // Whatever it is, it is not shown.
                document["access_token"] = Value::Null;
                Err(CliError::refused("the broker answered without a token: is this its URL?"))
            }
        }
    }

    /// Of a deploy token the name to log in with.
    pub fn username(&self) -> Option<&str> {
        self.document["username"].as_str().filter(|name| !name.chars().any(char::is_control))
    }

    /// Its lease.
    pub fn lease(&self) -> Option<LeaseId> {
        LeaseId::parse(self.document["lease_id"].as_str()?)
    }

    /// How long it lives, in seconds.
    pub fn expires_in(&self) -> u64 {
        self.document["expires_in"].as_u64().unwrap_or(0)
    }

    /// `token_kind`.
    pub fn kind(&self) -> &str {
        self.document["token_kind"].as_str().unwrap_or_default()
    }
}

impl Wanted {
    /// The broker, before it is asked.
    pub fn broker(&self) -> Result<Broker, CliError> {
        Broker::for_jobs(&self.url, &self.reach)
    }

    /// The job's ID token.
    pub fn id_token(&self) -> Result<Zeroizing<String>, CliError> {
        read_from(self.token_file.as_deref(), TOKEN_VARIABLE, "https://ca.example.com/broker")
    }

    /// Exchanges the ID token.
    pub async fn exchange(
        &self,
        broker: &Broker,
        id_token: &str,
        note: impl FnMut(&str),
    ) -> Result<Handed, CliError> {
        let (scope, ttl) = (self.scope.join(" "), self.ttl.map(|seconds| seconds.to_string()));
        let mut fields = vec![
            ("grant_type", GRANT),
            ("subject_token", id_token),
            ("subject_token_type", ID_TOKEN),
            ("role", self.role.as_str()),
        ];
        fields.extend(self.path.as_deref().map(|path| ("path", path)));
        fields.extend((!scope.is_empty()).then_some(("scope", scope.as_str())));
        fields.extend(ttl.as_deref().map(|ttl| ("ttl", ttl)));
        // Not sent again when its answer was lost: a second token would be made.
        let ask = Ask { method: Method::POST, path: "/v1/token-exchange".into(), fields, repeatable: false };
        Handed::read(broker.ask(&ask, note).await?)
    }
}

/// Ends a lease of the job that the ID token is of. Can be done twice.
pub async fn revoke_lease(
    broker: &Broker,
    lease: LeaseId,
    id_token: &str,
    note: impl FnMut(&str),
) -> Result<(), CliError> {
    let lease = lease.to_string();
    let fields = vec![("lease_id", lease.as_str()), ("subject_token", id_token)];
    let ask = Ask { method: Method::POST, path: "/v1/token-revoke".into(), fields, repeatable: true };
    broker.ask(&ask, note).await.map(drop)
}

/// Ends a token. Can be done twice, so it is tried again whatever happens.
pub async fn revoke(broker: &Broker, token: &str, note: impl FnMut(&str)) -> Result<(), CliError> {
    let fields = vec![("token", token)];
    let ask = Ask { method: Method::POST, path: "/v1/token-revoke".into(), fields, repeatable: true };
    broker.ask(&ask, note).await.map(drop)
}
