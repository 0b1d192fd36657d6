//! Projects and groups, and the tokens that are theirs: rows 5, 11, 12, 15 and 16 of the endpoints.

use super::ask::Ask;
use super::reply::Reply;
use super::users::has_state;
use super::world::{Caller, DEPLOY_SCOPES, Place, RESOURCE_SCOPES, Table, Token, World, millis};
use chrono::DateTime;
use serde_json::{Value, json};

type Answered = Result<Reply, Reply>;

/// The levels that bots may have.
const LEVELS: [u64; 7] = [10, 15, 20, 25, 30, 40, 50];

pub fn show<const PROJECT: bool>(world: &mut World, ask: &Ask) -> Answered {
    let (_, place) = world.place(ask, PROJECT)?;
    let path = world.places[&place].clone();
    let name = path.rsplit('/').next().unwrap_or_default();
    let key = if PROJECT { "path_with_namespace" } else { "full_path" };
    let mut shown = json!({
        "id": place.id(), "description": null, "name": name, "path": name, key: path, "visibility": "private",
        "runners_token": world.token_text("GR1348941"),
    });
    let above = path.rsplit_once('/').map(|(above, _)| above);
    if PROJECT {
        let (group, of) = (group_at(world, above), above.and_then(|above| above.rsplit_once('/')));
        shown["namespace"] = json!({
            "id": group, "kind": "group", "full_path": above, "parent_id": group_at(world, of.map(|(of, _)| of)),
        });
    } else {
        shown["parent_id"] = json!(group_at(world, above));
    }
    Ok(Reply::ok(&shown))
}

/// The number of the group with this path.
fn group_at(world: &World, path: Option<&str>) -> Option<u64> {
    let is = |(place, known): &(&Place, &String)| {
        matches!(place, Place::Group(_)) && path.is_some_and(|path| known.eq_ignore_ascii_case(path))
    };
    world.places.iter().find(is).map(|(place, _)| place.id())
}

/// A place in which the caller may make tokens.
fn maintained(world: &mut World, ask: &Ask, is_project: bool) -> Result<(Caller, Place), Reply> {
    let (caller, place) = world.place(ask, is_project)?;
    if world.maintains(&caller, place) { Ok((caller, place)) } else { Err(Reply::unauthorized()) }
}

/// A bot is called as its token, and no user's first or last name has more than 127 characters.
fn bot_may_be_called(name: &str) -> Result<(), Reply> {
    let (first, last) = name.split_once(' ').unwrap_or((name, ""));
    for (part, what) in [(first, "First"), (last, "Last")] {
        if part.chars().count() > 127 {
            let words = format!("User creation failed: {what} name is too long (maximum is 127 characters)");
            return Err(Reply::message(400, format!("400 Bad request - {words}")));
        }
    }
    Ok(())
}

pub fn make_access<const PROJECT: bool>(world: &mut World, ask: &Ask) -> Answered {
    let (_, place) = maintained(world, ask, PROJECT)?;
    let level = ask.text("access_level").map_or(Some(40), |level| level.parse().ok());
    let level = level.filter(|level| LEVELS.contains(level));
    let level = level.ok_or_else(|| Reply::error(400, "access_level does not have a valid value"))?;
    let mut wanted = world.wanted(ask, &RESOURCE_SCOPES)?;
    bot_may_be_called(&wanted.0)?;
    wanted.0.truncate(255);
    // A bot of its own each time.
    let bot = world.user(&format!("{}_{}_bot_{}", place.word(), place.id(), world.made));
    (bot.is_bot, bot.of) = (true, Some(place));
    let bot = bot.id;
    world.guests.push((bot, place));
    let token = world.make(Table::Access(place), bot, wanted);
    token.access_level = Some(level);
    let token = token.clone();
    Ok(Reply::created(&world.shown_once(&token)))
}

pub fn accesses<const PROJECT: bool>(world: &mut World, ask: &Ask) -> Answered {
    let (_, place) = maintained(world, ask, PROJECT)?;
    // Older ones know no `state`, and list all of them.
    let state = |token: &Token| !world.since(17, 2) || has_state(world, ask, token);
    let is = |token: &&Token| token.table == Table::Access(place) && state(token);
    let found = world.tokens.iter().filter(is).map(|token| world.shown(token)).collect();
    Ok(Reply::page(ask, &world.base, found))
}

pub fn end_access<const PROJECT: bool>(world: &mut World, ask: &Ask) -> Answered {
    let (_, place) = maintained(world, ask, PROJECT)?;
    let id = ask.number("token_id");
    if world.revoke(|token| token.table == Table::Access(place) && token.id == id) {
        return Ok(Reply::no_content());
    }
    let word = place.word();
    Err(if world.since(18, 0) {
        Reply::not_found(&format!("{word} Access Token"))
    } else {
        Reply::not_found(&format!("Could not find {word} access token with token_id: {id}"))
    })
}

fn shown_deploy(world: &World, token: &Token) -> Value {
    json!({
        "id": token.id, "name": token.name, "username": format!("gitlab+deploy-token-{}", token.id),
        "expires_at": token.expires_at, "scopes": token.scopes, "revoked": token.revoked,
        "expired": world.is_expired(token),
    })
}

pub fn make_deploy<const PROJECT: bool>(world: &mut World, ask: &Ask) -> Answered {
    let (_, place) = world.place(ask, PROJECT)?;
    let (name, scopes) = (ask.text("name"), ask.list("scopes"));
    let name = name.ok_or_else(|| Reply::error(400, "name is missing"))?;
    if scopes.is_empty() || !scopes.iter().all(|scope| DEPLOY_SCOPES.contains(&scope.as_str())) {
        return Err(Reply::error(400, "scopes does not have a valid value"));
    }
    let expires_at = match ask.text("expires_at") {
        None => None,
        Some(text) => {
            let time = DateTime::parse_from_rfc3339(&text);
            let time = time.map_err(|_| Reply::error(400, "expires_at is invalid"))?;
            Some(time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
        }
    };
    let table = Table::Deploy(place);
    let (id, text) = (world.next_id(table), world.token_text("gldt"));
    let token = Token {
        table,
        id,
        user_id: 0,
        name,
        text,
        scopes,
        access_level: None,
        created: world.now,
        expires: None,
        expires_at,
        revoked: false,
        family: id,
        is_standing: false,
    };
    let mut shown = shown_deploy(world, &token);
    shown["token"] = token.text.clone().into();
    world.tokens.push(token);
    Ok(Reply::created(&shown))
}

pub fn deploys<const PROJECT: bool>(world: &mut World, ask: &Ask) -> Answered {
    let (_, place) = world.place(ask, PROJECT)?;
    let active = ask.text("active").as_deref() == Some("true");
    let is = |token: &&Token| {
        token.table == Table::Deploy(place) && (!active || (!token.revoked && !world.is_expired(token)))
    };
    let found = world.tokens.iter().filter(is).map(|token| shown_deploy(world, token)).collect();
    Ok(Reply::page(ask, &world.base, found))
}

pub fn end_deploy<const PROJECT: bool>(world: &mut World, ask: &Ask) -> Answered {
    let (_, place) = world.place(ask, PROJECT)?;
    let id = ask.number("token_id");
    let ended = world.revoke(|token| token.table == Table::Deploy(place) && token.id == id);
    if ended { Ok(Reply::no_content()) } else { Err(Reply::not_found("Deploy Token")) }
}

/// Triggers show their text to whoever made them, always.
fn shown_trigger(token: &Token) -> Value {
    json!({
        "id": token.id, "token": token.text, "description": token.name, "created_at": millis(token.created),
        "updated_at": millis(token.created), "last_used": null, "expires_at": null,
        "owner": { "id": token.user_id, "username": "root", "name": "Administrator", "state": "active" },
    })
}

pub fn make_trigger(world: &mut World, ask: &Ask) -> Answered {
    let (caller, place) = world.place(ask, true)?;
    if !world.maintains(&caller, place) {
        return Err(Reply::forbidden());
    }
    let name = ask.text("description").ok_or_else(|| Reply::error(400, "description is missing"))?;
    let table = Table::Trigger(place.id());
    let (id, text) = (world.next_id(table), world.token_text("glptt"));
    let token = Token {
        table,
        id,
        user_id: caller.user.id,
        name,
        text,
        scopes: Vec::new(),
        access_level: None,
        created: world.now,
        expires: None,
        expires_at: None,
        revoked: false,
        family: id,
        is_standing: false,
    };
    let shown = shown_trigger(&token);
    world.tokens.push(token);
    Ok(Reply::created(&shown))
}

pub fn triggers(world: &mut World, ask: &Ask) -> Answered {
    let (_, place) = world.place(ask, true)?;
    let is = |token: &&Token| token.table == Table::Trigger(place.id()) && !token.revoked;
    let found = world.tokens.iter().filter(is).map(shown_trigger).collect();
    Ok(Reply::page(ask, &world.base, found))
}

pub fn end_trigger(world: &mut World, ask: &Ask) -> Answered {
    let (_, place) = world.place(ask, true)?;
    let id = ask.number("token_id");
    let ended = world.revoke(|token| token.table == Table::Trigger(place.id()) && token.id == id);
    if ended { Ok(Reply::no_content()) } else { Err(Reply::not_found("Trigger")) }
}
