//! What tokens may do: the scopes and access levels that each kind has, and since which GitLab.
//!
//! As GitLab's REST API documents them. Which version a GitLab is, is learnt from it; where that is not known, nothing is too new.

use super::{GitlabVersion, Kind};
use crate::spelling::nearest;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whose tokens have a scope.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    User,
    Project,
    Group,
    Deploy,
}

/// A scope, its first version, and who has it.
type Row = (&'static str, Option<GitlabVersion>, &'static [Holder]);

const fn since(major: u16, minor: u16) -> Option<GitlabVersion> {
    Some(GitlabVersion::of(major, minor))
}

const TABLE: [Row; 19] = {
    use Holder::{Deploy, Group, Project, User};
    [
        ("api", None, &[User, Project, Group]),
        ("read_api", None, &[User, Project, Group]),
        ("read_user", None, &[User]),
        ("read_repository", None, &[User, Project, Group, Deploy]),
        ("write_repository", None, &[User, Project, Group]),
        ("read_registry", None, &[User, Project, Group, Deploy]),
        ("write_registry", None, &[User, Project, Group, Deploy]),
        ("read_package_registry", None, &[Deploy]),
        ("write_package_registry", None, &[Deploy]),
        ("read_virtual_registry", since(18, 0), &[User, Group, Deploy]),
        ("write_virtual_registry", since(18, 0), &[User, Group, Deploy]),
        ("sudo", None, &[User]),
        ("admin_mode", None, &[User]),
        ("create_runner", None, &[User, Project, Group]),
        ("manage_runner", since(17, 1), &[User, Project, Group]),
        ("read_service_ping", since(17, 1), &[User]),
        ("ai_features", None, &[User, Project, Group]),
        ("k8s_proxy", None, &[User, Project, Group]),
        ("self_rotate", since(17, 9), &[User, Project, Group]),
    ]
};

/// `None`: tokens of this kind have no scopes.
const fn holder(kind: Kind) -> Option<Holder> {
    match kind {
        Kind::Impersonation | Kind::Personal | Kind::UserServiceAccount => Some(Holder::User),
        Kind::Project => Some(Holder::Project),
        Kind::Group | Kind::GroupServiceAccount | Kind::ProjectServiceAccount => Some(Holder::Group),
        Kind::ProjectDeploy | Kind::GroupDeploy => Some(Holder::Deploy),
        Kind::PipelineTrigger => None,
    }
}

/// What is wrong with a role's scopes or its access level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeFault {
    /// There is none, and GitLab makes no token without.
    #[error("is empty, and GitLab makes no token without a scope; there are {}", names_of(*.0).join(", "))]
    Missing(Kind),
    /// Triggers have none.
    #[error("is not for {0}, which has no scopes; remove it")]
    NotForKind(Kind),
    /// GitLab has no such scope.
    #[error("{scope:?} is no scope of {kind}; {advice}")]
    Unknown {
        /// As it is written.
        scope: String,
        /// The role's kind.
        kind: Kind,
        /// What there is.
        advice: String,
    },
    /// It stands there twice.
    #[error("names {0} a second time")]
    Twice(String),
    /// This GitLab does not have it yet.
    #[error("{name} is there since GitLab {}.{}, and this one is {}.{}", .since.major, .since.minor, .version.major, .version.minor)]
    TooNew {
        /// The scope or the access level.
        name: String,
        /// Its first version.
        since: GitlabVersion,
        /// The target's version.
        version: GitlabVersion,
    },
}

fn names_of(kind: Kind) -> Vec<&'static str> {
    let holder = holder(kind);
    TABLE.iter().filter(|row| holder.is_some_and(|holder| row.2.contains(&holder))).map(|row| row.0).collect()
}

/// Everything that is wrong with these scopes for this kind. `version`: the target's; `None`: not known.
pub fn check_scopes(kind: Kind, scopes: &[String], version: Option<GitlabVersion>) -> Vec<ScopeFault> {
    let Some(holder) = holder(kind) else {
        return if scopes.is_empty() { Vec::new() } else { vec![ScopeFault::NotForKind(kind)] };
    };
    if scopes.is_empty() {
        return vec![ScopeFault::Missing(kind)];
    }
    let mut faults = Vec::new();
    for (index, scope) in scopes.iter().enumerate() {
        if scopes.iter().take(index).any(|other| other == scope) {
            faults.push(ScopeFault::Twice(scope.clone()));
            continue;
        }
        match TABLE.iter().find(|row| row.0 == scope && row.2.contains(&holder)) {
            None => faults.push(unknown(kind, scope)),
            Some((name, since, _)) => faults.extend(too_new(name, *since, version)),
        }
    }
    faults
}

/// Of what was checked before: what an instance of this version does not have.
pub(super) fn check_since(
    kind: Kind,
    scopes: &[String],
    level: Option<AccessLevel>,
    version: GitlabVersion,
) -> Vec<ScopeFault> {
    let mut faults = check_scopes(kind, scopes, Some(version));
    faults.extend(level.and_then(|level| level.check(Some(version))));
    faults
}

fn unknown(kind: Kind, scope: &str) -> ScopeFault {
    let names = names_of(kind);
    let advice = match nearest(scope, names.iter().copied(), |_| 2) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("there are {}", names.join(", ")),
    };
    ScopeFault::Unknown { scope: scope.chars().take(64).collect(), kind, advice }
}

fn too_new(name: &str, since: Option<GitlabVersion>, version: Option<GitlabVersion>) -> Option<ScopeFault> {
    let (since, version) = (since?, version?);
    (version < since).then(|| ScopeFault::TooNew { name: name.to_owned(), since, version })
}

macro_rules! levels {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $number:literal, $since:expr;)+) => {
        /// What the bot user of a project's or a group's token is there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum AccessLevel { $($(#[doc = $doc])+ $name,)+ }

        impl AccessLevel {
            /// All of them, from the least.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name in configurations and answers.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// GitLab's number, which its API takes.
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $number,)+ }
            }

            /// The first GitLab that has it; `None`: every one that there is.
            pub const fn since(self) -> Option<GitlabVersion> {
                match self { $(Self::$name => $since,)+ }
            }
        }
    };
}

levels! {
    /// Sees issues and little more.
    Guest = "guest", 10, None;
    /// Plans: issues, epics, boards.
    Planner = "planner", 15, since(17, 7);
    /// Reads code.
    Reporter = "reporter", 20, None;
    /// Manages what security scanners find.
    SecurityManager = "security_manager", 25, since(18, 11);
    /// Writes code.
    Developer = "developer", 30, None;
    /// Changes settings, and makes tokens.
    Maintainer = "maintainer", 40, None;
    /// Everything.
    Owner = "owner", 50, None;
}

impl AccessLevel {
    /// The one with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|level| level.code() == text)
    }

    /// What is wrong with it for a target of this version; `None`: not known.
    pub fn check(self, version: Option<GitlabVersion>) -> Option<ScopeFault> {
        too_new(self.code(), self.since(), version)
    }
}

impl fmt::Display for AccessLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for AccessLevel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for AccessLevel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an access level"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(kind: Kind, scopes: &[&str], version: Option<(u16, u16)>) -> Vec<String> {
        let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let version = version.map(|(major, minor)| GitlabVersion::of(major, minor));
        check_scopes(kind, &scopes, version).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_kind_has_scopes_of_its_own() {
        for (kind, count, without) in [
            (Kind::Impersonation, 17, "read_package_registry"),
            (Kind::Personal, 17, "write_package_registry"),
            (Kind::UserServiceAccount, 17, "x"),
            (Kind::Project, 11, "read_virtual_registry"),
            (Kind::Group, 13, "sudo"),
            (Kind::GroupServiceAccount, 13, "read_user"),
            (Kind::ProjectServiceAccount, 13, "admin_mode"),
            (Kind::ProjectDeploy, 7, "write_repository"),
            (Kind::GroupDeploy, 7, "api"),
        ] {
            let names = names_of(kind);
            assert_eq!(names.len(), count, "{kind}: {names:?}");
            assert_eq!(faults(kind, &names, None), [""; 0]);
            assert_eq!(faults(kind, &[names[0], without], None).len(), 1, "{kind} {without}");
            assert_eq!(faults(kind, &[], None).len(), 1, "{kind}");
        }
        assert!(faults(Kind::PipelineTrigger, &[], None).is_empty());
        assert_eq!(faults(Kind::PipelineTrigger, &["api"], None).len(), 1);
    }

    /// Defect 3: what a release had brought was refused on that very release, because its version ends in `-ee`.
    #[test]
    fn defect_3_a_release_has_what_it_brought() {
        for (name, kind, major, minor) in [
            ("manage_runner", Kind::Project, 17, 1),
            ("self_rotate", Kind::Group, 17, 9),
            ("read_virtual_registry", Kind::GroupDeploy, 18, 0),
            ("read_service_ping", Kind::Personal, 17, 1),
        ] {
            let text = format!("{major}.{minor}.0-ee");
            let version = GitlabVersion::parse(&text).expect("a version");
            assert_eq!(faults(kind, &[name], Some((version.major, version.minor))), [""; 0], "{text}");
            let before = if minor == 0 { (major - 1, 11) } else { (major, minor - 1) };
            let told = faults(kind, &[name], Some(before));
            assert_eq!(
                told,
                [format!(
                    "{name} is there since GitLab {major}.{minor}, and this one is {}.{}",
                    before.0, before.1
                )]
            );
        }
        let of = |text| GitlabVersion::parse(text);
        assert_eq!(AccessLevel::SecurityManager.check(of("18.11.0-ee")), None);
        assert!(AccessLevel::SecurityManager.check(of("18.10.9-ee")).is_some());
        assert!(AccessLevel::Planner.check(of("17.6.0")).is_some());
        assert_eq!(AccessLevel::Planner.check(None), None);
        assert_eq!(AccessLevel::Guest.check(of("9.0")), None);
    }

    #[test]
    fn levels_have_gitlabs_numbers() {
        let numbers: Vec<_> = AccessLevel::ALL.iter().map(|level| level.number()).collect();
        assert_eq!(numbers, [10, 15, 20, 25, 30, 40, 50]);
        for level in AccessLevel::ALL {
            assert_eq!(AccessLevel::parse(level.code()), Some(*level));
        }
        for none in ["no_permissions", "minimal_access", "Owner", "50", ""] {
            assert_eq!(AccessLevel::parse(none), None);
        }
    }

    #[test]
    fn what_is_wrong_with_a_scope_is_said() {
        assert_eq!(
            faults(Kind::Project, &["read_apo"], None),
            [r#""read_apo" is no scope of project; did you mean read_api?"#]
        );
        assert_eq!(faults(Kind::Project, &["api", "api"], None), ["names api a second time"]);
        assert_eq!(
            faults(Kind::ProjectDeploy, &["x"], None),
            [
                r#""x" is no scope of project-deploy; there are read_repository, read_registry, write_registry, read_package_registry, write_package_registry, read_virtual_registry, write_virtual_registry"#
            ]
        );
    }
}
