//! The main credential: what it is, a second one like it, and its rotation.

use super::RestClient;
use super::records::{TokenRecord, UserRecord};
use super::routes::Route;
use super::transport::{Call, unreadable};
use super::verdict::Failure;
use crate::broker::Expiry;
use crate::leasing::ports::{CallError, Credential, Place, Secret};
use serde_json::json;

/// Where a credential asks about itself.
pub(super) fn itself() -> Route {
    Route::new("GET personal_access_tokens/self", "personal_access_tokens/self".into())
}

impl RestClient {
    /// What GitLab says of the credential, or of another one. Whether its user is an administrator it says to administrators alone.
    pub(super) async fn ask_itself(&self, credential: Option<&Secret>) -> Result<Credential, CallError> {
        let look = |route| Call { credential, ..Call::look(route) };
        let answer = self.transport.send(look(itself())).await.map_err(of_itself)?;
        let record: TokenRecord = answer.read()?;
        let user_id = record.user_id.ok_or_else(unreadable)?;
        if !record.is_live() {
            return Err(CallError::Credential { status: 401, detail: "it is revoked or expired".into() });
        }
        let route = Route::new("GET users/:id", format!("users/{user_id}"));
        let is_admin = match self.transport.send(look(route)).await {
            Ok(answer) => {
                let user: UserRecord = answer.read()?;
                user.id == user_id && user.is_admin == Some(true)
            }
            // A credential that may not look at users does not act as an administrator.
            Err(
                Failure::Doubtful(_)
                | Failure::Misplaced(_)
                | Failure::Certain(CallError::Refused { .. } | CallError::Credential { .. }),
            ) => false,
            Err(failure) => return Err(of_itself(failure)),
        };
        record.credential(is_admin).ok_or_else(unreadable)
    }

    /// Another credential of the same user with the same scopes.
    pub(super) async fn make_second(
        &self,
        like: &Credential,
        name: &str,
        expiry: Expiry,
    ) -> Result<(Credential, Secret), CallError> {
        let path = format!("users/{}/personal_access_tokens", like.user_id);
        let route = Route::new("POST users/:id/personal_access_tokens", path);
        let body = json!({ "name": name, "scopes": like.scopes, "expires_at": expiry.date() });
        made(self.call(Call::make(route, body)).await?.read()?, like.is_admin)
    }

    /// The old one is dead as soon as GitLab has worked on this, whether the answer comes or not.
    pub(super) async fn rotate_itself(&self, expiry: Expiry) -> Result<(Credential, Secret), CallError> {
        // Known after: the old one cannot be asked then.
        let is_admin = self.ask_itself(None).await?.is_admin;
        let label = "POST personal_access_tokens/self/rotate";
        let route = Route::new(label, "personal_access_tokens/self/rotate".into());
        let call = Call::make(route, json!({ "expires_at": expiry.date() }));
        // Not with `call`: a question about a credential that may just have been replaced says nothing.
        made(self.transport.send(call).await.map_err(of_itself)?.read()?, is_admin)
    }

    /// Live credentials of this user with this name.
    pub(super) async fn find_seconds(
        &self,
        user_id: u64,
        name: &str,
        place: &dyn Place,
    ) -> Result<Vec<u64>, CallError> {
        let route = Route::new("GET personal_access_tokens", "personal_access_tokens".into());
        let route = route.with("user_id", user_id).with("state", "active").with("search", name);
        let is = |record: &TokenRecord| {
            record.is_live() && record.user_id == Some(user_id) && record.name.as_deref() == Some(name)
        };
        Ok(self.search(&route, is, place).await?.iter().map(|record| record.id).collect())
    }

    /// By number; one that is not there is ended.
    pub(super) async fn end_credential(&self, id: u64) -> Result<(), CallError> {
        let path = format!("personal_access_tokens/{id}");
        match self.ask(Call::end(Route::new("DELETE personal_access_tokens/:id", path))).await {
            Ok(_) | Err(Failure::Gone) => Ok(()),
            Err(Failure::Certain(error) | Failure::Misplaced(error) | Failure::Doubtful(error)) => Err(error),
        }
    }
}

fn made(mut record: TokenRecord, is_admin: bool) -> Result<(Credential, Secret), CallError> {
    let credential = record.credential(is_admin).ok_or_else(unreadable)?;
    Ok((credential, record.take_token().ok_or_else(unreadable)?))
}

/// About itself a 401 is about the credential.
fn of_itself(failure: Failure) -> CallError {
    match failure {
        Failure::Doubtful(CallError::Refused { status, detail }) => CallError::Credential { status, detail },
        Failure::Certain(error) | Failure::Misplaced(error) | Failure::Doubtful(error) => error,
        Failure::Gone => unreadable(),
    }
}
