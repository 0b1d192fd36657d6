"""kill -9 at random moments, while 64 connections ask for certificates: nothing that was answered may be lost.

Usage: storm.py --countersign BINARY [--rounds N] [--seed S] [--seconds S] [--connections N] [--directory DIR] [--tamper]
A round: the server dies at a random moment (one time in five again while it starts), is started on the same directory, must
be ready within 5 s while callers knock, and everything that callers ever got is held against the log. Exit code 1 at any loss.
`--tamper` puts an older copy of the whole data directory back before the last round, which the server cannot know of: the
storm must end with 1.
Needs Python with `cryptography`.
"""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile
import time

from audit import Audit
from ca import Ca, Lost, check
from load import Load

READY_WITHIN = 5.0


def storm(args: argparse.Namespace, directory: pathlib.Path) -> str:
    chance, ca = random.Random(args.seed), Ca(args.countersign, directory)
    ca.start()
    ca.wait_until_ready(20)
    audit, load = Audit(ca), Load(ca.port, ca.requests(args.connections)).start()
    rounds, slowest, early, begun = 0, 0.0, 0, time.monotonic()
    try:
        while rounds < args.rounds and time.monotonic() - begun < args.seconds:
            # Log-uniform: moments soon after the start are as likely as those in full flight.
            time.sleep(0.02 * (args.longest / 0.02) ** chance.random())
            ca.kill()
            if args.tamper:
                tamper(ca, args.rounds - rounds)
            if chance.random() < 0.2:
                early += 1
                ca.start()
                time.sleep(chance.random() * 0.1)
                ca.kill()
            ca.start()
            slowest = max(slowest, ca.wait_until_ready(READY_WITHIN))
            # Answers of the dead server, and some of the new one: all of them must be in the log now.
            kept = load.take()
            for other in kept.others:
                check(False, f"64 connections must not be refused: {other.head!r} {other.body!r}")
            size = audit.look(kept)
            rounds += 1
            if rounds % 50 == 0:
                audit.reread()
                print(f"storm: {rounds} rounds, {early} killed while starting, {audit.certificates} answers, {size} entries, "
                      f"{time.monotonic() - begun:.0f} s", flush=True)
        audit.look(load.stop())
        audit.reread()
        check(ca.end() == 0, "SIGTERM must end the server with 0")
        ca.own_audit()
    finally:
        load.stopping = True
        if ca.alive():
            ca.kill()
    check(rounds > 0 and audit.certificates > 10 * rounds, f"{audit.certificates} answers in {rounds} rounds are no storm")
    return (f"storm: {rounds} rounds, {early} of them killed while starting, seed {args.seed}, "
            f"{args.connections} connections: {audit.certificates} answers and {audit.checkpoints} checkpoints kept, "
            f"{len(audit.tree.leaves)} entries, {load.broken} connections broken, slowest ready {slowest:.2f} s, "
            f"{time.monotonic() - begun:.0f} s in all: nothing lost")


def tamper(ca: Ca, rounds_left: int) -> None:
    """Keeps a copy before the last round but one, and puts it back before the last."""
    copy = ca.directory / "copy"
    if rounds_left == 2:
        shutil.copytree(ca.data, copy)
    elif rounds_left == 1:
        shutil.rmtree(ca.data)
        copy.rename(ca.data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--countersign", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=900, help="begin no round after so long; tokens last an hour")
    parser.add_argument("--longest", type=float, default=2.0, help="the longest life of a server, in seconds")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--directory", type=pathlib.Path, help="where the disk is; a temporary directory is made in it")
    parser.add_argument("--tamper", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        try:
            print(storm(args, pathlib.Path(directory)))
            return 0
        except Lost as why:
            print(f"storm: LOST, seed {args.seed}: {why}")
            log = pathlib.Path(directory) / "server.log"
            print("--- the server's log\n" + (log.read_text()[-3000:] if log.exists() else ""))
            return 1


if __name__ == "__main__":
    sys.exit(main())
