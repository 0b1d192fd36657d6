"""A countersign to be ill-treated: made by `init`, started, killed, started again, and asked how it is."""

import base64
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "interop"))

import gitlab  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed  # noqa: E402


class Lost(Exception):
    """A promise that was broken."""


class Skipped(Exception):
    """Something that this machine does not have or allow."""


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Lost(otherwise)


def run(*command: object, code: int | None = 0, timeout: float = 120) -> str:
    """Runs a command that must end with `code` (None: with any), and answers with all that it said."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout)
    said = done.stdout + done.stderr
    check(code is None or done.returncode == code, f"{command[:3]} ended with {done.returncode}:\n{said[-3000:]}")
    return said if code != 0 else done.stdout


PORTS = random.Random()
GIVEN: set[int] = set()


def free_port() -> int:
    """A port that no caller gets as its own: one below those that the system gives out. A caller that knocks at a dead server's
    port from the same port connects to itself, and the server finds it taken."""
    while True:
        port = PORTS.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in GIVEN:
                GIVEN.add(port)
                return port


def ask(url: str, timeout: float = 3) -> tuple[int, bytes]:
    """The status and body of a GET; 0: nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        return 0, str(error).encode()


def until(holds, seconds: float, otherwise: str, pause: float = 0.05) -> float:
    """Waits until `holds()`; answers how long that took."""
    begun = time.monotonic()
    while not holds():
        check(time.monotonic() - begun < seconds, f"{otherwise}, {seconds} s later")
        time.sleep(pause)
    return time.monotonic() - begun


class Ca:
    """A CA with its log in `data`, and a make-believe GitLab."""

    def __init__(self, countersign: pathlib.Path, directory: pathlib.Path, data: pathlib.Path | None = None) -> None:
        self.countersign, self.directory = countersign.resolve(), directory
        self.gitlab = gitlab.Gitlab()
        self.port, self.admin = free_port(), free_port()
        self.home = directory / "ca"
        self.url, self.ct = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.port}/ct"
        run(self.countersign, "init", self.home, "--gitlab", self.gitlab.url, "--listen", f"127.0.0.1:{self.port}",
            "--admin", f"127.0.0.1:{self.admin}")
        self.config = self.home / "countersign.yaml"
        self.data = data or self.home / "data"
        if data:
            text, count = re.subn(r"(?m)^data: .*$", f"data: {data}", self.config.read_text())
            check(count == 1, "the configuration has no `data`")
            self.config.write_text(text)
        root = json.loads(run(self.countersign, "trust", "root", "--config", self.config))
        self.log_key = serialization.load_der_public_key(base64.b64decode(root["ctlogs"][0]["publicKey"]["rawBytes"]))
        self.signature_log_key = serialization.load_der_public_key(
            base64.b64decode(root["tlogs"][0]["publicKey"]["rawBytes"]))
        self.log = directory / "server.log"
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen | None = None
        self.starts = 0

    def requests(self, count: int) -> list[bytes]:
        """Requests for certificates, each with a key of its own, as they go over the wire."""
        token = self.gitlab.token()
        challenge = self.gitlab.claims()["sub"].encode()
        requests = []
        for _ in range(count):
            key = ec.generate_private_key(ec.SECP256R1())
            public = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            proof = base64.b64encode(key.sign(challenge, ec.ECDSA(hashes.SHA256()))).decode()
            body = json.dumps({
                "credentials": {"oidcIdentityToken": token},
                "publicKeyRequest": {
                    "publicKey": {"algorithm": "ECDSA", "content": public.decode()}, "proofOfPossession": proof},
            }).encode()
            requests.append(self.wire("/api/v2/signingCert", "application/json", body))
        return requests

    def signers(self, count: int) -> list["Signer"]:
        """Keys with certificates of this CA, which must be up: writers whom `admit: own` takes."""
        token, challenge = self.gitlab.token(), self.gitlab.claims()["sub"].encode()
        return [Signer(self, token, challenge) for _ in range(count)]

    def wire(self, path: str, content_type: str, body: bytes) -> bytes:
        """A POST as it goes over the wire."""
        head = (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
                f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n")
        return head.encode() + body

    def start(self) -> None:
        """Starts the server; it may not be ready yet."""
        self.starts += 1
        with open(self.log, "a") as output:
            self.process = subprocess.Popen(
                [str(self.countersign), "serve", "--config", str(self.config), "--log-format", "json",
                 "--log-filter", "warn,countersign::api::edge=off"],
                stdout=output, stderr=output, env=os.environ | self.environment)
        self.begun = time.monotonic()

    def healthy(self) -> bool:
        return ask(f"{self.url}/healthz")[0] == 200

    def ready(self) -> bool:
        return ask(f"http://127.0.0.1:{self.admin}/readyz")[0] == 200

    def why(self) -> str:
        """What operators are told."""
        return ask(f"http://127.0.0.1:{self.admin}/readyz")[1].decode()

    def wait_until_ready(self, seconds: float = 5) -> float:
        """Seconds from the start of the process until it says that it is ready."""
        while not (self.ready() and self.healthy()):
            check(self.process.poll() is None, f"it did not start:\n{self.tail()}")
            check(time.monotonic() - self.begun < seconds, f"it was not ready after {seconds} s:\n{self.tail()}")
            time.sleep(0.01)
        return time.monotonic() - self.begun

    def kill(self) -> int:
        """SIGKILL, and how the process ended: -9, or the exit code of one that had ended by itself."""
        self.process.send_signal(signal.SIGKILL)
        return self.process.wait(timeout=20)

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=20)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tail(self) -> str:
        return self.log.read_text()[-3000:]

    def own_audit(self) -> dict:
        """What `countersign log audit` finds in both logs."""
        return json.loads(run(self.countersign, "log", "audit", "--config", self.config, "--json", timeout=600))


class Signer:
    """A key with a certificate of the CA, and what it signs: each time something else."""

    def __init__(self, authority: Ca, token: str, challenge: bytes) -> None:
        self.ca, self.key = authority, ec.generate_private_key(ec.SECP256R1())
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        proof = base64.b64encode(self.key.sign(challenge, ec.ECDSA(hashes.SHA256()))).decode()
        body = json.dumps({
            "credentials": {"oidcIdentityToken": token},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": public.decode()}, "proofOfPossession": proof},
        }).encode()
        request = urllib.request.Request(f"{authority.url}/api/v2/signingCert", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            chain = json.loads(answer.read())["signedCertificateEmbeddedSct"]["chain"]["certificates"]
        self.certificate = base64.b64encode(
            x509.load_pem_x509_certificate(chain[0].encode()).public_bytes(serialization.Encoding.DER)).decode()

    def entry(self) -> tuple[bytes, str]:
        """A hashedrekord request over the wire, and the digest that it is about, in base64."""
        digest = os.urandom(32)
        signature = self.key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        about = base64.b64encode(digest).decode()
        body = json.dumps({"hashedRekordRequestV002": {
            "digest": about,
            "signature": {
                "content": base64.b64encode(signature).decode(),
                "verifier": {
                    "x509Certificate": {"rawBytes": self.certificate}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}},
        }}).encode()
        return self.ca.wire("/api/v2/log/entries", "application/json", body), about

    def timestamp(self) -> tuple[bytes, str]:
        """A timestamp request (RFC 3161) over the wire, and the digest that it is about, in hex."""
        digest = os.urandom(32)
        imprint = bytes.fromhex("3031300d060960864801650304020105000420") + digest
        query = b"\x30" + bytes([3 + len(imprint) + 3]) + b"\x02\x01\x01" + imprint + b"\x01\x01\xff"
        return self.ca.wire("/api/v1/timestamp", "application/timestamp-query", query), digest.hex()
