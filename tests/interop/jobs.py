"""Jobs of the components in deploy/gitlab: who runs them, the variables that GitLab gives them, and a directory that they run in."""

import dataclasses
import pathlib
import subprocess

import gitlab_ci
from gitlab_ci import Component, Runner
from world import HERE, World, printed

DEPLOY = HERE.parent.parent / "deploy"


def components() -> dict[str, Component]:
    found = {path.stem: Component(path) for path in sorted((DEPLOY / "gitlab" / "templates").glob("*.yml"))}
    assert len(found) == 6, found.keys()
    return found


@dataclasses.dataclass
class Job:
    """Who runs: a project, and the ref that its pipeline is for."""

    project: str = "acme/widgets"
    project_id: str = "20"
    ref: str = "main"
    tag: bool = False
    protected: str = "true"

    def path(self) -> str:
        return f"refs/{'tags' if self.tag else 'heads'}/{self.ref}"

    def token(self, world: World) -> str:
        kind = "tag" if self.tag else "branch"
        return world.gitlab.token(
            project_id=self.project_id, project_path=self.project, job_project_id=self.project_id, job_project_path=self.project,
            ref=self.ref, ref_type=kind, ref_path=self.path(), ref_protected=self.protected,
            ci_config_ref_uri=f"{world.gitlab.host}/{self.project}//.gitlab-ci.yml@{self.path()}",
            sub=f"project_path:{self.project}:ref_type:{kind}:ref:{self.ref}")

    def variables(self, world: World) -> dict[str, str]:
        """GitLab's predefined variables, as far as a job may look at them."""
        claims, url = world.gitlab.claims(), f"{world.gitlab.url}/{self.project}"
        return {
            "CI": "true", "GITLAB_CI": "true", "CI_SERVER_URL": world.gitlab.url, "CI_SERVER_FQDN": world.gitlab.host,
            "CI_PROJECT_URL": url, "CI_PROJECT_PATH": self.project, "CI_PROJECT_ID": self.project_id, "CI_DEFAULT_BRANCH": "main",
            "CI_COMMIT_SHA": claims["sha"], "CI_COMMIT_REF_NAME": self.ref, "CI_CONFIG_PATH": ".gitlab-ci.yml",
            "CI_PIPELINE_ID": claims["pipeline_id"], "CI_PIPELINE_SOURCE": claims["pipeline_source"], "CI_JOB_ID": claims["job_id"],
            "CI_JOB_URL": f"{url}/-/jobs/{claims['job_id']}", "CI_JOB_NAME": "countersign", "CI_RUNNER_ID": str(claims["runner_id"]),
            "CI_RUNNER_VERSION": "18.6.0", "CI_JOB_STARTED_AT": "2026-11-22T00:00:00Z",
        } | ({"CI_COMMIT_TAG": self.ref} if self.tag else {"CI_COMMIT_BRANCH": self.ref})


def settings(world: World) -> dict[str, str]:
    """The CI/CD variables that somebody sets for the group, once: what `countersign trust digests` prints."""
    digests = dict(reversed(line.split()) for line in printed(world.countersign, "trust", "digests", "--config", world.config).splitlines()
                   if len(line.split()) == 2)
    return {"CA": world.url, "TRUSTED_ROOT_SHA256": digests["trusted_root.json"],
            "SIGNING_CONFIG_SHA256": digests["signing_config.v0.2.json"], "COUNTERSIGN_IMAGE": "the/image@sha256:00",
            "SSL_CERT_FILE": str(world.path("tls-ca.pem"))}


class Pipeline:
    """A directory in which jobs run one after the other, as if each had the artifacts of those before."""

    def __init__(self, world: World, name: str, shell: list[str] | None = None, programs: dict[str, str] | None = None) -> None:
        self.world, self.settings = world, settings(world)
        self.runner = Runner(world.path(name), {"countersign": world.countersign} | (programs or {}), shell)
        self.directory = self.runner.directory

    def start(self, configuration: dict, name: str, who: Job, left: dict[str, dict[str, str]] | None = None,
              **overridden: str) -> subprocess.CompletedProcess:
        job = gitlab_ci.jobs(configuration)[name]
        variables = gitlab_ci.environment(configuration, name, who.variables(self.world), self.settings | overridden, left)
        if "id_tokens" in job:
            assert job["id_tokens"] == {"SIGSTORE_ID_TOKEN": {"aud": "sigstore"}}, job["id_tokens"]
            variables["SIGSTORE_ID_TOKEN"] = who.token(self.world)
        done = self.runner.run(job, variables)
        assert not (self.directory / "pwned").exists(), f"{name}: something ran\n{done.stdout}{done.stderr}"
        assert not variables.get("SIGSTORE_ID_TOKEN") or variables["SIGSTORE_ID_TOKEN"] not in done.stdout + done.stderr
        return done

    def component(self, name: str, who: Job = Job(), says: str | None = None, variables: dict[str, str] | None = None,
                  left: dict[str, dict[str, str]] | None = None, own: dict | None = None, **inputs: object) -> str:
        """A component's job: it ends well, or saying something. `left` is what earlier jobs have left in dotenv reports, `own` what the
        pipeline writes under the job's name."""
        given = {key.replace("_", "-"): value for key, value in inputs.items()}
        whole = gitlab_ci.merged(components()[name].render(given), {f"countersign-{name}": own or {}})
        done = self.start(whole, f"countersign-{name}", who, left, **(variables or {}))
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == (says is not None) and (says or "") in said, f"{name} ended with {done.returncode}:\n{said}"
        return said

    def write(self, name: str, content: str = "what was built\n") -> pathlib.Path:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        return path
