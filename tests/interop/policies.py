"""`countersign verify --policy` on bundles that other clients made: what it asks about is what they wrote."""

import argparse
import hashlib

from clients import PREDICATE, PREDICATE_TYPE, Cosign, Countersign, Python, policy, said_by
from world import ABSENT, Skipped, World, test_in


@test_in("https")
def policies_admit_and_refuse_bundles_of_cosign_and_sigstore_python(world: World, args: argparse.Namespace) -> None:
    digest = hashlib.sha256(world.blob.read_bytes()).hexdigest()
    job = f'cert.issuer == "{world.gitlab.url}" && cert.gitlab.project_path == "acme/widgets" && cert.gitlab.project_id == "20"'
    builder = PREDICATE["runDetails"]["builder"]["id"]
    build_type = PREDICATE["buildDefinition"]["buildType"]
    # A condition, and whether it holds for a signed file and for a signed statement.
    cases = [
        (f'{job} && cert.gitlab.ref_protected == "true"', True, True),
        (f'{job} && cert.gitlab.ref_protected == "false"', False, False),
        ('cert.gitlab.project_path.startsWith("acme/other/")', False, False),
        ('cert.gitlab.ref_type == "tag"', False, False),
        (f'{job} && signed_at >= cert.not_before && signed_at <= cert.not_after && signed_at_source == "timestamp-authority"', True, True),
        (f'{job} && signed_at < timestamp("2020-01-01T00:00:00Z")', False, False),
        (f'{job} && log.index >= 0 && log.url == "{world.url}" && has(sct.log_index)', True, True),
        (f'{job} && artifact.digest == "sha256:{digest}"', True, True),
        (f'{job} && artifact.digest != "sha256:{digest}"', False, False),
        (f'{job} && attestation.predicate_type == "{PREDICATE_TYPE}"', False, True),
        (f'{job} && attestation.predicate_type != "{PREDICATE_TYPE}x" && has(attestation.builder_id)'
         f' && attestation.builder_id == "{builder}" && has(attestation.build_type) && attestation.build_type == "{build_type}"', False, True),
        (f'{job} && has(attestation.builder_id) && attestation.builder_id == "{builder}x"', False, False),
    ]
    wrong, found = [], 0
    for kind in (Cosign, Python, Countersign):
        try:
            client = kind(world, args)
        except Skipped as why:
            ABSENT.add(str(why))
            continue
        found += 1
        message, attestation = (world.path(f"policy-{client.name}-{what}.json") for what in ("message", "attestation"))
        client.sign(world.blob, message)
        client.attest(world.blob, attestation)
        for condition, of_message, of_attestation in cases:
            for bundle, admitted in [(message, of_message), (attestation, of_attestation)]:
                said = said_by([world.countersign, "verify", "--bundle", bundle, "--trusted-root", client.trust, "--policy",
                                policy(world, "only", condition), world.blob])
                if bool(said) == admitted or (said and "[NOT_ADMITTED]" not in said):
                    wrong.append(f"{bundle.name}, {condition}: {said or 'taken'}"[:800])
    if found < 2:
        raise Skipped("every client but countersign")
    assert not wrong, "\n".join(wrong)
