//! The make-believe GitLab held to what real ones were recorded to answer: members, statuses, messages, dates, pages. A client that is
//! right with it and wrong with GitLab would be a client that was tested against itself.

use crate::support::gitlab::{Builder, Fault, Gate, MakeBelieve, Place};
use crate::support::{TestClock, client};
use countersign::environment::UnixMillis;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// 2026-06-29T10:00:00Z.
const NOW: UnixMillis = UnixMillis::from_secs(1_782_727_200);

pub struct Asked {
    pub status: StatusCode,
    headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }

    pub fn members(&self) -> Vec<String> {
        self.json().as_object().expect("an object").keys().cloned().collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub struct Tried {
    pub gitlab: MakeBelieve,
    pub clock: Arc<TestClock>,
}

impl Tried {
    pub async fn new(builder: Builder) -> Self {
        let clock = TestClock::at(NOW);
        Self { gitlab: builder.start(clock.clone()).await, clock }
    }

    pub async fn by(&self, credential: &str, method: &str, path: &str, body: Option<Value>) -> Asked {
        let url = format!("{}/api/v4{path}", self.gitlab.url());
        let method: Method = method.parse().unwrap();
        let mut request = client().request(method, url).header("private-token", credential);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        Asked { status, headers, text: response.text().await.expect("a text") }
    }

    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Asked {
        self.by(self.gitlab.credential(), method, path, body).await
    }
}

pub const PERSONAL: [&str; 12] = [
    "id",
    "name",
    "revoked",
    "created_at",
    "description",
    "scopes",
    "user_id",
    "last_used_at",
    "active",
    "granular",
    "expires_at",
    "last_used_ips",
];

#[tokio::test]
async fn tokens_have_the_members_that_were_recorded() {
    let it = Tried::new(MakeBelieve::builder()).await;
    let (project, group) = (it.gitlab.project("acme/app"), it.gitlab.group("acme"));
    let user = it.gitlab.user("alice");
    let bot = it.gitlab.service_account(Some(Place::Group(group)), "bot");
    let wanted = json!({ "name": "n", "scopes": ["read_api"], "expires_at": "2026-06-30" });
    let mut access = wanted.clone();
    access["access_level"] = 20.into();
    let with = |more: &[&'static str]| [PERSONAL.as_slice(), more].concat();
    let resource = with(&["access_level", "resource_type", "resource_id", "token"]);
    let deploy = json!({ "name": "n", "scopes": ["read_repository"], "expires_at": "2026-06-30T00:00:00Z" });
    let deployed = vec!["id", "name", "username", "expires_at", "scopes", "revoked", "expired", "token"];
    let table = [
        (format!("/users/{user}/impersonation_tokens"), &wanted, with(&["impersonation", "token"])),
        (format!("/users/{user}/personal_access_tokens"), &wanted, with(&["token"])),
        ("/projects/acme%2Fapp/access_tokens".into(), &access, resource.clone()),
        (format!("/groups/{group}/access_tokens"), &access, resource),
        (format!("/groups/{group}/service_accounts/{bot}/personal_access_tokens"), &wanted, with(&["token"])),
        (format!("/projects/{project}/deploy_tokens"), &deploy, deployed.clone()),
        ("/groups/acme/deploy_tokens".into(), &deploy, deployed),
        (
            format!("/projects/{project}/triggers"),
            &json!({ "description": "n" }),
            vec![
                "id",
                "token",
                "description",
                "created_at",
                "updated_at",
                "last_used",
                "expires_at",
                "owner",
            ],
        ),
    ];
    for (path, body, members) in table {
        let made = it.ask("POST", &path, Some(body.clone())).await;
        assert_eq!(
            (made.status.as_u16(), made.members()),
            (201, members.iter().map(ToString::to_string).collect())
        );
        assert!(it.gitlab.opens(made.json()["token"].as_str().unwrap()), "{path}");
        // Made, listed without its text (but for triggers), ended once, and then not there.
        let path = match path.strip_suffix("/personal_access_tokens") {
            Some(of) if of.starts_with("/users") => "/personal_access_tokens".to_owned(),
            _ => path,
        };
        let listed = it.ask("GET", &format!("{path}?state=active&search=n"), None).await.json();
        let mine = listed.as_array().unwrap().iter().find(|one| one["id"] == made.json()["id"]).expect(&path);
        assert_eq!(mine["token"].is_string(), path.ends_with("triggers"), "{path}");
        let one = format!("{path}/{}", made.json()["id"]);
        assert_eq!(it.ask("DELETE", &one, None).await.status, 204, "{one}");
        let again = it.ask("DELETE", &one, None).await;
        assert_eq!(again.status, 404, "{one}");
        assert!(again.json()["message"].as_str().unwrap().starts_with("404 "), "{one}: {}", again.text);
    }
    assert_eq!(it.gitlab.live_tokens(), []);
}

#[tokio::test]
async fn what_is_not_there_is_named_as_gitlab_names_it() {
    let it = Tried::new(MakeBelieve::builder()).await;
    it.gitlab.project("acme/app");
    it.gitlab.group("acme");
    let table = [
        ("GET", "/projects/no%2Fsuch", "404 Project Not Found"),
        ("GET", "/groups/none", "404 Group Not Found"),
        ("GET", "/users/999", "404 User Not Found"),
        ("DELETE", "/personal_access_tokens/999", "404 Not found"),
        ("DELETE", "/projects/acme%2Fapp/access_tokens/999", "404 project Access Token Not Found"),
        ("DELETE", "/groups/acme/access_tokens/999", "404 group Access Token Not Found"),
        ("DELETE", "/users/1/impersonation_tokens/999", "404 Impersonation Token Not Found"),
        ("DELETE", "/projects/acme%2Fapp/deploy_tokens/999", "404 Deploy Token Not Found"),
        ("DELETE", "/projects/acme%2Fapp/triggers/999", "404 Trigger Not Found"),
    ];
    for (method, path, message) in table {
        let asked = it.ask(method, path, None).await;
        assert_eq!((asked.status.as_u16(), asked.json()), (404, json!({ "message": message })), "{path}");
    }
    it.gitlab.upgrade("17.10.3");
    let old = it.ask("DELETE", "/projects/acme%2Fapp/access_tokens/999", None).await.json();
    assert_eq!(old["message"], "404 Could not find project access token with token_id: 999 Not Found");
    // A path that the version does not have is told by another member.
    let old = it.ask("DELETE", "/groups/acme/service_accounts/1/personal_access_tokens/1", None).await.json();
    assert_eq!(old, json!({ "error": "404 Not Found" }));
}

#[tokio::test]
async fn a_token_that_ends_today_is_dead_and_none_lives_longer_than_a_year() {
    let it = Tried::new(MakeBelieve::builder()).await;
    let user = it.gitlab.user("alice");
    let path = format!("/users/{user}/personal_access_tokens");
    let wanted = |date: &str| Some(json!({ "name": "n", "scopes": ["api"], "expires_at": date }));
    let today = it.ask("POST", &path, wanted("2026-06-29")).await.json();
    assert_eq!(today["active"], false);
    assert_eq!(it.gitlab.live_tokens(), []);
    for date in ["2026-06-28", "2027-06-30", "tomorrow"] {
        assert_eq!(it.ask("POST", &path, wanted(date)).await.status, 400, "{date}");
    }
    // jwt-2-pat's way of writing it: of a time the date counts.
    let form = "name=n&scopes%5B%5D=read_api&scopes%5B%5D=api&expires_at=2026-06-30T10%3A00%3A00.0000000Z";
    let sent = client()
        .post(format!("{}/api/v4{path}", it.gitlab.url()))
        .bearer_auth(it.gitlab.credential())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 201);
    let made: Value = serde_json::from_str(&sent.text().await.unwrap()).unwrap();
    assert_eq!(
        (made["expires_at"].as_str(), &made["scopes"]),
        (Some("2026-06-30"), &json!(["read_api", "api"]))
    );
    assert_eq!(it.gitlab.live_tokens().len(), 1);
    it.clock.advance(Duration::from_secs(14 * 3600));
    assert_eq!(it.gitlab.live_tokens(), []);
    let mut wrong = wanted("2026-07-30").unwrap();
    wrong["scopes"] = json!(["everything"]);
    let refused = it.ask("POST", &path, Some(wrong)).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]),
        (400, &json!("scopes does not have a valid value"))
    );
}

#[tokio::test]
async fn only_who_may_may() {
    let it = Tried::new(MakeBelieve::builder()).await;
    let (alice, mallory) = (it.gitlab.user("alice"), it.gitlab.user("mallory"));
    let project = Place::Project(it.gitlab.project("acme/app"));
    let hers = it.gitlab.credential_of(alice, &["api"], None);
    let his = it.gitlab.credential_of(mallory, &["read_api"], Some(1));
    let wanted = json!({ "name": "n", "scopes": ["api"] });
    let path = "/projects/acme%2Fapp/access_tokens";
    let post = |credential, path| it.by(credential, "POST", path, Some(wanted.clone()));
    assert_eq!(post("glpat-wrong", path).await.json(), json!({ "message": "401 Unauthorized" }));
    assert_eq!(post(&hers, path).await.status, 404);
    it.gitlab.invite(alice, project);
    assert_eq!(post(&hers, path).await.status, 401);
    it.gitlab.join(alice, project);
    assert_eq!(post(&hers, path).await.status, 201);
    let scope = post(&his, path).await;
    assert_eq!((scope.status.as_u16(), scope.json()["error"].as_str()), (403, Some("insufficient_scope")));
    let personal = format!("/users/{mallory}/personal_access_tokens");
    assert_eq!(post(&hers, &personal).await.json(), json!({ "message": "403 Forbidden" }));
    let sudo = format!("{personal}?sudo=root");
    assert_eq!(post(&hers, &sudo).await.json()["message"], "403 Forbidden - Must be admin to use sudo");
    let without = it.gitlab.credential_of(1, &["api"], None);
    assert_eq!(post(&without, &sudo).await.json()["scope"], "sudo");
    let nobody = post(it.gitlab.credential(), &format!("{personal}?sudo=nobody")).await;
    assert_eq!(nobody.json()["message"], "404 User with ID or username 'nobody' Not Found");
    it.clock.advance(Duration::from_secs(24 * 3600));
    let own = "/personal_access_tokens/self";
    assert_eq!(it.by(&his, "GET", own, None).await.json()["error"], "invalid_token");
    it.gitlab.revoke(&hers);
    let revoked = it.by(&hers, "GET", own, None).await;
    assert_eq!(revoked.status, 401);
    let words = "Token was revoked. You have to re-authorize from the user.";
    assert_eq!(revoked.json(), json!({ "error": "invalid_token", "error_description": words }));
    // A project's token ends with the project.
    assert_eq!(it.gitlab.live_tokens().len(), 1);
    it.gitlab.remove(project);
    assert_eq!(it.gitlab.live_tokens(), []);
}

#[tokio::test]
async fn whoever_rotates_a_dead_token_ends_its_family() {
    let it = Tried::new(MakeBelieve::builder()).await;
    let old = it.gitlab.credential_of(1, &["api"], Some(9));
    let rotate = "/personal_access_tokens/self/rotate";
    let date = Some(json!({ "expires_at": "2026-07-20" }));
    let rotated = it.by(&old, "POST", rotate, date.clone()).await;
    assert_eq!(rotated.status, 200);
    let new = rotated.json()["token"].as_str().unwrap().to_owned();
    assert!(it.gitlab.opens(&new) && !it.gitlab.opens(&old));
    assert_eq!(it.by(&old, "POST", rotate, date).await.status, 401);
    assert!(!it.gitlab.opens(&new));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let it = Tried::new(MakeBelieve::builder().relative_root("/gitlab")).await;
    it.gitlab.project("acme/app");
    for name in 0..45 {
        let body = Some(json!({ "description": format!("t{name}") }));
        it.ask("POST", "/projects/acme%2Fapp/triggers", body).await;
    }
    let page = it.ask("GET", "/projects/acme%2Fapp/triggers?page=2", None).await;
    assert_eq!(page.json().as_array().unwrap().len(), 20);
    assert_eq!(["x-next-page", "x-total", "x-total-pages"].map(|name| page.header(name)), ["3", "45", "3"]);
    assert!(page.header("link").contains("page=3&per_page=20>; rel=\"next\""), "{}", page.header("link"));
    assert!(page.header("link").contains(&format!("<{}/api/v4/projects/", it.gitlab.url())));
    let last = it.ask("GET", "/projects/acme%2Fapp/triggers?page=3", None).await;
    assert_eq!((last.json().as_array().unwrap().len(), last.header("x-next-page")), (5, ""));
    assert!(!last.header("link").contains("next"));
    it.gitlab.remove(Place::Project(it.gitlab.project("acme/app")));
}

#[tokio::test]
async fn faults_happen_as_they_are_scripted() {
    let it = Tried::new(MakeBelieve::builder()).await;
    let project = it.gitlab.project("acme/app");
    let route = "POST /projects/{id}/triggers";
    let path = format!("{}/api/v4/projects/{project}/triggers", it.gitlab.url());
    let http = client();
    let send = || {
        let request = http.post(&path).header("private-token", it.gitlab.credential());
        request.header("content-type", "application/json").body(r#"{"description":"t"}"#).send()
    };
    let live = || it.gitlab.live_tokens().len();
    it.gitlab.faults().script(route, [Fault::DropBefore, Fault::DropAfter]);
    assert!(send().await.is_err());
    assert_eq!(live(), 0);
    assert!(send().await.is_err());
    assert_eq!((live(), it.gitlab.asked(route)), (1, 2));
    it.gitlab.faults().script(route, [Fault::RetryLater(Some(7)), Fault::StatusAfter(502), Fault::Truncated]);
    let later = send().await.unwrap();
    assert_eq!((later.status().as_u16(), live()), (429, 1));
    assert_eq!(later.headers()["retry-after"], "7");
    assert_eq!(
        (&later.headers()["ratelimit-remaining"], &later.headers()["content-type"]),
        (&"0".parse().unwrap(), &"text/plain".parse().unwrap())
    );
    assert_eq!(later.text().await.unwrap(), "Retry later\n");
    assert_eq!((send().await.unwrap().status().as_u16(), live()), (502, 2));
    let half = send().await.unwrap().text().await.unwrap();
    assert_eq!((serde_json::from_str::<Value>(&half).is_err(), live()), (true, 3));
    let gate = Gate::closed();
    it.gitlab.faults().script(route, [Fault::HeldAfter(gate.clone())]);
    let held = tokio::spawn(send());
    gate.reached(1).await;
    assert_eq!(live(), 4);
    assert!(!held.is_finished());
    gate.open();
    assert_eq!(held.await.unwrap().unwrap().status(), 201);
    it.gitlab.remove(Place::Project(project));
    assert_eq!(live(), 0);
}

/// What a GitLab has begun it ends, whether or not anybody is left to hear of it.
#[tokio::test]
async fn a_caller_that_hangs_up_takes_nothing_back() {
    let it = Tried::new(MakeBelieve::builder()).await;
    let project = it.gitlab.project("acme/app");
    let gate = Gate::closed();
    it.gitlab.faults().script("POST /projects/{id}/triggers", [Fault::HeldBefore(gate.clone())]);
    let request = client().post(format!("{}/api/v4/projects/{project}/triggers", it.gitlab.url()));
    let request = request.header("private-token", it.gitlab.credential());
    let asking = tokio::spawn(
        request.header("content-type", "application/json").body(r#"{"description":"late"}"#).send(),
    );
    gate.reached(1).await;
    asking.abort();
    assert!(asking.await.is_err());
    assert_eq!(it.gitlab.live_tokens(), []);
    gate.open();
    for _ in 0..6000 {
        if it.gitlab.live_tokens().len() == 1 {
            return it.gitlab.remove(Place::Project(project));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it was never made");
}

#[tokio::test]
async fn it_is_the_issuer_of_id_tokens_too() {
    let it = Tried::new(MakeBelieve::builder().relative_root("/gitlab")).await;
    let document =
        client().get(format!("{}/.well-known/openid-configuration", it.gitlab.url())).send().await.unwrap();
    let document: Value = serde_json::from_str(&document.text().await.unwrap()).unwrap();
    assert_eq!(document["issuer"], it.gitlab.url());
    it.gitlab.faults().script("GET /gitlab/oauth/discovery/keys", [Fault::Status(500, "{}")]);
    let keys = || client().get(document["jwks_uri"].as_str().unwrap()).send();
    assert_eq!(
        (keys().await.unwrap().status().as_u16(), keys().await.unwrap().status().as_u16()),
        (500, 200)
    );
}
