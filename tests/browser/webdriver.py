"""A headless Chromium, driven over chromedriver's HTTP interface: W3C WebDriver, and Chrome's own commands for media
and screen size. Nothing is installed for it: what is found on the machine is used.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

DEBIAN: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
GITHUB: Final = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser")
"""GitHub's runners have a Chromium too, but their driver is Chrome's. They name its folder in CHROMEWEBDRIVER."""
INSTALL: Final = "no Chromium with chromedriver on PATH; on Debian: apt-get install chromium chromium-driver"
_FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # it refuses to run as root with one
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"


def installed() -> tuple[str, str] | None:
    """The browser and its driver, where there are both."""
    folder = os.environ.get("CHROMEWEBDRIVER", "")
    driver = shutil.which("chromedriver", path=folder) if folder else None
    names = GITHUB if driver else DEBIAN
    browser = next((found for name in names if (found := shutil.which(name))), None)
    driver = driver or shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One window. Elements are named by CSS selectors, results of scripts are JSON."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client = client
        self._session = session

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._client.request(method, f"/session/{self._session}/{path}", json=body)
        value = answer.json()["value"]
        assert answer.is_success, value
        return value

    def open(self, address: str) -> None:
        self._ask("POST", "url", {"url": address})

    def run(self, script: str, *arguments: object) -> Any:
        return self._ask("POST", "execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        """Brings it to the middle first: at the edge, what sticks to the top may lie above it."""
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        self._ask("POST", f"element/{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        self._ask("POST", f"element/{self._find(selector)}/value", {"text": text})

    def press(self, keys: str) -> None:
        """Keys for whatever has the focus."""
        focus = self._ask("GET", "element/active")[_ELEMENT]
        self._ask("POST", f"element/{focus}/value", {"text": keys})

    def _find(self, selector: str) -> str:
        return str(self._ask("POST", "element", {"using": "css selector", "value": selector})[_ELEMENT])

    def complaints(self) -> list[str]:
        """What the console says: errors, warnings, violations of the policy."""
        return [entry["message"] for entry in self._ask("POST", "se/log", {"type": "browser"})]

    def chrome(self, command: str, **parameters: object) -> Any:
        return self._ask("POST", "goog/cdp/execute", {"cmd": command, "params": parameters})

    def show_as(self, *, width: int, height: int = 900, scheme: str = "light", media: str = "screen") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.chrome("Emulation.setEmulatedMedia", media=media, features=features)
        self.chrome(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def screenshot(self, file: Path) -> int:
        """The whole page as PNG; returns its size in bytes."""
        taken = self.chrome("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        return file.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def browse(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in ``folder``, closed at the end."""
    found = installed()
    assert found, INSTALL
    browser, driver = found
    port = _free_port()
    quiet = subprocess.DEVNULL
    with subprocess.Popen([driver, f"--port={port}"], stdout=quiet, stderr=quiet) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
                _wait(client)
                session = _session(client, browser, folder)
                yield Browser(client, session)
                client.delete(f"/session/{session}")
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def _wait(client: httpx.Client) -> None:
    for _ in range(200):
        try:
            if client.get("/status").json()["value"]["ready"]:
                return
        except httpx.ConnectError:
            time.sleep(0.05)
    raise AssertionError("chromedriver did not start")


def _session(client: httpx.Client, browser: str, folder: Path) -> str:
    options = {"binary": browser, "args": [*_FLAGS, f"--user-data-dir={folder / 'profile'}"]}
    wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    answer = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}}).json()["value"]
    assert "sessionId" in answer, answer
    return str(answer["sessionId"])
