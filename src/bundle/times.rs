//! When the signature was made, by the timestamps in the bundle.

use super::error::{Problem, VerificationError, problem};
use super::format::Bundle;
use super::trusted_root::{TrustedAuthority, TrustedRoot};
use super::verified::{SignedTime, TimeSource};
use crate::certificate::path::{PathError, Purpose};
use crate::certificate::raw::RawCertificate;
use crate::timestamping::verification::{TimestampError, Token};

/// The times that trusted authorities state. A timestamp of somebody who is not trusted counts for nothing, nor does one that
/// cannot be read; one of a trusted authority must hold. An error when there are timestamps, and none counts.
pub(super) fn verified(bundle: &Bundle, root: &TrustedRoot) -> Result<Vec<SignedTime>, VerificationError> {
    let mut times = Vec::new();
    let mut worthless = None;
    for (at, response) in bundle.timestamps().enumerate() {
        let place = format!("bundle.verificationMaterial.timestampVerificationData[{at}]");
        match one(&place, response, bundle.signature(), root) {
            Ok(time) => times.push(time),
            Err(error)
                if matches!(error.problem(), Problem::TimestampUntrusted | Problem::TimestampMalformed) =>
            {
                worthless = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    match worthless {
        Some(error) if times.is_empty() => Err(error),
        _ => Ok(times),
    }
}

fn one(
    place: &str,
    response: &[u8],
    signature: &[u8],
    root: &TrustedRoot,
) -> Result<SignedTime, VerificationError> {
    let refuse = |kind, words: String| problem(kind, place.to_owned(), words);
    let token = Token::from_response(response)
        .map_err(|error| refuse(Problem::TimestampMalformed, error.to_string()))?;
    let mut nearest: Option<VerificationError> = None;
    for authority in root.timestamp_authorities() {
        match by(&token, signature, authority) {
            Ok(true) => {
                let source = TimeSource::Timestamp { authority: authority.uri.clone() };
                return Ok(SignedTime { at: token.time(), source });
            }
            Ok(false) => {}
            // Authorities may share a key or a name: another window, another chain.
            Err((kind, words)) => nearest = Some(refuse(kind, words)),
        }
    }
    Err(nearest.unwrap_or_else(|| {
        refuse(Problem::TimestampUntrusted, "no trusted timestamp authority made it".to_owned())
    }))
}

/// Whether this authority made it; an error when it says so and something does not hold.
fn by(token: &Token<'_>, signature: &[u8], authority: &TrustedAuthority) -> Result<bool, (Problem, String)> {
    let Some(certificate) = signer(token, authority) else { return Ok(false) };
    let invalid = |error: TimestampError| (Problem::TimestampInvalid, error.to_string());
    token.verify_signed_by(certificate).map_err(invalid)?;
    let Some(authorities) = &authority.authorities else {
        return Err((Problem::TimestampInvalid, "the trusted root lacks the authority's issuer".to_owned()));
    };
    authorities.verify(certificate, Purpose::Timestamping, token.time()).map_err(|error| match error {
        error @ PathError::NotValid { .. } => (Problem::TimestampNotValid, error.to_string()),
        error => (Problem::TimestampInvalid, error.to_string()),
    })?;
    if !authority.valid_for.contains(token.time()) {
        let words = format!("the trusted root does not count the authority at {}", token.time());
        return Err((Problem::TimestampNotValid, words));
    }
    token.verify_imprint(signature).map_err(|error| match error {
        TimestampError::Imprint => (Problem::TimestampMismatch, error.to_string()),
        error => invalid(error),
    })?;
    Ok(true)
}

/// The certificate that the token names: the authority's own, or, where the trusted root leaves that out, one that came with
/// the token and that the authority issued.
fn signer<'t>(token: &Token<'t>, authority: &'t TrustedAuthority) -> Option<&'t [u8]> {
    match (&authority.own, &authority.authorities) {
        (Some(own), _) => token.names(own).then_some(own),
        (None, Some(authorities)) => {
            let issued = |der: &&[u8]| {
                RawCertificate::parse(der).is_ok_and(|raw| authorities.have_issued(&raw).is_ok())
            };
            token.certificates().iter().copied().find(|der| token.names(der) && issued(der))
        }
        (None, None) => None,
    }
}
