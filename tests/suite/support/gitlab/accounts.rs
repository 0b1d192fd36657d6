//! Service accounts and their tokens: rows 13 and 14 of the endpoints.

use super::ask::Ask;
use super::reply::Reply;
use super::users::has_state;
use super::world::{Place, RESOURCE_SCOPES, Table, Token, World};
use serde_json::json;

type Answered = Result<Reply, Reply>;

fn make(world: &mut World, ask: &Ask, of: Option<Place>) -> Reply {
    let word = of.map_or_else(String::new, |place| format!("{}_{}_", place.word(), place.id()));
    let username = ask.text("username").unwrap_or_else(|| format!("service_account_{word}{}", world.made));
    if world.users.values().any(|user| user.username == username) {
        return Reply::message(400, "Username has already been taken");
    }
    world.made += 1;
    let account = world.user(&username);
    (account.is_bot, account.is_service_account, account.of) = (true, true, of);
    let email = format!("{username}@noreply.gitlab.example.com");
    let name = ask.text("name").unwrap_or_else(|| "Service account user".into());
    let shown = json!({
        "id": account.id, "username": username, "public_email": null, "name": name, "email": email,
    });
    Reply::created(&shown)
}

pub fn make_of_instance(world: &mut World, ask: &Ask) -> Answered {
    world.administrator(ask)?;
    Ok(make(world, ask, None))
}

pub fn make_of<const PROJECT: bool>(world: &mut World, ask: &Ask) -> Answered {
    let (caller, place) = world.place(ask, PROJECT)?;
    if !world.maintains(&caller, place) {
        return Err(Reply::forbidden());
    }
    Ok(make(world, ask, Some(place)))
}

/// The account of this place, for whoever may manage it.
fn account<const PROJECT: bool>(world: &mut World, ask: &Ask) -> Result<u64, Reply> {
    let (caller, place) = world.place(ask, PROJECT)?;
    if !world.maintains(&caller, place) {
        return Err(Reply::forbidden());
    }
    let user = world.users.get(&ask.number("user_id"));
    let own = user.filter(|user| user.is_service_account && user.of == Some(place));
    own.map(|user| user.id).ok_or_else(|| Reply::not_found("User"))
}

pub fn make_token<const PROJECT: bool>(world: &mut World, ask: &Ask) -> Answered {
    let user = account::<PROJECT>(world, ask)?;
    let wanted = world.wanted(ask, &RESOURCE_SCOPES)?;
    let token = world.make(Table::Personal, user, wanted).clone();
    Ok(Reply::created(&world.shown_once(&token)))
}

/// Listing and revoking came with 17.11.
fn is_there(world: &World) -> Result<(), Reply> {
    if world.since(17, 11) { Ok(()) } else { Err(Reply::no_such_route()) }
}

pub fn tokens<const PROJECT: bool>(world: &mut World, ask: &Ask) -> Answered {
    is_there(world)?;
    let user = account::<PROJECT>(world, ask)?;
    let is = |token: &&Token| {
        token.table == Table::Personal && token.user_id == user && has_state(world, ask, token)
    };
    let found = world.tokens.iter().filter(is).map(|token| world.shown(token)).collect();
    Ok(Reply::page(ask, &world.base, found))
}

pub fn end_token<const PROJECT: bool>(world: &mut World, ask: &Ask) -> Answered {
    is_there(world)?;
    let (user, id) = (account::<PROJECT>(world, ask)?, ask.number("token_id"));
    let is = |token: &Token| token.table == Table::Personal && (token.user_id, token.id) == (user, id);
    if world.revoke(is) { Ok(Reply::no_content()) } else { Err(Reply::not_found("Personal Access Token")) }
}
