"""The clients that make and verify whole bundles: certificate, timestamp, log entry. None is told to leave a check out."""

import argparse
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from world import ABSENT, HERE, Skipped, World, need, run

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
PREDICATE = {
    "buildDefinition": {"buildType": "https://example.com/pipeline", "externalParameters": {}},
    "runDetails": {"builder": {"id": "https://example.com/runner"}},
}


@dataclasses.dataclass
class Question:
    """What a verifier is asked: was FILE signed (or, with a statement, spoken of) by this identity, under this trusted root?"""

    bundle: pathlib.Path
    file: pathlib.Path
    root: pathlib.Path
    identity: str
    issuer: str

    def is_statement(self) -> bool:
        return "dsseEnvelope" in json.loads(self.bundle.read_text())

    def line(self) -> str:
        return json.dumps({name: str(value) for name, value in dataclasses.asdict(self).items()})


def said_by(command: list[object], crash: tuple[str, ...] = ()) -> str:
    """Nothing, when the command ends with 0; what it said, when it refuses. A client that falls over has not refused."""
    # Wide, so that what they say is not broken into lines.
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, env=os.environ | {"COLUMNS": "400"})
    said = done.stdout + done.stderr
    if done.returncode not in (0, 1) or any(word in said for word in crash):
        raise AssertionError(f"{command[0]} ended with {done.returncode}:\n{said[-3000:]}")
    return "" if done.returncode == 0 else f"refused: {said}"


class Client:
    """A client, by the name that people know it by."""

    name = ""
    # Go asks the kernel what time it is, past libc: these clients have the machine's clock in every world.
    clock_can_be_moved = True
    # Whether it can sign a statement with a timestamp and an entry of Rekor v2.
    attests = True

    def __init__(self, world: World, args: argparse.Namespace) -> None:
        self.world, self.args = world, args
        self.trust = world.path("tr.json")
        self.config = world.path("sc.json")
        self.find()

    def find(self) -> None:
        """Raises `Skipped` where the client is not here."""

    def environment(self) -> dict[str, str]:
        return self.world.moved if self.clock_can_be_moved else {}

    def token_file(self) -> pathlib.Path:
        return self.world.token_file(f"token-{self.name}")

    def sign(self, file: pathlib.Path, bundle: pathlib.Path) -> None:
        raise NotImplementedError

    def attest(self, file: pathlib.Path, bundle: pathlib.Path) -> None:
        raise NotImplementedError

    def verify(self, question: Question) -> str:
        raise NotImplementedError

    def verdicts(self, questions: list[Question]) -> list[str]:
        """For each question nothing, or why it is refused."""
        return [self.verify(question) for question in questions]


class Cosign(Client):
    name = "cosign"
    clock_can_be_moved = False

    def find(self) -> None:
        self.program = need("cosign", "cosign v3")

    def signing(self, bundle: pathlib.Path) -> list[object]:
        return ["--yes", "--identity-token", self.world.gitlab.token(), "--trusted-root", self.trust,
                "--signing-config", self.config, "--bundle", bundle]

    def sign(self, file: pathlib.Path, bundle: pathlib.Path) -> None:
        run(self.program, "sign-blob", *self.signing(bundle), file)

    def attest(self, file: pathlib.Path, bundle: pathlib.Path) -> None:
        # Of a predicate it makes a statement v0.1, which sigstore-python does not read; a whole statement goes as it is.
        run(self.program, "attest-blob", *self.signing(bundle), "--statement", statement(self.world, file))

    def verify(self, question: Question) -> str:
        return self.verify_with(question, [])

    def verify_with(self, question: Question, flags: list[str]) -> str:
        verb = ["verify-blob-attestation", "--type", "slsaprovenance1"] if question.is_statement() else ["verify-blob"]
        return said_by([self.program, *verb, *flags, "--bundle", question.bundle, "--trusted-root", question.root, "--certificate-identity",
                        question.identity, "--certificate-oidc-issuer", question.issuer, question.file], ("panic:",))


class Cosign2(Cosign):
    """cosign 2 makes and takes the same bundles when it is told to. Its attest-blob knows no signing config, so no Rekor v2."""

    name = "cosign2"
    attests = False

    def find(self) -> None:
        self.program = need("cosign2", "cosign v2")

    def verify(self, question: Question) -> str:
        # The time is the timestamp's: cosign 2 looks for the log's by itself, and a log of this kind attests none.
        return self.verify_with(question, ["--new-bundle-format", "--use-signed-timestamps"])


class Python(Client):
    """sigstore-python's command line."""

    name = "python"

    def find(self) -> None:
        if shutil.which("sigstore", path=str(pathlib.Path(sys.executable).parent)) is None:
            raise Skipped("sigstore-python 4")

    def command(self, root: pathlib.Path) -> list[object]:
        """The command line takes the trusted root and the signing config together."""
        both = root.with_suffix(".trust-config.json")
        whole = json.loads(self.world.path("ctc.json").read_text()) | {"trustedRoot": json.loads(root.read_text())}
        both.write_text(json.dumps(whole))
        return [sys.executable, "-m", "sigstore", "--trust-config", both]

    def sign(self, file: pathlib.Path, bundle: pathlib.Path) -> None:
        run(*self.command(self.trust), "sign", "--identity-token", self.world.gitlab.token(), "--bundle", bundle, file, env=self.environment())

    def attest(self, file: pathlib.Path, bundle: pathlib.Path) -> None:
        run(*self.command(self.trust), "attest", "--identity-token", self.world.gitlab.token(), "--predicate", predicate(self.world),
            "--predicate-type", PREDICATE_TYPE, "--bundle", bundle, file, env=self.environment())

    def verdicts(self, questions: list[Question]) -> list[str]:
        """Its command line many times in one process: loading the package takes longer than verifying does."""
        lines = ""
        for question in questions:
            words = [*self.command(question.root)[3:], "verify", "identity", "--offline", "--bundle", question.bundle, "--cert-identity",
                     question.identity, "--cert-oidc-issuer", question.issuer, question.file]
            lines += json.dumps([str(word) for word in words]) + "\n"
        # Wide, so that what it says is not broken into lines.
        done = subprocess.run([sys.executable, HERE / "commands.py"], input=lines, capture_output=True, text=True, timeout=300,
                              env=os.environ | {"COLUMNS": "400"})
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode != 0 or len(answers) != len(questions) or any(code not in (0, 1) for code, _ in answers):
            raise AssertionError(f"{self.name} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
        return ["" if code == 0 else f"refused: {said}" for code, said in answers]


class Countersign(Client):
    name = "countersign"

    def signing(self, bundle: pathlib.Path) -> list[object]:
        return [self.world.countersign, "sign", "--token-file", self.token_file(), "--trusted-root", self.trust,
                "--signing-config", self.config, "--bundle", bundle]

    def sign(self, file: pathlib.Path, bundle: pathlib.Path) -> None:
        run(*self.signing(bundle), file, env=self.environment())

    def attest(self, file: pathlib.Path, bundle: pathlib.Path) -> None:
        run(*self.signing(bundle), "--attestation", "--predicate-type", PREDICATE_TYPE, "--predicate", predicate(self.world), file,
            env=self.environment())

    def verify(self, question: Question) -> str:
        """By the flags of an identity, and by a policy that says the same: both must find the same."""
        verify = [self.world.countersign, "verify", "--bundle", question.bundle, "--trusted-root", question.root, question.file]
        by_flags = said_by([*verify, "--certificate-identity", question.identity, "--certificate-oidc-issuer", question.issuer])
        same = policy(self.world, "same", f'cert.san == "{question.identity}" && cert.issuer == "{question.issuer}"')
        by_policy = said_by([*verify, "--policy", same])
        # What is told of the policy itself is no finding.
        codes = [re.findall(r"\[([A-Z_]+)\]", re.sub(r"(?m)^(refused: )?warning: .*$", "", said)) for said in (by_flags, by_policy)]
        if codes[0] in (["IDENTITY_MISMATCH"], ["ISSUER_MISMATCH"]):
            codes[0] = ["NOT_ADMITTED"]
        if codes[0] != codes[1]:
            raise AssertionError(f"by flags and by policy:\n{by_flags}\n{by_policy}")
        return by_flags


class Library(Client):
    """A library, in a small program of ours: it signs, and answers many questions in one process."""

    def program(self) -> list[object]:
        raise NotImplementedError

    def sign(self, file: pathlib.Path, bundle: pathlib.Path) -> None:
        run(*self.program(), "sign", self.trust, self.config, self.token_file(), file, bundle, env=self.environment())

    def attest(self, file: pathlib.Path, bundle: pathlib.Path) -> None:
        run(*self.program(), "attest", self.trust, self.config, self.token_file(), statement(self.world, file), bundle, env=self.environment())

    def verdicts(self, questions: list[Question]) -> list[str]:
        words = [str(word) for word in self.program()]
        asked = "".join(question.line() + "\n" for question in questions)
        done = subprocess.run([*words, "verify"], input=asked, capture_output=True, text=True, timeout=300)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode != 0 or len(answers) != len(questions):
            raise AssertionError(f"{self.name} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
        return answers


class Go(Library):
    name = "go"
    clock_can_be_moved = False

    def find(self) -> None:
        need("sigstore-go-client", "sigstore-go")

    def program(self) -> list[object]:
        return ["sigstore-go-client"]


class Js(Library):
    name = "js"

    def find(self) -> None:
        self.node = need("node", "Node.js for sigstore-js")
        self.client = self.args.clients.resolve() / "js" / "bundles.mjs"
        if not (self.client.parent / "node_modules").exists():
            raise Skipped("sigstore-js")

    def program(self) -> list[object]:
        return [self.node, self.client]


class Java(Library):
    name = "java"

    def find(self) -> None:
        self.java = need("java", "a JDK for sigstore-java")
        self.classpath = self.args.clients.resolve() / "java" / "classpath"
        if not self.classpath.exists():
            raise Skipped("sigstore-java")

    def program(self) -> list[object]:
        return [self.java, "-XX:TieredStopAtLevel=1", *self.world.java_options(), "-cp", self.classpath.read_text().strip(), "interop.Bundles"]


def policy(world: World, name: str, condition: str) -> pathlib.Path:
    """A file with one policy."""
    text = json.dumps({"policies": [{"name": name, "when": condition}]})
    path = world.path(f"policy-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json")
    path.write_text(text)
    return path


CLIENTS = [Cosign, Cosign2, Python, Js, Go, Java, Countersign]


def predicate(world: World) -> pathlib.Path:
    path = world.path("predicate.json")
    path.write_text(json.dumps(PREDICATE))
    return path


def statement(world: World, file: pathlib.Path) -> pathlib.Path:
    """What a client that has no predicate of its own signs about the file."""
    path = world.path(f"{file.name}.statement")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    path.write_text(json.dumps({"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": file.name, "digest": {"sha256": digest}}],
                                "predicateType": PREDICATE_TYPE, "predicate": PREDICATE}))
    return path


def present(world: World, args: argparse.Namespace) -> list[Client]:
    """The clients that are here. Those that are not are named at the end, and the others go on."""
    here = []
    for kind in CLIENTS:
        try:
            here.append(kind(world, args))
        except Skipped as why:
            ABSENT.add(str(why))
    if len(here) < 2:
        raise Skipped("every client but countersign")
    return here


def ask(clients: list[Client], questions: list[Question]) -> dict[str, list[str]]:
    """Every client's verdicts, by its name."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        asked = {client.name: pool.submit(client.verdicts, questions) for client in clients}
        return {name: verdicts.result() for name, verdicts in asked.items()}
