//! What the make-believe GitLab knows: users, projects, groups, tokens, and the rules about who may what until when.

use super::ask::Ask;
use super::reply::Reply;
use chrono::{DateTime, Days, NaiveDate};
use countersign::environment::UnixMillis;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How far ahead a token's end may be.
const MOST_DAYS: u64 = 365;

pub const USER_SCOPES: [&str; 15] = [
    "api",
    "read_api",
    "read_user",
    "read_repository",
    "write_repository",
    "read_registry",
    "write_registry",
    "sudo",
    "admin_mode",
    "create_runner",
    "manage_runner",
    "ai_features",
    "k8s_proxy",
    "self_rotate",
    "read_service_ping",
];
pub const RESOURCE_SCOPES: [&str; 11] = [
    "api",
    "read_api",
    "read_repository",
    "write_repository",
    "read_registry",
    "write_registry",
    "create_runner",
    "manage_runner",
    "ai_features",
    "k8s_proxy",
    "self_rotate",
];
pub const DEPLOY_SCOPES: [&str; 5] =
    ["read_repository", "read_registry", "write_registry", "read_package_registry", "write_package_registry"];

/// A project or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Project(u64),
    Group(u64),
}

impl Place {
    /// The word in GitLab's messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Project(_) => "project",
            Self::Group(_) => "group",
        }
    }

    pub const fn id(self) -> u64 {
        match self {
            Self::Project(id) | Self::Group(id) => id,
        }
    }
}

/// A user, a bot or a service account.
#[derive(Clone, Debug)]
pub struct User {
    pub id: u64,
    pub username: String,
    pub is_admin: bool,
    pub is_bot: bool,
    pub state: &'static str,
    /// Where a service account belongs to; `None`: to the instance, or it is none.
    pub of: Option<Place>,
    pub is_service_account: bool,
}

/// Which of GitLab's tables a token is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Personal tokens, those of service accounts among them.
    Personal,
    /// Personal tokens made for somebody else to act as them.
    Impersonation,
    /// Of a project's or group's bot: a personal token too.
    Access(Place),
    Deploy(Place),
    /// Of a project.
    Trigger(u64),
}

/// A token.
#[derive(Clone, Debug)]
pub struct Token {
    pub table: Table,
    pub id: u64,
    pub user_id: u64,
    pub name: String,
    pub text: String,
    pub scopes: Vec<String>,
    pub access_level: Option<u64>,
    pub created: UnixMillis,
    /// The day on which it is no good any more.
    pub expires: Option<NaiveDate>,
    /// Of deploy tokens: the moment.
    pub expires_at: Option<String>,
    pub revoked: bool,
    /// The first token of its rotations.
    pub family: u64,
    /// There from the beginning: no test has to end it.
    pub is_standing: bool,
}

/// Everything.
pub struct World {
    pub base: String,
    pub version: String,
    pub enterprise: bool,
    pub now: UnixMillis,
    pub users: BTreeMap<u64, User>,
    /// With their full paths.
    pub places: BTreeMap<Place, String>,
    /// Maintainers and owners; administrators need not be.
    pub members: Vec<(u64, Place)>,
    /// Who sees a place and may make no tokens in it.
    pub guests: Vec<(u64, Place)>,
    pub tokens: Vec<Token>,
    pub made: u64,
    /// Random, so that no token is another test's.
    pub salt: [u8; 32],
}

/// Who asks, and with which token.
#[derive(Clone, Debug)]
pub struct Caller {
    pub user: User,
    pub token: Token,
}

pub fn day(now: UnixMillis) -> NaiveDate {
    let seconds = i64::try_from(now.as_secs()).expect("a time");
    DateTime::from_timestamp(seconds, 0).expect("a time").date_naive()
}

impl World {
    pub fn user(&mut self, username: &str) -> &mut User {
        let id = self.users.keys().next_back().map_or(1, |last| last + 1);
        let user = User {
            id,
            username: username.to_owned(),
            is_admin: false,
            is_bot: false,
            state: "active",
            of: None,
            is_service_account: false,
        };
        self.users.entry(id).or_insert(user)
    }

    pub fn token_text(&mut self, prefix: &str) -> String {
        use base64::Engine as _;
        use base64::prelude::BASE64_URL_SAFE_NO_PAD;
        self.made += 1;
        let seed = [self.salt.as_slice(), &self.made.to_be_bytes()].concat();
        let text = BASE64_URL_SAFE_NO_PAD.encode(countersign::transparency::sha256(&seed));
        format!("{prefix}-{}", &text[..27])
    }

    /// The next number in the table: personal, impersonation and access tokens share one.
    pub fn next_id(&self, table: Table) -> u64 {
        let sort = |table: Table| match table {
            Table::Personal | Table::Impersonation | Table::Access(_) => 0,
            Table::Deploy(_) => 1,
            Table::Trigger(_) => 2,
        };
        let same = self.tokens.iter().filter(|token| sort(token.table) == sort(table));
        same.map(|token| token.id).max().unwrap_or(0) + 1
    }

    pub fn today(&self) -> NaiveDate {
        day(self.now)
    }

    pub fn is_expired(&self, token: &Token) -> bool {
        token.expires.is_some_and(|expires| expires <= self.today())
            || token
                .expires_at
                .as_deref()
                .and_then(|at| DateTime::parse_from_rfc3339(at).ok())
                .is_some_and(|at| u64::try_from(at.timestamp_millis()).is_ok_and(|at| at <= self.now.0))
    }

    /// Whether it would open anything.
    pub fn is_live(&self, token: &Token) -> bool {
        let place = match token.table {
            Table::Access(place) | Table::Deploy(place) => Some(place),
            Table::Trigger(project) => Some(Place::Project(project)),
            Table::Personal | Table::Impersonation => None,
        };
        let user = self.users.get(&token.user_id).is_some_and(|user| user.state == "active");
        let has_user = matches!(token.table, Table::Deploy(_) | Table::Trigger(_)) || user;
        !token.revoked
            && !self.is_expired(token)
            && has_user
            && place.is_none_or(|place| self.places.contains_key(&place))
    }

    /// Whether this GitLab is at least that new.
    pub fn since(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self.version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
    }

    /// The caller, or 401; sudo is looked at.
    pub fn caller(&mut self, ask: &Ask) -> Result<Caller, Reply> {
        let text = ask.credential.as_deref().ok_or_else(Reply::unauthorized)?;
        let bearer = |table| matches!(table, Table::Personal | Table::Impersonation | Table::Access(_));
        let found = self.tokens.iter().find(|token| token.text == text && bearer(token.table));
        let token = found.cloned().ok_or_else(Reply::unauthorized)?;
        if token.revoked {
            if ask.uri.ends_with("/self/rotate") {
                self.revoke_family(token.family);
            }
            return Err(Reply::invalid_token("Token was revoked. You have to re-authorize from the user."));
        }
        if self.is_expired(&token) {
            let words = "Token is expired. You can either do re-authorization or token refresh.";
            return Err(Reply::invalid_token(words));
        }
        let user = self.users.get(&token.user_id).filter(|user| user.state == "active").cloned();
        let user = user.ok_or_else(Reply::unauthorized)?;
        let reads = ask.method == axum::http::Method::GET;
        let own = ask.uri.contains("/personal_access_tokens/self");
        let has = |scope: &str| token.scopes.iter().any(|one| one == scope);
        if !(own || has("api") || (reads && has("read_api"))) {
            return Err(Reply::insufficient_scope("api"));
        }
        let user = match &ask.sudo {
            None => user,
            Some(_) if !user.is_admin => {
                return Err(Reply::message(403, "403 Forbidden - Must be admin to use sudo"));
            }
            Some(_) if !has("sudo") => return Err(Reply::insufficient_scope("sudo")),
            Some(other) => {
                let other = other.as_str();
                let is = |user: &&User| user.username == other || user.id.to_string() == other;
                let found = self.users.values().find(is).cloned();
                found.ok_or_else(|| Reply::not_found(&format!("User with ID or username '{other}'")))?
            }
        };
        Ok(Caller { user, token })
    }

    /// The caller, who must be an administrator.
    pub fn administrator(&mut self, ask: &Ask) -> Result<Caller, Reply> {
        let caller = self.caller(ask)?;
        if caller.user.is_admin { Ok(caller) } else { Err(Reply::forbidden()) }
    }

    /// A project or group by number or path, for whoever may see it.
    pub fn place(&mut self, ask: &Ask, is_project: bool) -> Result<(Caller, Place), Reply> {
        let caller = self.caller(ask)?;
        let wanted = ask.parameter("id");
        let number: Option<u64> = wanted.parse().ok();
        let is = |(place, path): &(&Place, &String)| {
            matches!(place, Place::Project(_)) == is_project
                && number.map_or_else(|| path.eq_ignore_ascii_case(wanted), |number| place.id() == number)
        };
        let found = self.places.iter().find(is).map(|(place, _)| *place);
        let seen = found.filter(|place| {
            let guest = self.guests.contains(&(caller.user.id, *place));
            caller.user.is_admin || guest || self.is_member(caller.user.id, *place)
        });
        let what = if is_project { "Project" } else { "Group" };
        seen.map(|place| (caller, place)).ok_or_else(|| Reply::not_found(what))
    }

    /// Whether the caller may make tokens there.
    pub fn maintains(&self, caller: &Caller, place: Place) -> bool {
        caller.user.is_admin || self.is_member(caller.user.id, place)
    }

    /// Members of a group are members of what is in it.
    fn is_member(&self, user: u64, place: Place) -> bool {
        let Some(path) = self.places.get(&place) else { return false };
        self.members.iter().filter(|(member, _)| *member == user).any(|(_, of)| {
            let above = self.places.get(of).is_some_and(|above| path.starts_with(&format!("{above}/")));
            *of == place || (matches!(of, Place::Group(_)) && above)
        })
    }

    pub fn revoke_family(&mut self, family: u64) {
        let of_it = self.tokens.iter_mut().filter(|token| token.family == family);
        of_it.filter(|token| matches!(token.table, Table::Personal)).for_each(|token| token.revoked = true);
    }

    /// Name, scopes and end of a new token of the kinds with a date.
    pub fn wanted(&self, ask: &Ask, scopes: &[&str]) -> Result<(String, Vec<String>, NaiveDate), Reply> {
        let (name, wanted) = (ask.text("name"), ask.list("scopes"));
        let missing: Vec<_> = [(name.is_none(), "name is missing"), (wanted.is_empty(), "scopes is missing")]
            .iter()
            .filter_map(|(is, words)| is.then_some(*words))
            .collect();
        if !missing.is_empty() {
            return Err(Reply::error(400, &missing.join(", ")));
        }
        if !wanted.iter().all(|scope| scopes.contains(&scope.as_str())) {
            return Err(Reply::error(400, "scopes does not have a valid value"));
        }
        Ok((name.unwrap_or_default(), wanted, self.date(ask)?))
    }

    /// `expires_at`, of which the date counts; a year where there is none.
    pub fn date(&self, ask: &Ask) -> Result<NaiveDate, Reply> {
        let last = self.today() + Days::new(MOST_DAYS);
        let Some(text) = ask.text("expires_at") else { return Ok(last) };
        let date = text.get(..10).and_then(|date| date.parse::<NaiveDate>().ok());
        let date = date.ok_or_else(|| Reply::error(400, "expires_at is invalid"))?;
        if date > last {
            return Err(Reply::message(400, format!("Expiration date must be before {last}")));
        }
        if date < self.today() {
            return Err(Reply::message(400, "Expiration date can't be in the past"));
        }
        Ok(date)
    }

    /// Makes a token of the kinds that are personal tokens underneath.
    pub fn make(
        &mut self,
        table: Table,
        user_id: u64,
        (name, scopes, expires): (String, Vec<String>, NaiveDate),
    ) -> &mut Token {
        let (id, text) = (self.next_id(table), self.token_text("glpat"));
        let token = Token {
            table,
            id,
            user_id,
            name,
            text,
            scopes,
            access_level: None,
            created: self.now,
            expires: Some(expires),
            expires_at: None,
            revoked: false,
            family: id,
            is_standing: false,
        };
        self.tokens.push(token);
        self.tokens.last_mut().expect("it was just put there")
    }

    /// A personal token as GitLab shows it, without its text.
    pub fn shown(&self, token: &Token) -> Value {
        let expired = self.is_expired(token);
        let mut shown = json!({
            "id": token.id,
            "name": token.name,
            "revoked": token.revoked,
            "created_at": millis(token.created),
            "description": null,
            "scopes": token.scopes,
            "user_id": token.user_id,
            "last_used_at": null,
            "active": !token.revoked && !expired,
            "granular": false,
            "expires_at": token.expires.map(|day| day.to_string()),
            "last_used_ips": [],
        });
        if !self.since(18, 0) {
            let members = shown.as_object_mut().expect("an object");
            members.retain(|name, _| !["granular", "last_used_ips"].contains(&name.as_str()));
        }
        match token.table {
            Table::Impersonation => shown["impersonation"] = true.into(),
            Table::Access(place) => {
                shown["access_level"] = token.access_level.into();
                shown["resource_type"] = place.word().into();
                shown["resource_id"] = place.id().into();
            }
            _ => {}
        }
        shown
    }

    /// The same with the text: what who made it sees, once.
    pub fn shown_once(&self, token: &Token) -> Value {
        let mut shown = self.shown(token);
        shown["token"] = token.text.clone().into();
        shown
    }

    /// Marks one as revoked; `false`: it is not there, or was before.
    pub fn revoke(&mut self, is: impl Fn(&Token) -> bool) -> bool {
        let found = self.tokens.iter_mut().find(|token| !token.revoked && is(token));
        found.map(|token| token.revoked = true).is_some()
    }
}

/// RFC 3339 with milliseconds, as GitLab writes times.
pub fn millis(time: UnixMillis) -> String {
    let seconds = i64::try_from(time.as_secs()).expect("a time");
    let time = DateTime::from_timestamp(seconds, (time.0 % 1000) as u32 * 1_000_000).expect("a time");
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
