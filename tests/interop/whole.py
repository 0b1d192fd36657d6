"""Bundles with certificate, timestamp and log entry: every client signs, and every client verifies every other's."""

import argparse
import json
import pathlib

from clients import Client, Question, ask, present
from world import World, test_in


def asked(world: World, bundle: pathlib.Path, **changes: object) -> Question:
    return Question(**({"bundle": bundle, "file": world.blob, "root": world.path("tr.json"), "identity": world.gitlab.identity(),
                        "issuer": world.gitlab.url} | changes))


def other(world: World) -> pathlib.Path:
    path = world.path("other")
    path.write_bytes(b"something else\n")
    return path


def entry_kind(bundle: pathlib.Path) -> str:
    """How the signature log names what was signed: hashedrekord or dsse."""
    [entry] = json.loads(bundle.read_text())["verificationMaterial"]["tlogEntries"]
    return entry["kindVersion"]["kind"]


def matrix(world: World, clients: list[Client], bundles: dict[str, pathlib.Path], changes: dict[str, dict],
           exceptions: dict[tuple[str, str], str]) -> None:
    """Every client takes every bundle as it is, and with none of the changes to the question.

    `exceptions`: by kind of entry and verifier, what a verifier says that cannot.
    """
    questions = []
    for maker, bundle in bundles.items():
        for changed, members in ({"": {}} | changes).items():
            questions.append((maker, changed, asked(world, bundle, **members)))
    wrong = []
    for verifier, verdicts in ask(clients, [question for _, _, question in questions]).items():
        for (maker, changed, question), verdict in zip(questions, verdicts):
            cannot = "" if changed else exceptions.get((entry_kind(question.bundle), verifier), "")
            if bool(verdict) != bool(changed or cannot) or cannot not in " ".join(verdict.split()):
                wrong.append(f"{verifier}, {maker}'s bundle, {changed or 'as it is'}: {verdict or 'taken'}"[:600])
    assert not wrong, "\n".join(wrong)


# Rekor v2 has two ways to log a statement, and no entry is of both. cosign, Go and Python know the one that Rekor has kept; Java and
# this version of js the one that it has dropped. What each says of the other's:
STATEMENTS = {
    ("dsse", "cosign"): "--trusted-root only supported with --new-bundle-format",
    ("dsse", "python"): "Unsupported DSSE log entry type: dsse/0.0.2",
    ("dsse", "go"): "dsse implementation for version '0.0.2' not found",
    ("hashedrekord", "js"): "digest mismatch",
    ("hashedrekord", "java"): "Expecting type dsse:0.0.2, but found hashedrekord:0.0.2",
}


@test_in("https", "past", "expired")
def every_client_signs_a_file_and_takes_every_other_clients_bundle(world: World, args: argparse.Namespace) -> None:
    """In the past, server and GitLab have the clock of years ago, and so have the signers whose clock can be moved. Every verifier has
    the machine's: what it does today is what it will do with today's signatures in years."""
    clients = present(world, args)
    bundles = {}
    for client in clients:
        bundles[client.name] = world.path(f"signed-by-{client.name}.json")
        client.sign(world.blob, bundles[client.name])
        assert entry_kind(bundles[client.name]) == "hashedrekord"
    wrong = {"another identity": {"identity": world.gitlab.identity() + "x"}, "another file": {"file": other(world)}}
    matrix(world, clients, bundles, {} if world.clock else wrong, {})


@test_in("expired")
def every_client_signs_a_statement_and_takes_the_others_as_far_as_it_knows_their_log_entries(world: World, args: argparse.Namespace) -> None:
    clients = present(world, args)
    bundles = {}
    for client in [client for client in clients if client.attests]:
        bundles[client.name] = world.path(f"attested-by-{client.name}.json")
        client.attest(world.blob, bundles[client.name])
    matrix(world, clients, bundles, {"another file": {"file": other(world)}}, STATEMENTS)
