//! HTTP clients, one for each set of trusted roots: building one loads the system's roots, which is slow.

use super::tls;
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, ClientBuilder};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use url::{Host, Url};

/// How long a connection may take to come about; the whole fetch has a limit of its own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// How often one request may be redirected.
const MAX_REDIRECTS: usize = 5;

/// Connections to a log that are kept while nothing is on them.
const MAX_IDLE: usize = 64;

/// How many sets of roots are remembered; configurations come and go with reloads.
const MAX_CLIENTS: usize = 64;

/// The clients for one set of trusted roots.
#[derive(Clone)]
pub struct Clients {
    /// Through the proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name, if any.
    proxied: Client,
    /// For loopback, where a proxy would reach its own machine.
    direct: Client,
}

impl Clients {
    /// Clients that trust the system's roots (SSL_CERT_FILE and SSL_CERT_DIR honoured) and the PEM certificates given.
    ///
    /// # Errors
    /// In words: the certificates cannot be read.
    pub fn build(ca_certificate: Option<&[u8]>) -> Result<Self, String> {
        Self::build_with(ca_certificate, |builder| {
            builder.pool_max_idle_per_host(1).redirect(Policy::custom(same_origin_only))
        })
    }

    /// Clients for posting, many at a time: they follow no redirect at all.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn build_for_submissions(ca_certificate: Option<&[u8]>) -> Result<Self, String> {
        Self::build_with(ca_certificate, |builder| {
            builder.pool_max_idle_per_host(MAX_IDLE).redirect(Policy::none())
        })
    }

    fn build_with(
        ca_certificate: Option<&[u8]>,
        settings: impl Fn(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, String> {
        let tls = tls::client_config(ca_certificate)?;
        let builder = || settings(builder());
        let build = |builder: ClientBuilder| {
            let client = builder.tls_backend_preconfigured(tls.clone()).build();
            client.map_err(|error| format!("the HTTP client cannot be built: {}", causes(&error)))
        };
        Ok(Self { proxied: build(builder())?, direct: build(builder().no_proxy())? })
    }

    /// The client for a URL.
    pub fn client_for(&self, url: &Url) -> &Client {
        if is_loopback(url) { &self.direct } else { &self.proxied }
    }
}

/// Clients by the certificates that they trust beside the system's roots.
#[derive(Default)]
pub struct ClientPool {
    built: Mutex<HashMap<Option<Vec<u8>>, Arc<Clients>>>,
}

impl ClientPool {
    /// Those clients, built if need be: that reads files, so not on a thread that serves requests.
    ///
    /// # Errors
    /// As [`Clients::build`].
    pub fn clients(&self, ca_certificate: Option<&[u8]>) -> Result<Arc<Clients>, String> {
        let key = ca_certificate.map(<[u8]>::to_vec);
        if let Some(clients) = self.lock().get(&key) {
            return Ok(clients.clone());
        }
        let clients = Arc::new(Clients::build(ca_certificate)?);
        let mut built = self.lock();
        if built.len() >= MAX_CLIENTS {
            built.clear();
        }
        Ok(built.entry(key).or_insert(clients).clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Option<Vec<u8>>, Arc<Clients>>> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with all its causes on one line; reqwest's own text stops at the first.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .referer(false)
}

/// Redirects stay on scheme, host and port of the first request (GHSA-f5mr-q85p-6hh6): whoever answers there may not
/// send the CA anywhere else.
fn same_origin_only(attempt: Attempt<'_>) -> Action {
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("more than 5 redirects");
    }
    let stays = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    if stays { attempt.follow() } else { attempt.error("a redirect to another host, which is not followed") }
}

/// `localhost` and loopback addresses.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_never_proxied() {
        for (url, loopback) in [
            ("http://127.0.0.1:8080/a", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]:80/", true),
            ("http://localhost:3000/", true),
            ("http://LOCALHOST/", true),
            ("http://localhost.example.com/", false),
            ("https://gitlab.com/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(is_loopback(&url.parse().expect("a URL")), loopback, "{url}");
        }
    }

    #[test]
    fn a_ca_certificate_that_is_none_is_refused_in_words() {
        for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let Err(error) = Clients::build(Some(pem.as_bytes())) else { panic!("{pem:?} was taken") };
            assert!(error.contains("certificate") || error.contains("client"), "{error}");
        }
    }
}
