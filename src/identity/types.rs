//! The table of types: from a type's name in a configuration to what it makes of tokens.

use super::EntryKind;
use super::gitlab::GitlabRules;
use super::go_url::GoUrl;
use super::json_path::JsonPath;
use super::{
    buildkite, chainguard, ci_provider, codefresh, email, github, kubernetes, spiffe, uri, username,
};
use std::net::IpAddr;

/// What an operator can set for an entry, whatever file it stands in.
#[derive(Clone, Debug, Default)]
pub struct Settings<'s> {
    /// The issuer's URL, or the pattern of issuers.
    pub issuer: &'s str,
    /// Whether it is a pattern.
    pub is_pattern: bool,
    /// For `uri` (with its scheme) and `username` (without): where subjects belong.
    pub subject_domain: Option<&'s str>,
    /// For `spiffe`.
    pub trust_domain: Option<&'s str>,
    /// For `email`: a path to the claim with the issuer that goes into the certificate.
    pub issuer_claim: Option<&'s str>,
    /// For `email`.
    pub skip_email_verification: bool,
    /// For `gitlab-pipeline`.
    pub gitlab: GitlabRules,
    /// For `ci-provider`: its templates, compiled.
    pub provider: Option<EntryKind>,
}

/// A setting that only some types have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// [`Settings::subject_domain`]
    SubjectDomain,
    /// [`Settings::trust_domain`]
    TrustDomain,
    /// [`Settings::issuer_claim`]
    IssuerClaim,
    /// [`Settings::skip_email_verification`]
    SkipEmailVerification,
    /// [`Settings::gitlab`]
    Gitlab,
    /// [`Settings::provider`]
    Provider,
    /// The type itself.
    Kind,
}

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// Which one.
    pub setting: Setting,
    /// Whether the type needs it and it is not there.
    pub is_missing: bool,
    /// Words that follow its name.
    pub message: String,
}

/// From settings to the type.
pub type Builder = fn(&Settings<'_>) -> Result<EntryKind, SettingError>;

/// A type of identity.
#[derive(Clone, Copy, Debug)]
pub struct IdentityTypeInfo {
    /// Its name in configurations.
    pub name: &'static str,
    /// The settings that it has.
    pub settings: &'static [Setting],
    /// Makes it.
    pub build: Builder,
}

/// Every type there is, in the order of the documentation.
pub const TYPES: &[IdentityTypeInfo] = &[
    row("gitlab-pipeline", &[Setting::Gitlab], |settings| Ok(settings.gitlab.clone().into())),
    row(email::NAME, &[Setting::IssuerClaim, Setting::SkipEmailVerification], email),
    row(username::NAME, &[Setting::SubjectDomain], username),
    row(uri::NAME, &[Setting::SubjectDomain], uri),
    row(spiffe::NAME, &[Setting::TrustDomain], spiffe),
    row(kubernetes::NAME, &[], |_| Ok(kubernetes::KubernetesRules.into())),
    row(github::NAME, &[], |_| Ok(github::GithubRules.into())),
    row(buildkite::NAME, &[], |_| Ok(buildkite::BuildkiteRules.into())),
    row(codefresh::NAME, &[], |_| Ok(codefresh::CodefreshRules.into())),
    row(chainguard::NAME, &[], |_| Ok(chainguard::ChainguardRules.into())),
    row(ci_provider::NAME, &[Setting::Provider], |settings| {
        settings.provider.clone().ok_or_else(|| SettingError {
            setting: Setting::Provider,
            is_missing: true,
            message: "name the provider whose templates make its certificates".to_owned(),
        })
    }),
];

/// The type of this name.
pub fn find(name: &str) -> Option<&'static IdentityTypeInfo> {
    TYPES.iter().find(|row| row.name == name)
}

/// Whether refusals of a type of identity may name this as the rule that was broken: `gitlab-6`, or a type's name.
pub fn is_rule_of_identity(name: &str) -> bool {
    let number = name.strip_prefix("gitlab-").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) || find(name).is_some()
}

const fn row(name: &'static str, settings: &'static [Setting], build: Builder) -> IdentityTypeInfo {
    IdentityTypeInfo { name, settings, build }
}

fn email(settings: &Settings<'_>) -> Result<EntryKind, SettingError> {
    let issuer_claim = settings
        .issuer_claim
        .map(JsonPath::parse)
        .transpose()
        .map_err(|message| wrong(Setting::IssuerClaim, message))?;
    Ok(email::EmailRules { issuer_claim, skip_verification: settings.skip_email_verification }.into())
}

fn username(settings: &Settings<'_>) -> Result<EntryKind, SettingError> {
    let domain = needed(settings.subject_domain, Setting::SubjectDomain, "write the domain of the users")?;
    if domain.contains("://") {
        return Err(wrong(Setting::SubjectDomain, "has a scheme; write the domain alone"));
    }
    if domain.contains(['!', '@', '/']) || domain.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(wrong(Setting::SubjectDomain, "is no domain; write it as example.com"));
    }
    same_owner(settings, domain)?;
    Ok(username::UsernameRules { domain: domain.to_owned() }.into())
}

fn uri(settings: &Settings<'_>) -> Result<EntryKind, SettingError> {
    let domain = needed(settings.subject_domain, Setting::SubjectDomain, "write it as https://host")?;
    let Some((scheme, _)) = domain.split_once("://") else {
        return Err(wrong(Setting::SubjectDomain, "has no scheme; write it as https://host"));
    };
    if settings.issuer.split_once("://").is_none_or(|(issuers, _)| issuers != scheme) {
        return Err(wrong(Setting::SubjectDomain, "has another scheme than the issuer"));
    }
    let url = GoUrl::parse(domain).filter(GoUrl::is_plain);
    let url = url.ok_or_else(|| wrong(Setting::SubjectDomain, "is no URL; write it as https://host"))?;
    same_owner(settings, url.host_name())?;
    let rules = uri::UriRules::new(domain);
    rules
        .map(EntryKind::from)
        .ok_or_else(|| wrong(Setting::SubjectDomain, "is no URL; write it as https://host"))
}

fn spiffe(settings: &Settings<'_>) -> Result<EntryKind, SettingError> {
    if settings.is_pattern {
        return Err(wrong(Setting::Kind, "spiffe is not for patterns of issuers; name each issuer"));
    }
    let domain = needed(settings.trust_domain, Setting::TrustDomain, "write it as example.org")?;
    spiffe::SpiffeRules::new(domain)
        .map(EntryKind::from)
        .ok_or_else(|| wrong(Setting::TrustDomain, "is no trust domain; write it as example.org"))
}

/// Whether issuer and domain are one owner's: the same host, or the same last two labels of names. A pattern has several hosts, so
/// its operator is taken at their word.
fn same_owner(settings: &Settings<'_>, domain: &str) -> Result<(), SettingError> {
    if settings.is_pattern {
        return Ok(());
    }
    let issuer = GoUrl::parse(settings.issuer);
    let host = issuer.as_ref().map_or("", GoUrl::host_name);
    let is_address = |host: &str| host.parse::<IpAddr>().is_ok() || host.starts_with('[');
    let last_two = |host: &str| {
        let mut labels = host.rsplit('.').map(str::to_owned);
        Some((labels.next()?, labels.next()?))
    };
    let related = host == domain
        || !is_address(host)
            && !is_address(domain)
            && last_two(host).is_some()
            && last_two(host) == last_two(domain);
    if related {
        return Ok(());
    }
    Err(wrong(
        Setting::SubjectDomain,
        "is not the issuer's host nor a neighbour of it: their last two labels must be the same, as with accounts.example.com and \
         users.example.com",
    ))
}

fn needed<'s>(value: Option<&'s str>, setting: Setting, advice: &str) -> Result<&'s str, SettingError> {
    match value {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(SettingError { setting, is_missing: true, message: advice.to_owned() }),
    }
}

fn wrong(setting: Setting, message: impl Into<String>) -> SettingError {
    SettingError { setting, is_missing: false, message: message.into() }
}
