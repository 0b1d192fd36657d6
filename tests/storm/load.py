"""Callers who ask for certificates, log entries and timestamps without pause, come back when a connection breaks, and keep
every answer."""

import asyncio
import dataclasses
import random
import re
import threading
import time
from collections.abc import Callable

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclasses.dataclass
class Answer:
    """A whole answer, and when it was there."""

    at: float
    status: int
    head: bytes
    body: bytes
    # What was asked for: a kind of `KINDS`, and the digest that it is about.
    kind: str = "certificate"
    about: str = ""


@dataclasses.dataclass
class Kept:
    """What callers got."""

    certificates: list[Answer] = dataclasses.field(default_factory=list)
    checkpoints: list[Answer] = dataclasses.field(default_factory=list)
    entries: list[Answer] = dataclasses.field(default_factory=list)
    signature_checkpoints: list[Answer] = dataclasses.field(default_factory=list)
    timestamps: list[Answer] = dataclasses.field(default_factory=list)
    others: list[Answer] = dataclasses.field(default_factory=list)


# What may be asked for: the status of a good answer, and where it is kept.
KINDS = {
    "certificate": (200, "certificates"),
    "checkpoint": (200, "checkpoints"),
    "entry": (201, "entries"),
    "signature checkpoint": (200, "signature_checkpoints"),
    "timestamp": (200, "timestamps"),
}


@dataclasses.dataclass
class Wish:
    """What a caller asks for again and again, and the checkpoint that it looks at now and then."""

    kind: str
    # The request over the wire, and the digest that it is about.
    make: Callable[[], tuple[bytes, str]]
    checkpoint: tuple[str, str] | None


def certificates(requests: list[bytes]) -> list[Wish]:
    return [Wish("certificate", lambda request=request: (request, ""), ("checkpoint", "/ct/checkpoint")) for request in requests]


def entries(signers: list) -> list[Wish]:
    return [Wish("entry", signer.entry, ("signature checkpoint", "/api/v2/checkpoint")) for signer in signers]


def timestamps(signers: list) -> list[Wish]:
    return [Wish("timestamp", signer.timestamp, None) for signer in signers]


class Load:
    """Connections of their own thread, from `start` to `stop`."""

    def __init__(self, port: int, wishes: list[Wish], pause: float = 0) -> None:
        self.port, self.wishes, self.pause = port, wishes, pause
        self.kept, self.stopping = Kept(), False
        self.broken = 0
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()), daemon=True)

    def start(self) -> "Load":
        self.thread.start()
        return self

    def stop(self) -> Kept:
        """Ends, and hands over what was kept since the last `take`."""
        self.stopping = True
        self.thread.join(timeout=30)
        return self.take()

    def take(self) -> Kept:
        """Hands over what was kept since the last time."""
        taken, self.kept = self.kept, Kept()
        return taken

    async def run(self) -> None:
        await asyncio.gather(*(self.call(number, wish) for number, wish in enumerate(self.wishes)))

    async def call(self, number: int, wish: Wish) -> None:
        loop = asyncio.get_running_loop()
        while not self.stopping:
            try:
                caller = Caller(self, wish, number)
                await asyncio.wait_for(loop.create_connection(lambda: caller, "127.0.0.1", self.port), 5)
            except OSError:
                await asyncio.sleep(0.01 + 0.02 * random.random())
                continue
            while not caller.lost.done() and not self.stopping:
                await asyncio.wait([caller.lost], timeout=0.2)
            caller.transport.abort()


class Caller(asyncio.Protocol):
    """One connection: the next request follows the answer to the last one."""

    def __init__(self, load: Load, wish: Wish, number: int) -> None:
        self.load, self.wish, self.count = load, wish, number
        self.kind, self.about = wish.kind, ""
        self.buffer, self.transport = bytearray(), None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.next()

    def next(self) -> None:
        if self.load.stopping or self.transport.is_closing():
            return
        self.count += 1
        if self.count % 16 == 0 and self.wish.checkpoint:
            (self.kind, path), self.about = self.wish.checkpoint, ""
            self.transport.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.load.port}\r\n\r\n".encode())
        else:
            self.kind, (request, self.about) = self.wish.kind, self.wish.make()
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        length = LENGTH.search(self.buffer, 0, end + 2) if end >= 0 else None
        if length is None or len(self.buffer) < end + 4 + int(length[1]):
            return
        head, body = bytes(self.buffer[:end]), bytes(self.buffer[end + 4:])
        self.buffer.clear()
        answer = Answer(time.monotonic(), int(head[9:12]), head, body, self.kind, self.about)
        status, place = KINDS[self.kind]
        is_good = answer.status == status
        getattr(self.load.kept, place if is_good else "others").append(answer)
        if self.load.pause or not is_good:
            asyncio.get_running_loop().call_later(self.load.pause or 0.02, self.next)
        else:
            self.next()

    def connection_lost(self, _: Exception | None) -> None:
        self.load.broken += 1
        if not self.lost.done():
            self.lost.set_result(None)
