//! How a GitLab is run, and what nobody gets there.

use super::Kind;

/// How a target is run: who can be an administrator there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hosting {
    /// The operator's own.
    #[default]
    SelfManaged,
    /// GitLab.com: no customer is an administrator.
    Saas,
    /// GitLab Dedicated.
    Dedicated,
}

impl Hosting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::SelfManaged, Self::Saas, Self::Dedicated];

    /// The name in configurations.
    pub const fn code(self) -> &'static str {
        match self {
            Self::SelfManaged => "self-managed",
            Self::Saas => "saas",
            Self::Dedicated => "dedicated",
        }
    }

    /// Why it makes no tokens of this kind; `None`: it does.
    pub const fn refuses(self, kind: Kind) -> Option<&'static str> {
        match (self, kind) {
            (Self::Saas, Kind::Impersonation | Kind::Personal) => {
                Some("needs an administrator's credential, which nobody has at GitLab.com")
            }
            (Self::Saas | Self::Dedicated, Kind::UserServiceAccount) => Some(
                "is for self-managed instances, which alone have service accounts of the instance; take group-service-account",
            ),
            _ => None,
        }
    }
}
