//! Sigstore bundles: a signature with all that verifies it years later, and the verifier that needs nothing else.
//!
//! Pure: no network, no clock, no files. What is trusted comes from the caller.
//!
//! ```no_run
//! use countersign::bundle::{Artifact, Bundle, Expected, Identity, Signatory, TrustedRoot, Verifier};
//! # fn main() -> Result<(), countersign::bundle::VerificationError> {
//! # let (root, bundle, artifact): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
//! let verifier = Verifier::new(TrustedRoot::from_json(root)?);
//! let expected = Signatory::Identity(Identity {
//!     name: Expected::Exactly("https://gitlab.com/group/project//.gitlab-ci.yml@refs/heads/main".into()),
//!     issuer: Expected::Exactly("https://gitlab.com".into()),
//! });
//! let verified = verifier.verify(&Bundle::from_json(bundle)?, Artifact::Octets(artifact), &expected)?;
//! println!("signed at {:?}", verified.times());
//! # Ok(())
//! # }
//! ```
//!
//! In place of an identity, or beside one, the verifier takes [`admission::Policies`]: conditions in CEL over all that was verified.
//!
//! ```no_run
//! use countersign::bundle::admission::{AdmissionPolicy, Policies};
//! use countersign::bundle::{Artifact, Bundle, Signatory, TrustedRoot, Verifier};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (root, bundle, artifact): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
//! let releases = r#"cert.issuer == "https://gitlab.com" && cert.gitlab.project_id == "42" && cert.gitlab.ref_protected == "true""#;
//! let policies = Policies::new(vec![AdmissionPolicy::new("releases", releases, None)?])?;
//! let verifier = Verifier::new(TrustedRoot::from_json(root)?).policies(policies);
//! let verified = verifier.verify(&Bundle::from_json(bundle)?, Artifact::Octets(artifact), &Signatory::Admitted)?;
//! println!("admitted by {:?}", verified.admitted_by());
//! # Ok(())
//! # }
//! ```
//!
//! An error has a stable code ([`Problem`]), a place and words. There is no partial success: what is in a bundle and of a trusted
//! service must hold.

pub mod admission;
pub mod dsse;
mod entry;
mod error;
mod format;
mod json;
mod log_entries;
mod log_entry;
mod note;
mod policy;
pub mod signature;
mod signing_config;
#[cfg(test)]
mod tests;
mod times;
pub mod trust_material;
mod trusted_root;
mod verified;
mod verifier;

pub use error::{Problem, VerificationError};
pub use format::{
    Bundle, Content, Envelope, EnvelopeSignature, HashOutput, MAX_BUNDLE, MEDIA_TYPE, MessageSignature,
    Signer, Version,
};
pub use json::{Number, Octets, base64, from_base64};
pub use log_entry::{CheckpointMessage, InclusionPromise, InclusionProof, KindVersion, LogEntry, LogId};
pub use policy::{Expected, Identity, issuer_of};
pub use signature::{Artifact, SigningKey};
pub use signing_config::{MAX_SIGNING_CONFIG, SigningConfig};
pub use trusted_root::{MAX_TRUSTED_ROOT, TrustedAuthority, TrustedLog, TrustedRoot, Window};
pub use verified::{Fact, LoggedAt, Promised, SignedTime, TimeSource, Verified};
pub use verifier::{Signatory, Verifier};
