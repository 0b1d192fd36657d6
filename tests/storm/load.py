"""Callers who ask for certificates, log entries and timestamps without pause, come back when a connection breaks, and keep
every answer."""

import asyncio
import dataclasses
import random
import re
import threading
import time
from collections.abc import Callable

from ca import check

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
        # What went wrong in the callers themselves. Nothing may: callers that are gone notice no loss.
        self.faults: list[str] = []
        self.thread = threading.Thread(target=self.work, daemon=True)

    def start(self) -> "Load":
        self.thread.start()
        return self

    def stop(self) -> Kept:
        """Ends, and hands over what was kept since the last `take`."""
        self.stopping = True
        self.thread.join(timeout=30)
        check(not self.thread.is_alive(), "the callers do not come to their end")
        check(not self.faults, f"the callers have failed: {self.faults[:3]}")
        return self.take()

    def check_at_work(self, seconds: float) -> None:
        """The callers are there, and since the last `take` something of each kind was answered, or is within `seconds`."""
        wanted = {KINDS[wish.kind][1] for wish in self.wishes}

        def missing() -> list[str]:
            check(self.thread.is_alive() and not self.faults, f"the callers are gone: {self.faults[:3]}")
            return sorted(place for place in wanted if not getattr(self.kept, place))

        begun = time.monotonic()
        while missing():
            check(time.monotonic() - begun < seconds, f"no new {missing()} {seconds} s later; refusals: {self.kept.others[:1]}")
            time.sleep(0.01)

    def take(self) -> Kept:
        """Hands over what was kept since the last time."""
        taken, self.kept = self.kept, Kept()
        return taken

    def work(self) -> None:
        try:
            asyncio.run(self.run())
        except BaseException as error:  # noqa: BLE001 - the thread's end must not go unnoticed, whatever it is
            self.faults.append(repr(error))

    async def run(self) -> None:
        # An answer that cannot be read ends in asyncio, which would only print it.
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: self.faults.append(f"{context['message']}: {context.get('exception')!r}"))
        await asyncio.gather(*(self.call(number, wish) for number, wish in enumerate(self.wishes)))

    async def call(self, number: int, wish: Wish) -> None:
        loop = asyncio.get_running_loop()
        while not self.stopping:
            try:
                caller = Caller(self, wish, number)
                await asyncio.wait_for(loop.create_connection(lambda: caller, "127.0.0.1", self.port), 5)
            except (OSError, asyncio.TimeoutError):  # the latter is no OSError before Python 3.11
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
