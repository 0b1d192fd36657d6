//! Published attacks on JOSE, on Fulcio, on key handling and on transparency logs, each named by its advisory where it has one
//! and by what it does where it has none. All go through the public surface of a whole CA; each ends in a refusal with its
//! reason, without a certificate and without an entry in the log.

mod encoding;
mod identity;
mod jose;
mod keys;
mod log;
mod signer;

use crate::support::grpc::{GrpcClient, detail};
use crate::support::key::TestKey;
use crate::support::{Answer, TestCa};
use countersign::identity::email::EmailRules;
use countersign::identity::{Entry, Issuer, Issuers, KeySource};
use serde_json::{Value, json};
use signer::Signer;
use std::sync::Arc;
use std::time::Duration;

/// Issues identities of people; its keys come from a file, and any algorithm that is not symmetric may sign.
const PEOPLE: &str = "https://people.example";

/// A CA that somebody attacks. It trusts its GitLab, and [`PEOPLE`] with the key of `signer`.
struct Target {
    ca: TestCa,
    signer: Signer,
}

impl Target {
    async fn start() -> Self {
        Self::trusting(|_| Issuers::default()).await
    }

    /// With further issuers, which know the signer's key set.
    async fn trusting(more: impl FnOnce(Arc<KeySource>) -> Issuers + 'static) -> Self {
        let signer = Signer::new();
        let keys = Arc::new(KeySource::Static(signer.key_set().to_string().into_bytes()));
        let ca = TestCa::builder()
            .configure(move |config| {
                let kind = EmailRules::default().into();
                let entry = Entry { audience: "sigstore".into(), allow_multiple_audiences: false, kind };
                let people = Issuer { url: PEOPLE.into(), entries: [entry].into(), key_source: keys.clone() };
                let more = more(keys);
                let listed = config.issuers.iter().chain(more.iter()).cloned().chain([people]).collect();
                config.issuers = Issuers::new(listed, more.patterns().to_vec());
            })
            .start()
            .await;
        Self { ca, signer }
    }

    /// What a caller with a sound key gets for this token.
    async fn token(&self, token: &str) -> Answer {
        let mut request = TestKey::new().request(&self.ca.challenge());
        request["credentials"] = json!({ "oidcIdentityToken": token });
        self.ca.sign(&request).await
    }

    /// The token is refused for this reason, whichever way it comes: v2 in the body and in a header, v1, gRPC.
    async fn refuses_everywhere(&self, attack: &str, token: &str, reason: &str) {
        assert_refused(attack, &self.token(token).await, reason);
        let bearer = format!("Bearer {token}");
        let key = TestKey::new();
        let request = key.request(&self.ca.challenge());
        let answer = self.ca.signing().header("authorization", &bearer).body(request.to_string());
        assert_refused(attack, &Answer::of(answer).await, reason);
        let public_key = json!({ "content": base64_of(key.pem().as_bytes()) });
        let legacy =
            json!({ "publicKey": public_key, "signedEmailAddress": key.proof(&self.ca.challenge()) });
        let url = self.ca.url("/api/v1/signingCert");
        let answer = self.ca.http.post(url).header("authorization", &bearer).body(legacy.to_string());
        assert_refused(attack, &Answer::of(answer).await, reason);
        let mut message = request;
        message["credentials"] = json!({ "oidcIdentityToken": token });
        let client = GrpcClient::connect(self.ca.url("")).await;
        let status = client.call("dev.sigstore.fulcio.v2.CA/CreateSigningCertificate", message).await;
        assert_eq!(detail(&status.expect_err(attack)).reason, reason, "{attack}, by gRPC");
    }

    /// Lets the allowance of fetches refill, for the next unknown `kid`.
    fn let_time_pass(&self) {
        self.ca.clock.advance(Duration::from_secs(5));
    }

    async fn entries(&self) -> Value {
        self.ca.get("/ct/ct/v1/get-sth").await.json()["tree_size"].clone()
    }

    /// Nothing came of all that, and an honest caller is served.
    async fn stands(&self) {
        assert_eq!(self.entries().await, 0, "a refused request left an entry");
        self.ca.issue().await;
        assert_eq!(self.entries().await, 1);
    }
}

/// A refusal of the caller with this reason, and no certificate.
fn assert_refused(attack: &str, answer: &Answer, reason: &str) {
    let text = answer.text();
    assert!(answer.status.is_client_error(), "{attack}: {} {text}", answer.status);
    assert_eq!(answer.reason(), reason, "{attack}: {text}");
    assert!(!text.contains("CERTIFICATE-----"), "{attack}: {text}");
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}
