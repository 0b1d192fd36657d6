//! The object identifiers of identity extensions, and their names.

use der::asn1::ObjectIdentifier;

/// The arc of raw GitLab claims: countersign's own, or the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimsArc(pub ObjectIdentifier);
