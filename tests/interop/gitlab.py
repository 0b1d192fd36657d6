"""A make-believe GitLab, written apart from countersign's own code: discovery, keys, and ID tokens of jobs.

It knows of GitLab what GitLab's documentation says, and nothing of countersign.
"""

import base64
import hashlib
import http.server
import json
import threading
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def integer(number: int) -> str:
    return b64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


class Gitlab:
    """Serves on loopback until the process ends. Its time of day is `clock` seconds away from the machine's.

    With `url` its tokens are of that instance, which nobody can reach here: who is to believe them needs `jwks` in a file.
    """

    def __init__(self, clock: int = 0, url: str | None = None) -> None:
        self.clock = clock
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = self.key.public_key().public_numbers()
        members = {"e": integer(numbers.e), "kty": "RSA", "n": integer(numbers.n)}
        # RFC 7638: the required members, sorted, without blanks.
        thumbprint = hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode())
        self.kid = b64url(thumbprint.digest())
        jwk = members | {"kid": self.kid, "use": "sig", "alg": "RS256"}
        documents = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                document = documents.get(self.path)
                self.send_response(200 if document else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Cache-Control", "max-age=86400, public, must-revalidate")
                self.end_headers()
                self.wfile.write(json.dumps(document or {}).encode())

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{server.server_address[1]}"
        self.url = f"http://{self.host}"
        documents["/.well-known/openid-configuration"] = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/oauth/discovery/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        self.jwks = documents["/oauth/discovery/keys"] = {"keys": [jwk]}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        if url:
            self.url, self.host = url, url.removeprefix("https://")

    def claims(self, **changes: object) -> dict:
        now = int(time.time()) + self.clock
        project, ref = "acme/widgets", "main"
        claims = {
            "namespace_id": "72", "namespace_path": "acme", "project_id": "20", "project_path": project,
            "user_id": "1", "user_login": "ada", "user_email": "ada@example.com", "user_access_level": "developer",
            "job_project_id": "20", "job_project_path": project, "job_namespace_id": "72", "job_namespace_path": "acme",
            "pipeline_id": "574", "pipeline_source": "push", "job_id": "302", "ref": ref, "ref_type": "branch",
            "ref_path": f"refs/heads/{ref}", "ref_protected": "true", "runner_id": 1,
            "runner_environment": "self-hosted", "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
            "project_visibility": "public",
            "ci_config_ref_uri": f"{self.host}/{project}//.gitlab-ci.yml@refs/heads/{ref}",
            "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
            "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b", "iss": self.url, "iat": now, "nbf": now - 5, "exp": now + 3600,
            "sub": f"project_path:{project}:ref_type:branch:ref:{ref}", "aud": "sigstore",
        }
        return claims | changes

    def token(self, **changes: object) -> str:
        header = {"kid": self.kid, "typ": "JWT", "alg": "RS256"}
        signed = ".".join(b64url(json.dumps(part).encode()) for part in (header, self.claims(**changes)))
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{b64url(signature)}"

    def identity(self) -> str:
        return f"{self.url}/acme/widgets//.gitlab-ci.yml@refs/heads/main"
