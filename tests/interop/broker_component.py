"""deploy/gitlab/templates/broker-token.yml, put together with inputs and run in a shell with a job's environment, against a broker
and the make-believe GitLab behind it."""

import os
import shutil
import threading

import gitlab_ci
from gitlab_ci import Runner
from jobs import components

NAME = "countersign-broker-token"
OLD = "glpat-OLD-LONG-LIVED"
# What a commit's message may look like when somebody wants a shell to run it.
HOSTILE = '"; touch pwned; $(touch pwned) `touch pwned` \'; touch pwned; \' $GITLAB_TOKEN'


class Job:
    """A directory that jobs run in, with a shell of some image. `world` is broker.py's."""

    def __init__(self, world, name: str, shell: list[str]) -> None:
        self.world, self.runner = world, Runner(world.directory / name, {"countersign": world.countersign}, shell)
        self.directory = self.runner.directory

    def run(self, says: str | None = None, settings: dict[str, str] | None = None, code: int = 1, **inputs: str) -> str:
        """The job ends well, or with `code`, saying something. `settings` are CI/CD variables of the project."""
        given = {"role": "push"} | {key.replace("_", "-"): value for key, value in inputs.items()}
        whole = components()["broker-token"].render(given)
        above = {"CA": self.world.url, "BROKER_AUDIENCE": self.world.gitlab.audience, "COUNTERSIGN_IMAGE": "the/image@sha256:00",
                 "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"]} | (settings or {})
        predefined = {"CI": "true", "GITLAB_CI": "true", "CI_SERVER_URL": self.world.gitlab.url, "CI_COMMIT_MESSAGE": HOSTILE}
        variables = gitlab_ci.environment(whole, NAME, predefined, above)
        (variable, wanted), = whole[NAME]["id_tokens"].items()
        assert gitlab_ci.expanded(wanted["aud"], variables, set()) == self.world.gitlab.audience, wanted
        variables[variable] = self.world.id_token()
        done = self.runner.run(whole[NAME], variables)
        said = done.stdout + done.stderr
        assert not (self.directory / "pwned").exists(), f"something ran:\n{said}"
        assert done.returncode == (0 if says is None else code) and (says or "") in said, f"it ended with {done.returncode}:\n{said}"
        assert variables[variable] not in said and OLD not in said, said
        return said

    def read(self, name: str) -> str:
        """What the command has written, once."""
        content = (self.directory / name).read_text()
        (self.directory / name).unlink()
        return content


def every_shell(world, name: str) -> list[Job]:
    shells = [["sh"], ["bash"], ["busybox", "sh"]]
    return [Job(world, f"{name}-{shell[0]}", shell) for shell in shells if shutil.which(shell[0])]


def the_component_gives_its_command_a_token_that_ends_with_it(world) -> None:
    for job in every_shell(world, "whole"):
        before = world.gitlab.live()
        # In what the runner writes bash ends with 1, whatever the last command ended with.
        code = 1 if job.runner.shell == ["bash"] else 7
        gate, held, failed = job.directory / "gate", [], []
        os.mkfifo(gate)

        def run() -> None:
            try:
                # `$` is the shell's: of the command itself, in which there is the token.
                job.run("", code=code, command='printf %s "$GITLAB_TOKEN" >token; tr "\\0" " " </proc/$PPID/cmdline >line; cat gate; exit 7')
            except Exception as error:
                failed.append(error)
            finally:
                # Whoever waits for the command does not wait for ever.
                held.append(os.open(gate, os.O_RDONLY | os.O_NONBLOCK))

        running = threading.Thread(target=run)
        running.start()
        with gate.open("w"):
            token = (job.directory / "token").read_text() if (job.directory / "token").exists() else ""
            opened = world.gitlab.order("opens", token=token)["opens"]
        running.join()
        os.close(held[0])
        if failed:
            raise failed[0]
        assert token and opened, "the command had no token"
        assert token not in (line := job.read("line")) and "broker token" in line, line
        assert world.dies(token), "it outlived its command"
        # Another project's deploy token, with fewer scopes, and its user name.
        job.run(role="chosen", path="my-group/tools", scopes="read_repository", command='printf "%s %s" "$GITLAB_USERNAME" "$GITLAB_TOKEN" >seen')
        username, _, token = job.read("seen").partition(" ")
        assert username.startswith("gitlab+deploy-token-") and token, username
        world.nothing_lives(before)


def the_component_never_takes_a_token_that_was_there_before(world) -> None:
    for job in every_shell(world, "before"):
        before = world.gitlab.live()
        write = 'printf "%s|%s" "$PUSH_TOKEN" "${GITLAB_TOKEN-none}" >seen'
        said = job.run("has a variable GITLAB_TOKEN already", settings={"GITLAB_TOKEN": OLD}, command=write)
        assert "token-variable" in said and not (job.directory / "seen").exists(), said
        job.run("has a variable PUSH_TOKEN already", settings={"PUSH_TOKEN": OLD}, token_variable="PUSH_TOKEN", command=write)
        job.run("has a variable PATH already", token_variable="PATH", command=write)
        # Under a name of its own it stands beside the old one, which the command does not see.
        job.run(settings={"GITLAB_TOKEN": OLD, "GITLAB_USERNAME": "old"}, token_variable="PUSH_TOKEN", command=write)
        token, _, old = job.read("seen").partition("|")
        assert token and token != OLD and old == "none", (token, old)
        # What the broker refuses is not run.
        job.run("BROKER_TARGET_REFUSED", role="nobody", command="cat /dev/null >seen")
        job.run("BROKER_SCOPE_REFUSED", scopes="sudo", command="cat /dev/null >seen")
        assert not (job.directory / "seen").exists()
        world.nothing_lives(before)


def nothing_but_the_components_command_is_run(world) -> None:
    for job in every_shell(world, "hostile"):
        before = world.gitlab.live()
        job.run(command='printf %s "$CI_COMMIT_MESSAGE" >seen')
        assert job.read("seen") == HOSTILE
        # Pipeline variables stand above the file's.
        for name, says in {"ROLE": "BROKER_", "PATH": "BROKER_", "SCOPES": "BROKER_", "SERVER": "https:// URL", "TOKEN_VARIABLE": "name of a variable"}.items():
            for text in [HOSTILE, "x}$(touch pwned)", "-rf", "a b"]:
                job.run(says, settings={f"COUNTERSIGN_INPUT_{name}": text}, command="cat /dev/null >seen")
                assert not (job.directory / "seen").exists(), (name, text)
        job.run("BROKER_ROLE) is empty", role="$NOTHING", command="cat /dev/null >seen")
        job.run("https:// URL", server=world.url.replace("https", "http"), command="cat /dev/null >seen")
        world.nothing_lives(before)


TESTS = (the_component_gives_its_command_a_token_that_ends_with_it, the_component_never_takes_a_token_that_was_there_before,
         nothing_but_the_components_command_is_run)
