//! Live leases of each role and of each of its projects, and those about to be.

use crate::broker::Job;
use std::collections::HashMap;

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::leasing) enum Full {
    /// The role has as many as it may.
    Role,
    /// The project has as many of the role's as it may.
    Project,
}

/// The counts.
#[derive(Debug, Default)]
pub(in crate::leasing) struct Places(HashMap<String, Taken>);

/// Of one role.
#[derive(Debug, Default)]
struct Taken {
    all: u32,
    /// By issuer and `project_id`.
    projects: HashMap<(String, String), u32>,
}

impl Places {
    /// A place, unless the role has `most` leases, or the job's project `of_project` of them.
    ///
    /// # Errors
    /// What is full.
    pub(in crate::leasing) fn take(
        &mut self,
        role: &str,
        job: &Job,
        most: u32,
        of_project: u32,
    ) -> Result<(), Full> {
        if let Some(taken) = self.0.get(role) {
            if taken.all >= most {
                return Err(Full::Role);
            }
            if taken.projects.get(&job.project()).is_some_and(|count| *count >= of_project) {
                return Err(Full::Project);
            }
        }
        self.add(role, job);
        Ok(())
    }

    /// The place of a lease that nobody had to ask for.
    pub(super) fn add(&mut self, role: &str, job: &Job) {
        let taken = self.0.entry(role.to_owned()).or_default();
        taken.all += 1;
        *taken.projects.entry(job.project()).or_default() += 1;
    }

    /// A place that no lease has any more.
    pub(in crate::leasing) fn leave(&mut self, role: &str, job: &Job) {
        let Some(taken) = self.0.get_mut(role) else { return };
        let project = job.project();
        if let Some(count) = taken.projects.get_mut(&project) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.projects.remove(&project);
            }
        }
        taken.all = taken.all.saturating_sub(1);
        if taken.all == 0 {
            self.0.remove(role);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_nothing_is_left_of_them() {
        let job = |id: &str| Job { project_id: id.to_owned(), ..Job::default() };
        let mut places = Places::default();
        let mut take = |id: &str| places.take("r", &job(id), 4, 2);
        assert_eq!([take("1"), take("1"), take("1")], [Ok(()), Ok(()), Err(Full::Project)]);
        assert_eq!([take("2"), take("2"), take("3")], [Ok(()), Ok(()), Err(Full::Role)]);
        places.leave("r", &job("1"));
        assert_eq!(places.take("r", &job("2"), 4, 2), Err(Full::Project));
        assert_eq!(places.take("r", &job("3"), 4, 2), Ok(()));
        for id in ["1", "2", "2", "3", "3"] {
            places.leave("r", &job(id));
        }
        assert!(places.0.is_empty());
    }
}
