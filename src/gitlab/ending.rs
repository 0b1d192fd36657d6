//! A token ends: GitLab says that it is revoked, or that it is not there.

use super::RestClient;
use super::transport::Call;
use super::verdict::{Failure, is_of_the_place};
use crate::leasing::ports::{CallError, Holder};

impl RestClient {
    /// Revokes by number. A 404 that is not about the token is looked into: the token is dead where the holder's list does not have it, or
    /// where the holder is gone for an administrator, who sees everything.
    pub(super) async fn end(&self, holder: &Holder, id: u64) -> Result<(), CallError> {
        let sudo = self.sudo.as_deref();
        let tokens = self.tokens(holder).await?;
        let error = match self.ask(Call::end(tokens.end(id, sudo))).await {
            Ok(_) | Err(Failure::Gone) => return Ok(()),
            Err(Failure::Misplaced(error)) => error,
            Err(Failure::Certain(error) | Failure::Doubtful(error)) => return Err(error),
        };
        match self.search(&tokens.list(None, sudo), |record| record.id == id && record.is_live()).await {
            Ok(found) if found.is_empty() => Ok(()),
            Ok(_) => Err(error),
            Err(listing) if is_of_the_place(&error) && is_of_the_place(&listing) => {
                if self.ask_itself(None).await?.is_admin { Ok(()) } else { Err(unseen(error)) }
            }
            Err(_) => Err(error),
        }
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
