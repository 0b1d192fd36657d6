//! What other implementations say of our certificates: the openssl command line, and Python's `cryptography`.
//!
//! Where one of them is not installed its tests say so and pass: `cargo test` needs Rust and nothing else. The Python is
//! `python3`, or what the environment variable `COUNTERSIGN_TEST_PYTHON` names.

use super::FileSigner;
use super::ceremony::{IssuingCurve, NewCa, Options};
use crate::certificate::testing::{self, NOW};
use crate::certificate::{CaChain, Certificate};
use crate::issuance::CaSigner;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// What `openssl x509 -text` says of the certificate that never changes. `UPDATE_GOLDEN=1` writes it anew.
const GOLDEN: &str = "tests/fixtures/certificate/leaf.txt";

/// Takes certificate, chain and time; prints the TBSCertificate that the SCT is over, and the SCT.
const PYTHON: &str = r#"
import sys, datetime
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
leaf = x509.load_pem_x509_certificate(open(sys.argv[1], "rb").read())
issuing, root = x509.load_pem_x509_certificates(open(sys.argv[2], "rb").read())
leaf.verify_directly_issued_by(issuing)
issuing.verify_directly_issued_by(root)
root.verify_directly_issued_by(root)
assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == datetime.timedelta(seconds=600)
assert list(leaf.subject) == []
san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
assert san.critical and len(san.value) == 1
print(san.value[0].value)
aki = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
ski = issuing.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
assert aki.key_identifier == ski.digest
assert [e.oid.dotted_string for e in leaf.extensions if e.critical] == ["2.5.29.15", "2.5.29.17"]
scts = leaf.extensions[len(leaf.extensions) - 1]
assert scts.oid.dotted_string == "1.3.6.1.4.1.11129.2.4.2" and len(scts.value) == 1
print(leaf.tbs_precertificate_bytes.hex())
print(scts.value[0].log_id.hex(), scts.value[0].entry_type.name, scts.value[0].extension_bytes.hex())
"#;

#[tokio::test]
async fn openssl_accepts_what_a_new_ca_of_either_curve_issues_under_its_strictest_rules() {
    for issuing_curve in [IssuingCurve::P256, IssuingCurve::P384] {
        let files = Files::of_new_ca(issuing_curve).await;
        let Some((accepted, said)) = openssl(&files.verify("leaf.pem")) else { return };
        assert!(accepted, "{issuing_curve:?}: {said}");
    }
}

#[tokio::test]
async fn openssl_refuses_the_precertificate_for_its_poison() {
    let files = Files::of_new_ca(IssuingCurve::P256).await;
    let Some((accepted, said)) = openssl(&files.verify("precertificate.pem")) else { return };
    assert!(!accepted && said.contains("unhandled critical extension"), "{said}");
}

#[test]
fn openssl_shows_the_certificate_that_it_always_showed() {
    let files = Files::write(&testing::issue(&testing::chain(), NOW), "", testing::CHAIN, "");
    let leaf = files.path("leaf.pem");
    let Some((true, version)) = openssl(&["version".into()]) else { return };
    if !version.starts_with("OpenSSL 3.") {
        eprintln!("skipped: the text is that of OpenSSL 3, this is {version}");
        return;
    }
    let arguments =
        ["x509", "-noout", "-text", "-certopt", "no_sigdump", "-nameopt", "RFC2253", "-in", &leaf]
            .map(str::to_owned);
    let (_, shown) = openssl(&arguments).unwrap();
    let shown: String = shown.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &shown).unwrap();
    }
    assert_eq!(shown, std::fs::read_to_string(golden).unwrap());
}

#[test]
fn python_reads_the_same_certificate_and_rebuilds_what_was_logged() {
    let chain = testing::chain();
    let files = Files::write(&testing::issue(&chain, NOW), "", testing::CHAIN, "");
    let python = std::env::var("COUNTERSIGN_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    if !run(&python, &["-c".into(), "import cryptography".into()]).is_some_and(|(found, _)| found) {
        eprintln!("skipped: {python} with the package `cryptography` is not installed");
        return;
    }
    let arguments = ["-c", PYTHON, &files.path("leaf.pem"), &files.path("chain.pem")].map(str::to_owned);
    let (accepted, said) = run(&python, &arguments).unwrap();
    assert!(accepted, "{said}");
    let precertificate = testing::template(&chain, NOW).unwrap().into_precertificate(&[1]);
    let sct = format!("{} PRE_CERTIFICATE 000005000000002a", "77".repeat(32));
    let expected = [testing::NAME, &hex::encode(precertificate.logged_tbs()), &sct];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

/// Certificates in a directory of their own.
struct Files(TempDir);

impl Files {
    async fn of_new_ca(issuing_curve: IssuingCurve) -> Self {
        let options = Options { issuing_curve, ..Options::default() };
        let ca = NewCa::make(&options, NOW).unwrap();
        let chain = Arc::new(CaChain::from_pem(ca.chain().as_bytes()).unwrap());
        chain.check_validity(NOW).unwrap();
        let signer = FileSigner::from_pem(ca.issuing_key.as_bytes(), None, &chain).unwrap();
        let template = testing::template(&chain, NOW).unwrap();
        let signature = signer.sign(template.precertificate_tbs()).await.unwrap();
        let precertificate = template.into_precertificate(&signature);
        let poisoned = crate::certificate::pem::encode("CERTIFICATE", precertificate.der());
        let corresponding = precertificate.logged(testing::sct()).prove_correspondence().unwrap();
        let signature = signer.sign(corresponding.certificate_tbs()).await.unwrap();
        Self::write(&corresponding.into_certificate(&signature), &poisoned, &ca.issuing, &ca.root)
    }

    fn write(leaf: &Certificate, precertificate: &str, chain: &str, root: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let leaf = leaf.pem();
        for (name, text) in [
            ("leaf.pem", leaf.as_str()),
            ("precertificate.pem", precertificate),
            ("chain.pem", chain),
            ("root.pem", root),
        ] {
            std::fs::write(files.0.path().join(name), text).unwrap();
        }
        files
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    fn verify(&self, name: &str) -> Vec<String> {
        let (root, chain, leaf) = (self.path("root.pem"), self.path("chain.pem"), self.path(name));
        let time = NOW.as_secs().to_string();
        let arguments =
            ["verify", "-x509_strict", "-attime", &time, "-CAfile", &root, "-untrusted", &chain, &leaf];
        arguments.map(str::to_owned).to_vec()
    }
}

fn openssl(arguments: &[String]) -> Option<(bool, String)> {
    let answer = run("openssl", arguments);
    if answer.is_none() {
        eprintln!("skipped: openssl is not installed");
    }
    answer
}

/// Whether the program ended well, and all that it said; `None` when there is no such program.
fn run(program: &str, arguments: &[String]) -> Option<(bool, String)> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}
