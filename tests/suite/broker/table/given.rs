//! What jobs ask for in the table, a role of each kind, and what they do with what they are given.

use super::machine::BELL;
use countersign::broker::Kind;
use reqwest::Client;
use url::form_urlencoded::Serializer;

/// A role of each kind, named like it, and the bell's.
pub fn roles() -> String {
    let role = |kind: &Kind| {
        let path = match kind {
            Kind::Impersonation => "",
            Kind::Personal => "alice",
            Kind::UserServiceAccount => "robot",
            Kind::Group | Kind::GroupDeploy => "{namespace_path}",
            Kind::Project | Kind::ProjectDeploy | Kind::PipelineTrigger => "{project_path}",
            Kind::GroupServiceAccount => "my-group/group-bot",
            Kind::ProjectServiceAccount => "my-group/my-project/project-bot",
        };
        let scopes = match kind {
            Kind::PipelineTrigger => "",
            Kind::ProjectDeploy => "[read_repository]",
            Kind::GroupDeploy => "[read_registry]",
            // One that can replace itself ends in another way.
            Kind::Personal => "[api]",
            _ => "[read_api]",
        };
        let level = if kind.has_access_level() { "reporter" } else { "" };
        let mut text = format!(
            "\n    - {{ name: {kind}, kind: {kind}, ttl: 5m, when: 'claims.namespace_path == \"my-group\"'"
        );
        for (key, value) in [("path", path), ("scopes", scopes), ("access_level", level)] {
            if !value.is_empty() {
                let value = if value.starts_with('{') { format!("'{value}'") } else { value.to_owned() };
                text += &format!(", {key}: {value}");
            }
        }
        text + " }"
    };
    let bell = format!(
        "\n    - {{ name: {BELL}, kind: pipeline-trigger, path: my-group/tools, token_name: {BELL}, ttl: 24h, when: 'claims.namespace_path \
         == \"my-group\"' }}\n"
    );
    Kind::ALL.iter().map(role).collect::<String>() + &bell
}

/// A token that a job was given.
#[derive(Clone, Debug)]
pub struct Given {
    pub kind: Kind,
    pub lease: String,
    pub token: String,
    pub username: Option<String>,
}

impl Given {
    /// Uses it where such a token is used; whether it opened anything.
    pub async fn opens(&self, http: &Client, gitlab: &str) -> bool {
        let at = |path: &str| format!("{gitlab}{path}");
        let api = |path: &str| http.get(at(&format!("/api/v4{path}"))).header("private-token", &self.token);
        let login = |path: &str| {
            http.get(at(path)).basic_auth(self.username.as_ref().expect("a name"), Some(&self.token))
        };
        let (request, yes, no) = match self.kind {
            Kind::Project => (api("/projects/my-group%2Fmy-project"), 200, 401),
            Kind::Group => (api("/groups/my-group"), 200, 401),
            Kind::ProjectDeploy => {
                (login("/my-group/my-project.git/info/refs?service=git-upload-pack"), 200, 401)
            }
            Kind::GroupDeploy => {
                let scope = "repository:my-group/my-project:pull";
                (login(&format!("/jwt/auth?service=container_registry&scope={scope}")), 200, 401)
            }
            Kind::PipelineTrigger => {
                let form = Serializer::new(String::new())
                    .append_pair("token", &self.token)
                    .append_pair("ref", "main")
                    .finish();
                let request = http.post(at("/api/v4/projects/my-group%2Fmy-project/trigger/pipeline"));
                (request.header("content-type", "application/x-www-form-urlencoded").body(form), 201, 404)
            }
            _ => (api("/personal_access_tokens/self"), 200, 401),
        };
        let status = request.send().await.expect("an answer").status().as_u16();
        assert!([yes, no].contains(&status), "{self:?}: {status}");
        status == yes
    }
}
