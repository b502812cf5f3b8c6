"""The Chromium that tests drive, and how they start it."""

import shutil

import pytest
from playwright.sync_api import Browser, Playwright

_PATH = shutil.which("chromium") or shutil.which("google-chrome")
# There is no sandbox for root, and no graphics card to look for.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    # Else each window starts pages of the address bar, for which nobody asked: a third of its CPU.
    # Chromium heeds the last such list: Playwright's own does not hold.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,AimEnabled,OptimizationHints",
]
needed = pytest.mark.skipif(not _PATH, reason="no Chromium on this machine")


def launched(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=_PATH, args=_ARGUMENTS)
