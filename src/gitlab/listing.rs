//! Lists, page by page to the end.

use super::RestClient;
use super::records::TokenRecord;
use super::routes::Route;
use super::transport::Call;
use crate::broker::{Kind, Minted};
use crate::leasing::ports::CallError;

/// The largest page that GitLab gives.
const PER_PAGE: usize = 100;
/// How many pages are read: ten thousand live tokens of one holder are no list to search, but a fault to be seen.
const MAX_PAGES: usize = 100;

impl RestClient {
    /// Live tokens with exactly this name.
    pub(super) async fn find_named(
        &self,
        route: &Route,
        kind: Kind,
        name: &str,
    ) -> Result<Vec<Minted>, CallError> {
        let is = |record: &TokenRecord| {
            let own = if kind == Kind::PipelineTrigger { &record.description } else { &record.name };
            record.is_live() && own.as_deref() == Some(name)
        };
        Ok(self.search(route, is).await?.iter().map(TokenRecord::found).collect())
    }

    /// Those for which `is` says yes.
    ///
    /// A list may get shorter while it is read, and what stood at the top of the next page then stands at the end of this one. So a list of
    /// several pages in which nothing was found is read once more, from its end.
    pub(super) async fn search(
        &self,
        route: &Route,
        is: impl Fn(&TokenRecord) -> bool,
    ) -> Result<Vec<TokenRecord>, CallError> {
        let mut found: Vec<TokenRecord> = Vec::new();
        let mut page = 1;
        loop {
            let (records, goes_on) = self.page(route, page).await?;
            found.extend(records.into_iter().filter(&is));
            if !goes_on {
                break;
            }
            if page == MAX_PAGES {
                let detail = format!("the list has more than {} entries", MAX_PAGES * PER_PAGE);
                return Err(CallError::Unknown { detail, retry_after: None });
            }
            page += 1;
        }
        if found.is_empty() {
            for page in (1..page).rev() {
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
