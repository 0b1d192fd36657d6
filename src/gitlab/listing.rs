//! Lists, page by page to the end.
//!
//! Each page has the target's time for one call, and after each others go first: however long a list is, it is read to its end, and keeps nobody
//! waiting, neither revocations nor exchanges nor the rotation of the credential. It is not read on from where a page failed: meanwhile a token may
//! have moved to a page before that.

use super::RestClient;
use super::records::TokenRecord;
use super::routes::Route;
use super::transport::Call;
use crate::broker::{Kind, Minted};
use crate::leasing::ports::{CallError, Place};

/// The largest page that GitLab gives.
const PER_PAGE: usize = 100;
/// A list has no more pages: what goes on after a million tokens goes on for ever.
const MOST_PAGES: usize = 10_000;
/// How many hits are enough: whoever looks for a name ends what was found, and looks again.
const ENOUGH: usize = 1000;

impl RestClient {
    /// Live tokens with exactly this name.
    pub(super) async fn find_named(
        &self,
        route: &Route,
        kind: Kind,
        name: &str,
        place: &dyn Place,
    ) -> Result<Vec<Minted>, CallError> {
        let is = |record: &TokenRecord| {
            let own = if kind == Kind::PipelineTrigger { &record.description } else { &record.name };
            record.is_live() && own.as_deref() == Some(name)
        };
        Ok(self.search(route, is, place).await?.iter().map(TokenRecord::found).collect())
    }

    /// Those for which `is` says yes; of very many the first.
    ///
    /// A list may get shorter while it is read, and what stood at the top of the next page then stands at the end of this one. So a list of
    /// several pages in which nothing was found is read once more, from its end.
    ///
    /// # Errors
    /// Those of a page; and [`CallError::Refused`] with 0 where there is no last one: GitLab answers, and what it says is not known to its end.
    pub(super) async fn search(
        &self,
        route: &Route,
        is: impl Fn(&TokenRecord) -> bool,
        place: &dyn Place,
    ) -> Result<Vec<TokenRecord>, CallError> {
        let mut found: Vec<TokenRecord> = Vec::new();
        let mut page = 1;
        loop {
            let (records, goes_on) = self.page(route, page).await?;
            found.extend(records.into_iter().filter(&is));
            if !goes_on || found.len() >= ENOUGH {
                break;
            }
            if page >= MOST_PAGES {
                return Err(CallError::Refused { status: 0, detail: "the list has no end".to_owned() });
            }
            place.give_way().await;
            page += 1;
        }
        if found.is_empty() {
            for page in (1..page).rev() {
                place.give_way().await;
                found.extend(self.page(route, page).await?.0.into_iter().filter(&is));
            }
        }
        // A list that got longer shows some twice.
        found.sort_by_key(|record| record.id);
        found.dedup_by_key(|record| record.id);
        Ok(found)
    }

    async fn page(&self, route: &Route, page: usize) -> Result<(Vec<TokenRecord>, bool), CallError> {
        let route = route.clone().with("per_page", PER_PAGE).with("page", page);
        let answer = self.call(Call::look(route)).await?;
        let records: Vec<TokenRecord> = answer.read()?;
        let goes_on = answer.goes_on.unwrap_or(records.len() >= PER_PAGE);
        Ok((records, goes_on))
    }
}
