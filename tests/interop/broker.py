"""The token broker with clients that others have written: an RFC 8693 client of google-auth, unchanged, and git over smart HTTP; and the
component broker-token, run as GitLab and its runner would. All over TLS.

Usage: broker.py --countersign BINARY --suite TEST-BINARY

The GitLab is the one of the tests (`broker::standalone`), run as a process of its own; what git pushes to is git's own `http-backend`
behind it, which asks that GitLab whether a token opens.
"""

import argparse
import base64
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
import urllib.parse
import urllib.request

import broker_component
from world import tls

MARK = "gitlab> "
ROLE = """
    - name: push
      kind: project
      path: "{project_path}"
      scopes: [read_repository, write_repository]
      access_level: developer
      ttl: 5m
      max_per_token: 20
      when: claims.namespace_path == "my-group"
    - name: chosen
      kind: project-deploy
      path: { requested: "my-group/[a-z-]+" }
      scopes: [read_repository, read_registry]
      ttl: 5m
      max_per_token: 20
      when: claims.namespace_path == "my-group"
"""


class GitLab:
    """The make-believe one: an order on a line, an answer on a line."""

    def __init__(self, suite: pathlib.Path):
        self.process = subprocess.Popen([suite, "--ignored", "--exact", "--nocapture", "broker::standalone::child_that_is_a_gitlab"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.__dict__.update(self.answer())
        self.order("project", path="my-group/my-project")
        self.order("project", path="my-group/tools")

    def answer(self) -> dict:
        for line in self.process.stdout:
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
        raise AssertionError("the GitLab ended")

    def order(self, what: str, **more) -> dict:
        print(json.dumps({"do": what} | more), file=self.process.stdin, flush=True)
        return self.answer()

    def live(self) -> int:
        return self.order("live")["live"]


class World:
    def __init__(self, args: argparse.Namespace, directory: pathlib.Path):
        self.countersign, self.directory = args.countersign.resolve(), directory
        self.gitlab = GitLab(args.suite.resolve())
        credential = directory / "gitlab.token"
        credential.write_text(self.gitlab.credential)
        credential.chmod(0o600)
        config = directory / "countersign.yaml"
        config.write_text(
            f"listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\nca: {{ ephemeral: {{}} }}\nlog: {{ mode: none }}\ndata: data\n"
            f"issuers: [{{ url: \"{self.gitlab.url}\", type: gitlab-pipeline }}]\nbroker:\n  audience: {self.gitlab.audience}\n  rate_per_project: 6000\n"
            f"  targets: [{{ name: gitlab, url: \"{self.gitlab.url}\", token: {{ file: gitlab.token }} }}]\n  roles:{ROLE}{tls(directory)}\n")
        self.server = subprocess.Popen([self.countersign, "--json", "serve", "--config", config], stdout=subprocess.PIPE,
                                       stderr=(directory / "server.log").open("w"), text=True)
        up = ""
        while not up.endswith("\n}\n"):
            up += self.server.stdout.readline() or exit("the server ended: " + (directory / "server.log").read_text())
        up = json.loads(up)
        self.url, self.admin = up["listening"], up["admin"]

    def id_token(self, **claims) -> str:
        return self.gitlab.order("token", claims=claims)["token"]

    def environment(self) -> dict[str, str]:
        return os.environ | {"BROKER_ID_TOKEN": self.id_token(), "COUNTERSIGN_URL": self.url, "CI_SERVER_URL": self.gitlab.url,
                             "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self.directory), "GIT_TERMINAL_PROMPT": "0"}

    def nothing_lives(self, beside: int = 0) -> None:
        """Beside so many that lived before."""
        for _ in range(200):
            if self.gitlab.live() == beside:
                return
            threading.Event().wait(0.05)
        raise AssertionError(f"{self.gitlab.live()} tokens live on, {beside} of them from before")

    def dies(self, token: str) -> bool:
        """Who ends a token is answered when that is durable; GitLab is asked right after."""
        for _ in range(200):
            if not self.gitlab.order("opens", token=token)["opens"]:
                return True
            threading.Event().wait(0.05)
        return False


def google_auth_exchanges_a_token_unchanged(world: World) -> None:
    import google.auth.exceptions
    import google.auth.transport.requests
    import google.oauth2.sts

    request = google.auth.transport.requests.Request()
    client = google.oauth2.sts.Client(f"{world.url}/v1/token-exchange")
    exchange = lambda token, **more: client.exchange_token(
        request, grant_type="urn:ietf:params:oauth:grant-type:token-exchange", subject_token=token,
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        requested_token_type="urn:ietf:params:oauth:token-type:access_token", **more)
    answer = exchange(world.id_token(), audience="push", scopes=["read_repository"])
    assert answer["scope"] == "read_repository" and answer["token_type"] == "Bearer", answer
    assert world.gitlab.order("opens", token=answer["access_token"])["opens"]
    for wrong, said in [(dict(audience="nobody"), "invalid_target"), (dict(audience="push", scopes=["sudo"]), "invalid_scope")]:
        try:
            raise AssertionError(f"{wrong} was given {exchange(world.id_token(), **wrong)}")
        except google.auth.exceptions.OAuthError as error:
            assert said in str(error), error
    body = urllib.parse.urlencode({"token": answer["access_token"]}).encode()
    assert urllib.request.urlopen(f"{world.url}/v1/token-revoke", body).status == 200
    world.nothing_lives()


class Repository(http.server.BaseHTTPRequestHandler):
    """git's own backend; whoever pushes shows a token that opens the GitLab."""

    protocol_version = "HTTP/1.1"
    world: World
    seen: list[str] = []

    def log_message(self, *_) -> None:
        pass

    def answer(self) -> None:
        scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
        name, _, token = base64.b64decode(credentials).decode().partition(":") if scheme == "Basic" else ("", "", "")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not token or not self.world.gitlab.order("opens", token=token)["opens"]:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="GitLab"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.seen.append(name)
        path, _, query = self.path.partition("?")
        done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=os.environ | {
            "GIT_PROJECT_ROOT": str(self.world.directory / "repositories"), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "REMOTE_USER": name, "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", "")})
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for field in fields.items():
            self.send_header(*field)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer


def git(world: World, *words: object, at: pathlib.Path, env: dict[str, str]) -> str:
    done = subprocess.run(["git", *map(str, words)], cwd=at, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"git {words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def git_pushes_with_the_credential_helper(world: World) -> None:
    bare = world.directory / "repositories" / "my-group" / "my-project.git"
    bare.mkdir(parents=True)
    env = world.environment()
    git(world, "init", "--bare", "--quiet", at=bare, env=env)
    git(world, "config", "http.receivepack", "true", at=bare, env=env)
    Repository.world = world
    backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Repository)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{backend.server_port}"
    env["CI_SERVER_URL"] = url
    work = world.directory / "work"
    work.mkdir()
    git(world, "init", "--quiet", "--initial-branch", "main", at=work, env=env)
    for setting in [("user.name", "ci"), ("user.email", "ci@example.com")]:
        git(world, "config", *setting, at=work, env=env)
    git(world, "commit", "--quiet", "--allow-empty", "-m", "by a job", at=work, env=env)
    push = ("push", "--quiet", f"{url}/my-group/my-project.git", "HEAD:main")
    refused = subprocess.run(["git", *push], cwd=work, env=env, capture_output=True, text=True)
    assert refused.returncode != 0, "it pushed without a token"
    git(world, "config", f"credential.{url}.helper", f"!{world.countersign} broker git-credential --role push", at=work, env=env)
    git(world, *push, at=work, env=env)
    assert git(world, "rev-parse", "main", at=bare, env=env) == git(world, "rev-parse", "HEAD", at=work, env=env)
    assert Repository.seen and all(user.startswith("countersign-") for user in Repository.seen), Repository.seen
    backend.shutdown()


def a_command_has_the_token_for_as_long_as_it_runs(world: World) -> None:
    for code in (0, 7):
        script = 'test -n "$GITLAB_TOKEN" && printf %s "$GITLAB_TOKEN" >token && exit ' + str(code)
        words = [world.countersign, "broker", "token", "--role", "push", "--", "sh", "-c", script]
        done = subprocess.run(words, cwd=world.directory, env=world.environment(), capture_output=True, text=True)
        assert done.returncode == code, done
        token = (world.directory / "token").read_text()
        assert token and token not in done.stdout + done.stderr
        assert world.dies(token), "it outlived its command"
    printed = subprocess.run([world.countersign, "broker", "token", "--role", "push"], env=world.environment(), capture_output=True, text=True)
    assert printed.returncode == 0 and world.gitlab.order("opens", token=printed.stdout.strip())["opens"], printed


def operators_list_and_end_what_lives(world: World) -> None:
    env = world.environment() | {"COUNTERSIGN_ADMIN_URL": world.admin}
    broker = lambda *words: subprocess.run([world.countersign, "broker", *words], env=env, capture_output=True, text=True)
    for _ in range(3):
        assert broker("token", "--role", "push").returncode == 0
    assert broker("token", "--role", "nobody").returncode == 1
    active = json.loads(broker("leases", "--state", "active", "--json").stdout)["leases"]
    assert len(active) >= 3 and all(lease["role"] == "push" for lease in active), active
    assert "push" in broker("leases", "--role", "push").stdout
    assert "BROKER_TARGET_REFUSED" in broker("leases", "--refused").stdout
    one = broker("revoke", "--lease", active[0]["id"])
    assert one.returncode == 0, one
    everything = broker("revoke", "--all")
    assert everything.returncode == 0, everything
    world.nothing_lives()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--countersign", type=pathlib.Path, required=True)
    parser.add_argument("--suite", type=pathlib.Path, required=True, help="the binary of the tests, as `cargo test --no-run` makes it")
    args = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        world = World(args, pathlib.Path(directory))
        try:
            for test in (google_auth_exchanges_a_token_unchanged, git_pushes_with_the_credential_helper,
                         a_command_has_the_token_for_as_long_as_it_runs, *broker_component.TESTS, operators_list_and_end_what_lives):
                name = test.__name__.replace("_", " ")
                if test is git_pushes_with_the_credential_helper and not shutil.which("git"):
                    print(f"!!! SKIPPED: {name}: no git")
                    continue
                try:
                    test(world)
                    print(f"ok       {name}")
                except Exception:
                    failed += 1
                    print(f"FAILED   {name}")
                    traceback.print_exc(file=sys.stdout)
        finally:
            world.server.kill()
            world.gitlab.process.kill()
        said = (world.directory / "server.log").read_text()
        if failed:
            print(said[-4000:])
    return failed


if __name__ == "__main__":
    sys.exit(main())
