//! A make-believe GitLab on loopback: an issuer of ID tokens, with discovery and a key set as GitLab serves them, and
//! tokens as its CI jobs get them. For the demonstration and for tests; nothing of it is in the way of a real token.

use crate::environment::Clock;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::KeyPair;
use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, RSAKeyParameters, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::pkcs8::PrivateKeyInfoRef;
use serde_json::{Value, json};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A GitLab on `http://127.0.0.1:<port>`, serving until it is dropped.
pub struct Gitlab {
    shared: Arc<Shared>,
    server: AbortHandle,
}

/// How a [`Gitlab`] is set up.
#[derive(Default)]
pub struct GitlabBuilder {
    relative_root: String,
    hands_out_tokens: bool,
    port: u16,
    around: Option<Box<dyn FnOnce(Router) -> Router + Send>>,
}

struct Shared {
    url: String,
    clock: Arc<dyn Clock>,
    key: RwLock<SigningKey>,
    fetches: AtomicUsize,
}

/// An RSA-2048 key as GitLab makes one, named by its RFC 7638 thumbprint.
struct SigningKey {
    private: EncodingKey,
    id: String,
    jwk: Value,
}

impl Gitlab {
    /// Starts one at the root of its host.
    ///
    /// # Errors
    /// No port, or no key.
    pub async fn start(clock: Arc<dyn Clock>) -> io::Result<Self> {
        Self::builder().start(clock).await
    }

    /// For one that is set up otherwise.
    pub fn builder() -> GitlabBuilder {
        GitlabBuilder::default()
    }

    /// Its URL, which is its `iss`, with the port and the relative root, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// The claims of a job of a branch pipeline, as GitLab 18.9 makes them, with times from the clock: a project
    /// `my-group/my-project`, the branch `main`, the audience `sigstore`.
    pub fn claims(&self) -> Value {
        self.shared.claims()
    }

    /// A token with these claims, signed with RS256 and the current key.
    pub fn token(&self, claims: &Value) -> String {
        self.shared.token(claims)
    }

    /// A token with this very header, signed with RS256 and the current key whatever the header says.
    pub fn token_with_header(&self, header: &Value, claims: &Value) -> String {
        self.token_of_text(&header.to_string(), &claims.to_string())
    }

    /// A token with header and payload as texts, which need not be JSON; signed with RS256 and the current key.
    pub fn token_of_text(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.signature_of(signed.as_bytes());
        format!("{signed}.{signature}")
    }

    /// The RS256 signature of the current key over these octets, in base64url.
    pub fn signature_of(&self, message: &[u8]) -> String {
        let key = self.shared.key.read().unwrap_or_else(PoisonError::into_inner);
        jsonwebtoken::crypto::sign(message, &key.private, Algorithm::RS256).expect("the key is an RSA key")
    }

    /// The current key's `kid`.
    pub fn key_id(&self) -> String {
        self.shared.key.read().unwrap_or_else(PoisonError::into_inner).id.clone()
    }

    /// The key set that it serves.
    pub fn key_set(&self) -> Value {
        self.shared.key_set()
    }

    /// Replaces the key, as GitLab does: a hard cut, the old key is gone from the key set at once.
    ///
    /// # Errors
    /// No key could be made.
    pub fn rotate(&self) -> io::Result<()> {
        let new = SigningKey::generate()?;
        *self.shared.key.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// How often its key set was fetched.
    pub fn fetches(&self) -> usize {
        self.shared.fetches.load(Ordering::Relaxed)
    }
}

impl Drop for Gitlab {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl GitlabBuilder {
    /// A path below which it lives, `/gitlab` for instance.
    pub fn relative_root(mut self, path: &str) -> Self {
        path.trim_end_matches('/').clone_into(&mut self.relative_root);
        self
    }

    /// The port that it serves on; any free one where none is chosen.
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Gives a token of a job that just began to whoever asks `/demo/token`. No GitLab does that.
    pub const fn hand_out_tokens(mut self) -> Self {
        self.hands_out_tokens = true;
        self
    }

    /// With more on the same host: what it answers by itself goes in, what is served comes out.
    pub fn around(mut self, around: impl FnOnce(Router) -> Router + Send + 'static) -> Self {
        self.around = Some(Box::new(around));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// No port, or no key.
    pub async fn start(self, clock: Arc<dyn Clock>) -> io::Result<Gitlab> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        let address = listener.local_addr()?;
        // 80 is http's own port, and no part of the URL then.
        let host = if address.port() == 80 { address.ip().to_string() } else { address.to_string() };
        let url = format!("http://{host}{}", self.relative_root);
        let key = RwLock::new(SigningKey::generate()?);
        let shared = Arc::new(Shared { url, clock, key, fetches: AtomicUsize::new(0) });
        let router = Router::new()
            .route(&format!("{}/.well-known/openid-configuration", self.relative_root), get(discovery))
            .route(&format!("{}/oauth/discovery/keys", self.relative_root), get(key_set));
        let router = if self.hands_out_tokens {
            router.route(&format!("{}/demo/token", self.relative_root), get(fresh_token).post(fresh_token))
        } else {
            router
        };
        let router = router.with_state(shared.clone());
        let router = match self.around {
            Some(around) => around(router),
            None => router,
        };
        let server = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Ok(Gitlab { shared, server })
    }
}

impl Shared {
    fn claims(&self) -> Value {
        let now = self.clock.now().as_secs();
        let instance = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let sha = "714a629c0b401fdce83e847fc9589983fc6f46bc";
        json!({
            "iss": self.url,
            "iat": now,
            "nbf": now.saturating_sub(5),
            "exp": now + 3600,
            "sub": "project_path:my-group/my-project:ref_type:branch:ref:main",
            "aud": "sigstore",
            "jti": format!("0c6ab0f2-1f5e-4a6e-9d8e-{:012x}", now & 0xffff_ffff_ffff),
            "namespace_id": "72",
            "namespace_path": "my-group",
            "project_id": "20",
            "project_path": "my-group/my-project",
            "user_id": "1",
            "user_login": "ada",
            "user_email": "ada@example.com",
            "user_access_level": "maintainer",
            "user_identities": [{ "provider": "ldapmain", "extern_uid": "uid=ada,dc=example,dc=com" }],
            "groups_direct": ["my-group", "another-group/its-team"],
            "pipeline_id": "574",
            "pipeline_source": "push",
            "job_id": "302",
            "ref": "main",
            "ref_type": "branch",
            "ref_path": "refs/heads/main",
            "ref_protected": "true",
            "runner_id": 1,
            "runner_environment": "self-hosted",
            "sha": sha,
            "project_visibility": "private",
            "ci_config_ref_uri": format!("{instance}/my-group/my-project//.gitlab-ci.yml@refs/heads/main"),
            "ci_config_sha": sha,
            "job_project_id": "20",
            "job_project_path": "my-group/my-project",
            "job_namespace_id": "72",
            "job_namespace_path": "my-group",
            "job_source": "push",
        })
    }

    fn token(&self, claims: &Value) -> String {
        let key = self.key.read().unwrap_or_else(PoisonError::into_inner);
        let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &key.private)
            .expect("claims are JSON and the key is an RSA key")
    }

    fn key_set(&self) -> Value {
        json!({ "keys": [self.key.read().unwrap_or_else(PoisonError::into_inner).jwk] })
    }
}

impl SigningKey {
    fn generate() -> io::Result<Self> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(io::Error::other)?;
        let public = pair.public_key();
        let encode = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        let parameters = RSAKeyParameters {
            n: encode(public.modulus().big_endian_without_leading_zero()),
            e: encode(public.exponent().big_endian_without_leading_zero()),
            ..RSAKeyParameters::default()
        };
        let mut jwk =
            json!({ "kty": "RSA", "e": parameters.e, "n": parameters.n, "use": "sig", "alg": "RS256" });
        let bare = Jwk { common: Default::default(), algorithm: AlgorithmParameters::RSA(parameters) };
        let id = bare.thumbprint(ThumbprintHash::SHA256).map_err(io::Error::other)?;
        jwk["kid"] = json!(id);
        let pkcs8 = pair.as_der().map_err(io::Error::other)?;
        // jsonwebtoken takes the RSAPrivateKey inside (RFC 8017 A.1.2).
        let inner = PrivateKeyInfoRef::try_from(pkcs8.as_ref()).map_err(io::Error::other)?;
        let private = EncodingKey::from_rsa_der(inner.private_key.as_bytes());
        Ok(Self { private, id, jwk })
    }
}

async fn discovery(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let url = &shared.url;
    json_answer(&json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/oauth/authorize"),
        "token_endpoint": format!("{url}/oauth/token"),
        "jwks_uri": format!("{url}/oauth/discovery/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }))
}

async fn key_set(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    shared.fetches.fetch_add(1, Ordering::Relaxed);
    json_answer(&shared.key_set())
}

async fn fresh_token(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain"), (CACHE_CONTROL, "no-store")], shared.token(&shared.claims()))
}

fn json_answer(document: &Value) -> impl IntoResponse + use<> {
    let headers = [
        (CONTENT_TYPE, "application/json; charset=utf-8"),
        (CACHE_CONTROL, "max-age=86400, public, must-revalidate"),
    ];
    (headers, document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::environment::Environment;

    #[tokio::test]
    async fn its_key_is_named_by_its_thumbprint_and_changes_when_rotated() {
        let gitlab = Gitlab::start(Environment::system().clock).await.expect("a GitLab");
        let jwk = gitlab.key_set()["keys"][0].clone();
        let canonical = format!(r#"{{"e":{},"kty":"RSA","n":{}}}"#, jwk["e"], jwk["n"]);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
        assert_eq!(gitlab.key_id(), URL_SAFE_NO_PAD.encode(digest));
        assert_eq!(jwk["kid"], json!(gitlab.key_id()));
        let before = gitlab.key_id();
        gitlab.rotate().expect("a key");
        assert_ne!(gitlab.key_id(), before);
    }
}
