"""The Chromium of Debian, as the tests drive it."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
PAGE_TIMEOUT_MS = 120_000  # a machine that runs more than these tests shows a page late
# The browser must not look for its maker's hosts, nor need a user namespace.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a browser, and patience to what expects something of its pages."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        try:
            expect.set_options(timeout=PAGE_TIMEOUT_MS)
            yield browser
        finally:
            browser.close()
