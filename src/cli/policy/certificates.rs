//! From a logged certificate back to the claims that it was issued for, as far as it carries them.

use crate::certificate::PublicKeyKind;
use crate::certificate::inspect::Inspected;
use crate::identity::extensions::{ClaimsArc, GitlabClaim, ISSUER_V2, TOKEN_SUBJECT};
use crate::log::kind::LoggedEntry;
use crate::possession::KeyKind;
use crate::token::Claims;
use crate::transparency::precertificate::LoggedCertificate;
use serde_json::{Map, Number, Value as Json};

/// What a certificate tells of its request.
pub struct Issued {
    /// The token's `iss`.
    pub iss: String,
    /// The claims that certificates carry, and no others.
    pub claims: Claims,
    /// The type of its key.
    pub key: KeyKind,
}

/// Whether certificates carry a claim. What they do not carry is not known of any request in a log.
pub fn carry(claim: &str) -> bool {
    matches!(claim, "iss" | "sub") || GitlabClaim::ALL.iter().any(|known| known.name() == claim)
}

impl Issued {
    /// Reads an entry of a log.
    ///
    /// # Errors
    /// Why it cannot be judged, in one of a few sentences.
    pub fn of(entry: &LoggedEntry<'_>, arc: &ClaimsArc) -> Result<Self, String> {
        match entry {
            LoggedEntry::Certificate(entry) => match entry.certificate() {
                LoggedCertificate::Precertificate { precertificate, .. } => {
                    Self::of_certificate(precertificate, arc)
                }
                // What this CA issues is logged as a precertificate.
                LoggedCertificate::X509(_) => {
                    Err("it is a certificate that was submitted, not one of this CA".to_owned())
                }
            },
            LoggedEntry::Signature { .. } => Err("it is no certificate".to_owned()),
        }
    }

    fn of_certificate(der: &[u8], arc: &ClaimsArc) -> Result<Self, String> {
        let certificate =
            Inspected::from_der(der).map_err(|_| "the certificate cannot be read".to_owned())?;
        let extensions = certificate.identity_extensions();
        let text = |oid| extensions.iter().find(|extension| extension.oid == oid)?.text().map(str::to_owned);
        let lacks = |what: &str| format!("the certificate lacks {what}");
        let iss = text(ISSUER_V2).ok_or_else(|| lacks("the issuer (1.3.6.1.4.1.57264.1.8)"))?;
        let sub = text(TOKEN_SUBJECT).ok_or_else(|| lacks("the token's subject (1.3.6.1.4.1.57264.1.24)"))?;
        let mut members = Map::new();
        members.insert("iss".to_owned(), Json::String(iss.clone()));
        members.insert("sub".to_owned(), Json::String(sub));
        let before = members.len();
        for extension in extensions {
            let Some(claim) = arc.claim(&extension.oid) else { continue };
            let value = extension.text().and_then(|text| value(claim, text.to_owned()));
            let value = value.ok_or_else(|| format!("the certificate's {} cannot be read", claim.name()))?;
            members.insert(claim.name().to_owned(), value);
        }
        if members.len() == before {
            return Err(lacks(&format!("the raw GitLab claims ({arc})")));
        }
        let key = key(certificate.public_key())
            .ok_or("the certificate's key is of a type that rules do not have")?;
        let claims = Claims::parse(Json::Object(members).to_string().as_bytes());
        let claims = claims.map_err(|_| "the certificate's claims cannot be read".to_owned())?;
        Ok(Self { iss, claims, key })
    }
}

/// The claim as the token had it: all are texts, but for the runner's number.
fn value(claim: GitlabClaim, text: String) -> Option<Json> {
    match claim {
        GitlabClaim::RunnerId => text.parse::<Number>().ok().map(Json::Number),
        _ => Some(Json::String(text)),
    }
}

const fn key(kind: PublicKeyKind) -> Option<KeyKind> {
    match kind {
        PublicKeyKind::P256 => Some(KeyKind::P256),
        PublicKeyKind::P384 => Some(KeyKind::P384),
        PublicKeyKind::P521 => Some(KeyKind::P521),
        PublicKeyKind::Rsa(_) => Some(KeyKind::Rsa),
        PublicKeyKind::Ed25519 => Some(KeyKind::Ed25519),
        PublicKeyKind::Other(_) => None,
    }
}
