//! A URL of an issuer or of a GitLab instance, and after a line break what is put below its path.

use countersign::identity::gitlab::Instance;
use countersign::identity::go_url::GoUrl;
use url::Url;

/// What is read is written so that it is read the same; nothing below a path changes the host.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, below) = text.split_once('\n').unwrap_or((text, "a/b"));
    if let Ok(instance) = Instance::parse(text) {
        let url = Url::parse(instance.url()).expect("an instance's URL is one");
        assert!(url.username().is_empty() && url.password().is_none(), "{text}");
        assert!(url.query().is_none() && url.fragment().is_none(), "{text}");
        assert!(matches!(url.scheme(), "http" | "https"), "{text}");
        // A number alone is an address to browsers, and stays as the operator wrote it here.
        if let Some(url::Host::Domain(host)) = url.host() {
            assert!(instance.location().to_ascii_lowercase().starts_with(host), "{text}: {host}");
        }
    }
    let Some(url) = GoUrl::parse(text) else { return };
    let written = url.to_string();
    let again = GoUrl::parse(&written).expect("what is written can be read");
    assert_eq!(again.to_string(), written, "{text}");
    assert_eq!(
        (again.scheme(), again.host_name(), again.port()),
        (url.scheme(), url.host_name(), url.port())
    );
    assert!(!url.host_name().is_empty() && !written.chars().any(char::is_control), "{text}");
    if let Some(joined) = url.join(&[below]) {
        assert_eq!(
            (joined.scheme(), joined.host_name(), joined.port()),
            (url.scheme(), url.host_name(), url.port())
        );
        let joined = joined.to_string();
        let (_, rest) = joined.split_once("://").expect("a URL");
        // A host may be a dot.
        let (_, path) = rest.split_once('/').unwrap_or_default();
        assert!(
            !path.split(['?', '#']).next().unwrap_or_default().split('/').any(|it| matches!(it, "." | "..")),
            "{path}"
        );
    }
}
