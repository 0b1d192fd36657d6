//! A group was renamed, and somebody else has made another one of the old name. The job's ID token is from before.

use super::{World, refusal, refused_target};
use crate::support::gitlab::Place;
use crate::support::secrets;

const ROLES: &str = r#"
    - name: made
      kind: project
      path: "{namespace_path}/tools"
      scopes: [read_api]
      access_level: reporter
      ttl: 5m
      max_per_token: 2
      when: claims.namespace_id == "72"
    - name: chosen
      kind: project-deploy
      path: { requested: ".*" }
      scopes: [read_repository]
      ttl: 5m
      max_per_token: 3
      when: claims.namespace_id == "72" && request.path.startsWith(claims.namespace_path + "/")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_another_group_of_the_same_name_is_not_the_jobs() {
    let world = World::with(ROLES, "").await;
    let gitlab = &world.gitlab;
    gitlab.project("my-group/sub/deep/tools");
    let asked = [
        &[("role", "made")][..],
        &[("role", "chosen"), ("path", "my-group/tools")],
        &[("role", "chosen"), ("path", "my-group/sub/deep/tools")],
    ];
    let token = world.id_token();
    for form in asked {
        let answer = world.exchange(&token, form).await;
        assert_eq!(answer.status, 200, "{form:?}: {}", answer.text());
        secrets::note(answer.json()["access_token"].as_str().expect("a token").as_bytes());
    }
    world.revoke_all().await;
    for path in ["tools", "sub/deep/tools", "my-project"] {
        let project = Place::Project(gitlab.project(&format!("my-group/{path}")));
        gitlab.rename(project, &format!("before/{path}"));
    }
    for path in ["/sub/deep", "/sub", ""] {
        let group = Place::Group(gitlab.group(&format!("my-group{path}")));
        gitlab.rename(group, &format!("before{path}"));
    }
    gitlab.rename(Place::Group(gitlab.group("stranger")), "my-group");
    gitlab.project("my-group/tools");
    gitlab.project("my-group/sub/deep/tools");
    for form in asked {
        assert_eq!(refusal(&world.exchange(&token, form).await), refused_target(), "{form:?}");
    }
    assert_eq!(world.live(), []);
}
