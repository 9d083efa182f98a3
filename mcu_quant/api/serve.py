"""A page for this machine alone: bound to the loopback address, read only, nothing but the files it was given."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOPBACK = "127.0.0.1"


class Server(ThreadingHTTPServer):
    """Serves files by path: type and content. Port 0 takes a free one."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, tuple[str, bytes]], port: int = 0) -> None:
        self.files = files
        super().__init__((LOOPBACK, port), _Handler)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{LOOPBACK}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """A file, or the part of it that a player asks for."""
        # another site may make a browser come here under its own name (DNS rebinding): that name is not answered
        if self.headers.get("Host") not in {f"{n}:{self.server.server_port}" for n in (LOOPBACK, "localhost")}:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        found = self.server.files.get(self.path)
        if found is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind, content = found
        start, stop = self._range(len(content))
        partial = "Range" in self.headers
        self.send_response(HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Accept-Ranges", "bytes")
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content[start:stop])

    def _range(self, size: int) -> tuple[int, int]:
        """First byte and the one after the last of `Range: bytes=a-b`; all of them for anything else."""
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if not first.isdecimal() or int(first) >= size:
            return 0, size
        return int(first), min(size, int(last) + 1) if last.isdecimal() else size

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is the user's."""
