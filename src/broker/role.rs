//! A role: which token, for whom.

use super::scopes::{ScopeFault, check_since};
use super::{AccessLevel, GitlabVersion, Hosting, Kind, NameTemplate, PathRule, check_scopes};
use crate::condition::{Condition, Member, Pin, Record, Scope, Type};
use crate::identity::IdentityType;
use crate::identity::gitlab::GitlabRules;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The shortest life of a token.
pub const SHORTEST_TTL: Duration = Duration::from_secs(10);
/// The longest one that the broker ends itself.
pub const LONGEST_TTL: Duration = Duration::from_secs(24 * 3600);
/// The longest one that GitLab ends: it takes no later date.
pub const LONGEST_AT_GITLAB: Duration = Duration::from_secs(365 * 24 * 3600);
/// The default of `max_active`.
pub const MAX_ACTIVE: u32 = 100;
/// Where a role is for groups, a project has this part of `max_active` unless the role says more or less.
const SHARE: u32 = 4;
/// The longest name of a role, in octets.
const LONGEST_NAME: usize = 64;

/// Who ends a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revocation {
    /// The broker does, to the second; GitLab's own expiry is the net below it.
    #[default]
    Broker,
    /// GitLab does, at a midnight.
    Gitlab,
}

/// The path as a role writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathText {
    /// With claims in braces.
    Made(String),
    /// A regular expression for what jobs ask for.
    Requested(String),
}

/// A role as it is written: what is `None` and has no default could not be read, and somebody has said so already.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// `name`
    pub name: Option<String>,
    /// The issuer whose jobs it is for, byte for byte.
    pub issuer: Option<String>,
    /// `target`
    pub target: Option<String>,
    /// How the target is run.
    pub hosting: Option<Hosting>,
    /// `kind`
    pub kind: Option<Kind>,
    /// `path`; `Some(None)`: there is none.
    pub path: Option<Option<PathText>>,
    /// `scopes`
    pub scopes: Option<Vec<String>>,
    /// `access_level`; `Some(None)`: there is none.
    pub access_level: Option<Option<AccessLevel>>,
    /// `ttl`
    pub ttl: Option<Duration>,
    /// `max_ttl`; `Some(None)`: as `ttl`.
    pub max_ttl: Option<Option<Duration>>,
    /// `revoke`
    pub revocation: Option<Revocation>,
    /// `token_name`
    pub token_name: Option<String>,
    /// `when`
    pub when: Option<Condition>,
    /// `max_active`
    pub max_active: Option<u32>,
    /// `max_active_per_project`; `Some(None)`: a part of `max_active` where the role is for groups, else all of it.
    pub max_active_per_project: Option<Option<u32>>,
    /// `max_per_token`
    pub max_per_token: Option<u32>,
    /// `allow_admin`
    pub allow_admin: Option<bool>,
}

/// Something that is wrong with a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} {message}")]
pub struct RoleFault {
    /// The key in configurations.
    pub key: &'static str,
    /// What, in words that follow the key's name.
    pub message: String,
}

/// A role that was checked.
#[derive(Clone, Debug)]
pub struct Role {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) target: String,
    pub(super) kind: Kind,
    pub(super) path: PathRule,
    pub(super) scopes: Vec<String>,
    pub(super) access_level: Option<AccessLevel>,
    pub(super) ttl: Duration,
    pub(super) max_ttl: Duration,
    pub(super) revocation: Revocation,
    pub(super) token_name: NameTemplate,
    pub(super) when: Condition,
    pub(super) pin: Pin,
    pub(super) max_active: u32,
    pub(super) max_active_per_project: u32,
    pub(super) max_per_token: u32,
    pub(super) allow_admin: bool,
}

/// What a role's `when` may name: `claims` as the rules of the CA have them, `issuer`, and `request.path`, which is `""` where none was asked
/// for.
pub fn scope() -> Scope {
    let request = Record::of([("path", Member::always(Type::Text))]);
    Scope::of([
        ("claims", Member::record(GitlabRules::default().claims(), true)),
        ("issuer", Member::always(Type::Text)),
        ("request", Member::record(request, true)),
    ])
}

/// Collects faults.
#[derive(Default)]
struct Faults(Vec<RoleFault>);

impl Faults {
    fn add(&mut self, key: &'static str, message: impl Into<String>) {
        self.0.push(RoleFault { key, message: message.into() });
    }

    /// The value, or its fault.
    fn take<T, E: ToString>(&mut self, key: &'static str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(key, error.to_string())).ok()
    }
}

impl Role {
    /// Checks everything about a role that can be known before its GitLab is asked.
    ///
    /// # Errors
    /// All of it at once. Nothing, where something could not be read.
    pub fn check(draft: Draft) -> Result<Self, Vec<RoleFault>> {
        let mut faults = Faults::default();
        let role = check(draft, &mut faults);
        role.filter(|_| faults.0.is_empty()).ok_or(faults.0)
    }

    /// What a target of this version does not have.
    pub fn check_version(&self, version: GitlabVersion) -> Vec<ScopeFault> {
        check_since(self.kind, &self.scopes, self.access_level, version)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The issuer whose jobs it is for.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The instance.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The kind of token.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whose.
    pub const fn path(&self) -> &PathRule {
        &self.path
    }

    /// The most that its tokens may do.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The access level, where the kind has one.
    pub const fn access_level(&self) -> Option<AccessLevel> {
        self.access_level
    }

    /// How long its tokens live, where nobody asks for something else.
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How long they live at the most.
    pub const fn max_ttl(&self) -> Duration {
        self.max_ttl
    }

    /// Who ends them.
    pub const fn revocation(&self) -> Revocation {
        self.revocation
    }

    /// Who may have them.
    pub const fn when(&self) -> &Condition {
        &self.when
    }

    /// How much of its issuer that is, at the widest.
    pub const fn pin(&self) -> Pin {
        self.pin
    }

    /// How many of its tokens may live at once.
    pub const fn max_active(&self) -> u32 {
        self.max_active
    }

    /// How many of those one project may have.
    pub const fn max_active_per_project(&self) -> u32 {
        self.max_active_per_project
    }

    /// How many of them one ID token may have.
    pub const fn max_per_token(&self) -> u32 {
        self.max_per_token
    }

    /// Whether a user may be an administrator, whose tokens can do everything.
    pub const fn allow_admin(&self) -> bool {
        self.allow_admin
    }
}

fn check(draft: Draft, faults: &mut Faults) -> Option<Role> {
    let name = draft.name.and_then(|name| faults.take("name", check_name(&name).map(|()| name)));
    if let (Some(hosting), Some(kind)) = (draft.hosting, draft.kind)
        && let Some(why) = hosting.refuses(kind)
    {
        faults.add("kind", format!("is {kind}, which {why}"));
    }
    let path = match (draft.kind, draft.path) {
        (Some(kind), Some(path)) => check_path_rule(kind, path, faults),
        _ => None,
    };
    if let (Some(kind), Some(scopes)) = (draft.kind, &draft.scopes) {
        for fault in check_scopes(kind, scopes, None) {
            faults.add("scopes", fault.to_string());
        }
    }
    if let (Some(kind), Some(level)) = (draft.kind, draft.access_level) {
        match (kind.has_access_level(), level) {
            (true, None) => faults.add("access_level", "is missing; write guest, planner, reporter, security_manager, developer, maintainer or owner"),
            (false, Some(_)) => faults.add("access_level", format!("is for projects' and groups' own tokens, not for {kind}; remove it")),
            _ => {}
        }
    }
    check_ttl(draft.ttl, draft.max_ttl, draft.revocation, faults);
    if draft.revocation == Some(Revocation::Gitlab)
        && let Some(kind) = draft.kind.filter(|kind| !kind.expires_at_gitlab())
    {
        faults.add("revoke", format!("is gitlab, and GitLab never ends a {kind}; write broker"));
    }
    let token_name = draft.token_name.and_then(|text| faults.take("token_name", NameTemplate::parse(&text)));
    let pin = draft.when.as_ref().and_then(|when| {
        let pins = when.pins().map_err(|unpinned| {
            format!(
                "does not say whose jobs: {unpinned}; compare claims.project_path, project_id, namespace_path, namespace_id or sub with what you \
                 write out, by ==, in, or startsWith(\"group/\") with its slash"
            )
        });
        faults.take("when", pins)
    });
    let of_project = draft.max_active_per_project.flatten();
    for (key, number) in [
        ("max_active", draft.max_active),
        ("max_active_per_project", of_project),
        ("max_per_token", draft.max_per_token),
    ] {
        if number == Some(0) {
            faults.add(key, "is 0, so that nobody would get a token; remove the role");
        }
    }
    if let (Some(all), Some(of_project)) = (draft.max_active, of_project)
        && all > 0
        && of_project > all
    {
        faults.add("max_active_per_project", "is more than max_active, which bounds it");
    }
    if let (Some(kind), Some(true)) = (draft.kind, draft.allow_admin)
        && !matches!(kind, Kind::Impersonation | Kind::Personal)
    {
        faults.add("allow_admin", format!("is for users' tokens, not for {kind}; remove it"));
    }
    let (ttl, pin, max_active) = (draft.ttl?, pin?, draft.max_active?);
    let share = match pin {
        Pin::Project => max_active,
        // Whoever makes a project in the group must not take the places of all others.
        Pin::Namespace => max_active.div_ceil(SHARE),
    };
    Some(Role {
        name: name?,
        issuer: draft.issuer?,
        target: draft.target?,
        kind: draft.kind?,
        path: path?,
        scopes: draft.scopes?,
        access_level: draft.access_level?,
        ttl,
        max_ttl: draft.max_ttl?.unwrap_or(ttl),
        revocation: draft.revocation?,
        token_name: token_name?,
        when: draft.when?,
        pin,
        max_active,
        max_active_per_project: draft.max_active_per_project?.unwrap_or(share),
        max_per_token: draft.max_per_token?,
        allow_admin: draft.allow_admin?,
    })
}

/// `[A-Za-z0-9_][A-Za-z0-9_.-]*`
fn check_name(name: &str) -> Result<(), String> {
    let word = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'_';
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(format!("has {} octets; 1 to {LONGEST_NAME} are possible", name.len()));
    }
    let octets = name.as_bytes();
    let sound = octets.first().is_some_and(word)
        && octets.iter().all(|octet| word(octet) || matches!(octet, b'.' | b'-'));
    if sound {
        return Ok(());
    }
    Err("begins with a letter, a digit or _, and has those, full stops and hyphens behind it".to_owned())
}

fn check_path_rule(kind: Kind, path: Option<PathText>, faults: &mut Faults) -> Option<PathRule> {
    match (kind, path) {
        (Kind::Impersonation, None) => Some(PathRule::of_user()),
        (Kind::Impersonation, Some(_)) => {
            faults.add(
                "path",
                "is not for impersonation, which is of the user who triggered the job; remove it",
            );
            None
        }
        (Kind::UserServiceAccount, Some(PathText::Made(text))) if !text.contains('{') => {
            faults.take("path", PathRule::parse(kind, &text))
        }
        (Kind::UserServiceAccount, Some(_)) => {
            faults.add(
                "path",
                "must be written out: GitLab makes such a token for every user, administrators too, and does not say which are service accounts",
            );
            None
        }
        (_, Some(PathText::Made(text))) => faults.take("path", PathRule::parse(kind, &text)),
        (_, Some(PathText::Requested(pattern))) => faults.take("path", PathRule::requested(&pattern)),
        (_, None) => {
            faults.add("path", "is missing; write whose token it is, \"{project_path}\" for instance");
            None
        }
    }
}

fn check_ttl(
    ttl: Option<Duration>,
    max_ttl: Option<Option<Duration>>,
    revocation: Option<Revocation>,
    faults: &mut Faults,
) {
    let Some(revocation) = revocation else { return };
    let (least, most, words) = match revocation {
        Revocation::Broker => (SHORTEST_TTL, LONGEST_TTL, "10s to 24h is possible where the broker revokes"),
        Revocation::Gitlab => (
            LONGEST_TTL,
            LONGEST_AT_GITLAB,
            "24h to 365d is possible where GitLab ends it, which it does at midnight",
        ),
    };
    for (key, value) in [("ttl", ttl), ("max_ttl", max_ttl.flatten())] {
        if value.is_some_and(|value| value < least || value > most || value.subsec_nanos() > 0) {
            faults.add(key, format!("is out of bounds; {words}"));
        }
    }
    if let (Some(ttl), Some(Some(max_ttl))) = (ttl, max_ttl)
        && max_ttl < ttl
    {
        faults.add("max_ttl", "is less than ttl, which it bounds");
    }
}
