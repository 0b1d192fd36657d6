//! The trait that every type of identity implements, and the handle under which the allow-list keeps one.

use super::{Named, Principal};
use crate::condition::{Member, Record, Type};
use crate::refusal::Refusal;
use crate::token::{Algorithm, Claims, VerifiedToken};
use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The algorithms of types that do not say otherwise: every asymmetric one that the reference's verifier takes and that is no
/// curiosity. ES512 is left out: no P-521 key of an issuer has been seen.
pub const ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// A type of identity with what the operator set for it: what an issuer's tokens become.
pub trait IdentityType: Any + fmt::Debug + Send + Sync {
    /// The name in configurations, `gitlab-pipeline` for instance.
    fn name(&self) -> &'static str;

    /// The algorithms its tokens may have.
    fn algorithms(&self) -> &'static [Algorithm] {
        ALGORITHMS
    }

    /// The claim that the proof of possession signs as a rule, [`Principal::challenge`].
    fn challenge_claim(&self) -> &'static str {
        "sub"
    }

    /// The claim that names whoever shares the server with others of the same issuer, where it is not the subject: a project's
    /// many branches and jobs have many subjects, and are one.
    fn project_claim(&self) -> &'static str {
        "sub"
    }

    /// The claims of its tokens, as conditions of rules may name them. What is always there, [`Self::named`] demands.
    fn claims(&self) -> Record {
        registered_claims([])
    }

    /// Claims that the operator's templates read, and maybe other words in them: tokens may have claims that nobody knows of, so a name that is near to one
    /// of these is only told of.
    fn claims_of_templates(&self) -> &[String] {
        &[]
    }

    /// Whom claims name, whoever wrote them. `issuer` is their `iss` as it was matched, byte for byte.
    ///
    /// # Errors
    /// What is wrong with them.
    fn named(&self, issuer: &str, claims: &Claims) -> Result<Named, Refusal>;

    /// The principal that a token names.
    ///
    /// # Errors
    /// As [`Self::named`].
    fn principal(&self, issuer: &str, token: &VerifiedToken) -> Result<Principal, Refusal> {
        self.named(issuer, token.claims()).map(Principal)
    }

    /// What `GET /api/v2/configuration` says of it beside its name.
    fn announcement(&self) -> Announcement<'_> {
        Announcement::default()
    }
}

/// The claims that every accepted token has (RFC 7519 §4.1), and these. Others may be there; they are taken for texts.
pub(super) fn registered_claims(besides: impl IntoIterator<Item = (&'static str, Member)>) -> Record {
    let registered = [
        ("iss", Member::always(Type::Text)),
        ("sub", Member::always(Type::Text)),
        ("aud", Member::always(Type::Text)),
        ("exp", Member::always(Type::Int)),
        ("iat", Member::sometimes(Type::Int)),
        ("nbf", Member::sometimes(Type::Int)),
        ("jti", Member::sometimes(Type::Text)),
        ("email", Member::sometimes(Type::Text)),
        ("email_verified", Member::sometimes(Type::Bool)),
    ];
    Record::of(registered.into_iter().chain(besides)).and_others(Type::Text)
}

/// The same of a type whose tokens have texts alone: these always, those sometimes.
pub(super) fn texts<const A: usize, const S: usize>(
    always: [&'static str; A],
    sometimes: [&'static str; S],
) -> impl Iterator<Item = (&'static str, Member)> {
    let always = always.map(|name| (name, Member::always(Type::Text)));
    always.into_iter().chain(sometimes.map(|name| (name, Member::sometimes(Type::Text))))
}

/// Fields of the reference's `OIDCIssuer` message that only some types have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announcement<'t> {
    /// `spiffeTrustDomain`
    pub spiffe_trust_domain: &'t str,
    /// `subjectDomain`
    pub subject_domain: &'t str,
    /// `skipEmailVerification`
    pub skip_email_verification: bool,
}

/// The type of identity of one [`super::Entry`]. Cheap to clone; made from any [`IdentityType`].
#[derive(Clone, Debug)]
pub struct EntryKind {
    identity: Arc<dyn IdentityType>,
    announced_challenge: Option<String>,
}

impl EntryKind {
    /// The type itself, when it is a `T`.
    pub fn as_type<T: IdentityType>(&self) -> Option<&T> {
        let any: &dyn Any = &*self.identity;
        any.downcast_ref()
    }

    /// The same type, of which `GET /api/v2/configuration` shows this `challengeClaim`. It changes nothing else: the
    /// reference signs what its type says, whatever its operator wrote there.
    pub fn announcing_challenge(mut self, claim: impl Into<String>) -> Self {
        self.announced_challenge = Some(claim.into());
        self
    }

    /// `challengeClaim` of `GET /api/v2/configuration`.
    pub fn announced_challenge(&self) -> &str {
        self.announced_challenge.as_deref().unwrap_or_else(|| self.identity.challenge_claim())
    }
}

impl<T: IdentityType> From<T> for EntryKind {
    fn from(identity: T) -> Self {
        Self { identity: Arc::new(identity), announced_challenge: None }
    }
}

impl Deref for EntryKind {
    type Target = dyn IdentityType;

    fn deref(&self) -> &Self::Target {
        &*self.identity
    }
}
