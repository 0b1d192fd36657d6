"""A TUF repository of one target, the trusted root: what admission controllers ask for trust material.

Usage: mirror.py TRUSTED-ROOT DIR; then any web server of files serves DIR, and clients begin with DIR/1.root.json.
"""

import datetime
import functools
import http.server
import pathlib
import sys
import threading

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

TARGET = "trusted_root.json"
GOOD_FOR = datetime.timedelta(days=30)


def write(trusted_root: bytes, directory: pathlib.Path) -> None:
    """The repository's files. One key signs all of it: enough for a test, not for keeping."""
    key = CryptoSigner.generate_ed25519()
    expires = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + GOOD_FOR
    root = Root(expires=expires, consistent_snapshot=True)
    for role in ["root", "targets", "snapshot", "timestamp"]:
        root.add_key(key.public_key, role)
    target = TargetFile.from_data(TARGET, trusted_root, ["sha256"])
    described = {
        "1.root.json": root,
        "1.targets.json": Targets(expires=expires, targets={TARGET: target}),
        "1.snapshot.json": Snapshot(expires=expires, meta={"targets.json": MetaFile(1)}),
        "timestamp.json": Timestamp(expires=expires, snapshot_meta=MetaFile(1)),
    }
    (directory / "targets").mkdir(parents=True)
    for name, signed in described.items():
        metadata = Metadata(signed)
        metadata.sign(key)
        (directory / name).write_bytes(metadata.to_bytes())
    (directory / "targets" / f"{target.hashes['sha256']}.{TARGET}").write_bytes(trusted_root)


def serve(directory: pathlib.Path) -> str:
    """Serves the files on loopback until the process ends. The URL."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(directory)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]).read_bytes(), pathlib.Path(sys.argv[2]))
