//! GitLab's version, as far as it matters: `19.1.1-ee` is 19.1.

use std::fmt;

/// Major and minor: scopes and access levels appear with minor releases, whatever the edition, patch or pre-release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitlabVersion {
    /// 19 of 19.1.
    pub major: u16,
    /// 1 of 19.1.
    pub minor: u16,
}

impl GitlabVersion {
    /// From what `GET /metadata` answers; `None`: it does not begin with two numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(['.', '-', '+']).map(|part| part.parse::<u16>().ok());
        Some(Self { major: numbers.next()??, minor: numbers.next()?? })
    }

    /// This one.
    pub const fn of(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for GitlabVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Defect 3 of the Vault plugin: by the order of pre-releases 17.9.0-ee was older than 17.9.
    #[test]
    fn editions_and_pre_releases_are_of_their_minor_version() {
        for text in ["17.9", "17.9.0", "17.9.0-ee", "17.9.2-ce.0", "17.9.0-pre", "17.9-ee"] {
            assert_eq!(GitlabVersion::parse(text), Some(GitlabVersion::of(17, 9)), "{text}");
        }
        for text in ["", "17", "v17.9", "17.x", "-1.2", "99999.1"] {
            assert_eq!(GitlabVersion::parse(text), None, "{text}");
        }
        assert!(GitlabVersion::of(18, 11) > GitlabVersion::of(18, 9));
    }
}
