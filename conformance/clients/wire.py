"""The bytes of an exchange, as a client sees them and as an engine does."""

import re
import select
import socket
import threading
import time
from dataclasses import dataclass, field

import h11
import httpx2

CHUNK_BYTES = 65536
REST_S = 5  # for the rest of a request that was answered early
# Per connection or per second; every other header must cross, save `x-` ones.
OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "date"}
# What the engine makes anew for each request, although it is given the same request id.
PER_REQUEST = [
    re.compile(rb'"(?:created|created_at|completed_at)":\s?[0-9.]+'),
    re.compile(rb"(?:chatcmpl-tool-|call_|msg_|resp_|rs_|fc_)[0-9a-f]{8,}"),
]


@dataclass
class Message:
    """One answer: its status, the headers that must cross, its body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def comparable(self) -> "Message":
        """Without what differs between two requests to one engine."""
        body = self.body
        for pattern in PER_REQUEST:
            body = pattern.sub(b"-", body)
        headers = [pair for pair in self.headers if pair[0] != "content-length"]
        return Message(self.status, headers, body)


def crossing(headers: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Headers that must be the same on both sides of a gateway, sorted."""
    names = [(name.decode().lower(), value.decode()) for name, value in headers]
    return sorted(pair for pair in names if pair[0] not in OF_THE_CONNECTION and not pair[0].startswith("x-"))


class Recorder(httpx2.BaseTransport):
    """A client's transport that keeps the last exchange before anything is decoded."""

    def __init__(self) -> None:
        self.inner = httpx2.HTTPTransport()
        self.request_body = b""
        self.status, self.headers, self.body = 0, [], bytearray()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.request_body = request.read()
        response = self.inner.handle_request(request)
        self.status, self.headers, self.body = response.status_code, crossing(response.headers.raw), bytearray()
        response.stream = Copied(response.stream, self.body)
        return response

    def close(self) -> None:
        self.inner.close()

    def message(self) -> Message:
        return Message(self.status, self.headers, bytes(self.body))


class Copied(httpx2.SyncByteStream):
    """A body that is also kept."""

    def __init__(self, inner: httpx2.SyncByteStream, kept: bytearray) -> None:
        self.inner, self.kept = inner, kept

    def __iter__(self):
        for piece in self.inner:
            self.kept += piece
            yield piece

    def close(self) -> None:
        self.inner.close()


@dataclass
class Exchange:
    """A request and its answer as they crossed the tap."""

    up: bytearray = field(default_factory=bytearray)
    down: bytearray = field(default_factory=bytearray)

    def request(self) -> tuple[bytes, bool]:
        """The body so far, and whether it is whole."""
        reader = h11.Connection(h11.SERVER)
        reader.receive_data(bytes(self.up))
        _, body = read(reader)
        return body, reader.their_state is h11.DONE

    def request_body(self) -> bytes:
        """An engine may answer before it was sent everything: waits for the rest."""
        deadline = time.monotonic() + REST_S
        while not self.request()[1] and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.request()[0]

    def message(self) -> Message:
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method="GET", target="/", headers=[("host", "engine")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(bytes(self.down))
        head, body = read(reader)
        return Message(head.status_code, crossing(head.headers.raw_items()), body)


def read(reader: h11.Connection) -> tuple[h11.Request | h11.Response, bytes]:
    """Head and body of the one message that `reader` was given.

    The mark that ends a chunked body may be absent: a client that has read `[DONE]` leaves.
    """
    head, body = None, b""
    while True:
        event = reader.next_event()
        if isinstance(event, (h11.Request, h11.Response)):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif head is None:
            raise ValueError("a message has no head")
        elif isinstance(event, h11.EndOfMessage) or event is h11.NEED_DATA:
            return head, body


class Tap:
    """Between a gateway and its engine: passes bytes on and keeps them, changes none."""

    def __init__(self, port: int, engine: tuple[str, int]) -> None:
        self.engine = engine
        self.exchanges: list[Exchange] = []
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            gateway, _ = self.listener.accept()
            threading.Thread(target=self.pass_on, args=(gateway,), daemon=True).start()

    def pass_on(self, gateway: socket.socket) -> None:
        """A request begins where the gateway sends after the last one was answered: nobody pipelines."""
        with gateway, socket.create_connection(self.engine) as engine:
            exchange = None
            while True:
                for source in select.select([gateway, engine], [], [])[0]:
                    piece = source.recv(CHUNK_BYTES)
                    if not piece:
                        return
                    if source is engine:
                        exchange.down += piece
                        gateway.sendall(piece)
                        continue
                    if exchange is None or (exchange.down and exchange.request()[1]):
                        exchange = Exchange()
                        self.exchanges.append(exchange)
                    exchange.up += piece
                    engine.sendall(piece)

    def last(self, request_id: str) -> Exchange | None:
        """The latest exchange with that id, if the engine was asked at all."""
        marked = [exchange for exchange in self.exchanges if request_id.encode() in exchange.up]
        return marked[-1] if marked else None
