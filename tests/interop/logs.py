"""Logs that are not in the same process: countersign as the log of another countersign, and as the log of a Fulcio.

Usage: logs.py --countersign BINARY [--cosign BINARY] [--fulcio BINARY]
Needs Python with `cryptography`. A program that is not there is skipped by name, loudly.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import gitlab
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Skipped(Exception):
    """A program that is not here."""


PASSWORD = "a password for the key of Fulcio's file CA"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*command: object, ok: bool = True) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)
    if (done.returncode == 0) != ok:
        raise AssertionError(f"{command[:3]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()


class Process:
    """A server that is up when its health says so."""

    def __init__(self, command: list[object], log: pathlib.Path, health: str) -> None:
        with open(log, "w") as output:
            self.process = subprocess.Popen([str(word) for word in command], stdout=output, stderr=output)
        deadline = time.monotonic() + 30
        while True:
            try:
                get(health)
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    raise AssertionError(log.read_text()[-3000:]) from None
                time.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


class Place:
    """A GitLab, two directories that `init` made, and a countersign that is the log of whoever the other CA is."""

    def __init__(self, countersign: str, directory: pathlib.Path) -> None:
        self.countersign, self.directory = countersign, directory
        self.gitlab = gitlab.Gitlab()
        self.ports = {name: free_port() for name in ["log", "ca"]}
        for name, port in self.ports.items():
            run(countersign, "init", directory / name, "--gitlab", self.gitlab.url, "--listen", f"127.0.0.1:{port}",
                "--admin", "127.0.0.1:0")
        self.edit("log", r"(?m)^(  origin: \S+/ct)$", rf"\1\n  accept: [{directory / 'ca/ca/chain.pem'}]")
        root = json.loads(run(countersign, "trust", "root", "--config", self.config("log")))
        self.log_key = base64.b64decode(root["ctlogs"][0]["publicKey"]["rawBytes"])
        key = serialization.load_der_public_key(self.log_key)
        self.log_pem = directory / "ct-log.pem"
        self.log_pem.write_bytes(
            key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
        self.log_url = f"http://127.0.0.1:{self.ports['log']}/ct"
        self.log = self.serve("log")

    def config(self, name: str) -> pathlib.Path:
        return self.directory / name / "countersign.yaml"

    def edit(self, name: str, pattern: str, replacement: str) -> None:
        text, count = re.subn(pattern, replacement, self.config(name).read_text(), count=1)
        assert count == 1, pattern
        self.config(name).write_text(text)

    def serve(self, name: str) -> Process:
        command = [self.countersign, "serve", "--config", self.config(name)]
        return Process(command, self.directory / f"{name}.log", f"http://127.0.0.1:{self.ports[name]}/healthz")

    def size(self) -> int:
        return json.loads(get(f"{self.log_url}/ct/v1/get-sth"))["tree_size"]

    def check_scts(self, chain: list[x509.Certificate]) -> None:
        """The one SCT in the leaf verifies with the log's key, by code that is neither server's."""
        leaf, issuer = chain[0], chain[1]
        spki = issuer.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        scts = leaf.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
        [sct] = list(scts)
        assert sct.log_id == hashlib.sha256(self.log_key).digest(), "the SCT is of another log"
        tbs = leaf.tbs_precertificate_bytes
        # The library's time loses its zone; the octets do not.
        encoded = scts.public_bytes()
        at = encoded.index(sct.log_id) + 32
        time_ms = int.from_bytes(encoded[at:at + 8], "big")
        signed = (b"\x00\x00" + time_ms.to_bytes(8, "big") + b"\x00\x01" + hashlib.sha256(spki).digest()
                  + len(tbs).to_bytes(3, "big") + tbs + len(sct.extension_bytes).to_bytes(2, "big") + sct.extension_bytes)
        serialization.load_der_public_key(self.log_key).verify(sct.signature, signed, ec.ECDSA(hashes.SHA256()))


def issue(url: str, token: str, challenge: str) -> list[x509.Certificate]:
    """A certificate by v2, with a fresh key."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    proof = base64.b64encode(key.sign(challenge.encode(), ec.ECDSA(hashes.SHA256()))).decode()
    body = {"credentials": {"oidcIdentityToken": token},
            "publicKeyRequest": {"publicKey": {"algorithm": "ECDSA", "content": public.decode()}, "proofOfPossession": proof}}
    request = urllib.request.Request(f"{url}/api/v2/signingCert", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            answered = json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from None
    chain = answered["signedCertificateEmbeddedSct"]["chain"]["certificates"]
    return [x509.load_pem_x509_certificate(pem.encode()) for pem in chain]


def subject_of(token: str) -> str:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"]


def another_countersign(place: Place, args: argparse.Namespace) -> None:
    place.edit("ca", r"(?ms)^log:\n.*?(?=^# Whose|^issuers:)",
               f"log:\n  mode: external\n  url: {place.log_url}\n  public_key: {place.log_pem}\n\n")
    ca = place.serve("ca")
    try:
        before, token = place.size(), place.gitlab.token()
        place.check_scts(issue(f"http://127.0.0.1:{place.ports['ca']}", token, subject_of(token)))
        assert place.size() == before + 1
        if not args.cosign or not shutil.which(args.cosign):
            raise Skipped("cosign")
        names = {"root": "tr.json", "signing-config": "sc.json"}
        for kind, name in names.items():
            (place.directory / name).write_text(run(args.countersign, "trust", kind, "--config", place.config("ca")))
        blob, bundle = place.directory / "blob", place.directory / "bundle"
        blob.write_bytes(b"what the pipeline built\n")
        trust = ["--trusted-root", place.directory / "tr.json"]
        run(args.cosign, "sign-blob", blob, "--yes", "--identity-token", place.gitlab.token(), *trust,
            "--signing-config", place.directory / "sc.json", "--bundle", bundle)
        verify = [args.cosign, "verify-blob", blob, "--bundle", bundle, "--insecure-ignore-tlog",
                  "--certificate-identity", place.gitlab.identity(), "--certificate-oidc-issuer", place.gitlab.url]
        run(*verify, *trust)
        other = json.loads((place.directory / "tr.json").read_text())
        other["ctlogs"] = []
        (place.directory / "none.json").write_text(json.dumps(other))
        run(*verify, "--trusted-root", place.directory / "none.json", ok=False)
    finally:
        ca.stop()


def fulcio(place: Place, args: argparse.Namespace) -> None:
    if not args.fulcio or not shutil.which(args.fulcio):
        raise Skipped("fulcio")
    directory, port = place.directory, free_port()
    plain = serialization.load_pem_private_key((directory / "ca/ca/key.pem").read_bytes(), None)
    key = directory / "fulcio.key"
    key.write_bytes(plain.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                        serialization.BestAvailableEncryption(PASSWORD.encode())))
    config = directory / "fulcio.yaml"
    issuer = place.gitlab.url
    config.write_text(f"oidc-issuers:\n  {issuer}:\n    issuer-url: {issuer}\n    client-id: sigstore\n    type: email\n")
    server = Process([args.fulcio, "serve", "--host", "127.0.0.1", "--port", port, "--grpc-port", free_port(),
                      "--metrics-port", free_port(), "--ca", "fileca", "--fileca-cert", directory / "ca/ca/chain.pem",
                      "--fileca-key", key, "--fileca-key-passwd", PASSWORD, "--config-path", config,
                      "--ct-log-url", place.log_url, "--ct-log-public-key-path", place.log_pem],
                     directory / "fulcio.log", f"http://127.0.0.1:{port}/healthz")
    try:
        before = place.size()
        token = place.gitlab.token(email="dev@example.com", email_verified=True)
        place.check_scts(issue(f"http://127.0.0.1:{port}", token, "dev@example.com"))
        assert place.size() == before + 1
        if args.cosign and shutil.which(args.cosign):
            sign(args, place, port, "before")
    finally:
        server.stop()
    move(place, args, port, key)


def sign(args: argparse.Namespace, place: Place, port: int, name: str) -> None:
    """With cosign as it was set up for the Fulcio, which knows nothing of a move."""
    config = place.directory / "sc.json"
    run(args.cosign, "signing-config", "create", f"--fulcio=url=http://127.0.0.1:{port},api-version=1,"
        "start-time=2026-01-01T00:00:00Z,operator=x", "--out", config)
    run(args.cosign, "trusted-root", "create",
        f"--fulcio=url=http://127.0.0.1:{port},certificate-chain={place.directory / 'ca/ca/chain.pem'}",
        f"--ctfe=url={place.log_url},public-key={place.log_pem},start-time=2026-01-01T00:00:00Z",
        "--out", place.directory / "old-tr.json")
    (place.directory / "blob").write_bytes(b"what the pipeline built\n")
    run(args.cosign, "sign-blob", place.directory / "blob", "--yes", "--identity-token",
        place.gitlab.token(email="dev@example.com", email_verified=True), "--trusted-root", place.directory / "old-tr.json",
        "--signing-config", config, "--bundle", place.directory / f"{name}.bundle")


def move(place: Place, args: argparse.Namespace, port: int, key: pathlib.Path) -> None:
    """docs/MIGRATING.md: the Fulcio is gone; countersign has its address, its identity file, its key and its log."""
    directory = place.directory
    (directory / "password").write_text(PASSWORD)
    for secret in [directory / "password", key]:
        secret.chmod(0o600)
    config = directory / "moved.yaml"
    config.write_text(f"""\
listen: 127.0.0.1:{port}
admin: {{ listen: 127.0.0.1:0 }}
ca:
  certificates: ca/ca/chain.pem
  signer: {{ file: {{ key: fulcio.key, password_file: password }} }}
log: {{ mode: external, url: {place.log_url}, public_key: ct-log.pem }}
identity_config: fulcio.yaml
""")
    run(args.countersign, "config", "check", config)
    server = Process([args.countersign, "serve", "--config", config], directory / "moved.log",
                     f"http://127.0.0.1:{port}/healthz")
    try:
        token = place.gitlab.token(email="dev@example.com", email_verified=True)
        place.check_scts(issue(f"http://127.0.0.1:{port}", token, "dev@example.com"))
        if not args.cosign or not shutil.which(args.cosign):
            raise Skipped("cosign")
        sign(args, place, port, "after")
        (directory / "new-tr.json").write_text(run(args.countersign, "trust", "root", "--config", config))
        for bundle in ["before", "after"]:
            for root in ["old-tr", "new-tr"]:
                verify = [args.cosign, "verify-blob", directory / "blob", "--bundle", directory / f"{bundle}.bundle",
                          "--insecure-ignore-tlog", "--trusted-root", directory / f"{root}.json",
                          "--certificate-oidc-issuer", place.gitlab.url, "--certificate-identity"]
                run(*verify, "dev@example.com")
                run(*verify, "eve@example.com", ok=False)
    finally:
        server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--countersign", required=True)
    parser.add_argument("--cosign", default="cosign")
    parser.add_argument("--fulcio", default="fulcio")
    args = parser.parse_args()
    failed = 0
    for test in [fulcio, another_countersign]:
        with tempfile.TemporaryDirectory() as directory:
            place = Place(args.countersign, pathlib.Path(directory))
            try:
                test(place, args)
                run(args.countersign, "log", "audit", "--config", place.config("log"))
                print(f"ok: {test.__name__}")
            except Skipped as program:
                print(f"SKIPPED: {test.__name__}: {program} is not here")
            except AssertionError as error:
                failed += 1
                said = [f"{log.name}:\n{log.read_text()[-2000:]}" for log in place.directory.glob("*.log")]
                print(f"FAILED: {test.__name__}: {error}", *said, sep="\n")
            finally:
                place.log.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
