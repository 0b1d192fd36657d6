"""The interop suite: real clients against a real countersign, with nothing else running.

Usage: run.py --countersign BINARY --clients DIR
Needs Python with `sigstore` (which brings `cryptography`); `clients.sh DIR` builds the other clients. A client that is not
there is skipped by name, loudly.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

from world import ABSENT, TESTS, Skipped, World, need, run, test

import component  # noqa: F401 - its tests
import images  # noqa: F401 - its tests
import policies  # noqa: F401 - its tests
import refusals  # noqa: F401 - its tests
import whole  # noqa: F401 - its tests

YEAR = 365 * 86400
# The worlds: what they are called, whether over TLS, and how far their clock is from the machine's. What was signed years ago is
# verified today. After eleven years the certificates of the CA, of the timestamp authority and of their root have expired.
WORLDS = {
    "http": ("", False, 0),
    "https": (", over TLS", True, 0),
    "past": (", a year later", True, -YEAR),
    "expired": (", eleven years later", True, -11 * YEAR),
}

@test
def cosign_signs_and_verifies_and_refuses_another_identity(world: World, args: argparse.Namespace) -> None:
    cosign = need("cosign", "cosign v3")
    trust = ["--trusted-root", world.path("tr.json")]
    bundle = world.path("cosign.bundle")
    run(cosign, "sign-blob", world.blob, "--yes", "--identity-token", world.gitlab.token(), *trust,
        "--signing-config", world.path("sc.json"), "--bundle", bundle)
    verify = [cosign, "verify-blob", world.blob, "--bundle", bundle, *trust]
    run(*verify, "--certificate-identity", world.gitlab.identity(), "--certificate-oidc-issuer", world.gitlab.url)
    run(*verify, "--certificate-identity", world.gitlab.identity() + "x", "--certificate-oidc-issuer", world.gitlab.url, ok=False)
    run(*verify, "--certificate-identity", world.gitlab.identity(), "--certificate-oidc-issuer", "https://gitlab.com", ok=False)
    other = world.path("other")
    other.write_bytes(b"something else\n")
    verify[2] = other
    run(*verify, "--certificate-identity", world.gitlab.identity(), "--certificate-oidc-issuer", world.gitlab.url, ok=False)


@test
def cosign_finds_the_token_in_a_gitlab_job_and_takes_a_url_with_a_slash(world: World, args: argparse.Namespace) -> None:
    cosign = need("cosign", "cosign v3")
    config = json.loads(world.path("sc.json").read_text())
    for url in config["caUrls"]:
        url["url"] += "/"
    slash = world.path("sc-slash.json")
    slash.write_text(json.dumps(config))
    run(cosign, "sign-blob", world.blob, "--yes", "--trusted-root", world.path("tr.json"), "--signing-config", slash,
        "--bundle", world.path("job.bundle"),
        env={"GITLAB_CI": "true", "CI": "true", "SIGSTORE_ID_TOKEN": world.gitlab.token()})


@test
def cosign_signs_with_p384_and_rsa(world: World, args: argparse.Namespace) -> None:
    cosign = need("cosign", "cosign v3")
    for algorithm in ["ecdsa-sha2-384-nistp384", "rsa-sign-pkcs1-2048-sha256"]:
        run(cosign, "sign-blob", world.blob, "--yes", "--identity-token", world.gitlab.token(), "--trusted-root",
            world.path("tr.json"), "--signing-config", world.path("sc.json"), "--signing-algorithm", algorithm,
            "--bundle", world.path(f"{algorithm}.bundle"))


@test
def cosign_is_told_why_a_token_is_refused(world: World, args: argparse.Namespace) -> None:
    cosign = need("cosign", "cosign v3")
    run(cosign, "sign-blob", world.blob, "--yes", "--identity-token", world.gitlab.token(aud="elsewhere"), "--trusted-root",
        world.path("tr.json"), "--signing-config", world.path("sc.json"), "--bundle", world.path("refused.bundle"),
        ok=False, says="There was an error processing the identity token")


@test
def cosign_makes_the_same_trust_material_of_the_chain_and_the_log_key(world: World, args: argparse.Namespace) -> None:
    cosign = need("cosign", "cosign v3")
    ours = json.loads(world.path("tr.json").read_text())
    chain = world.path("chain.pem")
    bundle = json.loads(world.fetch("/api/v2/trustBundle"))
    chain.write_text("".join(bundle["chains"][0]["certificates"]))
    key = world.path("log.pem")
    key.write_text(world.log_key_pem())
    made = world.path("made.json")
    run(cosign, "trusted-root", "create", f"--fulcio=url={world.url},certificate-chain={chain}",
        f"--ctfe=url={world.url}/ct,public-key={key},start-time=2026-01-01T00:00:00Z", "--out", made)
    theirs = json.loads(made.read_text())
    assert theirs["ctlogs"][0]["logId"] == ours["ctlogs"][0]["logId"]
    assert theirs["certificateAuthorities"][0]["certChain"] == ours["certificateAuthorities"][0]["certChain"]


@test
def cosign_2_signs_with_its_own_flags_and_checks_the_sct(world: World, _: argparse.Namespace) -> None:
    cosign = need("cosign2", "cosign v2")
    chain, key = world.path("chain2.pem"), world.path("log2.pem")
    bundle = json.loads(world.fetch("/api/v2/trustBundle"))
    chain.write_text("".join(bundle["chains"][0]["certificates"]))
    key.write_text(world.log_key_pem())
    env = {"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": str(key), "SIGSTORE_ROOT_FILE": str(chain)}
    signature, certificate = world.path("cosign2.sig"), world.path("cosign2.pem")
    run(cosign, "sign-blob", world.blob, "--yes", "--identity-token", world.gitlab.token(), "--fulcio-url", world.url,
        "--tlog-upload=false", "--output-signature", signature, "--output-certificate", certificate, env=env)
    verify = [cosign, "verify-blob", world.blob, "--signature", signature, "--certificate", certificate,
              "--certificate-oidc-issuer", world.gitlab.url, "--insecure-ignore-tlog", "--certificate-identity"]
    run(*verify, world.gitlab.identity(), env=env)
    run(*verify, world.gitlab.identity() + "x", env=env, ok=False)


@test
def sigstore_go_with_a_certificate_alone_signs_verifies_and_refuses(world: World, args: argparse.Namespace) -> None:
    client = need("sigstore-go-client", "sigstore-go")
    run(client, world.url, world.path("tr.json"), world.token_file(), world.gitlab.identity(), world.gitlab.url)
    run(client, world.url, world.path("tr.json"), world.token_file(aud="elsewhere"), world.gitlab.identity(), world.gitlab.url,
        ok=False, says="There was an error processing the identity token")


@test
def sigstore_js_with_a_certificate_alone_signs_verifies_and_refuses(world: World, args: argparse.Namespace) -> None:
    node = need("node", "Node.js for sigstore-js")
    client = args.clients.resolve() / "js" / "client.mjs"
    if not (client.parent / "node_modules").exists():
        raise Skipped("sigstore-js")
    run(node, client, world.url, world.path("tr.json"), world.token_file(), world.gitlab.identity(), world.gitlab.url, "acme/widgets")
    run(node, client, world.url, world.path("tr.json"), world.token_file(aud="elsewhere"), world.gitlab.identity(), world.gitlab.url,
        "acme/widgets", ok=False, says="error processing the identity token")


@test
def sigstore_java_gets_a_certificate_over_grpc_and_checks_it(world: World, args: argparse.Namespace) -> None:
    java = need("java", "a JDK for sigstore-java")
    classpath = args.clients.resolve() / "java" / "classpath"
    if not classpath.exists():
        raise Skipped("sigstore-java")
    run(java, *world.java_options(), "-cp", classpath.read_text().strip(), "interop.Client", world.url, world.path("tr.json"), world.foreign_root(),
        world.token_file(), world.gitlab.claims()["sub"], world.gitlab.identity())


@test
def sigstore_rs_gets_a_certificate_by_v1(world: World, args: argparse.Namespace) -> None:
    client = need("sigstore-rs-client", "sigstore-rs")
    out = world.path("rs")
    out.mkdir()
    run(client, world.url, world.token_file(), world.gitlab.claims()["sub"], world.blob, out)
    verify = [world.countersign, "verify", out / "certificate.pem", "--trusted-root", world.path("tr.json"),
              "--log-url", f"{world.url}/ct", "--signature", out / "signature", world.blob,
              "--certificate-oidc-issuer", world.gitlab.url, "--certificate-identity"]
    run(*verify, world.gitlab.identity())
    run(*verify, world.gitlab.identity() + "x", ok=False)


def certificate_by_sigstore_python(world: World) -> bytes:
    """The library's own way to a certificate; its CLI insists on a Rekor. It checks chain and SCT by itself."""
    try:
        from sigstore._internal.fulcio import FulcioClient
        from sigstore.models import TrustedRoot
        from sigstore.oidc import IdentityToken
        from sigstore.sign import SigningContext
    except ImportError as error:
        raise Skipped("sigstore-python 4") from error
    from cryptography.hazmat.primitives.serialization import Encoding

    root = TrustedRoot.from_file(str(world.path("tr.json")))
    context = SigningContext(fulcio=FulcioClient(world.url), rekor=None, trusted_root=root)
    with context.signer(IdentityToken(world.gitlab.token())) as signer:
        return signer._signing_cert().public_bytes(Encoding.PEM)


@test
def sigstore_python_gets_a_certificate_and_holds_it_to_an_identity(world: World, _: argparse.Namespace) -> None:
    pem = certificate_by_sigstore_python(world)
    from cryptography import x509
    from sigstore.errors import VerificationError
    from sigstore.verify.policy import Identity

    certificate = x509.load_pem_x509_certificate(pem)
    Identity(identity=world.gitlab.identity(), issuer=world.gitlab.url).verify(certificate)
    for wrong in [Identity(identity="https://gitlab.com/eve", issuer=world.gitlab.url),
                  Identity(identity=world.gitlab.identity(), issuer="https://gitlab.com")]:
        try:
            wrong.verify(certificate)
        except VerificationError:
            continue
        raise AssertionError("sigstore-python took a wrong identity")


@test
def sigstore_python_refuses_the_sct_of_another_log(world: World, _: argparse.Namespace) -> None:
    try:
        from sigstore.errors import VerificationError
        from sigstore._internal.fulcio import FulcioClient
        from sigstore.models import TrustedRoot
        from sigstore.oidc import IdentityToken
        from sigstore.sign import SigningContext
    except ImportError as error:
        raise Skipped("sigstore-python 4") from error
    foreign = json.loads(world.foreign_root().read_text())
    mixed = json.loads(world.path("tr.json").read_text()) | {"ctlogs": foreign["ctlogs"]}
    path = world.path("mixed.json")
    path.write_text(json.dumps(mixed))
    context = SigningContext(fulcio=FulcioClient(world.url), rekor=None, trusted_root=TrustedRoot.from_file(str(path)))
    try:
        with context.signer(IdentityToken(world.gitlab.token())):
            pass
    except VerificationError as error:
        assert "SCT" in str(error), repr(error)
        return
    raise AssertionError("sigstore-python took the SCT of a log that it does not know")


@test
def every_grpc_method_is_found_and_called_through_reflection(world: World, _: argparse.Namespace) -> None:
    try:
        import reflected
    except ImportError as error:
        raise Skipped("grpcio") from error
    authority = world.path("tls-ca.pem")
    reflected.exercise(world.url, world.gitlab.token(), authority.read_bytes() if authority.exists() else None)


def requested(world: World) -> pathlib.Path:
    """What `countersign request` writes in a job."""
    out = world.path("requested")
    if not out.exists():
        out.mkdir()
        run(world.countersign, "request", "--url", world.url, "--out", out, env={"SIGSTORE_ID_TOKEN": world.gitlab.token()})
    return out


@test
def openssl_accepts_leaf_intermediate_and_root(world: World, _: argparse.Namespace) -> None:
    need("openssl", "openssl")
    out = requested(world)
    bundle = json.loads(world.fetch("/api/v2/trustBundle"))["chains"][0]["certificates"]
    root, intermediate = world.path("root.pem"), world.path("intermediate.pem")
    root.write_text(bundle[-1])
    intermediate.write_text("".join(bundle[:-1]))
    run("openssl", "verify", "-x509_strict", "-CAfile", root, "-untrusted", intermediate, out / "certificate.pem", says="OK")
    text = run("openssl", "x509", "-in", out / "certificate.pem", "-noout", "-text")
    for expected in [f"URI:{world.gitlab.identity()}", "Code Signing", "CT Precertificate SCTs", "1.3.6.1.4.1.57264.1.8"]:
        assert expected in text, text
    signature = world.path("openssl.sig")
    run("openssl", "dgst", "-sha256", "-sign", out / "key.pem", "-out", signature, world.blob)
    public = world.path("public.pem")
    public.write_text(run("openssl", "x509", "-in", out / "certificate.pem", "-noout", "-pubkey"))
    run("openssl", "dgst", "-sha256", "-verify", public, "-signature", signature, world.blob, says="Verified OK")


@test
def sct_and_inclusion_hold_for_code_that_is_not_ours(world: World, _: argparse.Namespace) -> None:
    out = requested(world)
    log_key = world.path("log-key.pem")
    log_key.write_text(world.log_key_pem())
    verifier = pathlib.Path(__file__).with_name("verify_ct.py")
    run(sys.executable, verifier, "--base-url", f"{world.url}/ct", "--log-key", log_key,
        "--leaf", out / "certificate.pem", "--chain", out / "chain.pem")


@test
def the_audit_finds_the_log_sound_and_the_server_drains(world: World, _: argparse.Namespace) -> None:
    run(world.countersign, "log", "audit", "--config", world.config)
    world.stop()
    run(world.countersign, "log", "audit", "--config", world.config)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--countersign", type=pathlib.Path, required=True)
    parser.add_argument("--clients", type=pathlib.Path, default="target/interop", help="where clients.sh put them")
    parser.add_argument("--only", default="", help="run the tests whose name contains this")
    args = parser.parse_args()
    os.environ["PATH"] = f"{(args.clients / 'bin').resolve()}:{os.environ['PATH']}"
    passed, failed, skipped = 0, [], []
    for kind, (suffix, tls, clock) in WORLDS.items():
        wanted = [function for function in TESTS if kind in function.kinds and args.only in function.__name__]
        if not wanted:
            continue
        with tempfile.TemporaryDirectory() as directory:
            try:
                world = World(str(args.countersign.resolve()), pathlib.Path(directory), tls, clock)
            except Skipped as why:
                skipped += [f"{function.__name__.replace('_', ' ')}{suffix} ({why} is not here)" for function in wanted]
                continue
            before, started = len(failed), time.monotonic()
            try:
                for function in wanted:
                    name = f"{function.__name__.replace('_', ' ')}{suffix}"
                    try:
                        function(world, args)
                        passed += 1
                        print(f"ok       {name}", flush=True)
                    except Skipped as why:
                        skipped.append(f"{name} ({why} is not here)")
                        print(f"SKIPPED  {name}: {why} is not here", flush=True)
                    except Exception:  # noqa: BLE001 - a failed test must not stop the others
                        failed.append(name)
                        print(f"FAILED   {name}\n{traceback.format_exc()}", flush=True)
            finally:
                world.server.kill()
                if len(failed) > before:
                    print("--- the server's log\n" + world.path("ca.log").read_text()[-4000:])
            print(f"         {kind}: {time.monotonic() - started:.0f} s", flush=True)
    skipped += [f"{client}, among every client" for client in sorted(ABSENT)]
    for name in skipped:
        print(f"!!! SKIPPED: {name}")
    print(f"interop: {passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
