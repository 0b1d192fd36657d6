//! Gets a certificate with sigstore-rs, by its v1 client, and signs: interop CA-URL TOKEN-FILE SUBJECT FILE OUT-DIR
//!
//! It writes what the client got (certificate.pem with the chain behind it) and the file's signature. The library's own
//! verifier insists on a Rekor, so chain, SCT and signature are verified by who calls this.

use sigstore::crypto::SigningScheme;
use sigstore::fulcio::{FulcioClient, TokenProvider};
use std::path::Path;
use std::str::FromStr;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, token, subject, file, out] = arguments.as_slice() else {
        return Err("usage: interop CA-URL TOKEN-FILE SUBJECT FILE OUT-DIR".into());
    };
    let token = openidconnect::core::CoreIdToken::from_str(&std::fs::read_to_string(token)?)?;
    let client = FulcioClient::new(url::Url::parse(url)?, TokenProvider::Static((token, subject.clone())));
    let (signer, chain) = client.request_cert(SigningScheme::ECDSA_P256_SHA256_ASN1).await?;
    let signature = signer.sign(&std::fs::read(file)?)?;
    std::fs::write(Path::new(out).join("certificate.pem"), chain.as_ref())?;
    std::fs::write(Path::new(out).join("signature"), signature)?;
    Ok(())
}
