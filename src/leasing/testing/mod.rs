//! For tests: a GitLab in memory that does as a script says, a machine that crashes where it is told, and time that passes at once.

mod gitlab;
mod grants;
mod machine;

pub(super) use gitlab::{Fault, World};
pub(super) use grants::{grant, grant_of, role_of};
pub(super) use machine::{HERE, Machine, Seeded, Watch, finish, finish_asleep};
