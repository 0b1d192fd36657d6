//! Stands between a job and the real services, and does to their answers what a test wants.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

/// What is asked: the service by its path, and the request's body.
pub enum Service {
    Ca,
    Timestamps,
    Log,
}

impl Service {
    fn of(path: &str) -> Self {
        match path {
            "/api/v2/signingCert" => Self::Ca,
            "/api/v1/timestamp" => Self::Timestamps,
            "/api/v2/log/entries" => Self::Log,
            other => panic!("nobody asks for {other}"),
        }
    }
}

/// An answer, real or made up.
#[derive(Clone)]
pub struct Told {
    pub status: u16,
    pub retry_after: Option<&'static str>,
    pub body: Vec<u8>,
}

impl Told {
    /// A refusal with that status, which may pass at once.
    pub fn busy(status: u16) -> Self {
        Self { status, retry_after: Some("0"), body: br#"{"code":14,"message":"too busy"}"#.to_vec() }
    }
}

type Answered = Pin<Box<dyn Future<Output = Told> + Send>>;
type Rule = Arc<dyn Fn(Service, Upstream) -> Answered + Send + Sync>;

/// The request, on its way to the real service.
pub struct Upstream {
    url: String,
    body: Bytes,
    content_type: String,
}

impl Upstream {
    /// The real answer.
    pub async fn ask(self) -> Told {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(self.url).header("content-type", self.content_type).body(self.body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        Told { status, retry_after: None, body: answer.bytes().await.unwrap().to_vec() }
    }

    /// What was sent.
    pub fn sent(&self) -> Bytes {
        self.body.clone()
    }
}

/// Its URL; it ends with the runtime.
pub async fn start<F>(
    upstream: String,
    rule: impl Fn(Service, Upstream) -> F + Send + Sync + 'static,
) -> String
where
    F: Future<Output = Told> + Send + 'static,
{
    let rule: Rule = Arc::new(move |service, request| Box::pin(rule(service, request)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = move |uri: Uri, headers: HeaderMap, body: Bytes| {
        let content_type = headers["content-type"].to_str().unwrap().to_owned();
        let request = Upstream { url: format!("{upstream}{}", uri.path()), body, content_type };
        let told = rule(Service::of(uri.path()), request);
        async move { response(told.await) }
    };
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn response(told: Told) -> Response {
    let mut response = (StatusCode::from_u16(told.status).unwrap(), Body::from(told.body)).into_response();
    if let Some(seconds) = told.retry_after {
        response.headers_mut().insert("retry-after", seconds.parse().unwrap());
    }
    response
}

/// The first answers of each service, to be told again in another place.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Vec<Given>>>);

/// A service's name, and what it said.
type Given = (&'static str, Vec<u8>);

impl Kept {
    pub fn keep(&self, service: &Service, told: &Told) {
        self.0.lock().unwrap().push((name(service), told.body.clone()));
    }

    /// That service's first answer.
    pub fn first(&self, service: &Service) -> Option<Vec<u8>> {
        let all = self.0.lock().unwrap();
        all.iter().find(|(of, _)| *of == name(service)).map(|(_, body)| body.clone())
    }
}

const fn name(service: &Service) -> &'static str {
    match service {
        Service::Ca => "ca",
        Service::Timestamps => "timestamps",
        Service::Log => "log",
    }
}
