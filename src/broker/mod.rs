//! Short-lived GitLab tokens for jobs: who may have which, and the life of a lease.
//!
//! Pure. A [`Grant`] says that a role gives a token to the job of a verified ID token; only [`Roles::grant`] makes one, and without one
//! nothing is minted. A [`Lease`] is what remains of it: it is written down before GitLab is asked, and ends when GitLab has confirmed that
//! the token is dead. `leasing` walks it from state to state.

mod braces;
mod expiry;
mod grant;
mod hosting;
mod kind;
mod lease;
mod name;
mod path;
mod refusal;
mod role;
mod roles;
mod scopes;
mod version;

pub use expiry::{Expiry, expiry_after};
pub use grant::{Grant, Job, Number, TokenRequest};
pub use hosting::Hosting;
pub use kind::Kind;
pub use lease::{Lease, LeaseId, Minted, Past, Phase};
pub use name::{NameFacts, NameFault, NameTemplate};
pub use path::{PathFault, PathRule, check_path, split_account};
pub use refusal::{Code, Refused};
pub use role::{
    Draft, LONGEST_AT_GITLAB, LONGEST_TTL, MAX_ACTIVE, PathText, Revocation, Role, RoleFault, SHORTEST_TTL,
    scope,
};
pub use roles::{Described, Explained, Roles};
pub use scopes::{AccessLevel, ScopeFault, check_scopes};
pub use version::GitlabVersion;
