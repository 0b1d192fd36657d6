//! Users, and the tokens that are theirs: rows 1 to 4 and 6 to 10 of the endpoints.

use super::ask::Ask;
use super::reply::Reply;
use super::world::{Caller, Table, Token, USER_SCOPES, User, World};
use serde_json::{Value, json};

type Answered = Result<Reply, Reply>;

pub fn own(world: &mut World, ask: &Ask) -> Answered {
    let caller = world.caller(ask)?;
    Ok(Reply::ok(&world.shown(&caller.token)))
}

pub fn metadata(world: &mut World, ask: &Ask) -> Answered {
    world.caller(ask)?;
    Ok(Reply::ok(&json!({
        "version": world.version,
        "revision": "4684e042d0b",
        "kas": {
            "enabled": true,
            "externalUrl": "wss://gitlab.example.com/-/kubernetes-agent/",
            "externalK8sProxyUrl": "https://gitlab.example.com/-/kubernetes-agent/k8s-proxy/",
            "version": world.version.split('-').next(),
        },
        "enterprise": world.enterprise,
    })))
}

fn shown(user: &User, caller: &Caller) -> Value {
    let mut shown = json!({
        "id": user.id, "username": user.username, "name": user.username, "state": user.state, "locked": false,
        "avatar_url": null, "web_url": format!("https://gitlab.example.com/{}", user.username),
        "created_at": "2024-07-11T18:51:40.925Z", "bio": "", "public_email": null, "bot": user.is_bot,
    });
    if caller.user.is_admin {
        shown["is_admin"] = user.is_admin.into();
    }
    shown
}

pub fn by_name(world: &mut World, ask: &Ask) -> Answered {
    let caller = world.caller(ask)?;
    let wanted = ask.text("username");
    let is = |user: &&User| wanted.as_ref().is_none_or(|name| user.username.eq_ignore_ascii_case(name));
    let found = world.users.values().filter(is).map(|user| shown(user, &caller)).collect();
    Ok(Reply::page(ask, &world.base, found))
}

pub fn by_id(world: &mut World, ask: &Ask) -> Answered {
    let caller = world.caller(ask)?;
    let user = world.users.get(&ask.number("user_id")).ok_or_else(|| Reply::not_found("User"))?;
    Ok(Reply::ok(&shown(user, &caller)))
}

fn existing(world: &World, ask: &Ask) -> Result<u64, Reply> {
    let id = ask.number("user_id");
    if world.users.contains_key(&id) { Ok(id) } else { Err(Reply::not_found("User")) }
}

/// For another user, which takes an administrator.
fn create(world: &mut World, ask: &Ask, table: Table) -> Answered {
    world.administrator(ask)?;
    let user = existing(world, ask)?;
    let wanted = world.wanted(ask, &USER_SCOPES)?;
    let token = world.make(table, user, wanted).clone();
    Ok(Reply::created(&world.shown_once(&token)))
}

pub fn make_impersonation(world: &mut World, ask: &Ask) -> Answered {
    create(world, ask, Table::Impersonation)
}

pub fn make_personal(world: &mut World, ask: &Ask) -> Answered {
    create(world, ask, Table::Personal)
}

/// `state=active` or `inactive`, else all.
pub fn has_state(world: &World, ask: &Ask, token: &Token) -> bool {
    let active = !token.revoked && !world.is_expired(token);
    ask.text("state").is_none_or(|state| (state == "active") == active)
}

pub fn impersonations(world: &mut World, ask: &Ask) -> Answered {
    world.administrator(ask)?;
    let user = existing(world, ask)?;
    let is = |token: &&Token| {
        token.table == Table::Impersonation && token.user_id == user && has_state(world, ask, token)
    };
    let found = world.tokens.iter().filter(is).map(|token| world.shown(token)).collect();
    Ok(Reply::page(ask, &world.base, found))
}

pub fn impersonation(world: &mut World, ask: &Ask) -> Answered {
    world.administrator(ask)?;
    let (user, id) = (existing(world, ask)?, ask.number("token_id"));
    let is = |token: &&Token| token.table == Table::Impersonation && (token.user_id, token.id) == (user, id);
    let found = world.tokens.iter().find(is).ok_or_else(|| Reply::not_found("Impersonation Token"))?;
    Ok(Reply::ok(&world.shown(found)))
}

pub fn end_impersonation(world: &mut World, ask: &Ask) -> Answered {
    world.administrator(ask)?;
    let (user, id) = (existing(world, ask)?, ask.number("token_id"));
    let is = |token: &Token| token.table == Table::Impersonation && (token.user_id, token.id) == (user, id);
    if world.revoke(is) { Ok(Reply::no_content()) } else { Err(Reply::not_found("Impersonation Token")) }
}

pub fn personals(world: &mut World, ask: &Ask) -> Answered {
    let caller = world.caller(ask)?;
    let user: Option<u64> = ask.text("user_id").and_then(|id| id.parse().ok());
    let user = user.or((!caller.user.is_admin).then_some(caller.user.id));
    if !caller.user.is_admin && user != Some(caller.user.id) {
        return Err(Reply::unauthorized());
    }
    let search = ask.text("search").unwrap_or_default().to_lowercase();
    let is = |token: &&Token| {
        matches!(token.table, Table::Personal | Table::Impersonation)
            && user.is_none_or(|user| token.user_id == user)
            && token.name.to_lowercase().contains(&search)
            && has_state(world, ask, token)
    };
    let found = world.tokens.iter().filter(is).map(|token| world.shown(token)).collect();
    Ok(Reply::page(ask, &world.base, found))
}

/// Any of an administrator's choice, or one's own: others' are 401 for everybody else.
fn by_number(world: &mut World, ask: &Ask) -> Result<(Caller, Token), Reply> {
    let caller = world.caller(ask)?;
    let id = ask.number("token_id");
    let personal = |table| matches!(table, Table::Personal | Table::Impersonation | Table::Access(_));
    let found = world.tokens.iter().find(|token| personal(token.table) && token.id == id).cloned();
    match found {
        Some(token) if caller.user.is_admin || token.user_id == caller.user.id => Ok((caller, token)),
        _ if !caller.user.is_admin => Err(Reply::unauthorized()),
        _ => Err(Reply::message(404, "404 Not found")),
    }
}

pub fn end_personal(world: &mut World, ask: &Ask) -> Answered {
    let (_, token) = by_number(world, ask)?;
    if world.revoke(|one| one.text == token.text) {
        Ok(Reply::no_content())
    } else {
        Err(Reply::message(404, "404 Not found"))
    }
}

pub fn end_own(world: &mut World, ask: &Ask) -> Answered {
    let caller = world.caller(ask)?;
    world.revoke(|one| one.text == caller.token.text);
    Ok(Reply::no_content())
}

pub fn rotate(world: &mut World, ask: &Ask) -> Answered {
    let (_, token) = by_number(world, ask)?;
    rotated(world, ask, &token)
}

pub fn rotate_own(world: &mut World, ask: &Ask) -> Answered {
    let token = world.caller(ask)?.token;
    let may = ["api", "self_rotate"].iter().any(|scope| token.scopes.iter().any(|one| one == scope));
    if may { rotated(world, ask, &token) } else { Err(Reply::insufficient_scope("api self_rotate")) }
}

/// The old one is dead from then on. Whoever rotates a dead one is a thief or was robbed: the whole family dies.
fn rotated(world: &mut World, ask: &Ask, token: &Token) -> Answered {
    if token.revoked {
        world.revoke_family(token.family);
        return Err(Reply::unauthorized());
    }
    let expires = match ask.text("expires_at") {
        Some(_) => world.date(ask)?,
        None => world.today() + chrono::Days::new(7),
    };
    world.revoke(|one| one.text == token.text);
    let wanted = (token.name.clone(), token.scopes.clone(), expires);
    let made = world.make(token.table, token.user_id, wanted);
    (made.family, made.is_standing, made.access_level) =
        (token.family, token.is_standing, token.access_level);
    let made = made.clone();
    Ok(Reply::ok(&world.shown_once(&made)))
}
