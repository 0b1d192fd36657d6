//! One certificate of the CA's chain, and what must hold for it and between it and the next (RFC 5280 §6.1.4).

use super::algorithm::CaAlgorithm;
use super::chain::ChainError;
use super::raw::{Malformed, RawCertificate};
use super::reader::SEQUENCE;
use super::signature::{self, PublicKeyKind, SignatureError};
use super::{key_identifier, oids};
use der::Decode;
use der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// That every certificate may stand where it stands and was issued by the next, the last by itself.
pub(super) fn check_links(
    links: &[Link<'_>],
    root: &Link<'_>,
    purpose: ObjectIdentifier,
) -> Result<(), ChainError> {
    if !root.is_self_issued() {
        let problem = "the last certificate is not self-signed; append its issuer, up to and including the root \
                       (issuing certificate first, root last)";
        return Err(root.unusable(problem));
    }
    let mut below = 0;
    for (index, link) in links.iter().enumerate() {
        // RFC 5280 §4.1.2.6: a CA has a name. An empty one is an empty SEQUENCE.
        if link.raw.tbs.subject == [SEQUENCE, 0] {
            return Err(link.unusable("has no subject"));
        }
        if links.iter().take(index).any(|earlier| earlier.raw.tbs_der == link.raw.tbs_der) {
            return Err(link.unusable("stands in the file twice"));
        }
        link.check_is_ca(below, purpose)?;
        // RFC 5280 §6.1.4 (l): self-issued certificates do not count.
        below += usize::from(!link.is_self_issued());
        link.check_issued_by(links.get(index + 1).unwrap_or(root))?;
    }
    Ok(())
}

/// One certificate of a chain, with what is checked of it.
pub(super) struct Link<'a> {
    /// Its place in the file and its subject, for messages.
    pub(super) title: String,
    pub(super) raw: RawCertificate<'a>,
    constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<ExtendedKeyUsage>,
    /// Its subjectKeyIdentifier.
    pub(super) key_id: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
    /// What it would be.
    pub(super) computed_key_id: Vec<u8>,
}

impl<'a> Link<'a> {
    /// Reads the certificate in that place, from 0; `what` it is is for messages.
    pub(super) fn read(what: &str, index: usize, der: &'a [u8]) -> Result<Self, ChainError> {
        let place = format!("{what} {}", index + 1);
        let unreadable = |error: Malformed| ChainError::Unusable {
            certificate: place.clone(),
            problem: format!("cannot be read: {error}"),
        };
        let raw = RawCertificate::parse(der).map_err(unreadable)?;
        let subject = Name::from_der(raw.tbs.subject).map_err(Malformed::from).map_err(unreadable)?;
        Self::decode(format!("{place} ({subject})"), raw).map_err(unreadable)
    }

    fn decode(title: String, raw: RawCertificate<'a>) -> Result<Self, Malformed> {
        let key = SubjectPublicKeyInfoRef::from_der(raw.tbs.spki)?;
        let authority = raw.tbs.decoded::<AuthorityKeyIdentifier>()?;
        Ok(Self {
            title,
            constraints: raw.tbs.decoded()?,
            key_usage: raw.tbs.decoded()?,
            extended_key_usage: raw.tbs.decoded()?,
            key_id: raw.tbs.decoded::<SubjectKeyIdentifier>()?.map(|id| id.0.as_bytes().to_vec()),
            authority_key_id: authority
                .and_then(|authority| authority.key_identifier)
                .map(|id| id.as_bytes().to_vec()),
            computed_key_id: key_identifier(key.subject_public_key.raw_bytes()).to_vec(),
            raw,
        })
    }

    fn unusable(&self, problem: impl Into<String>) -> ChainError {
        ChainError::Unusable { certificate: self.title.clone(), problem: problem.into() }
    }

    fn is_self_issued(&self) -> bool {
        self.raw.tbs.issuer == self.raw.tbs.subject
    }

    /// What must hold for a CA certificate of its own, with `below` intermediate certificates under it.
    fn check_is_ca(&self, below: usize, purpose: ObjectIdentifier) -> Result<(), ChainError> {
        if self.raw.tbs.version != 3 {
            return Err(self.unusable("not a version 3 certificate; make a new one"));
        }
        if self.raw.tbs.not_before > self.raw.tbs.not_after {
            return Err(self.unusable("ends before it begins; make a new one"));
        }
        let Some(constraints) = self.constraints.as_ref().filter(|constraints| constraints.ca) else {
            return Err(self.unusable("not a CA certificate (basicConstraints lacks CA:TRUE)"));
        };
        // RFC 5280 §6.1.4 (l), (m)
        if constraints.path_len_constraint.is_some_and(|limit| usize::from(limit) < below) {
            return Err(self.unusable(format!(
                "its pathLenConstraint forbids the {below} intermediate certificates before it in the file"
            )));
        }
        if !self.key_usage.is_some_and(|usage| usage.key_cert_sign()) {
            return Err(self.unusable("may not sign certificates (keyUsage lacks keyCertSign)"));
        }
        if let Some(usages) = &self.extended_key_usage
            && !usages.0.iter().any(|usage| [purpose, oids::ANY_USAGE].contains(usage))
        {
            return Err(self.unusable(match purpose {
                oids::TIME_STAMPING => "not for timestamps (its extendedKeyUsage lacks timeStamping)",
                _ => "not for code signing (its extendedKeyUsage lacks codeSigning)",
            }));
        }
        let mut critical = self.raw.tbs.extensions.iter().filter(|extension| extension.critical);
        if let Some(objection) = critical.find_map(|extension| oids::objection_in_ca(extension.oid)) {
            return Err(self.unusable(format!("has {objection}; use a CA certificate without it")));
        }
        Ok(())
    }

    /// What RFC 3161 §2.3 wants of the authority's certificate, and what clients of Sigstore check.
    pub(super) fn check_is_for_timestamps(&self) -> Result<(), ChainError> {
        if self.raw.tbs.version != 3 || self.raw.tbs.not_before > self.raw.tbs.not_after {
            return Err(self.unusable("not version 3, or ends before it begins; make a new one"));
        }
        if self.raw.tbs.subject == [SEQUENCE, 0] {
            return Err(self.unusable("has no subject, which is the authority's name in every token"));
        }
        if self.constraints.as_ref().is_some_and(|constraints| constraints.ca) {
            return Err(self.unusable("is a CA certificate; put the timestamp authority's own first"));
        }
        let critical = self.raw.tbs.extension(oids::EXTENDED_KEY_USAGE).is_some_and(|usage| usage.critical);
        let usages = self.extended_key_usage.as_ref().map(|usage| usage.0.as_slice());
        if !critical || usages != Some(&[oids::TIME_STAMPING]) {
            return Err(self.unusable(
                "its extendedKeyUsage must be critical and have timeStamping alone (RFC 3161 §2.3); make a new one",
            ));
        }
        let signs = |usage: &KeyUsage| {
            (usage.digital_signature() || usage.non_repudiation()) && !usage.key_cert_sign()
        };
        if !self.key_usage.as_ref().is_none_or(signs) {
            return Err(self.unusable("its keyUsage must have digitalSignature, and no keyCertSign"));
        }
        let unknown = |oid| !oids::UNDERSTOOD_IN_LEAF.contains(&oid);
        if let Some(extension) = self.raw.tbs.extensions.iter().find(|e| e.critical && unknown(e.oid)) {
            return Err(self.unusable(format!("has the unknown critical extension {}", extension.oid)));
        }
        Ok(())
    }

    /// That `issuer` issued it: name, key identifier, signature.
    pub(super) fn check_issued_by(&self, issuer: &Self) -> Result<(), ChainError> {
        if self.raw.tbs.issuer != issuer.raw.tbs.subject {
            return Err(self.unusable(format!(
                "its issuer is not the subject of {}; put the issuing certificate first, then each certificate's issuer",
                issuer.title
            )));
        }
        if let (Some(named), Some(has)) = (&self.authority_key_id, &issuer.key_id)
            && named != has
        {
            return Err(self.unusable(format!(
                "its authorityKeyIdentifier is not the subjectKeyIdentifier of {}: another key of the same name signed it",
                issuer.title
            )));
        }
        let raw = &self.raw;
        signature::verify(issuer.raw.tbs.spki, raw.algorithm, raw.tbs_der, raw.signature).map_err(|error| {
            match error {
                SignatureError::Wrong => self.unusable(format!("not signed by the key of {}", issuer.title)),
                other => self.unusable(other.to_string()),
            }
        })
    }

    /// What its key signs with, as the issuing certificate.
    pub(super) fn algorithm(&self) -> Result<CaAlgorithm, ChainError> {
        let key = PublicKeyKind::of(self.raw.tbs.spki)
            .map_err(|error| self.unusable(format!("its key cannot be read: {error}")))?;
        CaAlgorithm::of(key).ok_or_else(|| {
            self.unusable(format!(
                "cannot issue with {key}; the issuing key must be ECDSA P-256, P-384 or P-521, RSA of 2048 to 4096 bits, or Ed25519"
            ))
        })
    }
}
