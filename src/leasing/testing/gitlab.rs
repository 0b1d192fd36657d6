//! A GitLab in memory: the set of tokens that live, and faults in the order of a script.

use super::machine::{Fuse, Watch};
use crate::broker::{Expiry, GitlabVersion, Kind, Minted};
use crate::environment::UnixMillis;
use crate::issuance::Answer;
use crate::leasing::ports::{CallError, Credential, Gitlab, Holder, Made, Order, Place, Secret, User};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::leasing) enum Fault {
    /// Nothing is done, and that is certain; when to come again, in seconds.
    NotDone(Option<u64>),
    /// Refused with this status.
    Refused(u16),
    /// The main credential is not accepted, with this status.
    Credential(u16),
    /// No reply, and nothing is done.
    Lost,
    /// No reply, and it is done.
    LostAfter,
    /// No reply, and it is done this many seconds later.
    Late(u64),
    /// No reply for ever, and it is done.
    Hang,
    /// The client itself fails.
    Panic,
}

#[derive(Clone, Debug)]
struct Token {
    holder: Holder,
    name: String,
    text: String,
    expires: Option<Expiry>,
    born: UnixMillis,
}

#[derive(Clone, Debug)]
struct Own {
    name: String,
    text: String,
    expires: Option<Expiry>,
    /// Of [`OTHER`], who is no administrator.
    is_weak: bool,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    tokens: BTreeMap<u64, Token>,
    credentials: BTreeMap<u64, Own>,
    is_admin: bool,
    script: BTreeMap<&'static str, VecDeque<Option<Fault>>>,
    down: Option<Fault>,
    calls: Vec<&'static str>,
    orders: Vec<(UnixMillis, String, Option<Expiry>)>,
    at_once: usize,
    most_at_once: usize,
    users: BTreeMap<u64, (bool, bool, bool)>,
    mute_expiry: bool,
    rotated_dead: bool,
    max_inflight: u32,
    takes: Duration,
    pages: usize,
    keeps_credentials: bool,
    /// `None`: 19.1.
    version: Option<GitlabVersion>,
}

/// The instance, which outlives the brokers that call it.
#[derive(Clone)]
pub(in crate::leasing) struct World {
    state: Arc<Mutex<State>>,
    watch: Watch,
}

/// What one broker calls it with.
pub(in crate::leasing) struct Client {
    world: World,
    fuse: Fuse,
    text: Mutex<String>,
    heard: Mutex<Option<UnixMillis>>,
}

const USER: u64 = 1;
/// Another one, who may do nothing with the first one's credentials.
const OTHER: u64 = 2;

impl World {
    pub(in crate::leasing) fn new(watch: &Watch) -> Self {
        let takes = Duration::from_millis(3);
        let mut state = State { next: 100, is_admin: true, max_inflight: 4, takes, ..State::default() };
        state.credentials.insert(1, Own::main("glpat-main"));
        Self { state: Arc::new(Mutex::new(state)), watch: watch.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What happens to the next calls of this route; `None`: nothing special.
    pub(in crate::leasing) fn script(
        &self,
        route: &'static str,
        faults: impl IntoIterator<Item = Option<Fault>>,
    ) {
        self.lock().script.entry(route).or_default().extend(faults);
    }

    /// How many calls at once its operator allows, from the next start of a broker on.
    pub(in crate::leasing) fn allow(&self, max_inflight: u32) {
        self.lock().max_inflight = max_inflight;
    }

    pub(in crate::leasing) fn max_inflight(&self) -> u32 {
        self.lock().max_inflight
    }

    /// How long a call takes from now on.
    pub(in crate::leasing) fn set_slow(&self, takes: Duration) {
        self.lock().takes = takes;
    }

    /// How many pages a list of tokens has from now on; what is looked for is on the last one.
    pub(in crate::leasing) fn set_pages(&self, pages: usize) {
        self.lock().pages = pages;
    }

    /// Another version from now on.
    pub(in crate::leasing) fn upgrade(&self, major: u16, minor: u16) {
        self.lock().version = Some(GitlabVersion::of(major, minor));
    }

    /// What happens to all calls from now on.
    pub(in crate::leasing) fn set_down(&self, fault: Option<Fault>) {
        self.lock().down = fault;
    }

    /// Nothing goes wrong from now on.
    pub(in crate::leasing) fn heal(&self) {
        let mut state = self.lock();
        state.down = None;
        state.keeps_credentials = false;
        state.script.clear();
    }

    /// Numbers of the tokens that GitLab accepts now.
    pub(in crate::leasing) fn live(&self) -> Vec<u64> {
        let now = self.watch.true_time();
        let state = self.lock();
        let lives = |token: &Token| token.expires.is_none_or(|end| end.moment() > now);
        state.tokens.iter().filter(|(_, token)| lives(token)).map(|(id, _)| *id).collect()
    }

    /// Names of all tokens there are, with their numbers.
    pub(in crate::leasing) fn names(&self) -> Vec<(u64, String)> {
        self.lock().tokens.iter().map(|(id, token)| (*id, token.name.clone())).collect()
    }

    /// The operator makes a main credential by hand.
    pub(in crate::leasing) fn give(&self, text: &str) {
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        state.credentials.insert(id, Own::main(text));
    }

    /// The same for a user who may do nothing with others' credentials.
    pub(in crate::leasing) fn give_weak(&self, text: &str) {
        self.give(text);
        self.lock().credentials.values_mut().for_each(|own| own.is_weak |= own.text == text);
    }

    /// Says of main credentials that they are ended, and does not end them.
    pub(in crate::leasing) fn keep_credentials(&self) {
        self.lock().keeps_credentials = true;
    }

    /// Somebody ends a main credential by hand.
    pub(in crate::leasing) fn end_by_hand(&self, text: &str) {
        self.lock().credentials.retain(|_, own| own.text != text);
    }

    /// Whether a job can use this token.
    pub(in crate::leasing) fn accepts(&self, text: &str) -> bool {
        let live = self.live();
        self.lock().tokens.iter().any(|(id, token)| token.text == text && live.contains(id))
    }

    /// Whoever has a token replaces it by another of the same name, for a year.
    pub(in crate::leasing) fn replace(&self, id: u64) -> u64 {
        let now = self.watch.true_time();
        let mut state = self.lock();
        state.next += 1;
        let next = state.next;
        let old = state.tokens.remove(&id).unwrap();
        let expires = Some(crate::broker::expiry_after(now, Duration::from_secs(365 * 24 * 3600)));
        state.tokens.insert(next, Token { text: format!("successor-{next}"), expires, ..old });
        next
    }

    /// Somebody removes a token by hand.
    pub(in crate::leasing) fn remove_by_hand(&self, id: u64) {
        self.lock().tokens.remove(&id);
    }

    /// Somebody makes a token that is none of the broker's.
    pub(in crate::leasing) fn foreign(&self, holder: &Holder, name: &str) -> u64 {
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        let born = self.watch.true_time();
        let token = Token {
            holder: holder.clone(),
            name: name.to_owned(),
            text: format!("foreign-{id}"),
            expires: None,
            born,
        };
        state.tokens.insert(id, token);
        id
    }

    /// How often this route was called.
    pub(in crate::leasing) fn calls(&self, route: &str) -> usize {
        self.lock().calls.iter().filter(|call| **call == route).count()
    }

    /// What was asked to be made: when, the name, the expiry.
    pub(in crate::leasing) fn orders(&self) -> Vec<(UnixMillis, String, Option<Expiry>)> {
        self.lock().orders.clone()
    }

    /// The most calls there were at once.
    pub(in crate::leasing) fn most_at_once(&self) -> usize {
        self.lock().most_at_once
    }

    /// Counts them anew.
    pub(in crate::leasing) fn count_anew(&self) {
        self.lock().most_at_once = 0;
    }

    /// A user: active, administrator, bot.
    pub(in crate::leasing) fn user(&self, id: u64, is: (bool, bool, bool)) {
        self.lock().users.insert(id, is);
    }

    /// Whether the main credential is an administrator's.
    pub(in crate::leasing) fn set_admin(&self, is_admin: bool) {
        self.lock().is_admin = is_admin;
    }

    /// When the main credential ends.
    pub(in crate::leasing) fn set_end(&self, expires: Option<Expiry>) {
        self.lock().credentials.values_mut().for_each(|own| own.expires = expires);
    }

    /// GitLab tells no expiry of what it makes, as it does of some deploy tokens.
    pub(in crate::leasing) fn tell_no_expiry(&self) {
        self.lock().mute_expiry = true;
    }

    /// The main credentials that GitLab accepts: number and text.
    pub(in crate::leasing) fn credentials(&self) -> Vec<(u64, String)> {
        self.lock().credentials.iter().map(|(id, own)| (*id, own.text.clone())).collect()
    }

    /// The credentials that a broker has made as second ones, be it that it never heard of it.
    pub(in crate::leasing) fn seconds(&self) -> usize {
        self.lock().credentials.values().filter(|own| own.name.starts_with("countersign-")).count()
    }

    /// Whether a dead credential was asked to replace itself, for which GitLab ends all of its descent.
    pub(in crate::leasing) fn saw_reuse(&self) -> bool {
        self.lock().rotated_dead
    }
}

impl Client {
    pub(in crate::leasing) fn new(world: &World, fuse: &Fuse, text: &str) -> Self {
        Self {
            world: world.clone(),
            fuse: fuse.clone(),
            text: Mutex::new(text.to_owned()),
            heard: Mutex::default(),
        }
    }

    /// What it calls with.
    pub(in crate::leasing) fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// One call: what the script says, a while, and the effect.
    async fn call<T>(
        &self,
        route: &'static str,
        with: Option<String>,
        effect: impl FnOnce(&mut State, UnixMillis) -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, CallError>
    where
        T: Send + 'static,
    {
        self.fuse.pass().await;
        let with = with.unwrap_or_else(|| self.text());
        let (fault, takes) = {
            let mut state = self.world.lock();
            state.calls.push(route);
            state.at_once += 1;
            state.most_at_once = state.most_at_once.max(state.at_once);
            let scripted = state.script.get_mut(route).and_then(VecDeque::pop_front);
            (scripted.flatten().or(state.down), state.takes)
        };
        tokio::time::sleep(takes).await;
        let is_silent =
            |fault| matches!(fault, Fault::Lost | Fault::LostAfter | Fault::Late(_) | Fault::Hang);
        if !fault.is_some_and(is_silent) {
            *self.heard.lock().unwrap() = Some(self.world.watch.true_time());
        }
        let world = self.world.clone();
        let run = move || {
            let now = world.watch.true_time();
            let mut state = world.lock();
            let accepted = state
                .credentials
                .values()
                .any(|own| own.text == with && own.expires.is_none_or(|end| end.moment() > now));
            if !accepted {
                state.rotated_dead |= route == "rotate-credential";
                return Err(CallError::Credential { status: 401, detail: "401 Unauthorized".to_owned() });
            }
            effect(&mut state, now)
        };
        let unknown = || Err(CallError::Unknown { detail: "no reply".to_owned(), retry_after: None });
        let result = match fault {
            None => run(),
            Some(Fault::NotDone(wait)) => Err(CallError::NotDone {
                detail: "429".to_owned(),
                retry_after: wait.map(Duration::from_secs),
            }),
            Some(Fault::Refused(status)) => Err(CallError::Refused { status, detail: "no".to_owned() }),
            Some(Fault::Credential(status)) => Err(CallError::Credential { status, detail: "no".to_owned() }),
            Some(Fault::Lost) => unknown(),
            Some(Fault::LostAfter) => {
                let _ = run();
                unknown()
            }
            Some(Fault::Late(seconds)) => {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    let _ = run();
                });
                unknown()
            }
            Some(Fault::Panic) => {
                self.world.lock().at_once -= 1;
                panic!("a test")
            }
            Some(Fault::Hang) => {
                let _ = run();
                self.world.lock().at_once -= 1;
                std::future::pending().await
            }
        };
        self.world.lock().at_once -= 1;
        self.fuse.pass().await;
        result
    }
}

fn not_found() -> CallError {
    CallError::Refused { status: 404, detail: "404 Not Found".to_owned() }
}

impl Own {
    fn main(text: &str) -> Self {
        Self { name: "main".to_owned(), text: text.to_owned(), expires: None, is_weak: false }
    }

    fn seen(&self, id: u64, is_admin: bool) -> Credential {
        Credential {
            id,
            user_id: if self.is_weak { OTHER } else { USER },
            name: self.name.clone(),
            scopes: vec!["api".to_owned()],
            expires: self.expires,
            created: None,
            is_admin: is_admin && !self.is_weak,
        }
    }
}

impl Gitlab for Client {
    fn holder<'a>(&'a self, kind: Kind, path: &'a str) -> Answer<'a, Result<Holder, CallError>> {
        let holder = Holder { kind, path: path.to_owned(), owner: vec![7] };
        Box::pin(self.call("holder", None, move |_, _| match holder.path.contains("missing") {
            true => Err(not_found()),
            false => Ok(holder),
        }))
    }

    /// One step above a place of its numbers' is 72, two steps 71, and there is nothing above.
    fn group_above<'a>(&'a self, _: &'a Holder, steps: usize) -> Answer<'a, Result<Option<u64>, CallError>> {
        Box::pin(self.call("group-above", None, move |_, _| Ok([72, 71].get(steps - 1).copied())))
    }

    fn user(&self, id: u64) -> Answer<'_, Result<User, CallError>> {
        Box::pin(self.call("user", None, move |state, _| {
            let (is_active, is_admin, is_bot) = state.users.get(&id).copied().ok_or_else(not_found)?;
            Ok(User { is_active, is_admin, is_bot })
        }))
    }

    fn mint<'a>(&'a self, order: &'a Order<'a>) -> Answer<'a, Result<Made, CallError>> {
        let (holder, name, expires) = (order.holder.clone(), order.name.to_owned(), order.expiry);
        Box::pin(self.call("mint", None, move |state, now| {
            assert!(expires.is_none_or(|end| end.moment() > now), "a date of the past");
            assert_eq!(expires.is_some(), holder.kind.expires_at_gitlab());
            state.next += 1;
            let id = state.next;
            let text = format!("glpat-{id}");
            state.orders.push((now, name.clone(), expires));
            let token = Token { holder, name, text: text.clone(), expires, born: now };
            state.tokens.insert(id, token);
            let expires = expires.filter(|_| !state.mute_expiry);
            Ok(Made {
                minted: Minted { id, sha256: None, expires },
                token: Secret::new(text),
                username: None,
            })
        }))
    }

    fn find<'a>(
        &'a self,
        holder: &'a Holder,
        name: &'a str,
        place: &'a dyn Place,
    ) -> Answer<'a, Result<Vec<Minted>, CallError>> {
        let (holder, name) = (holder.clone(), name.to_owned());
        let before = self.world.lock().pages;
        Box::pin(async move {
            for _ in 1..before {
                self.call("find", None, |_, _| Ok(())).await?;
                place.give_way().await;
            }
            let last = self.call("find", None, move |state, _| {
                let found =
                    state.tokens.iter().filter(|(_, token)| token.holder == holder && token.name == name);
                Ok(found
                    .map(|(id, token)| Minted { id: *id, sha256: None, expires: token.expires })
                    .collect())
            });
            last.await
        })
    }

    fn revoke<'a>(
        &'a self,
        holder: &'a Holder,
        id: u64,
        _: &'a dyn Place,
    ) -> Answer<'a, Result<(), CallError>> {
        let holder = holder.clone();
        let route = if holder.path.contains("broken") { "revoke-broken" } else { "revoke" };
        Box::pin(self.call(route, None, move |state, now| {
            if let Some(token) = state.tokens.remove(&id) {
                assert_eq!(token.holder, holder, "revoked with another's path");
                assert!(token.born <= now);
            }
            Ok(())
        }))
    }

    fn itself<'a>(&'a self, credential: Option<&'a Secret>) -> Answer<'a, Result<Credential, CallError>> {
        let with = credential.map(|secret| secret.expose().to_owned()).unwrap_or_else(|| self.text());
        let asked = with.clone();
        Box::pin(self.call("self", Some(with), move |state, _| {
            let (id, own) =
                state.credentials.iter().find(|(_, own)| own.text == asked).ok_or_else(not_found)?;
            Ok(own.seen(*id, state.is_admin))
        }))
    }

    fn version(&self) -> Answer<'_, Result<(Option<GitlabVersion>, bool), CallError>> {
        Box::pin(self.call("metadata", None, |state, _| {
            Ok((state.version.or(GitlabVersion::parse("19.1.1-ee")), true))
        }))
    }

    fn make_credential<'a>(
        &'a self,
        like: &'a Credential,
        name: &'a str,
        expiry: Expiry,
    ) -> Answer<'a, Result<(Credential, Secret), CallError>> {
        assert_eq!(like.user_id, USER);
        let name = name.to_owned();
        Box::pin(self.call("make-credential", None, move |state, _| {
            state.next += 1;
            let (id, text) = (state.next, format!("glpat-own-{}", state.next));
            let own = Own { name, text: text.clone(), expires: Some(expiry), is_weak: false };
            let seen = own.seen(id, state.is_admin);
            state.credentials.insert(id, own);
            Ok((seen, Secret::new(text)))
        }))
    }

    fn rotate_credential(&self, expiry: Expiry) -> Answer<'_, Result<(Credential, Secret), CallError>> {
        let with = self.text();
        Box::pin(self.call("rotate-credential", None, move |state, _| {
            let old = state.credentials.iter().find(|(_, own)| own.text == with).map(|(id, _)| *id);
            let old = state.credentials.remove(&old.ok_or_else(not_found)?).unwrap();
            state.next += 1;
            let (id, text) = (state.next, format!("glpat-own-{}", state.next));
            let own = Own { text: text.clone(), expires: Some(expiry), ..old };
            let seen = own.seen(id, state.is_admin);
            state.credentials.insert(id, own);
            Ok((seen, Secret::new(text)))
        }))
    }

    fn find_credentials<'a>(
        &'a self,
        user_id: u64,
        name: &'a str,
        _: &'a dyn Place,
    ) -> Answer<'a, Result<Vec<u64>, CallError>> {
        let (with, name) = (self.text(), name.to_owned());
        Box::pin(self.call("find-credential", None, move |state, _| {
            if user_id != OTHER && state.credentials.values().any(|own| own.text == with && own.is_weak) {
                return Err(CallError::Refused { status: 401, detail: "401 Unauthorized".to_owned() });
            }
            Ok(state.credentials.iter().filter(|(_, own)| own.name == name).map(|(id, _)| *id).collect())
        }))
    }

    fn revoke_credential(&self, id: u64) -> Answer<'_, Result<(), CallError>> {
        let with = self.text();
        Box::pin(self.call("revoke-credential", None, move |state, _| {
            if state.credentials.iter().any(|(own, by)| by.text == with && by.is_weak && *own != id) {
                return Err(CallError::Refused { status: 401, detail: "401 Unauthorized".to_owned() });
            }
            if !state.keeps_credentials {
                state.credentials.remove(&id);
            }
            Ok(())
        }))
    }

    fn heard_time(&self) -> Option<UnixMillis> {
        *self.heard.lock().unwrap()
    }

    fn switch(&self, credential: Secret) {
        credential.expose().clone_into(&mut self.text.lock().unwrap());
    }
}
