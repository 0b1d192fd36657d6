use super::asn1::{PkiStatus, SigningCertificateV2, TimeStampResp, TstInfo};
use super::request::TimestampRequest;
use super::request::tests::{SHA256_OID, plain, query};
use super::token::{SignedAttributes, TokenMaker};
use super::*;
use crate::certificate::testing::NOW;
use crate::certificate::{CaAlgorithm, TimestampChain, verify_signature};
use crate::environment::{Clock, Random, Stopwatch, UnixMillis};
use crate::hash::HashAlgorithm;
use crate::refusal::Reason;
use crate::signer::TimestampKey;
use aws_lc_rs::digest::{SHA256, digest};
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier};
use der::asn1::{Int, ObjectIdentifier, OctetString};
use der::{Decode, Encode};
use proptest::prelude::*;
use rcgen::{
    CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm,
    date_time_ymd,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const POLICY: &str = "1.3.6.1.4.1.57264.2";

/// A root and a certificate under it, before `change`, and its key.
fn material(
    algorithm: &'static SignatureAlgorithm,
    change: impl FnOnce(&mut CertificateParams),
) -> (String, KeyPair) {
    let mut root = CertificateParams::default();
    (root.not_before, root.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2036, 1, 1));
    root.distinguished_name.push(DnType::CommonName, "root");
    root.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2030, 1, 1));
    params.distinguished_name.push(DnType::CommonName, "timestamps");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.custom_extensions = vec![usage(&[8], true)];
    change(&mut params);
    let key = KeyPair::generate_for(algorithm).unwrap();
    let pem = params.signed_by(&key, &Issuer::from_params(&root, &root_key)).unwrap().pem();
    (pem + &root_pem, key)
}

/// extendedKeyUsage with these of id-kp.
fn usage(purposes: &[u8], critical: bool) -> CustomExtension {
    let each: Vec<u8> =
        purposes.iter().flat_map(|purpose| [6, 8, 0x2b, 6, 1, 5, 5, 7, 3, *purpose]).collect();
    let der = [&[0x30, each.len() as u8], &*each].concat();
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 37], der);
    extension.set_criticality(critical);
    extension
}

fn chain() -> TimestampChain {
    TimestampChain::from_pem(material(&PKCS_ECDSA_P256_SHA256, |_| {}).0.as_bytes()).unwrap()
}

fn policy() -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(POLICY)
}

/// The parts of a response, read by another implementation than the one that wrote it.
fn read(response: &[u8]) -> (SignedData, TstInfo) {
    let response = TimeStampResp::from_der(response).unwrap();
    assert_eq!(response.status.status, PkiStatus::Granted);
    let token = response.time_stamp_token.unwrap().to_der().unwrap();
    let content = ContentInfo::from_der(&token).unwrap();
    assert_eq!(content.to_der().unwrap(), token);
    let data: SignedData = content.content.decode_as().unwrap();
    let octets: OctetString = data.encap_content_info.econtent.as_ref().unwrap().decode_as().unwrap();
    let info = TstInfo::from_der(octets.as_bytes()).unwrap();
    assert_eq!(info.to_der().unwrap(), octets.as_bytes());
    (data, info)
}

#[test]
fn a_token_is_what_facts_and_the_rfc_say() {
    let chain = chain();
    let maker = TokenMaker::new(&chain, policy(), Duration::from_secs(1)).unwrap();
    let request = TimestampRequest::from_der(&query(SHA256_OID, &[7; 32], |request| {
        request.nonce = Some(Int::new(&[5]).unwrap());
        request.cert_req = true;
    }))
    .unwrap();
    let attributes = maker.prepare(&request, NOW, [0xff; 16]).unwrap();
    let response = maker.response(&attributes, &[1; 70]);
    assert_eq!(response, maker.response(&maker.prepare(&request, NOW, [0xff; 16]).unwrap(), &[1; 70]));
    let (data, info) = read(&response);
    assert_eq!(data.version, cms::content_info::CmsVersion::V3);
    assert_eq!(data.certificates.as_ref().unwrap().0.len(), 1);
    let signer = data.signer_infos.0.get(0).unwrap();
    assert!(matches!(&signer.sid, SignerIdentifier::IssuerAndSerialNumber(_)));
    let signed = signer.signed_attrs.as_ref().unwrap();
    // The library sorts what it reads, so equal octets are in order.
    assert_eq!(signed.to_der().unwrap(), attributes.der());
    let kinds: Vec<_> = signed.iter().map(|attribute| attribute.oid).collect();
    assert_eq!(
        kinds,
        [asn1::CONTENT_TYPE, asn1::SIGNING_TIME, asn1::MESSAGE_DIGEST, asn1::SIGNING_CERTIFICATE_V2]
    );
    let ess: SigningCertificateV2 = signed.get(3).unwrap().values.get(0).unwrap().decode_as().unwrap();
    let certificate = chain.certificates().first().unwrap();
    assert_eq!(ess.certs[0].cert_hash.as_bytes(), digest(&SHA256, certificate).as_ref());
    assert_eq!(ess.certs[0].issuer_serial.as_ref().unwrap().serial_number.as_bytes(), chain.serial());
    assert_eq!(info.policy, policy());
    assert_eq!(info.gen_time.to_unix_millis(), UnixMillis::from_secs(NOW.as_secs()));
    assert_eq!(info.accuracy.unwrap().seconds, Some(1));
    assert_eq!((info.ordering, info.nonce, info.extensions), (false, Some(Int::new(&[5]).unwrap()), None));
    assert_eq!(info.serial_number.as_bytes(), [&[0x7f][..], &[0xff; 15]].concat());
    assert!(info.tsa.is_some());
}

#[test]
fn accuracies_are_split_and_times_after_2049_are_written() {
    let chain = chain();
    let request = TimestampRequest::from_der(&plain()).unwrap();
    for (accuracy, parts) in [
        (Duration::from_secs(1), (Some(1), None, None)),
        (Duration::from_millis(1500), (Some(1), Some(500), None)),
        (Duration::from_micros(20_003), (None, Some(20), Some(3))),
    ] {
        let maker = TokenMaker::new(&chain, policy(), accuracy).unwrap();
        let far = UnixMillis::from_secs(2_600_000_000);
        let (_, info) = read(&maker.response(&maker.prepare(&request, far, [0; 16]).unwrap(), &[1]));
        let read = info.accuracy.unwrap();
        assert_eq!((read.seconds, read.millis, read.micros), parts);
        assert_eq!(info.gen_time.to_unix_millis(), far);
        assert!(maker.prepare(&request, UnixMillis(u64::MAX), [0; 16]).is_err());
    }
}

proptest! {
    #[test]
    fn whatever_is_changed_in_a_request_is_refused_or_still_stampable(at in 0_usize..56, to in any::<u8>()) {
        let mut der = plain();
        if let Some(octet) = der.get_mut(at) {
            *octet = to;
        }
        if let Ok(request) = TimestampRequest::from_der(&der) {
            let maker = TokenMaker::new(&chain(), policy(), Duration::from_secs(1)).unwrap();
            read(&maker.response(&maker.prepare(&request, NOW, [9; 16]).unwrap(), &[1; 64]));
        }
    }
}

#[test]
fn only_certificates_for_timestamps_alone_are_taken() {
    let problem = |change: fn(&mut CertificateParams)| {
        let (pem, _) = material(&PKCS_ECDSA_P256_SHA256, change);
        TimestampChain::from_pem(pem.as_bytes()).unwrap_err().to_string()
    };
    let alone = "must be critical and have timeStamping alone";
    assert!(problem(|it| it.custom_extensions.clear()).contains(alone));
    assert!(problem(|it| it.custom_extensions = vec![usage(&[8], false)]).contains(alone));
    assert!(problem(|it| it.custom_extensions = vec![usage(&[8, 3], true)]).contains(alone));
    assert!(problem(|it| it.custom_extensions = vec![usage(&[3], true)]).contains(alone));
    assert!(problem(|it| it.custom_extensions = vec![usage(&[8, 8], true)]).contains(alone));
    assert!(
        problem(|it| {
            it.custom_extensions.clear();
            it.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping];
        })
        .contains(alone)
    );
    assert!(
        problem(|it| it.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained))
            .contains("is a CA certificate")
    );
    assert!(problem(|it| it.key_usages = vec![KeyUsagePurpose::KeyEncipherment]).contains("keyUsage"));
    assert!(problem(|it| it.distinguished_name = rcgen::DistinguishedName::new()).contains("no subject"));
    let (good, _) = material(&PKCS_ECDSA_P256_SHA256, |_| {});
    let (own, root) = good.split_at(good.rfind("-----BEGIN").unwrap());
    let refusal = |pem: &str| TimestampChain::from_pem(pem.as_bytes()).unwrap_err().to_string();
    assert!(refusal("").contains("0 certificates"));
    assert!(refusal(own).contains("1 certificates"));
    assert!(
        refusal(&format!("{root}{own}")).contains("critical") || !refusal(&format!("{root}{own}")).is_empty()
    );
    let (other, _) = material(&PKCS_ECDSA_P256_SHA256, |_| {});
    let other_root = other.split_at(other.rfind("-----BEGIN").unwrap()).1;
    assert!(
        refusal(&format!("{own}{other_root}")).contains("not signed by"),
        "{}",
        refusal(&format!("{own}{other_root}"))
    );
    let chain = TimestampChain::from_pem(good.as_bytes()).unwrap();
    assert!(chain.check_validity(UnixMillis::from_secs(1_500_000_000)).is_err());
    assert!(chain.check_validity(UnixMillis::from_secs(2_000_000_000)).is_err());
    assert!(chain.ends().next().unwrap().0.starts_with("timestamp certificate 1 (CN=timestamps)"));
}

/// A key in memory, clocks that can be turned, a log that says what it is told to.
struct World {
    key: TimestampKey,
    wall: AtomicU64,
    monotonic: AtomicU64,
    attested: AtomicU64,
}

impl TimestampSigner for World {
    fn sign(&self, attributes: &SignedAttributes) -> Result<Vec<u8>, String> {
        self.key.sign(attributes)
    }
}

impl Clock for World {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::SeqCst))
    }
}

impl Stopwatch for World {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.monotonic.load(Ordering::SeqCst))
    }
}

impl Attested for World {
    fn last(&self) -> Option<UnixMillis> {
        Some(UnixMillis(self.attested.load(Ordering::SeqCst)))
    }
}

impl Random for World {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0x5a);
    }
}

impl TimestampObserver for World {
    fn timestamp(&self, _: Option<Reason>, _: Duration) {}
}

fn authority() -> (TimestampAuthority, Arc<World>) {
    let (pem, key) = material(&PKCS_ECDSA_P256_SHA256, |_| {});
    let chain = TimestampChain::from_pem(pem.as_bytes()).unwrap();
    let world = Arc::new(World {
        key: TimestampKey::from_pem(key.serialize_pem().as_bytes(), &chain).unwrap(),
        wall: AtomicU64::new(NOW.0),
        monotonic: AtomicU64::new(5_000),
        attested: AtomicU64::new(0),
    });
    let around = Surroundings {
        signer: world.clone(),
        attested: world.clone(),
        clock: world.clone(),
        stopwatch: world.clone(),
        random: world.clone(),
        observer: world.clone(),
    };
    (TimestampAuthority::new(chain, policy(), DEFAULT_ACCURACY, around).unwrap(), world)
}

#[test]
fn a_jump_of_the_clock_stops_the_authority_and_its_undoing_starts_it() {
    let (authority, world) = authority();
    assert!(authority.answer_der(&plain()).is_ok() && authority.health().is_ok());
    world.wall.store(NOW.0 + 3_600_000, Ordering::SeqCst);
    let refusal = authority.answer_der(&plain()).unwrap_err();
    assert_eq!(refusal.reason(), Reason::TimeUnavailable);
    assert!(refusal.retry_after_seconds().is_some());
    assert!(authority.health().unwrap_err().contains("jumped by 3600000 ms"));
    world.wall.store(NOW.0, Ordering::SeqCst);
    assert!(authority.answer_der(&plain()).is_ok() && authority.health().is_ok());
    world.attested.store(NOW.0 + 60_000, Ordering::SeqCst);
    assert!(authority.health().unwrap_err().contains("the log has attested"));
    world.attested.store(0, Ordering::SeqCst);
    authority.heard(5_000, Duration::from_secs(1));
    assert!(authority.health().unwrap_err().contains("behind the configured NTP servers"));
    authority.heard(0, Duration::from_secs(1));
    assert!(authority.health().is_ok());
}

#[test]
fn an_expired_certificate_stops_it_too_and_foreign_policies_are_refused() {
    let (authority, world) = authority();
    let foreign =
        query(SHA256_OID, &[7; 32], |request| request.req_policy = ObjectIdentifier::new("1.2.3").ok());
    assert_eq!(authority.answer_der(&foreign).unwrap_err().reason(), Reason::TimestampPolicyUnknown);
    let own = query(SHA256_OID, &[7; 32], |request| request.req_policy = Some(policy()));
    assert!(authority.answer_der(&own).is_ok());
    // Both clocks walk on for ten years.
    world.wall.fetch_add(315_360_000_000, Ordering::SeqCst);
    world.monotonic.fetch_add(315_360_000_000, Ordering::SeqCst);
    assert_eq!(authority.answer_der(&own).unwrap_err().reason(), Reason::TimestampUnavailable);
    assert!(authority.health().unwrap_err().contains("expired"));
}

#[test]
fn its_signature_is_over_the_attributes_by_the_certificates_key() {
    let (authority, _) = authority();
    let (data, _) = read(&authority.answer_der(&plain()).unwrap());
    let signer = data.signer_infos.0.get(0).unwrap();
    let attributes = signer.signed_attrs.as_ref().unwrap().to_der().unwrap();
    let algorithm = CaAlgorithm::EcdsaP256Sha256.identifier();
    verify_signature(authority.chain().spki(), algorithm, &attributes, signer.signature.as_bytes()).unwrap();
    assert!(data.certificates.is_none());
}

mod openssl {
    //! The openssl command line asks and verifies; without it these tests say so and pass.

    use super::*;
    use std::path::Path;
    use std::process::Command;

    /// Whether it succeeded and what it said; `None`: it is not here.
    fn openssl(directory: &Path, arguments: &[&str]) -> Option<(bool, String)> {
        let output = Command::new("openssl").current_dir(directory).args(arguments).output();
        let Ok(output) = output else {
            eprintln!("skipped: openssl is not installed");
            return None;
        };
        let said = [output.stdout, output.stderr].concat();
        Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    #[test]
    fn it_verifies_our_answers_to_its_own_queries() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
            let directory = tempfile::tempdir().unwrap();
            let (pem, key) = material(algorithm, |_| {});
            let chain = TimestampChain::from_pem(pem.as_bytes()).unwrap();
            let signer = TimestampKey::from_pem(key.serialize_pem().as_bytes(), &chain).unwrap();
            let maker = TokenMaker::new(&chain, policy(), Duration::from_secs(1)).unwrap();
            let (own, root) = pem.split_at(pem.rfind("-----BEGIN").unwrap());
            let write =
                |name: &str, content: &[u8]| std::fs::write(directory.path().join(name), content).unwrap();
            write("root.pem", root.as_bytes());
            write("own.pem", own.as_bytes());
            write("artifact", b"an artifact");
            write("other", b"another artifact");
            for hash in HashAlgorithm::ALL {
                for cert in [&[][..], &["-cert"]] {
                    for nonce in [&[][..], &["-no_nonce"]] {
                        let digest = format!("-{}", hash.plain_name());
                        let query = ["ts", "-query", "-data", "artifact", &digest, "-out", "query"];
                        let Some((made, said)) =
                            openssl(directory.path(), &[&query[..], cert, nonce].concat())
                        else {
                            return;
                        };
                        assert!(made, "{said}");
                        let query = std::fs::read(directory.path().join("query")).unwrap();
                        let request = TimestampRequest::from_der(&query).unwrap();
                        assert_eq!(request.wants_certificates(), !cert.is_empty());
                        assert_eq!(request.nonce().is_some(), nonce.is_empty());
                        let attributes = maker.prepare(&request, NOW, [3; 16]).unwrap();
                        let signature = signer.sign(&attributes).unwrap();
                        write("reply", &maker.response(&attributes, &signature));
                        let now = NOW.as_secs().to_string();
                        let verify = |what: &[&str]| {
                            let always =
                                ["ts", "-verify", "-in", "reply", "-CAfile", "root.pem", "-attime", &now];
                            // Without -cert the certificate comes from elsewhere.
                            let own: &[&str] = if cert.is_empty() { &["-untrusted", "own.pem"] } else { &[] };
                            openssl(directory.path(), &[&always[..], own, what].concat()).unwrap()
                        };
                        let (verified, said) = verify(&["-queryfile", "query"]);
                        assert!(verified, "{hash:?} {cert:?} {nonce:?}: {said}");
                        assert!(verify(&["-data", "artifact"]).0);
                        assert!(!verify(&["-data", "other"]).0);
                        let mut changed = maker.response(&attributes, &signature);
                        *changed.last_mut().unwrap() ^= 1;
                        write("reply", &changed);
                        assert!(!verify(&["-queryfile", "query"]).0);
                    }
                }
            }
        }
    }

    #[test]
    fn it_reads_every_field_of_a_reply() {
        let directory = tempfile::tempdir().unwrap();
        let (authority, _) = authority();
        let reply = authority.answer_der(&plain()).unwrap();
        std::fs::write(directory.path().join("reply"), reply).unwrap();
        let Some((read, said)) = openssl(directory.path(), &["ts", "-reply", "-in", "reply", "-text"]) else {
            return;
        };
        assert!(read, "{said}");
        for line in [
            "Status: Granted.",
            "Version: 1",
            "Policy OID: 1.3.6.1.4.1.57264.2",
            "Hash Algorithm: sha256",
            "Serial number: 0x5A5A",
            "Time stamp: Nov 21 09:00:00 2026 GMT",
            "Accuracy: 0x01 seconds, unspecified millis, unspecified micros",
            "Ordering: no",
            "Nonce: unspecified",
            "TSA: DirName:",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
    }

    #[test]
    fn ed25519_makes_tokens_that_can_be_read() {
        let (pem, key) = material(&PKCS_ED25519, |_| {});
        let chain = TimestampChain::from_pem(pem.as_bytes()).unwrap();
        let signer = TimestampKey::from_pem(key.serialize_pem().as_bytes(), &chain).unwrap();
        let maker = TokenMaker::new(&chain, policy(), Duration::from_secs(1)).unwrap();
        let attributes = maker.prepare(&TimestampRequest::from_der(&plain()).unwrap(), NOW, [3; 16]).unwrap();
        let (data, _) = read(&maker.response(&attributes, &signer.sign(&attributes).unwrap()));
        assert_eq!(data.digest_algorithms.get(0).unwrap().oid, HashAlgorithm::Sha512.oid());
    }
}
