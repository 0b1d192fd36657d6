"""docs/POLICY-ENGINES.md, rule by rule: each rule as it stands there, on every certificate of the table at its end.

Usage: engines.py --countersign BINARY --clients DIR [--only WORD]

Two kinds of fenced blocks are taken out of the document: `file=NAME` is a file that the rules find beside them, `rule=NAME needs=PROGRAM,…`
a rule, run by a shell; it admits with 0 and refuses with 1. The names of a registry and of a TUF repository in the document stand for others
on loopback.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import gitlab
import images
import mirror
from clients import PREDICATE_TYPE
from world import HERE, World, run

DOCS = HERE.parent.parent / "docs"
DOCUMENT = DOCS / "POLICY-ENGINES.md"
FILE = "widgets.tar.gz"
REGISTRY, TUF = "registry.example.com", "https://tuf.example.com"
COMMIT = "714a629c0b401fdce83e847fc9589983fc6f46bc"


@dataclasses.dataclass
class Pipeline:
    """Where a job runs, and whose pipeline it is: the two differ where a fork's merge request runs in the parent."""

    path: str = "acme/widgets"
    project: str = "20"
    ref: str = "heads/main"
    protected: str = "true"
    fork: tuple[str, str] | None = None
    # What the job says of itself; the truth, unless it lies.
    says: str = ""
    commit: str = COMMIT

    def claims(self) -> dict[str, str]:
        kind, short = self.ref.split("/", 1)
        path, project = self.fork or (self.path, self.project)
        return {
            "project_path": path, "project_id": project, "namespace_path": path.rsplit("/", 1)[0], "namespace_id": f"{project}000",
            "job_project_path": self.path, "job_project_id": self.project,
            "ref": short, "ref_type": {"heads": "branch", "tags": "tag"}[kind], "ref_path": f"refs/{self.ref}", "ref_protected": self.protected,
            "ci_config_ref_uri": f"gitlab.com/{self.path}//.gitlab-ci.yml@refs/{self.ref}",
            "pipeline_source": "merge_request_event" if self.fork else "push", "sub": f"project_path:{path}:ref_type:branch:ref:{short}",
        }

    def predicate(self) -> dict:
        source = f"https://gitlab.com/{self.says or self.path}"
        ref = "heads/main" if self.says else self.ref
        return {
            "buildDefinition": {
                "buildType": "https://example.com/pipeline", "externalParameters": {"source": source, "entryPoint": "build"},
                "resolvedDependencies": [{"uri": f"git+{source}@refs/{ref}", "digest": {"gitCommit": self.commit}}],
            },
            "runDetails": {
                "builder": {"id": f"{source}/-/runners/1"}, "metadata": {"invocationId": f"https://gitlab.com/{self.path}/-/jobs/302"},
            },
        }


# Whoever is not acme/widgets says to be.
WIDGETS = "acme/widgets"
CASES = {
    "main": Pipeline(),
    "tag": Pipeline(ref="tags/v1.2.0"),
    "renamed": Pipeline(path="acme/gadgets"),
    "lying": Pipeline(commit="0" * 40),
    "unprotected": Pipeline(protected="false"),
    "main-2": Pipeline(ref="heads/main-2", protected="false"),
    "retaken": Pipeline(project="99"),
    "fork-mr": Pipeline(fork=("eve/widgets", "77"), protected="false", says=WIDGETS),
    "widgets-evil": Pipeline(path="acme/widgets-evil", project="21", says=WIDGETS),
    "acme-evil": Pipeline(path="acme-evil/widgets", project="66", says=WIDGETS),
    "eve/acme": Pipeline(path="eve/acme/widgets", project="78", says=WIDGETS),
    "fork": Pipeline(path="eve/widgets", project="77", says=WIDGETS),
    "forged": Pipeline(),
}
# What an engine says when it refuses: for what the certificate says, and when its CA is none that is trusted. A refusal with other words is
# a rule that fell over.
SAYS = {
    "cosign": ("no matching CertificateIdentity found|validation errors occurred", "not enough verified log entries"),
    "slsa-cosign": ("no matching CertificateIdentity found", "not enough verified log entries"),
    # The rules of OPA say nothing more once the bundle is verified.
    "opa": (r"^Verified\.$", "TIMESTAMP_UNTRUSTED"),
    "opa-unverified": (r"\A\Z", "TIMESTAMP_UNTRUSTED"),
    "slsa-opa": (r"^Verified\.$", "TIMESTAMP_UNTRUSTED"),
    "conftest": ("- certificate.json - countersign.gitlab - (widgets: |it is of a pipeline for a fork)", "TIMESTAMP_UNTRUSTED"),
    "python": ("refused: (no claim|claim|Certificate's)", "not enough sources of verified time"),
    "go": ("refused: (claim|failed to verify certificate identity)", "not enough verified log entries"),
    "policy-controller": ("none of the expected identities matched", "pkcs7: No certificate for signer"),
    "kyverno": ("not signed by the branch main", "not signed by the branch main"),
    "openssl": ("refused: (issuer|project_id|job_project_id|ref)", "refused: the timestamp"),
}


@dataclasses.dataclass
class Rule:
    name: str
    needs: list[str]
    script: str

    def missing(self) -> list[str]:
        return [program for program in self.needs if not shutil.which(program)]

    def says(self, case: str) -> str:
        kind = max((kind for kind in SAYS if f"{self.name}-".startswith(f"{kind}-")), key=len)
        return SAYS[kind][case == "forged"]


class Document:
    """The rules, their files, and who gets through by its table."""

    def __init__(self, text: str) -> None:
        self.files: dict[str, str] = {}
        self.rules: dict[str, Rule] = {}
        for info, content in re.findall(r"^```(\S+ .*)\n((?s:.*?))^```$", text, re.M):
            words = dict(word.split("=", 1) for word in info.split()[1:])
            if "file" in words:
                assert words["file"] not in self.files, words
                self.files[words["file"]] = content
            else:
                assert words["rule"] not in self.rules, words
                self.rules[words["rule"]] = Rule(words["rule"], words["needs"].split(","), content)
        rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in text.split("\n## Who gets through\n")[1].splitlines()
                if line.startswith("|")]
        [head] = [row for row in rows if row[0] == "rule"]
        self.columns = head[1:]
        table = rows[rows.index(head) + 2:]
        self.admits = {row[0]: {column for column, cell in zip(head[1:], row[1:]) if cell == "yes"} for row in table}
        assert all(len(row) == len(head) and set(row[1:]) <= {"yes", ""} for row in table), table
        assert list(self.admits) == list(self.rules), f"rules {list(self.rules)}, rows {list(self.admits)}"
        assert self.columns == list(CASES), f"{self.columns} are not {list(CASES)}"

    def lay(self, directory: pathlib.Path, here: dict[str, str]) -> None:
        """The files beside a rule, with the names of this machine."""
        for name, content in self.files.items():
            for name_there, name_here in here.items():
                content = content.replace(name_there, name_here)
            (directory / name).write_text(content)
        shutil.copy(DOCS / "policy" / "gitlab.rego", directory)


class Cases:
    """Every pipeline of the table has signed the file, a statement about it and, where there is a registry, an image."""

    def __init__(self, countersign: str, directory: pathlib.Path, host: str | None) -> None:
        self.directory, self.host = directory, host
        known = gitlab.Gitlab(url="https://gitlab.com")
        keys = directory / "jwks.json"
        keys.write_text(json.dumps(known.jwks))
        changes = {"# jwks_file: gitlab-jwks.json": f"jwks_file: {keys}", "# allow_fork_pipelines: false": "allow_fork_pipelines: true"}
        self.trusted, self.other = [World(countersign, self.made(name), changes=changes, of=known) for name in ["trusted", "other"]]
        self.environment: dict[str, dict[str, str]] = {}

    def made(self, name: str) -> pathlib.Path:
        (self.directory / name).mkdir(parents=True)
        return self.directory / name

    def close(self) -> None:
        for world in [self.trusted, self.other]:
            world.server.kill()

    def place(self, case: str) -> pathlib.Path:
        return self.directory / "cases" / case.replace("/", "-")

    def sign(self, case: str) -> None:
        world = self.other if case == "forged" else self.trusted
        place, pipeline = self.made(f"cases/{case.replace('/', '-')}"), CASES[case]
        (place / FILE).write_bytes(b"what the pipeline built\n")
        shutil.copy(self.trusted.path("tr.json"), place / "trusted_root.json")
        token, predicate = place / "token", place / "predicate.json"
        token.write_text(world.gitlab.token(**pipeline.claims()))
        predicate.write_text(json.dumps(pipeline.predicate()))
        signing = [world.countersign, "sign", "--token-file", token, "--trusted-root", world.path("tr.json"), "--signing-config",
                   world.path("sc.json"), place / FILE]
        run(*signing, "--bundle", place / f"{FILE}.sigstore.json")
        run(*signing, "--bundle", place / f"{FILE}.provenance.json", "--attestation", "--predicate-type", PREDICATE_TYPE,
            "--predicate", predicate)
        # A home of its own: some engines keep a cache there.
        self.environment[case] = {"HOME": str(place)}
        if self.host:
            self.environment[case]["IMAGE"] = self.image(case, world, token.read_text(), predicate)

    def image(self, case: str, world: World, token: str, predicate: pathlib.Path) -> str:
        """An image with a signature and an attestation as cosign 3 makes them, and a signature in cosign 2's format."""
        image = images.pushed(self.host, "acme/widgets", case.encode())
        keyless = ["--yes", "--identity-token", token]
        trust = ["--trusted-root", world.path("tr.json"), "--signing-config", world.path("sc.json")]
        older = ["--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false", "--fulcio-url", world.url,
                 "--timestamp-server-url", f"{world.url}/api/v1/timestamp"]
        home = {"HOME": str(self.place(case))}
        run("cosign", "sign", *keyless, *trust, image, env=home)
        run("cosign", "attest", *keyless, *trust, "--type", "slsaprovenance1", "--predicate", predicate, image, env=home)
        run("cosign", "sign", *keyless, *older, image, env=home)
        return image


def judge(rule: Rule, cases: Cases, case: str, admits: bool) -> str:
    """Nothing, if the rule does with the case what the table says, and says so; what it did, if not."""
    done = subprocess.run(["sh", "-c", rule.script], cwd=cases.place(case), env=os.environ | cases.environment[case],
                          capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    if done.returncode not in (0, 1) or re.search(r"^Traceback|^panic:|^\d+ errors? occurred", said, re.M):
        return f"fell over on {case}, {done.returncode}: {said.strip()[-2000:]}"
    if (done.returncode == 0) != admits:
        return f"{'admits' if done.returncode == 0 else 'refuses'} {case}: {said.strip()[-2000:]}"
    if not admits and not re.search(rule.says(case), said, re.M):
        return f"refuses {case} for another reason: {said.strip()[-2000:]}"
    return ""


def built(document: Document, directory: pathlib.Path) -> None:
    """The document's Go program, among the programs."""
    if not shutil.which("go"):
        return
    place = directory / "go"
    place.mkdir()
    for name in ["go.mod", "go.sum"]:
        shutil.copy(HERE / "go" / name, place)
    (place / "admit.go").write_text(document.files["admit.go"])
    run("go", "-C", place, "vet", ".")
    run("go", "-C", place, "build", "-o", directory / "bin" / "admit", ".")


def schema_holds(cases: Cases) -> str:
    """What inspect prints is what docs/policy/inspect.schema.json says, by a validator that is not ours. Nothing, or what differs."""
    import jsonschema_rs

    schema = json.loads((DOCS / "policy" / "inspect.schema.json").read_text())
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    chains = [pem for world in [cases.trusted, cases.other] for pem in json.loads(world.fetch("/api/v2/trustBundle"))["chains"][0]["certificates"]]
    leaves = [json.loads((cases.place(case) / f"{FILE}.sigstore.json").read_text())["verificationMaterial"]["certificate"]["rawBytes"] for case in CASES]
    files = [pem.encode() for pem in chains] + [base64.b64decode(leaf) for leaf in leaves]
    for file in files:
        done = subprocess.run([cases.trusted.countersign, "inspect", "--json", "-"], input=file, capture_output=True, check=True)
        document = json.loads(done.stdout)
        for error in validator.iter_errors(document):
            return f"{document['sha256']}: {error}"
        for broken in [document | {"more": 1}, {name: value for name, value in document.items() if name != "san"}, document | {"is_ca": "no"}]:
            if validator.is_valid(broken):
                return f"the schema takes {sorted(broken)}"
    return ""


def rego_tests() -> str:
    """The module's own tests. Nothing, or what failed."""
    policy = DOCS / "policy"
    for command in [["check", "--strict"], ["test"]]:
        done = subprocess.run(["opa", *command, policy / "gitlab.rego", policy / "gitlab_test.rego"], capture_output=True, text=True)
        if done.returncode != 0:
            return (done.stdout + done.stderr)[-2000:]
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--countersign", type=pathlib.Path, required=True)
    parser.add_argument("--clients", type=pathlib.Path, default="target/interop", help="where clients.sh put them")
    parser.add_argument("--only", default="", help="run the rules whose name contains this")
    args = parser.parse_args()
    document = Document(DOCUMENT.read_text())
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "bin").mkdir()
        (directory / "bin" / "countersign").symlink_to(args.countersign.resolve())
        programs = [directory / "bin", args.clients.resolve() / "bin", pathlib.Path(sys.executable).parent, os.environ["PATH"]]
        os.environ["PATH"] = ":".join(map(str, programs))
        built(document, directory)
        rules = [rule for rule in document.rules.values() if args.only in rule.name]
        skipped = {rule.name: missing for rule in rules if (missing := rule.missing())}
        rules = [rule for rule in rules if rule.name not in skipped]
        with_images = any("registry" in rule.needs for rule in rules) and shutil.which("cosign")
        host = stack.enter_context(images.registry(directory)) if with_images else None
        cases = Cases(str(args.countersign.resolve()), directory, host)
        stack.callback(cases.close)
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(os.cpu_count()))
        list(pool.map(cases.sign, CASES))
        repository = directory / "tuf"
        mirror.write(cases.trusted.path("tr.json").read_bytes(), repository)
        here = {REGISTRY: host or REGISTRY, TUF: mirror.serve(repository)}
        for case in CASES:
            document.lay(cases.place(case), here)
            shutil.copy(repository / "1.root.json", cases.place(case))
        passed = failed = 0
        for rule in rules:
            verdicts = list(pool.map(lambda case: judge(rule, cases, case, case in document.admits[rule.name]), CASES))
            wrong = [verdict for verdict in verdicts if verdict]
            print(f"{'FAILED' if wrong else 'ok':8} {rule.name}", *wrong, sep="\n         " if wrong else "", flush=True)
            passed, failed = passed + (not wrong), failed + bool(wrong)
        checks = {"the schema of inspect": lambda: schema_holds(cases), "the tests of gitlab.rego": rego_tests}
        if not shutil.which("opa"):
            skipped["the tests of gitlab.rego"] = ["opa"]
            del checks["the tests of gitlab.rego"]
        for name, check in checks.items():
            wrong = check()
            print(f"{'FAILED' if wrong else 'ok':8} {name} {wrong}", flush=True)
            passed, failed = passed + (not wrong), failed + bool(wrong)
    for name, missing in skipped.items():
        print(f"!!! SKIPPED: {name}: {', '.join(missing)} is not here")
    print(f"engines: {passed} passed, {failed} failed, {len(skipped)} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
