"""What the interop tests run against: a GitLab, a countersign that trusts it, and the trust material that countersign prints."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
import typing
import urllib.request

import gitlab

TESTS: list[typing.Callable] = []
# Clients that tests of many clients did without.
ABSENT: set[str] = set()
HERE = pathlib.Path(__file__).parent


class Skipped(Exception):
    """A client that cannot be had here."""


def test(function: typing.Callable) -> typing.Callable:
    """A test of every countersign that serves today: in the clear and over TLS."""
    return test_in("http", "https")(function)


def test_in(*kinds: str) -> typing.Callable:
    """A test of some kinds of world alone, as run.py names them."""
    def register(function: typing.Callable) -> typing.Callable:
        function.kinds = kinds
        TESTS.append(function)
        return function
    return register


def run(*command: object, ok: bool = True, env: dict | None = None, says: str = "") -> str:
    """Runs a command that must succeed (or, with ok=False, fail), and returns what it said."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, env=(os.environ | (env or {})))
    said = done.stdout + done.stderr
    if (done.returncode == 0) != ok or says not in said:
        raise AssertionError(f"{' '.join(words[:3])} … ended with {done.returncode}:\n{said[-3000:]}")
    return said


def printed(*command: object, env: dict | None = None) -> str:
    """What a command that must succeed writes to its standard output. What it warns of is not among it."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, env=(os.environ | (env or {})))
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words[:3])} … ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def need(program: str, name: str) -> str:
    found = shutil.which(program)
    if not found:
        raise Skipped(name)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def moved(seconds: int, directory: pathlib.Path) -> dict[str, str]:
    """The environment of a process whose time of day is that far from the machine's."""
    if seconds == 0:
        return {}
    library = directory / "clock.so"
    if not library.exists():
        run(need("cc", "a C compiler, for a moved clock"), "-shared", "-fPIC", "-O2", "-o", library, HERE / "clock.c")
    return {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(seconds)}


def tls(directory: pathlib.Path, clock: int = 0, moved: dict[str, str] | None = None) -> str:
    """A CA for TLS and a certificate for the server, by openssl, in files and in the forms that clients take. The configuration's line."""
    files = ["tls-ca.key", "tls-ca.pem", "tls.key", "tls.csr", "tls.pem", "tls.ext", "trust.p12"]
    made = {name: directory / name for name in files}
    if not made["tls.pem"].exists():
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        # Good then and now: some clients of a moved world have the machine's clock.
        days = ["-days", 2 - min(clock, 0) // 86400]
        run("openssl", "req", "-x509", *ec, "-keyout", made["tls-ca.key"], "-out", made["tls-ca.pem"], *days, "-subj", "/CN=TLS CA", env=moved)
        run("openssl", "req", *ec, "-keyout", made["tls.key"], "-out", made["tls.csr"], "-subj", "/CN=countersign")
        made["tls.ext"].write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
        run("openssl", "x509", "-req", "-in", made["tls.csr"], "-CA", made["tls-ca.pem"], "-CAkey", made["tls-ca.key"],
            "-CAcreateserial", *days, "-extfile", made["tls.ext"], "-out", made["tls.pem"], env=moved)
        made["tls.key"].chmod(0o600)
        if shutil.which("keytool"):
            run("keytool", "-importcert", "-noprompt", "-file", made["tls-ca.pem"], "-keystore", made["trust.p12"],
                "-storetype", "PKCS12", "-storepass", "changeit")
    os.environ |= {name: str(made["tls-ca.pem"]) for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"]}
    return f"tls: {{ certificate: {made['tls.pem']}, key: {made['tls.key']} }}"


class World:
    """A GitLab, a countersign that trusts it, and the trust material that countersign prints.

    `clock` is how many seconds the countersign's time of day, and GitLab's, are away from the machine's. A world `beside`
    another has that one's GitLab and TLS; `of` is a GitLab that was made before.
    """

    def __init__(self, countersign: str, directory: pathlib.Path, tls: bool = False, clock: int = 0,
                 beside: "World | None" = None, changes: dict[str, str] | None = None, of: gitlab.Gitlab | None = None) -> None:
        self.countersign, self.directory, self.clock = countersign, directory, clock
        self.scheme = "https" if tls else "http"
        self.moved = moved(clock, directory)
        self.gitlab = of or (beside.gitlab if beside else gitlab.Gitlab(clock))
        self.tls_directory = beside.tls_directory if beside else directory
        self.ca = directory / "ca"
        # Made an hour before it serves, where clocks can be moved, so that `elsewhen` has a time before.
        made = moved(clock - 3600, directory) if clock else {}
        run(countersign, "init", self.ca, "--gitlab", self.gitlab.url, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", env=made)
        self.config = self.ca / "countersign.yaml"
        if tls:
            self.serve_over_tls()
        for old, new in (changes or {}).items():
            assert old in self.config.read_text(), old
            self.config.write_text(self.config.read_text().replace(old, new))
        self.url = self.listen_on(self.config)
        # The CA as it was made, without entries: `elsewhen` serves copies of it.
        shutil.copytree(self.ca, directory / "ca-fresh")
        self.server = self.serve(self.config, self.url, self.moved)
        self.blob = directory / "blob"
        self.blob.write_bytes(b"what the pipeline built\n")
        for kind, name in [("root", "tr.json"), ("signing-config", "sc.json"), ("client-config", "ctc.json")]:
            (directory / name).write_text(printed(countersign, "trust", kind, "--config", self.config, env=self.moved))

    def listen_on(self, config: pathlib.Path) -> str:
        """Trust material names the address, so it must be known before the server starts. Answers the URL."""
        port = free_port()
        text = re.sub(r"(?m)^listen: \S+", f"listen: 127.0.0.1:{port}", config.read_text(), count=1)
        config.write_text(text.replace("origin: 127.0.0.1:0/ct", f"origin: 127.0.0.1:{port}/ct"))
        return f"{self.scheme}://127.0.0.1:{port}"

    def serve_over_tls(self) -> None:
        with self.config.open("a") as config:
            config.write(f"\n{tls(self.tls_directory, self.clock, self.moved)}\n")

    def java_options(self) -> list[str]:
        if self.scheme == "http":
            return []
        return [f"-Djavax.net.ssl.trustStore={self.tls_directory / 'trust.p12'}", "-Djavax.net.ssl.trustStorePassword=changeit"]

    def serve(self, config: pathlib.Path, url: str, env: dict[str, str]) -> subprocess.Popen:
        """A server that answers."""
        written = self.directory / f"{config.parent.name}.log"
        with open(written, "w") as log:
            server = subprocess.Popen([self.countersign, "serve", "--config", config], stdout=log, stderr=log, env=os.environ | env)
        deadline = time.monotonic() + 20
        while True:
            try:
                assert json.loads(self.fetch("/healthz", url=url)) == {"status": "SERVING"}
                return server
            except OSError:
                if time.monotonic() > deadline or server.poll() is not None:
                    raise AssertionError(written.read_text()) from None
                time.sleep(0.05)

    @contextlib.contextmanager
    def elsewhen(self, clock: int) -> typing.Iterator[str]:
        """The same CA, logs and timestamp authority, with their keys and with no entries yet, at another time. Its URL."""
        copy = self.directory / f"ca-at{clock}"
        shutil.copytree(self.directory / "ca-fresh", copy)
        url = self.listen_on(copy / "countersign.yaml")
        server = self.serve(copy / "countersign.yaml", url, moved(clock, self.directory))
        try:
            yield url
        finally:
            server.kill()
            server.wait()

    def fetch(self, path: str, url: str | None = None, body: object = None) -> bytes:
        """What a GET answers, or with a body what a POST of JSON does."""
        authority = self.tls_directory / "tls-ca.pem"
        context = ssl.create_default_context(cafile=str(authority)) if authority.exists() else None
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{url or self.url}{path}", data, {"Content-Type": "application/json"} if data else {})
        with urllib.request.urlopen(asked, timeout=10, context=context) as answer:
            return answer.read()

    def path(self, name: str) -> pathlib.Path:
        return self.directory / name

    def token_file(self, name: str = "token", **changes: object) -> pathlib.Path:
        path = self.path(name)
        path.write_text(self.gitlab.token(**changes))
        return path

    def log_key_pem(self) -> str:
        key = json.loads(self.path("tr.json").read_text())["ctlogs"][0]["publicKey"]["rawBytes"]
        return f"-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n"

    def foreign_root(self) -> pathlib.Path:
        """The trusted root of another countersign."""
        path, other = self.path("foreign.json"), self.path("other-ca")
        if not path.exists():
            run(self.countersign, "init", other, "--gitlab", self.gitlab.url)
            path.write_text(printed(self.countersign, "trust", "root", "--config", other / "countersign.yaml"))
        return path

    def stop(self) -> None:
        self.server.send_signal(signal.SIGTERM)
        assert self.server.wait(timeout=20) == 0, "SIGTERM must end the server with 0"
