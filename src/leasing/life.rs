//! When something has to be done about a lease, and when nothing can be done any more.

use super::reconcile::SETTLED;
use crate::broker::{Expiry, Kind, Lease, Minted, Phase, Revocation};
use crate::environment::UnixMillis;
use std::time::Duration;

/// How long after GitLab's own end of a token it counts as dead without a word about the token: of the machines of one instance, the clock of one
/// may be behind another's.
pub(super) const MARGIN: Duration = Duration::from_secs(3600);
/// What lets a token replace itself.
const REPLACING: [&str; 2] = ["api", "self_rotate"];
/// How much later a successor may end: GitLab takes no date beyond a year, or 400 days where its operator wants that.
const LONGEST_SUCCESSION: Duration = Duration::from_secs(400 * 24 * 3600);
/// After this long without success somebody has to look.
pub(super) const STUCK: Duration = Duration::from_secs(600);

/// When GitLab will certainly have ended the token by itself; `None`: never. A date that was only asked for counts where the token was
/// never seen, and for deploy tokens, of which GitLab may not tell: another token without a date has none.
pub(super) fn ends_by_itself(lease: &Lease) -> Option<UnixMillis> {
    if !lease.kind.expires_at_gitlab() {
        return None;
    }
    let asked = lease.asked_expiry;
    let end = match lease.minted() {
        Some(Minted { expires: Some(told), .. }) => Some((*told).max(asked.unwrap_or(*told))),
        Some(_) if !matches!(lease.kind, Kind::ProjectDeploy | Kind::GroupDeploy) => None,
        _ => asked,
    };
    end.map(Expiry::moment)
}

/// Whether it certainly has, whatever became of it. `now`: what has passed by every clock.
pub(super) fn has_ended_by_itself(lease: &Lease, now: UnixMillis) -> bool {
    let longer = if may_replace_itself(lease) { LONGEST_SUCCESSION } else { Duration::ZERO };
    ends_by_itself(lease).is_some_and(|end| end.plus(MARGIN).plus(longer) <= now)
}

/// Whether whoever has the token can replace it by one of the same name that lives longer (`POST /personal_access_tokens/self/rotate`).
pub(super) fn may_replace_itself(lease: &Lease) -> bool {
    lease.kind.is_bearer() && lease.scopes.iter().any(|scope| REPLACING.contains(&scope.as_str()))
}

/// When somebody has to look at it next.
pub(super) fn due(lease: &Lease) -> Option<UnixMillis> {
    match (&lease.phase, lease.revocation) {
        (Phase::Active { .. }, Revocation::Gitlab) => Some(given(lease)),
        _ => lease.due(),
    }
}

/// When the token is to be dead, unless somebody wants it earlier: what is left to GitLab, when GitLab should have ended it.
fn given(lease: &Lease) -> UnixMillis {
    match lease.revocation {
        Revocation::Gitlab => ends_by_itself(lease).map_or(lease.deadline, |end| end.plus(MARGIN)),
        Revocation::Broker => lease.deadline,
    }
}

/// How late the token's end is. One that is dead is late where its name cannot be looked up.
pub(super) fn late(lease: &Lease, now: UnixMillis) -> Duration {
    match &lease.phase {
        phase if phase.is_settling() => Duration::ZERO,
        Phase::Revoking { confirmed: Some(at), .. } => now.since(at.plus(SETTLED)),
        Phase::Revoking { since, .. } => now.since((*since).min(given(lease))),
        _ => now.since(given(lease)),
    }
}
