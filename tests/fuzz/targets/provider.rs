//! The claims of a token as templates of a `ci-provider` see them: no claim leads the name out of the operator's domain.

use super::world::{ISSUER, check_principal, check_refusal, verified};
use countersign::identity::IdentityType as _;
use countersign::identity::ci_provider::{CiProvider, CompiledProvider, ExtensionName};
use std::sync::OnceLock;
use url::Url;

/// Templates whose host the operator has fixed, at least in its last two labels, each with whether it is fixed whole.
const SUBJECTS: &[(&str, bool)] = &[
    ("https://{{ .tenant }}.ci.example/{{ .path }}", false),
    ("https://{{ .tenant }}.{{ .region }}.ci.example:8443/{{ .path }}", false),
    ("https://a-{{ .tenant }}.ci.example?path={{ .path }}", false),
    ("https://www.ci.example/{{ .path }}", true),
    ("https://www.ci.example{{ .path }}", true),
    ("{{ .url }}/{{ .path }}@{{ .ref }}", true),
    ("{{ .url }}{{ .path }}", true),
    ("{{ .url }}{{ if .path }}/{{ .path }}{{ end }}#{{ .ref }}", true),
    ("{{ printf \"%s/%s\" .url .path }}", true),
];

fn providers() -> &'static [(CompiledProvider, bool)] {
    static PROVIDERS: OnceLock<Vec<(CompiledProvider, bool)>> = OnceLock::new();
    PROVIDERS.get_or_init(|| {
        let extension = |key: &str, text: &str| (ExtensionName::parse(key).expect("a name"), text.to_owned());
        let compile = |(subject, whole): &(&str, bool)| {
            let provider = CiProvider {
                extension_templates: vec![
                    extension("source-repository-uri", "{{ .url }}/{{ .path }}"),
                    extension("build-trigger", "path"),
                    extension(
                        "source-repository-digest",
                        "{{ if ne .ref \"\" }}{{ urlquery .ref }}{{ end }}",
                    ),
                ],
                default_template_values: vec![
                    ("url".to_owned(), "https://www.ci.example".to_owned()),
                    ("ref".to_owned(), String::new()),
                    ("region".to_owned(), "eu".to_owned()),
                ],
                subject_alternative_name_template: (*subject).to_owned(),
            };
            (provider.compile().expect("templates"), *whole)
        };
        SUBJECTS.iter().map(compile).collect()
    })
}

/// The host of every name is the operator's, as Go's readers of certificates and as browsers see it.
pub fn target(data: &[u8]) {
    let token = match verified(data) {
        Ok(token) => token,
        Err(refusal) => return check_refusal(&refusal),
    };
    for (provider, whole) in providers() {
        match provider.principal(ISSUER, &token) {
            Err(refusal) => check_refusal(&refusal),
            Ok(principal) => {
                check_principal(&principal);
                let name = principal.name().text();
                let is_ours = |host: &str| match whole {
                    true => host == "www.ci.example",
                    false => host.ends_with(".ci.example"),
                };
                let rest = name.strip_prefix("https://").expect("the operator's scheme");
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                assert!(!authority.contains('@'), "{name}");
                let host = authority.split_once(':').map_or(authority, |(host, _)| host);
                assert!(is_ours(host), "{name}");
                if let Ok(url) = Url::parse(name) {
                    assert!(is_ours(url.host_str().unwrap_or_default()), "{name}");
                    assert!(url.username().is_empty() && url.password().is_none(), "{name}");
                }
            }
        }
    }
}
