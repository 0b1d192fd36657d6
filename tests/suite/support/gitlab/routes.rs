//! The endpoints, each with who answers it.

use super::ask::Ask;
use super::reply::Reply;
use super::world::World;
use super::{accounts, places, users, uses};

/// Answers, changes what has to change.
pub type Handler = fn(&mut World, &Ask) -> Result<Reply, Reply>;

/// Method, path below `/api/v4`, handler. Faults and records name a route by the first two, with a blank between.
pub const ROUTES: &[(&str, &str, Handler)] = &[
    ("GET", "/personal_access_tokens/self", users::own),
    ("DELETE", "/personal_access_tokens/self", users::end_own),
    ("POST", "/personal_access_tokens/self/rotate", users::rotate_own),
    ("GET", "/personal_access_tokens", users::personals),
    ("DELETE", "/personal_access_tokens/{token_id}", users::end_personal),
    ("POST", "/personal_access_tokens/{token_id}/rotate", users::rotate),
    ("GET", "/metadata", users::metadata),
    ("GET", "/users", users::by_name),
    ("GET", "/users/{user_id}", users::by_id),
    ("POST", "/users/{user_id}/personal_access_tokens", users::make_personal),
    ("POST", "/users/{user_id}/impersonation_tokens", users::make_impersonation),
    ("GET", "/users/{user_id}/impersonation_tokens", users::impersonations),
    ("GET", "/users/{user_id}/impersonation_tokens/{token_id}", users::impersonation),
    ("DELETE", "/users/{user_id}/impersonation_tokens/{token_id}", users::end_impersonation),
    ("GET", "/projects/{id}", places::show::<true>),
    ("GET", "/groups/{id}", places::show::<false>),
    ("POST", "/projects/{id}/access_tokens", places::make_access::<true>),
    ("GET", "/projects/{id}/access_tokens", places::accesses::<true>),
    ("DELETE", "/projects/{id}/access_tokens/{token_id}", places::end_access::<true>),
    ("POST", "/groups/{id}/access_tokens", places::make_access::<false>),
    ("GET", "/groups/{id}/access_tokens", places::accesses::<false>),
    ("DELETE", "/groups/{id}/access_tokens/{token_id}", places::end_access::<false>),
    ("POST", "/service_accounts", accounts::make_of_instance),
    ("POST", "/groups/{id}/service_accounts", accounts::make_of::<false>),
    ("POST", "/projects/{id}/service_accounts", accounts::make_of::<true>),
    ("POST", "/groups/{id}/service_accounts/{user_id}/personal_access_tokens", accounts::make_token::<false>),
    ("GET", "/groups/{id}/service_accounts/{user_id}/personal_access_tokens", accounts::tokens::<false>),
    (
        "DELETE",
        "/groups/{id}/service_accounts/{user_id}/personal_access_tokens/{token_id}",
        accounts::end_token::<false>,
    ),
    (
        "POST",
        "/projects/{id}/service_accounts/{user_id}/personal_access_tokens",
        accounts::make_token::<true>,
    ),
    ("GET", "/projects/{id}/service_accounts/{user_id}/personal_access_tokens", accounts::tokens::<true>),
    (
        "DELETE",
        "/projects/{id}/service_accounts/{user_id}/personal_access_tokens/{token_id}",
        accounts::end_token::<true>,
    ),
    ("POST", "/projects/{id}/deploy_tokens", places::make_deploy::<true>),
    ("GET", "/projects/{id}/deploy_tokens", places::deploys::<true>),
    ("DELETE", "/projects/{id}/deploy_tokens/{token_id}", places::end_deploy::<true>),
    ("POST", "/groups/{id}/deploy_tokens", places::make_deploy::<false>),
    ("GET", "/groups/{id}/deploy_tokens", places::deploys::<false>),
    ("DELETE", "/groups/{id}/deploy_tokens/{token_id}", places::end_deploy::<false>),
    ("POST", "/projects/{id}/triggers", places::make_trigger),
    ("GET", "/projects/{id}/triggers", places::triggers),
    ("DELETE", "/projects/{id}/triggers/{token_id}", places::end_trigger),
    ("POST", "/projects/{id}/trigger/pipeline", uses::pipeline),
];

/// Beside the API: method and path below the instance's own.
pub const BESIDE: &[(&str, &str, Handler)] =
    &[("GET", "/{group}/{project}/info/refs", uses::refs), ("GET", "/jwt/auth", uses::registry)];
