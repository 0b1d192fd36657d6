//! Short-lived GitLab tokens for jobs: who may have which, and the life of a lease.
//!
//! Pure. A [`Grant`] says that a role gives a token to the job of a verified ID token; only [`Roles::grant`] makes one, and without one
//! nothing is minted. A [`Lease`] is what remains of it: it is written down before GitLab is asked, and ends when GitLab has confirmed that
//! the token is dead. `leasing` walks it from state to state.

mod expiry;
mod grant;
mod kind;
mod lease;
mod name;
mod path;
mod refusal;
mod role;
mod scopes;
mod version;

pub use expiry::{Expiry, expiry_after};
pub use grant::{Grant, Job, TokenRequest};
pub use kind::Kind;
pub use lease::{Lease, LeaseId, Minted, Phase};
pub use name::{NameFault, NameTemplate};
pub use path::{PathFault, PathRule, check_path};
pub use refusal::{Code, Refused};
pub use role::{Revocation, Role, RoleFault, Roles, scope};
pub use scopes::{AccessLevel, ScopeFault, check_scopes};
pub use version::GitlabVersion;
