//! Issuances: by issuer and result, and the time of their steps.

use super::families::Families;
use super::{Metrics, UNKNOWN};
use crate::issuance::{Course, Observer, Step};
use crate::refusal::{Fault, Reason};
use prometheus::{Histogram, IntCounter, IntCounterVec, Result};

/// How an issuance may end.
const RESULTS: [&str; 3] = ["issued", "refused", "failed"];

pub struct Issuances {
    new_certificates: IntCounter,
    certificates: IntCounterVec,
    steps: [Histogram; Step::ALL.len()],
}

impl Issuances {
    /// With every issuer at zero, so that the first of anything is seen as an increase.
    pub fn new<'l>(families: &Families<'_>, issuers: impl Iterator<Item = &'l str>) -> Result<Self> {
        let certificates = families.counters(
            "countersign_certificates_total",
            "Requests for a certificate, by issuer (as configured) and result.",
            &["issuer", "result"],
        )?;
        for issuer in issuers.chain([UNKNOWN]) {
            for result in RESULTS {
                certificates.get_metric_with_label_values(&[issuer, result])?;
            }
        }
        let steps = families.histograms(
            "countersign_issuance_step_seconds",
            "How long each step of an issuance took.",
            &["step"],
        )?;
        let [token, keys, identity, possession, precertificate, log, certificate] =
            Step::ALL.map(|step| steps.get_metric_with_label_values(&[step.name()]));
        Ok(Self {
            new_certificates: families
                .counter("fulcio_new_certs", "The total number of certificates generated")?,
            certificates,
            steps: [token?, keys?, identity?, possession?, precertificate?, log?, certificate?],
        })
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
