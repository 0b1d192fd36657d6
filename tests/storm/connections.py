"""Thousands of connections that want to hold the server, and a few that want certificates: who wins, and what it costs.

Usage: connections.py --countersign BINARY [--seconds N] [--share F]

The short form (40 seconds, the default) waits until every hostile connection is over; the time-outs are the server's own.
Then three shorter ones, each against a server of its own: a few dozen HTTP/2 connections that send thousands of GETs with large
heads while heads that never end hold memory; heads that are small and become large when they are unpacked; and every place taken by
callers who are merely active.

Fails when a well-behaved caller is refused or kept waiting, when a hostile connection outlives its time, when memory grows
beyond the bound, or when the server does not end with 0 on SIGTERM. Needs `cryptography` (tests/interop/requirements.txt).
"""

import argparse
import asyncio
import base64
import collections
import json
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "interop"))
import gitlab  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

# What docs/SECURITY.md promises.
MEMORY_MB = 256
# Time-outs of 30 seconds, and a little for a loaded machine.
GONE_SECONDS = 36
P99_SECONDS = 1.0
# Who has no answer after so long is kept waiting, whatever comes later.
ANSWER_SECONDS = 10
# Every well-behaved caller gets one answer in so many seconds at least; ten times as many are usual.
SECONDS_PER_ANSWER = 2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
GET = b"\x82\x86\x84\x01\x01x"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class Server:
    """A countersign that trusts a make-believe GitLab."""

    def __init__(self, binary: str, directory: pathlib.Path, files: int | None = None) -> None:
        self.gitlab = gitlab.Gitlab()
        ca = directory / "ca"
        ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        subprocess.run([binary, "init", ca, "--gitlab", self.gitlab.url, *ports], check=True, capture_output=True)
        self.log = open(directory / "server.log", "w+")
        self.process = subprocess.Popen(
            [binary, "--json", "serve", "--config", ca / "countersign.yaml", "--log-filter", "error"],
            stdout=subprocess.PIPE, stderr=self.log, text=True,
            preexec_fn=files and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))))
        text, decoder = "", json.JSONDecoder()
        while True:
            text += self.process.stdout.readline()
            try:
                up, _ = decoder.raw_decode(text.lstrip())
                break
            except json.JSONDecodeError:
                if self.process.poll() is not None:
                    raise SystemExit("the server did not start") from None
        address = lambda url: (url.split("//")[1].split(":")[0], int(url.rsplit(":", 1)[1]))
        self.public, self.admin = address(up["listening"]), address(up["admin"])
        claims = self.gitlab.claims()
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
        proof = key.sign(claims["sub"].encode(), ec.ECDSA(hashes.SHA256()))
        body = json.dumps({
            "credentials": {"oidcIdentityToken": self.gitlab.token()},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": pem},
                "proofOfPossession": base64.b64encode(proof).decode()}}).encode()
        self.head = b"POST /api/v2/signingCert HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.request = self.head + body

    def memory(self) -> tuple[float, float]:
        """Resident memory now and at its highest, in MB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return tuple(int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1000 for name in ("VmRSS", "VmHWM"))


async def whole_answer(reader: asyncio.StreamReader) -> int:
    """Reads one answer with a length; its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    if length:
        await reader.readexactly(int(length[1]))
    return int(head.split()[1])


class Hostile:
    """Connections of one kind, and when they were over."""

    def __init__(self, server: Server) -> None:
        self.server, self.open, self.lasted, self.refused = server, collections.Counter(), collections.defaultdict(list), 0

    async def hold(self, kind: str, first: bytes, again: bytes = b"", every: float = 1, read: bool = True) -> None:
        """Sends `first`, then `again` now and then, until the server ends the connection."""
        try:
            # A small window: otherwise the system takes megabytes for a reader that does not read.
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, self.server.public)
            reader, writer = await asyncio.open_connection(sock=connection, limit=4096)
        except OSError:
            self.refused += 1
            return
        began = time.monotonic()
        self.open[kind] += 1
        if not read:
            writer.transport.pause_reading()
        try:
            writer.write(first)
            while not writer.is_closing():
                if read:
                    try:
                        if not await asyncio.wait_for(reader.read(4096), every):
                            break
                    except asyncio.TimeoutError:
                        pass
                else:
                    await asyncio.sleep(every)
                # Nothing piles up here for a server that does not read.
                if again and writer.transport.get_write_buffer_size() < 4096:
                    writer.write(again)
        except OSError:
            pass
        finally:
            self.open[kind] -= 1
            self.lasted[kind].append(time.monotonic() - began)
            writer.transport.abort()

    async def resets(self) -> None:
        """CVE-2023-44487, connection after connection."""
        while True:
            pairs = b"".join(frame(1, 5, stream, GET) + frame(3, 0, stream, b"\0\0\0\x08") for stream in range(1, 4001, 2))
            await self.hold("resets", PREFACE + pairs, every=5)
            await asyncio.sleep(1)


class WellBehaved:
    """Callers who ask for certificates one after the other."""

    def __init__(self, server: Server) -> None:
        self.server, self.took, self.failed = server, [], collections.Counter()
        self.answers: list[int] = []

    async def call(self) -> None:
        number = len(self.answers)
        self.answers.append(0)
        reader = writer = None
        while True:
            began = time.monotonic()
            try:
                if writer is None:
                    reader, writer = await asyncio.wait_for(
                        asyncio.open_connection(*self.server.public, limit=1 << 20), ANSWER_SECONDS)
                writer.write(self.server.request)
                status = await asyncio.wait_for(whole_answer(reader), ANSWER_SECONDS)
                if status == 200:
                    self.took.append(time.monotonic() - began)
                    self.answers[number] += 1
                else:
                    self.failed[status] += 1
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
                self.failed[type(error).__name__] += 1
                if writer is not None:
                    writer.transport.abort()
                writer = None
            # Enough to see how long it takes, not so much that this script is what is measured.
            await asyncio.sleep(0.1)

    def fewest(self) -> int:
        """The answers of the caller who got the fewest."""
        return min(self.answers, default=0)

    def percentile(self, share: float) -> float:
        took = sorted(self.took)
        return took[min(len(took) - 1, int(len(took) * share))] if took else float("inf")

    def line(self) -> str:
        p50, p99, most = (self.percentile(share) * 1000 for share in (0.5, 0.99, 1))
        return f"{len(self.took)} certificates, of each caller {self.fewest()} at least, p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {most:.1f} ms, failed {dict(self.failed)}"


async def end(tasks: list[asyncio.Task]) -> None:
    """Ends tasks, and asks again those that go on: until Python 3.12 `wait_for` may swallow a cancellation."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=1)


async def run(server: Server, args: argparse.Namespace) -> list[str]:
    failures = []
    count = lambda number: max(1, int(number * args.share))
    calm = WellBehaved(server)
    callers = [asyncio.create_task(calm.call()) for _ in range(64)]
    await asyncio.sleep(3)
    print(f"alone: {calm.line()}; memory {server.memory()[0]:.0f} MB")
    await end(callers)

    hostile, pressed = Hostile(server), WellBehaved(server)
    ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    idle_h2 = PREFACE + frame(1, 5, 1, GET)
    kinds = [
        ("idle", count(800), lambda: hostile.hold("idle", ask)),
        ("idle HTTP/2", count(200), lambda: hostile.hold("idle HTTP/2", idle_h2)),
        ("slow heads", count(500), lambda: hostile.hold("slow heads", b"GET / HTTP/1.1\r\nhost: x\r\nx: ", b"y")),
        ("large heads", count(100), lambda: hostile.hold("large heads", b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000, b"y")),
        ("slow bodies", count(400), lambda: hostile.hold("slow bodies", server.head, b" ")),
        ("large bodies", count(100), lambda: hostile.hold(
            "large bodies", server.head.replace(b"content-length: ", b"content-length: 400") + b" " * 20_000, b" " * 4000, 0.2)),
        ("slow readers", count(200), lambda: hostile.hold(
            "slow readers", b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 200, b"\r\n", read=False)),
        ("resets", count(100), hostile.resets),
    ]
    tasks = [asyncio.create_task(make()) for _, number, make in kinds for _ in range(number)]
    began = time.monotonic()
    await asyncio.sleep(2)
    asked_from = time.monotonic()
    callers = [asyncio.create_task(pressed.call()) for _ in range(64)]
    held = sum(hostile.open.values())
    gone_at = {}
    while time.monotonic() - began < args.seconds:
        await asyncio.sleep(0.5)
        held = max(held, sum(hostile.open.values()))
        for kind, *_ in kinds:
            if hostile.open[kind] == 0 and kind not in gone_at:
                gone_at[kind] = time.monotonic() - began
    asked_until = time.monotonic()
    now, peak = server.memory()
    print(f"with {held} hostile connections held at once ({hostile.refused} not connected): {pressed.line()}")
    print(f"memory: {now:.0f} MB, at its highest {peak:.0f} MB")
    for kind, number, _ in kinds:
        lasted = sorted(hostile.lasted[kind])
        spread = f"lasted {lasted[0]:.1f} to {lasted[-1]:.1f} s" if lasted else "none ended"
        print(f"  {kind}: {number} at a time, {spread}, {hostile.open[kind]} still open")
        # An idle HTTP/2 connection that answers its pings may stay 60 seconds; this one does not answer them.
        over = GONE_SECONDS + (20 if "HTTP/2" in kind else 0)
        if lasted and lasted[-1] > over:
            failures.append(f"{kind} lasted {lasted[-1]:.1f} s")
        if kind not in ("resets", "idle HTTP/2") and hostile.open[kind] and args.seconds > GONE_SECONDS + 2:
            failures.append(f"{hostile.open[kind]} of {kind} are still there")
    if args.share >= 1 and held < 2000:
        failures.append(f"only {held} connections were held")
    if pressed.failed:
        failures.append(f"well-behaved callers were refused: {dict(pressed.failed)}")
    wanted = max(1, int((asked_until - asked_from) / SECONDS_PER_ANSWER))
    if pressed.fewest() < wanted:
        failures.append(f"a well-behaved caller got {pressed.fewest()} answers, not {wanted}")
    if pressed.percentile(0.99) > P99_SECONDS:
        failures.append(f"well-behaved callers waited: p99 {pressed.percentile(0.99):.2f} s")
    if peak > MEMORY_MB:
        failures.append(f"memory reached {peak:.0f} MB")

    # The end comes while all of this goes on.
    server.process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    code = await asyncio.to_thread(server.process.wait, 30)
    took = time.monotonic() - asked
    print(f"SIGTERM: exit code {code} after {took:.1f} s")
    if code != 0 or took > 15:
        failures.append(f"SIGTERM: exit code {code} after {took:.1f} s")
    await end([*tasks, *callers])
    return failures


async def answered(address: tuple[str, int], request: bytes, within: float) -> int:
    """The status of the answer; 0 when there is none in time."""
    async def ask() -> int:
        reader, writer = await asyncio.open_connection(*address, limit=1 << 20)
        try:
            writer.write(request)
            return await whole_answer(reader)
        finally:
            writer.transport.abort()
    try:
        return await asyncio.wait_for(ask(), within)
    except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
        return 0


HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def literal(octets: bytes) -> bytes:
    """A string of HPACK (RFC 7541 §5)."""
    left, prefix = len(octets), b""
    if left < 127:
        return bytes([left]) + octets
    left, prefix = left - 127, b"\x7f"
    while left >= 128:
        prefix, left = prefix + bytes([left & 127 | 128]), left >> 7
    return prefix + bytes([left]) + octets


async def many_large_heads(server: Server, args: argparse.Namespace) -> list[str]:
    """GETs over HTTP/2, each with a large head and for a large answer, and windows wide open: everything is read."""
    failures, closed = [], 0
    await answered(server.public, server.request, 30)
    head = b"\x82\x86\x04" + literal(b"/openapi.json") + b"\x01\x01x" + b"\0" + literal(b"a") + literal(b"x" * 15_000)
    window = (2**31 - 1).to_bytes(4, "big")
    begin = PREFACE[:24] + frame(4, 0, 0, b"\0\4" + window) + frame(8, 0, 0, (2**31 - 65536).to_bytes(4, "big"))

    async def never_ends() -> None:
        reader, writer = await asyncio.open_connection(*server.public)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"y" * 20_000)
        await reader.read()

    async def asks() -> None:
        nonlocal closed
        try:
            reader, writer = await asyncio.open_connection(*server.public)
            writer.write(begin)
            async def send() -> None:
                for number in range(250):
                    writer.write(frame(1, 5, 1 + 2 * number, head))
                    await writer.drain()
            sending = asyncio.create_task(send())
            while True:
                kind, flags = (header := await reader.readexactly(9))[3:5]
                octets = await reader.readexactly(int.from_bytes(header[:3], "big"))
                if kind in (4, 6) and not flags & 1:
                    writer.write(frame(kind, 1, 0, octets if kind == 6 else b""))
        except (OSError, asyncio.IncompleteReadError):
            closed += 1
        finally:
            sending.cancel()

    slow = [asyncio.create_task(never_ends()) for _ in range(max(1, int(1200 * args.share)))]
    await asyncio.sleep(1)
    fast = [asyncio.create_task(asks()) for _ in range(max(1, int(100 * args.share)))]
    for _ in range(5):
        await asyncio.sleep(3)
        began = time.monotonic()
        status = await answered(server.public, HEALTH, 5)
        print(f"large heads over HTTP/2: health {status} in {time.monotonic() - began:.2f} s, {server.memory()[0]:.0f} MB, {closed} closed")
        if status != 200:
            failures.append("health was not answered while large heads came over HTTP/2")
    await end([*slow, *fast])
    if await answered(server.public, server.request, 10) != 200:
        failures.append("no certificate after large heads over HTTP/2")
    if server.memory()[1] > MEMORY_MB:
        failures.append(f"memory reached {server.memory()[1]:.0f} MB by large heads over HTTP/2")
    return failures


async def unfinished_heads(server: Server, args: argparse.Namespace) -> list[str]:
    """Heads over HTTP/2 of references of one octet, which take seventy times that when unpacked, and never come to their end."""
    failures = []
    await answered(server.public, server.request, 30)
    # `accept-encoding: gzip, deflate`, of HPACK's static table.
    bomb = PREFACE + frame(1, 1, 1, GET + b"\x90" * 2000)
    opened = []
    for _ in range(max(1, int(2200 * args.share))):
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(*server.public), 5)
            writer.write(bomb)
            opened.append(writer)
        except (OSError, asyncio.TimeoutError):
            pass
    for _ in range(3):
        await asyncio.sleep(2)
        began = time.monotonic()
        status = await answered(server.public, HEALTH, 5)
        took = time.monotonic() - began
        print(f"{len(opened)} unfinished heads over HTTP/2: health {status} in {took:.2f} s, {server.memory()[0]:.0f} MB")
        if status != 200:
            failures.append("health was not answered beside unfinished heads over HTTP/2")
    if await answered(server.public, server.request, 10) != 200:
        failures.append("no certificate beside unfinished heads over HTTP/2")
    if server.memory()[1] > MEMORY_MB:
        failures.append(f"memory reached {server.memory()[1]:.0f} MB by unfinished heads over HTTP/2")
    for writer in opened:
        writer.transport.abort()
    return failures


# Open files of a server that has 128 places for connections.
FEW_FILES, FEW_PLACES = 640, 128


async def active_at_the_cap(server: Server, args: argparse.Namespace) -> list[str]:
    """Each place is taken by somebody who asks for something twice a second, and comes back when closed."""
    failures = []
    hostile = Hostile(server)

    async def active() -> None:
        while True:
            await hostile.hold("active", HEALTH.replace(b"connection: close\r\n", b""), HEALTH.replace(b"connection: close\r\n", b""), 0.5)

    tasks = [asyncio.create_task(active()) for _ in range(FEW_PLACES)]
    await asyncio.sleep(3)
    for _ in range(6):
        began = time.monotonic()
        status = await answered(server.public, server.request, 10)
        print(f"all places taken by active callers: a newcomer is answered {status} in {time.monotonic() - began:.2f} s")
        if status != 200:
            failures.append("a newcomer was kept out by callers who are merely active")
    await end(tasks)
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--countersign", required=True)
    parser.add_argument("--seconds", type=float, default=39, help="how long the hostile ones go on")
    parser.add_argument("--share", type=float, default=1, help="of the hostile connections")
    args = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    failures = []
    storms = ((run, None), (many_large_heads, None), (unfinished_heads, None), (active_at_the_cap, FEW_FILES))
    for storm, files in storms:
        with tempfile.TemporaryDirectory() as directory:
            server = Server(args.countersign, pathlib.Path(directory), files)
            try:
                found = asyncio.run(storm(server, args))
            finally:
                server.process.kill()
                server.process.wait()
            if found:
                server.log.seek(0)
                print("".join(server.log.readlines()[-20:]))
            failures += found
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
