//! A command that runs with a token in its environment; signals that come to us go to it, and before it runs they end us.

use rustix::process::{Pid, Signal, kill_process};
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::task::Poll;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Coming, SignalKind, signal};

/// What the shell says of a command that is not there, and of one that cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

/// How it ended.
pub enum Ended {
    /// With this exit code; 128 and its number where a signal ended it.
    With(u8),
    /// It did not begin.
    NotStarted(u8, io::Error),
}

/// What ends a process that does nothing about it, and is sent so that it ends.
const ENDING: [Signal; 3] = [Signal::TERM, Signal::HUP, Signal::QUIT];

/// Signals that go to the command instead of ending us.
pub struct Signals {
    coming: Vec<(Coming, Signal)>,
    /// A terminal sends it to both.
    interrupt: Coming,
    from_terminal: bool,
}

impl Signals {
    /// Catches them from now on; what comes before there is a command is kept.
    ///
    /// # Errors
    /// The system's.
    pub fn catch() -> io::Result<Self> {
        let of = |kind, number| Ok::<_, io::Error>((signal(kind)?, number));
        Ok(Self {
            coming: vec![
                of(SignalKind::terminate(), Signal::TERM)?,
                of(SignalKind::hangup(), Signal::HUP)?,
                of(SignalKind::quit(), Signal::QUIT)?,
                of(SignalKind::user_defined1(), Signal::USR1)?,
                of(SignalKind::user_defined2(), Signal::USR2)?,
            ],
            interrupt: signal(SignalKind::interrupt())?,
            from_terminal: io::stdin().is_terminal(),
        })
    }

    /// The next one that is to end us: as long as there is no command, it is we whom somebody means, from a terminal too. The others are kept for
    /// the command.
    pub async fn ending(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (coming, number) in self.coming.iter_mut().filter(|(_, number)| ENDING.contains(number)) {
                if coming.poll_recv(context).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            self.interrupt.poll_recv(context).map(|_| Signal::INT)
        })
        .await
    }

    /// The same, where one has come already.
    pub async fn ended(&mut self) -> Option<Signal> {
        tokio::select! {
            biased;
            number = self.ending() => Some(number),
            () = std::future::ready(()) => None,
        }
    }

    /// The next one that the command is to get.
    async fn next(&mut self) -> Signal {
        let Self { coming, interrupt, from_terminal } = self;
        std::future::poll_fn(|context| {
            for (coming, number) in coming.iter_mut() {
                if coming.poll_recv(context).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            while interrupt.poll_recv(context).is_ready() {
                if !*from_terminal {
                    return Poll::Ready(Signal::INT);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// A command that runs.
pub struct Running(Child);

impl Running {
    /// Starts it with our own streams and environment, without one variable, and with these.
    pub fn start(
        program: &OsStr,
        arguments: &[OsString],
        without: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Self, Ended> {
        let mut command = Command::new(program);
        command.args(arguments);
        if let Some(name) = without {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        command.spawn().map(Self).map_err(|error| {
            let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN };
            Ended::NotStarted(code, error)
        })
    }

    /// Waits for its end.
    pub async fn wait(mut self, signals: &mut Signals) -> Ended {
        loop {
            tokio::select! {
                biased;
                ended = self.0.wait() => {
                    return match ended {
                        Ok(status) => Ended::With(code(status)),
                        Err(error) => Ended::NotStarted(NOT_RUN, error),
                    };
                }
                number = signals.next() => self.send(number),
            }
        }
    }

    fn send(&self, number: Signal) {
        // `id` is there until the end was waited for, so the number is not another process's.
        let id = self.0.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        // An error: it has ended, and is about to be waited for.
        let _ = id.map(|id| kill_process(id, number));
    }
}

fn code(status: std::process::ExitStatus) -> u8 {
    let code = status.code().map(|code| u8::try_from(code).unwrap_or(u8::MAX));
    code.unwrap_or_else(|| code_of(status.signal().unwrap_or(0)))
}

/// What the shell says of a process that a signal ended.
pub fn code_of(number: i32) -> u8 {
    u8::try_from(number.saturating_add(128)).unwrap_or(u8::MAX)
}
