//! Durations, kept to three per cent, in a few kilobytes.

use std::time::Duration;

/// Steps between one power of two and the next.
const STEPS: usize = 32;
/// Up to 2^40 microseconds.
const POWERS: usize = 40;

/// How often which duration was seen.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u32>,
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; STEPS * POWERS], count: 0, max: Duration::ZERO }
    }
}

impl Histogram {
    pub fn add(&mut self, took: Duration) {
        let micros = (took.as_micros() as u64).max(1);
        let power = micros.ilog2() as usize;
        let step = ((micros as u128 * STEPS as u128) >> power) as usize - STEPS;
        self.counts[(power * STEPS + step).min(STEPS * POWERS - 1)] += 1;
        self.count += 1;
        self.max = self.max.max(took);
    }

    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn max(&self) -> Duration {
        self.max
    }

    /// The duration that this part of all did not exceed, rounded up to the next step; zero when there is none.
    pub fn quantile(&self, part: f64) -> Duration {
        let wanted = (self.count as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            seen += u64::from(count);
            if seen >= wanted && count > 0 {
                let (power, step) = (index / STEPS, index % STEPS + 1);
                let micros = ((STEPS + step) as u128) << power >> STEPS.ilog2();
                return Duration::from_micros(micros as u64).min(self.max);
            }
        }
        self.max
    }
}
