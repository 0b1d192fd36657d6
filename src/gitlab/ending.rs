//! A token ends: GitLab says that it is revoked, or that it is not there.

use super::RestClient;
use super::records::TokenRecord;
use super::routes::Tokens;
use super::transport::Call;
use super::verdict::{Failure, is_of_the_place};
use crate::broker::{Kind, Minted};
use crate::leasing::ports::{CallError, Holder, Place};

impl RestClient {
    /// Revokes by number. A 404 that is not about the token is looked into: the token is dead where the holder's list does not have it, or
    /// where it died with a holder that is gone.
    pub(super) async fn end(&self, holder: &Holder, id: u64, place: &dyn Place) -> Result<(), CallError> {
        let tokens = self.tokens(holder).await?;
        let error = match self.end_among(&tokens, id).await {
            Ok(()) => return Ok(()),
            Err(Failure::Misplaced(error)) => error,
            Err(failure) => return Err(said(failure)),
        };
        let sudo = self.sudo.as_deref();
        let is = |record: &TokenRecord| record.id == id && record.is_live();
        match self.search(&tokens.list(None, sudo), is, place).await {
            Ok(found) if found.is_empty() => Ok(()),
            Ok(_) => Err(error),
            Err(listing) if is_of_the_place(&error) && is_of_the_place(&listing) => {
                match self.outlives(holder, error).await? {
                    Some(tokens) => self.end_among(&tokens, id).await.map_err(said),
                    None => Ok(()),
                }
            }
            Err(_) => Err(error),
        }
    }

    /// Live tokens of this holder with exactly this name. One that is gone has none, but where they outlive it.
    pub(super) async fn find_live(
        &self,
        holder: &Holder,
        name: &str,
        place: &dyn Place,
    ) -> Result<Vec<Minted>, CallError> {
        let sudo = self.sudo.as_deref();
        let list = self.tokens(holder).await?.list(Some(name), sudo);
        match self.find_named(&list, holder.kind, name, place).await {
            Err(error) if is_of_the_place(&error) => match self.outlives(holder, error).await? {
                Some(tokens) => {
                    self.find_named(&tokens.list(Some(name), sudo), holder.kind, name, place).await
                }
                None => Ok(Vec::new()),
            },
            found => found,
        }
    }

    async fn end_among(&self, tokens: &Tokens, id: u64) -> Result<(), Failure> {
        match self.ask(Call::end(tokens.end(id, self.sudo.as_deref()))).await {
            Ok(_) | Err(Failure::Gone) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// GitLab says that a holder is not there, which is true where it says so to an administrator, who sees everything. A user's tokens die with
    /// the user, those of a project or group, and their bots, with it. A service account is a user of its own: where its project or group is
    /// gone, its tokens are reached by their numbers, which are answered.
    ///
    /// # Errors
    /// Nobody can tell.
    async fn outlives(&self, holder: &Holder, error: CallError) -> Result<Option<Tokens>, CallError> {
        if !self.ask_itself(None).await?.is_admin {
            return Err(unseen(error));
        }
        let is_account = matches!(holder.kind, Kind::GroupServiceAccount | Kind::ProjectServiceAccount);
        Ok(is_account.then(|| Tokens::of(holder, true)).flatten())
    }
}

/// What a failure is where no answer needs to be told from others.
pub(super) fn said(failure: Failure) -> CallError {
    match failure {
        Failure::Certain(error) | Failure::Misplaced(error) | Failure::Doubtful(error) => error,
        // Only what was to end can be gone.
        Failure::Gone => CallError::Refused { status: 404, detail: "it is gone".into() },
    }
}

/// The words for whoever has to look.
fn unseen(error: CallError) -> CallError {
    match error {
        CallError::Refused { status, detail } => CallError::Refused {
            status,
            detail: format!("{detail}: deleted, or not seen by the main credential any more"),
        },
        other => other,
    }
}
