//! Attacks on the log: paths that leave it, ranges without an end, chains that lie.

use super::base64_of;
use crate::support::{Answer, TestCa};
use countersign::certificate::accepted::AcceptedCas;
use countersign::config::LogConfig;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, IsCa, KeyPair};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A GET with a target that no HTTP client would send.
async fn raw_get(ca: &TestCa, target: &str) -> String {
    let address = ca.url("").replace("http://", "");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {target} HTTP/1.1\r\nhost: ca\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // A refused head may close the connection at once.
    let _end = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_tiles() {
    let ca = TestCa::start().await;
    ca.issue().await;
    assert!(raw_get(&ca, "/ct/tile/0/000.p/1").await.starts_with("HTTP/1.1 200"));
    for up in [
        "..",
        "%2e%2e",
        "%252e%252e",
        ".%2e",
        "..%00",
        "..;",
        "....",
        "..\\",
        "%c0%ae%c0%ae",
        "\u{ff0e}\u{ff0e}",
    ] {
        for slash in ["/", "%2f", "%5c", "//"] {
            for start in ["/ct/tile/", "/ct/tile/0/", "/ct/tile/data/", "/ct/issuer/", "/ct/"] {
                let target = format!("{start}{}log.key", format!("{up}{slash}").repeat(4));
                let answer = raw_get(&ca, &target).await;
                let status = answer.split(' ').nth(1).unwrap_or_default();
                assert!(matches!(status, "400" | "404"), "{target}: {answer}");
                assert!(!answer.contains("PRIVATE KEY"), "{target}");
            }
        }
    }
    let file = ca.directory().join("log.key");
    for path in ["/etc/passwd", "file:///etc/passwd", &file.display().to_string()] {
        for start in ["/ct/tile/", "/ct/tile/0/", "/ct/issuer/"] {
            let answer = raw_get(&ca, &format!("{start}{path}")).await;
            assert!(
                answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400"),
                "{path}: {answer}"
            );
        }
    }
    for tile in [
        "0/-1",
        "0/0",
        "0/+00",
        "0/000.p/0",
        "0/000.p/01",
        "0/000.p/256",
        "0/000.p/-1",
        "6/000",
        "0/x000/000",
        "0/1000",
        "0/x999/x999/x999/x999/999",
        "00/000",
        "data/000.p/999999999999999999999",
        "entries/000",
        "0/000.P/1",
        "%30/000",
    ] {
        let answer = ca.get(&format!("/ct/tile/{tile}")).await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{tile}: {} {:?}", answer.status, answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_cut_to_what_there_is_and_one_that_is_none_is_refused() {
    let ca = TestCa::start().await;
    for _ in 0..3 {
        ca.issue().await;
    }
    let get = async |query: &str| ca.get(&format!("/ct/ct/v1/{query}")).await;
    for end in ["2", "1000000", "9223372036854775807"] {
        let answer = get(&format!("get-entries?start=0&end={end}")).await;
        assert_eq!(answer.json()["entries"].as_array().map(Vec::len), Some(3), "{end}: {}", answer.text());
    }
    let max = u64::MAX;
    for query in [
        "get-entries?start=1&end=0".to_owned(),
        "get-entries?start=3&end=3".to_owned(),
        format!("get-entries?start={max}&end={max}"),
        "get-entries?start=-1&end=0".to_owned(),
        "get-entries?start=0&end=-1".to_owned(),
        "get-entries?start=0".to_owned(),
        format!("get-entries?start=0&end={max}"),
        "get-entries?start=0&end=18446744073709551616".to_owned(),
        "get-entries?start=0x0&end=1".to_owned(),
        "get-entries?start=1e0&end=2".to_owned(),
        "get-entries?start=&end=".to_owned(),
        "get-entries?start=%00&end=1".to_owned(),
        "get-entries?start=%d9%a1&end=2".to_owned(),
        format!("get-sth-consistency?first=1&second={max}"),
        "get-sth-consistency?first=3&second=1".to_owned(),
        "get-sth-consistency?first=-1&second=1".to_owned(),
        format!("get-entry-and-proof?leaf_index={max}&tree_size={max}"),
        "get-entry-and-proof?leaf_index=3&tree_size=3".to_owned(),
        "get-entry-and-proof?leaf_index=0&tree_size=0".to_owned(),
        "get-proof-by-hash?hash=AAAA&tree_size=3".to_owned(),
        format!("get-proof-by-hash?hash={}&tree_size=3", "A".repeat(60_000)),
        format!("get-proof-by-hash?hash={}&tree_size={max}", "A".repeat(43)),
    ] {
        let answer = get(&query).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(!answer.reason().is_empty(), "{query}");
    }
}

/// A log that takes the certificates of a root of ours.
async fn accepting() -> (TestCa, CertifiedIssuer<'static, KeyPair>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "another root");
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root");
    let mut accepted = AcceptedCas::default();
    accepted.add_pem(root.pem().as_bytes()).expect("a root");
    let accept = move |log: &mut LogConfig| {
        if let LogConfig::Embedded(log) = log {
            log.accept = accepted;
        }
    };
    let ca = TestCa::builder().configure(move |config| accept(&mut config.log)).start().await;
    (ca, root)
}

async fn submit(ca: &TestCa, path: &str, chain: &[Vec<u8>]) -> Answer {
    let chain: Vec<_> = chain.iter().map(|der| base64_of(der)).collect();
    let url = ca.url(&format!("/ct/ct/v1/{path}"));
    Answer::of(ca.http.post(url).body(json!({ "chain": chain }).to_string())).await
}

/// CVE-2020-7919 (Go's parser of certificates): lengths that lie. Chains without an end, in circles, of strangers.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_lies_is_refused_and_ends_nothing() {
    let (ca, root) = accepting().await;
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::default().signed_by(&key, &root).expect("a certificate").der().to_vec();
    let root = root.der().to_vec();
    let mut bad: Vec<Vec<Vec<u8>>> = vec![
        vec![root.clone(); 2],
        vec![root.clone(); 9],
        vec![leaf.clone(), root.clone(), root.clone()],
        vec![leaf.clone(); 9],
        vec![leaf.clone(), root.clone(), leaf.clone(), root.clone()],
        vec![leaf.clone(); 200],
        vec![vec![]; 5000],
        vec![vec![0x30, 0x80]; 3],
        vec![[0x30, 0x80].repeat(10_000)],
        vec![[&leaf[..], &[0]].concat(), root.clone()],
        vec![vec![0; 300_000]],
    ];
    bad.extend((0..leaf.len()).step_by(13).map(|end| vec![leaf[..end].to_vec(), root.clone()]));
    bad.extend((0..leaf.len()).step_by(13).map(|at| {
        let mut spoilt = leaf.clone();
        spoilt[at] ^= 0xff;
        vec![spoilt, root.clone()]
    }));
    for (number, chain) in bad.iter().enumerate() {
        for path in ["add-chain", "add-pre-chain"] {
            let answer = submit(&ca, path, chain).await;
            let reason = answer.reason();
            assert!(answer.status.is_client_error(), "{number} {path}: {} {}", answer.status, answer.text());
            assert!(
                matches!(&*reason, "CHAIN_NOT_ACCEPTED" | "REQUEST_TOO_LARGE" | "REQUEST_MALFORMED"),
                "{reason}"
            );
        }
    }
    assert_eq!(ca.get("/ct/ct/v1/get-sth").await.json()["tree_size"], 0);
    let taken = submit(&ca, "add-chain", &[leaf, root]).await;
    assert_eq!(taken.status, 200, "{}", taken.text());
    assert_eq!(ca.get("/ct/ct/v1/get-sth").await.json()["tree_size"], 1);
}

/// A certificate that passes for a precertificate, or the other way round, would have two faces in one log (RFC 6962 §3.1).
#[tokio::test(flavor = "multi_thread")]
async fn a_poison_that_is_not_the_poison_smuggles_nothing_into_the_log() {
    let (ca, root) = accepting().await;
    let key = KeyPair::generate().expect("a key");
    let issue = |extensions: &[(u64, bool, &[u8])]| {
        let mut params = CertificateParams::default();
        for (last, critical, content) in extensions {
            let oid = [1, 3, 6, 1, 4, 1, 11129, 2, 4, *last];
            let mut extension = CustomExtension::from_oid_content(&oid, content.to_vec());
            extension.set_criticality(*critical);
            params.custom_extensions.push(extension);
        }
        vec![params.signed_by(&key, &root).expect("a certificate").der().to_vec(), root.der().to_vec()]
    };
    const NULL: &[u8] = &[5, 0];
    for (attack, path, extensions) in [
        ("none", "add-pre-chain", &[][..]),
        ("not critical", "add-pre-chain", &[(3, false, NULL)]),
        ("not NULL", "add-pre-chain", &[(3, true, &[4, 0][..])]),
        ("empty", "add-pre-chain", &[(3, true, &[][..])]),
        ("more than NULL", "add-pre-chain", &[(3, true, &[5, 0, 5, 0][..])]),
        ("twice", "add-pre-chain", &[(3, true, NULL), (3, true, NULL)]),
        ("in a certificate", "add-chain", &[(3, true, NULL)]),
        ("in a certificate, not critical", "add-chain", &[(3, false, NULL)]),
        ("in a certificate, not NULL", "add-chain", &[(3, true, &[4, 0][..])]),
    ] {
        let answer = submit(&ca, path, &issue(extensions)).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.reason()),
            (400, "CHAIN_NOT_ACCEPTED"),
            "{attack}: {}",
            answer.text()
        );
    }
    assert_eq!(ca.get("/ct/ct/v1/get-sth").await.json()["tree_size"], 0);
    assert_eq!(submit(&ca, "add-pre-chain", &issue(&[(3, true, NULL)])).await.status, 200);
}
