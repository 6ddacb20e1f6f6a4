"""A page on this machine: read-only, and for this machine alone unless told otherwise."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

LOCAL = "127.0.0.1"

Answer: TypeAlias = Callable[[str], bytes]
"""What a path's query is answered with: a page, or JSON, which does not begin with `<`."""

_PAGE, _DATA = "text/html; charset=utf-8", "application/json"


@contextmanager
def served(
    answers: Mapping[str, Answer], host: str = LOCAL, port: int = 0
) -> Iterator[tuple[ThreadingHTTPServer, str]]:
    """A server of these paths, not running yet, and its address. Other paths are not found, and nothing is written.

    On this machine's own address only requests to it by its own names are answered, so that no other page in the
    browser can read them. Raises OSError where the port is taken.
    """
    own = {LOCAL, "localhost", host}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            named = self.headers.get("Host", "").rsplit(":", 1)[0]
            if path not in answers or (host == LOCAL and named not in own):
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            content = answers[path](query)
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", _PAGE if content.startswith(b"<") else _DATA)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing is told of requests."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A browser may leave before its answer is complete."""

    with Server((host, port), Handler) as server:
        yield server, f"http://{host}:{server.server_port}/"
