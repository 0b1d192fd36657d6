//! A pattern of issuers, and after a line break an issuer that anybody may name.

use countersign::identity::gitlab::GitlabRules;
use countersign::identity::{Entry, IssuerPattern, KeySource};
use url::Url;

/// What a pattern admits is fetched from a host of the pattern's domain, by its scheme, from its port.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, iss) = text.split_once('\n').unwrap_or((text, text));
    let entry = Entry {
        audience: "sigstore".to_owned(),
        allow_multiple_audiences: false,
        kind: GitlabRules::default().into(),
    };
    let pattern = match IssuerPattern::parse(text, [entry], KeySource::Static(Vec::new())) {
        Ok(pattern) => pattern,
        Err(words) => return assert!(!words.is_empty()),
    };
    assert_eq!(pattern.text(), text);
    if !text.contains('*') {
        assert!(pattern.admits(text), "a pattern without a star admits itself");
        assert_eq!(pattern.admits(iss), text == iss);
    }
    if !pattern.admits(iss) {
        return;
    }
    let (scheme, rest) = iss.split_once("://").expect("a scheme");
    let (own_scheme, own_rest) = text.split_once("://").expect("a scheme");
    assert_eq!(scheme, own_scheme);
    let authority = |rest: &str| rest.split('/').next().unwrap_or_default().to_owned();
    let (host, own) = (authority(rest), authority(own_rest));
    assert_eq!(host.split('.').count(), own.split('.').count(), "{text} {iss}");
    assert_eq!(rest.split('/').count(), own_rest.split('/').count(), "{text} {iss}");
    let domain = own.rsplit_once('*').map_or(own.as_str(), |(_, after)| after);
    assert!(host.ends_with(domain) && domain.len() > 1 || !own.contains('*') && host == own, "{text} {iss}");

    // What a URL's reader makes of the pattern itself is what the operator has in mind.
    let Ok(meant) = Url::parse(&text.replace('*', "x")) else { return };
    let Ok(url) = Url::parse(iss) else { return };
    let hosts = [&meant, &url].map(|url| url.host_str().unwrap_or_default().to_owned());
    let [meant_host, url_host] = &hosts;
    let tail = |host: &str, labels: usize| -> Vec<String> {
        host.rsplit('.').take(labels).map(str::to_owned).collect()
    };
    let fixed = own.rsplit('.').take_while(|label| !label.contains('*')).count();
    assert_eq!(tail(url_host, fixed), tail(meant_host, fixed), "{text} {iss}");
    assert_eq!((url.scheme(), url.port()), (meant.scheme(), meant.port()), "{text} {iss}");
    assert!(url.username().is_empty() && url.password().is_none(), "{text} {iss}");
    assert!(url.query().is_none() && url.fragment().is_none(), "{text} {iss}");
}
