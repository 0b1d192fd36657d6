//! A lease: one token of GitLab's, from before it exists until it certainly does not.

use super::{AccessLevel, Expiry, Job, Kind, Revocation};
use crate::environment::{Random, UnixMillis};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a token dies that nobody told to.
const DEADLINE: &str = "deadline";

/// A lease's name: 128 random bits, 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId([u8; 16]);

impl LeaseId {
    /// A new one.
    pub fn random(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(bytes)
    }

    /// From its text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        (text.len() == 32 && !text.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(())?;
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The key in a store.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseId({self})")
    }
}

impl Serialize for LeaseId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LeaseId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a lease id"))
    }
}

/// What is known of a token that GitLab has made. Not the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minted {
    /// GitLab's number for it.
    pub id: u64,
    /// Of the token's text, 64 lower-case hex digits; `None`: found by its name, so nobody but GitLab has seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// When GitLab ends it, as GitLab says; triggers have none, and deploy tokens may not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Expiry>,
}

/// Where a lease stands. Every change is durable before anybody acts on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// GitLab may have been asked for the token; whether it exists is not known. Ends by handing out, or by looking its name up.
    Intent,
    /// The token exists and was, or may have been, handed out.
    Active {
        /// It.
        minted: Minted,
    },
    /// It is to die now, and GitLab has not confirmed that it is dead.
    Revoking {
        /// It; `None`: an intent, whose name has to be looked up first.
        minted: Option<Minted>,
        /// Since when.
        since: UnixMillis,
        /// Why: `deadline`, `holder`, `operator`, `drain`, `reconcile`, `not_delivered`.
        why: String,
        /// How many calls have failed.
        tries: u32,
        /// No call before.
        next: UnixMillis,
        /// What the last call said, without a token.
        fault: String,
        /// Whether somebody has to look: it is tried on all the same.
        stuck: bool,
        /// When GitLab confirmed that it is dead, where it may have replaced itself: its name is looked up for a while longer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirmed: Option<UnixMillis>,
    },
    /// GitLab has confirmed that it is dead.
    Revoked {
        /// When.
        at: UnixMillis,
    },
    /// There never was a token.
    Aborted {
        /// When that was known.
        at: UnixMillis,
        /// Why there is none.
        why: String,
    },
    /// An operator has given it up: nobody knows that the token is dead, and nobody tries any more.
    Abandoned {
        /// When.
        at: UnixMillis,
        /// What the last call said.
        why: String,
    },
    /// GitLab's own expiry has passed.
    Expired {
        /// When that was seen.
        at: UnixMillis,
    },
}

impl Phase {
    /// The name in answers and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Active { .. } => "active",
            Self::Revoking { stuck: true, .. } => "stuck",
            Self::Revoking { .. } if self.is_settling() => "settling",
            Self::Revoking { .. } => "revoking",
            Self::Revoked { .. } => "revoked",
            Self::Aborted { .. } => "aborted",
            Self::Abandoned { .. } => "abandoned",
            Self::Expired { .. } => "expired",
        }
    }

    /// The codes, for metrics.
    pub const CODES: [&str; 9] =
        ["intent", "active", "revoking", "stuck", "settling", "revoked", "aborted", "abandoned", "expired"];

    /// Whether the token is dead, and only a successor that it may have had is still looked for.
    pub const fn is_settling(&self) -> bool {
        matches!(self, Self::Revoking { confirmed: Some(_), tries: 0, .. })
    }

    /// Whether there is nothing more to do: the token is dead, or never was, or is given up.
    pub const fn is_over(&self) -> bool {
        self.over_at().is_some()
    }

    /// When it was over.
    pub const fn over_at(&self) -> Option<UnixMillis> {
        match self {
            Self::Revoked { at }
            | Self::Aborted { at, .. }
            | Self::Abandoned { at, .. }
            | Self::Expired { at } => Some(*at),
            _ => None,
        }
    }
}

/// What is still told of a token whose lease is over: its number and digest are what somebody has who finds it later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// It.
    pub minted: Minted,
    /// Why it was to die, as [`Phase::Revoking`] has it.
    pub why: String,
}

/// A lease as it is stored and listed. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its name.
    pub id: LeaseId,
    /// The role that gave it.
    pub role: String,
    /// The instance, by its name in the configuration.
    pub target: String,
    /// The same by its URL: a name may come to mean another one, where the token is not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// The kind of token.
    pub kind: Kind,
    /// Whose token: a path of a project or group, a user's name, or `user/{number}`.
    pub path: String,
    /// GitLab's numbers for that, as the look-up before the call told them; empty where the path serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owner: Vec<u64>,
    /// The token's name at GitLab; it ends with the lease's.
    pub name: String,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// Its access level, where the kind has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_level: Option<AccessLevel>,
    /// Who asked.
    pub job: Job,
    /// When the intent was written.
    pub created: UnixMillis,
    /// When the broker ends it. With [`Revocation::Gitlab`]: when GitLab does.
    pub deadline: UnixMillis,
    /// Who ends it.
    pub revocation: Revocation,
    /// When GitLab was asked to end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_expiry: Option<Expiry>,
    /// Of a lease that is over, where there was a token. Some 200 octets, so that the most leases that are listed need 10 MB more for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<Box<Past>>,
    /// Where it stands.
    #[serde(flatten)]
    pub phase: Phase,
}

impl Lease {
    /// The same in another phase. One that is over keeps what is known of its token.
    #[must_use]
    pub fn moved_to(&self, phase: Phase) -> Self {
        let past = match &self.phase {
            _ if !phase.is_over() => None,
            // Nobody told it to: its time had come.
            Phase::Active { minted } => Some((minted, DEADLINE)),
            Phase::Revoking { minted: Some(minted), why, .. } => Some((minted, why.as_str())),
            _ => None,
        };
        let past = past.map(|(minted, why)| Box::new(Past { minted: minted.clone(), why: why.to_owned() }));
        Self { past: past.or_else(|| self.past.clone()), phase, ..self.clone() }
    }

    /// The token, where one is or was known.
    pub fn minted(&self) -> Option<&Minted> {
        match &self.phase {
            Phase::Active { minted } | Phase::Revoking { minted: Some(minted), .. } => Some(minted),
            _ => self.past.as_ref().map(|past| &past.minted),
        }
    }

    /// Why it dies, died, or never was.
    pub fn why(&self) -> Option<&str> {
        match &self.phase {
            Phase::Revoking { why, .. } | Phase::Aborted { why, .. } | Phase::Abandoned { why, .. } => {
                Some(why)
            }
            _ => self.past.as_ref().map(|past| past.why.as_str()),
        }
    }

    /// When somebody has to look at it next; `None`: never.
    pub const fn due(&self) -> Option<UnixMillis> {
        match &self.phase {
            Phase::Intent => Some(self.created),
            Phase::Active { .. } => Some(self.deadline),
            Phase::Revoking { next, .. } => Some(*next),
            _ => None,
        }
    }
}
