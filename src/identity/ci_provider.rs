//! Type `ci-provider`: any CI service, described by templates in the configuration (Fulcio's `ci-issuer-metadata`).
//!
//! A template is Go's text/template over the token's claims, or, without `{{`, a claim's name. Claims win over the
//! provider's defaults. Numbers and booleans are texts here; an integer has the token's own digits, so that two identifiers never
//! become one, and other numbers are written as Go writes a float64.
//!
//! Stricter than the reference where a certificate would say what no issuer meant: a claim that is null, an array, an object, or
//! that has a control character is refused when a template looks at it, and a claim does not replace a default that names a host.
//! What this does not do: check that claims agree with each other, as the types of their own do.

mod names;

use super::claim::ClaimReader;
use super::extensions::{self as oid, identity_extensions};
use super::san_uri::{self, SanUri};
use super::template::{Data, Datum, Fault, Template};
use super::{IdentityType, Named, SubjectAltName};
use crate::refusal::{Reason, Refusal};
use crate::token::Claims;
use der::asn1::ObjectIdentifier;
use serde_json::{Number, Value};
use std::borrow::Cow;
use std::fmt;

pub(super) const NAME: &str = "ci-provider";

/// URLs that services put into their tokens as claims, where the shipped configuration has a default: Codefresh's and Buddy's own
/// installations. Any other claim that would replace a default URL is one that nobody foresaw.
const CLAIMED_URLS: [&str; 2] = ["platform_url", "base_url"];

/// The name of an extension that a template can fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionName {
    oid: ObjectIdentifier,
    name: &'static str,
}

impl ExtensionName {
    /// The extension of this key of a configuration, in YAML (`build-signer-uri`) or in JSON (`BuildSignerURI`).
    pub fn parse(key: &str) -> Option<Self> {
        let known = |(_, name): &&(ObjectIdentifier, &str)| {
            let yaml = name.to_ascii_lowercase().replace(' ', "-");
            let json = name.replace("GitHub", "Github").replace(' ', "");
            key == yaml || key == json
        };
        match key {
            "issuer" | "Issuer" => Some(Self { oid: oid::ISSUER_V2, name: "Issuer" }),
            "subject" | "Subject" => Some(Self { oid: oid::TOKEN_SUBJECT, name: "Subject" }),
            _ => oid::FULCIO_NAMES
                .iter()
                .filter(|(oid, _)| !ALWAYS.contains(oid) && *oid != oid::OTHER_NAME)
                .find(known)
                .map(|(oid, name)| Self { oid: *oid, name }),
        }
    }

    /// The name in Sigstore's OID registry.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// Extensions that come from the token as they are, whatever a template says.
const ALWAYS: [ObjectIdentifier; 3] = [oid::ISSUER, oid::ISSUER_V2, oid::TOKEN_SUBJECT];

/// A provider as it is configured.
#[derive(Clone, Debug, Default)]
pub struct CiProvider {
    /// `extension-templates`. Those for `issuer` and `subject` are parsed and have no effect.
    pub extension_templates: Vec<(ExtensionName, String)>,
    /// `default-template-values`
    pub default_template_values: Vec<(String, String)>,
    /// `subject-alternative-name-template`. Where it is blank, no token gets a certificate.
    pub subject_alternative_name_template: String,
}

/// A provider whose templates are parsed: the type of identity.
#[derive(Clone)]
pub struct CompiledProvider {
    subject: Source,
    /// The text that the subject's template begins with.
    subject_start: String,
    /// The text that the host of the subject's template ends in, where it begins with a claim: `.example.com` in
    /// `https://{{ .tenant }}.example.com/`.
    subject_domain: Option<String>,
    extensions: Vec<(ExtensionName, Source)>,
    defaults: Vec<(String, String)>,
    /// The claims that templates name.
    claims: Vec<String>,
}

/// Where a value comes from.
#[derive(Clone)]
enum Source {
    /// White space alone, which stays as it is.
    Blank(String),
    /// The claim of this name.
    Claim(String),
    Template(Box<Template>),
}

impl CiProvider {
    /// Parses the templates.
    ///
    /// # Errors
    /// Which template is wrong, where and why, for the operator.
    pub fn compile(self) -> Result<CompiledProvider, String> {
        let start = self.subject_alternative_name_template.split_once("{{").map(|(start, _)| start);
        let subject_start = start.unwrap_or_default().trim().to_owned();
        let subject_domain = domain(&self.subject_alternative_name_template);
        let templates = self.extension_templates.iter().map(|(_, template)| template);
        let claims = names::of_templates(templates.chain([&self.subject_alternative_name_template]));
        let subject = Source::parse(self.subject_alternative_name_template)
            .map_err(|fault| format!("the template for the subject alternative name: {fault}"))?;
        let mut extensions = Vec::with_capacity(self.extension_templates.len());
        for (name, template) in self.extension_templates {
            let source = Source::parse(template)
                .map_err(|fault| format!("the template for {}: {fault}", name.name()))?;
            if !ALWAYS.contains(&name.oid) {
                extensions.push((name, source));
            }
        }
        let defaults = self.default_template_values;
        Ok(CompiledProvider { subject, subject_start, subject_domain, extensions, defaults, claims })
    }
}

impl CompiledProvider {
    /// Whom claims name. `issuer` is their `iss` as it was matched, byte for byte.
    ///
    /// # Errors
    /// [`Reason::ClaimMissing`], [`Reason::ClaimWrongType`], [`Reason::ClaimControlCharacter`] and [`Reason::ClaimReplacesUrl`]
    /// for a claim that a template looks at; [`Reason::TemplateFailed`] for anything else, a name that is no URI included.
    fn of_claims(&self, issuer: &str, claims: &Claims) -> Result<Named, Refusal> {
        let sub = ClaimReader::new(claims, NAME).sub()?;
        let data = self.data(claims, Winner::Claims);
        let name = self.subject_alt_name(&data)?;
        self.check_host(claims, &name)?;
        let mut values = Vec::with_capacity(self.extensions.len());
        for (extension, source) in &self.extensions {
            let value = source.value(&data).map_err(|fault| refusal(fault, extension.name))?;
            values.push((extension.oid, value));
        }
        let values = values.iter().map(|(oid, value)| (*oid, Some(&**value)));
        let extensions = identity_extensions(issuer, sub, values);
        Ok(Named::new(issuer, SubjectAltName::Uri(name.text), extensions, sub))
    }

    fn subject_alt_name(&self, data: &Data<'_>) -> Result<SanUri, Refusal> {
        if let Source::Blank(_) = self.subject {
            return Err(failed(format_args!("The provider has no template for it"), SUBJECT));
        }
        let text = self.subject.value(data).map_err(|fault| refusal(fault, SUBJECT))?;
        let uri = san_uri::normalise(&text)
            .map_err(|fault| failed(format_args!("It is no URI: it has {fault}"), SUBJECT))?;
        check_uri(&uri)?;
        let leaves_its_domain =
            self.subject_domain.as_ref().is_some_and(|domain| !uri.host_name().ends_with(domain.as_bytes()));
        if leaves_its_domain || self.is_lengthened(&text, &uri, data) {
            return Err(failed(format_args!("A claim would change its host"), SUBJECT));
        }
        Ok(uri)
    }

    /// Whether the name begins with a URL of the operator's that ends in its host, and has another host all the same: in
    /// `{{ .url }}{{ .path }}` the path may begin with `.evil.example` or with `@`.
    fn is_lengthened(&self, text: &str, name: &SanUri, data: &Data<'_>) -> bool {
        let values = self.defaults.iter().filter_map(|(key, _)| match data.member(key) {
            Some(Datum::Text(value)) => Some(&**value),
            _ => None,
        });
        values
            .chain([&*self.subject_start])
            .filter(|start| text.starts_with(start) && ends_in_its_host(start))
            .filter_map(|start| san_uri::normalise(start).ok())
            .any(|start| start.host_name() != name.host_name())
    }

    /// A default that is part of the name's host stands, whatever the token claims.
    fn check_host(&self, claims: &Claims, name: &SanUri) -> Result<(), Refusal> {
        let replaces = |(key, default): &(String, String)| {
            !default.is_empty()
                && !CLAIMED_URLS.contains(&&**key)
                && claims.member(key).is_some_and(|claim| claim.as_str() != Some(default))
        };
        let Some((key, _)) = self.defaults.iter().find(|default| replaces(default)) else { return Ok(()) };
        let ours = self.subject_alt_name(&self.data(claims, Winner::Defaults))?;
        if (&ours.scheme, &ours.host) == (&name.scheme, &name.host) {
            return Ok(());
        }
        Err(Refusal::new(Reason::ClaimReplacesUrl).of_claim(key.clone()).by_rule(NAME))
    }

    fn data<'d>(&'d self, claims: &'d Claims, winner: Winner) -> Data<'d> {
        let mut data = Data::default();
        for (name, default) in &self.defaults {
            data.insert(name, Datum::Text(Cow::Borrowed(default)));
        }
        for (name, claim) in claims.iter() {
            let default = match data.member(name) {
                Some(Datum::Text(default)) if !CLAIMED_URLS.contains(&name) => Some(&**default),
                _ => None,
            };
            let datum = match (default, winner) {
                (Some(default), Winner::Defaults) if !default.is_empty() => continue,
                (Some(default), _) if default.contains("://") && claim.as_str() != Some(default) => {
                    Datum::Refused(Reason::ClaimReplacesUrl)
                }
                _ => datum(claim),
            };
            data.insert(name, datum);
        }
        data
    }
}

const SUBJECT: &str = "the subject alternative name";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Winner {
    Claims,
    /// The ones that are not empty, [`CLAIMED_URLS`] excepted.
    Defaults,
}

impl IdentityType for CompiledProvider {
    fn name(&self) -> &'static str {
        NAME
    }

    fn claims_of_templates(&self) -> &[String] {
        &self.claims
    }

    fn named(&self, issuer: &str, claims: &Claims) -> Result<Named, Refusal> {
        self.of_claims(issuer, claims)
    }
}

impl fmt::Debug for CompiledProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.extensions.iter().map(|(extension, _)| extension.name).collect();
        f.debug_struct("CompiledProvider").field("extensions", &names).finish_non_exhaustive()
    }
}

impl Source {
    fn parse(text: String) -> Result<Self, String> {
        if text.trim().is_empty() {
            Ok(Self::Blank(text))
        } else if text.contains("{{") {
            let template = Template::parse(&text).map_err(|fault| fault.to_string())?;
            Ok(Self::Template(Box::new(template)))
        } else {
            Ok(Self::Claim(text))
        }
    }

    fn value<'d>(&'d self, data: &'d Data<'_>) -> Result<Cow<'d, str>, Fault> {
        match self {
            Self::Blank(text) => Ok(Cow::Borrowed(text)),
            Self::Claim(name) => match data.member(name) {
                Some(Datum::Text(text)) => Ok(Cow::Borrowed(text)),
                Some(Datum::Refused(reason)) => Err(Fault::Refused(name.clone(), *reason)),
                None => Err(Fault::Absent(name.clone())),
            },
            Self::Template(template) => template.execute(data).map(Cow::Owned),
        }
    }
}

/// A claim as a template sees it.
fn datum(claim: &Value) -> Datum<'_> {
    match claim {
        Value::String(text) if text.chars().any(char::is_control) => {
            Datum::Refused(Reason::ClaimControlCharacter)
        }
        Value::String(text) => Datum::Text(Cow::Borrowed(text)),
        Value::Bool(true) => Datum::Text(Cow::Borrowed("true")),
        Value::Bool(false) => Datum::Text(Cow::Borrowed("false")),
        Value::Number(number) => match number_text(number) {
            Some(text) => Datum::Text(Cow::Owned(text)),
            None => Datum::Refused(Reason::ClaimInvalid),
        },
        Value::Null => Datum::Refused(Reason::ClaimMissing),
        Value::Array(_) | Value::Object(_) => Datum::Refused(Reason::ClaimWrongType),
    }
}

/// An integer as the token spells it; other numbers without an exponent, as short as a float64 can be told by. `None`: it is none.
fn number_text(number: &Number) -> Option<String> {
    let spelling = number.to_string();
    if spelling.bytes().all(|octet| octet.is_ascii_digit() || octet == b'-') {
        return Some(spelling);
    }
    let value: f64 = spelling.parse().ok()?;
    value.is_finite().then(|| value.to_string())
}

/// RFC 5280 §4.2.1.6: an absolute URI, with a host that is one where it has an authority. RFC 3986 §2: of these characters.
fn check_uri(uri: &SanUri) -> Result<(), Refusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
    let fault = if uri.scheme.is_empty() {
        "It has no scheme"
    } else if !uri.text.chars().all(allowed) {
        "It has a character that no URI has"
    } else if !has_sound_escapes(&uri.text) {
        "It has an invalid percent-encoding"
    } else if uri.has_userinfo {
        "It has a user name"
    } else if uri.text.split_once("://").is_some_and(|(scheme, _)| scheme == uri.scheme)
        && !is_domain(&uri.host)
    {
        "Its host is no name of a host"
    } else {
        return Ok(());
    };
    Err(failed(format_args!("{fault}"), SUBJECT))
}

/// What stands between the last action in the host of a template and the end of that host: the domain that a claim must not
/// lead out of. `None` where the operator wrote none there, or the whole host.
fn domain(template: &str) -> Option<String> {
    const END_OF_HOST: [char; 4] = ['/', '?', '#', ':'];
    let (_, host) = template.split_once("://")?;
    let mut pieces = host.split("{{");
    if pieces.next()?.contains(END_OF_HOST) {
        return None;
    }
    let mut tail = "";
    for piece in pieces {
        let (_, literal) = piece.split_once("}}")?;
        match literal.split_once(END_OF_HOST) {
            Some((before, _)) => {
                tail = before;
                break;
            }
            None => tail = literal,
        }
    }
    Some(tail.trim()).filter(|tail| tail.starts_with('.')).map(str::to_owned)
}

/// Whether a text is a scheme and a whole host: one whose last label, after a dot, is there.
fn ends_in_its_host(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, authority)| {
        !authority.contains(['/', '?', '#'])
            && authority.contains('.')
            && !authority.ends_with(['.', '-', '_'])
    })
}

fn has_sound_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let mut digits = after.bytes();
        [digits.next(), digits.next()]
            .iter()
            .all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit()))
    })
}

/// What Go's certificate parser takes for a URI's host, its port included: no empty label, nothing that is not printable ASCII.
fn is_domain(host: &[u8]) -> bool {
    host.split(|octet| *octet == b'.')
        .all(|label| !label.is_empty() && label.iter().all(u8::is_ascii_graphic))
}

fn refusal(fault: Fault, wanted: &'static str) -> Refusal {
    match fault {
        Fault::Absent(claim) => Refusal::new(Reason::ClaimMissing)
            .of_claim(claim)
            .by_rule(NAME)
            .because(format!("The template for {wanted} needs it.")),
        Fault::Refused(claim, reason) => Refusal::new(reason)
            .of_claim(claim)
            .by_rule(NAME)
            .because(format!("The template for {wanted} needs it.")),
        Fault::Failed(message) => failed(format_args!("Its template: {message}"), wanted),
    }
}

fn failed(what: fmt::Arguments<'_>, wanted: &str) -> Refusal {
    Refusal::new(Reason::TemplateFailed).by_rule(NAME).because(format!("For {wanted}: {what}."))
}

#[cfg(test)]
mod tests;
