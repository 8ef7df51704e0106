"""An S3 server on loopback in a process of its own, and a road to it that can be made bad: for tests of what lies at URLs."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

BUCKET = "bucket"
_HOP = {"connection", "transfer-encoding", "keep-alive", "date", "server"}
FAULTS = ("500", "503", "reset", "half")


@contextmanager
def server() -> Iterator[int]:
    """moto's S3, empty; its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "the S3 server did not start"
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


class Road:
    """A proxy before the server. `fault(number, method, key)` says what becomes of a request: None lets it pass, else one of
    FAULTS, or "stall". `asked` are all requests that came through, as (method, key)."""

    def __init__(self, port: int):
        self.port, self.asked, self.spoiled, self.number = port, list[tuple[str, str]](), list[str](), 0
        self.fault: Callable[[int, str, str], str | None] = lambda number, method, key: None
        self.opened = threading.Event()  # what is stalled stays so until it is set
        self._turn = threading.Lock()
        road = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *values: Any) -> None:
                """Nothing is told."""

            def _pass(self) -> None:
                road.handle(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """No more requests."""
        self.opened.set()
        self._server.shutdown()
        self._server.server_close()

    def clear(self) -> None:
        """A good road again, and nothing asked yet."""
        self.fault = lambda number, method, key: None
        self.opened.set()
        self.opened = threading.Event()
        self.asked.clear()
        self.spoiled.clear()
        self.number = 0

    def put(self) -> list[str]:
        """The keys that were written."""
        return [key for method, key in self.asked if method == "PUT"]

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """One request, passed on or spoiled."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        key = unquote(urlsplit(request.path).path).removeprefix(f"/{BUCKET}").lstrip("/")
        with self._turn:
            self.number += 1
            fault = self.fault(self.number, str(request.command), key)
        if fault is not None:
            self.spoiled.append(fault)
        if fault == "stall":
            self.opened.wait()
            request.close_connection = True
        elif fault in ("500", "503"):
            self._answer(request, int(fault), {}, b"<Error><Code>InternalError</Code></Error>")
        elif fault == "reset":
            request.close_connection = True
            request.connection.shutdown(socket.SHUT_RDWR)
        else:
            status, headers, content = self._asked(request, body)
            self.asked.append((str(request.command), key))
            self._answer(request, status, headers, content, half=fault == "half")

    def _asked(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        server = http.client.HTTPConnection("127.0.0.1", self.port)
        server.putrequest(request.command, request.path, skip_accept_encoding=True, skip_host=True)
        for name, value in request.headers.items():
            server.putheader(name, value)
        server.endheaders(body)
        response = server.getresponse()
        content = response.read()
        server.close()
        return (
            response.status,
            {name: value for name, value in response.getheaders() if name.lower() not in _HOP},
            content,
        )

    @staticmethod
    def _answer(
        request: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], content: bytes, half: bool = False
    ) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if "content-length" not in {name.lower() for name in headers}:
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content[: len(content) // 2] if half else content)
        if half:
            request.close_connection = True


def one_in_five(number: int, method: str, key: str) -> str | None:
    """Every fifth request fails, in turn in each way."""
    return FAULTS[number // 5 % len(FAULTS)] if number % 5 == 0 else None


def environment(endpoint: str, scratch: str) -> dict[str, str]:
    """What a process needs to find the server."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    return {**keys, "AWS_ENDPOINT_URL": endpoint, "ASSAY_SCRATCH": scratch, "AWS_EC2_METADATA_DISABLED": "true"}


def whole_environment(endpoint: str, scratch: str) -> dict[str, str]:
    """The same with everything that this process has."""
    return {**os.environ, **environment(endpoint, scratch)}
