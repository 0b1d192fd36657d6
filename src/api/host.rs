//! Whom a request is for, and how it is framed: what HTTP itself asks of a request's head (RFC 9110 §7.2, RFC 9112 §3.2 and §6.1, RFC 9113 §8.3.1).
//!
//! Whoever stands before the server may read a doubtful head otherwise than the server does. So such a request is not answered, wherever
//! it goes. Who may be named in `Host` at all is another question: the operators' pages ask it (`broker::page`), and are stricter.

use crate::refusal::{Reason, Refusal};
use axum::http::header::{HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Request, Uri, Version};

/// What is wrong with the head of a request.
pub fn fault<B>(request: &Request<B>) -> Option<Refusal> {
    let malformed = |detail: &'static str| Some(Refusal::new(Reason::RequestMalformed).because(detail));
    if !names_one_host(request) {
        return malformed(
            "It must have one Host, a name or an address, and with HTTP/2 the one of :authority.",
        );
    }
    if !is_framed_plainly(request.headers()) {
        return malformed("Of transfer codings `chunked` alone is known here.");
    }
    None
}

fn names_one_host<B>(request: &Request<B>) -> bool {
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, None) = (hosts.next(), hosts.next()) else { return false };
    let host = host.map(|host| host.as_bytes());
    if !authority.into_iter().chain(host).all(is_host) {
        return false;
    }
    match (request.version(), host, authority) {
        // HTTP/1.0 has none. To HTTP/2 it is the same as `:authority`, and either may be there.
        (version, None, _) => version != Version::HTTP_11,
        (Version::HTTP_2, Some(host), Some(authority)) => {
            let scheme = request.uri();
            without_default_port(host, scheme).eq_ignore_ascii_case(without_default_port(authority, scheme))
        }
        // With HTTP/1.1 an absolute target wins over `Host` (RFC 9112 §3.2.2).
        _ => true,
    }
}

/// `uri-host [ ":" port ]` (RFC 3986 §3.2.2 and §3.2.3). The name may be empty.
fn is_host(text: &[u8]) -> bool {
    let is_port = |text: &[u8]| match text {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    match text {
        [b'[', literal @ ..] => literal.iter().position(|octet| *octet == b']').is_some_and(|end| {
            let (literal, port) = literal.split_at(end);
            is_ip_literal(literal) && is_port(port.get(1..).unwrap_or_default())
        }),
        name => {
            let (name, port) =
                name.split_at(name.iter().position(|octet| *octet == b':').unwrap_or(name.len()));
            is_name(name) && is_port(port)
        }
    }
}

/// What stands in brackets: an IPv6 address, or one of a later version.
fn is_ip_literal(text: &[u8]) -> bool {
    match text {
        [b'v' | b'V', rest @ ..] => {
            let mut parts = rest.splitn(2, |octet| *octet == b'.');
            let is_filled = |part: Option<&[u8]>, fits: fn(&u8) -> bool| {
                part.is_some_and(|part| !part.is_empty() && part.iter().all(fits))
            };
            is_filled(parts.next(), u8::is_ascii_hexdigit)
                && is_filled(parts.next(), |octet| is_plain(*octet) || *octet == b':')
        }
        address => std::str::from_utf8(address).is_ok_and(|it| it.parse::<std::net::Ipv6Addr>().is_ok()),
    }
}

/// `reg-name`, which has every IPv4 address in it.
fn is_name(mut text: &[u8]) -> bool {
    loop {
        text = match text {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [octet, rest @ ..] if is_plain(*octet) => rest,
            _ => return false,
        };
    }
}

/// `unreserved` and `sub-delims`.
const fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

/// RFC 9110 §4.2.3: the scheme's own port is as good as none.
fn without_default_port<'h>(host: &'h [u8], uri: &Uri) -> &'h [u8] {
    let port: &[u8] = if uri.scheme_str() == Some("https") { b":443" } else { b":80" };
    host.strip_suffix(port).or_else(|| host.strip_suffix(b":")).unwrap_or(host)
}

/// Whether the body comes as it is, or `chunked` and nothing else.
fn is_framed_plainly(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(version: Version, uri: &str, headers: &[(&str, &str)]) -> bool {
        let request = Request::get(uri).version(version);
        let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        fault(&request.body(()).unwrap()).is_none()
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in [
            "",
            "ca",
            "ca.example.com",
            "CA.Example.com.",
            "ca_1.example:8080",
            "ca:",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:5555",
            "[2001:db8::1.2.3.4]",
            "[v1.a:b]",
            "a%20b",
            "a!$&'()*+,;=~-b",
        ] {
            assert!(passes(Version::HTTP_11, "/", &[("host", host)]), "{host}");
        }
        for odd in [
            "a b",
            "a b/c@",
            "a/b",
            "a@b",
            "a?b",
            "a#b",
            "a:b",
            "a:80:80",
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[ca]",
            "[::1]x",
            "[::1]x:80",
            "[v.a]",
            "[v1.]",
            "a%2",
            "a%zz",
            "a\\b",
            "a\"b",
            "<a>",
            "a\tb",
            "http://a",
        ] {
            assert!(!passes(Version::HTTP_11, "/", &[("host", odd)]), "{odd}");
            assert!(!passes(Version::HTTP_10, "/", &[("host", odd)]), "{odd}");
            assert!(!passes(Version::HTTP_2, "/", &[("host", odd)]), "{odd}");
        }
    }

    #[test]
    fn http_1_1_has_one_host_and_others_one_at_most() {
        let twice = [("host", "a"), ("host", "a")];
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert!(!passes(version, "/", &twice), "{version:?}");
            assert!(!passes(version, "http://a/", &twice), "{version:?}");
            assert_eq!(passes(version, "/", &[]), version != Version::HTTP_11, "{version:?}");
            assert_eq!(passes(version, "http://a/", &[]), version != Version::HTTP_11, "{version:?}");
            assert!(!passes(version, "http://user@a/", &[("host", "a")]), "{version:?}");
        }
    }

    #[test]
    fn http_2_has_no_host_beside_another_authority() {
        let beside = |host| passes(Version::HTTP_2, "https://ca.example.com:443/", &[("host", host)]);
        for same in ["ca.example.com:443", "ca.example.com", "CA.example.com:"] {
            assert!(beside(same), "{same}");
        }
        for other in ["evil.example", "ca.example.com:80", "ca.example.com:4430", ""] {
            assert!(!beside(other), "{other}");
        }
        assert!(passes(Version::HTTP_2, "http://ca:80/", &[("host", "ca")]));
        assert!(passes(Version::HTTP_11, "http://ca/", &[("host", "other")]), "the target wins");
    }

    #[test]
    fn a_body_is_plain_or_chunked() {
        let with = |codings: &[&str]| {
            let headers: Vec<_> = codings.iter().map(|coding| ("transfer-encoding", *coding)).collect();
            passes(Version::HTTP_11, "/", &[&[("host", "a")], &*headers].concat())
        };
        assert!(with(&[]) && with(&["chunked"]) && with(&["Chunked "]));
        for codings in [
            &["gzip, chunked"][..],
            &["gzip", "chunked"],
            &["chunked, chunked"],
            &["gzip"],
            &["identity"],
            &[""],
        ] {
            assert!(!with(codings), "{codings:?}");
        }
    }
}
