"""A headless Chromium, driven by Selenium. Nothing is installed for it: what is found on the machine is used."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

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


def installed() -> tuple[str, str] | None:
    """The browser and its driver, where there are both."""
    folder = os.environ.get("CHROMEWEBDRIVER", "")
    driver = shutil.which("chromedriver", path=folder) if folder else None
    names = GITHUB if driver else DEBIAN
    browser = next((found for name in names if (found := shutil.which(name))), None)
    driver = driver or shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser(Chrome):
    """One window. Elements are named by CSS selectors."""

    def click(self, selector: str) -> None:
        """Brings it to the middle first: at the edge, what sticks to the top may lie above it."""
        self.execute_script("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        self.find_element(By.CSS_SELECTOR, selector).click()

    def type(self, selector: str, text: str) -> None:
        self.find_element(By.CSS_SELECTOR, selector).send_keys(text)

    def press(self, keys: str) -> None:
        """Keys for whatever has the focus."""
        self.switch_to.active_element.send_keys(keys)

    def complaints(self) -> list[str]:
        """What the console says: errors, warnings, violations of the policy."""
        return [entry["message"] for entry in self.get_log("browser")]  # type: ignore[no-untyped-call]

    def show_as(self, *, width: int, height: int = 900, scheme: str = "light", media: str = "screen") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def page_screenshot(self, file: Path) -> int:
        """The whole page as PNG; returns its size in bytes."""
        asked = {"captureBeyondViewport": True, "format": "png"}
        return file.write_bytes(base64.b64decode(self.execute_cdp_cmd("Page.captureScreenshot", asked)["data"]))


@contextmanager
def browse(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in ``folder``, closed at the end."""
    found = installed()
    assert found, INSTALL
    options = ChromeOptions()
    options.binary_location, driver = found
    for flag in (*_FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Selenium looks for a driver on the network unless it is given the path of one.
    service = ChromeService(driver, log_output=subprocess.DEVNULL)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("no_proxy", "localhost")  # where the driver listens, whatever the machine's proxy
        with Browser(options, service) as browser:
            yield browser
