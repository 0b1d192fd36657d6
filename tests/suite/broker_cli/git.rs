//! git's helper, asked by hand and by git.

use super::{Broker, EXCHANGE, Ended, ID_TOKEN, LOGIN, REVOKE, TOKEN};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use serde_json::json;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// git as a job has it, in the broker's directory: with nothing of whoever runs the tests, and nobody to ask.
fn git_of_a_job(broker: &Broker) -> Command {
    let mut command = Command::new("git");
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("BROKER_ID_TOKEN", ID_TOKEN)
        .env("COUNTERSIGN_URL", &broker.url)
        .env_remove("GIT_ASKPASS")
        .env_remove("SSH_ASKPASS")
        .current_dir(broker.directory.path());
    command
}

#[test]
fn git_gets_a_login_for_its_gitlab_and_for_nothing_else() {
    let broker = Broker::start();
    let gitlab = "https://gitlab.example.com";
    let helper = |action, about: &str| {
        broker.run_with(&["git-credential", "--role", "push", "--gitlab", gitlab, action], about)
    };
    let about = "protocol=https\nhost=gitlab.example.com\npath=a/b.git\n\n";
    let ended = helper("get", about);
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines[..2], [&*format!("username={LOGIN}"), &format!("password={TOKEN}")]);
    let ends: u64 = lines[2].strip_prefix("password_expiry_utc=").unwrap().parse().unwrap();
    assert!(ends > 1_700_000_000 && lines.len() == 3);
    let deploy = json!({ "access_token": TOKEN, "expires_in": 9, "token_kind": "project-deploy", "username": "gitlab+deploy-token-1" });
    broker.script(EXCHANGE, [(200, deploy)]);
    assert!(helper("get", about).out.starts_with("username=gitlab+deploy-token-1\n"));
    broker.asked();
    for other in [
        "protocol=https\nhost=evil.example\n\n",
        "protocol=http\nhost=gitlab.example.com\n\n",
        "protocol=https\nhost=gitlab.example.com:444\n\n",
        // A URL's reader would take these for the host.
        "protocol=https\nhost=gitlab.example.com\r\n\n",
        "protocol=https\nhost=gitlab.exa\tmple.com\n\n",
        "protocol=https\nhost=/gitlab.example.com\n\n",
        "protocol=https\nhost=gitlab%2eexample.com\n\n",
        "protocol=https\nhost=ｇitlab.example.com\n\n",
        "",
    ] {
        for action in ["get", "erase"] {
            let ended = helper(action, &format!("{}\npassword={TOKEN}\n\n", other.trim_end_matches('\n')));
            assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "", ""), "{other}");
        }
    }
    assert_eq!(
        helper("store", &format!("protocol=https\nhost=gitlab.example.com\npassword={TOKEN}\n")).code,
        0
    );
    assert_eq!(broker.routes(), [""; 0]);
    // What another helper gave is sent to nobody, whatever it looks like: the login's name says whose it is.
    for other in
        ["oauth2", "gitlab+deploy-token-1", "countersign-1", &format!("{LOGIN}0"), "countersign-../x", ""]
    {
        let about = format!("protocol=https\nhost=gitlab.example.com\nusername={other}\npassword={TOKEN}\n");
        let ended = helper("erase", &about);
        assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "", ""), "{other}");
        assert_eq!(broker.routes(), [""; 0], "{other}");
    }
    let ended = helper(
        "erase",
        &format!("protocol=https\nhost=gitlab.example.com\nusername={LOGIN}\npassword={TOKEN}\n"),
    );
    assert_eq!(ended.code, 0, "{}", ended.err);
    let asked = broker.asked();
    let fields = &asked[0].1;
    assert_eq!((asked.len(), asked[0].0.as_str(), fields.len()), (1, REVOKE, 2));
    assert_eq!((fields["lease_id"].as_str(), fields["subject_token"].as_str()), (&LOGIN[12..], ID_TOKEN));
    // Refused: no other helper is asked, and no person.
    broker.script(EXCHANGE, [(400, json!({}))]);
    let ended = helper("get", about);
    assert_eq!((ended.code, ended.out.as_str()), (1, "quit=1\n"));
    let trigger = json!({ "access_token": TOKEN, "token_kind": "pipeline-trigger" });
    broker.script(EXCHANGE, [(200, trigger)]);
    assert_eq!(helper("get", about).out, "quit=1\n");
    assert_eq!(
        broker
            .run(&["git-credential", "--role", "push", "--gitlab", "http://gitlab.example.com", "get"])
            .code,
        2
    );
}

/// git itself asks the helper, as it does before a push.
#[test]
fn git_speaks_with_the_helper() {
    let broker = Broker::start();
    let helper = format!(
        "!'{}' broker git-credential --role push --gitlab https://gitlab.example.com",
        env!("CARGO_BIN_EXE_countersign")
    );
    let git = |action: &str, about: &str| {
        let mut command = git_of_a_job(&broker);
        command.args(["-c", &format!("credential.helper={helper}"), "credential", action]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut process) = command.spawn() else { return None };
        process.stdin.take().unwrap().write_all(about.as_bytes()).unwrap();
        Some(Ended::of(process.wait_with_output().unwrap()))
    };
    let Some(ended) = git("fill", "protocol=https\nhost=gitlab.example.com\n\n") else { return };
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains(&format!("username={LOGIN}\npassword={TOKEN}\n")), "{}", ended.out);
    git(
        "reject",
        &format!("protocol=https\nhost=gitlab.example.com\nusername={LOGIN}\npassword={TOKEN}\n\n"),
    );
    assert_eq!(broker.routes(), [EXCHANGE, REVOKE]);
    assert_ne!(git("fill", "protocol=https\nhost=other.example\n\n").unwrap().code, 0);
    assert_eq!(broker.routes(), [""; 0]);
}

/// A smart-HTTP server for the repositories below a directory: git's own, for whoever logs in with the token.
async fn smart_http(State(root): State<Arc<String>>, request: axum::extract::Request) -> Response<Body> {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use tokio::io::AsyncWriteExt as _;
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    if header("authorization") != format!("Basic {}", BASE64_STANDARD.encode(format!("{LOGIN}:{TOKEN}"))) {
        let challenge = Response::builder().status(401).header("www-authenticate", "Basic realm=\"GitLab\"");
        return challenge.body(Body::empty()).unwrap();
    }
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut backend = tokio::process::Command::new("git");
    backend.arg("http-backend").env("GIT_PROJECT_ROOT", &*root).env("GIT_HTTP_EXPORT_ALL", "1");
    backend.env("PATH_INFO", parts.uri.path()).env("QUERY_STRING", parts.uri.query().unwrap_or_default());
    backend.env("REQUEST_METHOD", parts.method.as_str()).env("CONTENT_TYPE", header("content-type"));
    backend.env("HTTP_CONTENT_ENCODING", header("content-encoding")).env("REMOTE_USER", LOGIN);
    backend.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = backend.spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(&body).await.unwrap();
    drop(stdin);
    let answer = process.wait_with_output().await.unwrap().stdout;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("headers");
    let mut response = Response::builder();
    for line in std::str::from_utf8(&answer[..end]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(Body::from(answer[end + 4..].to_vec())).unwrap()
}

#[test]
fn git_pushes_with_a_token_that_the_helper_got() {
    let broker = Broker::start();
    let directory = broker.directory.path();
    let git = |arguments: &[&str]| {
        let mut command = git_of_a_job(&broker);
        command
            .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .env("no_proxy", "127.0.0.1");
        command.output().ok().map(Ended::of)
    };
    // Without git, or without its server, there is nothing to see.
    let Some(backend) = Command::new("git").arg("--exec-path").output().ok() else { return };
    let backend = String::from_utf8(backend.stdout).unwrap();
    if !std::path::Path::new(backend.trim()).join("git-http-backend").exists() {
        return;
    }
    let done = |arguments: &[&str]| {
        let ended = git(arguments).unwrap();
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.err);
        ended.out
    };
    done(&["init", "--quiet", "--bare", "root/a/b.git"]);
    done(&["init", "--quiet", "work"]);
    done(&["-C", "work", "commit", "--quiet", "--allow-empty", "-m", "first"]);
    let root = Arc::new(directory.join("root").display().to_string());
    let listener = broker.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let gitlab = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(smart_http).with_state(root);
    broker.runtime.spawn(async move { axum::serve(listener, router).await });
    let helper = |gitlab: &str| {
        let binary = env!("CARGO_BIN_EXE_countersign");
        format!("credential.helper=!'{binary}' broker git-credential --role push --gitlab {gitlab}")
    };
    let remote = format!("{gitlab}/a/b.git");
    let push = ["-C", "work", "push", "--quiet", &remote, "HEAD:refs/heads/main"];
    let elsewhere = helper("https://gitlab.example.com");
    assert_ne!(git(&[&["-c", &elsewhere], &push[..]].concat()).unwrap().code, 0);
    assert_eq!(broker.routes(), [""; 0]);
    done(&[&["-c", &helper(&gitlab)], &push[..]].concat());
    assert_eq!(broker.routes(), [EXCHANGE]);
    let head = |at| done(&["-C", at, "rev-parse", "HEAD"]);
    assert_eq!(done(&["-C", "root/a/b.git", "rev-parse", "main"]), head("work"));
}
