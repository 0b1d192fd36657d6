//! What tokens that are none of the API's open: git over HTTP and the registry for deploy tokens, the pipelines of a trigger.

use super::ask::Ask;
use super::reply::Reply;
use super::world::{Place, Table, Token, World};
use serde_json::json;

type Answered = Result<Reply, Reply>;

const DENIED: &str = "HTTP Basic: Access denied";

/// The token that this login is of, where it has one of these scopes and reaches the project.
fn login(world: &World, ask: &Ask, path: &str, scopes: &[&str]) -> Option<Token> {
    let (user, password) = ask.basic.as_ref()?;
    let token = world.tokens.iter().find(|token| token.text == *password)?;
    let reaches = match token.table {
        Table::Deploy(place) => {
            let own = world.places.get(&place)?;
            let below = matches!(place, Place::Group(_)) && path.starts_with(&format!("{own}/"));
            *user == format!("gitlab+deploy-token-{}", token.id) && (own == path || below)
        }
        Table::Trigger(_) => false,
        // Any name does. Who may see what is looked at where the API is asked.
        _ => !user.is_empty(),
    };
    let may = token.scopes.iter().any(|scope| scopes.contains(&scope.as_str()));
    (reaches && may && world.is_live(token)).then(|| token.clone())
}

/// What `git fetch` asks first: `/{group}/{project}.git/info/refs?service=git-upload-pack`.
pub fn refs(world: &mut World, ask: &Ask) -> Answered {
    let project = ask.parameter("project");
    let path = format!("{}/{}", ask.parameter("group"), project.strip_suffix(".git").unwrap_or(project));
    let scopes: &[&str] = match ask.text("service").as_deref() {
        Some("git-upload-pack") => &["read_repository", "write_repository", "api"],
        Some("git-receive-pack") => &["write_repository", "api"],
        _ => return Err(Reply::error(403, "Forbidden")),
    };
    let mut reply = Reply { status: 401, headers: Vec::new(), body: DENIED.into() };
    reply.headers.push(("www-authenticate", r#"Basic realm="GitLab""#.into()));
    reply.headers.push(("content-type", "text/plain".into()));
    if login(world, ask, &path, scopes).is_none() {
        return Err(reply);
    }
    let kind = "application/x-git-upload-pack-advertisement";
    reply.headers = vec![("content-type", kind.into())];
    Ok(Reply { status: 200, body: "001e# service=git-upload-pack\n0000".into(), ..reply })
}

/// What a registry's client asks first: `/jwt/auth?service=container_registry&scope=repository:{path}:pull`.
pub fn registry(world: &mut World, ask: &Ask) -> Answered {
    let scope = ask.text("scope").unwrap_or_default();
    let mut parts = scope.splitn(3, ':').skip(1);
    let (path, does) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let scopes: &[&str] = match does {
        "pull" => &["read_registry", "write_registry"],
        _ => &["write_registry"],
    };
    match login(world, ask, path, scopes) {
        Some(_) => Ok(Reply::ok(&json!({ "token": "a.registry.token" }))),
        None => Err(Reply::json(401, &json!({ "errors": [{ "code": "UNAUTHORIZED", "message": DENIED }] }))),
    }
}

/// `POST /projects/{id}/trigger/pipeline` with `token` and `ref`, and without any credential.
pub fn pipeline(world: &mut World, ask: &Ask) -> Answered {
    let text = ask.text("token").unwrap_or_default();
    let reference = ask.text("ref").ok_or_else(|| Reply::error(400, "ref is missing"))?;
    let wanted = ask.parameter("id");
    let found = world.tokens.iter().find(|token| token.text == text && world.is_live(token));
    let project = found.and_then(|token| match token.table {
        Table::Trigger(project) => Some(project),
        _ => None,
    });
    let is = |project: &u64| {
        let path = world.places.get(&Place::Project(*project));
        project.to_string() == wanted || path.is_some_and(|path| path == wanted)
    };
    let project = project.filter(is).ok_or_else(|| Reply::message(404, "404 Not Found"))?;
    world.made += 1;
    Ok(Reply::created(&json!({
        "id": world.made, "iid": world.made, "project_id": project, "ref": reference, "source": "trigger",
        "status": "created", "sha": "0000000000000000000000000000000000000000",
    })))
}
