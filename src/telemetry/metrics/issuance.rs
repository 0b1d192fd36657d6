//! Issuances: by issuer and result, and the time of their steps.

use super::families::Families;
use super::{Metrics, UNKNOWN};
use crate::identity::Issuers;
use crate::issuance::{Course, Observer, Step};
use crate::policy::Policy;
use crate::refusal::{Fault, Reason};
use prometheus::{Histogram, IntCounter, IntCounterVec, Result};
use std::sync::{Mutex, PoisonError};

/// How an issuance may end.
const RESULTS: [&str; 3] = ["issued", "refused", "failed"];

pub struct Issuances {
    new_certificates: IntCounter,
    certificates: IntCounterVec,
    steps: [Histogram; Step::ALL.len()],
    /// The issuers that have counters.
    issuers: Mutex<Vec<String>>,
}

impl Issuances {
    /// With every issuer at zero, so that the first of anything is seen as an increase.
    pub fn new<'l>(families: &Families<'_>, issuers: impl Iterator<Item = &'l str>) -> Result<Self> {
        let certificates = families.counters(
            "countersign_certificates_total",
            "Requests for a certificate, by issuer (as configured) and result.",
            &["issuer", "result"],
        )?;
        let issuers: Vec<String> = issuers.map(str::to_owned).collect();
        for issuer in issuers.iter().map(String::as_str).chain([UNKNOWN]) {
            begin(&certificates, issuer)?;
        }
        let steps = families.histograms(
            "countersign_issuance_step_seconds",
            "How long each step of an issuance took.",
            &["step"],
        )?;
        let [token, keys, identity, possession, policy, precertificate, log, certificate] =
            Step::ALL.map(|step| steps.get_metric_with_label_values(&[step.name()]));
        Ok(Self {
            new_certificates: families
                .counter("fulcio_new_certs", "The total number of certificates generated")?,
            certificates,
            steps: [token?, keys?, identity?, possession?, policy?, precertificate?, log?, certificate?],
            issuers: Mutex::new(issuers),
        })
    }
}

/// Every result of an issuer at zero, where it has none yet.
fn begin(certificates: &IntCounterVec, issuer: &str) -> Result<()> {
    RESULTS
        .iter()
        .try_for_each(|result| certificates.get_metric_with_label_values(&[issuer, result]).map(drop))
}

impl Metrics {
    /// From now on these are the issuers and their rules: new ones begin at zero, and those that are gone are shown no more.
    pub fn follow(&self, issuers: &Issuers, policy: &Policy) {
        // An error: the number of labels is wrong, which every test would show.
        let _ = self.decisions.follow(issuers, policy);
        let Issuances { certificates, issuers: known, .. } = &self.issuances;
        let new: Vec<String> = issuers.labels().map(str::to_owned).collect();
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in known.iter().filter(|issuer| !new.contains(issuer)) {
            for result in RESULTS {
                // An error: there is no such counter any more, which is what is wanted.
                let _ = certificates.remove_label_values(&[gone, result]);
            }
        }
        for issuer in &new {
            // An error: the number of labels is wrong, which every test would show.
            let _ = begin(certificates, issuer);
        }
        *known = new;
    }
}

impl Observer for Metrics {
    fn ended(&self, course: &Course, refused: Option<Reason>) {
        let result = match refused.map(Reason::fault) {
            None => "issued",
            Some(Fault::Caller) => "refused",
            Some(Fault::Issuer | Fault::Server) => "failed",
        };
        let issuer = course.issuer().map_or(UNKNOWN, |issuer| &**issuer);
        // An error: the number of labels is wrong, which every test would show.
        if let Ok(counter) = self.issuances.certificates.get_metric_with_label_values(&[issuer, result]) {
            counter.inc();
        }
        if let Some(ruled) = course.ruled() {
            self.decisions.count(issuer, ruled);
        }
        if refused.is_none() {
            self.issuances.new_certificates.inc();
        }
        for (step, histogram) in Step::ALL.into_iter().zip(&self.issuances.steps) {
            if let Some(took) = course.took(step) {
                histogram.observe(took.as_secs_f64());
            }
        }
    }
}
