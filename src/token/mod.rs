//! ID tokens: JSON Web Tokens in compact form (RFC 7519, RFC 7515 §3.1), from text to verified claims.
//!
//! Pure: keys are an argument. Fetching them is `oidc`'s work, reading the claims' meaning is `identity`'s.

mod claims;
mod keys;

pub use claims::Claims;
pub use keys::{KeySet, VerificationKey};

use crate::environment::UnixMillis;
use crate::refusal::Refusal;

/// The largest token that is looked at, in bytes. 200 groups make about 20 KB.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// Signature algorithms of tokens (RFC 7518 §3.1); none of them is symmetric.
pub use jsonwebtoken::Algorithm;

/// A token whose text has the shape of one. Only `iss`, `kid` and `alg` can be read, to pick the key.
pub struct UnverifiedToken<'t> {
    text: &'t str,
}

/// What a verified token must look like, from the configuration of its issuer.
pub struct Expectations<'e> {
    /// The issuer, compared byte for byte.
    pub issuer: &'e str,
    /// The algorithms that the issuer's tokens may have.
    pub algorithms: &'e [Algorithm],
}

/// A token whose signature, algorithm, issuer and times hold at the time it was verified.
///
/// Its audience is matched by [`crate::identity::Issuer::entry_for`], which needs this value.
#[derive(Debug)]
pub struct VerifiedToken {
    claims: Claims,
}

impl<'t> UnverifiedToken<'t> {
    pub fn parse(_text: &'t str) -> Result<Self, Refusal> {
        todo!()
    }
    pub fn issuer(&self) -> &str {
        self.text
    }
    pub fn key_id(&self) -> Option<&str> {
        todo!()
    }
    pub fn algorithm(&self) -> Algorithm {
        todo!()
    }
    pub fn verify(
        self,
        _keys: &KeySet,
        _expected: &Expectations<'_>,
        _now: UnixMillis,
    ) -> Result<VerifiedToken, Refusal> {
        todo!()
    }
}

impl VerifiedToken {
    /// The claims, as the token spells them.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

impl Expectations<'_> {
    /// Whether the token may be looked at any further: its `alg` is one of the issuer's. Asked before keys are fetched.
    pub fn admit(&self, _token: &UnverifiedToken<'_>) -> Result<(), Refusal> {
        todo!()
    }
}
