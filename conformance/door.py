"""A door to an engine that lets only its API through, as an ingress or a sidecar often does.

usage: door.py PORT ENGINE_PORT

Whoever is outside cannot read the engine's metrics: neither its size, nor what it counts, nor when its
process has started. `GET /health` is the door's own.
"""

import sys
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

API = "/v1/"
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece: in two, the second waits for the client's system
    engine: str

    def pass_on(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        if self.path == "/health":
            return self.answer(200, [], b"")
        if not self.path.startswith(API):
            return self.answer(404, [], b"")
        try:
            inside = HTTPConnection(self.engine, timeout=120)
            inside.request(self.command, self.path, body, dict(self.headers))
            response = inside.getresponse()
            self.answer(response.status, response.getheaders(), response.read())
            inside.close()
        except OSError:
            self.answer(502, [], b"")

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Requests are in the logs of both sides."""

    do_GET = do_POST = pass_on


def main() -> None:
    port, engine_port = sys.argv[1:]
    Door.engine = f"127.0.0.1:{engine_port}"
    ThreadingHTTPServer(("127.0.0.1", int(port)), Door).serve_forever()


if __name__ == "__main__":
    main()
