"""A real receiver of webhooks, as bad as a test wants it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Received(NamedTuple):
    headers: Any
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the usual 5, who knocks as sixth waits a second


class Receiver:
    """`answer` decides what each request gets: a status, or None to hang up without a word."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[Received] = []
        self.answer: Callable[[Received], int | None] = lambda received: 200
        self.headers: dict[str, str] = {}
        self.server = Server(("127.0.0.1", port), handler(self))
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hooks"

    def events(self) -> list[str]:
        return [received.headers["X-Qyvo-Event"] for received in self.received]


def handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received = Received(self.headers, body)
            receiver.received.append(received)
            status = receiver.answer(received)
            if status is None:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            answer = b"" if status == 204 else b"ok"
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    return Handler


@contextmanager
def answering(server: ThreadingHTTPServer) -> Iterator[None]:
    """The server answers, in a thread of its own, until the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    receiver = Receiver(port)
    with answering(receiver.server):
        yield receiver
