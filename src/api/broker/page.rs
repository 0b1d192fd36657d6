//! What keeps web pages from the operators' side of the broker.
//!
//! The operators' listener asks for no password, and a page that is open on an operator's machine can send requests to it. Browsers say so in
//! `Origin` (Fetch standard §3.1) of every order, and in `Sec-Fetch-Site` (Fetch Metadata §2.3). Neither is there where a page reads what it takes
//! for its own server: one whose name leads to this machine since it was looked up again (DNS rebinding). What it cannot change is that name, which
//! stands in `Host`: a stranger's is refused.

use super::error::Told;
use crate::api::body;
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What a browser says of what its user wrote himself, and of what a page asks of its own server: whose name `Host` has.
const OWN_SITES: [&str; 2] = ["none", "same-origin"];

/// Lets everybody through but web pages. `names`: what this listener may be called beside what [`is_ours`] knows.
pub(super) async fn refuse(State(names): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    let Some(told) = fault(&request, &names) else { return next.run(request).await };
    body::drain(request.into_body()).await;
    told.into_response()
}

fn fault(request: &Request, names: &[String]) -> Option<Told> {
    let headers = request.headers();
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    if headers.contains_key(ORIGIN) || !sites.all(|site| OWN_SITES.iter().any(|own| site == own)) {
        return Some(Told::invalid("Web pages may not order anything here."));
    }
    // HTTP/2 has the name in the URI.
    let is_known = match request.uri().authority() {
        Some(authority) => is_ours(authority.host(), names),
        None => hosts(headers).all(|host| host.is_some_and(|host| is_ours(host.host(), names))),
    };
    (!is_known).then(|| {
        Told::invalid("This listener is not known by the name in Host: use its address, or write the name into admin.names.")
    })
}

/// The names that a request is for; `None`: no name. There is none at all in HTTP/1.0, which no browser speaks.
fn hosts(headers: &HeaderMap) -> impl Iterator<Item = Option<Authority>> {
    headers.get_all(HOST).iter().map(|host| Authority::try_from(host.as_bytes()).ok())
}

/// Whether nobody else's name can be `host`: an address; a name of one part, which no registry gives away, as services are called in a cluster;
/// one of this machine's (RFC 6761 §6.3); or one that the configuration has.
fn is_ours(host: &str, names: &[String]) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_address = match in_brackets {
        Some(host) => host.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    };
    let is_one_part = !host.is_empty() && !host.contains(['.', '[']);
    is_address || is_one_part || host.ends_with(".localhost") || names.contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn passes(uri: &str, headers: &[(&str, &str)]) -> bool {
        let request = headers.iter().fold(Request::get(uri), |it, (name, value)| it.header(*name, *value));
        fault(&request.body(Body::empty()).unwrap(), &["ops.example.com".to_owned()]).is_none()
    }

    #[test]
    fn a_name_is_ours_or_nobodys() {
        for host in [
            "127.0.0.1:2112",
            "10.1.2.3",
            "[::1]:2112",
            "localhost",
            "localhost:2112",
            "LOCALHOST.",
            "ca.localhost",
            "countersign",
            "countersign:2112",
            "ops.example.com",
            "OPS.example.com.:2112",
        ] {
            assert!(passes("/v1/leases", &[("host", host)]), "{host}");
            assert!(passes(&format!("http://{host}/v1/leases"), &[]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:2112",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "xops.example.com",
            "sub.ops.example.com",
            "127.1.evil",
            "evil.example.",
            "[evil.example]",
        ] {
            assert!(!passes("/v1/leases", &[("host", host)]), "{host}");
            assert!(!passes(&format!("http://{host}/v1/leases"), &[]), "{host}");
        }
        for odd in ["", ".", "a b", "evil.example/localhost"] {
            assert!(!passes("/v1/leases", &[("host", odd)]), "{odd}");
        }
        assert!(!passes("/v1/leases", &[("host", "localhost"), ("host", "evil.example")]));
        assert!(passes("/v1/leases", &[]), "HTTP/1.0");
    }

    #[test]
    fn a_page_is_known_by_what_its_browser_says() {
        for site in ["none", "same-origin"] {
            assert!(passes("/v1/leases", &[("host", "localhost"), ("sec-fetch-site", site)]), "{site}");
        }
        for site in ["cross-site", "same-site", "", "None"] {
            assert!(!passes("/v1/leases", &[("host", "localhost"), ("sec-fetch-site", site)]), "{site}");
        }
        let both = [("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")];
        assert!(!passes("/v1/leases", &both));
        assert!(!passes("/v1/leases", &[("origin", "null")]));
    }
}
