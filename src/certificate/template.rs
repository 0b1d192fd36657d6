//! A certificate's content, frozen once and issued twice.

use super::CaChain;
use super::encode::{SEQUENCE, push_header, tlv_len};
use super::precertificate::Precertificate;
use super::profile::{self, Contents};
use super::raw::{tbs_of, without_extension};
use super::{encode, oids};
use crate::environment::{Random, UnixMillis};
use crate::identity::{IdentityExtension, Principal, SubjectAltName};
use crate::possession::ProvenKey;
use crate::refusal::{Reason, Refusal};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What the CA's key signs, and the only thing it can be made to sign: the TBSCertificate of a [`Template`], with the
/// poison, or with the SCT list once it is proven to correspond to the logged precertificate.
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
pub struct Template {
    chain: Arc<CaChain>,
    serial: String,
    /// The TBSCertificate's fields from version to subjectPublicKeyInfo.
    fields: Vec<u8>,
    /// The extensions before the CT slot, which is the last.
    extensions: Vec<u8>,
    precertificate_tbs: ToBeSigned,
}

impl Template {
    /// Fixes serial number, validity (`lifetime` in whole seconds, clamped to the chain's end), key identifiers and every
    /// extension.
    ///
    /// # Errors
    /// [`Reason::CaUnavailable`] when the chain has ended or not begun; [`Reason::Internal`] for a name or a key that does
    /// not fit into a certificate, which earlier steps rule out.
    pub fn new(
        chain: &Arc<CaChain>,
        principal: &Principal,
        key: &ProvenKey,
        lifetime: Duration,
        now: UnixMillis,
        random: &dyn Random,
    ) -> Result<Self, Refusal> {
        let subject = (principal.name(), principal.extensions());
        Self::freeze(chain, subject, key.spki_der(), lifetime, now, random)
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
        let serial = hex::encode(serial);
        Ok(Self { chain: chain.clone(), serial, fields, extensions, precertificate_tbs })
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
    let without_poison = tbs_of(precertificate).and_then(|tbs| without_extension(tbs, oids::POISON));
    match (without_extension(final_tbs, oids::SCT_LIST), without_poison) {
        (Ok(certificate), Ok(precertificate)) => certificate == logged_tbs && precertificate == logged_tbs,
        _ => false,
    }
}

/// The TBSCertificate with `slot`, an Extension or nothing, as its last extension.
fn tbs(fields: &[u8], extensions: &[u8], slot: &[u8]) -> Vec<u8> {
    let list = tlv_len(extensions.len() + slot.len());
    let content = fields.len() + tlv_len(list);
    let mut out = Vec::with_capacity(tlv_len(content));
    push_header(&mut out, SEQUENCE, content);
    out.extend_from_slice(fields);
    push_header(&mut out, encode::EXTENSIONS, list);
    push_header(&mut out, SEQUENCE, extensions.len() + slot.len());
    out.extend_from_slice(extensions);
    out.extend_from_slice(slot);
    out
}

/// Something does not fit into a certificate, though earlier steps made sure that it does.
fn unfit(what: &'static str) -> Refusal {
    Refusal::new(Reason::Internal).because(format!("{what} does not fit into a certificate"))
}
