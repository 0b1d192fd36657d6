//! `broker.roles`: read here, judged by [`Role::check`].

use super::target::Sketch;
use super::{MOST_ROLES, refuse_twice, warnings};
use crate::broker::{self, AccessLevel, Draft, Kind, MAX_ACTIVE, NameTemplate, PathText, Revocation, Role};
use crate::condition::{Condition, Scope};
use crate::config::conditional::condition;
use crate::config::reader::{Field, Section};
use crate::config::values::{self, quoted};
use crate::identity::gitlab::GitlabRules;
use crate::identity::{Issuer, Issuers};
use crate::spelling::nearest;
use std::time::Duration;
use url::Url;

/// What a duration may be at all; what it may be for a role depends on who revokes.
const TTL_BOUNDS: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(1000 * 24 * 3600));
const ACTIVE_BOUNDS: (u32, u32) = (0, 100_000);
const PER_TOKEN_BOUNDS: (u32, u32) = (0, 1000);
/// More scopes than there are.
const MOST_SCOPES: usize = 32;

/// What roles are read against.
struct Reader<'a> {
    targets: &'a [Sketch],
    issuers: Vec<&'a Issuer>,
    scope: Scope,
}

/// All of them, or none where one is wrong.
pub(super) fn read_all(list: &Field<'_>, targets: &[Sketch], issuers: &Issuers) -> Option<Vec<Role>> {
    let items = list.items()?;
    if items.is_empty() || items.len() > MOST_ROLES {
        list.error(format!("has {} roles; 1 to {MOST_ROLES} are possible", items.len()));
        return None;
    }
    let reader = Reader { targets, issuers: gitlabs(issuers), scope: broker::scope() };
    // Without any issuer at all there is an error already.
    if reader.issuers.is_empty() && !issuers.is_empty() {
        list.error(
            "are for jobs of GitLab, and issuers lists none: write an entry with type: gitlab-pipeline",
        );
        return None;
    }
    let read: Vec<_> = items.iter().map(|item| reader.read(item)).collect();
    let unique = refuse_twice(&items, read.iter().map(|read| read.name.as_deref()), "role");
    let roles = read.into_iter().map(|read| read.role).collect::<Option<Vec<_>>>().filter(|_| unique)?;
    for (role, item) in roles.iter().zip(&items) {
        warnings::of_role(role, item);
    }
    Some(roles)
}

struct Read {
    name: Option<String>,
    role: Option<Role>,
}

impl Reader<'_> {
    fn read(&self, item: &Field<'_>) -> Read {
        let Some(section) = item.section() else { return Read { name: None, role: None } };
        let name = section
            .require("name", "jobs ask for the role by it")
            .and_then(|field| field.text().map(str::to_owned));
        let target = self.target(&section);
        let kinds = || Kind::ALL.iter().map(|kind| kind.code());
        let draft = Draft {
            name: name.clone(),
            issuer: self
                .issuer(&section, target)
                .filter(|issuer| is_of_target(&section, issuer, target))
                .map(|issuer| issuer.url.clone()),
            target: target.and_then(|target| target.name.clone()),
            hosting: target.and_then(|target| target.hosting),
            kind: section
                .require("kind", &format!("there are {}", kinds().collect::<Vec<_>>().join(", ")))
                .and_then(|field| field.parse(kind)),
            path: match section.get("path") {
                Some(field) => read_path_text(&field).map(Some),
                None => (!section.has("path")).then_some(None),
            },
            scopes: match section.get("scopes") {
                Some(field) => read_scopes(&field),
                None => (!section.has("scopes")).then(Vec::new),
            },
            access_level: match section.get("access_level") {
                Some(field) => field.parse(access_level).map(Some),
                None => (!section.has("access_level")).then_some(None),
            },
            ttl: section
                .require("ttl", "write how long its tokens live, 5m for instance")
                .and_then(|field| field.parse_scalar(|text| values::duration(text, TTL_BOUNDS))),
            max_ttl: match section.get("max_ttl") {
                Some(field) => field.parse_scalar(|text| values::duration(text, TTL_BOUNDS)).map(Some),
                None => Some(None),
            },
            revocation: match section.get("revoke") {
                Some(field) => field.parse(revocation),
                None => Some(Revocation::default()),
            },
            token_name: match section.get("token_name") {
                Some(field) => field.text().map(str::to_owned),
                None => Some(NameTemplate::DEFAULT.to_owned()),
            },
            when: section
                .require(
                    "when",
                    "write for which jobs it is: claims.project_path == \"acme/app\" for instance",
                )
                .and_then(|field| condition(&field, |source| Condition::compile(source, &self.scope))),
            max_active: match section.get("max_active") {
                Some(field) => field.parse_scalar(|text| values::whole_number(text, ACTIVE_BOUNDS)),
                None => Some(MAX_ACTIVE),
            },
            max_active_per_project: match section.get("max_active_per_project") {
                Some(field) => field.parse_scalar(|text| values::whole_number(text, ACTIVE_BOUNDS)).map(Some),
                None => Some(None),
            },
            max_per_token: match section.get("max_per_token") {
                Some(field) => field.parse_scalar(|text| values::whole_number(text, PER_TOKEN_BOUNDS)),
                None => Some(1),
            },
            allow_admin: section.get("allow_admin").map_or(Some(false), |field| field.boolean()),
        };
        section.report_unknown();
        let role = Role::check(draft).map_err(|faults| {
            for fault in faults {
                section.error_at(fault.key, fault.message);
            }
        });
        Read { name, role: role.ok() }
    }

    /// The target that it names, or the only one. Where a target could not be read, nothing is said of its name.
    fn target(&self, section: &Section<'_>) -> Option<&Sketch> {
        let names =
            || self.targets.iter().filter_map(|target| target.name.as_deref()).collect::<Vec<_>>().join(", ");
        let Some(field) = section.get("target") else {
            return match self.targets {
                _ if section.has("target") => None,
                [] => None,
                [first, rest @ ..] if rest.iter().all(|target| target.name == first.name) => Some(first),
                _ => {
                    section.error_at("target", format!("is missing; there are {}", names()));
                    None
                }
            };
        };
        let name = field.text()?;
        let found = self.targets.iter().find(|target| target.name.as_deref() == Some(name));
        if found.is_none()
            && self.targets.iter().all(|target| target.name.is_some())
            && !self.targets.is_empty()
        {
            field.error(format!("{} is no target; there are {}", quoted(name), names()));
        }
        found
    }

    /// The issuer that it names; else the one that the target says it is, the only GitLab, or the one at the target's URL.
    fn issuer<'i>(&'i self, section: &Section<'_>, target: Option<&Sketch>) -> Option<&'i Issuer> {
        let names = || self.issuers.iter().map(|issuer| &*issuer.url).collect::<Vec<_>>().join(", ");
        if let Some(field) = section.get("issuer") {
            let url = field.text()?;
            if let Some(issuer) = self.named(url) {
                return Some(issuer);
            }
            field.error(not_listed(url, &self.issuers));
            return None;
        }
        if section.has("issuer") {
            return None;
        }
        match self.issuers.as_slice() {
            [] => return None,
            _ if target.is_some_and(|target| target.issuer.is_some()) => {
                return target.and_then(|target| self.named(target.issuer.as_deref()?));
            }
            [issuer] => return Some(issuer),
            _ => {}
        }
        let url = target?.url.as_deref()?;
        let of_target = self.issuers.iter().find(|issuer| is_at(issuer, url));
        if of_target.is_none() {
            section.error_at(
                "issuer",
                format!(
                    "is missing; a project's path is somebody else's at another GitLab, and there are {}",
                    names()
                ),
            );
        }
        of_target.copied()
    }

    fn named(&self, url: &str) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.url == url).copied()
    }
}

/// Whether jobs of this issuer are jobs of the target's instance, by the URLs or because the operator says so of the target. The number of a project
/// or user, and a path, are somebody else's at another GitLab.
fn is_of_target(section: &Section<'_>, issuer: &Issuer, target: Option<&Sketch>) -> bool {
    let Some(Sketch { name: Some(name), url: Some(url), issuer: said, .. }) = target else { return true };
    let same = match said {
        Some(said) => *said == issuer.url,
        None => is_at(issuer, url),
    };
    if !same {
        let told = if said.is_some() { "says that it is another issuer's" } else { "is at another URL" };
        section.error_at(
            "issuer",
            format!(
                "is {}, and target {name} {told} ({}), where users and projects have other numbers; name the target of that GitLab, or, if both are one \
                 GitLab, write issuer: {} into the target",
                issuer.url,
                said.as_deref().unwrap_or(url),
                issuer.url
            ),
        );
    }
    same
}

/// The issuers that are GitLabs.
pub(super) fn gitlabs(issuers: &Issuers) -> Vec<&Issuer> {
    let is_gitlab =
        |issuer: &&Issuer| issuer.entries.iter().any(|entry| entry.kind.as_type::<GitlabRules>().is_some());
    issuers.iter().filter(is_gitlab).collect()
}

/// The words of an issuer that is not one of these.
pub(super) fn not_listed(url: &str, issuers: &[&Issuer]) -> String {
    let names: Vec<_> = issuers.iter().map(|issuer| &*issuer.url).collect();
    format!("{} is not listed as a GitLab; there are {}", quoted(url), names.join(", "))
}

/// Whether tokens of this issuer are of the GitLab at this URL.
fn is_at(issuer: &Issuer, url: &str) -> bool {
    let instances = issuer.entries.iter().filter_map(|entry| entry.kind.as_type::<GitlabRules>());
    let mut urls = instances.map(|gitlab| gitlab.instance_url.as_deref().unwrap_or(&issuer.url));
    urls.any(|instance| is_same_instance(instance, url))
}

/// Scheme, host, port and path, as RFC 3986 §6.2 compares them, whatever slash is at the end.
fn is_same_instance(one: &str, other: &str) -> bool {
    let parse = |url: &str| Url::parse(url.trim_end_matches('/')).ok();
    parse(one).is_some_and(|one| parse(other) == Some(one))
}

fn read_path_text(field: &Field<'_>) -> Option<PathText> {
    if field.word().is_some() {
        // A number is a path too.
        return field.word().map(|text| PathText::Made(text.to_owned()));
    }
    let section = field.section()?;
    let requested =
        section.require("requested", "write a regular expression that has to match the whole path");
    section.report_unknown();
    requested?.text().map(|pattern| PathText::Requested(pattern.to_owned()))
}

fn read_scopes(field: &Field<'_>) -> Option<Vec<String>> {
    let items = field.items()?;
    if items.len() > MOST_SCOPES {
        field.error(format!("has {} scopes; there are fewer", items.len()));
        return None;
    }
    items.iter().map(|item| item.text().map(str::to_owned)).collect()
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::parse(text).ok_or_else(|| {
        let known = || Kind::ALL.iter().map(|kind| kind.code());
        match nearest(text, known(), |_| 2) {
            Some(meant) => format!("{} is no kind of token; did you mean {meant}?", quoted(text)),
            None => {
                format!(
                    "{} is no kind of token; there are {}",
                    quoted(text),
                    known().collect::<Vec<_>>().join(", ")
                )
            }
        }
    })
}

fn access_level(text: &str) -> Result<AccessLevel, String> {
    AccessLevel::parse(text).ok_or_else(|| {
        let known: Vec<_> = AccessLevel::ALL.iter().map(|level| level.code()).collect();
        format!("{} is no access level; there are {}", quoted(text), known.join(", "))
    })
}

fn revocation(text: &str) -> Result<Revocation, String> {
    match text {
        "broker" => Ok(Revocation::Broker),
        "gitlab" => Ok(Revocation::Gitlab),
        _ => Err(format!("{} ends no token; write broker or gitlab", quoted(text))),
    }
}
