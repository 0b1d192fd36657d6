//! The object identifiers of the certificate profile.

use der::asn1::ObjectIdentifier;
use der::oid::db::rfc5280;

/// id-kp-codeSigning
pub(super) const CODE_SIGNING: ObjectIdentifier = rfc5280::ID_KP_CODE_SIGNING;
/// id-kp-timeStamping
pub(super) const TIME_STAMPING: ObjectIdentifier = rfc5280::ID_KP_TIME_STAMPING;
/// anyExtendedKeyUsage
pub(super) const ANY_USAGE: ObjectIdentifier = rfc5280::ANY_EXTENDED_KEY_USAGE;
/// keyUsage
pub(super) const KEY_USAGE: ObjectIdentifier = rfc5280::ID_CE_KEY_USAGE;
/// extKeyUsage
pub(super) const EXTENDED_KEY_USAGE: ObjectIdentifier = rfc5280::ID_CE_EXT_KEY_USAGE;
/// subjectKeyIdentifier
pub(super) const SUBJECT_KEY_ID: ObjectIdentifier = rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER;
/// authorityKeyIdentifier
pub(super) const AUTHORITY_KEY_ID: ObjectIdentifier = rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER;
/// subjectAltName
pub(super) const SUBJECT_ALT_NAME: ObjectIdentifier = rfc5280::ID_CE_SUBJECT_ALT_NAME;
/// basicConstraints
pub(super) const BASIC_CONSTRAINTS: ObjectIdentifier = rfc5280::ID_CE_BASIC_CONSTRAINTS;

/// The list of signed certificate timestamps (RFC 6962 §3.3).
pub const SCT_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");
/// The poison that makes a precertificate of no use (RFC 6962 §3.1).
pub const POISON: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.3");

/// What may be critical in a CA certificate. Policies are among it: as nobody here asks for one, no path fails for want of one
/// (RFC 5280 §6.1.1 (c), (e)), unless policyConstraints asks.
const UNDERSTOOD_IN_CA: [ObjectIdentifier; 7] = [
    BASIC_CONSTRAINTS,
    KEY_USAGE,
    EXTENDED_KEY_USAGE,
    SUBJECT_ALT_NAME,
    rfc5280::ID_CE_CERTIFICATE_POLICIES,
    rfc5280::ID_CE_POLICY_MAPPINGS,
    rfc5280::ID_CE_INHIBIT_ANY_POLICY,
];

/// What may be critical in a certificate that this CA issued.
pub(super) const UNDERSTOOD_IN_LEAF: [ObjectIdentifier; 4] =
    [KEY_USAGE, SUBJECT_ALT_NAME, EXTENDED_KEY_USAGE, BASIC_CONSTRAINTS];

/// What a critical extension of a CA certificate asks that is not done here (RFC 5280 §4.2: refuse it); `None`: nothing.
pub(super) fn objection_in_ca(oid: ObjectIdentifier) -> Option<String> {
    let limits = |name| format!("the critical extension {name}, whose limits are not evaluated here");
    match oid {
        known if UNDERSTOOD_IN_CA.contains(&known) => None,
        rfc5280::ID_CE_NAME_CONSTRAINTS => Some(limits("nameConstraints")),
        rfc5280::ID_CE_POLICY_CONSTRAINTS => Some(limits("policyConstraints")),
        unknown => Some(format!("the unknown critical extension {unknown}")),
    }
}
