"""schemathesis against a real countersign: every operation of /openapi.json, with proper, odd and broken requests.

Usage: schemathesis.py --countersign BINARY [--seconds N] [--seed N]
Needs Python with `schemathesis` and `cryptography` (requirements.txt). Ends with 0 when every answer was one that the document
describes, none was a 5xx, and the log is sound afterwards.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

from world import World, run

# What the document cannot promise, and why.
EXCLUDED = {
    "positive_data_acceptance": "a well-formed request may still lack a genuine token, a sound key, or an entry at that index",
    "negative_data_rejection": "unknown members are ignored and several spellings taken, as clients of Fulcio expect",
    "unsupported_method": "a wrong method is 501 METHOD_NOT_ALLOWED in JSON, as Fulcio has it, not 405",
}

# So 501 is no server error; on a method that the document has it would be an undocumented status.
CONFIGURATION = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "501"]\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--countersign", required=True, type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=45, help="how long to fuzz; the fixed cases come on top")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        world = World(str(options.countersign.resolve()), pathlib.Path(directory))
        try:
            return check(world, options)
        finally:
            world.server.terminate()
            world.server.wait(20)


def check(world: World, options: argparse.Namespace) -> int:
    # A few entries, so that reads of the log have something to find.
    for number in range(3):
        world.path(f"certificate-{number}").mkdir()
        run(world.countersign, "request", "--url", world.url, "--out", world.path(f"certificate-{number}"),
                env={"SIGSTORE_ID_TOKEN": world.gitlab.token()})
    world.path("schemathesis.toml").write_text(CONFIGURATION)
    command = [
        pathlib.Path(sys.executable).with_name("schemathesis"),
        "--config-file", world.path("schemathesis.toml"), "run", f"{world.url}/openapi.json",
        "--header", f"Authorization: Bearer {world.gitlab.token()}",
        "--checks", "all", "--exclude-checks", ",".join(EXCLUDED), "--phases", "examples,coverage,fuzzing",
        "--max-examples", "200", "--max-time", options.seconds, "--seed", options.seed,
        "--continue-on-failure", "--no-shrink", "--request-timeout", "10", "--warnings", "off", "--no-color",
    ]
    done = subprocess.run([str(word) for word in command], cwd=world.directory)
    if world.server.poll() is not None:
        print("the server ended", file=sys.stderr)
        return 1
    world.fetch("/healthz")
    run(world.countersign, "log", "audit", "--config", world.config)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
