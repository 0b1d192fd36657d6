//! The values of a configuration: durations, addresses, URLs, origins, files.
//!
//! Every function answers with the value or with words that follow the key's name.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use url::{Host, Url};

/// Units of durations, and their seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// A duration: whole numbers with the units `s`, `m`, `h`, `d`, largest first (`90s`, `10m`, `1h30m`), within `bounds`.
pub fn duration(text: &str, bounds: (Duration, Duration)) -> Result<Duration, String> {
    let value = parse_duration(text)
        .ok_or_else(|| format!("{} is not a duration; write 10m, 600s or 1h30m", quoted(text)))?;
    if value < bounds.0 || value > bounds.1 {
        let (least, most) = (show_duration(bounds.0), show_duration(bounds.1));
        return Err(format!("{} is out of bounds; from {least} to {most} is possible", quoted(text)));
    }
    Ok(value)
}

/// A whole number within `bounds`.
pub fn whole_number(text: &str, bounds: (u32, u32)) -> Result<u32, String> {
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && (bounds.0..=bounds.1).contains(&number) => Ok(number),
        _ => Err(format!("{} is no whole number from {} to {}", quoted(text), bounds.0, bounds.1)),
    }
}

/// An address to listen on.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok());
    if let Some(port) = local {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| {
        format!(
            "{} is not an IP address with a port; write 127.0.0.1:5555, or 0.0.0.0:5555 for every interface",
            quoted(text)
        )
    })
}

/// An absolute http or https URL without query, fragment and userinfo, as written.
pub fn http_url(text: &str) -> Result<Url, String> {
    if authority(text).contains('@') {
        return Err("has a user name in it; remove what stands before the @".to_owned());
    }
    let shown = quoted(text);
    let expected = "write https://host, with a port or path where there is one";
    if !(text.starts_with("https://") || text.starts_with("http://")) {
        return Err(format!("{shown} does not begin with https:// (or http://); {expected}"));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(format!("{shown} has a space, a control character or a backslash in it; {expected}"));
    }
    let url = Url::parse(text).map_err(|error| format!("{shown} is not a URL ({error}); {expected}"))?;
    if authority(text).is_empty() || url.host().is_none() {
        return Err(format!("{shown} has no host; {expected}"));
    }
    if text.contains(['?', '#']) {
        return Err(format!("{shown} has a query or a fragment; remove what follows the ? or #"));
    }
    Ok(url)
}

/// The URL of an issuer, kept byte for byte because tokens' `iss` is compared so.
pub fn issuer_url(text: &str) -> Result<String, String> {
    http_url(text).map(|_| text.to_owned())
}

/// Whether keys fetched from this URL could be changed on the way: plain http to another machine.
pub fn is_exposed(text: &str) -> bool {
    text.starts_with("http://") && !Url::parse(text).is_ok_and(|url| is_loopback(&url))
}

/// A base URL that others append paths to: no slash at its end.
pub fn base_url(text: &str) -> Result<String, String> {
    http_url(text)?;
    if text.ends_with('/') {
        return Err(format!("{} ends in a slash; remove it", quoted(text)));
    }
    Ok(text.to_owned())
}

/// How a URL is usually spelled, where that is not how it is written here; a slash at the end makes no difference.
pub fn usual_spelling(text: &str) -> Option<String> {
    let usual = Url::parse(text).ok()?.to_string();
    let differs = usual.trim_end_matches('/') != text.trim_end_matches('/');
    differs.then(|| if text.ends_with('/') { usual } else { usual.trim_end_matches('/').to_owned() })
}

/// Whether a URL's host is written as clients name it: in lower case, in ASCII, an address in its usual form.
pub fn is_host_usual(text: &str) -> bool {
    let url = Url::parse(text).ok();
    url.as_ref()
        .and_then(Url::host_str)
        .and_then(|host| authority(text).strip_prefix(host))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// Whether a URL is a host with a slash and nothing behind it. A bucket has a path, and a GitLab's `iss` no slash.
pub fn is_root_with_slash(text: &str) -> bool {
    text.ends_with('/') && !without_scheme(text).contains('/')
}

/// Whether the URL's host is this machine: 127.0.0.0/8, ::1, localhost.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The origin line of a log's checkpoints: a schema-less URL, and a key name of c2sp.org/signed-note, which has
/// neither spaces nor plus signs.
pub fn origin(text: &str) -> Result<String, String> {
    const LONGEST: usize = 255;
    if text.is_empty() || text.len() > LONGEST {
        return Err(format!("must have 1 to {LONGEST} characters; write the log's URL without https://"));
    }
    if text.contains("://") {
        return Err(format!("{} has a scheme; write the log's URL without it", quoted(text)));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
        return Err(format!("{} has a space, a control character or a plus sign in it", quoted(text)));
    }
    Ok(text.to_owned())
}

/// A URL without its scheme and the slash at its end.
pub fn without_scheme(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.trim_end_matches('/')
}

/// Why a file could not be read.
#[derive(Debug, PartialEq, Eq)]
pub enum FileError {
    /// There is nothing of this name.
    Missing(String),
    /// Something else.
    Unusable(String),
}

/// A regular file of at most `most` bytes.
pub fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    check_file(path)?;
    let unreadable =
        |error: io::Error| FileError::Unusable(format!("{} cannot be read: {error}", path.display()));
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > most {
        let message = format!("{} is larger than {} KiB", path.display(), most / 1024);
        return Err(FileError::Unusable(message));
    }
    Ok(bytes)
}

/// Whether a regular file of this name is there; it is not opened.
pub fn check_file(path: &Path) -> Result<(), FileError> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(FileError::Unusable(format!("{} is not a file", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(FileError::Missing(format!("{} does not exist", path.display())))
        }
        Err(error) => Err(FileError::Unusable(format!("{} cannot be read: {error}", path.display()))),
    }
}

/// Whether a file is for its owner alone, as far as its mode says (0600, 0400).
#[cfg(unix)]
pub fn check_private(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(format!(
        "{} has mode {mode:04o}, so others than its owner may use it; make it 0600 or 0400 (chmod 600)",
        path.display()
    ))
}

/// Elsewhere a mode says nothing.
#[cfg(not(unix))]
pub fn check_private(_: &Path) -> Result<(), String> {
    Ok(())
}

/// PEM certificates, at least one; text between them is let pass, private keys are not.
pub fn pem_certificates(pem: &[u8]) -> Result<(), String> {
    use x509_cert::{Certificate, der::DecodePem};
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text =
        std::str::from_utf8(pem).map_err(|_| "is not PEM: it has bytes that are no text".to_owned())?;
    if text.contains("PRIVATE KEY-----") {
        return Err("has a private key in it; it should have certificates alone".to_owned());
    }
    let mut count = 0;
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        count += 1;
        let (body, after) = after.split_once(END).ok_or_else(|| format!("certificate {count} has no end"))?;
        Certificate::from_pem(format!("{BEGIN}{body}{END}\n"))
            .map_err(|error| format!("certificate {count} cannot be parsed: {error}"))?;
        rest = after;
    }
    if count == 0 { Err(format!("has no certificate; a line {BEGIN} is expected")) } else { Ok(()) }
}

/// A value as messages show it: escaped, and not at any length.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 120;
    if text.chars().count() <= LONGEST {
        format!("{text:?}")
    } else {
        format!("{:?}…", text.chars().take(LONGEST).collect::<String>())
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0u64;
    for (unit, length) in UNITS {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at_checked(digits)?;
        if let Some(after) = after.strip_prefix(unit) {
            seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(length)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then(|| Duration::from_secs(seconds))
}

/// A duration of whole seconds in the largest unit that it is a multiple of.
fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let unit = UNITS.iter().find(|(_, length)| seconds > 0 && seconds.is_multiple_of(*length));
    unit.map_or_else(|| "0s".to_owned(), |(unit, length)| format!("{}{unit}", seconds / length))
}

/// What stands between `://` and the first slash.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let any = (Duration::ZERO, Duration::MAX);
        for (text, seconds) in [("10m", 600), ("600s", 600), ("1h30m", 5400), ("1d", 86_400), ("0s", 0)] {
            assert_eq!(duration(text, any), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "600", "m", "10 m", "10M", "1.5h", "-1s", "30m1h", "99999999999999999999d", "10ms", "10m5"]
        {
            assert!(duration(text, any).is_err(), "{text}");
        }
    }

    #[test]
    fn bounds_are_named() {
        let bounds = (Duration::from_secs(60), Duration::from_secs(86_400));
        let message = duration("30s", bounds).expect_err("too short");
        assert_eq!(message, "\"30s\" is out of bounds; from 1m to 1d is possible");
    }

    #[test]
    fn plain_http_is_exposed_but_on_loopback() {
        for url in [
            "http://127.0.0.1:80/x",
            "http://127.9.9.9",
            "http://[::1]:3000",
            "http://localhost:3000/gitlab",
            "https://gitlab.example.com",
        ] {
            assert!(!is_exposed(url), "{url}");
        }
        for url in [
            "http://gitlab.example.com",
            "http://localhost.example.com",
            "http://128.0.0.1",
            "http://[::ffff:127.0.0.1]",
            "http://127.0.0.1.example.com",
        ] {
            assert!(is_exposed(url), "{url}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let message = http_url("https://ada:secret@gitlab.com").expect_err("refused");
        assert!(!message.contains("secret"), "{message}");
    }

    #[test]
    fn an_issuer_is_kept_byte_for_byte_or_refused() {
        for url in ["https://gitlab.com", "https://storage.example.com/bucket/", "https://host:8443/gitlab"] {
            assert_eq!(issuer_url(url).as_deref(), Ok(url));
        }
        for url in [
            "",
            "gitlab.com",
            "HTTPS://gitlab.com",
            "ftp://gitlab.com",
            "https://",
            "https:///path",
            "https://user@gitlab.com",
            "https://@gitlab.com",
            "https://gitlab.com?x",
            "https://gitlab.com#",
            "https://gitlab.com/a b",
            "https://evil.example\\@gitlab.com",
            "https://gitlab.com\n",
            "https://host:99999",
        ] {
            assert!(issuer_url(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn a_host_is_written_in_one_way() {
        for url in [
            "https://ca.example.com",
            "https://ca.example.com:443/a",
            "http://[::1]:80",
            "http://127.0.0.1:1",
        ] {
            assert!(is_host_usual(url), "{url}");
        }
        for url in [
            "http://LOCALHOST:28443",
            "https://B\u{dc}CHER.example",
            "https://127.1",
            "http://[0:0::1]",
            "https://c%61.example.com",
        ] {
            assert!(!is_host_usual(url), "{url}");
        }
    }

    #[test]
    fn an_unusual_spelling_is_noticed() {
        for url in ["https://gitlab.com", "https://gitlab.com/", "https://host:8443/gitlab/"] {
            assert_eq!(usual_spelling(url), None, "{url}");
        }
        assert_eq!(usual_spelling("https://GitLab.com").as_deref(), Some("https://gitlab.com"));
        assert_eq!(usual_spelling("https://gitlab.com:443").as_deref(), Some("https://gitlab.com"));
        assert_eq!(usual_spelling("https://a.b/c/../d").as_deref(), Some("https://a.b/d"));
    }

    #[test]
    fn addresses_are_ip_addresses_with_ports() {
        assert_eq!(socket_address("localhost:80").map(|a| a.to_string()).as_deref(), Ok("127.0.0.1:80"));
        assert_eq!(socket_address("[::1]:80").map(|a| a.to_string()).as_deref(), Ok("[::1]:80"));
        for text in ["", ":5555", "5555", "127.0.0.1", "example.com:80", "127.0.0.1:99999"] {
            assert!(socket_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_origin_is_a_key_name() {
        assert!(origin("ca.example.com/ct").is_ok());
        for text in ["", "https://ca.example.com/ct", "a b", "a+b", "a\nb", &"x".repeat(300)] {
            assert!(origin(text).is_err(), "{text}");
        }
        assert_eq!(without_scheme("https://ca.example.com:8443/"), "ca.example.com:8443");
    }
}
