"""What callers kept, held against the log: by code that shares nothing with countersign's.

The tree is rebuilt from the data tiles alone, and only from where the last look ended: what was read once is remembered, so a
log that changes an entry later does not meet its own checkpoints any more.
"""

import hashlib
import json
import struct

import ca
from ca import check
from cryptography import x509
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

    @staticmethod
    def grow(edge: list[bytes], size: int, leaf: bytes) -> None:
        """`edge`: the roots of the complete subtrees of `size` leaves, largest first."""
        while size & 1:
            leaf, size = hashlib.sha256(b"\x01" + edge.pop() + leaf).digest(), size >> 1
        edge.append(leaf)

    def push(self, leaf: bytes) -> None:
        self.grow(self.edge, len(self.leaves), leaf)
        self.leaves.append(leaf)
        if len(self.leaves) % self.STEP == 0:
            self.edges.append(self.edge.copy())

    def root(self, size: int) -> bytes:
        if size == 0:
            return sha256(b"")
        number = size // self.STEP
        edge = self.edges[number].copy()
        for at in range(number * self.STEP, size):
            self.grow(edge, at, self.leaves[at])
        root = edge.pop()
        while edge:
            root = hashlib.sha256(b"\x01" + edge.pop() + root).digest()
        return root


class Audit:
    """Everything that callers know of one log, over all its lives."""

    def __init__(self, authority: "ca.Ca") -> None:
        self.ca, self.tree = authority, Tree()
        self.answered = bytearray()
        self.heads: dict[int, bytes] = {}
        self.issuer_key_hash: bytes | None = None
        self.last_time = 0
        self.certificates = self.checkpoints = 0

    def read_checkpoint(self, note: bytes) -> tuple[int, bytes]:
        """The size and root of a checkpoint that the log's key signed; no two of one size may differ."""
        _, size, root = verify_ct.read_checkpoint(CheckpointOf(self.ca.log_key, note), None)
        check(self.heads.setdefault(size, root) == root, f"two heads of size {size} differ")
        return size, root

    def look(self, kept: Kept) -> int:
        """Reads what is new in the log, then holds everything kept against it; answers how large the log is."""
        status, note = ca.ask(f"{self.ca.ct}/checkpoint", 10)
        check(status == 200, f"the checkpoint cannot be read: {status}")
        size, root = self.read_checkpoint(note)
        check(size >= len(self.tree.leaves), f"the log had {len(self.tree.leaves)} entries, and has {size} now")
        self.read_to(size)
        check(self.tree.root(size) == root, f"the entries do not make the root of size {size}")
        for answer in kept.certificates:
            self.hold(answer.body)
        sizes = {}
        for answer in kept.checkpoints:
            at, head = self.read_checkpoint(answer.body)
            check(at <= size, f"a checkpoint of size {at} was served, and the log has {size} entries now")
            sizes[at] = head
        for at, head in sizes.items():
            check(self.tree.root(at) == head, f"the checkpoint of size {at} that was served is not of this tree")
        self.certificates += len(kept.certificates)
        self.checkpoints += len(kept.checkpoints)
        return size

    def read_to(self, size: int) -> None:
        """Appends the log's entries up to `size` to our tree."""
        while len(self.tree.leaves) < size:
            begin = len(self.tree.leaves)
            number, width = begin // 256, min(256, size - begin // 256 * 256)
            status, tile = ca.ask(f"{self.ca.ct}/{verify_ct.tile_path('data', number, width)}", 10)
            check(status == 200, f"data tile {number} of width {width} answers {status}")
            reader = verify_ct.Bytes(tile)
            for index in range(number * 256, number * 256 + width):
                timestamped, _, _ = verify_ct.read_entry(reader)
                leaf = hashlib.sha256(b"\x00\x00\x00" + timestamped).digest()
                if index < begin:
                    check(self.tree.leaves[index] == leaf, f"entry {index} is another one than before")
                    continue
                time = int.from_bytes(timestamped[:8], "big")
                check(time >= self.last_time, f"the time of entry {index} goes back")
                self.last_time = time
                self.tree.push(leaf)
            check(reader.done(), f"data tile {number} has more than {width} entries")

    def hold(self, body: bytes) -> None:
        """One certificate: its entry is at its index, and nobody else got that index."""
        chain = json.loads(body)["signedCertificateEmbeddedSct"]["chain"]["certificates"]
        leaf = x509.load_pem_x509_certificate(chain[0].encode())
        if self.issuer_key_hash is None:
            issuer = x509.load_pem_x509_certificate(chain[1].encode())
            self.issuer_key_hash = sha256(verify_ct.spki(issuer.public_key()))
        _, timestamp, extensions, _ = verify_ct.read_sct(leaf)
        index = verify_ct.read_extensions(extensions)
        check(index < len(self.tree.leaves),
              f"a certificate has index {index}, and the log has {len(self.tree.leaves)} entries: LOST")
        tbs = leaf.tbs_precertificate_bytes
        entry = struct.pack(">QH", timestamp, 1) + self.issuer_key_hash
        entry += len(tbs).to_bytes(3, "big") + tbs + len(extensions).to_bytes(2, "big") + extensions
        hashed = hashlib.sha256(b"\x00\x00\x00" + entry).digest()
        check(hashed == self.tree.leaves[index], f"entry {index} is not the certificate that was answered with it")
        self.answered.extend(bytes(max(0, index + 1 - len(self.answered))))
        check(not self.answered[index], f"index {index} was given twice")
        self.answered[index] = 1

    def reread(self) -> None:
        """Everything once more from its first entry, and `countersign log audit` too."""
        again = Audit(self.ca)
        size = again.look(Kept())
        check(again.tree.leaves[:len(self.tree.leaves)] == self.tree.leaves, "entries changed since they were read")
        report = self.ca.own_audit()
        check(report.get("size", report.get("tree_size", size)) >= size, f"the audit saw less: {report}")
