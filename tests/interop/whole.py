"""Bundles with certificate, timestamp and log entry: every client signs, and every client verifies every other's."""

import argparse
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


def matrix(world: World, clients: list[Client], bundles: dict[str, pathlib.Path], exceptions: dict[tuple[str, str], str]) -> None:
    """Every client takes every bundle, and neither for another identity nor for another file."""
    questions = []
    for maker, bundle in bundles.items():
        for words, changes in [("", {}), ("identity", {"identity": world.gitlab.identity() + "x"}), ("file", {"file": other(world)})]:
            questions.append((maker, words, asked(world, bundle, **changes)))
    wrong = []
    for verifier, verdicts in ask(clients, [question for _, _, question in questions]).items():
        for (maker, changed, _), verdict in zip(questions, verdicts):
            refuses = bool(changed) or (maker, verifier) in exceptions
            reason = exceptions.get((maker, verifier), "") if not changed else ""
            if bool(verdict) != refuses or reason not in verdict:
                wrong.append(f"{verifier}, {maker}'s bundle, {f'another {changed}' if changed else 'as it is'}: {verdict or 'taken'}"[:600])
    assert not wrong, "\n".join(wrong)


@test_in("https", "past")
def every_client_signs_a_file_and_takes_every_other_clients_bundle(world: World, args: argparse.Namespace) -> None:
    """In the past the signatures are a year old, and the verifiers' clock is the machine's."""
    clients = present(world, args)
    bundles = {}
    for client in clients:
        bundles[client.name] = world.path(f"signed-by-{client.name}.json")
        client.sign(world.blob, bundles[client.name])
    matrix(world, clients, bundles, {})


@test_in("https", "past")
def every_client_signs_a_statement_and_takes_every_other_clients_bundle(world: World, args: argparse.Namespace) -> None:
    clients = present(world, args)
    bundles = {}
    for client in clients:
        bundles[client.name] = world.path(f"attested-by-{client.name}.json")
        client.attest(world.blob, bundles[client.name])
    matrix(world, clients, bundles, {})
