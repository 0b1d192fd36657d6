#!/usr/bin/env python3
"""Verifies a certificate's place in a CT log, independently of countersign's own code.

Needs Python 3.9 and the package `cryptography`, nothing else. Checks, each with a line of its own:

- the one SCT in the leaf verifies with the log's key (RFC 6962, section 3.2) and has a leaf_index (static-ct-api);
- `get-sth`, `get-proof-by-hash`, `get-entry-and-proof`, `get-entries`, `get-sth-consistency` and `get-roots` agree with it;
- the checkpoint verifies, and an inclusion proof made from nothing but tiles leads to its root;
- the data tile holds the very entry, the precertificate in it belongs to the leaf, and every issuer is served.

    verify_ct.py --base-url http://127.0.0.1:5555/ct --log-key log.pem --leaf leaf.pem --chain chain.pem

Ends with 0 when all of it holds, with 1 and a line saying what does not.
"""

import argparse
import base64
import gzip
import hashlib
import json
import struct
import sys
import urllib.error
import urllib.parse
import urllib.request

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DER = serialization.Encoding.DER
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


class Failed(Exception):
    pass


def check(condition, what):
    if not condition:
        raise Failed(what)


def sha256(data):
    return hashlib.sha256(data).digest()


def spki(key):
    return key.public_bytes(DER, SPKI)


class Bytes:
    """Reads big-endian numbers and length-prefixed vectors."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        check(self.at + count <= len(self.data), "a structure is cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, octets):
        return int.from_bytes(self.take(octets), "big")

    def vector(self, octets):
        return self.take(self.number(octets))

    def done(self):
        return self.at == len(self.data)


class Log:
    def __init__(self, base_url, key):
        self.base, self.key, self.id = base_url.rstrip("/"), key, sha256(spki(key))

    def get(self, path, **query):
        url = f"{self.base}/{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                body = answer.read()
                return gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body
        except urllib.error.HTTPError as error:
            raise Failed(f"GET {url} answered {error.code}: {error.read(300)!r}") from error
        except OSError as error:
            raise Failed(f"GET {url} failed: {error}") from error

    def json(self, method, **query):
        return json.loads(self.get(f"ct/v1/{method}", **query))

    def verify(self, signed, digitally_signed, what):
        """RFC 6962, section 2.1.4: ECDSA P-256 with SHA-256."""
        reader = Bytes(digitally_signed)
        check(reader.take(2) == b"\x04\x03", f"{what}: the algorithm is not ECDSA with SHA-256")
        signature = reader.vector(2)
        check(reader.done(), f"{what}: octets after the signature")
        try:
            self.key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise Failed(f"{what}: the signature does not verify") from error

    def tile_hashes(self, level, number, size):
        """The hashes of a tile as a tree of `size` entries has it."""
        width = min(256, (size >> (8 * level)) - 256 * number)
        check(width > 0, f"tile {level}/{number} is beyond the tree")
        content = self.get(tile_path(level, number, width))
        check(len(content) == 32 * width, f"tile {level}/{number}: {len(content)} octets for {width} hashes")
        return [content[at : at + 32] for at in range(0, len(content), 32)]


def tile_path(level, number, width):
    digits = f"{number:03}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{name}" + ("" if width == 256 else f".p/{width}")


def leaf_hash(leaf):
    return sha256(b"\x00" + leaf)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


def split(count):
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def root_of_path(leaf, index, size, path):
    """The root that an audit path leads to: RFC 6962, section 2.1.1, read backwards."""
    if size == 1:
        check(not path, "the proof is too long")
        return leaf
    check(path, "the proof is too short")
    left = split(size)
    if index < left:
        return node_hash(root_of_path(leaf, index, left, path[:-1]), path[-1])
    return node_hash(path[-1], root_of_path(leaf, index - left, size - left, path[:-1]))


def roots_of_consistency(first, second, proof, whole, first_root):
    """The roots of the first and second tree that a consistency proof leads to: RFC 6962, section 2.1.2, read backwards."""
    if first == second:
        if whole:
            check(not proof, "the consistency proof is too long")
            return first_root, first_root
        check(len(proof) == 1, "the consistency proof has the wrong length")
        return proof[0], proof[0]
    check(proof, "the consistency proof is too short")
    left, last = split(second), proof[-1]
    if first <= left:
        old, new = roots_of_consistency(first, left, proof[:-1], whole, first_root)
        return old, node_hash(new, last)
    old, new = roots_of_consistency(first - left, second - left, proof[:-1], False, first_root)
    return node_hash(last, old), node_hash(last, new)


class Tree:
    """The tree of one size, out of tiles alone."""

    def __init__(self, log, size):
        self.log, self.size, self.tiles = log, size, {}

    def root(self, start, end):
        """RFC 6962, section 2.1: the hash of the leaves from `start` to before `end`."""
        count = end - start
        if count & (count - 1) == 0:
            height = count.bit_length() - 1
            level, number = height // 8, start >> (height // 8 * 8)
            return self.within_tile(level, number, 1 << (height % 8))
        middle = start + split(count)
        return node_hash(self.root(start, middle), self.root(middle, end))

    def within_tile(self, level, first, count):
        if count > 1:
            half = count // 2
            return node_hash(self.within_tile(level, first, half), self.within_tile(level, first + half, half))
        key = (level, first // 256)
        if key not in self.tiles:
            self.tiles[key] = self.log.tile_hashes(*key, self.size)
        return self.tiles[key][first % 256]

    def path(self, index, start=0, end=None):
        end = self.size if end is None else end
        if end - start == 1:
            return []
        middle = start + split(end - start)
        if index < middle:
            return self.path(index, start, middle) + [self.root(middle, end)]
        return self.path(index, middle, end) + [self.root(start, middle)]


def read_extensions(data):
    """static-ct-api: the leaf_index of CtExtensions."""
    reader, index = Bytes(data), None
    while not reader.done():
        kind, content = reader.number(1), reader.vector(2)
        if kind == 0:
            check(index is None and len(content) == 5, "the leaf_index extension is malformed")
            index = int.from_bytes(content, "big")
    check(index is not None, "the SCT has no leaf_index extension")
    return index


def read_sct(leaf):
    """The one SCT of the certificate: log id, timestamp, extensions, DigitallySigned."""
    extension = leaf.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps)
    check(not extension.critical, "the SCT list is critical")
    octets = extension.value.public_bytes()
    check(octets[0] == 4, "the SCT list is no OCTET STRING")
    skipped = 2 if octets[1] < 0x80 else 2 + octets[1] - 0x80
    outer = Bytes(octets[skipped:])
    scts = Bytes(outer.vector(2))
    sct = Bytes(scts.vector(2))
    check(outer.done() and scts.done(), "the certificate does not have exactly one SCT")
    check(sct.number(1) == 0, "the SCT is not of version 1")
    return sct.take(32), sct.number(8), sct.vector(2), sct.data[sct.at :]


def read_entry(reader):
    """static-ct-api, TileLeaf: the TimestampedEntry, the precertificate, the fingerprints."""
    start = reader.at
    reader.take(8)
    kind = reader.number(2)
    if kind == 1:
        reader.take(32)
    reader.vector(3)
    reader.vector(2)
    timestamped = reader.data[start : reader.at]
    precertificate = reader.vector(3) if kind == 1 else None
    chain = reader.vector(2)
    return timestamped, precertificate, [chain[at : at + 32] for at in range(0, len(chain), 32)]


def read_checkpoint(log, origin):
    note = log.get("checkpoint").decode()
    text, _, lines = note.rpartition("\n\n")
    name, size, root = text.split("\n")
    check(origin is None or name == origin, f"the checkpoint's origin is {name}")
    key_id = sha256(name.encode() + b"\n\x05" + log.id)[:4]
    signatures = [line.split(" ") for line in lines.splitlines()]
    own = [base64.b64decode(line[2]) for line in signatures if line[:2] == ["\u2014", name]]
    own = [signature[4:] for signature in own if signature[:4] == key_id]
    check(len(own) == 1, "the checkpoint has no line of the log's key")
    head = struct.pack(">BB8sQ", 0, 1, own[0][:8], int(size)) + base64.b64decode(root)
    log.verify(head, own[0][8:], "checkpoint")
    return name, int(size), base64.b64decode(root)


def verify(arguments, say):
    with open(arguments.log_key, "rb") as file:
        log = Log(arguments.base_url, serialization.load_pem_public_key(file.read()))
    with open(arguments.leaf, "rb") as file:
        leaf = x509.load_pem_x509_certificate(file.read())
    with open(arguments.chain, "rb") as file:
        chain = x509.load_pem_x509_certificates(file.read())
    chain = [certificate for certificate in chain if certificate != leaf]
    check(chain, "the chain is empty")
    leaf.verify_directly_issued_by(chain[0])

    log_id, timestamp, extensions, signed = read_sct(leaf)
    check(log_id == log.id, "the SCT is of another log")
    index = read_extensions(extensions)
    tbs = leaf.tbs_precertificate_bytes
    entry = struct.pack(">QH", timestamp, 1) + sha256(spki(chain[0].public_key()))
    entry += len(tbs).to_bytes(3, "big") + tbs + len(extensions).to_bytes(2, "big") + extensions
    log.verify(b"\x00\x00" + entry, signed, "SCT")
    say(f"the SCT verifies: entry {index}, {timestamp} ms")

    merkle_leaf = b"\x00\x00" + entry
    hash_ = leaf_hash(merkle_leaf)
    sth = log.json("get-sth")
    size, root = sth["tree_size"], base64.b64decode(sth["sha256_root_hash"])
    head = struct.pack(">BBQQ", 0, 1, sth["timestamp"], size) + root
    log.verify(head, base64.b64decode(sth["tree_head_signature"]), "get-sth")
    check(sth["timestamp"] >= timestamp, "the tree head is older than the SCT")
    check(index < size, f"the log has {size} entries, the certificate is number {index}")
    say(f"the signed tree head verifies: {size} entries")

    answer = log.json("get-proof-by-hash", hash=base64.b64encode(hash_).decode(), tree_size=size)
    check(answer["leaf_index"] == index, "get-proof-by-hash has another index than the SCT")
    path = [base64.b64decode(node) for node in answer["audit_path"]]
    check(root_of_path(hash_, index, size, path) == root, "the inclusion proof does not lead to the root")
    say("get-proof-by-hash: the inclusion proof leads to the root")

    answer = log.json("get-entry-and-proof", leaf_index=index, tree_size=size)
    check(base64.b64decode(answer["leaf_input"]) == merkle_leaf, "get-entry-and-proof has another leaf")
    check([base64.b64decode(node) for node in answer["audit_path"]] == path, "two audit paths differ")
    entries = log.json("get-entries", start=index, end=index)["entries"]
    check(len(entries) == 1, "get-entries does not answer with one entry")
    check(base64.b64decode(entries[0]["leaf_input"]) == merkle_leaf, "get-entries has another leaf")
    check(entries[0]["extra_data"] == answer["extra_data"], "get-entries and get-entry-and-proof differ")
    extra = Bytes(base64.b64decode(entries[0]["extra_data"]))
    logged, certificates = extra.vector(3), Bytes(extra.vector(3))
    check(extra.done(), "get-entries: octets after extra_data")
    issuers = []
    while not certificates.done():
        issuers.append(certificates.vector(3))
    check(issuers == [certificate.public_bytes(DER) for certificate in chain], "extra_data has another chain")
    roots = [base64.b64decode(certificate) for certificate in log.json("get-roots")["certificates"]]
    check(chain[-1].public_bytes(DER) in roots, "get-roots does not have the chain's root")
    say("get-entry-and-proof, get-entries and get-roots agree")

    name, new_size, new_root = read_checkpoint(log, arguments.origin)
    check(new_size >= size, "the checkpoint is smaller than the tree head before it")
    answer = log.json("get-sth-consistency", first=size, second=new_size)
    proof = [base64.b64decode(node) for node in answer["consistency"]]
    if size != new_size:
        consistent = roots_of_consistency(size, new_size, proof, True, root) == (root, new_root)
    else:
        consistent = not proof and root == new_root
    check(consistent, "the checkpoint does not extend the tree head")
    tree = Tree(log, new_size)
    check(tree.root(0, new_size) == new_root, "the tiles do not make the checkpoint's root")
    check(tree.within_tile(0, index, 1) == hash_, "the tile has another leaf hash")
    check(root_of_path(hash_, index, new_size, tree.path(index)) == new_root, "the tiles' proof fails")
    say(f"the checkpoint of {name} verifies, and the tiles lead from the leaf to its root")

    first = index // 256 * 256
    data = Bytes(log.get(tile_path("data", index // 256, min(256, new_size - first))))
    for _ in range(first, index):
        read_entry(data)
    timestamped, precertificate, fingerprints = read_entry(data)
    check(timestamped == entry, "the data tile has another entry")
    check(precertificate == logged, "data tile and get-entries have different precertificates")
    precertificate = x509.load_der_x509_certificate(precertificate)
    precertificate.verify_directly_issued_by(chain[0])
    poison = precertificate.extensions.get_extension_for_class(x509.PrecertPoison)
    check(poison.critical, "the poison is not critical")
    without = [e for e in precertificate.extensions if e.oid != x509.PrecertPoison.oid]
    sct_list = x509.PrecertificateSignedCertificateTimestamps.oid
    check(without == [e for e in leaf.extensions if e.oid != sct_list], "the extensions differ")
    check(leaf.serial_number == precertificate.serial_number, "the precertificate has another serial number")
    check(leaf.public_key() == precertificate.public_key(), "the precertificate has another key")
    say("the data tile has the entry, and its precertificate belongs to the certificate")

    check(fingerprints == [sha256(issuer) for issuer in issuers], "the fingerprints are not the chain's")
    for issuer in issuers:
        check(log.get("issuer/" + sha256(issuer).hex()) == issuer, "an issuer is not what its path says")
    say(f"all {len(issuers)} issuers are served")


def main():
    parser = argparse.ArgumentParser(description="Verify a certificate's place in a CT log.")
    parser.add_argument("--base-url", required=True, help="the log, for example https://ca.example.com/ct")
    parser.add_argument("--log-key", required=True, help="the log's public key, PEM")
    parser.add_argument("--leaf", required=True, help="the certificate, PEM")
    parser.add_argument("--chain", required=True, help="the CA certificates, issuing one first, root last, PEM")
    parser.add_argument("--origin", help="the origin that the checkpoint must have")
    arguments = parser.parse_args()
    try:
        verify(arguments, lambda line: print("ok:", line))
    except Exception as error:  # whatever does not hold or cannot be read
        print(f"FAILED: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
