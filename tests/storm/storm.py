"""kill -9 at random moments, while 64 connections ask for certificates, log signatures and get timestamps: nothing that was
answered may be lost, of either log.

Usage: storm.py --countersign BINARY [--rounds N] [--seed S] [--seconds S [--at-least N]] [--connections N]
                [--directory DIR] [--tamper [both|certificates|signatures]]
A round: the server dies at a random moment (one time in five again while it starts), is started on the same directory, must
be ready within 5 s while callers knock, and everything that callers ever got is held against the logs. Exit code 1 at any loss.
`--tamper` puts an older copy of the whole data directory, or of one log alone, back before the last round, which the server
cannot know of: the storm must end with 1.
Needs Python with `cryptography`, and `openssl`.
"""

import argparse
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

from audit import Audit
from ca import Ca, Lost, check
from load import Load, certificates, entries, timestamps
from verify_ct import Failed

READY_WITHIN = 5.0
# Something of each kind in each round; generous, for it is no measurement.
ANSWERED_WITHIN = 20.0


def storm(args: argparse.Namespace, directory: pathlib.Path) -> str:
    chance, ca = random.Random(args.seed), Ca(args.countersign, directory)
    ca.start()
    ca.wait_until_ready(20)
    # Half of the callers for certificates; of the others one in four for timestamps.
    half, stamping = args.connections // 2, max(1, args.connections // 8)
    signers = ca.signers(args.connections - half)
    wishes = certificates(ca.requests(half)) + entries(signers[stamping:]) + timestamps(signers[:stamping])
    audit, load = Audit(ca), Load(ca.port, wishes).start()
    rounds, slowest, early, begun = 0, 0.0, 0, time.monotonic()
    try:
        while rounds < args.rounds and (args.seconds is None or time.monotonic() - begun < args.seconds):
            # Log-uniform: moments soon after the start are as likely as those in full flight.
            time.sleep(0.02 * (args.longest / 0.02) ** chance.random())
            kill(ca)
            if args.tamper:
                tamper(ca, args.rounds - rounds, args.tamper)
            if chance.random() < 0.2:
                early += 1
                ca.start()
                time.sleep(chance.random() * 0.1)
                kill(ca)
            ca.start()
            slowest = max(slowest, ca.wait_until_ready(READY_WITHIN))
            check_log(ca)
            # Answers of the dead server, and some of the new one: all of them must be in the log now.
            load.check_at_work(ANSWERED_WITHIN)
            kept = load.take()
            for other in kept.others:
                check(False, f"64 connections must not be refused: {other.kind}: {other.head!r} {other.body!r}")
            sizes = audit.look(kept)
            rounds += 1
            if rounds % 50 == 0:
                audit.reread()
                print(f"storm: {rounds} rounds, {early} killed while starting, {audit.certificates} certificates, "
                      f"{audit.entries} log entries, {audit.timestamps.answers} timestamps, logs of {sizes}, "
                      f"{time.monotonic() - begun:.0f} s", flush=True)
        audit.look(load.stop())
        audit.reread()
        check(ca.end() == 0, "SIGTERM must end the server with 0")
        check_log(ca)
        ca.own_audit()
    finally:
        load.stopping = True
        if ca.alive():
            ca.kill()
    answers = [audit.certificates, audit.entries, audit.timestamps.answers]
    check(rounds >= args.at_least, f"only {rounds} rounds, {args.at_least} are required")
    check(rounds > 0 and min(answers) > 10 * rounds, f"{answers} answers in {rounds} rounds are no storm")
    return (f"storm: {rounds} rounds, {early} of them killed while starting, seed {args.seed}, "
            f"{args.connections} connections: {answers[0]} certificates, {answers[1]} log entries, {answers[2]} timestamps and "
            f"{audit.checkpoints} checkpoints kept, {len(audit.certificate_log.tree.leaves)} and "
            f"{len(audit.signature_log.tree.leaves)} entries, {load.broken} connections broken, slowest ready {slowest:.2f} s, "
            f"{time.monotonic() - begun:.0f} s in all: nothing lost")


def kill(ca: Ca) -> None:
    """Kills a server that lives; one that has ended by itself has failed, however well the next one goes on."""
    code = ca.process.poll()
    check(code is None, f"the server ended by itself with {code}:\n{ca.tail()}")
    code = ca.kill()
    check(code == -signal.SIGKILL, f"the server ended by itself with {code}:\n{ca.tail()}")


# What no server says that was only killed.
NEVER_SAID = ["panicked", "stops for good", "has stopped"]


def check_log(ca: Ca) -> None:
    log = ca.log.read_text()
    for words in NEVER_SAID:
        line = next((line for line in log.splitlines() if words in line), None)
        check(line is None, f"the server's log says: {line}")


def tamper(ca: Ca, rounds_left: int, which: str) -> None:
    """Keeps a copy before the last round but one, and puts it back before the last: all of it, or one log of it."""
    copy = ca.directory / "copy"
    own = {"signatures": ["signatures"], "certificates": ["head", "head.record", "log"]}
    if rounds_left == 2:
        shutil.copytree(ca.data, copy)
    elif rounds_left == 1:
        for name in own.get(which, own["signatures"] + own["certificates"]):
            part = ca.data / name
            shutil.rmtree(part) if part.is_dir() else part.unlink()
            (copy / name).rename(part)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--countersign", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="begin no round after so long (default: all rounds are run; tokens last an hour)")
    parser.add_argument("--at-least", type=int, default=1, metavar="N", help="fail where --seconds left fewer rounds than this")
    parser.add_argument("--longest", type=float, default=2.0, help="the longest life of a server, in seconds")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--directory", type=pathlib.Path, help="where the disk is; a temporary directory is made in it")
    parser.add_argument("--tamper", nargs="?", const="both", choices=["both", "certificates", "signatures"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        try:
            print(storm(args, pathlib.Path(directory)))
            return 0
        except (Lost, Failed) as why:
            print(f"storm: LOST, seed {args.seed}: {why}")
            log = pathlib.Path(directory) / "server.log"
            print("--- the server's log\n" + (log.read_text()[-3000:] if log.exists() else ""))
            return 1


if __name__ == "__main__":
    sys.exit(main())
