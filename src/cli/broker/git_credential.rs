//! `countersign broker git-credential`: git's credential helper (gitcredentials(7), git-credential(1)).

use super::exchange::{Wanted, revoke};
use crate::cli::client::is_loopback;
use crate::cli::report::printable;
use crate::cli::{CliError, Output};
use crate::server::environment::Environment;
use std::io::Read;
use url::Url;
use zeroize::Zeroizing;

/// The largest question, in octets.
const LARGEST: u64 = 64 * 1024;
/// What goes with a token that is no deploy token.
const USERNAME: &str = "oauth2";

/// Let git use a GitLab token: a credential helper
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Let git use a GitLab token: a credential helper.\n\n\
        git runs it with get, store or erase and says on standard input what it is about. For the GitLab of --gitlab, over https, get exchanges the \
        job's ID token for a token of the role; for anything else it says nothing, so that git goes on. erase revokes a token that GitLab did not take. \
        store does nothing: the token ends when its role says.",
    after_long_help = "In .gitlab-ci.yml:\n  \
        push:\n    \
          id_tokens:\n      \
            BROKER_ID_TOKEN:\n        \
              aud: https://ca.example.com/broker\n    \
          variables:\n      \
            COUNTERSIGN_URL: https://ca.example.com\n    \
          script:\n      \
            - git config credential.$CI_SERVER_URL.helper '!countersign broker git-credential --role push'\n      \
            - git push $CI_PROJECT_URL.git HEAD:main\n\n\
        git asks for each command that needs a login: the role's max_per_token has to allow as many.\n\n\
        Exit codes: 0 answered, or nothing to say, 1 the broker gave no token, 2 usage."
)]
pub struct GitCredentialArgs {
    #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
    #[command(flatten)]
    pub wanted: Wanted,
    /// The GitLab that gets the token, and nobody else
    #[arg(long, value_name = "URL", env = "CI_SERVER_URL", hide_env_values = true)]
    pub gitlab: String,
    /// What git wants; git adds it
    #[arg(value_name = "ACTION")]
    pub action: String,
}

/// What git is asking about.
#[derive(Default)]
struct Question {
    protocol: String,
    host: String,
    password: Zeroizing<String>,
}

impl Question {
    /// From `name=value` lines, up to an empty one. Of a name that stands there twice the last counts, as for git.
    fn read(text: &str) -> Self {
        let mut question = Self::default();
        for line in text.lines().take_while(|line| !line.is_empty()) {
            match line.split_once('=') {
                Some(("protocol", value)) => value.clone_into(&mut question.protocol),
                Some(("host", value)) => value.clone_into(&mut question.host),
                Some(("password", value)) => question.password = Zeroizing::new(value.to_owned()),
                _ => {}
            }
        }
        question
    }

    /// Whether it is about this GitLab: its protocol, name and port.
    fn is_about(&self, gitlab: &Url) -> bool {
        let Ok(asked) = Url::parse(&format!("{}://{}/", self.protocol, self.host)) else { return false };
        // A host with a user or a path in it is none.
        let plain = asked.username().is_empty() && asked.password().is_none() && asked.path() == "/";
        let origin = |url: &Url| {
            (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default())
        };
        plain && asked.query().is_none() && asked.fragment().is_none() && origin(&asked) == origin(gitlab)
    }
}

/// The GitLab, which is not sent a token in the clear.
fn gitlab(text: &str) -> Result<Url, CliError> {
    let url = Url::parse(text).map_err(|error| CliError::usage(format!("--gitlab {text}: {error}")))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(CliError::usage(format!("--gitlab {text}: a token goes nowhere but over https"))),
    }
}

/// Runs the command.
pub fn run(args: GitCredentialArgs, output: &mut Output) -> Result<(), CliError> {
    let gitlab = gitlab(&args.gitlab)?;
    let mut text = Zeroizing::new(String::new());
    std::io::stdin()
        .take(LARGEST)
        .read_to_string(&mut text)
        .map_err(|error| CliError::refused(format!("cannot read what git asks: {error}")))?;
    let question = Question::read(&text);
    if !question.is_about(&gitlab) {
        return Ok(());
    }
    match args.action.as_str() {
        "get" => get(&args.wanted, output),
        "erase" if !question.password.is_empty() => {
            let broker = args.wanted.broker()?;
            let ended = revoke(&broker, &question.password, |line| output.note(printable(line)));
            broker.runtime.block_on(ended)
        }
        // What git may come to ask in later versions is none of ours.
        _ => Ok(()),
    }
}

fn get(wanted: &Wanted, output: &mut Output) -> Result<(), CliError> {
    let answer = exchange(wanted, output);
    if answer.is_err() {
        // No other helper, and no question to a person who is not there.
        output.raw(b"quit=1\n")?;
    }
    output.raw(answer?.as_bytes())
}

fn exchange(wanted: &Wanted, output: &mut Output) -> Result<Zeroizing<String>, CliError> {
    let broker = wanted.broker()?;
    let id_token = wanted.id_token()?;
    let exchange = wanted.exchange(&broker, &id_token, |line| output.note(printable(line)));
    let handed = broker.runtime.block_on(exchange)?;
    if handed.kind() == "pipeline-trigger" {
        return Err(CliError::refused("the role gives pipeline triggers, which git cannot log in with"));
    }
    let username = handed.username().unwrap_or(USERNAME);
    let ends = Environment::system().clock.now().as_secs().saturating_add(handed.expires_in());
    Ok(Zeroizing::new(format!(
        "username={username}\npassword={}\npassword_expiry_utc={ends}\n",
        handed.token.as_str()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_gitlab_is_meant() {
        let about = |text: &str, url: &str| Question::read(text).is_about(&gitlab(url).unwrap());
        let gitlab = "https://gitlab.example.com/relative";
        for yes in [
            "protocol=https\nhost=gitlab.example.com\n",
            "protocol=https\nhost=GitLab.Example.com:443\npath=a/b\n",
        ] {
            assert!(about(yes, gitlab), "{yes}");
        }
        for no in [
            "protocol=http\nhost=gitlab.example.com\n",
            "protocol=https\nhost=gitlab.example.com:8443\n",
            "protocol=https\nhost=gitlab.example.com.evil.example\n",
            "protocol=https\nhost=evil.example\nhost=evil.example\n",
            "protocol=https\nhost=gitlab.example.com@evil.example\n",
            "protocol=https\nhost=evil.example/gitlab.example.com\n",
            "protocol=https\nhost=gitlab.example.com/x\n",
            "protocol=https\nhost=\n",
            "protocol=https\n",
            "\nprotocol=https\nhost=gitlab.example.com\n",
            "",
        ] {
            assert!(!about(no, gitlab), "{no}");
        }
        assert!(about("protocol=http\nhost=127.0.0.1:8080\n", "http://127.0.0.1:8080"));
    }

    #[test]
    fn no_token_crosses_a_network_in_the_clear() {
        for wrong in ["http://gitlab.example.com", "ssh://gitlab.example.com", "gitlab.example.com", ""] {
            assert!(gitlab(wrong).is_err(), "{wrong}");
        }
    }
}
