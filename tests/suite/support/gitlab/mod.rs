//! A make-believe GitLab on loopback: the part of its REST API that makes, lists and ends tokens, as its documentation and recorded
//! answers have it (statuses, messages, dates, pages), beside the issuer of ID tokens on the same host. What goes wrong is scripted per
//! route; time is the test's.

mod accounts;
pub mod ask;
pub mod faults;
mod places;
mod reply;
mod routes;
mod users;
mod uses;
mod world;

pub use faults::{Fault, Faults, Gate};
pub use world::Place;

use self::ask::Ask;
use self::reply::Reply;
use self::routes::{BESIDE, Handler, ROUTES};
use self::world::{Table, World};
use super::secrets;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::{Method, Response};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{MethodFilter, on};
use chrono::{DateTime, Days};
use countersign::demo::gitlab::Gitlab;
use countersign::environment::{Clock, UnixMillis};
use countersign::server::environment::Environment;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const LARGEST: usize = 1024 * 1024;
const API: &str = "/api/v4";

/// A call that it has seen.
#[derive(Clone, Debug)]
pub struct Call {
    /// Method and path below `/api/v4` with parameters' names: `DELETE /projects/{id}/triggers/{token_id}`.
    pub route: String,
    /// Path and query as they came.
    pub uri: String,
    /// Who was to be acted as.
    pub sudo: Option<String>,
    /// Parameters of query and body.
    pub fields: Map<String, Value>,
    /// When it was there.
    pub at: UnixMillis,
}

/// A token that opens something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// `personal`, `impersonation`, `access`, `deploy`, `trigger`.
    pub table: &'static str,
    pub id: u64,
    pub name: String,
    pub user_id: u64,
}

/// It, until it is dropped.
pub struct MakeBelieve {
    shared: Arc<Shared>,
    /// What makes ID tokens, with [`Self::url`] as their issuer.
    pub issuer: Gitlab,
    credential: String,
}

/// How a [`MakeBelieve`] is set up.
pub struct Builder {
    version: String,
    enterprise: bool,
    relative_root: &'static str,
}

struct Shared {
    clock: Arc<dyn Clock>,
    world: Mutex<World>,
    faults: Faults,
    calls: Mutex<Vec<Call>>,
    arrived: Mutex<Vec<String>>,
    prefix: String,
}

impl Shared {
    /// The world as of now.
    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.now = self.clock.now();
        world
    }
}

impl MakeBelieve {
    /// A GitLab 19.1.1-ee with one administrator, `root`, whose token is [`Self::credential`].
    pub async fn start(clock: Arc<dyn Clock>) -> Self {
        Self::builder().start(clock).await
    }

    /// For one that is set up otherwise.
    pub fn builder() -> Builder {
        Builder { version: "19.1.1-ee".into(), enterprise: true, relative_root: "" }
    }

    /// Its URL, without a slash at the end: of the instance, and of the issuer.
    pub fn url(&self) -> &str {
        self.issuer.url()
    }

    /// A token of the administrator `root`, with `api` and `sudo`, good for a year.
    pub fn credential(&self) -> &str {
        &self.credential
    }

    /// Makes a personal token of a user's that no test has to end; `days`: from today.
    pub fn credential_of(&self, user_id: u64, scopes: &[&str], days: Option<u64>) -> String {
        let mut world = self.shared.world();
        let expires = world.today() + Days::new(days.unwrap_or(365));
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let token = world.make(Table::Personal, user_id, ("main credential".into(), scopes, expires));
        token.is_standing = true;
        token.expires = token.expires.filter(|_| days.is_some());
        secrets::note(token.text.as_bytes());
        token.text.clone()
    }

    /// A user's number; made where there is none of that name.
    pub fn user(&self, username: &str) -> u64 {
        let mut world = self.shared.world();
        let found = world.users.values().find(|user| user.username == username).map(|user| user.id);
        found.unwrap_or_else(|| world.user(username).id)
    }

    /// An administrator.
    pub fn administrator(&self, username: &str) -> u64 {
        let id = self.user(username);
        self.shared.world().users.get_mut(&id).expect("a user").is_admin = true;
        id
    }

    /// Makes a user a bot.
    pub fn make_bot(&self, id: u64) {
        self.shared.world().users.get_mut(&id).expect("a user").is_bot = true;
    }

    /// `active`, `blocked`, `deactivated`, …
    pub fn set_state(&self, id: u64, state: &'static str) {
        self.shared.world().users.get_mut(&id).expect("a user").state = state;
    }

    /// A project's number; made where there is none with this full path.
    pub fn project(&self, path: &str) -> u64 {
        self.add(path, Place::Project)
    }

    /// The same of a group.
    pub fn group(&self, path: &str) -> u64 {
        self.add(path, Place::Group)
    }

    fn add(&self, path: &str, place: fn(u64) -> Place) -> u64 {
        // What lies in a group.
        if let Some((group, _)) = path.rsplit_once('/') {
            self.group(group);
        }
        let mut world = self.shared.world();
        // Numbers of groups and projects are each their own, and none begins with 1 here.
        let same = |one: &Place| std::mem::discriminant(one) == std::mem::discriminant(&place(0));
        let found = world.places.iter().find(|(one, known)| same(one) && *known == path);
        if let Some((found, _)) = found {
            return found.id();
        }
        let last = world.places.keys().filter(|one| same(one)).map(|one| one.id()).max();
        let id = match (path, place(0)) {
            // Of the jobs whose claims its issuer makes.
            ("my-group/my-project", Place::Project(_)) => 20,
            ("my-group", Place::Group(_)) => 72,
            _ => last.unwrap_or(40).max(40) + 1,
        };
        world.places.insert(place(id), path.to_owned());
        id
    }

    /// Gives a project or group another path.
    pub fn rename(&self, place: Place, path: &str) {
        self.shared.world().places.insert(place, path.to_owned());
    }

    /// Deletes a project or group, with its tokens.
    pub fn remove(&self, place: Place) {
        self.shared.world().places.remove(&place);
    }

    /// Deletes a user, with its tokens.
    pub fn remove_user(&self, id: u64) {
        let mut world = self.shared.world();
        world.users.remove(&id);
        world.tokens.retain(|token| token.user_id != id);
    }

    /// A service account; of the instance where there is no place.
    pub fn service_account(&self, of: Option<Place>, username: &str) -> u64 {
        let id = self.user(username);
        let mut world = self.shared.world();
        let user = world.users.get_mut(&id).expect("a user");
        (user.is_bot, user.is_service_account, user.of) = (true, true, of);
        id
    }

    /// Makes a user a maintainer there.
    pub fn join(&self, user_id: u64, place: Place) {
        self.shared.world().members.push((user_id, place));
    }

    /// Lets a user see the place, and nothing more.
    pub fn invite(&self, user_id: u64, place: Place) {
        self.shared.world().guests.push((user_id, place));
    }

    /// Takes all of that away.
    pub fn leave(&self, user_id: u64, place: Place) {
        let mut world = self.shared.world();
        world.members.retain(|member| *member != (user_id, place));
        world.guests.retain(|guest| *guest != (user_id, place));
    }

    /// Another version from now on.
    pub fn upgrade(&self, version: &str) {
        self.shared.world().version = version.to_owned();
    }

    /// Revokes whatever has this text, as its owner might at any time.
    pub fn revoke(&self, text: &str) {
        self.shared.world().revoke(|token| token.text == text);
    }

    /// Revokes a token by table and number, as somebody might by hand.
    pub fn revoke_by_hand(&self, live: &Live) {
        self.shared.world().revoke(|token| name_of(token.table) == live.table && token.id == live.id);
    }

    /// What goes wrong from now on.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// What it has worked on so far, in order; questions about ID tokens are not among them.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often a route was asked, whatever the script did to the call.
    pub fn asked(&self, route: &str) -> usize {
        let arrived = self.shared.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.iter().filter(|one| *one == route).count()
    }

    /// Every token that would open something now, but for the credentials that were there from the beginning and what they were
    /// rotated into. At the end of a test: none.
    pub fn live_tokens(&self) -> Vec<Live> {
        let world = self.shared.world();
        let live = world.tokens.iter().filter(|token| !token.is_standing && world.is_live(token));
        live.map(|token| Live {
            table: name_of(token.table),
            id: token.id,
            name: token.name.clone(),
            user_id: token.user_id,
        })
        .collect()
    }

    /// Tokens that nobody has revoked, those among them that have ended by themselves.
    pub fn unrevoked(&self) -> Vec<String> {
        let world = self.shared.world();
        let left = world.tokens.iter().filter(|token| !token.is_standing && !token.revoked);
        left.map(|token| token.name.clone()).collect()
    }

    /// How many users there are, bots among them.
    pub fn users(&self) -> usize {
        self.shared.world().users.len()
    }

    /// Every name that any token ever had, dead ones too.
    pub fn names(&self) -> Vec<String> {
        self.shared.world().tokens.iter().map(|token| token.name.clone()).collect()
    }

    /// Whether this text opens something.
    pub fn opens(&self, text: &str) -> bool {
        let world = self.shared.world();
        world.tokens.iter().any(|token| token.text == text && world.is_live(token))
    }
}

const fn name_of(table: Table) -> &'static str {
    match table {
        Table::Personal => "personal",
        Table::Impersonation => "impersonation",
        Table::Access(_) => "access",
        Table::Deploy(_) => "deploy",
        Table::Trigger(_) => "trigger",
    }
}

impl Builder {
    /// Another version.
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self.enterprise = version.ends_with("-ee");
        self
    }

    /// A path below which all of it lives.
    pub const fn relative_root(mut self, path: &'static str) -> Self {
        self.relative_root = path;
        self
    }

    /// Starts it.
    pub async fn start(self, clock: Arc<dyn Clock>) -> MakeBelieve {
        let mut salt = [0; 32];
        Environment::system().random.fill(&mut salt);
        let world = World {
            base: String::new(),
            version: self.version,
            enterprise: self.enterprise,
            now: clock.now(),
            users: BTreeMap::new(),
            places: BTreeMap::new(),
            members: Vec::new(),
            guests: Vec::new(),
            tokens: Vec::new(),
            made: 0,
            salt,
        };
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            world: Mutex::new(world),
            faults: Faults::default(),
            calls: Mutex::default(),
            arrived: Mutex::default(),
            prefix: format!("{}{API}", self.relative_root),
        });
        let around = {
            let shared = shared.clone();
            move |issuer: Router| issuer.merge(api(&shared)).layer(from_fn_with_state(shared, faulty))
        };
        let builder = Gitlab::builder().relative_root(self.relative_root).around(around);
        let issuer = builder.start(clock).await.expect("a GitLab");
        let host = issuer.url().strip_suffix(self.relative_root).expect("its own root").to_owned();
        shared.world().base = host;
        let mut made = MakeBelieve { shared, issuer, credential: String::new() };
        let root = made.administrator("root");
        made.credential = made.credential_of(root, &["api", "sudo"], Some(365));
        made
    }
}

fn api(shared: &Arc<Shared>) -> Router {
    let root = shared.prefix.strip_suffix(API).expect("it ends so");
    let of_api =
        ROUTES.iter().map(|(method, path, handler)| (method, format!("{}{path}", shared.prefix), handler));
    let beside = BESIDE.iter().map(|(method, path, handler)| (method, format!("{root}{path}"), handler));
    let routes = of_api.chain(beside).fold(Router::new(), |router, (method, path, handler)| {
        let filter = MethodFilter::try_from(method.parse::<Method>().expect("a method")).expect("a filter");
        let handler = *handler;
        let answer = move |State(shared): State<Arc<Shared>>, parameters: RawPathParams, request: Request| {
            serve(shared, handler, parameters, request)
        };
        router.route(&path, on(filter, answer))
    });
    let prefix = format!("{}/{{*rest}}", shared.prefix);
    routes
        .route(&prefix, axum::routing::any(|| async { Reply::no_such_route().into_response() }))
        .method_not_allowed_fallback(|| async { Reply::error(405, "405 Not Allowed").into_response() })
        .with_state(shared.clone())
}

async fn serve(
    shared: Arc<Shared>,
    handler: Handler,
    parameters: RawPathParams,
    request: Request,
) -> Response<Body> {
    let path = parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let route = route_of(&shared, &request);
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST).await.unwrap_or_default();
    let ask = Ask::read(parts.method, &parts.uri, path, &parts.headers, &body);
    let Some(ask) = ask else { return Reply::error(400, "The body is not valid JSON").into_response() };
    let at = shared.clock.now();
    let call = Call { route, uri: ask.uri.clone(), sudo: ask.sudo.clone(), fields: ask.fields.clone(), at };
    shared.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    let mut world = shared.world();
    handler(&mut world, &ask).unwrap_or_else(|refused| refused).into_response()
}

fn route_of(shared: &Shared, request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let path = matched.strip_prefix(&shared.prefix).unwrap_or(matched);
    format!("{} {path}", request.method())
}

/// A GitLab goes on with what it has begun, whether or not anybody still waits for the answer.
async fn faulty(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response<Body> {
    let route = route_of(&shared, &request);
    shared.arrived.lock().unwrap_or_else(PoisonError::into_inner).push(route.clone());
    let fault = shared.faults.next(&route);
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST).await.unwrap_or_default();
    let request = Request::from_parts(parts, Body::from(body));
    let fare = faults::fare(fault, shared.clock.clone(), request, next);
    let mut response = tokio::spawn(fare).await.expect("it ends");
    let now = i64::try_from(shared.clock.now().0).ok().and_then(DateTime::from_timestamp_millis);
    let date = now.expect("a time").format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    // Else the server's own clock says it.
    response.headers_mut().insert("date", date.parse().expect("a header"));
    response
}
