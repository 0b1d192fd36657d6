//! What GitLab's answers are read into: the members that matter, whatever else there is. None of it can be shown, since some have a token.

use crate::broker::{Expiry, GitlabVersion, Minted};
use crate::environment::UnixMillis;
use crate::leasing::ports::{Credential, Made, Secret, User};
use chrono::DateTime;
use serde::Deserialize;
use zeroize::Zeroize;

/// The longest text that can be a token, in octets.
const LONGEST_TOKEN: usize = 1024;

/// A token of any kind. Older versions have fewer members, newer ones more.
#[derive(Deserialize)]
pub struct TokenRecord {
    pub id: u64,
    #[serde(default)]
    pub name: Option<String>,
    /// The name of a trigger.
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub revoked: Option<bool>,
    #[serde(default)]
    pub active: Option<bool>,
    #[serde(default)]
    pub expired: Option<bool>,
    #[serde(default)]
    pub created_at: Option<String>,
    #[serde(default)]
    pub expires_at: Option<String>,
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    #[serde(default)]
    pub user_id: Option<u64>,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    token: Option<String>,
}

impl Drop for TokenRecord {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl TokenRecord {
    /// Whether it may open something: nothing says that it does not.
    pub fn is_live(&self) -> bool {
        self.revoked != Some(true) && self.active != Some(false) && self.expired != Some(true)
    }

    /// Its end, as GitLab says.
    pub fn expires(&self) -> Option<Expiry> {
        self.expires_at.as_deref().and_then(Expiry::parse)
    }

    /// The token's text, which is there once; `None`: it is not there, or cannot be one.
    pub fn take_token(&mut self) -> Option<Secret> {
        let text = self.token.take()?;
        let fits =
            (1..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let secret = Secret::new(text);
        fits.then_some(secret)
    }

    /// As one that was just made; `None`: without its text.
    pub fn into_made(mut self) -> Option<Made> {
        let token = self.take_token()?;
        let minted = Minted { id: self.id, sha256: Some(token.sha256()), expires: self.expires() };
        Some(Made { minted, token, username: self.username.take() })
    }

    /// As one that was found.
    pub fn found(&self) -> Minted {
        Minted { id: self.id, sha256: None, expires: self.expires() }
    }

    /// As the main credential; `None`: it does not say whose it is.
    pub fn credential(&self, is_admin: bool) -> Option<Credential> {
        let created = self.created_at.as_deref().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        let created = created.and_then(|time| u64::try_from(time.timestamp_millis()).ok()).map(UnixMillis);
        Some(Credential {
            id: self.id,
            user_id: self.user_id?,
            name: self.name.clone().unwrap_or_default(),
            scopes: self.scopes.clone().unwrap_or_default(),
            expires: self.expires(),
            created,
            is_admin,
        })
    }
}

/// A user.
#[derive(Deserialize)]
pub struct UserRecord {
    pub id: u64,
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    pub state: String,
    /// Said to administrators alone.
    #[serde(default)]
    pub is_admin: Option<bool>,
    #[serde(default)]
    pub bot: Option<bool>,
}

impl UserRecord {
    /// What is not said is taken for the worse.
    pub fn user(&self) -> User {
        User {
            is_active: self.state == "active",
            is_admin: self.is_admin.unwrap_or(true),
            is_bot: self.bot.unwrap_or(true),
        }
    }
}

/// A project or a group.
#[derive(Deserialize)]
pub struct PlaceRecord {
    pub id: u64,
    #[serde(default)]
    path_with_namespace: Option<String>,
    #[serde(default)]
    full_path: Option<String>,
    /// Of a group: the one that it lies in.
    #[serde(default)]
    parent_id: Option<u64>,
    /// Of a project: the group, or the user, that has it.
    #[serde(default)]
    namespace: Option<NamespaceRecord>,
}

/// What a project lies in.
#[derive(Deserialize)]
struct NamespaceRecord {
    id: u64,
}

impl PlaceRecord {
    /// The number of what it lies in; `None`: of nothing, or GitLab does not say.
    pub fn parent(&self) -> Option<u64> {
        self.namespace.as_ref().map(|namespace| namespace.id).or(self.parent_id)
    }

    /// Its full path.
    pub fn path(&self) -> &str {
        self.path_with_namespace.as_deref().or(self.full_path.as_deref()).unwrap_or_default()
    }
}

/// What GitLab says of itself.
#[derive(Deserialize)]
pub struct MetadataRecord {
    #[serde(default)]
    version: String,
    #[serde(default)]
    enterprise: Option<bool>,
}

impl MetadataRecord {
    /// Version, and whether it is the enterprise edition: before 15.6 only the version said so.
    pub fn version(&self) -> (Option<GitlabVersion>, bool) {
        (GitlabVersion::parse(&self.version), self.enterprise.unwrap_or_else(|| self.version.contains("-ee")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> TokenRecord {
        serde_json::from_str(text).unwrap()
    }

    /// As GitLab 16.11 and 19.1 were recorded; the text is made up.
    #[test]
    fn tokens_of_old_and_new_versions_are_read() {
        let old = r#"{"id":54,"name":"project","revoked":false,"created_at":"2024-12-14T22:56:09.660Z","scopes":["read_api"],
            "user_id":10,"last_used_at":null,"active":true,"expires_at":"2025-03-18","access_level":40,"token":"glpat-a"}"#;
        let made = token(old).into_made().unwrap();
        assert_eq!((made.minted.id, made.token.expose()), (54, "glpat-a"));
        assert_eq!(made.minted.expires, Expiry::parse("2025-03-18"));
        assert_eq!(made.minted.sha256, Some(made.token.sha256()));
        let new = r#"{"id":1,"granular":false,"last_used_ips":[],"description":null,"expires_at":null,"user_id":7,
            "scopes":["api"],"name":"main","created_at":"1970-01-01T00:00:01.500Z"}"#;
        let credential = token(new).credential(true).unwrap();
        assert_eq!((credential.user_id, credential.expires, credential.is_admin), (7, None, true));
        assert_eq!(credential.created, Some(UnixMillis(1500)));
        let deploy = r#"{"id":2,"name":"d","username":"gitlab+deploy-token-2","expires_at":"2026-02-04T00:00:00.000Z",
            "scopes":["read_repository"],"revoked":false,"expired":false,"token":"gldt-b"}"#;
        let deploy = token(deploy).into_made().unwrap();
        assert_eq!(deploy.username.as_deref(), Some("gitlab+deploy-token-2"));
        assert_eq!(deploy.minted.expires, Expiry::parse("2026-02-04"));
    }

    #[test]
    fn an_answer_without_a_token_that_can_be_one_is_none() {
        for text in ["", r#","token":null"#, r#","token":"""#, r#","token":"a b""#, r#","token":"a\nb""#] {
            assert!(token(&format!(r#"{{"id":1{text}}}"#)).into_made().is_none(), "{text}");
        }
        let long = "x".repeat(LONGEST_TOKEN + 1);
        assert!(token(&format!(r#"{{"id":1,"token":"{long}"}}"#)).into_made().is_none());
        for text in ["{}", r#"{"id":-1}"#, r#"{"id":"1"}"#, r#"{"id":1.5}"#, r#"{"id":1,"id":2}"#, "[]", "1"]
        {
            assert!(serde_json::from_str::<TokenRecord>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_said_of_a_user_is_taken_for_the_worse() {
        let user = |text| serde_json::from_str::<UserRecord>(text).unwrap().user();
        let good = User { is_active: true, is_admin: false, is_bot: false };
        assert_eq!(user(r#"{"id":1,"state":"active","is_admin":false,"bot":false}"#), good);
        let bad = User { is_active: false, is_admin: true, is_bot: true };
        assert_eq!(user(r#"{"id":1}"#), bad);
        assert!(!user(r#"{"id":1,"state":"blocked","is_admin":false,"bot":false}"#).is_active);
    }

    #[test]
    fn only_what_is_said_to_be_dead_is_dead() {
        assert!(token(r#"{"id":1}"#).is_live());
        for dead in [r#""revoked":true"#, r#""active":false"#, r#""expired":true"#] {
            assert!(!token(&format!(r#"{{"id":1,{dead}}}"#)).is_live(), "{dead}");
        }
    }
}
