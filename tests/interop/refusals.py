"""What every verifier must refuse: other trust, and bundles whose parts are genuine and belong elsewhere."""

import argparse
import json
import pathlib

import tamper
from clients import Client, Countersign, Question, ask, present
from whole import asked, other
from world import World, test_in


# What each verifier says of a case. A refusal for another reason would prove nothing: nobody would notice if the check were missing.
# cosign says what sigstore-go, its library, says. countersign says why in codes.
VERIFIERS = ("go", "python", "js", "java", "countersign")
NO_ROOT = "does not match expected root"
REASONS = {
    "another identity": ("expected SAN value", "SANs do not match", "certificate identity error - expected",
                         "No provided certificate identities matched", "IDENTITY_MISMATCH"),
    "another file": ("invalid signature when validating ASN.1", "Bundle message digest mismatch", "signature verification failed",
                     "Provided artifact digest does not match", "ARTIFACT_MISMATCH"),
    "another file's digest": (NO_ROOT, "Bundle message digest mismatch", "digest mismatch", "Provided artifact digest does not match",
                              "ARTIFACT_MISMATCH"),
    "another issuer": ("expected issuer value", "OIDCIssuer does not match", "invalid certificate extension - expected issuer",
                       "No provided certificate identities matched", "ISSUER_MISMATCH"),
    "foreign certificateAuthorities": ("leaf certificate verification failed", "signature does not match", "Failed to verify certificate chain",
                                       "Certificate was not verifiable against CAs", "CERTIFICATE_UNTRUSTED"),
    "foreign ctlogs": ("only able to verify 0 SCT entries", "SCT verify failed", "SCT verification failed", "No valid SCTs were found",
                       "SCT_UNTRUSTED"),
    "an SCT that does not hold": ("only able to verify 0 SCT entries", "SCT verify failed", "SCT verification failed",
                                  "No valid SCTs were found", "SCT_INVALID"),
    "foreign tlogs": ("not enough verified log entries", "keyring: invalid signature", "invalid checkpoint signature",
                      "does not match any provided transparency logs", "LOG_ENTRY_MISSING"),
    "foreign timestampAuthorities": ("does not match the provided TSA certificate", "not enough sources of verified time",
                                     "timestamp could not be verified", "not verifiable against TSAs", "TIMESTAMP_UNTRUSTED"),
    "an entry of a foreign log": ("not enough verified log entries", "keyring: invalid signature", "invalid checkpoint signature",
                                  "does not match any provided transparency logs", "LOG_ENTRY_MISSING"),
    "an entry of another tree, in our log's name": ("note has no verifiable signatures", "Signature not found for log ID",
                                                    "invalid checkpoint signature", "Checkpoint key hint did not match", "CHECKPOINT_INVALID"),
    "another artifact's entry": (NO_ROOT, "inconsistent with other materials", "signature mismatch", "does not match digest in log entry",
                                 "LOG_ENTRY_MISMATCH"),
    "our entry, another artifact's proof": ("verifying inclusion: ", "invalid root hash", "root hash does not match inclusion proof",
                                            "Inclusion proof verification failed", "PROOF_INVALID"),
    "a broken path": (NO_ROOT, "invalid root hash", "root hash does not match inclusion proof", "Inclusion proof verification failed",
                      "PROOF_INVALID"),
    "no entry": ("not enough verified log entries", "expected exactly one log entry", "expected 1 tlog entries, got 0",
                 "Could not find any tlog entries", "LOG_ENTRY_MISSING"),
    "a timestamp of a foreign authority": ("does not match the provided TSA certificate", "not enough sources of verified time",
                                           "timestamp could not be verified", "not verifiable against TSAs", "TIMESTAMP_UNTRUSTED"),
    "another signature's timestamp": ("hashed messages don't match", "not enough sources of verified time", "timestamp could not be verified",
                                      "message imprint digest does not match", "TIMESTAMP_MISMATCH"),
    "no timestamp": ("verified signed timestamps: 0 < 1", "must contain an inclusion promise or signed timestamp", "expected 1 timestamps, got 0",
                     "No timestamp verification", "TIME_MISSING"),
    # Whoever looks at the timestamp first finds it to be of another signature.
    "another signature": (NO_ROOT, "not enough sources of verified time", "timestamp could not be verified",
                          "Artifact signature was not valid", "TIMESTAMP_MISMATCH"),
    "another certificate": (NO_ROOT, "Signature is invalid for input", "signature verification failed", "Artifact signature was not valid",
                            "LOG_ENTRY_MISMATCH"),
    "a timestamp before the certificate": ("leaf certificate verification failed", "cert is not valid at validation time",
                                           "Failed to verify certificate chain", "NotBefore: ", "CERTIFICATE_NOT_VALID"),
    "a timestamp after the certificate": ("leaf certificate verification failed", "cert is not valid at validation time",
                                          "Failed to verify certificate chain", "NotAfter: ", "CERTIFICATE_NOT_VALID"),
}
TAKEN = ""
# cosign 2 has an older one.
COSIGN_2 = {
    "foreign timestampAuthorities": "certificate signed by unknown authority",
    "another artifact's entry": "transparency log signature does not match",
    "a timestamp of a foreign authority": "certificate signed by unknown authority",
    "another signature": "transparency log signature does not match",
    "another certificate": "transparency log certificate does not match",
    # The digest beside the signature is a hint that nobody signs.
    "another file's digest": TAKEN,
}


def expected(verifier: str, case: str) -> str:
    if verifier == "cosign2" and case in COSIGN_2:
        return COSIGN_2[case]
    return REASONS[case][VERIFIERS.index("go" if verifier.startswith("cosign") else verifier)]


def refused(clients: list[Client], good: Question, cases: dict[str, Question]) -> None:
    """Every client takes the good one, and refuses every case for its reason, but where none is expected."""
    wrong = []
    for verifier, (verdict, *verdicts) in ask(clients, [good, *cases.values()]).items():
        if verdict:
            wrong.append(f"{verifier}, the good one: {verdict}"[:600])
        for case, verdict in zip(cases, verdicts):
            reason = expected(verifier, case)
            if bool(verdict) != (reason != TAKEN) or reason not in verdict:
                wrong.append(f"{verifier}, {case}: {verdict or 'taken'}"[:600])
    assert not wrong, "\n".join(wrong)


def mixed_root(world: World, member: str) -> pathlib.Path:
    """Our trusted root with one member of another countersign's."""
    path = world.path(f"mixed-{member}.json")
    ours = json.loads(world.path("tr.json").read_text())
    path.write_text(json.dumps(ours | {member: json.loads(world.foreign_root().read_text())[member]}))
    return path


@test_in("https")
def every_client_refuses_foreign_trust_and_parts_that_belong_elsewhere(world: World, args: argparse.Namespace) -> None:
    clients = present(world, args)
    signer = Countersign(world, args)
    paths = [world.path("good.json"), world.path("second.json")]
    signer.sign(world.blob, paths[0])
    signer.sign(other(world), paths[1])
    good, second = (tamper.read(path) for path in paths)
    # Another whole Sigstore, whose log takes entries of every CA, under the same host name.
    world.path("foreign").mkdir()
    foreign = World(world.countersign, world.path("foreign"), tls=True, beside=world, changes={"admit: own": "admit: any"})
    try:
        foreign_entry = tamper.logged(foreign, good)
        foreign_timestamp = tamper.timestamp(foreign, good, foreign.url)
    finally:
        foreign.server.kill()
    in_our_name = foreign_entry | {"logId": tamper.entry(good)["logId"]}
    proof = tamper.entry(good)["inclusionProof"]
    bundles = {
        "an entry of a foreign log": tamper.with_entry(good, foreign_entry),
        "an entry of another tree, in our log's name": tamper.with_entry(good, in_our_name),
        "another artifact's entry": tamper.with_entry(good, tamper.entry(second)),
        "our entry, another artifact's proof": tamper.with_proof(good, **tamper.entry(second)["inclusionProof"]),
        "a broken path": tamper.with_proof(good, hashes=[tamper.flipped(proof["hashes"][0]), *proof["hashes"][1:]]),
        "no entry": tamper.without_entry(good),
        "a timestamp of a foreign authority": tamper.with_timestamp(good, foreign_timestamp),
        "another signature's timestamp": good | {"verificationMaterial": good["verificationMaterial"] | {
            "timestampVerificationData": second["verificationMaterial"]["timestampVerificationData"]}},
        "no timestamp": tamper.without_timestamp(good),
        "an SCT that does not hold": tamper.with_broken_sct(world, good),
        "another file's digest": good | {"messageSignature": good["messageSignature"] | {
            "messageDigest": second["messageSignature"]["messageDigest"]}},
        "another signature": good | {"messageSignature": good["messageSignature"] | {"signature": tamper.signature(second)}},
    }
    # The older certificate in the younger bundle: the timestamp lies within both, so it is not the time that is refused.
    certificate = second | {"verificationMaterial": second["verificationMaterial"] | {
        "certificate": good["verificationMaterial"]["certificate"]}}
    cases = {
        "another identity": asked(world, paths[0], identity=world.gitlab.identity() + "x"),
        "another issuer": asked(world, paths[0], issuer="https://gitlab.com"),
        "another file": asked(world, paths[0], file=other(world)),
    }
    for member in ["certificateAuthorities", "ctlogs", "tlogs", "timestampAuthorities"]:
        cases[f"foreign {member}"] = asked(world, paths[0], root=mixed_root(world, member))
    for place, (case, bundle) in enumerate(bundles.items()):
        cases[case] = asked(world, tamper.write(bundle, world.path(f"tampered-{place}.json")))
    cases["another certificate"] = asked(world, tamper.write(certificate, world.path("tampered-certificate.json")), file=other(world))
    refused(clients, asked(world, paths[0]), cases)


@test_in("past")
def every_client_refuses_a_timestamp_that_lies_outside_of_the_certificate(world: World, args: argparse.Namespace) -> None:
    """By the same authority with the same key, half an hour before and a year after: genuine, and of no use."""
    clients = present(world, args)
    path = world.path("timely.json")
    Countersign(world, args).sign(world.blob, path)
    good = tamper.read(path)
    cases = {}
    for words, clock in [("before", world.clock - 1800), ("after", 0)]:
        with world.elsewhen(clock) as url:
            bundle = tamper.with_timestamp(good, tamper.timestamp(world, good, url))
        cases[f"a timestamp {words} the certificate"] = asked(world, tamper.write(bundle, world.path(f"{words}.json")))
    refused(clients, asked(world, path), cases)
