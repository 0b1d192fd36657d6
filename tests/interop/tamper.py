"""Bundles that must be refused, made of good ones. Every signature in them is genuine, unless a name says otherwise."""

import base64
import copy
import hashlib
import json
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from world import World

Bundle = dict


def read(path: pathlib.Path) -> Bundle:
    return json.loads(path.read_text())


def write(bundle: Bundle, path: pathlib.Path) -> pathlib.Path:
    path.write_text(json.dumps(bundle))
    return path


def signature(bundle: Bundle) -> str:
    return bundle["messageSignature"]["signature"]


def certificate(bundle: Bundle) -> str:
    return bundle["verificationMaterial"]["certificate"]["rawBytes"]


def entry(bundle: Bundle) -> dict:
    [only] = bundle["verificationMaterial"]["tlogEntries"]
    return only


def with_entry(bundle: Bundle, its: dict) -> Bundle:
    changed = copy.deepcopy(bundle)
    changed["verificationMaterial"]["tlogEntries"] = [its]
    return changed


def without_entry(bundle: Bundle) -> Bundle:
    changed = copy.deepcopy(bundle)
    changed["verificationMaterial"]["tlogEntries"] = []
    return changed


def with_proof(bundle: Bundle, **members: object) -> Bundle:
    """Some members of the inclusion proof replaced."""
    its = copy.deepcopy(entry(bundle))
    its["inclusionProof"] |= members
    return with_entry(bundle, its)


def with_timestamp(bundle: Bundle, timestamp: str) -> Bundle:
    changed = copy.deepcopy(bundle)
    changed["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": [{"signedTimestamp": timestamp}]}
    return changed


def without_timestamp(bundle: Bundle) -> Bundle:
    changed = copy.deepcopy(bundle)
    del changed["verificationMaterial"]["timestampVerificationData"]
    return changed


def timestamp(world: World, bundle: Bundle, url: str) -> str:
    """A timestamp over the bundle's signature, by the authority at a URL."""
    imprint = hashlib.sha256(base64.b64decode(signature(bundle))).digest()
    asked = {"artifactHash": base64.b64encode(imprint).decode(), "hashAlgorithm": "sha256", "certificates": True, "nonce": 7}
    return base64.b64encode(world.fetch("/api/v1/timestamp", url=url, body=asked)).decode()


def logged(world: World, bundle: Bundle) -> dict:
    """The entry that this world's log answers for the bundle's signature, as a bundle carries it."""
    verifier = {"x509Certificate": {"rawBytes": certificate(bundle)}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    asked = {"hashedRekordRequestV002": {"digest": bundle["messageSignature"]["messageDigest"]["digest"],
                                         "signature": {"content": signature(bundle), "verifier": verifier}}}
    answered = json.loads(world.fetch("/api/v2/log/entries", body=asked))
    return {name: value for name, value in answered.items() if value is not None}


def flipped(octets: str) -> str:
    """Base64 of the octets with their last bit turned."""
    raw = bytearray(base64.b64decode(octets))
    raw[-1] ^= 1
    return base64.b64encode(raw).decode()


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([length]) if length < 128 else bytes([0x80 | len(octets)]) + octets) + content


def with_broken_sct(world: World, bundle: Bundle) -> Bundle:
    """The certificate with one bit of its SCT's signature turned, under the CA's own signature, and logged anew."""
    was = base64.b64decode(certificate(bundle))
    parsed = x509.load_der_x509_certificate(was)
    [sct] = parsed.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    tbs = parsed.tbs_certificate_bytes
    turned = base64.b64decode(flipped(base64.b64encode(sct.signature).decode()))
    changed = tbs.replace(sct.signature, turned)
    assert changed != tbs
    # Behind the TBSCertificate stands the algorithm, a sequence of a few octets.
    algorithm = was[was.index(tbs) + len(tbs):]
    algorithm = algorithm[:2 + algorithm[1]]
    key = load_pem_private_key((world.ca / "ca" / "key.pem").read_bytes(), None)
    signature = key.sign(changed, ec.ECDSA(parsed.signature_hash_algorithm))
    certificate_ = der(0x30, changed + algorithm + der(0x03, b"\0" + signature))
    made = copy.deepcopy(bundle)
    made["verificationMaterial"]["certificate"]["rawBytes"] = base64.b64encode(certificate_).decode()
    return with_entry(made, logged(world, made))
