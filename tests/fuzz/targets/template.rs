//! A template of an operator, and after a line `%%` the claims that it meets.

use super::world::{ISSUER, check_certificate, check_refusal, verified};
use countersign::identity::IdentityType as _;
use countersign::identity::ci_provider::{CiProvider, ExtensionName};
use countersign::identity::template::{Data, Datum, MAX_TEMPLATE_BYTES, MAX_TEXT_BYTES, Template};
use countersign::refusal::Reason;
use std::borrow::Cow;

const CLAIMS: &[u8] = br#"{"iss":"https://gitlab.example.com","exp":4102444800,"iat":1795251600,"sub":"s","a":"https://a.example/x","b":"","c":7}"#;

/// Parsing and executing end, within bounds, the same each time; a name that a template makes is a sound URI.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (template, claims) = text.split_once("\n%%\n").unwrap_or((text, ""));
    let parsed = match Template::parse(template) {
        Ok(parsed) => parsed,
        Err(error) => {
            let lines = template.split('\n').count();
            assert!((1..=lines).contains(&error.line), "line {} of {lines}: {}", error.line, error.message);
            assert!(!error.message.is_empty());
            return;
        }
    };
    assert!(template.len() <= MAX_TEMPLATE_BYTES);
    let mut data = Data::default();
    data.insert("a", Datum::Text(Cow::Borrowed("https://a.example/x")));
    data.insert("b", Datum::Text(Cow::Borrowed("")));
    data.insert("c", Datum::Text(Cow::Borrowed("SECRET <&> \u{e9}")));
    data.insert("d", Datum::Refused(Reason::ClaimWrongType));
    let once = parsed.execute(&data);
    assert_eq!(once, parsed.execute(&data), "an execution depends on its data alone");
    match once {
        Ok(text) => assert!(text.len() <= MAX_TEXT_BYTES),
        Err(fault) => assert!(!format!("{fault:?}").contains("SECRET <"), "{fault:?}"),
    }
    let provider = CiProvider {
        extension_templates: vec![(
            ExtensionName::parse("build-trigger").expect("a name"),
            template.to_owned(),
        )],
        default_template_values: vec![("b".to_owned(), "https://b.example".to_owned())],
        subject_alternative_name_template: template.to_owned(),
    };
    let provider = provider.compile().expect("a template that was parsed");
    let claims = if claims.is_empty() { CLAIMS } else { claims.as_bytes() };
    let Ok(token) = verified(claims) else { return };
    match provider.principal(ISSUER, &token) {
        Ok(principal) => {
            // What else the operator writes there, white space for instance, is the operator's.
            check_certificate(&principal);
            let name = principal.name().text();
            let (scheme, rest) = name.split_once(':').expect("a scheme");
            assert!(scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_graphic()), "{name}");
            let authority = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#']).next());
            assert!(authority.is_none_or(|authority| !authority.contains('@')), "{name}");
        }
        // The claim's name is the template's own text, which is no secret.
        Err(refusal) if refusal.claim().is_none() => check_refusal(&refusal),
        Err(refusal) => assert!(!refusal.reason().code().is_empty()),
    }
}
