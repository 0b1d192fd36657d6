//! What the API needs of the rest of the server: somebody who is told of its answers, and what operators may ask for.

use super::ApiState;
use crate::issuance::Answer;
use crate::refusal::Reason;
use std::time::Duration;

/// A request on the public listener that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The protocol, and what it calls the outcome.
    pub call: Call<'a>,
    /// Why it was refused, if it was.
    pub refused: Option<Reason>,
    /// From its head to the head of its answer.
    pub took: Duration,
}

/// The protocol of a request.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// HTTP.
    Http {
        /// The method, `other` where it is none of HTTP's own.
        method: &'static str,
        /// The status.
        status: u16,
    },
    /// gRPC.
    Grpc {
        /// `/package.Service/Method`, the caller's text.
        path: &'a str,
        /// The number of a `google.rpc.Code`.
        code: u8,
    },
}

/// Is told of every answer on the public listener. Implemented by `server`.
pub trait Observer: Send + Sync {
    /// A request was answered.
    fn answered(&self, answered: &Answered<'_>);
}

/// What operators may ask for. Implemented by `server`.
pub trait Operations: Send + Sync {
    /// All metrics, and their `Content-Type`.
    ///
    /// # Errors
    /// In words for the log.
    fn metrics(&self, state: &ApiState) -> Result<(&'static str, String), String>;

    /// What an operator should know though the server is ready, such as a reload that was refused.
    fn warnings(&self) -> Vec<String>;

    /// Fetches the keys of an issuer anew, or of all. Empty: the issuer named is none of ours.
    fn refresh<'a>(&'a self, issuer: Option<&'a str>) -> Answer<'a, Vec<Refreshed>>;
}

/// What a fetch of an issuer's keys brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// The issuer's URL.
    pub issuer: String,
    /// How many keys are at hand now, or what failed.
    pub keys: Result<usize, String>,
}
