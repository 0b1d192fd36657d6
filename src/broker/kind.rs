//! The kinds of GitLab tokens.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal;)+) => {
        /// A kind of token, as roles name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($(#[doc = $doc])+ $name,)+ }

        impl Kind {
            /// All of them, in the order of docs/BROKER.md.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name in configurations, answers and metrics.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }
        }
    };
}

kinds! {
    /// Acts as the user who triggered the job; `POST /users/:id/impersonation_tokens`, administrators only.
    Impersonation = "impersonation";
    /// Of a named user; `POST /users/:id/personal_access_tokens`, administrators only.
    Personal = "personal";
    /// Of a project, with a bot user of its own.
    Project = "project";
    /// Of a group, with a bot user of its own.
    Group = "group";
    /// Of a service account of the instance; administrators only.
    UserServiceAccount = "user-service-account";
    /// Of a service account of a group.
    GroupServiceAccount = "group-service-account";
    /// Of a service account of a project.
    ProjectServiceAccount = "project-service-account";
    /// A project's deploy token: a user name and a password, no API.
    ProjectDeploy = "project-deploy";
    /// A group's deploy token.
    GroupDeploy = "group-deploy";
    /// Triggers pipelines of a project, and has no expiry at GitLab.
    PipelineTrigger = "pipeline-trigger";
}

impl Kind {
    /// The kind with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == text)
    }

    /// Whether GitLab ends the token itself, some day.
    pub const fn expires_at_gitlab(self) -> bool {
        !matches!(self, Self::PipelineTrigger)
    }

    /// Whether the token goes into `Authorization: Bearer` (RFC 6750) of GitLab's API.
    pub const fn is_bearer(self) -> bool {
        !matches!(self, Self::ProjectDeploy | Self::GroupDeploy | Self::PipelineTrigger)
    }

    /// Whether roles of this kind name an access level.
    pub const fn has_access_level(self) -> bool {
        matches!(self, Self::Project | Self::Group)
    }

    /// Whether the token is a user's own or a service account's: tokens of the same user are told apart by their name alone.
    pub const fn is_of_a_user(self) -> bool {
        matches!(
            self,
            Self::Impersonation
                | Self::Personal
                | Self::UserServiceAccount
                | Self::GroupServiceAccount
                | Self::ProjectServiceAccount
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a kind of token"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_as_it_is_written() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.code()), Some(*kind));
        }
        assert_eq!(Kind::parse("Project"), None);
    }
}
