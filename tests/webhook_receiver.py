"""A real HTTP server that takes webhooks, and answers as it is told to."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from msgspec import Struct

__all__ = ["SECRET", "Answer", "Receiver", "Request", "receiving"]

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"


class Request(Struct, frozen=True):
    """What came."""

    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Answer(Struct, frozen=True):
    """What is said to it."""

    status: int = 200
    headers: Mapping[str, str] = {}
    after_s: float = 0.0  # before the first byte of the answer
    slowly: bool = False  # a byte of the body now and then, without an end


class Receiver:
    """`answer` may be set to another one at any time; it is called for each request."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Answer] = lambda request: Answer()
        self.ends = threading.Event()
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                request = Request({name.lower(): text for name, text in self.headers.items()}, body)
                with owner._lock:
                    owner.requests.append(request)
                    said = owner.answer(request)
                owner.ends.wait(said.after_s)
                with suppress(OSError):  # who asked has gone
                    self.send_response(said.status)
                    for name, text in said.headers.items():
                        self.send_header(name, text)
                    self.send_header("content-length", "1000000" if said.slowly else "0")
                    self.end_headers()
                    while said.slowly and not owner.ends.is_set():
                        self.wfile.write(b".")
                        self.wfile.flush()
                        time.sleep(0.05)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hooks/canary-key-1"

    @property
    def ids(self) -> list[str]:
        return [request.id for request in self.requests]

    def close(self) -> None:
        self.ends.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()
