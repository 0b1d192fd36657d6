"""Calls every gRPC method of a countersign with nothing known beforehand: services and messages come from reflection.

Usage: reflected.py --url URL --token-file FILE [--root PEM]
Needs Python with `grpcio-reflection` and `cryptography`. Another implementation of gRPC than the server's own.
"""

import argparse
import base64
import json
import pathlib
import urllib.parse

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

V2, V1 = "dev.sigstore.fulcio.v2.CA", "dev.sigstore.fulcio.v1beta.CA"
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection."
SERVING = 1


class Caller:
    """Calls methods by name, and remembers which."""

    def __init__(self, url: str, root: bytes | None) -> None:
        target = urllib.parse.urlsplit(url).netloc
        if url.startswith("https://"):
            self.channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(root))
        else:
            self.channel = grpc.insecure_channel(target)
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)
        self.called: set[str] = set()

    def message(self, name: str):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def methods(self) -> set[str]:
        services = [name for name in self.database.get_services() if not name.startswith(REFLECTION)]
        return {method.full_name for name in services for method in self.pool.FindServiceByName(name).methods}

    def call(self, service: str, method: str, metadata: tuple = (), /, **fields: object):
        described = self.pool.FindServiceByName(service).FindMethodByName(method)
        self.called.add(described.full_name)
        request = message_factory.GetMessageClass(described.input_type)(**fields)
        answer = message_factory.GetMessageClass(described.output_type)
        make = self.channel.unary_stream if described.server_streaming else self.channel.unary_unary
        rpc = make(f"/{service}/{method}", lambda sent: sent.SerializeToString(), answer.FromString)
        return rpc(request, metadata=metadata, timeout=30)

    def refused(self, service: str, method: str, metadata: tuple = (), /, **fields: object) -> tuple[grpc.StatusCode, str]:
        """The code and the reason of a call that must fail."""
        try:
            self.call(service, method, metadata, **fields)
        except grpc.RpcError as error:
            trailers = dict(error.trailing_metadata())
            status = self.message("google.rpc.Status").FromString(trailers["grpc-status-details-bin"])
            assert status.message == error.details(), error
            info = self.message("google.rpc.ErrorInfo").FromString(status.details[0].value)
            assert info.metadata["request_id"] == trailers["x-request-id"], error
            return error.code(), info.reason
        raise AssertionError(f"{service}/{method} was answered")


def exercise(url: str, token: str, root: bytes | None = None) -> None:
    """Everything once, and the refusals; `token` must be one that the CA takes."""
    caller = Caller(url, root)
    payload = token.split(".")[1]
    subject = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"].encode()
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, spki)
    der = key.public_key().public_bytes(serialization.Encoding.DER, spki)
    proof = key.sign(subject, ec.ECDSA(hashes.SHA256()))
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    csr = csr.public_bytes(serialization.Encoding.PEM)
    metadata = (("oidcidentitytoken", token),)

    def is_ours(chain: list[str]) -> None:
        certificate = x509.load_pem_x509_certificate(chain[0].encode())
        assert certificate.public_key().public_bytes(serialization.Encoding.DER, spki) == der
        assert len(chain) >= 2

    def public_key(proof: bytes) -> dict:
        return {"public_key": {"algorithm": "ECDSA", "content": pem.decode()}, "proof_of_possession": proof}

    credentials = {"oidc_identity_token": token}
    for fields, sent in [
        ({"credentials": credentials, "public_key_request": public_key(proof)}, ()),
        ({"credentials": credentials, "certificate_signing_request": csr}, ()),
        ({"public_key_request": public_key(proof)}, metadata),
    ]:
        issued = caller.call(V2, "CreateSigningCertificate", sent, **fields)
        kind = issued.WhichOneof("certificate")
        is_ours(list(getattr(issued, kind).chain.certificates))
    bundle = caller.call(V2, "GetTrustBundle")
    assert all(pem.endswith("-----END CERTIFICATE-----\n") for pem in bundle.chains[0].certificates), bundle
    issuers = caller.call(V2, "GetConfiguration").issuers
    assert issuers and all(issuer.audience and issuer.WhichOneof("issuer") for issuer in issuers), issuers

    for fields in [
        {"publicKey": {"content": pem}, "signedEmailAddress": proof},
        {"publicKey": {"content": der}, "signedEmailAddress": proof},
        {"certificateSigningRequest": csr},
    ]:
        issued = caller.call(V1, "CreateSigningCertificate", metadata, **fields)
        assert issued.content_type == "application/pem-certificate-chain"
        is_ours([part + "-----END CERTIFICATE-----" for part in issued.data.decode().split("-----END CERTIFICATE-----")[:-1]])
    assert caller.call(V1, "GetRootCertificate").data.count(b"-----BEGIN CERTIFICATE-----") >= 1

    for service in ["", V2, V1]:
        assert caller.call(HEALTH, "Check", service=service).status == SERVING
    watched = caller.call(HEALTH, "Watch")
    assert next(watched).status == SERVING
    watched.cancel()

    invalid = grpc.StatusCode.INVALID_ARGUMENT
    wrong = {"public_key_request": public_key(other.sign(subject, ec.ECDSA(hashes.SHA256())))}
    for method, sent, fields, expected in [
        ("CreateSigningCertificate", metadata, wrong, (invalid, "PROOF_INVALID")),
        ("CreateSigningCertificate", (), {"public_key_request": public_key(proof)}, (invalid, "TOKEN_MISSING")),
        ("CreateSigningCertificate", metadata, {}, (invalid, "KEY_MISSING")),
    ]:
        refused = caller.refused(V2, method, sent, **fields)
        assert refused == expected, (refused, expected)
    refused = caller.refused(HEALTH, "Check", service="dev.example.Nothing")
    assert refused == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND"), refused

    missed = caller.methods() - caller.called
    assert not missed, f"never called: {missed}"
    print(f"called through reflection: {', '.join(sorted(caller.called))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token-file", required=True, type=pathlib.Path)
    parser.add_argument("--root", type=pathlib.Path)
    arguments = parser.parse_args()
    root = arguments.root.read_bytes() if arguments.root else None
    exercise(arguments.url, arguments.token_file.read_text().strip(), root)


if __name__ == "__main__":
    main()
