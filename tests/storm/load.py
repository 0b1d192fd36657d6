"""Callers who ask for certificates without pause, come back when a connection breaks, and keep every answer."""

import asyncio
import dataclasses
import random
import re
import threading
import time

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclasses.dataclass
class Answer:
    """A whole answer, and when it was there."""

    at: float
    status: int
    head: bytes
    body: bytes


@dataclasses.dataclass
class Kept:
    """What callers got."""

    certificates: list[Answer] = dataclasses.field(default_factory=list)
    checkpoints: list[Answer] = dataclasses.field(default_factory=list)
    others: list[Answer] = dataclasses.field(default_factory=list)


class Load:
    """Connections of their own thread, from `start` to `stop`."""

    def __init__(self, port: int, requests: list[bytes], pause: float = 0) -> None:
        self.port, self.requests, self.pause = port, requests, pause
        self.checkpoint = f"GET /ct/checkpoint HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
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
        await asyncio.gather(*(self.call(number, request) for number, request in enumerate(self.requests)))

    async def call(self, number: int, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        while not self.stopping:
            try:
                caller = Caller(self, request, number)
                await asyncio.wait_for(loop.create_connection(lambda: caller, "127.0.0.1", self.port), 5)
            except OSError:
                await asyncio.sleep(0.01 + 0.02 * random.random())
                continue
            while not caller.lost.done() and not self.stopping:
                await asyncio.wait([caller.lost], timeout=0.2)
            caller.transport.abort()


class Caller(asyncio.Protocol):
    """One connection: the next request follows the answer to the last one."""

    def __init__(self, load: Load, request: bytes, number: int) -> None:
        self.load, self.request, self.count = load, request, number
        self.buffer, self.transport = bytearray(), None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.next()

    def next(self) -> None:
        if self.load.stopping or self.transport.is_closing():
            return
        self.count += 1
        self.asks_for_checkpoint = self.count % 16 == 0
        self.transport.write(self.load.checkpoint if self.asks_for_checkpoint else self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        length = LENGTH.search(self.buffer, 0, end + 2) if end >= 0 else None
        if length is None or len(self.buffer) < end + 4 + int(length[1]):
            return
        head, body = bytes(self.buffer[:end]), bytes(self.buffer[end + 4:])
        self.buffer.clear()
        answer, kept = Answer(time.monotonic(), int(head[9:12]), head, body), self.load.kept
        if answer.status != 200:
            kept.others.append(answer)
        else:
            (kept.checkpoints if self.asks_for_checkpoint else kept.certificates).append(answer)
        if self.load.pause or answer.status != 200:
            asyncio.get_running_loop().call_later(self.load.pause or 0.02, self.next)
        else:
            self.next()

    def connection_lost(self, _: Exception | None) -> None:
        self.load.broken += 1
        if not self.lost.done():
            self.lost.set_result(None)
