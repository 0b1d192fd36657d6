//! The suite's make-believe GitLab, and what that needs.

#[path = "../../suite/support/gitlab/mod.rs"]
pub mod gitlab;
#[path = "../../suite/support/secrets.rs"]
pub mod secrets;
