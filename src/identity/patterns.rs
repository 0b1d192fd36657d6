//! Patterns of issuers: the `meta-issuers` of a Fulcio identity configuration.
//!
//! Pattern and issuer are taken apart in the same way, and compared part by part: scheme, host labels, port, path segments.
//! Never by a regular expression over the text: an unanchored one made a Fulcio fetch keys from anywhere (CVE-2026-22772).

use super::issuers::{Entry, Issuer, KeySource};
use std::sync::Arc;

/// A pattern of issuers and what their tokens may become.
///
/// `*` stands for one or more of `-`, `_`, letters and digits (ASCII) within one host label or one path segment, once in each;
/// there may be text around it (`id-*-z`). Everything else equals its counterpart byte for byte, with as many labels and segments, the same
/// scheme and the same port, or none on both sides.
#[derive(Clone, Debug)]
pub struct IssuerPattern {
    text: String,
    parts: Parts<Glob>,
    entries: Arc<[Entry]>,
    key_source: Arc<KeySource>,
}

impl IssuerPattern {
    /// Reads a pattern. Refused, with words for the operator: other schemes than `http` and `https`, `*` in the scheme, the port or the
    /// last host label (anybody can own such a host), more than one `*` in a label or segment, userinfo, query, fragment, dot segments.
    pub fn parse(
        text: &str,
        entries: impl Into<Arc<[Entry]>>,
        key_source: impl Into<Arc<KeySource>>,
    ) -> Result<Self, String> {
        let parts = Parts::split(text).ok_or(
            "an issuer pattern is scheme://host[:port][/path] with http or https, without userinfo, query or fragment",
        )?;
        if parts.port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err("the port of an issuer pattern is a number: `*` cannot stand for it".to_owned());
        }
        if parts.labels.last().is_some_and(|label| label.contains('*')) {
            return Err(
                "`*` cannot stand in the last label of the host: anybody can own such a host".to_owned()
            );
        }
        if parts.segments.iter().any(|segment| matches!(*segment, "." | "..")) {
            return Err("an issuer pattern cannot have the path segments `.` and `..`".to_owned());
        }
        let parts = Parts {
            scheme: parts.scheme.to_owned(),
            labels: globs(&parts.labels)?,
            port: parts.port.map(str::to_owned),
            segments: globs(&parts.segments)?,
        };
        Ok(Self { text: text.to_owned(), parts, entries: entries.into(), key_source: key_source.into() })
    }

    /// The pattern as the operator wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the tokens of its issuers may become.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Where their keys come from.
    pub fn key_source(&self) -> &KeySource {
        &self.key_source
    }

    /// Whether it admits the issuer.
    pub fn admits(&self, iss: &str) -> bool {
        Parts::split(iss).is_some_and(|parts| self.admits_parts(&parts))
    }

    /// The issuer, if this pattern admits it.
    pub(super) fn issuer(&self, iss: &str) -> Option<Issuer> {
        self.admits(iss).then(|| Issuer {
            url: iss.to_owned(),
            entries: self.entries.clone(),
            key_source: self.key_source.clone(),
        })
    }

    fn admits_parts(&self, parts: &Parts<&str, &str>) -> bool {
        let own = &self.parts;
        let all = |globs: &[Glob], texts: &[&str]| {
            globs.len() == texts.len() && globs.iter().zip(texts).all(|(glob, text)| glob.matches(text))
        };
        own.scheme == parts.scheme
            && own.port.as_deref() == parts.port
            && all(&own.labels, &parts.labels)
            && all(&own.segments, &parts.segments)
    }
}

/// An issuer or a pattern, taken apart. No path has no segments; `/` has one, which is empty.
#[derive(Clone, Debug)]
struct Parts<P, T = String> {
    scheme: T,
    labels: Vec<P>,
    port: Option<T>,
    segments: Vec<P>,
}

impl<'t> Parts<&'t str, &'t str> {
    /// The longest issuer or pattern that is looked at, in bytes.
    const MAX_BYTES: usize = 2048;

    fn split(text: &'t str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'@' | b'\\');
        if text.len() > Self::MAX_BYTES || !text.bytes().all(plain) {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        if !matches!(scheme, "http" | "https") {
            return None;
        }
        let (authority, segments) = match rest.split_once('/') {
            Some((authority, path)) => (authority, path.split('/').collect()),
            None => (rest, Vec::new()),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let labels: Vec<_> = if host.starts_with('[') { vec![host] } else { host.split('.').collect() };
        let sound = !labels.iter().any(|label| label.is_empty()) && !port.is_some_and(str::is_empty);
        sound.then_some(Self { scheme, labels, port, segments })
    }
}

/// A label or segment with at most one star.
#[derive(Clone, Debug)]
enum Glob {
    Text(String),
    Star { before: String, after: String },
}

impl Glob {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Text(own) => own == text,
            Self::Star { before, after } => text
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str()))
                .is_some_and(|star| {
                    !star.is_empty()
                        && star.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                }),
        }
    }
}

fn globs(texts: &[&str]) -> Result<Vec<Glob>, String> {
    texts.iter().map(|text| glob(text)).collect()
}

fn glob(text: &str) -> Result<Glob, String> {
    match text.split_once('*') {
        None => Ok(Glob::Text(text.to_owned())),
        Some((_, after)) if after.contains('*') => {
            Err("an issuer pattern has one `*` at most in each host label and path segment".to_owned())
        }
        Some((before, after)) => Ok(Glob::Star { before: before.to_owned(), after: after.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::gitlab::GitlabRules;
    use proptest::prelude::*;
    use std::time::Duration;

    fn pattern(text: &str) -> Result<IssuerPattern, String> {
        let entry = Entry {
            audience: "sigstore".to_owned(),
            allow_multiple_audiences: false,
            kind: GitlabRules::default().into(),
        };
        let source = KeySource::Discovery { ca_certificate: None, outage_grace: Duration::ZERO };
        IssuerPattern::parse(text, [entry], source)
    }

    #[test]
    fn a_star_is_one_label_or_one_segment() {
        const EKS: &str = "https://oidc.eks.*.amazonaws.com/id/*";
        let table = [
            ("https://h/id/*", "https://h/id/AbC-12_3", true),
            ("https://h/id/*", "https://h/id/a/", false),
            ("https://h/id/*", "https://h/id/", false),
            ("https://h/id/*", "https://h/id", false),
            ("https://h/id/*", "https://h/id/a/b", false),
            ("https://h/id/*", "https://h/id/..", false),
            ("https://h/id/*", "https://h/id/.", false),
            ("https://h/id/*", "https://h/id/*", false),
            ("https://h/id/*", "https://h/id/é", false),
            ("https://h/id/*", "https://h/id/a%2fb", false),
            ("https://h/id/*", "https://h/id/a#b", false),
            ("https://h/id/*", "https://h/id/a?b", false),
            ("https://h/id/*", " https://h/id/a", false),
            ("https://h/id/*", "https://h/id/a ", false),
            ("https://h/id/*", "https://h/id/a\n", false),
            ("https://h/id/*", "https://h/ID/a", false),
            ("https://h/id/*", "http://h/id/a", false),
            ("https://h/id/*", "HTTPS://h/id/a", false),
            ("https://h/id/*", "https://h:443/id/a", false),
            ("https://h/id/*", "https://ada@h/id/a", false),
            ("https://h/id/*", "https://h./id/a", false),
            ("https://h/id/*", "https://evil.example/?x=https://h/id/a", false),
            ("https://h/id/*", "https://evil.example/https://h/id/a", false),
            ("https://h/*/x/*", "https://h/a/x/b", true),
            ("https://h/*/x/*", "https://h/a/x", false),
            ("https://h/*/x/*", "https://h/a/x/", false),
            ("https://h/id-*-z", "https://h/id-abc-z", true),
            ("https://h/id-*-z", "https://h/id--z", false),
            ("https://h/id-*-z", "https://h/id-a/b-z", false),
            ("https://h/id-*-z", "https://h/id-z", false),
            ("https://h/fi.ed", "https://h/fixed", false),
            ("https://h/*/", "https://h/a/", true),
            ("https://h/*/", "https://h/a", false),
            ("https://h/*/", "https://h//", false),
            ("https://h", "https://h/", false),
            ("https://h/", "https://h", false),
            ("http://127.0.*.1:80/x", "http://127.0.1.1:80/x", true),
            ("http://127.*.1:80/x", "http://127.0.0.1:80/x", false),
            ("http://h:1/*", "http://h:2/a", false),
            ("http://h:1/*", "http://h:01/a", false),
            ("http://h:1/*", "http://h/a", false),
            ("http://[::1]:80/*", "http://[::1]:80/a", true),
            ("http://[::1]/*", "http://[::2]/a", false),
            (EKS, "https://oidc.eks.eu-west-1.amazonaws.com/id/DF", true),
            (EKS, "https://oidc.eks.eu-west-1.amazonaws.com.evil.example/id/DF", false),
            (EKS, "https://oidc.eks..amazonaws.com/id/DF", false),
            (EKS, "https://oidc.eks.a.b.amazonaws.com/id/DF", false),
            (EKS, "https://oidc.eks.a/b.amazonaws.com/id/DF", false),
            (EKS, "https://oidc.eks.evil.example#.amazonaws.com/id/DF", false),
            (EKS, "https://evil.example\\@oidc.eks.eu-west-1.amazonaws.com/id/DF", false),
            (EKS, "https://oidc.eks.eu-west-1.amazonaws.com:8443/id/DF", false),
            ("https://gitlab-*.example.com", "https://gitlab-eu.example.com", true),
            ("https://gitlab-*.example.com", "https://gitlab-.example.com", false),
        ];
        for (text, iss, expected) in table {
            let pattern = pattern(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(pattern.admits(iss), expected, "{text} {iss}");
            assert_eq!(pattern.issuer(iss).map(|issuer| issuer.url), expected.then(|| iss.to_owned()));
        }
    }

    #[test]
    fn a_dangerous_pattern_is_refused_with_a_reason() {
        let table = [
            ("", "scheme://host"),
            ("*", "scheme://host"),
            ("h/id/*", "scheme://host"),
            ("*://h/id/*", "scheme://host"),
            ("http*://h", "scheme://host"),
            ("ftp://h/*", "scheme://host"),
            ("https:///x", "scheme://host"),
            ("https://a..b/x", "scheme://host"),
            ("https://ada@h/*", "scheme://host"),
            ("https://h/*?x", "scheme://host"),
            ("https://h/*#x", "scheme://host"),
            ("https://h:/x", "scheme://host"),
            ("https://h:*/x", "port"),
            ("https://h:99999/x", "port"),
            ("https://*", "last label"),
            ("https://gitlab.*/x", "last label"),
            ("https://*.*", "last label"),
            ("https://[*]/x", "last label"),
            ("https://h/a*b*c", "one `*`"),
            ("https://h/**", "one `*`"),
            ("https://*a*.example.com", "one `*`"),
            ("https://h/../*", "segments"),
        ];
        for (text, expected) in table {
            let error = pattern(text).err().unwrap_or_else(|| panic!("{text} was taken"));
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_a_pattern_admits_has_another_host_when_parsed_as_a_url(
            iss in r"(https?)://[a-z@:#?\\./-]{0,12}(gitlab-[a-z./@#?]{1,6}\.example\.com)[a-z0-9/:@#?.-]{0,12}"
        ) {
            let pattern = pattern("https://gitlab-*.example.com/x/*").unwrap();
            if pattern.admits(&iss) {
                let url = url::Url::parse(&iss).unwrap();
                let host = url.host_str().unwrap();
                prop_assert!(host.starts_with("gitlab-") && host.ends_with(".example.com"));
                prop_assert_eq!(host.split('.').count(), 3);
                prop_assert_eq!(url.scheme(), "https");
                prop_assert!(url.username().is_empty() && url.query().is_none() && url.fragment().is_none());
            }
        }

        #[test]
        fn no_text_panics(text in r"(https?://)?[a-z*:/.\[\]@é]{0,20}") {
            let _ = pattern(&text).map(|pattern| pattern.admits(&text));
        }
    }
}
