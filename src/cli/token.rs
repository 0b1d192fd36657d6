//! `countersign token`: is this ID token good, and what certificate would it get?

use super::examination::Examination;
use super::job_token::TokenSource;
use super::report::{Paint, printable, table};
use super::{CliError, Output, files, time};
use crate::config::Config;
use crate::environment::UnixMillis;
use crate::identity::extensions::{ClaimsArc, name_of, text_of};
use crate::identity::gitlab::{GitlabRules, Instance, SubjectMode};
use crate::identity::{Entry, Issuer, KeySource, Principal};
use crate::oidc;
use crate::refusal::Refusal;
use crate::server::environment::Environment;
use crate::token::{KeySet, UnverifiedToken};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Validate a GitLab ID token and print its claims and the certificate it would get
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Validate a GitLab ID token and print its claims and the certificate it would get.\n\n\
        The issuer's keys are fetched as the CA fetches them: discovery document, then key set. Every check is listed: \
        shape, issuer, algorithm, keys, signature, times, audience, and the rules for the claims. The token itself is \
        never printed, and nothing is sent to any CA.",
    after_long_help = "In a job:\n  countersign token\n\
        On a saved token:\n  countersign token --token-file token.jwt --issuer https://gitlab.example.com\n\
        As a server would judge:\n  countersign token --config countersign.yaml\n\n\
        Exit codes: 0 the token is good, 1 it would be refused."
)]
pub struct TokenArgs {
    #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
    #[command(flatten)]
    pub token: TokenSource,
    /// The issuer that the token must have, byte for byte [default: whatever the token says]
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// The audience that the token must have, alone
    #[arg(long, value_name = "AUDIENCE", default_value = "sigstore")]
    pub audience: String,
    /// Take the issuer's keys from this JWK set instead of asking the issuer
    #[arg(long, value_name = "FILE")]
    pub jwks: Option<PathBuf>,
    /// PEM certificates to trust for TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
    /// URL of the GitLab instance where it is not the issuer's (tokens of a bucket issuer)
    #[arg(long, value_name = "URL", value_parser = instance_url)]
    pub instance_url: Option<String>,
    /// How the certificate names the pipeline
    #[arg(long, value_name = "MODE", default_value = "pipeline-definition")]
    pub subject: Subject,
    /// Take issuers and their rules from this server configuration
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["issuer", "audience", "jwks", "ca_certificate", "instance_url", "subject"])]
    pub config: Option<PathBuf>,
    /// Judge the times as of then: RFC 3339 in UTC or seconds since 1970 [default: now]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub at: Option<UnixMillis>,
}

/// Names for [`SubjectMode`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Subject {
    /// By its CI configuration: {instance}/{project}//{config path}@{ref_path}
    PipelineDefinition,
    /// By its project: {instance}/{project_path}@{ref_path}
    Project,
}

/// A URL that a certificate could name pipelines by.
fn instance_url(text: &str) -> Result<String, String> {
    Instance::parse(text).map(|instance| instance.url().to_owned())
}

/// Runs the command.
pub fn run(args: TokenArgs, output: &mut Output) -> Result<(), CliError> {
    let text = args.token.read()?;
    let now = args.at.unwrap_or_else(|| Environment::system().clock.now());
    let (mut examination, token) = Examination::begin(&text);
    let mut arc = ClaimsArc::default();
    if let Some(token) = token {
        match args.expected_issuer(token.issuer())? {
            Expected::Issuer(issuer, words) => {
                examination.checks.ok("issuer", words);
                if let Some(own) = claims_arc(&issuer) {
                    arc = own;
                }
                examine(&mut examination, &text, &token, &issuer, &args, now)?;
            }
            Expected::Unknown(words) => examination.unknown_issuer(words),
        }
    }
    report(&examination, &arc, output)
}

fn examine(
    examination: &mut Examination,
    text: &str,
    token: &UnverifiedToken<'_>,
    issuer: &Issuer,
    args: &TokenArgs,
    now: UnixMillis,
) -> Result<(), CliError> {
    if !examination.algorithm(token, issuer) {
        return Ok(());
    }
    match keys(issuer, args)? {
        Ok((keys, from)) => examination.with_keys(text, issuer, &keys, &from, now),
        Err(words) => examination.no_keys(words),
    }
    Ok(())
}

/// The issuer to judge by, and how it was chosen.
enum Expected {
    Issuer(Issuer, String),
    Unknown(String),
}

impl TokenArgs {
    fn expected_issuer(&self, iss: &str) -> Result<Expected, CliError> {
        if let Some(path) = &self.config {
            let (config, _) =
                Config::load(path).map_err(|error| CliError::configuration(error.to_string()))?;
            return Ok(match config.issuers.find(iss) {
                Some(issuer) => Expected::Issuer(issuer, format!("{iss}, configured in {}", path.display())),
                None => Expected::Unknown(format!("{iss} is not configured in {}", path.display())),
            });
        }
        match &self.issuer {
            Some(wanted) if wanted != iss => {
                Ok(Expected::Unknown(format!("the token's is {iss}, expected is {wanted}")))
            }
            Some(_) => Ok(Expected::Issuer(self.own_issuer(iss)?, format!("{iss}, as expected"))),
            None => {
                let words = format!("{iss}, taken from the token itself; --issuer compares it");
                Ok(Expected::Issuer(self.own_issuer(iss)?, words))
            }
        }
    }

    /// The issuer as a server with the strict rules would have it.
    fn own_issuer(&self, iss: &str) -> Result<Issuer, CliError> {
        let rules = GitlabRules {
            subject: match self.subject {
                Subject::PipelineDefinition => SubjectMode::PipelineDefinition,
                Subject::Project => SubjectMode::Project,
            },
            instance_url: self.instance_url.clone(),
            ..GitlabRules::default()
        };
        let ca_certificate = match &self.ca_certificate {
            Some(path) => Some(files::read(path, "the CA certificate for TLS")?),
            None => None,
        };
        let entry =
            Entry { audience: self.audience.clone(), allow_multiple_audiences: false, kind: rules.into() };
        Ok(Issuer {
            url: iss.to_owned(),
            entries: vec![entry].into(),
            key_source: KeySource::Discovery { ca_certificate, outage_grace: Duration::ZERO }.into(),
        })
    }
}

/// The issuer's keys and where they come from, or why there are none.
fn keys(issuer: &Issuer, args: &TokenArgs) -> Result<Result<(KeySet, String), String>, CliError> {
    if let Some(path) = &args.jwks {
        let from = path.display().to_string();
        let keys = KeySet::parse(&files::read(path, "the JWK set")?);
        return Ok(keys.map_err(|words| format!("{from}: {words}")).map(|keys| (keys, from)));
    }
    Ok(match &*issuer.key_source {
        KeySource::Static(document) => {
            KeySet::parse(document).map(|keys| (keys, "the configured file".to_owned()))
        }
        KeySource::Discovery { ca_certificate, .. } => super::runtime()?
            .block_on(oidc::fetch_keys(&issuer.url, ca_certificate.as_deref()))
            .map(|keys| (keys, format!("{} by discovery", issuer.url)))
            .map_err(|error| error.to_string()),
    })
}

/// The arc under which the issuer's certificates carry raw claims.
fn claims_arc(issuer: &Issuer) -> Option<ClaimsArc> {
    issuer.entries.iter().find_map(|entry| entry.kind.as_type::<GitlabRules>()?.claims_arc.clone())
}

fn report(examination: &Examination, arc: &ClaimsArc, output: &mut Output) -> Result<(), CliError> {
    let paint = Paint::for_stdout();
    let certificate = examination.principal.as_ref().map(|principal| Would::of(principal, arc));
    let document = json!({
        "valid": examination.checks.passed(),
        "checks": examination.checks.to_json(),
        "claims": examination.claims,
        "certificate": certificate.as_ref().map(Would::to_json),
        "refusal": examination.refusal.as_ref().map(refusal_json),
    });
    let claims: Vec<_> =
        examination.claims.iter().map(|(name, value)| (name.as_str(), claim_text(name, value))).collect();
    if !claims.is_empty() {
        output.say(paint.strong("Claims"))?;
        output.say(table(&claims).trim_end())?;
    }
    output.say(paint.strong("Checks"))?;
    output.say(examination.checks.to_text(paint).trim_end_matches('\n'))?;
    if let Some(certificate) = &certificate {
        output.say(paint.strong(if examination.checks.passed() {
            "The certificate it gets"
        } else {
            "The certificate it would get if every check were ok"
        }))?;
        output.say(table(&certificate.rows()).trim_end())?;
    }
    if examination.checks.passed() {
        output.say(paint.good("The token is good."))?;
        return output.json(&document);
    }
    let code = examination.refusal.as_ref().map_or("refused", |refusal| refusal.reason().code());
    Err(CliError::refused(format!("the token would be refused: {code}")).with_json(document))
}

/// The identity that a certificate would carry.
struct Would {
    san: String,
    extensions: Vec<(String, &'static str, String)>,
}

impl Would {
    fn of(principal: &Principal, arc: &ClaimsArc) -> Self {
        let san = principal.name().text().to_owned();
        let shown =
            |content: &[u8], text: Option<&str>| text.map_or_else(|| hex::encode(content), str::to_owned);
        let extensions = principal.extensions().iter().map(|extension| {
            let name = name_of(&extension.oid, arc).unwrap_or_default();
            let text = text_of(&extension.oid, &extension.content);
            (extension.oid.to_string(), name, shown(&extension.content, text))
        });
        Self { san, extensions: extensions.collect() }
    }

    fn rows(&self) -> Vec<(&str, &str)> {
        let extensions = self
            .extensions
            .iter()
            .map(|(oid, name, value)| (if name.is_empty() { oid.as_str() } else { name }, value.as_str()));
        std::iter::once(("SAN", self.san.as_str())).chain(extensions).collect()
    }

    fn to_json(&self) -> Value {
        let extensions: Vec<_> = self
            .extensions
            .iter()
            .map(|(oid, name, value)| json!({ "oid": oid, "name": name, "value": value }))
            .collect();
        json!({ "san": self.san, "extensions": extensions })
    }
}

fn refusal_json(refusal: &Refusal) -> Value {
    json!({
        "reason": refusal.reason().code(), "claim": refusal.claim(), "rule": refusal.rule(),
        "help": refusal.reason().explanation(), "detail": refusal.detail(),
    })
}

/// A claim's value; times are explained.
fn claim_text(name: &str, value: &Value) -> String {
    match (name, value) {
        ("iat" | "nbf" | "exp", Value::Number(number)) => match number.as_u64() {
            Some(seconds) => format!("{seconds} ({})", UnixMillis::from_secs(seconds)),
            None => number.to_string(),
        },
        (_, Value::String(text)) => printable(text).into_owned(),
        _ => value.to_string(),
    }
}
