//! URLs as Go's `net/url` writes them, because the reference puts them so into its certificates and verifiers compare text.
//!
//! Only `scheme://host[:port][/path][?query][#fragment]` is taken: what has no host, a user name, a host that is not ASCII, or a
//! path that a reader may resolve to another one (`.` and `..`) is no name for anybody. An escape that is valid stays as it
//! is, letter case included; where anything needs escaping, the whole path is unescaped and escaped anew.

use super::go_escape::{Part, escaped, unescape};
use std::fmt;

/// A URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoUrl {
    scheme: String,
    /// Host and port as they were written.
    host: String,
    /// Escaped, as it is shown; empty, or beginning with a slash.
    path: String,
    query: Option<String>,
    fragment: String,
}

impl GoUrl {
    /// Reads a URL as `url.Parse` does, within the limits that the module names. `None`: it is beyond them.
    pub fn parse(text: &str) -> Option<Self> {
        if text.bytes().any(|b| b.is_ascii_control()) {
            return None;
        }
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (scheme, rest) = text.split_once("://")?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (host, path) = match rest.find('/').and_then(|at| rest.split_at_checked(at)) {
            Some((host, path)) => (host, path),
            None => (rest, ""),
        };
        let sound = is_scheme(scheme)
            && is_host_and_port(host)
            && query.is_none_or(|query| query.bytes().all(|b| b.is_ascii_graphic()));
        if !sound {
            return None;
        }
        Some(Self {
            scheme: scheme.to_ascii_lowercase(),
            host: host.to_owned(),
            path: sound_path(path)?,
            query: query.map(str::to_owned),
            fragment: escaped(fragment, Part::Fragment).ok()?,
        })
    }

    /// The scheme in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The host without its port, in the letters in which it was written.
    pub fn host_name(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => &self.host,
        }
    }

    /// The port, where there is one.
    pub fn port(&self) -> Option<&str> {
        self.host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'))
    }

    /// Whether it ends with its path.
    pub const fn is_plain(&self) -> bool {
        self.query.is_none() && self.fragment.is_empty()
    }

    /// The same with these elements below its path, as `URL.JoinPath` makes it: joined by slashes, repeated slashes made one.
    /// `None`: an element has a `.` or `..` as a segment, a wrong escape or a control character.
    pub fn join(&self, elements: &[&str]) -> Option<Self> {
        let mut path = self.path.clone();
        for element in elements {
            path.push('/');
            path.push_str(element);
        }
        if path.bytes().any(|b| b.is_ascii_control()) {
            return None;
        }
        let final_slash = elements.last().is_some_and(|element| element.ends_with('/'));
        let mut joined = String::with_capacity(path.len());
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            joined.push('/');
            joined.push_str(segment);
        }
        if final_slash {
            joined.push('/');
        }
        Some(Self { path: sound_path(&joined)?, ..self.clone() })
    }
}

impl fmt::Display for GoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.host, self.path)?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        if !self.fragment.is_empty() {
            write!(f, "#{}", self.fragment)?;
        }
        Ok(())
    }
}

fn sound_path(path: &str) -> Option<String> {
    let escaped = escaped(path, Part::Path).ok()?;
    let leaves = |segment: &str| matches!(unescape(segment, Part::Path).as_deref(), Ok(b"." | b".."));
    (!escaped.split('/').any(leaves)).then_some(escaped)
}

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// A name or address and perhaps a port; no user name, nothing that needs escaping.
pub(super) fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_holds = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        }
    };
    host_holds && port.is_none_or(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Option<String> {
        GoUrl::parse(text).map(|url| url.to_string())
    }

    /// Recorded from Go 1.26's `url.Parse`.
    #[test]
    fn a_url_is_written_as_go_writes_it() {
        for (text, expected) in [
            ("https://h", "https://h"),
            ("HTTPS://Host.example/a", "https://Host.example/a"),
            ("https://h/", "https://h/"),
            ("https://h//a//b", "https://h//a//b"),
            ("https://h/a b", "https://h/a%20b"),
            ("https://h/a%20b", "https://h/a%20b"),
            ("https://h/a%2fb", "https://h/a%2fb"),
            ("https://h/a%2fb c", "https://h/a/b%20c"),
            ("https://h/é", "https://h/%C3%A9"),
            ("https://h/a'(b)*!", "https://h/a'(b)*!"),
            ("https://h/a'(b)*! ", "https://h/a%27%28b%29%2A%21%20"),
            ("https://h/[x]", "https://h/[x]"),
            ("https://h/a\"b", "https://h/a%22b"),
            ("https://h/a@b:c,d;e=f&g$h+i~j", "https://h/a@b:c,d;e=f&g$h+i~j"),
            ("https://h:8443/a", "https://h:8443/a"),
            ("https://[::1]:80/a", "https://[::1]:80/a"),
            ("https://h/a?", "https://h/a?"),
            ("https://h/a?b=c/../d", "https://h/a?b=c/../d"),
            ("https://h/a?b?c", "https://h/a?b?c"),
            ("https://h?x", "https://h?x"),
            ("https://h/a#b c", "https://h/a#b%20c"),
            ("https://h/a#", "https://h/a"),
            ("https://h/a#!(x)*?", "https://h/a#!(x)*?"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_for_anybody_is_refused() {
        for text in [
            "",
            "h/a",
            "//h/a",
            "mailto:ada@example.com",
            "https:///a",
            "https://ada@h/a",
            "https://hé/a",
            "https://h:x/a",
            "https://h:/a",
            "https://h:99999/a",
            "https://h/a/../b",
            "https://h/a/%2E%2e/b",
            "https://h/.",
            "https://h/%zz",
            "https://h/%4",
            "https://h/a\n",
            "https://h/a?b c",
            "https://h\\a/b",
            "1https://h",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    /// Recorded from Go 1.26's `URL.JoinPath`.
    #[test]
    fn elements_are_joined_as_go_joins_them() {
        let base = GoUrl::parse("https://h").expect("a URL");
        for (elements, expected) in [
            (&["a", "b"][..], "https://h/a/b"),
            (&["a//b/", "/c"], "https://h/a/b/c"),
            (&["a/"], "https://h/a/"),
            (&["a", ""], "https://h/a"),
            (&["a b%2Fc"], "https://h/a%20b/c"),
            (&["a?b#c"], "https://h/a%3Fb%23c"),
        ] {
            assert_eq!(
                base.join(elements).map(|url| url.to_string()).as_deref(),
                Some(expected),
                "{elements:?}"
            );
        }
        assert_eq!(base.join(&["a", ".."]), None);
        assert_eq!(base.join(&["%"]), None);
        let deeper = GoUrl::parse("https://h/x/").and_then(|url| url.join(&["y"])).expect("a URL");
        assert_eq!(deeper.to_string(), "https://h/x/y");
    }

    proptest! {
        #[test]
        fn nothing_moves_the_host(element in "[ -~é]{0,20}") {
            let base = GoUrl::parse("https://host.example:8443/root").expect("a URL");
            if let Some(joined) = base.join(&[&element]) {
                let text = joined.to_string();
                prop_assert!(text.starts_with("https://host.example:8443/root"), "{text}");
                let read = url::Url::parse(&text).expect("a URL");
                prop_assert_eq!((read.host_str(), read.port()), (Some("host.example"), Some(8443)));
                prop_assert!(read.path().starts_with("/root"));
                prop_assert!(text.bytes().all(|b| b.is_ascii_graphic()));
            }
        }

        #[test]
        fn what_is_written_reads_back(text in "https?://[a-z.]{1,5}/[ -~é]{0,20}") {
            if let Some(url) = GoUrl::parse(&text) {
                prop_assert_eq!(GoUrl::parse(&url.to_string()), Some(url));
            }
        }
    }
}
