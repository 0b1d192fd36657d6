"""deploy/gitlab, run as GitLab and its runner would: the components put together with a pipeline's inputs, their scripts in a shell
with a job's environment, against a countersign that serves over TLS; and what they leave in the eyes of other programs."""

import argparse
import base64
import contextlib
import copy
import hashlib
import http.server
import json
import pathlib
import shutil
import ssl
import sys
import threading
import typing
import urllib.request

import gitlab_ci
from clients import predicate
from gitlab_ci import Refused
from images import pushed, put, registry
from jobs import DEPLOY, Job, Pipeline, components
from world import Skipped, World, need, run, test_in

PIPELINES = {"example": DEPLOY / "gitlab-ci.yml", "components": DEPLOY / "gitlab" / ".gitlab-ci.yml"}
DOCUMENTS = [DEPLOY.parent / "docs" / "PIPELINES.md", DEPLOY / "gitlab" / "README.md"]
SLSA = "https://slsa.dev/provenance/v1"
# What a name may look like when somebody wants a shell to run it.
HOSTILE = ["$(touch pwned)", "`touch pwned`", "; touch pwned;", "'; touch pwned; '", '"; touch pwned; "', "| touch pwned", "-rf", "*", "a\nb", "\\", "ü $HOME"]


def identity(world: World, who: Job = Job()) -> list[str]:
    return ["--certificate-identity", f"{world.gitlab.url}/{who.project}//.gitlab-ci.yml@{who.path()}",
            "--certificate-oidc-issuer", world.gitlab.url]


def lint(world: World, documents: dict[str, dict]) -> None:
    """Against the schema that GitLab publishes for its pipelines, as check-jsonschema has it."""
    checker = pathlib.Path(sys.executable).with_name("check-jsonschema")
    if not checker.exists():
        raise Skipped("check-jsonschema")
    directory = world.path("schema")
    directory.mkdir()
    for name, document in documents.items():
        (directory / f"{name}.json").write_text(json.dumps(document))
    files = [path for path in sorted(directory.iterdir()) if not path.name.startswith("wrong")]
    command = [checker, "--builtin-schema", "vendor.gitlab-ci"]
    run(*command, *files)
    for path in directory.glob("wrong*"):
        run(*command, path, ok=False, says="chema validation errors")


@test_in("https")
def the_components_and_the_pipelines_that_include_them_fit_gitlabs_schema(world: World, _: argparse.Namespace) -> None:
    parts, documents = components(), {}
    for name, component in parts.items():
        required = {key: "x" for key, spec in component.inputs.items() if "default" not in spec}
        assert len(required) == 1, required
        documents |= {f"{name}-header": component.header, name: component.render(required)}
    for name, path in PIPELINES.items():
        whole = gitlab_ci.pipeline(path.read_text(), parts)
        documents |= {f"{name}-own": gitlab_ci.load(path.read_text()), f"{name}-whole": {key: value for key, value in whole.items() if key != "include"}}
    # What the documents show is a part of a pipeline each.
    shown = [block.partition("```")[0] for path in DOCUMENTS for block in path.read_text().split("```yaml\n")[1:]]
    shown = [block for block in shown if block.startswith("include:")]
    for number, block in enumerate(shown):
        documents |= {f"shown-{number}": gitlab_ci.load(block), f"shown-{number}-whole": gitlab_ci.included(gitlab_ci.load(block), parts)}
    assert {job for number, _ in enumerate(shown) for job in documents[f"shown-{number}-whole"]} == {f"countersign-{name}" for name in parts}
    # It must be able to fail.
    documents["wrong-job"] = gitlab_ci.merged(documents["sign"], {"countersign-sign": {"id_tokens": {"X": {}}}})
    documents["wrong-header"] = {"spec": {"inputs": {"files": {"type": "text"}}}}
    lint(world, documents)


@test_in("https")
def an_input_that_is_none_or_is_no_line_of_text_makes_no_pipeline(world: World, _: argparse.Namespace) -> None:
    for name, component in components().items():
        required = next(key for key, spec in component.inputs.items() if "default" not in spec)
        good = {required: "x"}
        wrong: list[dict] = [{}, good | {"file": "x"}, {required: ["x"]}, {required: 1}, {required: ""}]
        for key, spec in component.inputs.items():
            if spec.get("type") == "boolean":
                wrong.append(good | {key: "true"})
                continue
            # Each would end the scalar or the mapping that it stands in, if it were let through.
            wrong += [good | {key: text} for text in ['x\n    script: ["touch pwned"]', "x\r", "x\u0085", "x\u2028y: 1", "x\x00", "ü", " "]]
        for given in wrong:
            with contextlib.suppress(Refused):
                component.render(given)
                raise AssertionError(f"{name} takes {given}")
        plain = component.render(good)
        for text in [*HOSTILE, '"', "'", "# x", "- x", "{x: y}", "x: y", "$[[ inputs.stage ]]", "|", "%x", "---", "  x", "x: |-"]:
            if not text.isascii() or not text.isprintable():
                continue
            for key, spec in component.inputs.items():
                if spec.get("regex") != "^[ -~]+$":
                    continue
                (job,), (before,) = component.render(good | {key: text}).values(), copy.deepcopy(plain).values()
                variable = f"COUNTERSIGN_INPUT_{key.upper().replace('-', '_')}"
                # It is in its own variable, and nowhere else.
                written = job["variables"].pop(variable)
                assert (written["value"] if isinstance(written, dict) else written) == text.lstrip(), (key, text)
                del before["variables"][variable]
                assert job == before, (key, text)


def shells() -> list[list[str]]:
    return [found for found in [["sh"], ["bash"], ["busybox", "sh"]] if shutil.which(found[0])]


@test_in("https")
def a_pipeline_of_three_lines_a_component_signs_attests_verifies_and_deploys(world: World, _: argparse.Namespace) -> None:
    for shell in shells():
        pipeline = Pipeline(world, f"whole-{shell[0]}", shell, {"openssl": need("openssl", "openssl")})
        parts = gitlab_ci.pipeline(PIPELINES["example"].read_text(), components())
        kept = {}
        for stage in parts["stages"]:
            for name, job in gitlab_ci.jobs(parts).items():
                if job["stage"] == stage:
                    done = pipeline.start(parts, name, Job())
                    assert done.returncode == 0, f"{name}, {shell}:\n{done.stdout}{done.stderr}"
                    kept[name] = pipeline.runner.kept(job)
        file = "dist/widgets 1.0.txt"
        assert set(kept["countersign-sign"]) == {f"{file}.sigstore.json"}, kept
        assert kept["countersign-attest"] == [f"{file}.provenance.sigstore.json"], kept
        assert kept["openssl"] == ["widgets.pem", "widgets.sig"], kept
        # The component project's own pipeline, on a branch and for a tag.
        own = gitlab_ci.pipeline(PIPELINES["components"].read_text(), components())
        for who in [Job(ref="try/this", protected="false"), Job(ref="1.0.0", tag=True)]:
            shutil.rmtree(pipeline.directory / "sample", ignore_errors=True)
            ref = {"COMMIT_REF": "refs/tags/$CI_COMMIT_TAG"} if who.tag else {}
            for name in ["sample", "countersign-sign", "countersign-attest", "countersign-verify"]:
                done = pipeline.start(gitlab_ci.merged(own, {"variables": ref}), name, who)
                assert done.returncode == 0, f"{name}, {shell}:\n{done.stdout}{done.stderr}"
    # For others it is what any bundle is.
    trust = ["--trusted-root", world.path("tr.json")]
    run(world.countersign, "verify", "--bundle", pipeline.directory / f"{file}.sigstore.json", *trust, *identity(world), pipeline.directory / file)
    if cosign := shutil.which("cosign"):
        bundle = ["--bundle", pipeline.directory / f"{file}.sigstore.json"]
        run(cosign, "verify-blob", *bundle, *trust, *identity(world), pipeline.directory / file)
        bundle = ["--bundle", pipeline.directory / f"{file}.provenance.sigstore.json"]
        run(cosign, "verify-blob-attestation", "--type", "slsaprovenance1", *bundle, *trust, *identity(world), pipeline.directory / file)


def statement(bundle: pathlib.Path) -> dict:
    return json.loads(base64.b64decode(json.loads(bundle.read_text())["dsseEnvelope"]["payload"]))


@test_in("https")
def provenance_says_what_the_jobs_variables_say_and_the_certificate_too(world: World, _: argparse.Namespace) -> None:
    pipeline = Pipeline(world, "provenance")
    file = pipeline.write("widgets.bin")
    # A tag that git allows.
    who = Job(ref='v1"},{$(>pwned)', tag=True)
    pipeline.component("attest", who, files="widgets.bin")
    said, url = statement(pipeline.directory / "widgets.bin.provenance.sigstore.json"), f"{world.gitlab.url}/acme/widgets"
    assert said["predicateType"] == SLSA and said["subject"] == [
        {"name": "widgets.bin", "digest": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}}], said
    sha = world.gitlab.claims()["sha"]
    assert said["predicate"] == {
        "buildDefinition": {
            "buildType": "urn:countersign:gitlab-pipeline:v1",
            "externalParameters": {"pipeline": {"repository": url, "ref": who.path(), "path": ".gitlab-ci.yml"}, "source": "push"},
            "internalParameters": {"gitlab": {"projectId": "20", "pipelineId": "574", "job": "countersign"}},
            "resolvedDependencies": [{"uri": f"git+{url}@{who.path()}", "digest": {"gitCommit": sha}}],
        },
        "runDetails": {
            "builder": {"id": f"{url}/-/runners/1", "version": {"gitlab-runner": "18.6.0"}},
            "metadata": {"invocationId": f"{url}/-/jobs/302", "startedOn": "2026-11-22T00:00:00Z"},
        },
    }, said["predicate"]
    # Variables that somebody has overridden: GitLab's token says otherwise, and nothing is left.
    for name in ["CI_COMMIT_SHA", "CI_PROJECT_ID", "CI_PROJECT_URL", "CI_JOB_URL", "CI_COMMIT_REF_NAME", "CI_PIPELINE_ID", "CI_PIPELINE_SOURCE",
                 "CI_RUNNER_ID"]:
        pipeline.write("other.bin")
        pipeline.component("attest", files="other.bin", variables={name: "11"}, says="says something else than the job's variables")
        assert not (pipeline.directory / "other.bin.provenance.sigstore.json").exists()
    pipeline.component("attest", files="other.bin", variables={"CI_JOB_NAME": "a\nb"}, says="control character")
    # When the job began is said only where GitLab says it.
    pipeline.component("attest", files="other.bin", variables={"CI_JOB_STARTED_AT": ""})
    metadata = statement(pipeline.directory / "other.bin.provenance.sigstore.json")["predicate"]["runDetails"]["metadata"]
    assert metadata == {"invocationId": f"{url}/-/jobs/302"}, metadata


@test_in("https")
def only_what_the_right_pipeline_signed_for_a_protected_ref_is_deployed(world: World, _: argparse.Namespace) -> None:
    pipeline = Pipeline(world, "deployed")
    right = Job()

    def signed(name: str, who: Job, content: str = "what was built\n") -> str:
        pipeline.write(name, content)
        pipeline.component("sign", who, files=name)
        pipeline.component("attest", who, files=name)
        return name

    signed("right.txt", right)
    pipeline.component("verify", files="right.txt, r*.txt", provenance=True)
    # A job of another project may ask, too, when it says whom it expects.
    elsewhere = Job("acme/deployments", "77")
    expected = {"identity": f"{world.gitlab.url}/acme/widgets//.gitlab-ci.yml@refs/heads/main", "project_id": "20"}
    pipeline.component("verify", elsewhere, files="right.txt", **expected)
    pipeline.component("verify", elsewhere, files="right.txt", says="not admitted: right.txt")
    wrong = {
        "another-project.txt": (Job("acme/widgets2", "21"), "dentity"),
        "another-branch.txt": (Job(ref="main2"), "dentity"),
        "a-tag-called-main.txt": (Job(tag=True), "dentity"),
        # The path was given to another project.
        "taken-over.txt": (Job(project_id="999"), "Source Repository Identifier"),
        "unprotected.txt": (Job(protected="false"), "ref_protected"),
        "unknown.txt": (Job(protected=""), "ref_protected"),
    }
    for name, (who, why) in wrong.items():
        signed(name, who)
        said = pipeline.component("verify", files=f"right.txt,{name}", says=f"not admitted: {name}")
        assert why in said, said
        pipeline.component("verify", files=name, provenance=True, says=f"not admitted: {name}")
    pipeline.component("verify", files="unprotected.txt", protected=False)
    pipeline.component("verify", Job("acme/widgets2", "21"), files="another-project.txt")

    signed("changed.txt", right)
    pipeline.write("changed.txt", "something else\n")
    pipeline.component("verify", files="changed.txt", says="not admitted: changed.txt")
    pipeline.write("unsigned.txt")
    pipeline.component("verify", files="*.txt", says="not admitted")
    pipeline.component("verify", files="unsigned.txt", says="no bundle: unsigned.txt.sigstore.json")
    pipeline.component("sign", files="unsigned.txt")
    pipeline.component("verify", files="unsigned.txt")
    pipeline.component("verify", files="unsigned.txt", provenance=True, says="no bundle: unsigned.txt.provenance.sigstore.json")
    # A statement about a file is no signature of it, and the other way round.
    for given, taken in [("sigstore", "provenance.sigstore"), ("provenance.sigstore", "sigstore")]:
        shutil.copy(pipeline.directory / f"right.txt.{given}.json", pipeline.write("mixed.txt").with_name(f"mixed.txt.{taken}.json"))
        shutil.copy(pipeline.directory / f"right.txt.{given}.json", pipeline.directory / f"mixed.txt.{given}.json")
        pipeline.component("verify", files="mixed.txt", provenance=True, says="of another kind")
    # Other trust material than what the digests name, or none.
    for name in ["TRUSTED_ROOT_SHA256", "SIGNING_CONFIG_SHA256"]:
        pipeline.write("again.txt")
        pipeline.component("sign", files="again.txt", variables={name: "0" * 64}, says="another digest than is pinned")
        pipeline.component("sign", files="again.txt", variables={name: ""}, says="no SHA-256 for")
    pipeline.component("sign", files="again.txt", server=world.url.replace("https", "http"), says="https:// URL")
    pipeline.component("verify", files="right.txt", variables={"TRUSTED_ROOT_SHA256": "0" * 64}, says="another digest than is pinned")
    assert not (pipeline.directory / "again.txt.sigstore.json").exists()


@test_in("https")
def a_dotenv_of_an_earlier_job_reaches_only_the_job_that_takes_its_artifacts(world: World, _: argparse.Namespace) -> None:
    pipeline = Pipeline(world, "dotenv")
    pipeline.write("good")
    pipeline.component("sign", files="good")
    pipeline.write("evil")
    pipeline.component("sign", Job("acme/evil", "66"), files="evil")
    left = {"test": {"COUNTERSIGN_INPUT_PROJECT_ID": "66",
                     "COUNTERSIGN_INPUT_IDENTITY": f"{world.gitlab.url}/acme/evil//.gitlab-ci.yml@refs/heads/main"}}
    pipeline.component("verify", files="evil", says="not admitted: evil")
    # As the document says, GitLab ranks a report above the job's variables: that is why the jobs are named which files are taken from.
    pipeline.component("verify", files="evil", left=left)
    pipeline.component("verify", files="evil", left=left, own={"dependencies": ["build"]}, says="not admitted: evil")
    pipeline.component("verify", files="good", left=left, own={"dependencies": ["build"]})
    # What is set for the group stands above it.
    pipeline.component("verify", files="good", left={"test": {"TRUSTED_ROOT_SHA256": "0" * 64, "CA": "https://evil.example.com"}})
    # Images are verified without anything of earlier jobs, unless one is named.
    reference = f"registry.example.com/acme/widgets@sha256:{'0' * 64}"
    left = {"build": {"COUNTERSIGN_INPUT_SERVER": "http://evil.example.com", "IMAGE": reference}}
    pipeline.component("verify-image", reference="$IMAGE", left=left, says="no image by its digest")
    pipeline.component("verify-image", reference="$IMAGE", left=left, own={"dependencies": ["build"]}, says="https:// URL")
    # By a file the job that builds says which image, and nothing else.
    for component in ["sign-image", "verify-image"]:
        pipeline.write("image.txt", f"{reference}\n")
        pipeline.component(component, reference="file:image.txt", says="cosign is not in the image")
        for wrong in [f"x\n{reference}\n", "registry.example.com/acme/widgets:latest\n", f"--help@sha256:{'0' * 64}", ""]:
            pipeline.write("image.txt", wrong)
            pipeline.component(component, reference="file:image.txt", says="no image by its digest")
        pipeline.component(component, reference="file:none.txt", says="no such file: none.txt")


@test_in("https")
def a_ca_with_raw_claims_below_an_arc_of_its_operators_is_asked_below_that(world: World, _: argparse.Namespace) -> None:
    arc = "1.3.6.1.4.1.99999.7"
    (directory := world.path("own-arc")).mkdir()
    # The same TLS: what other tests trust stays as it is.
    shutil.copy(world.path("tls-ca.pem"), directory)
    own = World(world.countersign, directory, tls=True, beside=world, changes={"# arc: 1.3.6.1.4.1.99999.1": f"arc: {arc}"})
    try:
        pipeline = Pipeline(own, "jobs")
        pipeline.write("good")
        pipeline.component("sign", files="good")
        for given in [{"claims_arc": arc}, {"variables": {"COUNTERSIGN_CLAIMS_ARC": arc}}]:
            pipeline.component("verify", files="good", **given)
            pipeline.component("attest", files="good", **given)
            (pipeline.directory / "good.provenance.sigstore.json").unlink()
        # Elsewhere there are no claims: nothing is admitted, and nothing is attested.
        for given in [{}, {"claims_arc": "1.3.6.1.4.1.99999.8"}]:
            pipeline.component("verify", files="good", says="not admitted: good", **given)
            pipeline.component("attest", files="good", says="below the arc that `claims-arc` says: good", **given)
        pipeline.write("unprotected")
        pipeline.component("sign", Job(protected="false"), files="unprotected")
        pipeline.component("verify", files="unprotected", claims_arc=arc, says="not admitted: unprotected")
    finally:
        own.server.kill()


@test_in("https")
def no_name_of_a_file_and_no_input_is_run(world: World, _: argparse.Namespace) -> None:
    # Beside each other, where a name can look like a flag; and in a directory, in every shell.
    for number, (shell, where) in enumerate([(["sh"], ""), *((shell, "dist/") for shell in shells())]):
        pipeline = Pipeline(world, f"hostile-{number}", shell)
        for name in HOSTILE:
            pipeline.write(f"{where}{name}")
        pipeline.component("sign", files=f"{where}*")
        pipeline.component("attest", files=f"{where}*")
        pipeline.component("verify", files=f"{where}*", provenance=True)
        wanted = {f"{name}{kind}" for name in HOSTILE for kind in ["", ".sigstore.json", ".provenance.sigstore.json"]}
        assert {path.name for path in (pipeline.directory / where).iterdir()} == wanted, shell
    hostile = [text for text in HOSTILE if text.isascii() and text.isprintable()]
    pipeline = Pipeline(world, "values")
    pipeline.write("good")
    pipeline.component("sign", files="good")
    for text in hostile:
        for key in ["server", "binary"]:
            pipeline.component("sign", files="good", says="countersign: ", **{key: text, "server": text})
        for key in ["identity", "issuer"]:
            pipeline.component("verify", files="good", says="", **{key: text})
    for text in ["$(touch pwned)", "`touch pwned`", "; touch pwned", "nothing*", "-rf", ",", "dist/none,good"]:
        pipeline.component("sign", files=text, says="countersign: ")
    # What a variable says is no more trusted than an input.
    pipeline.component("sign", files="$CI_COMMIT_MESSAGE", variables={"CI_COMMIT_MESSAGE": "$(touch pwned)\n';touch pwned"}, says="no such file")
    # Nor does it drive whatever shows the job's output: C1 controls and U+202E are characters of several octets.
    for hidden in ["\u202e", "\u009b31m", "\x1b[31m"]:
        said = pipeline.component("sign", files="$CI_COMMIT_MESSAGE", variables={"CI_COMMIT_MESSAGE": f"x{hidden}y"}, says="no such file: x?")
        assert hidden not in said, ascii(said)
    (pipeline.directory / "directory").mkdir()
    pipeline.component("sign", files="dir*", says="no such file: directory")
    pipeline.component("sign", files="good", says="there already")


@test_in("https")
def what_was_to_be_named_is_signed_and_verified_or_the_job_ends(world: World, _: argparse.Namespace) -> None:
    for shell in shells():
        pipeline = Pipeline(world, f"named-{shell[0]}", shell)
        for name in ["a", "b", "[a]", ".hidden"]:
            pipeline.write(name)
        # A variable that is empty names nothing, where something was to be named.
        for files in ["a,,b", "a,b,", ",a", "a, ,b", "a,$EMPTY,b", "$EMPTY"]:
            for component in ["sign", "attest", "verify"]:
                pipeline.component(component, files=files, variables={"EMPTY": ""}, says="has an empty name in it")
            for path in pipeline.directory.glob("*.sigstore.json"):
                path.unlink()
        # `*` meets no dot file, and [a] is a pattern.
        for name, files in {"*": {"a", "b", "[a]"}, ".h*": {".hidden"}}.items():
            pipeline.component("sign", files=name)
            pipeline.component("verify", files=name)
            signed = {path.name.removesuffix(".sigstore.json") for path in pipeline.directory.iterdir() if path.name.endswith(".sigstore.json")}
            assert files <= signed and (".hidden" in signed) == (".hidden" in files), signed
        pipeline.write("[a]", "something else\n")
        pipeline.component("verify", files="[a]")
        pipeline.component("verify", files="[[]a]", says="not admitted: [a]")
        # A directory is no bundle, whatever its name.
        (pipeline.directory / "x.sigstore.json").mkdir()
        for component in ["sign", "attest", "verify"]:
            for files in ["x*", "x.sigstore.json"]:
                pipeline.component(component, files=files, says="no such file: x.sigstore.json")


@contextlib.contextmanager
def served(world: World, directory: pathlib.Path) -> typing.Iterator[str]:
    """Files of a directory, over TLS."""
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(directory))

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.path("tls.pem"), world.path("tls.key"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@test_in("https")
def an_image_with_curl_alone_gets_countersign_by_its_digest(world: World, _: argparse.Namespace) -> None:
    pipeline = Pipeline(world, "curl", programs={"curl": need("curl", "curl")})
    (pipeline.runner.programs / "countersign").unlink()
    pipeline.write("good")
    pipeline.component("sign", files="good", says="not in the image")
    binary = pathlib.Path(world.countersign)
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()
    with served(world, binary.parent) as url:
        given = {"binary": f"{url}/{binary.name}"}
        pipeline.component("sign", files="good", says="another SHA-256", binary_sha256="0" * 64, **given)
        pipeline.component("sign", files="good", says="another SHA-256", **given)
        pipeline.component("sign", files="good", says="", binary_sha256=digest, binary=f"{url}/nothing")
        pipeline.component("sign", files="good", says="https://", binary_sha256=digest, binary=given["binary"].replace("https", "http"))
        pipeline.component("sign", files="good", binary_sha256=digest, **given)
        pipeline.component("verify", files="good", variables={"COUNTERSIGN_BINARY": given["binary"], "COUNTERSIGN_BINARY_SHA256": digest})


def put_beside(image: str, other: str) -> str:
    """Lets an image have what lies beside another one of the repository. The other's manifest."""
    (host, _, path), digest = other.partition("@")[0].partition("/"), other.rpartition("@")[2]
    base = f"http://{host}/v2/{path}"

    def fetched(what: str) -> str:
        with urllib.request.urlopen(f"{base}/{what}", timeout=10) as answer:
            return answer.read().decode()

    # The registry has no API for what lies beside an image, so clients keep an index of it under a tag.
    index = fetched(f"manifests/{digest.replace(':', '-')}")
    assert json.loads(index)["manifests"], index
    put(f"{base}/manifests/{image.rpartition('@')[2].replace(':', '-')}", index.encode(), "application/vnd.oci.image.index.v1+json")
    return fetched(f"manifests/{digest}")


@test_in("https")
def an_image_is_signed_by_its_digest_and_deployed_only_with_the_right_signature(world: World, _: argparse.Namespace) -> None:
    cosign = need("cosign", "cosign v3")
    pipeline = Pipeline(world, "images", programs={"cosign": cosign})
    right, unprotected = Job(), Job(protected="false")
    with registry(world.directory) as host:
        images = {name: pushed(host, "acme/widgets", name.encode()) for name in ["right", "unsigned", "unprotected", "overridden", "alone"]}
        # GitLab's registry by the job's name and password, as far as this registry asks for them.
        login = {"CI_REGISTRY": host, "CI_REGISTRY_USER": "gitlab-ci-token", "CI_REGISTRY_PASSWORD": "glcbt-secret"}
        said = pipeline.component("sign-image", right, reference=images["right"], provenance=True, variables=login)
        assert "glcbt-secret" not in said and not (pipeline.directory / ".docker").exists(), said
        digest = images["right"].rpartition("sha256:")[2]
        kept = pipeline.runner.kept(components()["sign-image"].render({"reference": "x"})["countersign-sign-image"])
        assert kept == [f"sha256-{digest}.provenance.sigstore.json", f"sha256-{digest}.sigstore.json"], kept
        assert statement(pipeline.directory / kept[0])["predicate"]["runDetails"]["builder"]["id"].endswith("/acme/widgets/-/runners/1")
        pipeline.component("verify-image", reference=images["right"], provenance=True, variables=login)
        for verb in [["verify"], ["verify-attestation", "--type", "slsaprovenance1"]]:
            run(cosign, *verb, "--trusted-root", world.path("tr.json"), *identity(world), images["right"])
        # Signed twice: one of the signatures is the right one.
        pipeline.component("sign-image", unprotected, reference=images["unprotected"])
        pipeline.component("verify-image", reference=images["unprotected"], says="no bundle beside the image was admitted")
        pipeline.component("verify-image", reference=images["unprotected"], protected=False)
        pipeline.component("sign-image", right, reference=images["unprotected"])
        pipeline.component("verify-image", reference=images["unprotected"])
        pipeline.component("verify-image", reference=images["unprotected"], provenance=True, says="slsa.dev")
        # Provenance alone is no signature.
        pipeline.component("sign-image", right, reference=images["overridden"], provenance=True, variables={"CI_COMMIT_SHA": "1"},
                           says="says something else than the job's variables")
        pipeline.component("verify-image", reference=images["overridden"], provenance=True, says="slsa.dev")
        run(cosign, "attest", "--yes", "--identity-token", right.token(world), "--trusted-root", world.path("tr.json"), "--signing-config",
            world.path("sc.json"), "--type", "slsaprovenance1", "--predicate", predicate(world), images["alone"])
        pipeline.component("verify-image", reference=images["alone"], says="cosign/sign")
        # Whoever may push can put another image's bundles beside this one. A file that is called like this one's digest, and is that
        # other image's manifest, fits them; it is the image that is verified.
        pipeline.component("verify-image", reference=images["unsigned"], says="no signatures associated")
        pipeline.write(images["unsigned"].rpartition("@")[2], put_beside(images["unsigned"], images["right"]))
        said = pipeline.component("verify-image", reference=images["unsigned"], says="no bundle beside the image")
        assert "identity" in said or "subject" in said, said
        pipeline.component("verify-image", Job("acme/widgets2", "21"), reference=images["right"], says="no bundle beside the image")
        for wrong in [images["right"].partition("@")[0], images["right"][:-1], f"{host}/acme/widgets:latest", f"-x@sha256:{'0' * 64}",
                      f"{host}/acme/widgets@sha256:{'g' * 64}", "$(touch pwned)", "$NOTHING"]:
            pipeline.component("sign-image", reference=wrong, says="no image by its digest")
            pipeline.component("verify-image", reference=wrong, says="no image by its digest")
