//! The checks of `verify`, one function each; `demo` makes the same.
//!
//! A check that cannot be made is noted as such, never as ok. Times: a certificate of ten minutes is judged as of its
//! SCT's time, which the CA signed with the certificate, or as of a time that the caller vouches for.

use super::leaf::{Leaf, extension_name};
use super::material::{TrustMaterial, TrustedChain, TrustedLog};
use super::proof::InclusionProof;
use super::report::Checks;

use crate::certificate::inspect::Inspected;
use crate::certificate::{CaAlgorithm, PublicKeyKind, VerificationError, verify_signature};
use crate::environment::UnixMillis;
use crate::identity::extensions::{ClaimsArc, oid_of};
use crate::transparency::checkpoint::Checkpoint;
use crate::transparency::sct::ReceivedSct;
use crate::transparency::{Hash, Place};

/// What the certificate must say.
#[derive(Clone, Debug)]
pub struct ExpectedIdentity {
    /// The subject alternative name, exactly.
    pub san: String,
    /// The issuer of the ID token, exactly.
    pub issuer: String,
    /// Further extensions: name (Fulcio's, a claim's, or an OID) and value, exactly.
    pub extensions: Vec<(String, String)>,
}

/// The SCT that the further checks go by.
pub struct TrustedSct<'v> {
    /// The SCT.
    pub sct: &'v ReceivedSct,
    /// The log that gave it.
    pub log: &'v TrustedLog,
}

/// The time to judge by: the caller's, else the first SCT's, else the certificate's first second.
pub fn time_of(leaf: &Leaf, at: Option<UnixMillis>) -> (UnixMillis, &'static str) {
    match (at, leaf.scts()) {
        (Some(at), _) => (at, "the time given with --at"),
        (None, Ok([sct, ..])) => (sct.timestamp(), "the SCT's time"),
        (None, _) => (leaf.not_before(), "the certificate's first second, for want of an SCT"),
    }
}

/// Chain and validity: a trusted CA issued the certificate for signing, and all of it was valid at `at`.
pub fn chain<'v>(
    checks: &mut Checks,
    leaf: &Leaf,
    material: &'v TrustMaterial,
    at: (UnixMillis, &str),
) -> Option<&'v TrustedChain> {
    let (at, whose) = at;
    let mut nearest: Option<(&TrustedChain, VerificationError)> = None;
    for trusted in &material.chains {
        match leaf.verify_issued_by(&trusted.chain, at) {
            Ok(()) if trusted.valid_for.contains(at) => {
                checks.ok("chain", issued_words(trusted));
                let (from, to) = (leaf.not_before(), leaf.not_after());
                checks.ok("validity", format!("at {at} ({whose}), within {from} to {to}"));
                return Some(trusted);
            }
            Ok(()) => {
                checks.ok("chain", issued_words(trusted));
                checks.failed("validity", format!("the trusted root does not count this CA at {at}"));
                return Some(trusted);
            }
            // What names another issuer is only of interest when there is nothing nearer.
            Err(error @ VerificationError::IssuerMismatch { .. }) => {
                nearest.get_or_insert((trusted, error));
            }
            Err(error) => nearest = Some((trusted, error)),
        }
    }
    match nearest {
        Some((trusted, error @ (VerificationError::NotValid { .. } | VerificationError::Chain(_)))) => {
            checks.ok("chain", issued_words(trusted));
            checks.failed("validity", format!("{error} ({whose})"));
            Some(trusted)
        }
        Some((_, error)) => {
            checks.failed("chain", error.to_string());
            checks.not_checked("validity", "the chain does not hold");
            None
        }
        None => {
            checks.failed("chain", "no CA is trusted");
            None
        }
    }
}

fn issued_words(trusted: &TrustedChain) -> String {
    let length = trusted.chain.certificates().len();
    format!(
        "issued for code signing by a trusted CA, {length} CA certificate{} up to the root",
        plural(length)
    )
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// The SCTs: at least one by a trusted log, and every one of a trusted log holds.
pub fn scts<'v>(
    checks: &mut Checks,
    leaf: &'v Leaf,
    chain: Option<&TrustedChain>,
    material: &'v TrustMaterial,
) -> Option<TrustedSct<'v>> {
    const NAME: &str = "SCT";
    let scts = match leaf.scts() {
        Ok(scts) => scts,
        Err(words) => {
            checks.failed(NAME, words);
            return None;
        }
    };
    let Some(chain) = chain else {
        checks.not_checked(NAME, "it needs the issuing CA's key, and the chain does not hold");
        return None;
    };
    if material.logs.is_empty() {
        checks.not_checked(NAME, "no log is trusted: give --log-key or --trusted-root");
        return None;
    }
    let result = verified_sct(leaf, scts, chain, material);
    checks.record(NAME, result)
}

fn verified_sct<'v>(
    leaf: &Leaf,
    scts: &'v [ReceivedSct],
    chain: &TrustedChain,
    material: &'v TrustMaterial,
) -> Result<(TrustedSct<'v>, String), String> {
    let tbs = leaf.logged_tbs().map_err(|error| error.to_string())?;
    let mut trusted = None;
    for sct in scts {
        let Some(log) = material.log(sct.log_id()) else { continue };
        sct.verify_precertificate(&log.spki, chain.chain.issuer_key_hash(), &tbs)
            .map_err(|error| format!("log {}: {error}", hex::encode(log.id)))?;
        if !log.valid_for.contains(sct.timestamp()) {
            return Err(format!("the trusted root does not count this log at {}", sct.timestamp()));
        }
        trusted.get_or_insert(TrustedSct { sct, log });
    }
    match trusted {
        Some(found) => {
            let index =
                found.sct.place().map_or_else(|_| String::new(), |place| format!(", index {}", place.index));
            let words =
                format!("signed by log {} at {}{index}", hex::encode(found.log.id), found.sct.timestamp());
            Ok((found, words))
        }
        None => {
            let ids: Vec<_> = scts.iter().map(|sct| hex::encode(sct.log_id())).collect();
            Err(format!("no trusted log: the certificate names {}", ids.join(", ")))
        }
    }
}

/// The leaf hash and the place that an SCT promises.
pub fn promised(leaf: &Leaf, chain: &TrustedChain, sct: &ReceivedSct) -> Result<(Hash, Place), String> {
    let place = sct.place().map_err(|error| error.to_string())?;
    let tbs = leaf.logged_tbs().map_err(|error| error.to_string())?;
    let hash =
        sct.leaf_hash(chain.chain.issuer_key_hash(), &tbs).ok_or("the certificate is too large for a log")?;
    Ok((hash, place))
}

/// Inclusion by a proof at hand: it leads from this certificate to a root that the log's key signed.
pub fn inclusion(
    proof: &InclusionProof,
    leaf_hash: &Hash,
    place: Place,
    log: &TrustedLog,
    origin: Option<&str>,
) -> Result<String, String> {
    let note = proof.checkpoint.as_deref().ok_or("the proof has no checkpoint, so nobody signed its root")?;
    // Without a better source the note's own name is taken: the log's key decides whether it counts.
    let named = note.lines().next().unwrap_or_default();
    let checkpoint = Checkpoint::verify(note.as_bytes(), origin.unwrap_or(named), &log.spki)
        .map_err(|error| format!("the checkpoint: {error}"))?;
    let head = checkpoint.head();
    if (head.size, head.root) != (proof.tree_size, proof.root_hash) {
        return Err("the proof's tree is not the one that the checkpoint signs".to_owned());
    }
    if proof.log_index != place.index {
        return Err(format!("the proof is for index {}, the SCT promises {}", proof.log_index, place.index));
    }
    if !proof.proves(leaf_hash) {
        return Err("the proof does not lead from this certificate to the signed root".to_owned());
    }
    Ok(format!(
        "entry {} of the {} that {} signed at {}",
        place.index,
        head.size,
        checkpoint.origin(),
        head.timestamp
    ))
}

/// SAN, issuer and every further extension, exactly. The name must be the only one.
pub fn identity(checks: &mut Checks, leaf: &Leaf, expected: &ExpectedIdentity, arc: &ClaimsArc) {
    let sans = leaf.sans();
    match sans.as_slice() {
        [san] if *san == expected.san => checks.ok("identity", san.clone()),
        [san] => checks.failed("identity", format!("it is for {san}, not for {}", expected.san)),
        several => checks
            .failed("identity", format!("it has {} names, not one: {}", several.len(), several.join(", "))),
    }
    match leaf.oidc_issuer() {
        Some(issuer) if issuer == expected.issuer => checks.ok("issuer", issuer),
        Some(issuer) => checks.failed("issuer", format!("{issuer} vouches, not {}", expected.issuer)),
        None => checks.failed("issuer", "the certificate does not say who vouches for the identity"),
    }
    extensions(checks, leaf, &expected.extensions, arc);
}

/// The extensions that a certificate must have, by name or OID, with the values that they must have exactly.
pub fn extensions(
    checks: &mut Checks,
    certificate: &Inspected,
    expected: &[(String, String)],
    arc: &ClaimsArc,
) {
    for (name, value) in expected {
        extension(checks, certificate, name, value, arc);
    }
}

fn extension(checks: &mut Checks, certificate: &Inspected, name: &str, value: &str, arc: &ClaimsArc) {
    let Some(oid) = oid_of(name, arc) else {
        checks.failed(
            name.to_owned(),
            "no extension has this name; `countersign inspect` shows those there are",
        );
        return;
    };
    match certificate.identity_extensions().iter().find(|extension| extension.oid == oid) {
        None => checks.failed(name.to_owned(), "the certificate has no such extension"),
        Some(found) => match found.text() {
            Some(text) if text == value => checks.ok(extension_name(found, arc), text),
            Some(text) => checks.failed(extension_name(found, arc), format!("it is {text}, not {value}")),
            None => checks.failed(extension_name(found, arc), "its value is no text"),
        },
    }
}

/// A file's signature by the certificate's key, with the hash that goes with the key (P-256 and RSA: SHA-256, P-384:
/// SHA-384, P-521: SHA-512). For ECDSA keys of 384 bits and more SHA-256 is taken too, as `openssl dgst -sha256` makes it.
pub fn file_signature(leaf: &Leaf, content: &[u8], signature: &[u8]) -> Result<String, String> {
    use CaAlgorithm::{EcdsaP256Sha256, EcdsaP384Sha384, EcdsaP521Sha512, Ed25519, RsaSha256};
    let algorithms: &[(&str, CaAlgorithm)] = match leaf.public_key() {
        PublicKeyKind::P256 => &[("ECDSA P-256 with SHA-256", EcdsaP256Sha256)],
        PublicKeyKind::P384 => {
            &[("ECDSA P-384 with SHA-384", EcdsaP384Sha384), ("ECDSA P-384 with SHA-256", EcdsaP256Sha256)]
        }
        PublicKeyKind::P521 => {
            &[("ECDSA P-521 with SHA-512", EcdsaP521Sha512), ("ECDSA P-521 with SHA-256", EcdsaP256Sha256)]
        }
        PublicKeyKind::Rsa(_) => &[("RSA PKCS#1 v1.5 with SHA-256", RsaSha256)],
        PublicKeyKind::Ed25519 => &[("Ed25519", Ed25519)],
        other => return Err(format!("the certificate's key is {other}, which is not supported")),
    };
    algorithms
        .iter()
        .find(|(_, algorithm)| {
            verify_signature(leaf.spki_der(), algorithm.identifier(), content, signature).is_ok()
        })
        .map(|(name, _)| format!("{name}, by the certificate's key"))
        .ok_or_else(|| "it was not made by the certificate's key over this file".to_owned())
}
