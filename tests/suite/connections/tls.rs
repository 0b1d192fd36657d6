//! TLS: handshakes that stall.

use super::{Server, limits, read};
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;

fn config() -> Arc<rustls::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key);
    Arc::new(config.expect("they belong together"))
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_stall_end_their_connection() {
    let server = Server::start_with(limits(), Some(config())).await;
    // Nothing; the head of a record; a ClientHello that is announced and does not come; plain HTTP.
    for hello in [
        &b""[..],
        b"\x16\x03\x01",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        read(&mut server.sent(hello).await).await;
    }
    let mut slow = server.connect().await;
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(10));
    // A record of 16 KiB, one octet now and then.
    let _ = slow.write_all(b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb").await;
    while slow.write_all(b"\x03").await.is_ok() {
        pace.tick().await;
    }
    server.is_left().await;
}
