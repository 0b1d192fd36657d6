"""Every verification case of sigstore-conformance, each by path and by digest, through its own protocol.

Usage: conformance.py --countersign BINARY --suite CHECKOUT [--trusted-root PUBLIC_ROOT]

CHECKOUT is a checkout of github.com/sigstore/sigstore-conformance; nothing of it is copied here. Cases without a trusted root
are of the public instance: its root is --trusted-root, else the copy in Python's `sigstore` package. The suite itself runs the
same executable: `pytest test --entrypoint …/tests/interop/conformance`.
"""

import argparse
import hashlib
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
IDENTITY = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/"
    "workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
ISSUER = "https://token.actions.githubusercontent.com"

# Cases that end otherwise than the suite wants, and why. None does.
EXCEPTIONS: dict[str, str] = {}

# The reason for which each case must be refused, where the suite's own words say which: a refusal for another reason would
# prove nothing.
REASONS = {
    "bundle-empty-certificate-chain_fail": "BUNDLE_MALFORMED",
    "bundle-from-wrong-instance_fail": "LOG_ENTRY_MISSING",
    "bundle-malformed-json_fail": "BUNDLE_MALFORMED",
    "bundle-negative-log-index_fail": "BUNDLE_MALFORMED",
    "bundle-unknown-version_fail": "BUNDLE_VERSION",
    "bundle-with-root-cert_fail": "BUNDLE_MALFORMED",
    "checkpoint-bad-keyhint_fail": "CHECKPOINT_INVALID",
    "checkpoint-wrong-roothash_fail": "CHECKPOINT_INVALID",
    "dsse-mismatch-envelope_fail": "LOG_ENTRY_MISMATCH",
    "dsse-mismatch-sig_fail": "LOG_ENTRY_MISMATCH",
    "inclusion-proof-corrupted-hash_fail": "PROOF_INVALID",
    "integrated-time-in-future_fail": "CERTIFICATE_NOT_VALID",
    "intoto-missing-inclusion-proof_fail": "PROOF_MISSING",
    "intoto-set-outside-signing-cert-validity_fail": "CERTIFICATE_NOT_VALID",
    "intoto-tsa-timestamp-outside-cert-validity_fail": "CERTIFICATE_NOT_VALID",
    "invalid-checkpoint-signature_fail": "CHECKPOINT_INVALID",
    "managed-key-no-key_fail": "SIGNER_MISMATCH",
    "message-digest-mismatch_fail": "ARTIFACT_MISMATCH",
    "rekor2-checkpoint-missing-log-signature_fail": "CHECKPOINT_INVALID",
    "rekor2-checkpoint-missing-origin_fail": "CHECKPOINT_INVALID",
    "rekor2-checkpoint-missing-root-hash_fail": "CHECKPOINT_INVALID",
    "rekor2-checkpoint-missing-size_fail": "CHECKPOINT_INVALID",
    "rekor2-checkpoint-no-matching-signature_fail": "CHECKPOINT_INVALID",
    "rekor2-dsse-mismatch-envelope_fail": "LOG_ENTRY_MISMATCH",
    "rekor2-dsse-mismatch-sig_fail": "LOG_ENTRY_MISMATCH",
    "rekor2-no-inclusion-proof_fail": "PROOF_MISSING",
    "rekor2-no-timestamp_fail": "TIME_MISSING",
    "rekor2-timestamp-outside-trust-root-tsa-validity_fail": "TIMESTAMP_NOT_VALID",
    "rekor2-timestamp-outside-tsa-cert-validity_fail": "TIMESTAMP_NOT_VALID",
    "rekor2-timestamp-payload-mismatch_fail": "TIMESTAMP_MISMATCH",
    "rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail": "TIMESTAMP_UNTRUSTED",
    "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail": "TIMESTAMP_UNTRUSTED",
    "set-invalid-signature_fail": "PROMISE_INVALID",
    "trust-root-tlog-missing-validity-start_fail": "TRUSTED_ROOT_MALFORMED",
}


def words_of(case: pathlib.Path, name: str, otherwise: str) -> str:
    path = case / name
    return path.read_text().strip() if path.exists() else otherwise


def command(case: pathlib.Path, by_digest: bool) -> list[str]:
    words = [str(HERE / "conformance"), "verify-bundle", "--bundle", str(case / "bundle.sigstore.json")]
    if (case / "key.pub").exists():
        words += ["--key", str(case / "key.pub")]
    else:
        words += ["--certificate-identity", words_of(case, "identity", IDENTITY)]
        words += ["--certificate-oidc-issuer", words_of(case, "issuer", ISSUER)]
    if (case / "trusted_root.json").exists():
        words += ["--trusted-root", str(case / "trusted_root.json")]
    artifact = case / "artifact"
    if not artifact.exists():
        artifact = case.parent / "a.txt"
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    return [*words, f"sha256:{digest}" if by_digest else str(artifact)]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--countersign", required=True)
    parser.add_argument("--suite", required=True, type=pathlib.Path)
    parser.add_argument("--trusted-root")
    given = parser.parse_args()
    environment = os.environ | {"COUNTERSIGN": given.countersign}
    if given.trusted_root:
        environment["COUNTERSIGN_TRUSTED_ROOT"] = given.trusted_root
    cases = sorted(case for case in (given.suite / "test/assets/bundle-verify").iterdir() if case.is_dir())
    wrong, count = [], 0
    for case in cases:
        for by_digest in (False, True):
            count += 1
            done = subprocess.run(command(case, by_digest), env=environment, capture_output=True, text=True, timeout=60)
            said = done.stdout + done.stderr
            # 0 accepts, 1 refuses; anything else is neither.
            right = done.returncode == (1 if case.name.endswith("_fail") else 0)
            right = right and REASONS.get(case.name, "") in said
            if right == (case.name in EXCEPTIONS):
                wrong.append(f"{case.name} by {'digest' if by_digest else 'path'} ended with {done.returncode}:\n{said[-800:]}")
    for words in wrong:
        print(f"FAILED: {words}", file=sys.stderr)
    for name, reason in EXCEPTIONS.items():
        print(f"exception: {name}: {reason}")
    print(f"sigstore-conformance: {len(cases)} bundles, {count} cases, {len(wrong)} of them not as the suite wants")
    return 1 if wrong or not cases else 0


sys.exit(main())
