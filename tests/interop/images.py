"""cosign, images and attestations in a registry, with countersign alone behind them. Against the registry's plain http no flag is
needed either: cosign takes http for a registry on the loopback interface."""

import argparse
import contextlib
import hashlib
import json
import pathlib
import re
import subprocess
import time
import typing
import urllib.request

from clients import predicate
from world import World, need, run, test_in

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@contextlib.contextmanager
def registry(directory: pathlib.Path) -> typing.Iterator[str]:
    """A registry in memory, and its host and port."""
    written = directory / "registry.log"
    with open(written, "w") as log:
        process = subprocess.Popen([need("registry", "a registry"), "-port", "0"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while not (port := re.search(r"serving on port (\d+)", written.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, written.read_text()
            time.sleep(0.05)
        yield f"localhost:{port.group(1)}"
    finally:
        process.kill()
        process.wait()


def put(url: str, content: bytes, kind: str) -> str:
    """Stores content in the registry; its digest."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    request = urllib.request.Request(url.replace("DIGEST", digest), content, {"Content-Type": kind}, method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201, answer.status
    return digest


def pushed(host: str, name: str, layer: bytes) -> str:
    """An image of one layer in the registry, by its digest."""
    blobs = []
    for content, kind in [(b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}', "application/vnd.oci.image.config.v1+json"),
                          (layer, "application/vnd.oci.image.layer.v1.tar")]:
        with urllib.request.urlopen(urllib.request.Request(f"http://{host}/v2/{name}/blobs/uploads/", b"", method="POST"), timeout=10) as answer:
            place = answer.headers["Location"]
        place = place if place.startswith("http") else f"http://{host}{place}"
        digest = put(f"{place}?digest=DIGEST", content, "application/octet-stream")
        blobs.append({"mediaType": kind, "digest": digest, "size": len(content)})
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": blobs[0], "layers": blobs[1:]}).encode()
    return f"{host}/{name}@{put(f'http://{host}/v2/{name}/manifests/DIGEST', manifest, MANIFEST)}"


@test_in("http", "https", "past")
def cosign_signs_and_attests_an_image_and_verifies_both(world: World, _: argparse.Namespace) -> None:
    cosign = need("cosign", "cosign v3")
    trust = ["--trusted-root", world.path("tr.json")]
    signing = ["--yes", "--identity-token", world.gitlab.token(), *trust, "--signing-config", world.path("sc.json")]
    attestation = ["--type", "slsaprovenance1"]

    def who(identity: str) -> list[str]:
        return ["--certificate-identity", identity, "--certificate-oidc-issuer", world.gitlab.url]

    with registry(world.directory) as host:
        image, unsigned = pushed(host, "widgets", b"what the pipeline built"), pushed(host, "widgets", b"what nobody built")
        run(cosign, "sign", *signing, image)
        run(cosign, "attest", *signing, *attestation, "--predicate", predicate(world), image)
        for verb, nothing in [(["verify"], "no signatures found"), (["verify-attestation", *attestation], "no matching attestations")]:
            run(cosign, *verb, *trust, *who(world.gitlab.identity()), image)
            run(cosign, *verb, *trust, *who(world.gitlab.identity() + "x"), image, ok=False, says="no matching CertificateIdentity found")
            run(cosign, *verb, *trust, *who(world.gitlab.identity()), unsigned, ok=False, says=nothing)
            run(cosign, *verb, "--trusted-root", world.foreign_root(), *who(world.gitlab.identity()), image, ok=False,
                says="not enough verified log entries")
