"""Disks that are full, read-only, gone, frozen or broken, under a countersign that works on them.

Usage: disk.py --countersign BINARY [--only WORD] [--long] [--require N]
Each case ends with an audit: what callers got is in the log, at its index. Needs Python with `cryptography`, and root for
the mounts (they are made in a mount namespace of their own); what this machine does not allow is skipped by name, loudly.
"""

import argparse
import concurrent.futures
import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from audit import Audit
from ca import Ca, Lost, Skipped, ask, check, run, until
from load import Load, certificates, entries

CASES, LONG = [], []
MIB = 1 << 20
# What is promised: health says it within so many seconds, and certificates are issued so soon after space is back.
NOTICED_WITHIN, SERVING_WITHIN, READY_WITHIN = 20, 10, 5


def case(function):
    CASES.append(function)
    return function


def long_case(function):
    LONG.append(function)
    return case(function)


class Supervisor:
    """Starts the server again when it ends, as the systemd unit does: two seconds later, for ever."""

    REST = 2.0

    def __init__(self, ca: Ca) -> None:
        self.ca, self.codes, self.stopping = ca, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while not self.stopping.wait(0.05):
            if not self.ca.alive():
                self.codes.append(self.ca.process.returncode)
                if self.stopping.wait(self.REST):
                    return
                self.ca.start()

    def stop(self) -> list[int]:
        """No more starts; answers the exit codes seen."""
        self.stopping.set()
        self.thread.join(timeout=10)
        return self.codes


class World:
    """One case: a directory, a CA on a disk of its own, and callers."""

    def __init__(self, args: argparse.Namespace, directory: pathlib.Path) -> None:
        self.args, self.directory, self.stack = args, directory, contextlib.ExitStack()
        self.disk = directory / "disk"
        self.disk.mkdir()
        self.ca: Ca | None = None
        self.load: Load | None = None
        self.audit: Audit | None = None
        self.notes: list[str] = []

    def close(self) -> None:
        if self.load:
            self.load.stopping = True
        if self.ca and self.ca.alive():
            self.ca.kill()
        self.stack.close()

    def mount(self, *options: object, at: pathlib.Path | None = None) -> None:
        at = at or self.disk
        done = subprocess.run(["mount", *map(str, options), str(at)], capture_output=True, text=True)
        if done.returncode:
            raise Skipped(f"mount is not allowed: {done.stderr.strip()}")
        self.stack.callback(subprocess.run, ["umount", "-l", str(at)], capture_output=True)

    def tmpfs(self, size: int, at: pathlib.Path | None = None) -> None:
        self.mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", at=at)

    def ext4(self, size: int) -> pathlib.Path:
        """An ext4 of its own on a loop device, mounted; answers the device."""
        image = self.directory / "image"
        with open(image, "wb") as file:
            file.truncate(size)
        for program in ["mkfs.ext4", "losetup"]:
            if not shutil.which(program):
                raise Skipped(f"{program} is not here")
        run("mkfs.ext4", "-q", "-F", image)
        made = subprocess.run(["losetup", "-f", "--show", str(image)], capture_output=True, text=True)
        if made.returncode:
            raise Skipped(f"loop devices are not allowed: {made.stderr.strip()}")
        device = pathlib.Path(made.stdout.strip())
        self.stack.callback(subprocess.run, ["losetup", "-d", str(device)], capture_output=True)
        self.mount("-o", "errors=remount-ro", device)
        return device

    def serve(self, connections: int = 16, pause: float = 0, signers: int = 0, **environment: str) -> None:
        self.ca = Ca(self.args.countersign, self.directory, self.disk / "data")
        self.ca.environment = environment
        self.ca.start()
        self.ca.wait_until_ready(20)
        self.audit = Audit(self.ca)
        self.wishes = certificates(self.ca.requests(connections)) + entries(self.ca.signers(signers))
        self.call(pause)

    def call(self, pause: float = 0) -> None:
        self.load = Load(self.ca.port, self.wishes, pause).start()
        self.until_issued(10)

    def until_issued(self, seconds: float, what: str = "no certificate is issued") -> float:
        """Waits for certificates that are issued from now on, and for log entries where anybody asks for them."""
        now = time.monotonic()
        kept = lambda: [self.load.kept.certificates[-64:], self.load.kept.entries[-64:]]  # noqa: E731
        asked = 2 if any(wish.kind == "entry" for wish in self.wishes) else 1
        return until(lambda: all(any(answer.at > now for answer in answers) for answers in kept()[:asked]), seconds, what)

    def until_refused(self, seconds: float) -> float:
        """Waits until callers are refused, and nobody gets a certificate any more."""
        begun = time.monotonic()
        until(lambda: self.load.kept.others, seconds, "callers are not refused")
        took = time.monotonic() - begun
        time.sleep(0.5)
        mark = time.monotonic()
        time.sleep(0.5)
        check(not [it for it in self.load.kept.certificates if it.at > mark], "certificates are issued all the same")
        check(not [it for it in self.load.kept.entries if it.at > mark], "signatures are logged all the same")
        return took

    def until_unhealthy(self) -> float:
        """Both health answers say no in time."""
        return until(lambda: not self.ca.healthy() and not self.ca.ready(), NOTICED_WITHIN, "health says yes")

    def recover(self, device: pathlib.Path | None = None) -> None:
        """A start after the server has ended, on the disk mounted anew where it needs that: it issues, and nothing is lost."""
        if device:
            run("umount", self.disk)
            run("mount", device, self.disk)
        self.ca.start()
        self.note("issues again", self.until_issued(SERVING_WITHIN))
        self.settle(ending=True)
        self.load = None

    def settle(self, ending: bool = False) -> None:
        """The end of each case: everything that was refused was refused as it should be, and nothing is lost."""
        self.refusals(self.load.stop(), ending)

    def refusals(self, kept, ending: bool = False) -> None:
        for other in kept.others:
            check(other.status == 503, f"callers got {other.status}: {other.body!r}")
            error = json.loads(other.body)
            reason = error["details"][0]["reason"]
            check(error["code"] == 14, f"callers got {error}")
            unavailable = "SIGNATURE_LOG_UNAVAILABLE" if other.kind == "entry" else "LOG_UNAVAILABLE"
            check(reason == unavailable or (ending and reason == "SHUTTING_DOWN"), f"callers got {reason}")
            check(b"retry-after: " in other.head.lower(), f"no Retry-After: {other.head!r}")
            check(b"application/json" in other.head.lower(), f"not JSON: {other.head!r}")
        self.refused = len(kept.others)
        self.audit.look(kept)

    def finish(self, code: int = 0) -> str:
        """After everything: the whole log once more, an orderly end, a start, and the audit again."""
        if self.load:
            self.settle()
        self.audit.reread()
        check(self.ca.end() == code, "SIGTERM must end the server in order")
        self.ca.own_audit()
        self.ca.start()
        self.ca.wait_until_ready(READY_WITHIN)
        self.audit.reread()
        return (f"{self.audit.certificates} certificates and {self.audit.entries} signatures held against the logs, "
                f"{self.refused} refusals; " + ", ".join(self.notes))

    def note(self, what: str, seconds: float | None = None) -> None:
        self.notes.append(what if seconds is None else f"{what} after {seconds:.1f} s")


class Balloon:
    """A file that takes the space of others."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.path = directory / "balloon"

    def leave(self, free: int) -> None:
        """Grows until `free` bytes are left, as near as pages allow."""
        with open(self.path, "ab") as file:
            for piece in [MIB, 4096]:
                # An allocation that finds too little space gives all of it back: so piece by piece.
                with contextlib.suppress(OSError):
                    while self.free() >= free + piece:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), piece)

    def free(self) -> int:
        system = os.statvfs(self.path.parent)
        return system.f_bavail * system.f_frsize

    def pop(self) -> None:
        self.path.unlink(missing_ok=True)


@case
def a_full_disk_under_load(world: World) -> None:
    world.tmpfs(48 * MIB)
    world.serve(signers=8)
    balloon = Balloon(world.disk)
    balloon.leave(0)
    world.note("refused", world.until_refused(NOTICED_WITHIN))
    world.note("health says no", world.until_unhealthy())
    check("full" in world.ca.why() or "space" in world.ca.why(), f"operators are not told why: {world.ca.why()}")
    for checkpoint in [f"{world.ca.ct}/checkpoint", f"{world.ca.url}/api/v2/checkpoint"]:
        check(ask(checkpoint)[0] == 200, "a log cannot be read while the disk is full")
    check(world.ca.alive(), "the server ended")
    balloon.pop()
    world.note("issues again", world.until_issued(SERVING_WITHIN))
    until(world.ca.healthy, SERVING_WITHIN, "health still says no")


@case
def a_full_disk_without_any_caller(world: World) -> None:
    world.tmpfs(48 * MIB)
    world.serve()
    world.refusals(world.load.stop())
    world.load = None
    balloon = Balloon(world.disk)
    balloon.leave(0)
    # Nobody asks for anything meanwhile: the log looks by itself.
    time.sleep(8)
    check(not world.ca.healthy(), "the first to ask for health is told that all is well")
    check(not world.ca.ready(), "the first to ask for readiness is told that all is well")
    balloon.pop()
    world.note("health says yes", until(world.ca.healthy, SERVING_WITHIN, "health still says no"))
    world.call()


@case
def a_disk_that_fills_in_the_middle_of_a_write(world: World) -> None:
    """The space goes between the look for it and the write: another writer races us, to many levels."""
    world.tmpfs(32 * MIB)
    world.serve(signers=8)
    balloon, supervisor = Balloon(world.disk), Supervisor(world.ca)
    slowest = 0.0
    for level in range(world.args.levels):
        until_stop = time.monotonic() + 0.3
        while time.monotonic() < until_stop:
            # Up and down across the reserve, so that some appends find space that is gone when they write.
            balloon.leave(level * 160 * 1024 % (3 * MIB))
            balloon.pop()
        balloon.leave(level * 40 * 1024 % MIB)
        time.sleep(0.3)
        balloon.pop()
        slowest = max(slowest, world.until_issued(SERVING_WITHIN, f"not issuing again at level {level}"))
    codes = supervisor.stop()
    check(set(codes) <= {1}, f"the server ended with {codes}")
    world.note(f"{world.args.levels} levels, {len(codes)} ends with exit code 1, issues again after at most {slowest:.1f} s")
    world.settle(ending=True)
    world.load = None


@case
def a_start_on_a_full_disk(world: World) -> None:
    world.tmpfs(32 * MIB)
    world.serve()
    balloon = Balloon(world.disk)
    balloon.leave(0)
    world.until_refused(NOTICED_WITHIN)
    world.ca.kill()
    supervisor = Supervisor(world.ca)
    time.sleep(5)
    world.note("starts and says no" if world.ca.alive() and ask(f"{world.ca.url}/healthz")[0] == 503
               else f"does not start, exit codes {sorted(set(supervisor.codes))}")
    check(not world.ca.healthy(), "health says yes on a full disk")
    balloon.pop()
    world.note("issues again", world.until_issued(SERVING_WITHIN))
    check(set(supervisor.stop()) <= {1, -9}, f"the server ended with {supervisor.codes}")


@case
def a_full_disk_of_the_tiles_alone(world: World) -> None:
    """`log/` may be a volume of its own: certificates are issued while the backlog lasts, and health says no at once."""
    (world.disk / "data/log").mkdir(parents=True, mode=0o700)
    world.tmpfs(8 * MIB, at=world.disk / "data/log")
    world.serve(connections=4, pause=0.05)
    balloon = Balloon(world.disk / "data/log")
    # First without a tile to write: the next one is minutes away.
    world.refusals(world.load.stop())
    balloon.leave(0)
    world.note("health says no before a tile is complete", world.until_unhealthy())
    check("tiles" in world.ca.why(), f"operators are not told why: {world.ca.why()}")
    world.call()
    world.note("certificates go on")
    size = 600
    until(lambda: json.loads(ask(f"{world.ca.ct}/ct/v1/get-sth")[1])["tree_size"] > size, 30, "the log does not grow")
    check(not world.ca.healthy(), "health says yes, and tiles cannot be written")
    sealed = sorted(path.name for path in (world.disk / "data/log/tile/data").glob("*[0-9]")) \
        if (world.disk / "data/log/tile").exists() else []
    balloon.pop()
    world.note("health says yes", until(world.ca.healthy, SERVING_WITHIN, "health still says no"))
    until(lambda: (world.disk / "data/log/tile/data/001").exists(), SERVING_WITHIN, "tiles are not written")
    world.note(f"tiles 0 and 1 are written then ({len(sealed)} were before)")


@case
def a_file_system_that_turns_read_only(world: World) -> None:
    """What ext4 does of itself after an error (`errors=remount-ro`). It takes a mount anew to be written again."""
    device = world.ext4(64 * MIB)
    trigger = pathlib.Path(f"/sys/fs/ext4/{device.name}/trigger_fs_error")
    if not trigger.exists():
        raise Skipped("this kernel has no trigger_fs_error")
    world.serve()
    supervisor = Supervisor(world.ca)
    trigger.write_text("test")
    # The server may end when a write failed; the next one does not start, or says no.
    took = until(lambda: not world.ca.healthy(), NOTICED_WITHIN, "health says yes")
    world.note("health says no", took)
    time.sleep(1)
    mark = time.monotonic()
    time.sleep(1)
    check(not [it for it in world.load.kept.certificates if it.at > mark], "certificates are issued all the same")
    codes = supervisor.stop()
    world.note(f"exit codes {sorted(set(codes))}" if codes else "goes on, answering 503")
    if world.ca.alive():
        world.ca.kill()
    world.recover(device)


@case
def a_read_only_mount_from_the_start(world: World) -> None:
    """`mount -o remount,ro` while the server is down, and `remount,rw` under the waiting supervisor."""
    world.tmpfs(32 * MIB)
    world.serve()
    world.ca.kill()
    run("mount", "-o", "remount,ro", world.disk)
    world.ca.start()
    supervisor = Supervisor(world.ca)
    time.sleep(4)
    check(not world.ca.healthy(), "health says yes on a read-only disk")
    check("read-only" in world.ca.tail().lower(), f"it does not say why:\n{world.ca.tail()}")
    run("mount", "-o", "remount,rw", world.disk)
    world.note("issues again", world.until_issued(SERVING_WITHIN))
    codes = supervisor.stop()
    world.note(f"does not start meanwhile, exit codes {sorted(set(codes))}")
    check(set(codes) == {1}, f"the server ended with {codes}")


@case
def a_disk_that_answers_nothing_but_eio(world: World) -> None:
    """ext4 shut down under the server (EXT4_IOC_SHUTDOWN, journal not written): what was synced is what is left."""
    device = world.ext4(64 * MIB)
    world.serve()
    time.sleep(1)
    directory = os.open(world.disk, os.O_RDONLY)
    try:
        fcntl.ioctl(directory, 0x8004587D, struct.pack("I", 2))
    except OSError as error:
        raise Skipped(f"the file system cannot be shut down: {error}") from None
    finally:
        os.close(directory)
    world.note("health says no", until(lambda: not world.ca.healthy(), NOTICED_WITHIN, "health says yes"))
    try:
        code = world.ca.process.wait(timeout=NOTICED_WITHIN)
    except subprocess.TimeoutExpired:
        world.note("goes on, answering 503")
        world.ca.kill()
    else:
        check(code == 1, f"it ended with {code}")
        world.note("ends with exit code 1")
    world.recover(device)


@long_case
def a_disk_that_hangs(world: World) -> None:
    """A frozen file system: writes and syncs neither end nor fail."""
    world.ext4(64 * MIB)
    if not shutil.which("fsfreeze"):
        raise Skipped("fsfreeze is not here")
    world.serve()
    run("fsfreeze", "-f", world.disk)
    try:
        world.note("health says no", world.until_unhealthy())
        check(world.ca.alive(), "the server ended")
        check(ask(f"http://127.0.0.1:{world.ca.admin}/livez")[0] == 200, "the process does not answer")
    finally:
        run("fsfreeze", "-u", world.disk)
    world.note("issues again", world.until_issued(SERVING_WITHIN))
    until(world.ca.healthy, SERVING_WITHIN, "health still says no")


def shim(directory: pathlib.Path) -> pathlib.Path:
    """What makes single calls fail below the real binary."""
    if not shutil.which("cc"):
        raise Skipped("there is no C compiler `cc`")
    source = pathlib.Path(__file__).resolve().parent.parent / "suite/durability/disk.c"
    run("cc", "-shared", "-fPIC", "-O2", "-o", directory / "disk.so", source, "-lpthread")
    return directory / "disk.so"


class Faults:
    """A world whose calls fail as a file says."""

    def __init__(self, world: World) -> None:
        self.file, self.data = world.directory / "faults", world.disk / "data"
        self.file.write_text("")
        world.serve(LD_PRELOAD=str(shim(world.directory)), DISK_FAULTS=str(self.file))

    def set(self, line: str) -> None:
        """`CALL ERROR COUNT PART …`, PART below the data directory."""
        words = line.split()
        if words:
            words[3] = str(self.data / words[3])
        following = self.file.with_name("next")
        following.write_text(" ".join(words) + "\n" if words else "")
        following.rename(self.file)


def stops_for_good(world: World, line: str) -> None:
    """What reached the disk is not known, and must not be tried again: no answer, no health, exit code 1; the next start goes
    on from what is stored, with every entry that was answered. A write that only makes the journal longer has written nothing
    of a group: after that one it goes on by itself."""
    faults = Faults(world)
    faults.set(line)
    begun = time.monotonic()
    while (code := world.ca.process.poll()) is None and time.monotonic() < begun + 30:
        if "pwrite" in line and "keeps trying" in world.ca.tail():
            faults.set("")
            return world.note(f"`{line}`: goes on, issues again", world.until_issued(SERVING_WITHIN))
        time.sleep(0.05)
    world.note(f"`{line}`: exit code {code}", time.monotonic() - begun)
    check(code == 1, f"it ended with {code}")
    check("stops for good" in world.ca.tail(), f"it does not say why:\n{world.ca.tail()}")
    check(any(other.status == 503 for other in world.load.kept.others) or "log" in line, "nobody was told")
    faults.set("")
    world.recover()


def goes_on(world: World, line: str, says: str, refuses: bool) -> None:
    """Nothing was written and trying again is safe: health says no until a try succeeds."""
    faults = Faults(world)
    faults.set(line)
    took = until(lambda: not world.ca.healthy(), NOTICED_WITHIN, "health says yes")
    world.note(f"`{line}`: health says no", took)
    check(says in world.ca.why(), f"operators are not told why: {world.ca.why()}")
    if refuses:
        world.note("refused", world.until_refused(NOTICED_WITHIN))
    else:
        world.until_issued(5)
    check(world.ca.alive(), "the server ended")
    faults.set("")
    world.note("health says yes", until(world.ca.healthy, SERVING_WITHIN, "health still says no"))
    world.until_issued(SERVING_WITHIN)


FATAL = {
    "a_sync_of_the_head_that_fails": "fdatasync EIO 1 head/journal",
    "a_sync_of_the_head_that_is_reported_as_failed": "fdatasync EIO 1 head/journal kept",
    "a_write_of_the_head_that_fails": "pwrite EIO 1 head/journal",
    "a_write_of_the_head_that_finds_no_space": "pwrite ENOSPC 1 head/journal",
    "a_sync_of_a_tile_that_fails": "fsync EIO 1 log",
}
PASSING = {
    "a_record_that_cannot_be_written": ("pwrite EIO -1 head.record", "second record", True),
    "a_tile_that_finds_no_space": ("write ENOSPC -1 log", "tiles", False),
    "a_tile_that_cannot_be_renamed": ("rename EIO -1 log", "tiles", False),
    "a_tile_directory_that_cannot_be_made": ("mkdir EACCES -1 log", "tiles", False),
}


def add(name: str, function, *given: object) -> None:
    def faulty(world: World) -> None:
        function(world, *given)

    faulty.__name__ = name
    case(faulty)


for name, line in FATAL.items():
    add(name, stops_for_good, line)
for name, given in PASSING.items():
    add(name, goes_on, *given)


@long_case
def a_sync_that_takes_twelve_seconds(world: World) -> None:
    faults = Faults(world)
    faults.set("fdatasync SLOW=12000 1 head/journal")
    world.note("health says no", world.until_unhealthy())
    check("waits for the disk" in world.ca.why(), f"operators are not told why: {world.ca.why()}")
    # Each process counts anew: the next start would be slow too.
    faults.set("")
    world.note("issues again", world.until_issued(SERVING_WITHIN))
    until(world.ca.healthy, SERVING_WITHIN, "health still says no")


@case
def the_data_directory_moved_away_and_put_back(world: World) -> None:
    world.serve()
    data, aside = world.ca.data, world.disk / "aside"
    data.rename(aside)
    world.note("refused", world.until_refused(NOTICED_WITHIN))
    world.note("health says no", world.until_unhealthy())
    check("gone" in world.ca.why(), f"operators are not told why: {world.ca.why()}")
    check(not data.exists(), "the server made a data directory anew")
    # Something else in its place is no better.
    shutil.copytree(aside, data)
    time.sleep(1)
    check(not world.ca.healthy(), "health says yes on a copy")
    shutil.rmtree(data)
    aside.rename(data)
    world.note("issues again", world.until_issued(SERVING_WITHIN))
    until(world.ca.healthy, SERVING_WITHIN, "health still says no")


def open_files(process: int) -> list[str]:
    """What a process has open; connections that end meanwhile are not in it."""
    held = []
    for link in pathlib.Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held.append(os.readlink(link))
    return held


@case
def the_data_directory_deleted(world: World) -> None:
    """Nothing brings it back; what counts is that nobody gets a certificate that nobody will find again."""
    world.serve()
    time.sleep(0.5)
    shutil.rmtree(world.ca.data, ignore_errors=True)
    shutil.rmtree(world.ca.data, ignore_errors=True)
    world.note("refused", world.until_refused(NOTICED_WITHIN))
    world.note("health says no", world.until_unhealthy())
    check(world.ca.alive(), "the server ended, with the only copy of the newest entries")
    check(not world.ca.data.exists(), "the server made a data directory anew")
    # The process still has them: the files can be had through /proc while it lives.
    held = open_files(world.ca.process.pid)
    check(all(any(f"head/journal.{file} (deleted)" in name for name in held) for file in (0, 1)), f"the entries are gone: {held}")
    kept = world.load.stop()
    check(all(other.status == 503 for other in kept.others), "callers got something else than 503")
    world.note(f"{len(kept.others)} refusals")
    world.load = world.audit = None
    world.ca.kill()


@case
def the_disk_unmounted(world: World) -> None:
    """`umount -l`: the server works on a disk that nobody sees, above an empty directory."""
    world.ext4(64 * MIB)
    world.serve()
    device = world.directory / "elsewhere"
    device.mkdir()
    world.mount("--bind", world.disk, at=device)
    run("umount", "-l", world.disk)
    world.note("refused", world.until_refused(NOTICED_WITHIN))
    world.note("health says no", world.until_unhealthy())
    check(not world.ca.data.exists(), "the server made a data directory anew, under the mount point")
    run("mount", "--move", device, world.disk)
    world.note("issues again", world.until_issued(SERVING_WITHIN))


@case
def a_file_of_the_head_store_replaced(world: World) -> None:
    world.serve()
    db = world.ca.data / "head/db"
    copy, original = db.with_name("copy"), db.with_name("original")
    shutil.copy(db, copy)
    os.link(db, original)
    copy.rename(db)
    world.note("refused", world.until_refused(NOTICED_WITHIN))
    world.note("health says no", world.until_unhealthy())
    check("replaced" in world.ca.why(), f"operators are not told why: {world.ca.why()}")
    original.rename(db)
    world.note("issues again", world.until_issued(SERVING_WITHIN))


@case
def the_second_record_deleted(world: World) -> None:
    """Nobody is answered, and no start goes on without it but on the operator's word."""
    world.serve()
    record = world.ca.data / "head.record"
    record.unlink()
    world.note("refused", world.until_refused(NOTICED_WITHIN))
    world.note("health says no", world.until_unhealthy())
    check("second record" in world.ca.why(), f"operators are not told why: {world.ca.why()}")
    world.ca.kill()
    world.ca.start()
    check(world.ca.process.wait(timeout=READY_WITHIN) == 1, "it started without the record")
    check("is missing" in world.ca.tail(), f"it does not say why:\n{world.ca.tail()}")
    record.write_text("newest\n")
    world.ca.start()
    world.note("ready at the next start", world.ca.wait_until_ready(READY_WITHIN))
    world.note("issues again", world.until_issued(SERVING_WITHIN))


@long_case
def a_disk_that_hangs_and_nobody_asks_for_health(world: World) -> None:
    """After a minute the server ends by itself, and everybody who waited is told."""
    faults = Faults(world)
    faults.set("fdatasync SLOW=600000 -1 head/journal")
    begun = time.monotonic()
    code = world.ca.process.wait(timeout=90)
    world.note("ends", time.monotonic() - begun)
    check(code == 1, f"it ended with {code}")
    check(any(other.status == 503 for other in world.load.kept.others), "nobody was told")
    faults.set("")
    world.ca.start()
    world.note("issues again", world.until_issued(SERVING_WITHIN))


@case
def a_disk_that_hangs_and_sigterm(world: World) -> None:
    faults = Faults(world)
    faults.set("fdatasync SLOW=600000 -1 head/journal")
    time.sleep(2)
    begun = time.monotonic()
    world.ca.process.terminate()
    world.ca.process.wait(timeout=30)
    took = time.monotonic() - begun
    world.note("ends after SIGTERM", took)
    check(took <= 15, f"it took {took:.1f} s")
    check(any(other.status == 503 for other in world.load.kept.others), "nobody was told")
    faults.set("")
    world.ca.start()
    world.note("issues again", world.until_issued(SERVING_WITHIN))


@case
def a_second_process_is_told_so_by_name_before_any_word_of_ports(world: World) -> None:
    world.serve(connections=4)
    said = run(world.ca.countersign, "serve", "--config", world.ca.config, code=1)
    check(f"in use by process {world.ca.process.pid}" in said, f"it says: {said}")
    check(str(world.ca.data) in said and "listen" not in said, f"it says: {said}")
    # Beside the running server, and beside its work.
    report = world.ca.own_audit()
    check(isinstance(report, dict), f"the audit says: {report}")
    run(world.ca.countersign, "log", "checkpoint", "--config", world.ca.config)
    check(world.ca.healthy(), "the second process harmed the first")
    world.note("told the directory and the process; `log audit` and `log checkpoint` work beside it")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--countersign", type=pathlib.Path, required=True)
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument("--long", action="store_true", help="the slow cases too, and more of what is random")
    parser.add_argument("--require", type=int, default=1, metavar="N", help="fail where fewer cases than this were run and passed")
    args = parser.parse_args()
    args.levels = 40 if args.long else 5
    if os.geteuid() == 0 and "COUNTERSIGN_STORM_NAMESPACE" not in os.environ and shutil.which("unshare") \
            and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0:
        os.environ["COUNTERSIGN_STORM_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    chosen = [function for function in CASES if args.only in function.__name__]
    chosen = [function for function in chosen if args.long or args.only or function not in LONG]
    begun = time.monotonic()
    # They wait more than they work, so a few go at once.
    with concurrent.futures.ThreadPoolExecutor(max_workers=3) as workers:
        outcomes = list(workers.map(lambda function: attempt(function, args), chosen))
    for function, outcome in zip(chosen, outcomes):
        if isinstance(outcome, Skipped):
            print(f"!!! SKIPPED: {function.__name__.replace('_', ' ')}: {outcome}")
    passed, failed = outcomes.count(True), outcomes.count(False)
    print(f"disk: {passed} passed, {failed} failed, {len(outcomes) - passed - failed} skipped, "
          f"{time.monotonic() - begun:.0f} s")
    if passed < args.require:
        print(f"!!! {passed} cases passed, {args.require} are required")
    return 1 if failed or passed < args.require else 0


def attempt(function, args: argparse.Namespace) -> "bool | Skipped":
    """Runs one case, and says how it went."""
    name, begun = function.__name__.replace("_", " "), time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        world = World(args, pathlib.Path(directory))
        try:
            function(world)
            figures = world.finish() if world.audit else ", ".join(world.notes)
            print(f"ok       {name} ({time.monotonic() - begun:.0f} s): {figures}", flush=True)
            return True
        except Skipped as why:
            return why
        except Exception:  # noqa: BLE001 - a failed case must not stop the others
            log = f"--- the server's log\n{world.ca.tail()}" if world.ca and world.ca.log.exists() else ""
            print(f"FAILED   {name}\n{traceback.format_exc()}{log}", flush=True)
            return False
        finally:
            world.close()


if __name__ == "__main__":
    sys.exit(main())
