//! Keeps house: writes again what the store did not take, and forgets what nobody has to know any more.

use super::inner::Inner;
use super::ports::Change;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How often.
const OFTEN: Duration = Duration::from_secs(5);
/// Changes in one group: other writers do not wait for long.
const MANY: usize = 256;

/// Works until it is aborted.
pub(super) async fn run(inner: Arc<Inner>) {
    loop {
        tokio::time::sleep(OFTEN).await;
        if inner.writer.is_stopped() {
            continue;
        }
        while inner.write_again().await {}
        while inner.forget().await {}
    }
}

impl Inner {
    /// Writes leases of which the store may have an older state. Whether there may be more.
    async fn write_again(self: &Arc<Self>) -> bool {
        let (ids, written) = {
            let mut book = self.book();
            let ids: BTreeSet<_> = book.unwritten.iter().copied().take(MANY).collect();
            if ids.is_empty() {
                return false;
            }
            book.unwritten.retain(|id| !ids.contains(id));
            let changes = ids
                .iter()
                .filter_map(|id| book.get(*id))
                .map(|lease| Change::Lease(Box::new((**lease).clone())));
            let written = self.writer.write(changes.collect());
            (ids, written)
        };
        let result = written.await;
        if result.is_err() {
            self.book().unwritten.extend(&ids);
        }
        result.is_ok() && ids.len() == MANY
    }

    /// Forgets leases that have been over for long, and uses of ID tokens that have expired. Whether there may be more.
    async fn forget(&self) -> bool {
        // A clock that is ahead for a while brings no used ID token back: GitLab, which has dated them, must have come as far.
        let heard = self.sites.values().filter_map(|site| site.gitlab.heard_time()).max();
        let now = self.time.at_least().min(heard.unwrap_or_default());
        let keep = u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX);
        let since = crate::environment::UnixMillis(now.0.saturating_sub(keep));
        let (count, written) = {
            let mut book = self.book();
            let mut changes: Vec<_> =
                book.forget_ended(since, MANY).into_iter().map(Change::Forget).collect();
            changes.extend(book.uses.forget_before(now, MANY));
            if changes.is_empty() {
                return false;
            }
            (changes.len(), self.writer.write(changes))
        };
        // What the store did not forget is forgotten after the next start.
        written.await.is_ok() && count >= MANY
    }
}
