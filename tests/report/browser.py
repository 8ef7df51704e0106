"""Headless Chromium over its DevTools protocol: opens a file, listens for errors and requests, takes pictures."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "about:blank",
)
_PATIENCE = 60.0


@dataclass
class Tab:
    """One page and all that it said."""

    socket: ClientConnection
    events: list[dict[str, Any]] = field(default_factory=list)
    last: int = 0

    def call(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send one command and wait for its answer; events that come before it are kept."""
        self.last += 1
        self.socket.send(json.dumps({"id": self.last, "method": method, "params": params or {}}))
        while True:
            message = json.loads(self.socket.recv(timeout=_PATIENCE))
            if message.get("id") == self.last:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def open(self, address: str) -> None:
        """Go to an address and wait until it is loaded."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", {"url": address})
        until = time.monotonic() + _PATIENCE
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            assert time.monotonic() < until, "the page did not load"
            self.events.append(json.loads(self.socket.recv(timeout=_PATIENCE)))

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        return self.call("Runtime.evaluate", {"expression": expression, "returnByValue": True})["result"].get("value")

    def look(self, width: int, scheme: str) -> None:
        """Set the width of the window and the system's colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        self.call("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def picture(self, path: Path) -> bytes:
        """The whole page as PNG, written to `path`."""
        shot = self.call("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(shot["data"]))
        return path.read_bytes()

    def complaints(self) -> list[str]:
        """Everything that would be red in the console."""
        found = []
        for event in self.events:
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(event["params"]["exceptionDetails"]))
            if event["method"] == "Log.entryAdded":
                found.append(event["params"]["entry"]["text"])
            if event["method"] == "Runtime.consoleAPICalled" and event["params"]["type"] in (
                "error",
                "warning",
                "assert",
            ):
                found.append(str(event["params"]["args"]))
        return found

    def requests(self) -> list[str]:
        """Every address that was asked for, whatever came of it."""
        return [
            event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"
        ]


@contextmanager
def chromium() -> Iterator[Tab]:
    """A fresh Chromium with an empty profile and one empty tab."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [CHROMIUM, f"--user-data-dir={profile}", *_FLAGS], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with connect(
                _first_tab(Path(profile), process), proxy=None, max_size=None, open_timeout=_PATIENCE
            ) as socket:
                yield Tab(socket)
        finally:
            process.terminate()
            process.wait(timeout=_PATIENCE)


def _first_tab(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """The socket address of the empty tab: asked of the browser itself, through the port that it wrote down."""
    note, until = profile / "DevToolsActivePort", time.monotonic() + _PATIENCE
    while not (note.exists() and len(note.read_text().splitlines()) == 2):
        assert process.poll() is None and time.monotonic() < until, "chromium did not start"
        time.sleep(0.05)
    port, path = note.read_text().splitlines()
    with connect(f"ws://127.0.0.1:{port}{path}", proxy=None, open_timeout=_PATIENCE) as socket:
        made = Tab(socket).call("Target.createTarget", {"url": "about:blank"})
    return f"ws://127.0.0.1:{port}/devtools/page/{made['targetId']}"
