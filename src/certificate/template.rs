//! A certificate's content, frozen once and issued twice.

use super::CaChain;
use super::accepted::MAX_SUBMITTED;
use super::encode::{push_header, tlv_len};
use super::precertificate::{Precertificate, UnpromisedTemplate};
use super::profile::{self, Contents};
use super::raw::{is_without_extension, tbs_of};
use super::reader::{EXTENSIONS, SEQUENCE};
use super::{encode, oids};
use crate::environment::{Random, UnixMillis};
use crate::identity::{IdentityExtension, Named, SubjectAltName};
use crate::policy::Authorization;
use crate::possession::ProvenKey;
use crate::refusal::{Reason, Refusal};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// The largest TBSCertificate, in octets: with signature and SCT it is no more than our own log takes. A log that refused
/// it would look like a log that is out.
const MAX_TBS: usize = MAX_SUBMITTED - 1024;
/// What the names and the identity extensions may take of it: the largest key and the CA's own name need less than the rest.
const MAX_IDENTITY: usize = MAX_TBS - 4 * 1024;
/// What an extension takes beside its content, at most: tags, lengths and its object identifier.
const AROUND_CONTENT: usize = 64;

/// What the CA's key signs, and the only thing it can be made to sign: the TBSCertificate of a [`Template`], with the
/// poison, with the SCT list once it is proven to correspond to the logged precertificate, or, where SCTs are not embedded,
/// with neither.
///
/// Nobody outside of this module makes one, of whatever octets:
///
/// ```compile_fail,E0451
/// let forged = countersign::certificate::ToBeSigned { der: b"anything".to_vec() };
/// ```
///
/// And the CA's signer takes nothing else:
///
/// ```compile_fail,E0308
/// use countersign::issuance::CaSigner;
/// async fn sign(signer: &dyn CaSigner) {
///     let _ = signer.sign(&b"anything".to_vec()).await;
/// }
/// ```
///
/// ```
/// use countersign::{certificate::Template, issuance::CaSigner};
/// async fn sign(signer: &dyn CaSigner, template: &Template) {
///     let _ = signer.sign(template.precertificate_tbs()).await;
/// }
/// ```
pub struct ToBeSigned {
    der: Vec<u8>,
}

impl ToBeSigned {
    /// DER TBSCertificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

/// Shows no value of any claim.
impl fmt::Debug for ToBeSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToBeSigned").field("octets", &self.der.len()).finish_non_exhaustive()
    }
}

/// Every octet of the certificate but the CT slot and the signature.
///
/// Made for whoever the operator's rules allow it, and for nobody else: a verified token's principal alone is not enough.
///
/// ```compile_fail,E0308
/// use countersign::{certificate::{CaChain, Template}, environment::{Random, UnixMillis}, identity::Principal, possession::ProvenKey};
/// use std::{sync::Arc, time::Duration};
/// fn make(chain: &Arc<CaChain>, principal: &Principal, key: &ProvenKey, random: &dyn Random) {
///     let _ = Template::new(chain, principal, key, Duration::from_secs(600), UnixMillis(0), random);
/// }
/// ```
///
/// ```
/// use countersign::{certificate::{CaChain, Template}, environment::{Random, UnixMillis}, policy::Authorization, possession::ProvenKey};
/// use std::{sync::Arc, time::Duration};
/// fn make(chain: &Arc<CaChain>, authorization: &Authorization, key: &ProvenKey, random: &dyn Random) {
///     let _ = Template::new(chain, authorization, key, Duration::from_secs(600), UnixMillis(0), random);
/// }
/// ```
pub struct Template {
    chain: Arc<CaChain>,
    serial: String,
    life: RangeInclusive<UnixMillis>,
    /// The TBSCertificate's fields from version to subjectPublicKeyInfo.
    fields: Vec<u8>,
    /// The extensions before the CT slot, which is the last.
    extensions: Vec<u8>,
    precertificate_tbs: ToBeSigned,
}

impl Template {
    /// Fixes serial number, validity (`lifetime` in whole seconds or what the rules allow of it, clamped to the chain's end), key
    /// identifiers and every extension.
    ///
    /// # Errors
    /// [`Reason::CaUnavailable`] when the chain has ended or not begun; [`Reason::ClaimInvalid`] for more than logs take;
    /// [`Reason::Internal`] for a name or a key that does not fit into a certificate, which earlier steps rule out.
    pub fn new(
        chain: &Arc<CaChain>,
        authorization: &Authorization,
        key: &ProvenKey,
        lifetime: Duration,
        now: UnixMillis,
        random: &dyn Random,
    ) -> Result<Self, Refusal> {
        let principal = authorization.principal();
        Self::fits(principal.named())?;
        let subject = (principal.name(), principal.extensions());
        Self::freeze(chain, subject, key.spki_der(), authorization.lifetime(lifetime), now, random)
    }

    /// Whether what a certificate would say of someone fits into one, whatever the key and the chain.
    ///
    /// # Errors
    /// [`Reason::ClaimInvalid`].
    pub fn fits(named: &Named) -> Result<(), Refusal> {
        let extensions = named.extensions().iter().map(|extension| extension.content.len() + AROUND_CONTENT);
        if named.name().text().len() + extensions.sum::<usize>() > MAX_IDENTITY {
            return Err(too_large());
        }
        Ok(())
    }

    /// [`Self::new`] without the proofs that its arguments' types are.
    pub(super) fn freeze(
        chain: &Arc<CaChain>,
        (name, identity): (&SubjectAltName, &[IdentityExtension]),
        spki: &[u8],
        lifetime: Duration,
        now: UnixMillis,
        random: &dyn Random,
    ) -> Result<Self, Refusal> {
        let (not_before, not_after) = profile::validity(chain, lifetime, now).ok_or_else(|| {
            Refusal::new(Reason::CaUnavailable)
                .because("A certificate of the CA has expired or is not valid yet.")
                .retry_after(Duration::from_secs(60))
        })?;
        let serial = profile::serial(now, random).ok_or_else(|| unfit("the time"))?;
        let contents = Contents { chain, name, identity, spki, not_before, not_after };
        let fields = profile::fields(&serial, &contents).map_err(|_| unfit("a field"))?;
        let extensions = profile::extensions(&contents).map_err(|_| unfit("an extension"))?;
        let precertificate_tbs = ToBeSigned { der: tbs(&fields, &extensions, &profile::poison()) };
        if precertificate_tbs.der.len() > MAX_TBS {
            return Err(too_large());
        }
        let serial = hex::encode(serial);
        let life = not_before..=not_after;
        Ok(Self { chain: chain.clone(), serial, life, fields, extensions, precertificate_tbs })
    }

    /// From its first second to its last.
    pub fn life(&self) -> &RangeInclusive<UnixMillis> {
        &self.life
    }

    /// The TBSCertificate with the poison extension: what the CA signs first (RFC 6962 §3.1).
    pub fn precertificate_tbs(&self) -> &ToBeSigned {
        &self.precertificate_tbs
    }

    /// With the CA's signature over [`Self::precertificate_tbs`].
    pub fn into_precertificate(self, signature: &[u8]) -> Precertificate {
        let der = self.certificate(&self.precertificate_tbs, signature);
        let logged_tbs = tbs(&self.fields, &self.extensions, &[]);
        Precertificate::new(self, der, logged_tbs)
    }

    /// The final TBSCertificate with nothing in the CT slot: the certificate's SCT is delivered beside it, or there is none.
    pub fn without_embedded_sct(self) -> UnpromisedTemplate {
        let tbs = ToBeSigned { der: tbs(&self.fields, &self.extensions, &[]) };
        UnpromisedTemplate::new(self, tbs)
    }

    /// The final TBSCertificate with this SCT, once it is proven to correspond to `precertificate` as it was signed, and
    /// both to `logged_tbs`, which the SCT is over.
    ///
    /// # Errors
    /// [`Reason::Internal`] when it does not.
    pub(super) fn certificate_tbs(
        &self,
        sct: &[u8],
        precertificate: &[u8],
        logged_tbs: &[u8],
    ) -> Result<ToBeSigned, Refusal> {
        let slot = profile::sct_list(sct).ok_or_else(|| unfit("the SCT"))?;
        let der = tbs(&self.fields, &self.extensions, &slot);
        if corresponds(&der, precertificate, logged_tbs) {
            Ok(ToBeSigned { der })
        } else {
            Err(Refusal::new(Reason::Internal)
                .because("the certificate does not correspond to its logged precertificate"))
        }
    }

    /// The Certificate around a TBSCertificate of this template.
    pub(super) fn certificate(&self, tbs: &ToBeSigned, signature: &[u8]) -> Vec<u8> {
        encode::certificate(&tbs.der, self.chain.algorithm().identifier(), signature)
    }

    /// The chain that issues it.
    pub fn chain(&self) -> &Arc<CaChain> {
        &self.chain
    }

    /// The serial number in lower-case hex.
    pub fn serial(&self) -> &str {
        &self.serial
    }
}

/// Whether the final TBSCertificate without its SCT list, the precertificate's without its poison, and what the log was
/// given are the same octets (RFC 6962 §3.2). Reads what was built, not what it was built from.
fn corresponds(final_tbs: &[u8], precertificate: &[u8], logged_tbs: &[u8]) -> bool {
    let is_logged = |tbs: &[u8], slot| is_without_extension(tbs, slot, logged_tbs).unwrap_or(false);
    is_logged(final_tbs, oids::SCT_LIST)
        && tbs_of(precertificate).is_ok_and(|tbs| is_logged(tbs, oids::POISON))
}

/// The TBSCertificate with `slot`, an Extension or nothing, as its last extension.
fn tbs(fields: &[u8], extensions: &[u8], slot: &[u8]) -> Vec<u8> {
    let list = tlv_len(extensions.len() + slot.len());
    let content = fields.len() + tlv_len(list);
    let mut out = Vec::with_capacity(tlv_len(content));
    push_header(&mut out, SEQUENCE, content);
    out.extend_from_slice(fields);
    push_header(&mut out, EXTENSIONS, list);
    push_header(&mut out, SEQUENCE, extensions.len() + slot.len());
    out.extend_from_slice(extensions);
    out.extend_from_slice(slot);
    out
}

fn too_large() -> Refusal {
    Refusal::new(Reason::ClaimInvalid)
        .because("What the token claims makes a certificate that is larger than logs take.")
}

/// Something does not fit into a certificate, though earlier steps made sure that it does.
fn unfit(what: &'static str) -> Refusal {
    Refusal::new(Reason::Internal).because(format!("{what} does not fit into a certificate"))
}

#[cfg(test)]
mod tests {
    use super::super::inspect::{AlternativeName, Inspected};
    use super::super::raw::{RawCertificate, without_extension};
    use super::super::testing::{self, Always, LEAF_SPKI, LIFETIME, NAME, NOW};
    use super::super::verify_signature;
    use super::*;
    use crate::transparency::precertificate::{LogEntry, LoggedCertificate};

    fn at(now: UnixMillis) -> Result<(UnixMillis, UnixMillis), Reason> {
        let template = testing::template(&testing::chain(), now).map_err(|refusal| refusal.reason())?;
        let precertificate = template.into_precertificate(&[0]);
        let raw = RawCertificate::parse(precertificate.der()).unwrap();
        Ok((raw.tbs.not_before, raw.tbs.not_after))
    }

    /// The profile, clause by clause, read from the finished certificate.
    #[test]
    fn a_certificate_has_the_profile_and_nothing_else() {
        let chain = testing::chain();
        let certificate = testing::issue(&chain, NOW);
        let raw = RawCertificate::parse(certificate.der()).unwrap();
        let inspected = Inspected::from_der(certificate.der()).unwrap();
        assert_eq!(raw.tbs.version, 3);
        assert_eq!(raw.tbs.serial, [&[0x01, 0xa1, 0xfd, 0x55, 0x7a, 0xfb][..], &[0xa5; 13]].concat());
        assert_eq!(certificate.serial(), hex::encode(raw.tbs.serial));
        assert_eq!(raw.tbs.issuer, chain.issuing_subject());
        assert_eq!(raw.tbs.subject, [0x30, 0], "empty subject");
        assert_eq!(raw.tbs.not_before, UnixMillis(1_795_251_600_000), "whole seconds");
        assert_eq!(raw.tbs.not_after.since(raw.tbs.not_before), LIFETIME);
        assert_eq!(raw.tbs.spki, LEAF_SPKI);
        assert_eq!(raw.algorithm, chain.algorithm().identifier());
        verify_signature(chain.issuing_spki(), raw.algorithm, raw.tbs_der, raw.signature).unwrap();

        let extensions: Vec<_> = raw.tbs.extensions.iter().map(|e| (e.oid, e.critical)).collect();
        let mut expected = vec![
            (oids::KEY_USAGE, true),
            (oids::EXTENDED_KEY_USAGE, false),
            (oids::SUBJECT_KEY_ID, false),
            (oids::AUTHORITY_KEY_ID, false),
            (oids::SUBJECT_ALT_NAME, true),
        ];
        expected.extend(testing::identity_extensions().iter().map(|extension| (extension.oid, false)));
        expected.push((oids::SCT_LIST, false));
        assert_eq!(extensions, expected);

        assert_eq!(inspected.key_usage(), ["digitalSignature"]);
        assert_eq!(inspected.extended_key_usages(), [oids::CODE_SIGNING]);
        assert_eq!(inspected.names(), [AlternativeName::Uri(NAME.into())]);
        assert_eq!(inspected.authority_key_id(), Some(chain.issuing_key_id()));
        assert_eq!(inspected.subject_key_id().map(<[u8]>::len), Some(20));
        assert!(!inspected.is_ca() && !inspected.is_precertificate());
        let list = [&[0, 65, 0, 63][..], &testing::sct()].concat();
        assert_eq!((testing::sct().len(), inspected.sct_list()), (63, Some(&list[..])), "exactly one SCT");
        inspected.verify_issued_by(&chain, NOW).unwrap();
    }

    #[test]
    fn a_certificate_that_logs_would_refuse_is_the_callers_fault() {
        let with_name_of = |length: usize| {
            let name = SubjectAltName::Uri(format!("https://example.com/{}", "a".repeat(length)));
            let template =
                Template::freeze(&testing::chain(), (&name, &[]), LEAF_SPKI, LIFETIME, NOW, &Always(1));
            template
                .map(|template| template.into_precertificate(&[0; 512]))
                .map_err(|refusal| refusal.reason())
        };
        assert!(with_name_of(MAX_TBS - 500).unwrap().der().len() <= MAX_SUBMITTED);
        assert_eq!(with_name_of(MAX_TBS).err(), Some(Reason::ClaimInvalid));
    }

    #[test]
    fn the_precertificate_differs_by_a_critical_poison_in_the_last_place() {
        let template = testing::template(&testing::chain(), NOW).unwrap();
        let signature = testing::sign(template.precertificate_tbs());
        let signed = template.precertificate_tbs().der().to_vec();
        let precertificate = template.into_precertificate(&signature);
        let raw = RawCertificate::parse(precertificate.der()).unwrap();
        assert_eq!(raw.tbs_der, signed);
        let last = raw.tbs.extensions.last().unwrap();
        assert_eq!((last.oid, last.critical, last.value), (oids::POISON, true, &[5, 0][..]));
        assert_eq!(without_extension(raw.tbs_der, oids::POISON).unwrap(), precertificate.logged_tbs());
        assert!(without_extension(raw.tbs_der, oids::SCT_LIST).is_err());
    }

    #[test]
    fn the_entry_for_the_log_is_what_a_verifier_rebuilds_from_the_certificate() {
        let chain = testing::chain();
        let precertificate = testing::template(&chain, NOW).unwrap().into_precertificate(&[1, 2, 3]);
        let certificate = Inspected::from_der(testing::issue(&chain, NOW).der()).unwrap();
        let logged = LoggedCertificate::Precertificate {
            issuer_key_hash: chain.issuer_key_hash(),
            tbs: &certificate.logged_tbs().unwrap(),
            precertificate: precertificate.der(),
        };
        let rebuilt = LogEntry::new(logged, chain.fingerprints());
        assert_eq!(LogEntry::from(&precertificate), rebuilt);
    }

    #[test]
    fn a_certificate_in_which_any_octet_of_the_tbs_differs_does_not_correspond() {
        let template = testing::template(&testing::chain(), NOW).unwrap();
        let slot = profile::sct_list(&testing::sct()).unwrap();
        let good = tbs(&template.fields, &template.extensions, &slot);
        let logged = tbs(&template.fields, &template.extensions, &[]);
        let precertificate = template.certificate(&template.precertificate_tbs, &[1, 2, 3]);
        assert!(corresponds(&good, &precertificate, &logged));
        let slot_value = good.len() - testing::sct().len()..good.len();
        for index in (0..good.len()).filter(|index| !slot_value.contains(index)) {
            let mut bad = good.clone();
            bad[index] ^= 1;
            // Lengths and flags around the slot are the slot's own.
            let in_slot = index >= good.len() - slot.len();
            assert!(in_slot || !corresponds(&bad, &precertificate, &logged), "octet {index}");
        }
        for index in 0..logged.len() {
            let mut bad = logged.clone();
            bad[index] ^= 1;
            assert!(!corresponds(&good, &precertificate, &bad), "octet {index} of what was logged");
        }
        let tbs_end = precertificate.len() - 18;
        let poison_len = profile::poison().len();
        for index in 4..tbs_end - poison_len {
            let mut bad = precertificate.clone();
            bad[index] ^= 1;
            assert!(!corresponds(&good, &bad, &logged), "octet {index} of the precertificate");
        }
    }

    #[test]
    fn nothing_that_lacks_its_ct_slot_or_has_two_corresponds() {
        let template = testing::template(&testing::chain(), NOW).unwrap();
        let slot = profile::sct_list(&testing::sct()).unwrap();
        let logged = tbs(&template.fields, &template.extensions, &[]);
        let good = tbs(&template.fields, &template.extensions, &slot);
        let twice = tbs(&template.fields, &template.extensions, &[&slot[..], &slot].concat());
        let precertificate = template.certificate(&template.precertificate_tbs, &[1]);
        let unpoisoned = encode::certificate(&logged, template.chain.algorithm().identifier(), &[1]);
        assert!(corresponds(&good, &precertificate, &logged));
        assert!(!corresponds(&logged, &precertificate, &logged));
        assert!(!corresponds(&twice, &precertificate, &logged));
        assert!(!corresponds(&good, &unpoisoned, &logged));
    }

    #[test]
    fn an_sct_that_does_not_fit_into_a_list_is_refused() {
        let logged = |length| {
            let template = testing::template(&testing::chain(), NOW).unwrap();
            template.into_precertificate(&[1]).logged(vec![7; length]).prove_correspondence()
        };
        assert!(logged(65_533).is_ok());
        assert_eq!(logged(65_534).err().unwrap().reason(), Reason::Internal);
    }

    #[test]
    fn the_end_is_clamped_to_the_chain_and_outside_of_it_nothing_is_issued() {
        let chain = testing::chain();
        let second = Duration::from_secs(1);
        let (begin, end) = (chain.not_before(), chain.not_after());
        let before = |end: UnixMillis, seconds: u64| UnixMillis(end.0 - seconds * 1000);
        assert_eq!(at(begin), Ok((begin, begin.plus(LIFETIME))));
        assert_eq!(at(UnixMillis(begin.0 - 1)), Err(Reason::CaUnavailable));
        assert_eq!(at(before(end, 600)), Ok((before(end, 600), end)));
        assert_eq!(at(before(end, 599)), Ok((before(end, 599), end)), "clamped");
        assert_eq!(at(before(end, 1)), Ok((before(end, 1), end)), "clamped to a second");
        assert_eq!(at(end), Err(Reason::CaUnavailable));
        assert_eq!(at(end.plus(second)), Err(Reason::CaUnavailable));
        assert_eq!(at(UnixMillis(u64::MAX)), Err(Reason::CaUnavailable));
        assert_eq!(at(UnixMillis(0)), Err(Reason::CaUnavailable));
    }

    #[test]
    fn years_until_2049_are_utc_time_and_later_ones_generalized_time() {
        const BOUNDARY: u64 = 2_524_608_000; // 2050-01-01T00:00:00Z
        let utc = |text: &str| [&[0x17, 13], text.as_bytes()].concat();
        let generalized = |text: &str| [&[0x18, 15], text.as_bytes()].concat();
        for (now, not_before, not_after) in [
            (BOUNDARY - 601, utc("491231234959Z"), utc("491231235959Z")),
            (BOUNDARY - 600, utc("491231235000Z"), generalized("20500101000000Z")),
            (BOUNDARY - 1, utc("491231235959Z"), generalized("20500101000959Z")),
            (BOUNDARY, generalized("20500101000000Z"), generalized("20500101001000Z")),
        ] {
            let template = testing::template(&testing::chain(), UnixMillis::from_secs(now)).unwrap();
            let expected = [not_before, not_after].concat();
            let found = template.fields.windows(expected.len()).any(|window| window == expected);
            assert!(found, "{now}");
        }
    }

    #[test]
    fn serial_numbers_are_positive_minimal_and_lead_back_to_the_time() {
        let serial = |now, octet| profile::serial(UnixMillis(now), &Always(octet));
        let whole = serial(NOW.0, 0xff).unwrap();
        assert_eq!((whole.len(), u64::from_str_radix(&hex::encode(&whole[..6]), 16)), (19, Ok(NOW.0)));
        // Before November 2004 the first octet would be zero.
        assert_eq!(serial(0x00ff_0000_0000, 1).unwrap(), [&[0, 0xff, 0, 0, 0, 0][..], &[1; 13]].concat());
        assert_eq!(serial(0x007f_0000_0000, 1).unwrap(), [&[0x7f, 0, 0, 0, 0][..], &[1; 13]].concat());
        assert_eq!(serial(0, 0).unwrap(), [0]);
        assert_eq!(serial(0, 0x80).unwrap(), [&[0][..], &[0x80; 13]].concat());
        assert_eq!(serial((1 << 47) - 1, 0).unwrap()[0], 0x7f);
        assert_eq!(serial(1 << 47, 0), None);
    }

    #[test]
    fn debug_output_shows_no_claim() {
        let chain = testing::chain();
        let template = testing::template(&chain, NOW).unwrap();
        let certificate = testing::issue(&chain, NOW);
        let inspected = Inspected::from_der(certificate.der()).unwrap();
        let shown = format!("{:?} {certificate:?} {inspected:?}", template.precertificate_tbs());
        assert!(!shown.contains("gitlab") && !shown.contains("group") && shown.len() < 300, "{shown}");
    }
}
