//! `countersign broker git-credential`: git's credential helper (gitcredentials(7), git-credential(1)).

use super::exchange::{Handed, Wanted, revoke_lease};
use super::token::end;
use crate::broker::LeaseId;
use crate::cli::client::is_loopback;
use crate::cli::report::printable;
use crate::cli::{CliError, Output};
use crate::server::environment::Environment;
use std::io::Read;
use url::Url;
use zeroize::Zeroizing;

/// The largest question, in octets.
const LARGEST: u64 = 64 * 1024;
/// What the name of a login begins with, before its lease's. GitLab takes any name beside a token, but a deploy token's own.
const LOGIN: &str = "countersign-";
/// The name where the broker tells of no lease.
const USERNAME: &str = "oauth2";

/// Let git use a GitLab token: a credential helper
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Let git use a GitLab token: a credential helper.\n\n\
        git runs it with get, store or erase and says on standard input what it is about. For the GitLab of --gitlab, over https, get exchanges the \
        job's ID token for a token of the role; for anything else it says nothing, so that git goes on. The login's name says which lease it is, and erase revokes that lease if GitLab did \
        not take the token; a password is sent to nobody. Deploy tokens have GitLab's name for the login and end when their role says, as all do with \
        store, which does nothing.",
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
    username: String,
}

impl Question {
    /// From `name=value` lines, up to an empty one. Of a name that stands there twice the last counts, as for git.
    fn read(text: &str) -> Self {
        let mut question = Self::default();
        // A line ends with a line feed alone: what stands before it is of the value.
        for line in text.split('\n').take_while(|line| !line.is_empty()) {
            match line.split_once('=') {
                Some(("protocol", value)) => value.clone_into(&mut question.protocol),
                Some(("host", value)) => value.clone_into(&mut question.host),
                Some(("username", value)) => value.clone_into(&mut question.username),
                _ => {}
            }
        }
        question
    }

    /// Whether it is about this GitLab: its protocol, name and port, letter by letter. What a URL's reader would make its host out of is another
    /// one, since git may make something else of it.
    fn is_about(&self, gitlab: &Url) -> bool {
        let Some(name) = gitlab.host_str() else { return false };
        let asked = self.host.to_ascii_lowercase();
        let with_port = gitlab.port_or_known_default().map(|port| format!("{name}:{port}"));
        let is_it = with_port.is_some_and(|name| name == asked) || (gitlab.port().is_none() && asked == name);
        is_it && self.protocol.eq_ignore_ascii_case(gitlab.scheme())
    }

    /// The lease whose login it is, where the login is one of this helper's.
    fn lease(&self) -> Option<LeaseId> {
        LeaseId::parse(self.username.strip_prefix(LOGIN)?)
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
        "erase" => match question.lease() {
            Some(lease) => erase(&args.wanted, lease, output),
            None => Ok(()),
        },
        // What git may come to ask in later versions is none of ours.
        _ => Ok(()),
    }
}

fn get(wanted: &Wanted, output: &mut Output) -> Result<(), CliError> {
    let got = wanted.broker().and_then(|broker| {
        let id_token = wanted.id_token()?;
        let exchange = wanted.exchange(&broker, &id_token, |line| output.note(printable(line)));
        let handed = broker.runtime.block_on(exchange)?;
        Ok((broker, handed))
    });
    let (broker, handed) = match got {
        Ok(got) => got,
        Err(error) => return quit(error, output),
    };
    let told = match login(&handed) {
        Ok(login) => output.hand_over(&login),
        Err(error) => quit(error, output),
    };
    if told.is_err() {
        // Nobody has the token.
        broker.runtime.block_on(end(&broker, &handed, output));
    }
    told
}

/// No other helper, and no question to a person who is not there.
fn quit(error: CliError, output: &mut Output) -> Result<(), CliError> {
    output.raw(b"quit=1\n")?;
    Err(error)
}

/// A password of another helper's is none of the broker's business, and one of this helper's need not be sent: the lease is ended by its name.
fn erase(wanted: &Wanted, lease: LeaseId, output: &mut Output) -> Result<(), CliError> {
    let broker = wanted.broker()?;
    let id_token = wanted.id_token()?;
    let ended = revoke_lease(&broker, lease, &id_token, |line| output.note(printable(line)));
    broker.runtime.block_on(ended)
}

/// The lines that git reads, without the last one's end.
fn login(handed: &Handed) -> Result<Zeroizing<String>, CliError> {
    if handed.kind() == "pipeline-trigger" {
        return Err(CliError::refused("the role gives pipeline triggers, which git cannot log in with"));
    }
    let of_lease = || handed.lease().map(|lease| format!("{LOGIN}{lease}"));
    let username = handed.username().map(str::to_owned).or_else(of_lease);
    let username = username.unwrap_or_else(|| USERNAME.to_owned());
    let ends = Environment::system().clock.now().as_secs().saturating_add(handed.expires_in());
    Ok(Zeroizing::new(format!(
        "username={username}\npassword={}\npassword_expiry_utc={ends}",
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
            "protocol=https\nhost=/gitlab.example.com\n",
            "protocol=https\nhost=gitlab.example.com\r\n",
            "protocol=https\nhost=gitlab.exam\tple.com\n",
            "protocol=https\nhost= gitlab.example.com\n",
            "protocol=https\nhost=gitlab.example.com:\n",
            "protocol=https\nhost=gitlab.example.com:0443\n",
            "protocol=https\nhost=gitlab%2eexample.com\n",
            "protocol=https\nhost=\u{ff47}itlab.example.com\n",
            "protocol=https:\nhost=gitlab.example.com\n",
            "protocol=https\nhost=\n",
            "protocol=https\n",
            "\nprotocol=https\nhost=gitlab.example.com\n",
            "",
        ] {
            assert!(!about(no, gitlab), "{no}");
        }
        assert!(about("protocol=http\nhost=127.0.0.1:8080\n", "http://127.0.0.1:8080"));
        assert!(about("protocol=http\nhost=[::1]:8080\n", "http://[::1]:8080"));
        for no in ["127.0.0.1", "2130706433:8080", "\u{ff11}27.0.0.1:8080", "127.0.0.1:08080", "127.1:8080"] {
            assert!(!about(&format!("protocol=http\nhost={no}\n"), "http://127.0.0.1:8080"), "{no}");
        }
    }

    #[test]
    fn no_token_crosses_a_network_in_the_clear() {
        for wrong in ["http://gitlab.example.com", "ssh://gitlab.example.com", "gitlab.example.com", ""] {
            assert!(gitlab(wrong).is_err(), "{wrong}");
        }
    }
}
