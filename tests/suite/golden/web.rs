//! The web of the issuers: plain http and TLS on every loopback address, and a proxy behind which every host is one of them.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a URL answers.
#[derive(Clone)]
pub enum Reply {
    Json(String),
    Status(u16),
    Redirect(String),
}

/// A root of its own for certificates of any host.
pub struct Root {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The servers.
pub struct Web {
    pub http_port: u16,
    pub tls_port: u16,
    pub proxy_port: u16,
    pub root: Arc<Root>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    replies: Mutex<HashMap<String, Reply>>,
    seen: Mutex<Vec<String>>,
}

impl Root {
    pub fn new() -> Self {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            issuer: CertifiedIssuer::self_signed(root, KeyPair::generate().expect("a key")).expect("a root"),
        }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn acceptor(&self, host: &str) -> Option<TlsAcceptor> {
        let key = KeyPair::generate().ok()?;
        let leaf = CertificateParams::new(vec![host.to_owned()]).ok()?.signed_by(&key, &self.issuer).ok()?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let builder = ServerConfig::builder().with_no_client_auth();
        let config = builder.with_single_cert(vec![leaf.der().clone()], private).ok()?;
        Some(TlsAcceptor::from(Arc::new(config)))
    }
}

impl Web {
    pub async fn start() -> Self {
        let (root, shared) = (Arc::new(Root::new()), Arc::new(Shared::default()));
        let bind = || TcpListener::bind(("0.0.0.0", 0));
        let (http, tls, proxy) =
            (bind().await.expect("a port"), bind().await.expect("a port"), bind().await.expect("a port"));
        let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
        let this = Self {
            http_port: port(&http),
            tls_port: port(&tls),
            proxy_port: port(&proxy),
            root: root.clone(),
            shared: shared.clone(),
        };
        let acceptor = root.acceptor("127.0.0.1").expect("a certificate");
        let plain = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = http.accept().await {
                let shared = plain.clone();
                tokio::spawn(async move { shared.serve(stream, "http").await });
            }
        });
        let secure = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = tls.accept().await {
                let (shared, acceptor) = (secure.clone(), acceptor.clone());
                tokio::spawn(async move { shared.serve(acceptor.accept(stream).await.ok()?, "https").await });
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = proxy.accept().await {
                let (shared, root) = (shared.clone(), root.clone());
                tokio::spawn(async move {
                    let (target, _) = read_head(&mut stream).await?;
                    shared.seen().push(format!("CONNECT {target}"));
                    let host = target.rsplit_once(':')?.0;
                    let acceptor = root.acceptor(host)?;
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
                    shared.serve(acceptor.accept(stream).await.ok()?, "https").await
                });
            }
        });
        this
    }

    pub fn reply(&self, url: impl Into<String>, reply: Reply) {
        let url = with_host_in_lower_case(&url.into());
        self.shared.replies.lock().unwrap_or_else(PoisonError::into_inner).insert(url, reply);
    }

    /// Whether anything was asked of a URL or host in which this text is.
    pub fn was_asked_for(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.shared.seen().iter().any(|url| url.to_lowercase().contains(&text))
    }

    pub fn forget(&self) {
        self.shared.seen().clear();
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Vec<String>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, scheme: &str) -> Option<()> {
        let (path, host) = read_head(&mut stream).await?;
        let url = format!("{scheme}://{host}{path}");
        self.seen().push(url.clone());
        let reply = self.replies.lock().unwrap_or_else(PoisonError::into_inner).get(&url).cloned();
        let (status, line, body) = match reply {
            Some(Reply::Json(body)) => (200, "content-type: application/json".to_owned(), body),
            Some(Reply::Status(status)) => (status, "x: y".to_owned(), "{}".to_owned()),
            Some(Reply::Redirect(location)) => (302, format!("location: {location}"), String::new()),
            None => (404, "x: y".to_owned(), String::new()),
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\n{line}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
        stream.shutdown().await.ok()
    }
}

/// Clients write hosts so, whatever an issuer is called.
fn with_host_in_lower_case(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.split_once('/') {
        Some((host, path)) => format!("{scheme}://{}/{path}", host.to_lowercase()),
        None => url.to_lowercase(),
    }
}

/// The target of a request without a body, and its host.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, String)> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(request).ok()?;
    let target = text.split(' ').nth(1)?.to_owned();
    let host = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
    });
    Some((target, host.unwrap_or_default()))
}
