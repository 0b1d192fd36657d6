//! The timestamp authority: a request in, a signed time out.

use super::guard::{ClockFault, ClockGuard};
use super::request::TimestampRequest;
use super::token::{SERIAL_LENGTH, SignedAttributes, TokenError, TokenMaker};
use crate::certificate::TimestampChain;
use crate::environment::{Clock, Random, Stopwatch, UnixMillis};
use crate::refusal::{Reason, Refusal};
use der::asn1::ObjectIdentifier;
use std::sync::Arc;
use std::time::Duration;

/// The policy of Sigstore's authorities.
pub const DEFAULT_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2");
/// The accuracy of Sigstore's authorities.
pub const DEFAULT_ACCURACY: Duration = Duration::from_secs(1);

/// How long a caller may wait before it asks again while the clock is not believed.
const CLOCK_WAIT: Duration = Duration::from_secs(30);

/// The authority's key. Implemented by `signer`.
pub trait TimestampSigner: Send + Sync {
    /// The signature over the attributes, as CMS carries it.
    ///
    /// # Errors
    /// The reason, for operators.
    fn sign(&self, attributes: &SignedAttributes) -> Result<Vec<u8>, String>;
}

/// Who has signed times before: the logs of this process. Implemented by `server`.
pub trait Attested: Send + Sync {
    /// The last time that was signed; `None`: none was.
    fn last(&self) -> Option<UnixMillis>;
}

/// Is told of every timestamp. Implemented by `telemetry`.
pub trait TimestampObserver: Send + Sync {
    /// One was made, or refused after its request had been read.
    fn timestamp(&self, refused: Option<Reason>, took: Duration);
}

/// Beside no log and no metrics: nothing has attested a time, and nobody counts.
pub struct Alone;

impl Attested for Alone {
    fn last(&self) -> Option<UnixMillis> {
        None
    }
}

impl TimestampObserver for Alone {
    fn timestamp(&self, _: Option<Reason>, _: Duration) {}
}

/// Where the authority gets time, randomness and signatures, and whom it tells.
#[derive(Clone)]
pub struct Surroundings {
    /// The key of the chain's first certificate.
    pub signer: Arc<dyn TimestampSigner>,
    /// The logs.
    pub attested: Arc<dyn Attested>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The monotonic clock.
    pub stopwatch: Arc<dyn Stopwatch>,
    /// For serial numbers.
    pub random: Arc<dyn Random>,
    /// For metrics.
    pub observer: Arc<dyn TimestampObserver>,
}

/// A timestamp authority.
pub struct TimestampAuthority {
    chain: TimestampChain,
    maker: TokenMaker,
    guard: ClockGuard,
    around: Surroundings,
}

impl TimestampAuthority {
    /// For this chain. The clock is believed as it is now; it has to walk on from there.
    ///
    /// # Errors
    /// The chain's certificate cannot stand in a token.
    pub fn new(
        chain: TimestampChain,
        policy: ObjectIdentifier,
        accuracy: Duration,
        around: Surroundings,
    ) -> Result<Self, TokenError> {
        let maker = TokenMaker::new(&chain, policy, accuracy)?;
        let guard = ClockGuard::new(around.clock.now(), around.stopwatch.elapsed());
        Ok(Self { chain, maker, guard, around })
    }

    /// The chain.
    pub const fn chain(&self) -> &TimestampChain {
        &self.chain
    }

    /// Answers a DER request with a TimeStampResp.
    ///
    /// # Errors
    /// What is wrong with the request, [`Reason::TimeUnavailable`], [`Reason::TimestampUnavailable`].
    pub fn answer_der(&self, request: &[u8]) -> Result<Vec<u8>, Refusal> {
        self.answer(TimestampRequest::from_der, request)
    }

    /// Answers a JSON request with a TimeStampResp.
    ///
    /// # Errors
    /// As [`Self::answer_der`].
    pub fn answer_json(&self, request: &[u8]) -> Result<Vec<u8>, Refusal> {
        self.answer(TimestampRequest::from_json, request)
    }

    fn answer(
        &self,
        read: impl FnOnce(&[u8]) -> Result<TimestampRequest, Refusal>,
        request: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        let began = self.around.stopwatch.elapsed();
        let answered = read(request).and_then(|request| self.stamp(&request));
        let took = self.around.stopwatch.elapsed().saturating_sub(began);
        self.around.observer.timestamp(answered.as_ref().err().map(Refusal::reason), took);
        answered
    }

    fn stamp(&self, request: &TimestampRequest) -> Result<Vec<u8>, Refusal> {
        if request.policy().is_some_and(|policy| policy != self.maker.policy()) {
            return Err(Reason::TimestampPolicyUnknown.into());
        }
        let time = self.time().map_err(|fault| {
            Refusal::new(Reason::TimeUnavailable).because(fault.to_string()).retry_after(CLOCK_WAIT)
        })?;
        let unusable = |problem: String| Refusal::new(Reason::TimestampUnavailable).because(problem);
        // A token outside its certificate's validity verifies nowhere.
        self.chain.check_validity(time).map_err(|error| unusable(error.to_string()))?;
        let mut serial = [0; SERIAL_LENGTH];
        self.around.random.fill(&mut serial);
        let attributes =
            self.maker.prepare(request, time, serial).map_err(|error| unusable(error.to_string()))?;
        let signature = self.around.signer.sign(&attributes).map_err(unusable)?;
        Ok(self.maker.response(&attributes, &signature))
    }

    /// The time that a timestamp would have now.
    ///
    /// # Errors
    /// Why the clock is not believed.
    pub fn time(&self) -> Result<UnixMillis, ClockFault> {
        // In this order: the log may sign a time of the same clock meanwhile.
        let attested = self.around.attested.last();
        self.guard.time(attested, self.around.clock.now(), self.around.stopwatch.elapsed())
    }

    /// Takes what other clocks say: what to add to ours to get theirs, in milliseconds.
    pub fn heard(&self, offset: i64, tolerance: Duration) {
        self.guard.heard(offset, tolerance, self.around.clock.now(), self.around.stopwatch.elapsed());
    }

    /// All is well, or why no timestamp can be made now, for operators.
    ///
    /// # Errors
    /// What is wrong.
    pub fn health(&self) -> Result<(), String> {
        let time = self.time().map_err(|fault| fault.to_string())?;
        self.chain.check_validity(time).map_err(|error| error.to_string())
    }
}
