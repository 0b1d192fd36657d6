//! A Sigstore bundle, as anybody may hand it to a verifier.

use countersign::bundle::{Artifact, Bundle, Expected, Identity, Signatory, TrustedRoot, Verifier};
use std::sync::OnceLock;

const ROOT: &[u8] = include_bytes!("../../fixtures/bundle/trusted_root.json");
/// What the seeds sign, and the only times at which they did.
const ARTIFACT: &[u8] = b"what was signed\n";
const OTHER: &[u8] = b"what was not signed\n";

fn verifier() -> &'static Verifier {
    static VERIFIER: OnceLock<Verifier> = OnceLock::new();
    VERIFIER.get_or_init(|| Verifier::new(TrustedRoot::from_json(ROOT).expect("the fixture")))
}

/// What is read is written so that it reads the same; nothing verifies for an artifact that nobody signed; what verifies
/// names its certificate, its time and its place in the log.
pub fn target(data: &[u8]) {
    let bundle = match Bundle::from_json(data) {
        Ok(bundle) => bundle,
        Err(error) => {
            assert!(!error.detail().is_empty() && !error.place().is_empty());
            return;
        }
    };
    assert_eq!(Bundle::from_json(bundle.to_json().as_bytes()).as_ref(), Ok(&bundle));
    let anybody = || Expected::matching("").expect("a pattern");
    let signatory = Signatory::Identity(Identity { name: anybody(), issuer: anybody() });
    assert!(verifier().verify(&bundle, Artifact::Octets(OTHER), &signatory).is_err(), "nobody signed it");
    if let Ok(verified) = verifier().verify(&bundle, Artifact::Octets(ARTIFACT), &signatory) {
        let certificate = verified.certificate().expect("a certificate");
        for time in verified.times() {
            assert!(certificate.not_before() <= time.at && time.at <= certificate.not_after());
        }
        assert!(!verified.times().is_empty() && !verified.logged().is_empty());
    }
}
