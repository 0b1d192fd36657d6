//! A web server of one's own making, for issuers that behave as no proper server would: plain, over TLS, or as a
//! proxy that ends the tunnel itself.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a server says to a request.
#[derive(Clone)]
pub enum Reply {
    /// Status, header lines, body.
    Whole(u16, Vec<String>, Vec<u8>),
    /// The same, once the gate gives a permit.
    Gated(Arc<Semaphore>, Box<Reply>),
    /// Status 200, a header line, and a body that is chunked already.
    Chunked(String, Vec<u8>),
    /// A head and the beginning of a body, never its end.
    Unfinished,
    /// Status 200 and a body, one octet after each pause.
    Trickle(Duration, Vec<u8>),
    /// Nothing, ever.
    Silence,
    /// The connection closed without a word.
    HangUp,
}

impl Reply {
    pub fn json(document: &serde_json::Value) -> Self {
        Self::Whole(200, vec!["content-type: application/json".to_owned()], document.to_string().into_bytes())
    }

    pub fn status(status: u16) -> Self {
        Self::Whole(status, vec![], b"{}".to_vec())
    }

    pub fn redirect(location: &str) -> Self {
        Self::Whole(302, vec![format!("location: {location}")], vec![])
    }

    pub fn with_header(self, line: &str) -> Self {
        match self {
            Self::Whole(status, mut headers, body) => {
                headers.push(line.to_owned());
                Self::Whole(status, headers, body)
            }
            other => other,
        }
    }
}

/// A server on a free port of loopback, until it is dropped. Paths without a reply get a 404.
pub struct Web {
    pub port: u16,
    replies: Arc<Replies>,
    server: AbortHandle,
}

#[derive(Default)]
struct Replies {
    by_path: Mutex<HashMap<String, Reply>>,
    seen: Mutex<Vec<String>>,
}

impl Web {
    pub async fn plain() -> Self {
        Self::start(None, false).await
    }

    pub async fn tls(certificate: &TestCa) -> Self {
        Self::start(Some(certificate.acceptor()), false).await
    }

    /// Answers CONNECT, and then speaks as the host that was asked for.
    pub async fn proxy(certificate: &TestCa) -> Self {
        Self::start(Some(certificate.acceptor()), true).await
    }

    async fn start(tls: Option<TlsAcceptor>, tunnel: bool) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        Self::on(listener, tls, tunnel)
    }

    fn on(listener: TcpListener, tls: Option<TlsAcceptor>, tunnel: bool) -> Self {
        let port = listener.local_addr().expect("an address").port();
        let replies = Arc::new(Replies::default());
        let served = replies.clone();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (replies, tls) = (served.clone(), tls.clone());
                tokio::spawn(async move {
                    if tunnel {
                        replies.note(&read_request(&mut stream).await?);
                        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
                    }
                    match tls {
                        Some(tls) => replies.serve(tls.accept(stream).await.ok()?).await,
                        None => replies.serve(stream).await,
                    }
                });
            }
        });
        Self { port, replies, server: server.abort_handle() }
    }

    /// From now on this path gets this reply.
    pub fn reply(&self, path: &str, reply: Reply) {
        let mut by_path = self.replies.by_path.lock().unwrap_or_else(PoisonError::into_inner);
        by_path.insert(path.to_owned(), reply);
    }

    /// The targets of all requests so far, in order.
    pub fn seen(&self) -> Vec<String> {
        self.replies.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A port of loopback that nobody listens on, and that nobody else gets.
pub struct Closed(TcpSocket);

impl Closed {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        Self(socket)
    }

    pub fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    /// From now on somebody listens there.
    pub fn open(self) -> Web {
        Web::on(self.0.listen(64).expect("a listener"), None, false)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Replies {
    fn note(&self, target: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(target.to_owned());
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let path = read_request(&mut stream).await?;
        self.note(&path);
        let reply = self.by_path.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
        let mut reply = reply.unwrap_or_else(|| Reply::status(404));
        if let Reply::Gated(gate, inner) = reply {
            gate.acquire().await.ok()?.forget();
            reply = *inner;
        }
        match reply {
            Reply::Whole(status, headers, body) => {
                let mut head =
                    format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
                headers.iter().for_each(|line| head.extend([line, "\r\n"]));
                stream.write_all(format!("{head}\r\n").as_bytes()).await.ok()?;
                stream.write_all(&body).await.ok()?;
                stream.shutdown().await.ok()
            }
            Reply::Chunked(header, body) => {
                stream.write_all(format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n").as_bytes()).await.ok()?;
                stream.write_all(&body).await.ok()?;
                stream.shutdown().await.ok()
            }
            Reply::Unfinished => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{").await.ok()?;
                std::future::pending().await
            }
            Reply::Trickle(pause, body) => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).await.ok()?;
                for octet in body {
                    tokio::time::sleep(pause).await;
                    stream.write_u8(octet).await.ok()?;
                }
                stream.shutdown().await.ok()
            }
            Reply::Silence => std::future::pending().await,
            Reply::Gated(..) | Reply::HangUp => None,
        }
    }
}

/// The target of a request without a body.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(request).ok()?.split(' ').nth(1).map(str::to_owned)
}

/// A root of one's own, and a server's certificate under it for 127.0.0.1 and gitlab.invalid.
pub struct TestCa {
    pub pem: String,
    server: Arc<ServerConfig>,
}

impl TestCa {
    pub fn new() -> Self {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().expect("a key")).expect("a root");
        let key = KeyPair::generate().expect("a key");
        let names = vec!["127.0.0.1".to_owned(), "gitlab.invalid".to_owned()];
        let leaf =
            CertificateParams::new(names).expect("names").signed_by(&key, &root).expect("a certificate");
        Self { pem: root.pem(), server: server_config(leaf.der(), &key) }
    }

    /// The one certificate of a small instance, as `openssl req -x509` makes it: self-signed, for these names, and a
    /// CA by its own account.
    pub fn self_signed(names: &[&str], not_after_year: i32) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(not_after_year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { pem: certificate.pem(), server: server_config(certificate.der(), &key) }
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.server.clone())
    }
}

fn server_config(certificate: &CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let builder = ServerConfig::builder().with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![certificate.clone()], private).expect("a TLS configuration"))
}
