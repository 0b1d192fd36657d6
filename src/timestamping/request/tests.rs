use super::*;
use der::asn1::OctetString;
use proptest::prelude::*;

/// DER of a request, with a hash of these octets.
pub(in crate::timestamping) fn query(
    oid: &str,
    hash: &[u8],
    change: impl FnOnce(&mut TimeStampReq),
) -> Vec<u8> {
    let mut request = TimeStampReq {
        version: Int::new(&[1]).unwrap(),
        message_imprint: MessageImprint {
            hash_algorithm: x509_cert::spki::AlgorithmIdentifierOwned {
                oid: ObjectIdentifier::new(oid).unwrap(),
                parameters: Some(der::Any::null()),
            },
            hashed_message: OctetString::new(hash).unwrap(),
        },
        req_policy: None,
        nonce: None,
        cert_req: false,
        extensions: None,
    };
    change(&mut request);
    request.to_der().unwrap()
}

pub(in crate::timestamping) const SHA256_OID: &str = "2.16.840.1.101.3.4.2.1";

pub(in crate::timestamping) fn plain() -> Vec<u8> {
    query(SHA256_OID, &[7; 32], |_| {})
}

fn refused(der: &[u8]) -> Reason {
    TimestampRequest::from_der(der).unwrap_err().reason()
}

fn refused_json(json: &str) -> Reason {
    TimestampRequest::from_json(json.as_bytes()).unwrap_err().reason()
}

#[test]
fn hostile_der_is_refused_with_its_reason() {
    use Reason as R;
    let extension = x509_cert::ext::Extension {
        extn_id: ObjectIdentifier::new_unwrap("1.2.3"),
        critical: false,
        extn_value: OctetString::new([5, 0]).unwrap(),
    };
    let with_nonce = |octets: &[u8]| {
        query(SHA256_OID, &[7; 32], |request| request.nonce = Some(Int::new(octets).unwrap()))
    };
    let version =
        |octets: &[u8]| query(SHA256_OID, &[7; 32], |request| request.version = Int::new(octets).unwrap());
    let parameters = query(SHA256_OID, &[7; 32], |request| {
        let any = der::Any::new(der::Tag::OctetString, vec![1]).unwrap();
        request.message_imprint.hash_algorithm.parameters = Some(any);
    });
    let cases: Vec<(Vec<u8>, Reason)> = vec![
        (vec![], R::RequestEmpty),
        (vec![0x30], R::RequestMalformed),
        (vec![0x30, 0], R::RequestMalformed),
        (vec![0x30, 0x80, 0, 0], R::RequestMalformed),
        (vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], R::RequestMalformed),
        ([plain(), vec![0]].concat(), R::RequestMalformed),
        (vec![0x30; MAX_DER], R::RequestMalformed),
        (vec![0x30; MAX_DER + 1], R::RequestTooLarge),
        (b"{\"artifactHash\":\"\"}".to_vec(), R::RequestMalformed),
        (version(&[0]), R::RequestMalformed),
        (version(&[2]), R::RequestMalformed),
        (version(&[1, 1]), R::RequestMalformed),
        (version(&[0xff]), R::RequestMalformed),
        (parameters, R::RequestMalformed),
        (query("1.3.14.3.2.26", &[7; 20], |_| {}), R::TimestampHashUnsupported),
        (query("1.2.840.113549.2.5", &[7; 16], |_| {}), R::TimestampHashUnsupported),
        (query("2.16.840.1.101.3.4.2.4", &[7; 28], |_| {}), R::TimestampHashUnsupported),
        (query("2.16.840.1.101.3.4.2.8", &[7; 32], |_| {}), R::TimestampHashUnsupported),
        (query(SHA256_OID, &[7; 31], |_| {}), R::TimestampHashLength),
        (query(SHA256_OID, &[7; 33], |_| {}), R::TimestampHashLength),
        (query(SHA256_OID, &[], |_| {}), R::TimestampHashLength),
        (query("2.16.840.1.101.3.4.2.2", &[7; 32], |_| {}), R::TimestampHashLength),
        (query("2.16.840.1.101.3.4.2.3", &[7; 48], |_| {}), R::TimestampHashLength),
        (with_nonce(&[1; 65]), R::RequestMalformed),
        (
            query(SHA256_OID, &[7; 32], |request| request.extensions = Some(vec![extension.clone()])),
            R::TimestampExtensionUnknown,
        ),
        (
            query(SHA256_OID, &[7; 32], |request| request.extensions = Some(vec![])),
            R::TimestampExtensionUnknown,
        ),
    ];
    for (index, (der, expected)) in cases.iter().enumerate() {
        assert_eq!(refused(der), *expected, "case {index}");
    }
    for end in 1..plain().len() {
        assert_eq!(refused(plain().get(..end).unwrap()), R::RequestMalformed, "cut at {end}");
    }
}

#[test]
fn nonces_of_any_sign_come_through_as_they_are() {
    for octets in [&[0][..], &[1], &[0x7f; 64], &[0xff], &[0x80, 0], &[0, 0x80]] {
        let der = query(SHA256_OID, &[7; 32], |request| request.nonce = Some(Int::new(octets).unwrap()));
        let request = TimestampRequest::from_der(&der).unwrap();
        assert_eq!(request.nonce().unwrap(), [&[2, octets.len() as u8], octets].concat());
    }
    // Not in the fewest octets.
    let mut der = query(SHA256_OID, &[7; 32], |request| request.nonce = Some(Int::new(&[0, 0x80]).unwrap()));
    *der.last_mut().unwrap() = 1;
    assert_eq!(refused(&der), Reason::RequestMalformed);
}

#[test]
fn json_says_the_same_as_der() {
    let json = r#"{"artifactHash":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","hashAlgorithm":"SHA256",
        "nonce":-129,"certificates":true,"tsaPolicyOID":"1.3.6.1.4.1.57264.2","unknown":[1]}"#;
    let der = query(SHA256_OID, &[7; 32], |request| {
        request.nonce = Some(Int::new(&[0xff, 0x7f]).unwrap());
        request.cert_req = true;
        request.req_policy = ObjectIdentifier::new("1.3.6.1.4.1.57264.2").ok();
    });
    assert_eq!(TimestampRequest::from_json(json.as_bytes()), TimestampRequest::from_der(&der));
}

#[test]
fn json_oddities_are_refused_or_read_as_the_reference_reads_them() {
    use Reason as R;
    let hash = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let with = |more: &str| format!(r#"{{"artifactHash":"{hash}","hashAlgorithm":"sha256"{more}}}"#);
    for more in [
        "",
        r#","nonce":0"#,
        r#","nonce":null,"certificates":null,"tsaPolicyOID":null"#,
        r#","nonce":340282366920938463463374607431768211456"#,
    ] {
        assert!(TimestampRequest::from_json(with(more).as_bytes()).is_ok(), "{more}");
    }
    for more in [
        r#","nonce":1.0"#,
        r#","nonce":1e3"#,
        r#","nonce":"1""#,
        r#","nonce":true"#,
        r#","nonce":NaN"#,
        r#","nonce":01"#,
        r#","nonce":{"$serde_json::private::Number":"1"}"#,
        r#","certificates":"yes""#,
        r#","certificates":1"#,
        r#","tsaPolicyOID":"x""#,
        r#","tsaPolicyOID":"""#,
        r#","tsaPolicyOID":"1.3.6.1.4.1.57264.2.""#,
        r#","hashAlgorithm":"sha512""#,
    ] {
        let json = with(more);
        assert_eq!(refused_json(&json), R::RequestMalformed, "{more}");
    }
    let huge = format!(r#","nonce":{}"#, "9".repeat(200));
    assert_eq!(refused_json(&with(&huge)), R::RequestMalformed);
    let long = with(&" ".repeat(MAX_JSON));
    assert_eq!(refused_json(&long), R::RequestTooLarge);
    assert_eq!(refused_json(&"[".repeat(MAX_JSON)), R::RequestMalformed);
    for (json, reason) in [
        ("", R::RequestEmpty),
        (" ", R::RequestMalformed),
        ("null", R::RequestMalformed),
        ("{}", R::RequestMalformed),
        ("[]", R::RequestMalformed),
        ("{} {}", R::RequestMalformed),
        (r#"{"artifactHash":"","hashAlgorithm":"sha256"}"#, R::TimestampHashLength),
        (r#"{"artifactHash":"AA==","hashAlgorithm":"sha256"}"#, R::TimestampHashLength),
        (r#"{"artifactHash":"*","hashAlgorithm":"sha256"}"#, R::RequestMalformed),
        (r#"{"artifactHash":"AA==","hashAlgorithm":"sha1"}"#, R::TimestampHashUnsupported),
        (r#"{"artifactHash":"AA==","hashAlgorithm":""}"#, R::TimestampHashUnsupported),
        (r#"{"artifactHash":[1],"hashAlgorithm":"sha256"}"#, R::RequestMalformed),
        (r#"{"hashAlgorithm":"sha256"}"#, R::RequestMalformed),
    ] {
        assert_eq!(refused_json(json), reason, "{json}");
    }
}

#[test]
fn every_refusal_has_a_name_in_the_rfc() {
    assert_eq!(failure(Reason::TimestampHashUnsupported).1, "badAlg");
    assert_eq!(failure(Reason::TimeUnavailable).1, "timeNotAvailable");
    assert_eq!(failure(Reason::MethodNotAllowed).1, "badRequest");
}

proptest! {
    #[test]
    fn no_octets_make_it_panic(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = TimestampRequest::from_der(&octets);
        let _ = TimestampRequest::from_json(&octets);
    }
}
