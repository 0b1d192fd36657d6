"""What callers kept, held against the logs: by code that shares nothing with countersign's.

The trees are rebuilt from the tiles of entries alone, and only from where the last look ended: what was read once is remembered,
so a log that changes an entry later does not meet its own checkpoints any more.
"""

import base64
import hashlib
import json
import pathlib
import struct
import tempfile

import ca
from ca import check
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from load import Kept
import verify_ct
from verify_ct import sha256


class CheckpointOf(verify_ct.Log):
    """A log whose checkpoint is the one that was kept."""

    def __init__(self, key, note: bytes) -> None:
        super().__init__("", key)
        self.note = note

    def get(self, path, **_):
        return self.note


class Tree:
    """RFC 6962, section 2.1, over leaf hashes that only grow in number."""

    STEP = 1024

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.edges: list[list[bytes]] = [[]]
        self.edge: list[bytes] = []
        # Roots that will be asked for, made on the way.
        self.wanted: dict[int, bytes | None] = {}

    @staticmethod
    def grow(edge: list[bytes], size: int, leaf: bytes) -> None:
        """`edge`: the roots of the complete subtrees of `size` leaves, largest first."""
        while size & 1:
            leaf, size = hashlib.sha256(b"\x01" + edge.pop() + leaf).digest(), size >> 1
        edge.append(leaf)

    @staticmethod
    def root_of(edge: list[bytes]) -> bytes:
        edge = edge.copy()
        root = edge.pop()
        while edge:
            root = hashlib.sha256(b"\x01" + edge.pop() + root).digest()
        return root

    def push(self, leaf: bytes) -> None:
        self.grow(self.edge, len(self.leaves), leaf)
        self.leaves.append(leaf)
        if len(self.leaves) in self.wanted:
            self.wanted[len(self.leaves)] = self.root_of(self.edge)
        if len(self.leaves) % self.STEP == 0:
            self.edges.append(self.edge.copy())

    def root(self, size: int) -> bytes:
        if size == 0:
            return sha256(b"")
        if made := self.wanted.get(size):
            return made
        number = size // self.STEP
        edge = self.edges[number].copy()
        for at in range(number * self.STEP, size):
            self.grow(edge, at, self.leaves[at])
        return self.root_of(edge)


class LogAudit:
    """Everything that callers know of one log, over all its lives."""

    NAME = ""

    def __init__(self, authority: "ca.Ca") -> None:
        self.ca, self.tree = authority, Tree()
        self.answered = bytearray()
        self.heads: dict[int, bytes] = {}
        self.answers = self.checkpoints = 0

    def head_of(self, note: bytes) -> tuple[int, bytes]:
        """Size and root of a checkpoint that the log's key signed."""
        raise NotImplementedError

    def base(self) -> str:
        """What comes before `/checkpoint`."""
        raise NotImplementedError

    def tile(self, number: int, width: int) -> str:
        """The path of a tile of entries."""
        raise NotImplementedError

    def next_leaf(self, reader: verify_ct.Bytes, index: int) -> bytes:
        """The leaf hash of the entry `index`, which is the next one in a tile."""
        raise NotImplementedError

    def read_checkpoint(self, note: bytes) -> tuple[int, bytes]:
        """The size and root of a checkpoint that the log's key signed; no two of one size may differ."""
        size, root = self.head_of(note)
        check(self.heads.setdefault(size, root) == root, f"{self.NAME}: two heads of size {size} differ")
        return size, root

    def look(self, notes: list[bytes]) -> int:
        """Reads what is new in the log, then holds the kept checkpoints against it; answers how large the log is."""
        served = dict(self.read_checkpoint(note) for note in set(notes))
        self.tree.wanted = dict.fromkeys(served)
        status, note = ca.ask(f"{self.base()}/checkpoint", 10)
        check(status == 200, f"{self.NAME}: the checkpoint cannot be read: {status}")
        size, root = self.read_checkpoint(note)
        check(size >= len(self.tree.leaves), f"{self.NAME}: it had {len(self.tree.leaves)} entries, and has {size} now")
        self.read_to(size)
        check(self.tree.root(size) == root, f"{self.NAME}: the entries do not make the root of size {size}")
        for at, head in served.items():
            check(at <= size, f"{self.NAME}: a checkpoint of size {at} was served, and there are {size} entries now")
            check(self.tree.root(at) == head, f"{self.NAME}: the checkpoint of size {at} that was served is not of this tree")
        self.checkpoints += len(notes)
        return size

    def read_to(self, size: int) -> None:
        """Appends the log's entries up to `size` to our tree."""
        while len(self.tree.leaves) < size:
            begin = len(self.tree.leaves)
            number, width = begin // 256, min(256, size - begin // 256 * 256)
            status, tile = ca.ask(f"{self.base()}/{self.tile(number, width)}", 10)
            check(status == 200, f"{self.NAME}: tile {number} of width {width} answers {status}")
            reader = verify_ct.Bytes(tile)
            for index in range(number * 256, number * 256 + width):
                leaf = self.next_leaf(reader, index)
                if index < begin:
                    check(self.tree.leaves[index] == leaf, f"{self.NAME}: entry {index} is another one than before")
                    continue
                self.tree.push(leaf)
            check(reader.done(), f"{self.NAME}: tile {number} has more than {width} entries")

    def hold_at(self, index: int, leaf: bytes) -> None:
        """What was answered is at its index, and nobody else got that index."""
        check(index < len(self.tree.leaves),
              f"{self.NAME}: index {index} was answered, and there are {len(self.tree.leaves)} entries: LOST")
        check(leaf == self.tree.leaves[index], f"{self.NAME}: entry {index} is not the one that was answered with it")
        self.answered.extend(bytes(max(0, index + 1 - len(self.answered))))
        check(not self.answered[index], f"{self.NAME}: index {index} was given twice")
        self.answered[index] = 1
        self.answers += 1


class CertificateLog(LogAudit):
    """The certificate log (static-ct-api)."""

    NAME = "certificate log"

    def __init__(self, authority: "ca.Ca") -> None:
        super().__init__(authority)
        self.issuer_key_hash: bytes | None = None
        self.last_time = 0

    def base(self) -> str:
        return self.ca.ct

    def head_of(self, note: bytes) -> tuple[int, bytes]:
        _, size, root = verify_ct.read_checkpoint(CheckpointOf(self.ca.log_key, note), None)
        return size, root

    def tile(self, number: int, width: int) -> str:
        return verify_ct.tile_path("data", number, width)

    def next_leaf(self, reader: verify_ct.Bytes, index: int) -> bytes:
        timestamped, _, _ = verify_ct.read_entry(reader)
        if index >= len(self.tree.leaves):
            time = int.from_bytes(timestamped[:8], "big")
            check(time >= self.last_time, f"the time of entry {index} goes back")
            self.last_time = time
        return hashlib.sha256(b"\x00\x00\x00" + timestamped).digest()

    def hold(self, body: bytes) -> None:
        """One certificate."""
        chain = json.loads(body)["signedCertificateEmbeddedSct"]["chain"]["certificates"]
        leaf = x509.load_pem_x509_certificate(chain[0].encode())
        if self.issuer_key_hash is None:
            issuer = x509.load_pem_x509_certificate(chain[1].encode())
            self.issuer_key_hash = sha256(verify_ct.spki(issuer.public_key()))
        _, timestamp, extensions, _ = verify_ct.read_sct(leaf)
        tbs = leaf.tbs_precertificate_bytes
        entry = struct.pack(">QH", timestamp, 1) + self.issuer_key_hash
        entry += len(tbs).to_bytes(3, "big") + tbs + len(extensions).to_bytes(2, "big") + extensions
        self.hold_at(verify_ct.read_extensions(extensions), hashlib.sha256(b"\x00\x00\x00" + entry).digest())


class SignatureLog(LogAudit):
    """The signature log (tlog-tiles, Rekor v2), whose key is Ed25519 here."""

    NAME = "signature log"

    def base(self) -> str:
        return f"{self.ca.url}/api/v2"

    def head_of(self, note: bytes) -> tuple[int, bytes]:
        text, _, lines = note.decode().rpartition("\n\n")
        name, size, root = text.split("\n")
        signatures = [line.split(" ") for line in lines.splitlines()]
        own = [base64.b64decode(line[2])[4:] for line in signatures if line[:2] == ["\u2014", name]]
        check(len(own) == 1, "the signature log's checkpoint has no line of its key")
        try:
            self.ca.signature_log_key.verify(own[0], text.encode() + b"\n")
        except InvalidSignature:
            check(False, f"the signature log's checkpoint of size {size} is not signed by its key")
        return int(size), base64.b64decode(root)

    def tile(self, number: int, width: int) -> str:
        return verify_ct.tile_path("entries", number, width)

    def next_leaf(self, reader: verify_ct.Bytes, index: int) -> bytes:
        return sha256(b"\x00" + reader.vector(2))

    def hold(self, entry: dict, about: str) -> None:
        """One entry as it was answered: about what was asked for, with a proof that leads to the checkpoint beside it."""
        proof, body = entry["inclusionProof"], base64.b64decode(entry["canonicalizedBody"])
        index, size = int(entry["logIndex"]), int(proof["treeSize"])
        check(index > 0 and int(proof["logIndex"]) == index, f"an entry was answered with index {index}")
        logged = json.loads(body)["spec"]["hashedRekordV002"]["data"]["digest"]
        check(logged == about, f"entry {index} is about something else than what was asked for")
        leaf, path = sha256(b"\x00" + body), [base64.b64decode(node) for node in proof["hashes"]]
        head = self.read_checkpoint(proof["checkpoint"]["envelope"].encode())
        check(head == (size, base64.b64decode(proof["rootHash"])), f"the checkpoint of entry {index} is of another tree")
        check(verify_ct.root_of_path(leaf, index, size, path) == head[1], f"the proof of entry {index} does not hold")
        self.hold_at(index, leaf)


class Timestamps:
    """Timestamps: about what was asked for, and openssl believes one of each look."""

    def __init__(self, authority: "ca.Ca") -> None:
        self.ca, self.answers, self.root = authority, 0, None

    def look(self, answers: list) -> None:
        for answer in answers:
            imprint = b"\x04\x20" + bytes.fromhex(answer.about)
            check(imprint in answer.body, "a timestamp is about something else than what was asked for")
        if answers:
            self.verify(answers[-1])
        self.answers += len(answers)

    def verify(self, answer) -> None:
        with tempfile.TemporaryDirectory() as directory:
            reply, root = pathlib.Path(directory) / "reply", pathlib.Path(directory) / "root.pem"
            reply.write_bytes(answer.body)
            chain = (self.ca.home / "timestamps/chain.pem").read_text()
            root.write_text(chain[chain.rindex("-----BEGIN"):])
            ca.run("openssl", "ts", "-verify", "-in", reply, "-digest", answer.about, "-CAfile", root)


class Audit:
    """Everything that callers know, over all lives."""

    def __init__(self, authority: "ca.Ca") -> None:
        self.ca = authority
        self.certificate_log, self.signature_log = CertificateLog(authority), SignatureLog(authority)
        self.timestamps = Timestamps(authority)

    @property
    def certificates(self) -> int:
        return self.certificate_log.answers

    @property
    def entries(self) -> int:
        return self.signature_log.answers

    @property
    def checkpoints(self) -> int:
        return self.certificate_log.checkpoints + self.signature_log.checkpoints

    def look(self, kept: Kept) -> tuple[int, int]:
        """Reads what is new in both logs, then holds everything kept against it; answers how large the logs are."""
        entries = [(json.loads(answer.body), answer.about) for answer in kept.entries]
        notes = [answer.body for answer in kept.signature_checkpoints]
        notes += [entry["inclusionProof"]["checkpoint"]["envelope"].encode() for entry, _ in entries]
        # The signature log first: the certificates that its entries name are in the other by then.
        signatures = self.signature_log.look(notes)
        certificates = self.certificate_log.look([answer.body for answer in kept.checkpoints])
        for answer in kept.certificates:
            self.certificate_log.hold(answer.body)
        for entry, about in entries:
            self.signature_log.hold(entry, about)
        self.timestamps.look(kept.timestamps)
        return certificates, signatures

    def reread(self) -> None:
        """Everything once more from its first entry, and `countersign log audit` too."""
        again = Audit(self.ca)
        certificates, signatures = again.look(Kept())
        for mine, other in [(self.certificate_log, again.certificate_log), (self.signature_log, again.signature_log)]:
            check(other.tree.leaves[:len(mine.tree.leaves)] == mine.tree.leaves, f"{mine.NAME}: entries changed since they were read")
        report = self.ca.own_audit()
        check(report["size"] >= certificates, f"the audit saw less of the certificate log: {report}")
        check(report["signature_log"]["size"] >= signatures, f"the audit saw less of the signature log: {report}")
