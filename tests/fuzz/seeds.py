#!/usr/bin/env python3
"""Writes the seeds of the corpora anew, beside what the fuzzer found: tests/fuzz/seeds.py

Needs the package `cryptography`. Each target's first inputs are valid or nearly so, taken from the fixtures where there are any.
"""
import base64
import hashlib
import json
import pathlib
import shutil

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent / "fixtures"
ROOT = HERE.parents[1]
NOW = 1795251600

CLAIMS = {"iss": "https://gitlab.example.com", "aud": "sigstore", "iat": NOW, "exp": NOW + 400}


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def write(target, name, data):
    directory = HERE / "corpus" / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, data):
    data = data if isinstance(data, bytes) else data.encode()
    return varint(number << 3 | 2) + varint(len(data)) + data


def der_of(pem):
    return base64.b64decode("".join(pem.decode().split("-----")[2].split()))


issuer = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
log = serialization.load_pem_private_key((FIXTURES / "certificate/issuing.key").read_bytes(), None)
chain = (FIXTURES / "certificate/chain.pem").read_bytes()
csr = (FIXTURES / "csr/p256-sha256.pem").read_bytes()
public = "".join(line for line in (ROOT / "config/example-ct-log.pem").read_text().splitlines(True))
vectors = json.loads((FIXTURES / "gitlab-pipeline.json").read_text())["vectors"]
gitlab = []
for vector in vectors:
    claims = {k: v for k, v in vector["claims"].items()}
    host = claims.get("iss", "").removeprefix("https://")
    text = json.dumps(claims).replace(f"https://{host}", CLAIMS["iss"]).replace(f'"{host}/', '"gitlab.example.com/')
    claims = json.loads(text) | CLAIMS | {"user_email": "SECRET@example.com"}
    gitlab.append((vector["name"], claims))


def token(header, payload, key=issuer):
    signed = f"{b64u(header)}.{b64u(payload)}"
    return f"{signed}.{b64u(key.sign(signed.encode()))}"


# token
HEADER = b'{"alg":"EdDSA","kid":"k1"}'
GOOD = compact(CLAIMS | {"sub": "SECRET"})
write("token", "good", token(HEADER, GOOD))
write("token", "other-key", token(HEADER, GOOD, ed25519.Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32)))
for name, header in [
    ("no-kid", b'{"alg":"EdDSA"}'),
    ("none", b'{"alg":"none"}'),
    ("hs256", b'{"alg":"HS256","kid":"k1"}'),
    ("crit", b'{"alg":"EdDSA","kid":"k1","crit":["b64"],"b64":false}'),
    ("jwk", b'{"alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"AA"},"jku":"https://evil.example/","x5u":"https://evil.example/"}'),
    ("kid-is-a-path", b'{"alg":"RS256","kid":"../../dev/null","typ":"JWT"}'),
]:
    write("token", name, header + b"\n" + GOOD)
for name, payload in [
    ("twice", GOOD[:-1] + b',"iss":"https://evil.example"}'),
    ("deep", GOOD[:-1] + b',"a":' + b"[" * 17 + b"]" * 17 + b"}"),
    ("numbers", GOOD[:-1] + b',"a":[1e400,-0,1E5,12345678901234567890123,0.10]}'),
    ("lookalike", GOOD.replace(b"gitlab", "g\u0456tlab".encode())),
    ("surrogate", GOOD[:-1] + b',"a":"\\ud83d\\ude00","b":"\\u0000"}'),
    ("exp-float", GOOD.replace(str(NOW + 400).encode(), b"4102444800.5")),
]:
    write("token", name, HEADER + b"\n" + payload)

# claims: one of each type, and GitLab's vectors
for name, claims in gitlab[:14]:
    write("claims", "gitlab-" + "".join(c if c.isascii() and c.isalnum() else "-" for c in name)[:40], compact(claims))
for name, more in {
    "email": {"sub": "1", "email": "ada@example.com", "email_verified": True},
    "uri": {"sub": "https://gitlab.example.com/ada"},
    "username": {"sub": "ada"},
    "spiffe": {"sub": "spiffe://example.org/service/x"},
    "kubernetes": {"sub": "system:serviceaccount:ns:sa", "kubernetes.io": {"namespace": "ns", "pod": {"name": "p", "uid": "u"}, "serviceaccount": {"name": "sa", "uid": "u"}}},
    "github": {"sub": "repo:o/r:ref:refs/heads/main", "event_name": "push", "sha": "a" * 40, "workflow": "w", "repository": "o/r", "ref": "refs/heads/main", "job_workflow_ref": "o/r/.github/workflows/w.yml@refs/heads/main", "job_workflow_sha": "a" * 40, "runner_environment": "github-hosted", "repository_id": "1", "repository_owner": "o", "repository_owner_id": "2", "repository_visibility": "public", "workflow_ref": "o/r/.github/workflows/w.yml@refs/heads/main", "workflow_sha": "a" * 40, "run_id": "3", "run_attempt": "1"},
    "buildkite": {"sub": "organization:o:pipeline:p", "organization_slug": "o", "pipeline_slug": "p"},
    "codefresh": {"sub": "account:1:pipeline:2", "account_id": "1", "account_name": "a", "pipeline_id": "2", "pipeline_name": "p/q", "workflow_id": "3", "initiator": "i", "scm_repo_url": "https://github.com/o/r", "scm_ref": "main", "runner_environment": "hybrid", "platform_url": "https://g.codefresh.io"},
    "chainguard": {"sub": "a" * 40, "act": {"iss": "https://accounts.google.com", "sub": "1"}, "internal": {"service-principal": "x"}},
}.items():
    write("claims", name, compact(CLAIMS | more))

# provider
for name, more in {
    "plain": {"tenant": "acme", "path": "group/project", "ref": "main"},
    "dots": {"tenant": "evil.example/", "path": "../..", "ref": "#"},
    "at": {"tenant": "evil.example@", "path": "@evil.example/", "ref": "%2f"},
    "lengthen": {"tenant": "a", "path": ".evil.example/", "region": "evil.example?"},
    "url": {"tenant": "a", "path": "p", "url": "https://evil.example"},
    "types": {"tenant": 7, "path": True, "ref": None, "region": ["eu"]},
    "numbers": {"tenant": 1e3, "path": 12345678901234567890, "ref": -0.0},
    "escapes": {"tenant": "%61", "path": "%zz \u00e9", "ref": "a b"},
    "colon": {"tenant": "a:443", "path": ":80/x", "ref": "\\"},
}.items():
    write("provider", name, compact(CLAIMS | {"sub": "s"} | more))

# template: the shipped ones and Go's cases
seen = set()
for line in (FIXTURES / "gotemplate/golden.jsonl").read_text().splitlines():
    case = json.loads(line)
    provider = case.get("provider", {})
    for text in [provider.get("subject-alternative-name-template", ""), *provider.get("extension-templates", {}).values()]:
        if "{{" in text and text not in seen and len(seen) < 18:
            seen.add(text)
            write("template", f"golden-{len(seen):02}", text.encode() + b"\n%%\n" + compact(CLAIMS | {"sub": "s"} | {k: v for k, v in case.get("claims", {}).items() if k not in CLAIMS}))
for name, text in {
    "host": "https://{{ .a }}.example.com/{{ .b }}",
    "range": "{{ range $k, $v := . }}{{ $k }}={{ $v }};{{ else }}none{{ end }}",
    "define": '{{ define "t" }}{{ . }}{{ end }}{{ template "t" .a }}{{ block "u" .b }}{{ . }}{{ end }}',
    "recursion": '{{ define "t" }}{{ template "t" . }}{{ end }}{{ template "t" . }}',
    "pipeline": '{{ .a | printf "%-20.3q|%x|%+v" | html | js | urlquery }}',
    "compare": '{{ if and (eq .a .b .c) (or (lt 1 2) (not .b)) }}{{ len .a }}{{ index . "a" }}{{ slice .a 1 3 }}{{ end }}',
    "trim": "a {{- /* c */ -}} b {{- `raw` -}} {{ 'x' }} {{ 0x1F }} {{ 1.5e3 }} {{ nil }}",
    "with": "{{ with $x := .a }}{{ $x }}{{ else with .b }}{{ . }}{{ end }}{{ $x := 1 }}{{ $x = 2 }}{{ break }}",
}.items():
    write("template", name, text)

# issuer patterns
for name, pattern, iss in [
    ("eks", "https://oidc.eks.*.amazonaws.com/id/*", "https://oidc.eks.eu-west-1.amazonaws.com/id/DF"),
    ("evil", "https://oidc.eks.*.amazonaws.com/id/*", "https://oidc.eks.evil.example#.amazonaws.com/id/DF"),
    ("prefix", "https://gitlab-*.example.com", "https://gitlab-eu.example.com"),
    ("port", "http://127.0.*.1:80/x", "http://127.0.1.1:80/x"),
    ("six", "http://[::1]:80/*", "http://[::1]:80/a"),
    ("slash", "https://h/*/", "https://h/a/"),
    ("plain", "https://h.example/a", "https://h.example/a"),
    ("wide", "https://*.*", "https://a.b"),
    ("escape", "https://%41.*.example/", "https://%41.x.example/"),
    ("puny", "https://xn--*.example.com", "https://xn--80ak6aa92e.example.com"),
]:
    write("issuer_pattern", name, f"{pattern}\n{iss}")
for name, text in {
    "plain": "https://gitlab.example.com\nacme/widgets",
    "root": "https://gitlab.example.com:8443/git/\na//b/",
    "dots": "https://h/a/../b\n../x",
    "escape": "https://h/a%2Fb%zz\n%2e%2e/x",
    "query": "https://h/a?b=c#d e\n?x#y",
    "user": "https://ada:w@h/\n@",
    "six": "http://[::1]:80/a\na",
    "upper": "HTTPS://H.Example/\u00e9\n\u00e9",
}.items():
    write("issuer_url", name, text)

# keys, requests
for path in sorted((FIXTURES / "keys").iterdir()):
    write("key", path.stem, path.read_bytes())
write("key", "p256", (FIXTURES / "certificate/leaf.spki.der").read_bytes())
for path in sorted((FIXTURES / "csr").iterdir()):
    write("csr", path.stem, path.read_bytes())
write("csr", "der", der_of(csr))
write("csr", "p256-mac-lines", csr.replace(b"\n", b"\r\n") + b"trailing text\n")

# bodies
key_pem = serialization.load_pem_private_key((FIXTURES / "certificate/issuing.key").read_bytes(), None).public_key()
key_pem = key_pem.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
proof = log.sign(b"https://gitlab.example.com/ada", ec.ECDSA(hashes.SHA256()))
b64 = lambda data: base64.b64encode(data).decode()
csr64 = b64(csr)
for name, version, body in [
    ("v2-csr", 1, {"credentials": {"oidcIdentityToken": "$TOKEN"}, "certificateSigningRequest": csr64}),
    ("v2-key", 1, {"credentials": {"oidcIdentityToken": "$TOKEN"}, "publicKeyRequest": {"publicKey": {"algorithm": "ECDSA", "content": key_pem.decode()}, "proofOfPossession": b64(proof)}}),
    ("v2-snake", 1, {"credentials": {"oidc_identity_token": "$TOKEN"}, "public_key_request": {"public_key": {"content": "x"}, "proof_of_possession": "cHA"}}),
    ("v2-both", 1, {"publicKeyRequest": {}, "certificateSigningRequest": "eA=="}),
    ("v2-types", 1, {"credentials": {"oidcIdentityToken": 7}, "publicKeyRequest": [1]}),
    ("v2-secret", 1, {"credentials": {"oidcIdentityToken": "SECRET"}, "x": {"SECRET": 1}}),
    ("v1-csr", 0, {"certificateSigningRequest": csr64}),
    ("v1-key", 0, {"publicKey": {"content": b64(key_pem)}, "signedEmailAddress": b64(proof)}),
    ("v1-null", 0, {"publicKey": None, "certificateSigningRequest": None}),
]:
    write("request_json", name, bytes([48 + version]) + compact(body))
write("request_json", "twice", b'1{"credentials":{},"credentials":{}}')
write("request_json", "deep", b'1{"a":' + b"[" * 200)
good_token = token(HEADER, compact(CLAIMS | {"sub": "https://gitlab.example.com/ada"}))
for name, selector, message in [
    ("v2-csr", 0, field(1, field(1, good_token)) + field(3, csr)),
    ("v2-key", 0, field(2, field(1, field(2, key_pem)) + field(2, proof))),
    ("v2-secret", 0, field(1, field(1, "SECRET")) + field(2, field(1, b"\x08\x07" + field(2, "SECRET")))),
    ("v2-unknown", 0, field(99, b"x") + b"\xf8\x06\x01"),
    ("bundle", 1, b""),
    ("configuration", 2, b""),
    ("v1-csr", 3, field(3, csr)),
    ("v1-key", 3, field(1, field(2, key_pem)) + field(2, proof)),
    ("health", 4, field(1, "")),
    ("unknown", 5, b""),
    ("raw-compressed", 128, b"\x01\x00\x00\x00\x02\x0a\x00"),
    ("raw-cut", 128, b"\x00\xff\xff\xff\xff\x0a"),
    ("raw-two", 128, b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
    ("group", 0, b"\x0b" * 64),
]:
    write("request_grpc", name, bytes([selector]) + message)

# the log
ORIGIN = "ca.example.com/ct"
spki = key_pem_der = log.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
log_id = hashlib.sha256(spki).digest()
key_id = hashlib.sha256(ORIGIN.encode() + b"\n\x05" + log_id).digest()[:4]


def note(size, more=""):
    root = bytes([size & 0xFF]) * 32
    stamp = (NOW * 1000).to_bytes(8, "big")
    signature = log.sign(b"\x00\x01" + stamp + size.to_bytes(8, "big") + root, ec.ECDSA(hashes.SHA256()))
    line = key_id + stamp + b"\x04\x03" + len(signature).to_bytes(2, "big") + signature
    return f"{ORIGIN}\n{size}\n{b64(root)}\n\n{more}\u2014 {ORIGIN} {b64(line)}\n"


write("checkpoint", "empty", note(0))
write("checkpoint", "large", note(70000))
write("checkpoint", "witnessed", note(70000, "\u2014 witness.example/w AAAAAAAAAAAAAAAA\n"))
write("checkpoint", "taken-back", note(70000).replace("70000", "69999"))
write("checkpoint", "extension", note(70000).replace("\n\n", "\nextension line\n\n", 1))
write("checkpoint", "two-lines", note(70000) + note(70000).split("\n\n")[1])
write("checkpoint", "other-origin", note(0).replace("ca.example", "cb.example"))

number = lambda value, size: value.to_bytes(size, "big")
vector = lambda data, size: number(len(data), size) + data
extension = lambda index: vector(b"\x00" + vector(number(index, 5), 2), 2)


def entry(index, kind, cert, fingerprints=2, extensions=None):
    extensions = extension(index) if extensions is None else extensions
    body = number(NOW * 1000, 8) + number(kind, 2)
    body += (bytes(32) if kind else b"") + vector(cert, 3) + extensions
    return body + (vector(cert + b"!", 3) if kind else b"") + vector(b"\x11" * 32 * fingerprints, 2)


write("tile", "x509", entry(0, 0, b"certificate"))
write("tile", "precertificate", entry(1, 1, b"tbs"))
write("tile", "several", b"".join(entry(i, i & 1, b"c" * i) for i in range(6)))
write("tile", "largest-index", entry((1 << 40) - 1, 1, b"", 0))
write("tile", "further-extension", entry(3, 0, b"c", 1, vector(b"\x01" + vector(b"x", 2) + b"\x00" + vector(number(3, 5), 2), 2)))
write("tile", "twice", entry(3, 0, b"c", 1, vector((b"\x00" + vector(number(3, 5), 2)) * 2, 2)))
write("tile", "cut", entry(1, 1, b"tbs")[:-3])
write("tile", "hashes", b"".join(hashlib.sha256(bytes([i])).digest() for i in range(255)))
for name, text in {
    "hash": "tile/0/000", "partial": "tile/5/000.p/1", "data": "tile/data/x001/x234/067.p/10", "last": "tile/0/x004/x294/x967/295.p/100",
    "beyond": "tile/0/x004/x294/x967/296", "zeros": "tile/0/x000/001", "dots": "tile/0/../0/000", "width": "tile/0/000.p/256", "level": "tile/6/000",
}.items():
    write("tile_path", name, text)

sct = b"\x00" + log_id + number(NOW * 1000, 8) + extension(42) + b"\x04\x03" + vector(b"\x30\x06\x02\x01\x01\x02\x01\x01", 2)
write("sct", "one", sct)
write("sct", "list", vector(vector(sct, 2) * 2, 2))
write("sct", "empty-list", vector(b"", 2))
write("sct", "rsa", sct.replace(b"\x04\x03\x00\x08", b"\x04\x01\x00\x08"))
write("sct", "json", compact({"sct_version": 0, "id": b64(log_id), "timestamp": NOW * 1000, "extensions": b64(extension(42)[2:]), "signature": b64(sct[-12:])}))
write("sct", "json-types", compact({"sct_version": 0.0, "id": "", "timestamp": -1, "extensions": None, "signature": []}))

# certificates
write("certificate", "chain", chain)
for index, block in enumerate(chain.split(b"-----END CERTIFICATE-----\n")[:-1]):
    write("certificate", f"der-{index}", der_of(block))
for name in ["p256", "p384", "p521", "rsa2048", "ed25519"]:
    path = FIXTURES / f"ca_keys/{name}.chain.pem"
    write("certificate", name, path.read_bytes())
    write("chain", name, path.read_bytes())
golden = json.loads((FIXTURES / "fulcio-golden.json").read_text())


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


found = [text for text in strings(golden) if "BEGIN CERTIFICATE-----" in text]
for index, text in enumerate(found[:6]):
    write("certificate", f"golden-{index}", text)
write("chain", "own", chain)
write("chain", "root", b"-----BEGIN" + chain.split(b"-----BEGIN")[2])
write("chain", "reversed", b"-----BEGIN" + chain.split(b"-----BEGIN")[2] + b"-----BEGIN" + chain.split(b"-----BEGIN")[1])
write("chain", "csr", csr)

# key sets, trusted roots
write("jwks", "example", (ROOT / "config/example-jwks.json").read_bytes())
x = b64u(issuer.public_key().public_bytes_raw())
for name, keys in {
    "okp": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x}],
    "symmetric": [{"kty": "oct", "k": "U0VDUkVU", "alg": "HS256"}],
    "ec": [{"kty": "EC", "crv": "P-256", "kid": "a", "use": "sig", "x": b64u(log.public_key().public_numbers().x.to_bytes(32, "big")), "y": b64u(log.public_key().public_numbers().y.to_bytes(32, "big"))}],
    "off-curve": [{"kty": "EC", "crv": "P-256", "x": b64u(bytes(32)), "y": b64u(bytes(32))}],
    "small-rsa": [{"kty": "RSA", "n": b64u(b"\xff" * 64), "e": "AQAB"}],
    "rsa": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "b", "n": b64u(b"\xd1" * 256), "e": "AQAB"}],
    "for-encryption": [{"kty": "OKP", "crv": "Ed25519", "use": "enc", "x": x}, {"kty": "OKP", "crv": "Ed25519", "key_ops": ["sign"], "x": x}],
    "many": [{"kty": "OKP", "crv": "Ed25519", "x": x}] * 65,
}.items():
    write("jwks", name, compact({"keys": keys}))
certificates = [{"rawBytes": b64(der_of(block))} for block in chain.split(b"-----END CERTIFICATE-----\n")[:-1]]
root = {
    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "certificateAuthorities": [{"subject": {"organization": "x"}, "uri": "https://ca.example.com", "certChain": {"certificates": certificates}, "validFor": {"start": "2026-01-01T00:00:00Z"}}],
    "ctlogs": [{"baseUrl": "https://ca.example.com/ct", "hashAlgorithm": "SHA2_256", "publicKey": {"rawBytes": b64(spki), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": {"start": "2026-01-01T00:00:00.5Z", "end": "2036-01-01T00:00:00+01:00"}}, "logId": {"keyId": b64(log_id)}}],
}
write("trusted_root", "whole", compact(root))
write("trusted_root", "client-config", compact({"trustedRoot": root}))
write("trusted_root", "no-log", compact(root | {"ctlogs": []}))
write("trusted_root", "types", compact({"certificateAuthorities": [7], "ctlogs": "x"}))
write("trusted_root", "wrong-id", compact(root).replace(b64(log_id).encode(), b64(bytes(32)).encode()))
write("trusted_root", "time", compact(root).replace(b"2026-01-01T00:00:00Z", b"2026-13-41T99:00:00Z"))

# requests for timestamps
def tlv(tag, data):
    length = bytes([len(data)]) if len(data) < 128 else bytes([0x81, len(data)]) if len(data) < 256 else bytes([0x82]) + len(data).to_bytes(2, "big")
    return bytes([tag]) + length + data


def query(arc=1, length=32, more=b"", version=b"\x01", parameters=b"\x05\x00"):
    algorithm = tlv(0x30, bytes.fromhex("06096086480165030402") + bytes([arc]) + parameters)
    return tlv(0x30, tlv(2, version) + tlv(0x30, algorithm + tlv(4, bytes([7]) * length)) + more)


for name, data in {
    "sha256": query(),
    "sha384": query(2, 48),
    "sha512": query(3, 64),
    "absent": query(parameters=b""),
    "all": query(more=bytes.fromhex("060a2b0601040183bf3002") + tlv(2, b"\x7f" * 8) + b"\x01\x01\xff"),
    "negative": query(more=tlv(2, b"\xff")),
    "long-nonce": query(more=tlv(2, b"\x01" * 65)),
    "extensions": query(more=tlv(0xA0, tlv(0x30, bytes.fromhex("06022a0304020500")))),
    "short": query(length=31),
    "sha224": query(4, 28),
    "version": query(version=b"\x02"),
    "cert-false": query(more=b"\x01\x01\x00"),
    "trailing": query() + b"\x00",
    "cut": query()[:-1],
    "indefinite": b"\x30\x80\x00\x00",
}.items():
    write("timestamp_der", name, data)
HASH = {"artifactHash": base64.b64encode(bytes([7]) * 32).decode(), "hashAlgorithm": "sha256"}
for name, more in {
    "plain": {},
    "all": {"nonce": 12345678901234567890, "certificates": True, "tsaPolicyOID": "1.3.6.1.4.1.57264.2"},
    "null": {"nonce": None, "certificates": None, "tsaPolicyOID": None},
    "negative": {"nonce": -129},
    "huge": {"nonce": 10**180},
    "float": {"nonce": 1.5},
    "text": {"nonce": "1"},
    "length": {"hashAlgorithm": "SHA512"},
    "policy": {"tsaPolicyOID": "9.9"},
    "unknown": {"x": [[[[]]]]},
}.items():
    write("timestamp_json", name, compact(HASH | more))
write("timestamp_json", "twice", compact(HASH)[:-1] + b',"hashAlgorithm":"sha256"}')
write("trusted_root", "all-services", (FIXTURES / "bundle/trusted_root.json").read_bytes())

# bundles, timestamps
for name in ["message", "attestation", "attestation-dsse"]:
    text = (FIXTURES / f"bundle/{name}.json").read_bytes()
    bundle = json.loads(text)
    stamps = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    write("bundle", name, text)
    write("timestamp", name, base64.b64decode(stamps[0]["signedTimestamp"]))
material = bundle["verificationMaterial"]
old = {"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1", "verification_material": material, "dsse_envelope": bundle["dsseEnvelope"]}
chain_of_one = {k: v for k, v in material.items() if k != "certificate"} | {"x509CertificateChain": {"certificates": [material["certificate"]]}}
write("bundle", "snake", compact(old))
write("bundle", "chain", compact(old | {"verification_material": chain_of_one}))
write("bundle", "key", compact(bundle | {"verificationMaterial": {"publicKey": {"hint": "x"}, "tlogEntries": material["tlogEntries"]}}))
write("bundle", "types", compact(bundle | {"verificationMaterial": {"tlogEntries": 7}}))
write("timestamp", "refused", bytes.fromhex("3009300702010203020520"))
write("timestamp", "empty", bytes.fromhex("30053003020100"))

# configurations
for name in ["countersign", "external-log", "gitlab-com", "self-managed"]:
    write("config", name, (ROOT / f"config/{name}.yaml").read_bytes())
for name in ["fulcio-identity", "fulcio-migration"]:
    text = (ROOT / f"config/{name}.yaml").read_bytes()
    write("config", name, text)
    write("fulcio_config", name, text)
write("fulcio_config", "json", (FIXTURES / "config/fulcio.json").read_bytes())
MINIMAL = """listen: 127.0.0.1:0
data: data
ca: { ephemeral: true }
log: { mode: none }
issuers:
  - { url: https://gitlab.example.com, type: gitlab-pipeline, audience: sigstore }
"""
for name, text in {
    "minimal": MINIMAL,
    "tabs": "a:\n\tb: 1\n",
    "twice": MINIMAL + "listen: 127.0.0.1:1\n",
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b, *b]\n",
    "types": "listen: [1]\nissuers: { a: b }\nca: 7\nlog: ~\n",
    "merge": "base: &b { url: https://a.example }\nissuers:\n  - <<: *b\n    type: email\n",
    "tags": "listen: !secret x\n---\nb: 1\n",
    "json": json.dumps({"listen": "127.0.0.1:0", "ca": {}, "issuers": []}),
    "control": 'listen: "a\\u0007b"\n"k\\u0000": 1\n',
    "broker": MINIMAL + """broker:
  audience: https://ca.example.com/broker
  compat: { role: ci }
  targets:
    - { name: default, url: https://gitlab.example.com, token: { env: TOKEN }, rotate: { before: 72h } }
  roles:
    - name: ci
      kind: project
      path: "{project_path}"
      scopes: [read_api]
      access_level: reporter
      ttl: 5m
      when: claims.project_path.startsWith("acme/")
    - { name: any, kind: personal, path: { requested: "bot-[a-z]+" }, scopes: [api], ttl: 30d, revoke: gitlab, when: claims.ref == "x" }
""",
    "policy": MINIMAL + """policy:
  rules:
    - name: releases
      issuers: [https://gitlab.example.com]
      when: |
        claims.project_path.startsWith("acme/") &&
        claims.ref_protected == "true"
      effect: allow
      message: Protect the tag.
      validity: 5m
      key_types: [ecdsa-p256]
      subject: project
      extensions: [{ oid: 1.3.6.1.4.1.99999.2.1, claim: deployment_tier }]
    - { name: rest, effect: deny, mode: warn, when: "!has(claims.sbu)" }
""",
}.items():
    write("config", name, text)

# conditions, and the claims that they are asked about
CONDITION_CLAIMS = compact(CLAIMS | {
    "sub": "project_path:acme/app:ref_type:branch:ref:main", "project_path": "acme/app", "project_id": "42", "namespace_path": "acme",
    "namespace_id": "7", "ref": "main", "ref_type": "branch", "ref_protected": "true", "environment": "production",
    "groups_direct": ["acme", "other"], "runner_id": 7, "custom": "x", "number": 9223372036854775807})
for name, text in {
    "paths": 'claims.project_path.startsWith("acme/") && claims.ref_protected == "true"',
    "guard": 'has(claims.environment) && claims.environment in ["production", "staging"]',
    "default": 'claims.?environment.orValue("none") != "none" ? request.key_type == "rsa" : !(claims["ref"] == "main")',
    "list": 'has(claims.groups_direct) && claims.groups_direct.exists(g, g.startsWith("ac")) && size(claims.groups_direct) < 3',
    "number": "has(claims.runner_id) && claims.runner_id + 9223372036854775807 > -1",
    "pattern": 'claims.ref.matches("^v[0-9]+(\\\\.[0-9]+){2}$") || claims.ref.contains("ai")',
    "time": 'timestamp("2026-01-01T00:00:00Z") + duration("1h") > timestamp("2025-01-01T00:00:00Z")',
    "unknown": 'claims.project_pth == "x" && claim.y',
    "lines": 'issuer == "https://gitlab.com" &&\n  claims.ref == 1',
    "deep": "(" * 40 + "true" + ")" * 40,
    "macro": '["a"].map(x, x) == ["a"] && [1, 2].all(i, i > 0) && ["a"].exists(x, ["b"].exists(y, x == y))',
    "other-type": 'has(claims.number) && claims.number == "x"',
}.items():
    write("condition", name, text.encode() + b"\0" + CONDITION_CLAIMS)
# roles of the broker, what is asked of them, and by whom
BROKER_CLAIMS = compact(json.loads(CONDITION_CLAIMS) | {"jti": "j", "user_id": "42", "user_login": "ada"})
for name, (kind, path, token_name, when, requested) in {
    "project": ("project", "{project_path}", "{role}-{project_path}", 'claims.project_path == "acme/app"', ""),
    "number": ("project", "{project_id}", "bot", 'claims.project_id in ["42", "43"]', ""),
    "group": ("group", "{namespace_path}", "{kind}:{path}:{ttl}", 'claims.namespace_path == "acme"', ""),
    "digits": ("group", "77", "{target}", 'claims.namespace_id == "7"', ""),
    "requested": ("project", "~acme/[a-z]+|team/.*", "{scopes}", 'claims.project_path.startsWith("acme/") && request.path != "acme/x"', "acme/other"),
    "outside": ("project", "~acme/[a-z]+", "{ref}", 'claims.namespace_id == "7"', "acme/../other"),
    "account": ("group-service-account", "{namespace_path}/bot", "{user_login}", 'claims.sub.startsWith("project_path:acme/app:")', ""),
    "impersonation": ("impersonation", "", "for {user_login}", '["acme/"].exists(g, claims.project_path.startsWith(g))', ""),
    "personal": ("personal", "~[a-z.]+", "{job_id}", 'claims.project_path.matches("^acme/[a-z]+$")', "ada.b"),
    "trigger": ("pipeline-trigger", "acme/app", "{pipeline_id}", 'claims.ref == "main" ? claims.project_id == "42" : false', ""),
    "deploy": ("project-deploy", "{namespace_path}/app", "{access_level}", 'claims.project_id == "42" || claims.namespace_id == "8"', ""),
    "unpinned": ("project", "{project_path}", "{role}", '!(claims.project_path == "x") || claims.ref == "main"', ""),
    "wrong": ("project", "~(", "{nobody}", 'claims.project_pth == "x"', "%2e"),
}.items():
    write("broker", name, b"\0".join(part.encode() for part in (kind, path, token_name, when, requested)) + b"\0" + BROKER_CLAIMS)
for name, text in {
    "pattern": 'meta-issuers:\n  https://oidc.eks.*.amazonaws.com/id/*:\n    client-id: sigstore\n    type: kubernetes\n',
    "provider": "oidc-issuers:\n  https://a.example:\n    issuer-url: https://a.example\n    client-id: sigstore\n    type: ci-provider\n    ci-provider: p\nci-issuer-metadata:\n  p:\n    default-template-values: { url: https://a.example }\n    extension-templates: { build-trigger: \"{{ .x }}\" }\n    subject-alternative-name-template: \"{{ .url }}/{{ .x }}\"\n",
    "bad-template": "ci-issuer-metadata:\n  p:\n    subject-alternative-name-template: \"{{ .url\"\n",
    "domain": "oidc-issuers:\n  https://a.example.com:\n    client-id: s\n    type: uri\n    subject-domain: https://evil.example\n",
    "email": 'oidc-issuers:\n  https://a.example:\n    client-id: s\n    type: email\n    issuer-claim: $.federated_claims.connector_id\n',
}.items():
    write("fulcio_config", name, text)

# entry_request
for vector in json.loads((FIXTURES / "rekor.json").read_text()):
    text = vector["request"]
    if ("body" in vector or vector["name"].startswith(("small", "dsse one", "key and c"))) and len(text) < 8192:
        write("entry_request", vector["name"].replace(" ", "-").replace(",", ""), text)
