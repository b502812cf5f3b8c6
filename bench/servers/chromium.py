"""The Chromium that measurements and tests drive, and how they start it."""

import shutil

from playwright.sync_api import Browser, Playwright

PATH = shutil.which("chromium") or shutil.which("google-chrome")
# There is no sandbox for root, and no graphics card to look for.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    # Else each window starts pages of the address bar, for which nobody asked: a third of its CPU.
    # Chromium heeds the last such list: Playwright's own does not hold.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,AimEnabled,OptimizationHints",
]


def launched(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=PATH, args=ARGUMENTS)
