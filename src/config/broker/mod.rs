//! `broker:`, the token broker; off where it is absent.
//!
//! Everything about roles that can be known without their GitLab is checked here, so that a running broker has no role that never works.

mod role;
mod target;
mod warnings;

pub use target::{CredentialSource, TargetConfig};

use super::reader::{Field, Section};
use super::{read_secret, values};
use crate::broker::{Kind, Roles};
use crate::identity::Issuers;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use target::Sketch;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long ended leases stay listed.
const KEEP_BOUNDS: (Duration, Duration) = (HOUR, Duration::from_secs(366 * 24 * 3600));
const DEFAULT_KEEP: Duration = Duration::from_secs(30 * 24 * 3600);
/// Attempts of one project in a minute.
const RATE_BOUNDS: (u32, u32) = (1, 60_000);
const DEFAULT_RATE: u32 = 60;
/// More instances than anybody has, and more roles.
const MOST_TARGETS: usize = 64;
const MOST_ROLES: usize = 1000;
/// The longest audience, in octets.
const LONGEST_AUDIENCE: usize = 255;

/// `broker:`
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// The instances. Never empty.
    pub targets: Vec<TargetConfig>,
    /// The file of the key that main credentials are sealed with in the store: 32 octets in hex. There where a target rotates, or has its
    /// credential in the store.
    pub seal_key: Option<PathBuf>,
    /// How long ended leases stay listed.
    pub keep: Duration,
    /// Whether every live lease is revoked before the server stops.
    pub drain: bool,
    /// How often a project may ask for a token, in a minute.
    pub rate_per_project: u32,
    /// Who gets which tokens, with the audience, and the role of `GET /token`. The one part that a running server takes over.
    pub roles: Arc<Roles>,
}

impl BrokerConfig {
    /// The keys in which another configuration differs, and which a running server cannot take over.
    pub(super) fn keys_that_need_a_restart(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        let differences = [
            ("broker.targets", self.targets != other.targets),
            ("broker.seal_key", self.seal_key != other.seal_key),
            ("broker.keep", self.keep != other.keep),
            ("broker.drain", self.drain != other.drain),
            ("broker.rate_per_project", self.rate_per_project != other.rate_per_project),
        ];
        differences.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key)
    }
}

/// The section's value. `public_url`: what clients call the server.
pub(super) fn read(
    section: &Section<'_>,
    directory: &Path,
    issuers: &Issuers,
    public_url: Option<&str>,
) -> Option<BrokerConfig> {
    let audience = section
        .require("audience", "write the only audience that jobs' ID tokens may have here, https://ca.example.com/broker for instance")
        .and_then(|field| read_audience(&field, issuers));
    let keep = match section.get("keep") {
        Some(field) => field.parse_scalar(|text| values::duration(text, KEEP_BOUNDS)),
        None => Some(DEFAULT_KEEP),
    };
    let drain = section.get("drain").map_or(Some(false), |field| field.boolean());
    let rate_per_project = match section.get("rate_per_project") {
        Some(field) => field.parse_scalar(|text| values::whole_number(text, RATE_BOUNDS)),
        None => Some(DEFAULT_RATE),
    };
    let (targets, sketches) = section
        .require("targets", "write the GitLab whose tokens are handed out: [{ name: default, url: …, token: { file: gitlab.token } }]")
        .map_or_else(|| (None, Vec::new()), |field| target::read_all(&field, directory, issuers));
    let needs_key = sketches.iter().find_map(|target| match target {
        Sketch { rotates: true, .. } => Some("a target rotates, and its new credential is sealed with it"),
        Sketch { is_sealed: true, .. } => Some("a target's token is sealed with it"),
        _ => None,
    });
    let seal_key = match section.get("seal_key") {
        Some(field) => {
            read_secret(&field, directory, "; `countersign broker seal-key FILE` makes one").map(Some)
        }
        None => {
            if let Some(why) = needs_key
                && !section.has("seal_key")
            {
                section.error_at(
                    "seal_key",
                    format!("is missing; {why}. `countersign broker seal-key FILE` makes one"),
                );
            }
            Some(None)
        }
    };
    let roles = section
        .require("roles", "write who gets which tokens")
        .and_then(|field| role::read_all(&field, &sketches, issuers));
    let compat = match section.get("compat") {
        Some(field) => read_compat(&field, roles.as_deref()).map(Some),
        None => Some(None),
    };
    section.report_unknown();
    if let (Some(targets), Some(roles)) = (&targets, &roles) {
        warnings::of_unused(section, targets, roles);
    }
    if public_url.is_some_and(values::is_exposed) {
        section.warning("hands tokens out in the clear, because public_url is plain http");
    }
    let roles = Roles::new(audience?, roles?).with_compat(compat?);
    Some(BrokerConfig {
        targets: targets?,
        seal_key: seal_key?,
        keep: keep?,
        drain: drain?,
        rate_per_project: rate_per_project?,
        roles: Arc::new(roles),
    })
}

/// An audience that buys nothing else: a token for a certificate must not buy a token of GitLab's, nor the other way round.
fn read_audience(field: &Field<'_>, issuers: &Issuers) -> Option<String> {
    let audience = field.parse(|text| {
        if text.is_empty() || text.len() > LONGEST_AUDIENCE {
            return Err(format!("has {} octets; 1 to {LONGEST_AUDIENCE} are possible", text.len()));
        }
        if text.contains(|character: char| character.is_whitespace() || character.is_control()) {
            return Err("has a space or a control character in it".to_owned());
        }
        Ok(text.to_owned())
    })?;
    let exact = issuers.iter().map(|issuer| (&*issuer.url, &*issuer.entries));
    let patterns = issuers.patterns().iter().map(|pattern| (pattern.text(), pattern.entries()));
    let clash =
        exact.chain(patterns).find(|(_, entries)| entries.iter().any(|entry| entry.audience == audience));
    if let Some((issuer, _)) = clash {
        field.error(format!(
            "is the audience of {issuer} too, so a token for certificates would buy tokens of GitLab's; give the broker one of its own"
        ));
        return None;
    }
    Some(audience)
}

/// `compat: { role: ci }`. `roles` is `None` where they are wrong themselves.
fn read_compat(field: &Field<'_>, roles: Option<&[crate::broker::Role]>) -> Option<String> {
    let section = field.section()?;
    let role = section.require("role", "name the role whose tokens GET /token gives");
    section.report_unknown();
    let role = role?;
    let name = role.text()?;
    let Some(found) = roles?.iter().find(|known| known.name() == name) else {
        role.error(format!("{} is no role", values::quoted(name)));
        return None;
    };
    if matches!(found.kind(), Kind::ProjectDeploy | Kind::GroupDeploy) {
        role.error(format!(
            "{} gives deploy tokens, whose user name is not in the body that clients of GET /token read; name another role",
            values::quoted(name)
        ));
        return None;
    }
    if found.path().is_requested() {
        role.error(format!(
            "{} wants a path, which GET /token does not say; name another role",
            values::quoted(name)
        ));
        return None;
    }
    Some(name.to_owned())
}

/// Names that stand in two items of a list.
fn refuse_twice<'n>(items: &[Field<'_>], names: impl Iterator<Item = Option<&'n str>>, what: &str) -> bool {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut unique = true;
    for (item, name) in items.iter().zip(names) {
        let Some(name) = name else { continue };
        if let Some(first) = seen.insert(name, item.line()) {
            item.error(format!("has the name of the {what} on line {first}: {name}; give it one of its own"));
            unique = false;
        }
    }
    unique
}
