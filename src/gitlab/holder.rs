//! Whose token it is to be: the numbers behind a path.

use super::RestClient;
use super::records::{PlaceRecord, UserRecord};
use super::routes::{Route, segment};
use super::words;
use crate::broker::{Kind, split_account};
use crate::leasing::ports::{CallError, Holder};

impl RestClient {
    /// Looks the path up. Of impersonation it is `user/{number}`, and nothing is asked.
    pub(super) async fn look_up(&self, kind: Kind, path: &str) -> Result<Holder, CallError> {
        let owner = match kind {
            Kind::Impersonation => {
                let number = path.strip_prefix("user/").and_then(|number| number.parse().ok());
                vec![number.ok_or_else(|| refused("it is no number of a user", path))?]
            }
            Kind::Personal | Kind::UserServiceAccount => vec![self.user_named(path).await?],
            Kind::Project | Kind::ProjectDeploy | Kind::PipelineTrigger => vec![self.project(path).await?],
            Kind::Group | Kind::GroupDeploy => vec![self.group(path).await?],
            Kind::GroupServiceAccount | Kind::ProjectServiceAccount => {
                let (place, account) = split_account(kind, path);
                let account = account.ok_or_else(|| refused("it names no account", path))?;
                self.can_revoke().await?;
                let place = match kind {
                    Kind::GroupServiceAccount => self.group(place).await?,
                    _ => self.project(place).await?,
                };
                vec![place, self.user_named(account).await?]
            }
        };
        Ok(Holder { kind, path: path.to_owned(), owner })
    }

    /// Goes up by numbers: whatever is renamed meanwhile, it is what the token would be of.
    pub(super) async fn look_above(&self, holder: &Holder, steps: usize) -> Result<Option<u64>, CallError> {
        let Some(id) = holder.owner.first() else { return Ok(None) };
        let mut record: PlaceRecord = match holder.kind {
            Kind::Project | Kind::ProjectDeploy | Kind::PipelineTrigger | Kind::ProjectServiceAccount => {
                self.look(project_route(&id.to_string())).await?
            }
            Kind::Group | Kind::GroupDeploy | Kind::GroupServiceAccount => {
                self.look(group_route(&id.to_string())).await?
            }
            Kind::Impersonation | Kind::Personal | Kind::UserServiceAccount => return Ok(None),
        };
        for _ in 1..steps {
            let Some(above) = record.parent() else { return Ok(None) };
            record = self.look(group_route(&above.to_string())).await?;
        }
        Ok(record.parent())
    }

    /// Before 17.11 only administrators can revoke tokens of service accounts without having them: whoever is none must not make any.
    async fn can_revoke(&self) -> Result<(), CallError> {
        if !self.is_old().await? || self.ask_itself(None).await?.is_admin {
            return Ok(());
        }
        let detail =
            "before GitLab 17.11 only an administrator's credential can revoke tokens of service accounts";
        Err(CallError::Refused { status: 0, detail: detail.into() })
    }

    async fn user_named(&self, name: &str) -> Result<u64, CallError> {
        let route = Route::new("GET users", "users".into()).with("username", name);
        let users: Vec<UserRecord> = self.look(route).await?;
        // Names are unique whatever their case. Were the parameter ignored, the first hit would be anybody.
        let found = users.iter().find(|user| user.username.eq_ignore_ascii_case(name));
        found.map(|user| user.id).ok_or_else(|| CallError::Refused {
            status: 404,
            detail: format!("there is no user {}", words::fit(name)),
        })
    }

    async fn project(&self, path: &str) -> Result<u64, CallError> {
        named(&self.look(project_route(path)).await?, path)
    }

    async fn group(&self, path: &str) -> Result<u64, CallError> {
        named(&self.look(group_route(path)).await?, path)
    }
}

/// By a path, or by a number.
fn project_route(path: &str) -> Route {
    Route::new("GET projects/:id", format!("projects/{}", segment(path)))
}

fn group_route(path: &str) -> Route {
    Route::new("GET groups/:id", format!("groups/{}", segment(path))).with("with_projects", false)
}

/// The number, where the answer is about what was asked for: GitLab answers for an old path, too, and for a number.
fn named(place: &PlaceRecord, path: &str) -> Result<u64, CallError> {
    let is_number = !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_digit());
    let same = if is_number { place.id.to_string() == path } else { place.path().eq_ignore_ascii_case(path) };
    if same { Ok(place.id) } else { Err(refused("it is called otherwise now", path)) }
}

fn refused(why: &str, path: &str) -> CallError {
    CallError::Refused { status: 404, detail: format!("{}: {why}", words::fit(path)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_place_that_was_asked_for_is_one() {
        let place = |text| serde_json::from_str::<PlaceRecord>(text).unwrap();
        let project = place(r#"{"id":42,"path_with_namespace":"Acme/App"}"#);
        assert_eq!(named(&project, "acme/app"), Ok(42));
        assert_eq!(named(&project, "42"), Ok(42));
        for other in ["acme/other", "43", "042", ""] {
            assert!(named(&project, other).is_err(), "{other}");
        }
        let group = place(r#"{"id":7,"full_path":"acme"}"#);
        assert_eq!(named(&group, "acme"), Ok(7));
        assert!(named(&place(r#"{"id":7}"#), "acme").is_err());
        // What it lies in is told in another way of projects than of groups, and not at all of a group at the top.
        for (text, parent) in [
            (r#"{"id":42,"namespace":{"id":7,"parent_id":3}}"#, Some(7)),
            (r#"{"id":7,"parent_id":3}"#, Some(3)),
            (r#"{"id":7,"parent_id":null}"#, None),
            (r#"{"id":7}"#, None),
        ] {
            assert_eq!(place(text).parent(), parent, "{text}");
        }
    }
}
