//! `countersign broker token`: a GitLab token for this job, printed, or for one command.

use super::connection::Broker;
use super::exchange::{Handed, TOKEN_VARIABLE, Wanted, revoke};
use super::running::{Ended, Running, Signals, code_of};
use crate::cli::report::printable;
use crate::cli::{CliError, Output};
use rustix::process::Signal;
use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::pin::pin;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long the broker's answer is waited for by one that is told to stop. What comes later is revoked by the broker, since nobody takes it.
const ANSWER: Duration = Duration::from_secs(30);

/// Get a GitLab token, for this job or for one command
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Get a GitLab token, for this job or for one command.\n\n\
        Shows the broker the job's ID token and prints the token that it gives for a role, and nothing else. With a command the token is not printed \
        but put into the command's environment, and revoked when the command ends, however it ends.",
    after_long_help = "In .gitlab-ci.yml:\n  \
        comment:\n    \
          id_tokens:\n      \
            BROKER_ID_TOKEN:\n        \
              aud: https://ca.example.com/broker\n    \
          script:\n      \
            - countersign broker token --url https://ca.example.com --role bot-comment -- ./comment.sh\n\n\
        The command finds the token in GITLAB_TOKEN. It gets the signals TERM, HUP, QUIT, USR1 and USR2 that come to countersign, and INT where no \
        terminal sends it to both. One that comes before there is a command ends all of it, and the token is revoked. The command does not get the ID token \
        (BROKER_ID_TOKEN) unless --keep-id-token says so.\n\n\
        Without a command:\n  \
        countersign broker token --role bot-comment >token    ends when its role says, or with\n  countersign broker revoke --token-file token          sooner\n\n\
        Exit codes: those of the command, 128 and more when a signal ended it, 126 or 127 when it could not be started; without a command 0. \
        1 the broker gave no token, or it could not be written anywhere and was revoked, 2 usage."
)]
pub struct TokenArgs {
    #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
    #[command(flatten)]
    pub wanted: Wanted,
    /// The variable in which the command finds the token
    #[arg(long, value_name = "NAME", default_value = "GITLAB_TOKEN", value_parser = variable)]
    pub env: String,
    /// The variable in which the command finds a deploy token's user name
    #[arg(long, value_name = "NAME", default_value = "GITLAB_USERNAME", value_parser = variable)]
    pub username_env: String,
    /// Leave BROKER_ID_TOKEN in the command's environment, for a command that asks the broker itself
    #[arg(long)]
    pub keep_id_token: bool,
    /// The command, without `--`: everything that follows is the command's
    #[arg(long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true, conflicts_with = "command")]
    pub exec: Vec<OsString>,
    /// A command to run with the token, and its arguments
    #[arg(value_name = "CMD", last = true)]
    pub command: Vec<OsString>,
    /// `--` is the last word of the command line.
    #[arg(skip)]
    pub is_cut_off: bool,
}

impl TokenArgs {
    /// The command, however it was given: `-- CMD`, `--exec CMD`, `--exec -- CMD`.
    fn line(&self) -> &[OsString] {
        match self.exec.split_first() {
            Some((first, rest)) if first == "--" => rest,
            Some(_) => &self.exec,
            None => &self.command,
        }
    }

    /// Whether there was to be one, and there is none: `-- $UNSET`. The token would be printed where it was to be kept from.
    fn lacks_command(&self) -> bool {
        self.line().is_empty() && (self.is_cut_off || !self.exec.is_empty())
    }
}

/// The name of a variable.
fn variable(text: &str) -> Result<String, String> {
    let octets = text.as_bytes();
    let fits = octets.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'_');
    let begins = octets.first().is_some_and(|octet| !octet.is_ascii_digit());
    if fits && begins { Ok(text.to_owned()) } else { Err("letters, digits and _, no digit first".to_owned()) }
}

/// Runs the command.
pub fn run(args: TokenArgs, output: &mut Output) -> Result<(), CliError> {
    if args.lacks_command() {
        return Err(CliError::usage("there is no command behind --; is a variable empty?"));
    }
    let broker = args.wanted.broker()?;
    let id_token = args.wanted.id_token()?;
    let line = args.line();
    let Some((program, arguments)) = line.split_first() else {
        let exchange = args.wanted.exchange(&broker, &id_token, |line| output.note(printable(line)));
        let handed = broker.runtime.block_on(exchange)?;
        let printed = match output.is_json() {
            true => output.hand_over(&Zeroizing::new(format!("{:#}", handed.document))),
            false => output.hand_over(&handed.token),
        };
        if printed.is_err() {
            broker.runtime.block_on(end(&broker, &handed, output));
        }
        return printed;
    };
    broker.runtime.block_on(with_command(&args, &broker, &id_token, program, arguments, output))
}

/// Runs a command with a token, and revokes the token when the command has ended, or is not to begin.
async fn with_command(
    args: &TokenArgs,
    broker: &Broker,
    id_token: &str,
    program: &OsStr,
    arguments: &[OsString],
    output: &mut Output,
) -> Result<(), CliError> {
    // From before there is a token: whoever ends this ends the command, and the token after it.
    let mut signals =
        Signals::catch().map_err(|error| CliError::refused(format!("cannot wait for signals: {error}")))?;
    let got = {
        let output = RefCell::new(&mut *output);
        let note = |line: &str| output.borrow_mut().note(printable(line));
        get(&mut signals, args.wanted.exchange(broker, id_token, note), note).await?
    };
    let handed = match got {
        Got::Token(handed) => handed,
        Got::Ended(number, handed) => {
            if let Some(handed) = handed {
                end(broker, &handed, output).await;
            }
            return Err(CliError::ended(code_of(number.as_raw())));
        }
    };
    let mut variables = vec![(args.env.as_str(), handed.token.as_str())];
    variables.extend(handed.username().map(|name| (args.username_env.as_str(), name)));
    let without = (!args.keep_id_token).then_some(TOKEN_VARIABLE);
    let ended = match Running::start(program, arguments, without, &variables) {
        Ok(running) => running.wait(&mut signals).await,
        Err(failed) => failed,
    };
    end(broker, &handed, output).await;
    match ended {
        Ended::With(0) => Ok(()),
        Ended::With(code) => Err(CliError::ended(code)),
        Ended::NotStarted(code, error) => {
            Err(CliError::not_started(code, format!("cannot run {}: {error}", program.display())))
        }
    }
}

/// What came first.
enum Got {
    /// A token.
    Token(Handed),
    /// A signal, and what the broker still gave, which nobody needs any more.
    Ended(Signal, Option<Handed>),
}

/// The token, unless a signal comes before it: then the answer that is under way is waited for, so that what it brings can be revoked. A second
/// signal ends that, too.
async fn get(
    signals: &mut Signals,
    exchange: impl Future<Output = Result<Handed, CliError>>,
    note: impl Fn(&str),
) -> Result<Got, CliError> {
    let mut exchange = pin!(exchange);
    let number = tokio::select! {
        biased;
        number = signals.ending() => number,
        handed = &mut exchange => {
            let handed = handed?;
            return Ok(match signals.ended().await {
                Some(number) => Got::Ended(number, Some(handed)),
                None => Got::Token(handed),
            });
        }
    };
    note("told to stop; waiting for the broker's answer, whose token is revoked at once");
    let answered = tokio::select! {
        biased;
        answered = &mut exchange => answered.ok(),
        _ = signals.ending() => None,
        () = tokio::time::sleep(ANSWER) => None,
    };
    Ok(Got::Ended(number, answered))
}

/// Revokes the token; where that cannot be done, says how long it lives.
pub async fn end(broker: &Broker, handed: &Handed, output: &mut Output) {
    let revoked = revoke(broker, &handed.token, |line| output.note(printable(line))).await;
    if let Err(error) = revoked {
        let seconds = handed.expires_in();
        output.note(format_args!(
            "warning: the token could not be revoked, and ends by itself within {seconds} s: {error}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::variable;

    #[test]
    fn a_variable_has_a_name() {
        assert!(["GITLAB_TOKEN", "_x", "a1"].iter().all(|name| variable(name).is_ok()));
        assert!(["", "1a", "A-B", "A=B", "Ä"].iter().all(|name| variable(name).is_err()));
    }
}
