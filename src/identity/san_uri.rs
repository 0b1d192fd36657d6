//! A URI as Go's `net/url` reads it and writes it again: `url.Parse(text)`, then `String()`.
//!
//! Verifiers compare a certificate's name with what Fulcio put there, and Fulcio puts it there through that package: the
//! scheme in lower case, the path and the fragment percent-encoded where they were not, the query left as it is. The `url` crate
//! follows another standard (WHATWG) and changes more. `tests/interop/gotemplate` compares the two.

use super::go_escape::{Part, escape, escaped, unescape};
use std::net::Ipv6Addr;

/// A URI taken apart and written again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SanUri {
    /// As Go's `String()` writes it.
    pub text: String,
    /// In lower case; empty where there is none.
    pub scheme: String,
    /// Host and port, unescaped, which may be no UTF-8; empty where there is none.
    pub host: Vec<u8>,
    /// Whether something stands before an `@` there, be it empty.
    pub has_userinfo: bool,
}

impl SanUri {
    /// The host without its port.
    pub fn host_name(&self) -> &[u8] {
        let port = self.host.iter().rposition(|octet| *octet == b':');
        match port.and_then(|port| self.host.split_at_checked(port)) {
            Some((name, _)) if !self.host.ends_with(b"]") => name,
            _ => &self.host,
        }
    }
}

/// Reads and writes a URI.
///
/// # Errors
/// Go's, in words that follow a colon, without any part of the text.
pub fn normalise(text: &str) -> Result<SanUri, &'static str> {
    let (reference, fragment) = text.split_once('#').unwrap_or((text, ""));
    if reference.bytes().any(|octet| octet < 0x20 || octet == 0x7f) {
        return Err("a control character");
    }
    let (scheme, rest) = split_scheme(reference)?;
    let scheme = scheme.to_ascii_lowercase();
    let (rest, query) = match rest.split_once('?') {
        Some((before, after)) => (before, Some(after)),
        None => (rest, None),
    };
    let hierarchical = rest.starts_with('/');
    if !hierarchical && scheme.is_empty() && reference != "*" && first_segment(rest).contains(':') {
        return Err("a colon in the first segment of its path");
    }
    // Of a URI without a slash after its scheme, everything is opaque.
    let opaque = if hierarchical || scheme.is_empty() { "" } else { rest };
    let authority = if scheme.is_empty() && rest.starts_with("///") { None } else { rest.strip_prefix("//") };
    let (authority, path) = match authority {
        Some(after) => match after.find('/').and_then(|slash| after.split_at_checked(slash)) {
            Some((authority, path)) => (Some(Authority::parse(&scheme, authority)?), path),
            None => (Some(Authority::parse(&scheme, after)?), ""),
        },
        None => (None, if opaque.is_empty() && (hierarchical || scheme.is_empty()) { rest } else { "" }),
    };
    let path = escaped(path, Part::Path)?;
    let fragment = escaped(fragment, Part::Fragment)?;
    let host = authority.as_ref().map(|authority| authority.host.clone()).unwrap_or_default();
    let has_userinfo = authority.as_ref().is_some_and(|authority| authority.user.is_some());

    let mut written = String::with_capacity(text.len());
    if !scheme.is_empty() {
        written.push_str(&scheme);
        written.push(':');
    }
    written.push_str(opaque);
    if let Some(authority) = &authority {
        authority.write(&mut written, !path.is_empty());
    }
    if written.is_empty() && first_segment(&path).contains(':') {
        written.push_str("./");
    }
    written.push_str(&path);
    // A query that is empty but there keeps its question mark.
    if let Some(query) = query {
        written.push('?');
        written.push_str(query);
    }
    if !fragment.is_empty() {
        written.push('#');
        written.push_str(&fragment);
    }
    Ok(SanUri { text: written, scheme, host, has_userinfo })
}

/// RFC 3986 §3.1, or no scheme at all.
fn split_scheme(text: &str) -> Result<(&str, &str), &'static str> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
    let Some((scheme, rest)) = end.and_then(|end| text.split_at_checked(end)) else { return Ok(("", text)) };
    match rest.strip_prefix(':') {
        Some(_) if scheme.is_empty() => Err("no scheme before its colon"),
        Some(rest) if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) => Ok((scheme, rest)),
        _ => Ok(("", text)),
    }
}

fn first_segment(path: &str) -> &str {
    path.split('/').next().unwrap_or("")
}

/// `userinfo@host:port`, unescaped.
struct Authority {
    user: Option<(Vec<u8>, Option<Vec<u8>>)>,
    host: Vec<u8>,
}

impl Authority {
    fn parse(scheme: &str, text: &str) -> Result<Self, &'static str> {
        let (userinfo, host) = match text.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, text),
        };
        let host = parse_host(scheme, host)?;
        let user = match userinfo {
            Some(userinfo) => Some(parse_userinfo(userinfo)?),
            None => None,
        };
        Ok(Self { user, host })
    }

    fn write(&self, written: &mut String, before_path: bool) {
        let is_empty = self.host.is_empty() && self.user.is_none();
        // Without a scheme an empty authority vanishes, slashes and all; with one, only before an empty path.
        if is_empty && (written.is_empty() || !before_path) {
            return;
        }
        written.push_str("//");
        if let Some((name, password)) = &self.user {
            escape(name, Part::Userinfo, written);
            if let Some(password) = password {
                written.push(':');
                escape(password, Part::Userinfo, written);
            }
            written.push('@');
        }
        escape(&self.host, Part::Host, written);
    }
}

fn parse_userinfo(text: &str) -> Result<(Vec<u8>, Option<Vec<u8>>), &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !text.chars().all(allowed) {
        return Err("a character in its user information that cannot stand there");
    }
    Ok(match text.split_once(':') {
        Some((name, password)) => {
            (unescape(name, Part::Userinfo)?, Some(unescape(password, Part::Userinfo)?))
        }
        None => (unescape(text, Part::Userinfo)?, None),
    })
}

fn parse_host(scheme: &str, text: &str) -> Result<Vec<u8>, &'static str> {
    if let Some(bracket) = text.rfind('[') {
        return if bracket == 0 { parse_ip_literal(text) } else { Err("an invalid IP literal") };
    }
    if let Some(first) = text.find(':') {
        // For the web's schemes everything after the first colon is the port; for others after the last.
        let strict = matches!(scheme, "http" | "https");
        let colon = if strict { first } else { text.rfind(':').unwrap_or(first) };
        let port = text.split_at_checked(colon).map_or("", |(_, port)| port);
        if !is_optional_port(port) {
            return Err("an invalid port");
        }
    }
    unescape(text, Part::Host)
}

/// `[IPv6]`, `[IPv6%25zone]`, with a port or without (RFC 3986 §3.2.2, RFC 6874 §2).
fn parse_ip_literal(text: &str) -> Result<Vec<u8>, &'static str> {
    let (inner, port) =
        text.strip_prefix('[').and_then(|inner| inner.rsplit_once(']')).ok_or("no ] in its host")?;
    if !is_optional_port(port) {
        return Err("an invalid port");
    }
    let (address, zone) = match inner.find("%25").and_then(|at| inner.split_at_checked(at)) {
        Some((address, zone)) => (unescape(address, Part::Host)?, unescape(zone, Part::Zone)?),
        None => (unescape(inner, Part::Host)?, Vec::new()),
    };
    let (plain, its_zone) = match address.iter().position(|octet| *octet == b'%') {
        Some(_) => return Err("an invalid IP literal"),
        None => (&address, zone.strip_prefix(b"%").unwrap_or(&zone)),
    };
    let is_address = std::str::from_utf8(plain).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    // `%25` with nothing behind it names no zone.
    if !is_address || (!zone.is_empty() && its_zone.is_empty()) {
        return Err("an invalid IP literal");
    }
    Ok([b"[", &*address, &zone, b"]", port.as_bytes()].concat())
}

fn is_optional_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn uris_are_written_as_go_writes_them() {
        let mut differences = Vec::new();
        let mut count = 0;
        for line in include_str!("../../tests/fixtures/gotemplate/answers.jsonl").lines() {
            let case: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let Some(text) = case["url"].as_str() else { continue };
            let ours = normalise(text).ok().map(|uri| uri.text);
            if ours.as_deref() != case["text"].as_str() {
                differences.push(format!("{text:?}: ours {ours:?}, Go's {}", case["text"]));
            }
            count += 1;
        }
        assert!(count > 1000, "{count} cases");
        assert!(differences.is_empty(), "{} of {count}\n{}", differences.len(), differences.join("\n"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~é\u{0}\n]{0,40}", any in ".{0,40}") {
            let _ = (normalise(&text), normalise(&any));
        }
    }
}
