//! Lists, page by page to the end.
//!
//! Each page has the target's time for one call, and no page is asked for after a look-up has taken as long: it keeps others waiting, revocations of
//! this target and the rotation of its credential among them. A list that was not read to its end within its time gets twice as long the next
//! time, so that no list is too long for ever. It is not read on from where it stopped: meanwhile a token may have moved to a page before that.

use super::RestClient;
use super::records::TokenRecord;
use super::routes::Route;
use super::transport::Call;
use crate::broker::{Kind, Minted};
use crate::leasing::ports::CallError;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The largest page that GitLab gives.
const PER_PAGE: usize = 100;
/// How often the time is doubled: where a call has ten seconds, a list has over an hour in the end.
const MOST_DOUBLINGS: u32 = 9;
/// How many lists are remembered that took too long; beyond it all are forgotten, and begin anew.
const MOST_LISTS: usize = 1000;
/// How many hits are enough: whoever looks for a name ends what was found, and looks again.
const ENOUGH: usize = 1000;

/// How often in a row the time was too short, for each list by its path.
#[derive(Debug, Default)]
pub(super) struct LongLists(Mutex<HashMap<String, u32>>);

impl LongLists {
    /// What a look-up may take.
    fn limit(&self, path: &str, timeout: Duration) -> Duration {
        let lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        timeout.saturating_mul(1 << lists.get(path).copied().unwrap_or_default().min(MOST_DOUBLINGS))
    }

    fn was_too_long(&self, path: &str) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.len() >= MOST_LISTS && !lists.contains_key(path) {
            lists.clear();
        }
        let times = lists.entry(path.to_owned()).or_default();
        *times = times.saturating_add(1);
    }

    fn is_short(&self, path: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }
}

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

    /// Those for which `is` says yes; of very many the first.
    ///
    /// A list may get shorter while it is read, and what stood at the top of the next page then stands at the end of this one. So a list of
    /// several pages in which nothing was found is read once more, from its end.
    ///
    /// # Errors
    /// Those of a page; and [`CallError::Refused`] with 0 where the time is over: GitLab answers, and what it says is not known to its end.
    pub(super) async fn search(
        &self,
        route: &Route,
        is: impl Fn(&TokenRecord) -> bool,
    ) -> Result<Vec<TokenRecord>, CallError> {
        let timeout = self.transport.timeout;
        let limit = self.long_lists.limit(&route.path, timeout);
        let began = self.transport.stopwatch.elapsed();
        let took = || self.transport.stopwatch.elapsed().saturating_sub(began);
        let in_time = || {
            if took() < limit {
                return Ok(());
            }
            self.long_lists.was_too_long(&route.path);
            let seconds = limit.as_secs();
            let detail = format!(
                "the list has too many pages to be read within {seconds} s; the next time it has longer"
            );
            Err(CallError::Refused { status: 0, detail })
        };
        let mut found: Vec<TokenRecord> = Vec::new();
        let mut page = 1;
        loop {
            let (records, goes_on) = self.page(route, page).await?;
            found.extend(records.into_iter().filter(&is));
            if !goes_on || found.len() >= ENOUGH {
                break;
            }
            in_time()?;
            page += 1;
        }
        if found.is_empty() {
            for page in (1..page).rev() {
                in_time()?;
                found.extend(self.page(route, page).await?.0.into_iter().filter(&is));
            }
        }
        if took() < timeout {
            self.long_lists.is_short(&route.path);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_took_too_long_gets_twice_as_long_and_others_do_not() {
        let lists = LongLists::default();
        let limit = |path: &str| lists.limit(path, Duration::from_secs(10)).as_secs();
        for expected in [10, 20, 40] {
            assert_eq!((limit("long"), limit("short")), (expected, 10));
            lists.was_too_long("long");
        }
        (0..99).for_each(|_| lists.was_too_long("long"));
        assert_eq!(limit("long"), 5120);
        lists.is_short("long");
        assert_eq!(limit("long"), 10);
        (0..=MOST_LISTS).for_each(|number| lists.was_too_long(&number.to_string()));
        assert_eq!((limit("0"), limit("1000")), (10, 20), "what is remembered is bounded");
    }
}
