//! What leasing needs of the world.

use crate::broker::{AccessLevel, Expiry, GitlabVersion, Kind, Lease, LeaseId, Minted};
use crate::environment::UnixMillis;
use crate::issuance::Answer;
use std::time::Duration;

pub use super::secret::Secret;

/// Whose token it is to be, as GitLab's paths have it: what [`Gitlab::holder`] found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The kind of token.
    pub kind: Kind,
    /// As the role has it.
    pub path: String,
    /// GitLab's numbers, in the order of its path: of the group or project, of the user. Empty where the path serves.
    pub owner: Vec<u64>,
}

/// What GitLab is asked to make.
#[derive(Clone, Debug)]
pub struct Order<'o> {
    /// For whom.
    pub holder: &'o Holder,
    /// Unique.
    pub name: &'o str,
    /// Scopes.
    pub scopes: &'o [String],
    /// Access level.
    pub access_level: Option<AccessLevel>,
    /// When GitLab shall end it.
    pub expiry: Option<Expiry>,
}

/// What GitLab made.
pub struct Made {
    /// What may be known of it.
    pub minted: Minted,
    /// The token.
    pub token: Secret,
    /// Of deploy tokens: the name to log in with.
    pub username: Option<String>,
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// GitLab has not seen it, or said that it did nothing (429): it may be sent again.
    #[error("not done: {detail}")]
    NotDone {
        /// For the record; never a token.
        detail: String,
        /// When GitLab says to come again.
        retry_after: Option<Duration>,
    },
    /// GitLab says no (4xx): what for, in the record. Or its answers do not do, although it gives them (0).
    #[error("refused with {status}: {detail}")]
    Refused {
        /// HTTP status, or 0.
        status: u16,
        /// GitLab's words, cut.
        detail: String,
    },
    /// The main credential is not accepted (401, or 403 for want of rights): nobody gets anything from this target.
    #[error("the main credential is not accepted ({status}): {detail}")]
    Credential {
        /// HTTP status.
        status: u16,
        /// GitLab's words, cut.
        detail: String,
    },
    /// Whether it was done is not known: no reply, half a reply, 5xx.
    #[error("no certain answer: {detail}")]
    Unknown {
        /// For the record.
        detail: String,
        /// When GitLab says to come again.
        retry_after: Option<Duration>,
    },
}

/// What GitLab says of the main credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its number.
    pub id: u64,
    /// Whose.
    pub user_id: u64,
    /// Its name.
    pub name: String,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// Its end; `None`: none.
    pub expires: Option<Expiry>,
    /// When it was made.
    pub created: Option<UnixMillis>,
    /// Whether its user is an administrator, as far as GitLab tells.
    pub is_admin: bool,
}

/// What GitLab says of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `state` is `active`.
    pub is_active: bool,
    /// Administrators' tokens can do everything.
    pub is_admin: bool,
    /// Bots and service accounts.
    pub is_bot: bool,
}

/// One of the places for calls at once. Whoever makes many calls in a row lets others go first between two of them.
pub trait Place: Send + Sync {
    /// Lets go of the place, and has it again after those who wait now.
    fn give_way(&self) -> Answer<'_, ()>;
}

/// One GitLab instance, by its REST API (v4), with the main credential of the moment. Implemented by `gitlab`.
pub trait Gitlab: Send + Sync {
    /// Looks up whose token it is to be. Changes nothing.
    fn holder<'a>(&'a self, kind: Kind, path: &'a str) -> Answer<'a, Result<Holder, CallError>>;

    /// The number of the group that so many steps above the holder's project or group is, one at least; `None`: there is none, or GitLab does not say.
    /// Changes nothing.
    fn group_above<'a>(
        &'a self,
        holder: &'a Holder,
        steps: usize,
    ) -> Answer<'a, Result<Option<u64>, CallError>>;

    /// A user. Changes nothing.
    fn user(&self, id: u64) -> Answer<'_, Result<User, CallError>>;

    /// Makes a token: one POST, sent once.
    fn mint<'a>(&'a self, order: &'a Order<'a>) -> Answer<'a, Result<Made, CallError>>;

    /// Live tokens of this holder with exactly this name; of very many some. Pages are followed to the end.
    fn find<'a>(
        &'a self,
        holder: &'a Holder,
        name: &'a str,
        place: &'a dyn Place,
    ) -> Answer<'a, Result<Vec<Minted>, CallError>>;

    /// Ends a token. `Ok`: GitLab has confirmed that it is dead, be it that it was before (404, or what defect 4 of
    /// docs/BROKER.md names).
    fn revoke<'a>(
        &'a self,
        holder: &'a Holder,
        id: u64,
        place: &'a dyn Place,
    ) -> Answer<'a, Result<(), CallError>>;

    /// The main credential, by itself. `credential`: another than the one in use.
    fn itself<'a>(&'a self, credential: Option<&'a Secret>) -> Answer<'a, Result<Credential, CallError>>;

    /// GitLab's version, and whether it is the enterprise edition.
    fn version(&self) -> Answer<'_, Result<(Option<GitlabVersion>, bool), CallError>>;

    /// Makes a second credential like the main one (`POST /users/:id/personal_access_tokens`).
    fn make_credential<'a>(
        &'a self,
        like: &'a Credential,
        name: &'a str,
        expiry: Expiry,
    ) -> Answer<'a, Result<(Credential, Secret), CallError>>;

    /// Lets the main credential replace itself (`POST /personal_access_tokens/self/rotate`): the old one is dead from then on.
    fn rotate_credential(&self, expiry: Expiry) -> Answer<'_, Result<(Credential, Secret), CallError>>;

    /// Credentials of this user with this name, dead ones left out.
    fn find_credentials<'a>(
        &'a self,
        user_id: u64,
        name: &'a str,
        place: &'a dyn Place,
    ) -> Answer<'a, Result<Vec<u64>, CallError>>;

    /// Ends a credential by its number.
    fn revoke_credential(&self, id: u64) -> Answer<'_, Result<(), CallError>>;

    /// The time as GitLab's latest answer had it (`Date`, RFC 9110 §6.6.1), whatever else it said; `None`: none has been heard since the start.
    /// It does not run: it is how late it was at least.
    fn heard_time(&self) -> Option<UnixMillis>;

    /// From now on calls are made with this one.
    fn switch(&self, credential: Secret);
}

/// One change of what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A lease as it is now.
    Lease(Box<Lease>),
    /// A lease that nobody has to know any more.
    Forget(LeaseId),
    /// How often an ID token was used for a role, and until when that matters.
    Used {
        /// SHA-256 over issuer, `jti` and role, length-prefixed.
        key: [u8; 32],
        /// How often.
        count: u32,
        /// Until then.
        until: UnixMillis,
    },
    /// The same is forgotten.
    Unused([u8; 32]),
    /// What is stored of a target's main credential: sealed, opaque here.
    Credential {
        /// The target's name, a space, and its URL.
        place: String,
        /// A record of `leasing::rotation`, with the credential sealed in it.
        record: Vec<u8>,
    },
    /// An attempt that got no token, in place of the one that stood in its slot.
    Attempt {
        /// Below [`ATTEMPTS`].
        slot: u32,
        /// It.
        attempt: Box<super::Attempt>,
    },
}

/// How many refused attempts are kept.
pub const ATTEMPTS: u32 = 10_000;

/// Keeps a main credential's text where a thief of the store cannot read it.
pub trait Sealing: Send + Sync {
    /// Seals it for this target.
    ///
    /// # Errors
    /// For the operator: why it cannot.
    fn seal(&self, target: &str, secret: &Secret) -> Result<Vec<u8>, String>;

    /// Opens what was sealed for this target.
    ///
    /// # Errors
    /// For the operator: another key, another target, or damaged.
    fn open(&self, target: &str, sealed: &[u8]) -> Result<Secret, String>;
}

/// What is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Leases, in any order.
    pub leases: Vec<Lease>,
    /// Uses of ID tokens.
    pub used: Vec<([u8; 32], u32, UnixMillis)>,
    /// Records of credentials by their place: a target's name, a space, and its URL.
    pub credentials: Vec<(String, Vec<u8>)>,
    /// Refused attempts by their slot.
    pub attempts: Vec<(u32, super::Attempt)>,
}

/// Why something is not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// It is as if it had never been tried.
    #[error("not written: {0}")]
    NotWritten(String),
    /// It may be there or not; the store takes nothing any more before a restart.
    #[error("it is not known what was written: {0}")]
    Unknown(String),
    /// What is there cannot be read.
    #[error("damaged: {0}")]
    Corrupt(String),
}

/// Where leases are kept. Implemented by `store`, and in memory for tests.
pub trait LeaseStore: Send {
    /// Everything.
    ///
    /// # Errors
    /// [`KeepError::Corrupt`], [`KeepError::Unknown`].
    fn load(&self) -> Result<Kept, KeepError>;

    /// All of the changes or none, durable when it answers.
    ///
    /// # Errors
    /// As [`KeepError`] says.
    fn write(&mut self, changes: &[Change]) -> Result<(), KeepError>;

    /// Whether a write would be likely to succeed.
    ///
    /// # Errors
    /// Why not, for the operator.
    fn check(&self) -> Result<(), KeepError>;
}

/// Who is told of what happens: log lines and metrics. Nothing here holds a token.
pub trait Observer: Send + Sync {
    /// A job has asked and was answered: the lease, or why not.
    fn exchanged(&self, attempt: &super::Attempt);
    /// A lease has changed its phase.
    fn moved(&self, lease: &Lease);
    /// A call to revoke has ended.
    fn revocation(&self, lease: &Lease, result: &'static str, late: Duration);
    /// A call to GitLab has ended; `status` is 0 where there was none.
    fn called(&self, target: &str, route: &'static str, status: u16, took: Duration);
    /// Something else that operators count: `reconcile-orphan`, `target-down`, `config-rotate`, …
    fn event(&self, event: super::Event<'_>);
}
