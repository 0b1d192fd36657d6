"""GitLab's side of a pipeline: inputs put into a component's text, files included, variables expanded, and a job's script run as a
runner runs it. Strict: what GitLab would refuse is refused here, and so is what this does not know.

https://docs.gitlab.com/ci/inputs/ and https://docs.gitlab.com/ci/components/ say how.
"""

import copy
import json
import pathlib
import re
import shlex
import shutil
import subprocess

import yaml

BLOCK = re.compile(r"\$\[\[\s*(\S.*?\S)\s*\]\]")
VARIABLE = re.compile(r"\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
TYPES = {"string": str, "boolean": bool, "array": list}
# What stands in a file beside its jobs.
NO_JOBS = {"include", "stages", "variables", "workflow", "default", "spec"}


class Refused(Exception):
    """GitLab would not make a pipeline of this."""


class Loader(yaml.SafeLoader):
    """YAML in which a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        made = super().construct_mapping(node, deep)
        if len(made) != len(node.value):
            raise Refused(f"a key stands twice: {node.start_mark}")
        return made


def load(text: str) -> dict:
    try:
        loaded = yaml.load(text, Loader)  # noqa: S506 - it is a SafeLoader
    except yaml.YAMLError as error:
        raise Refused(f"not YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise Refused("not a mapping")
    return loaded


class Component:
    """A file of two documents: a header that names the inputs, and the configuration that they are put into."""

    def __init__(self, path: pathlib.Path) -> None:
        header, mark, self.content = path.read_text().partition("\n---\n")
        assert mark, f"{path} has no header"
        self.name, self.header = path.stem, load(header)
        assert set(self.header) == {"spec"}, self.header.keys()
        assert set(self.header["spec"]) <= {"inputs", "description"}, self.header["spec"].keys()
        self.inputs: dict[str, dict] = self.header["spec"]["inputs"]
        for name, spec in self.inputs.items():
            assert set(spec) <= {"default", "description", "options", "regex", "type"}, f"{name}: {spec.keys()}"

    def value(self, name: str, given: dict) -> object:
        """What an input stands for; the default has to meet what is asked of a value, too."""
        spec = self.inputs[name]
        # Null is as good as nothing.
        values = [values[name] for values in ({name: spec.get("default")}, given) if values.get(name) is not None]
        if not values:
            raise Refused(f"`{name}` input: required value has not been provided")
        for value in values:
            kind = spec.get("type", "string")
            if not isinstance(value, TYPES[kind]):
                raise Refused(f"`{name}` input: value is not a {kind}")
            if "options" in spec and value not in spec["options"]:
                raise Refused(f"`{name}` input: not in the list of allowed options")
            if "regex" in spec and not self.matches(spec["regex"], value):
                raise Refused(f"`{name}` input: value does not match required RegEx pattern")
        return values[-1]

    @staticmethod
    def matches(pattern: str, value: str) -> bool:
        """RE2 finds it anywhere; `$` is the very end; nothing blank matches."""
        alone = "|" not in pattern or pattern.startswith("^(") and pattern.endswith(")$")
        assert pattern.startswith("^") and pattern.endswith("$") and alone, f"not anchored: {pattern}"
        return bool(value.strip()) and re.fullmatch(f"(?:{pattern[1:-1]})", value) is not None

    def render(self, given: dict) -> dict:
        """The configuration: the values are put into the text, then the text is read."""
        unknown = given.keys() - self.inputs.keys()
        if unknown:
            raise Refused(f"unknown input arguments: {', '.join(unknown)}")
        values = {name: self.value(name, given) for name in self.inputs}

        def put(block: re.Match) -> str:
            context, _, name = block.group(1).partition(".")
            if context != "inputs" or name not in values:
                raise Refused(f"unknown interpolation key: `{block.group(1)}`")
            return values[name] if isinstance(values[name], str) else json.dumps(values[name])

        return load(BLOCK.sub(put, self.content))


def merged(below: dict, above: dict) -> dict:
    """Mappings are merged deeply, all else is replaced."""
    both = copy.deepcopy(below)
    for key, value in above.items():
        deep = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], value) if deep else copy.deepcopy(value)
    return both


def included(own: dict, components: dict[str, Component]) -> dict:
    """What a `.gitlab-ci.yml` includes."""
    whole: dict = {}
    for entry in own.get("include", []):
        assert set(entry) <= {"component", "inputs"}, entry
        place = re.fullmatch(r"\$CI_SERVER_FQDN/\S+/([a-z-]+)@(?:[0-9]+\.[0-9]+\.[0-9]+|\$CI_COMMIT_SHA)", entry["component"])
        if not place or place.group(1) not in components:
            raise Refused(f"no such component: {entry['component']}")
        whole = merged(whole, components[place.group(1)].render(entry.get("inputs", {})))
    return whole


def pipeline(text: str, components: dict[str, Component]) -> dict:
    """A `.gitlab-ci.yml` with what it includes."""
    own = load(text)
    whole = merged(included(own, components), own)
    stages = {".pre", ".post", *whole.get("stages", ["build", "test", "deploy"])}
    for name, job in jobs(whole).items():
        if job.get("stage", "test") not in stages:
            raise Refused(f"{name}: chosen stage {job['stage']} does not exist")
    return whole


def jobs(configuration: dict) -> dict[str, dict]:
    return {name: job for name, job in configuration.items() if name not in NO_JOBS}


def expanded(text: str, variables: dict[str, str], raw: set[str], depth: int = 8) -> str:
    """Variables in a variable's value. `$$` is a dollar; what has no value is nothing; what is raw is put in as it is."""
    def one(found: re.Match) -> str:
        name = found.group(1) or found.group(2)
        if name is None:
            return "$"
        value = variables.get(name, "")
        return value if name in raw else expanded(value, variables, raw, depth - 1) if depth else ""
    return VARIABLE.sub(one, text)


def environment(configuration: dict, name: str, predefined: dict[str, str], settings: dict[str, str],
                left: dict[str, dict[str, str]] | None = None) -> dict[str, str]:
    """A job's variables: GitLab's own, those of the file, the job's, above them those that earlier jobs have left in dotenv reports, and
    above all those of project and group. https://docs.gitlab.com/ci/variables/#cicd-variable-precedence"""
    job = jobs(configuration)[name]
    dotenv: dict[str, str] = {}
    for earlier, variables in (left or {}).items():
        # A report is taken with the artifacts.
        if earlier in job.get("dependencies", [earlier]):
            dotenv |= variables
    written = configuration.get("variables", {}) | job.get("variables", {})
    # https://docs.gitlab.com/ci/yaml/#variablesexpand
    raw = {key for key, value in written.items() if isinstance(value, dict) and value.get("expand") is False}
    for key in raw:
        assert set(written[key]) == {"value", "expand"}, f"{name}: {written[key]}"
        written[key] = written[key]["value"]
    for value in written.values():
        assert isinstance(value, str), f"{name}: {value!r} is no text"
    raw -= (dotenv | settings).keys()
    together = predefined | written | dotenv | settings
    return together | {key: expanded(value, together, raw) for key, value in written.items() if key not in raw | dotenv.keys() | settings.keys()}


class Runner:
    """Runs jobs in a directory, with the programs of an image and no others."""

    # What any image with a shell has, busybox among them.
    BASE = ["sh", "cat", "chmod", "cp", "grep", "mkdir", "mktemp", "rm", "sed", "sha256sum", "tr"]

    def __init__(self, directory: pathlib.Path, programs: dict[str, str], shell: list[str] | None = None) -> None:
        self.directory, self.shell = directory, shell or ["sh"]
        self.programs = directory.with_name(directory.name + "-image")
        directory.mkdir()
        self.programs.mkdir()
        for name in self.BASE:
            self.add(name, shutil.which(name))
        for name, path in programs.items():
            self.add(name, path)

    def add(self, name: str, path: str | None) -> None:
        assert path, f"{name} is not here"
        (self.programs / name).symlink_to(pathlib.Path(path).resolve())

    def run(self, job: dict, variables: dict[str, str]) -> subprocess.CompletedProcess:
        """As the runner's shell writer has it: one shell for both scripts, which ends at the first command that fails."""
        lines: list[str] = []
        for part in ("before_script", "script"):
            listed = job.get(part, [])
            lines += [listed] if isinstance(listed, str) else listed
        script = "".join(f"{line}\n" for line in lines)
        whole = f"if set -o | grep pipefail >/dev/null; then set -o pipefail; fi; set -o errexit; set +o noclobber; : | eval {shlex.quote(script)}"
        # No variable of this process: a job has GitLab's.
        env = {"PATH": str(self.programs), "HOME": str(self.directory)} | variables
        shell = [shutil.which(self.shell[0]) or self.shell[0], *self.shell[1:]]
        return subprocess.run([*shell, "-c", whole], cwd=self.directory, env=env, capture_output=True, text=True, errors="replace",
                              timeout=300)

    def kept(self, job: dict) -> list[str]:
        """What GitLab keeps of the job: the names that its artifacts' paths match."""
        found: set[str] = set()
        for pattern in job.get("artifacts", {}).get("paths", []):
            found |= {str(path.relative_to(self.directory)) for path in self.directory.glob(pattern) if path.is_file()}
        return sorted(found)
