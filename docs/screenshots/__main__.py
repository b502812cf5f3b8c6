"""Starts a platform, fills it, takes its pictures, and stops it: a quarter of an hour on two cores.

Names of pictures as arguments (`make screenshots ARGS='console'`) take these alone.
"""

import sys
import time
from collections.abc import Collection

from playwright.sync_api import BrowserContext, sync_playwright

from bench.servers.child import temporary_folder
from docs.screenshots.demo_data import MODEL, Platform, Traffic
from docs.screenshots.people import join, speak
from docs.screenshots.pictures import OPERATOR, OWNER, PICTURES, Picture, take
from tests.chromium import launched

VARIABLES = {"FOREBAY_MFA": "required", "FOREBAY_DEMO": "0"}
TRAFFIC_S = 480  # of which the charts of the last 30 minutes tell
PRICES = {"prompt": "2", "cached": "0.5", "completion": "8"}  # of a million tokens


def main(names: Collection[str]) -> None:
    wanted = [picture for picture in PICTURES if not names or picture.name in names]
    with temporary_folder() as folder, sync_playwright() as playwright:
        platform = Platform(folder, variables=VARIABLES)
        browser = launched(playwright)
        try:
            people = {
                OPERATOR: join(browser, platform.operator_link, "Olga", "olga@example.com"),
                OWNER: join(browser, platform.owner_link, "Alice"),
            }
            set_prices(people[OPERATOR])
            platform.show_demo()  # alone: its decisions have deadlines
            with Traffic(platform):
                time.sleep(TRAFFIC_S)
                for picture in wanted:
                    take_one(platform, people[picture.person], picture)
        finally:
            browser.close()
            platform.stop()


def set_prices(operator: BrowserContext) -> None:
    page = operator.new_page()
    page.goto("/console/prices/")
    page.locator("[name=model]").fill(MODEL)
    for name, price in PRICES.items():
        page.locator(f"[name={name}]").fill(price)
    page.get_by_role("button", name="Set price").click()
    page.get_by_role("dialog").get_by_role("button", name="Set price").click()
    page.wait_for_load_state()
    page.close()


def take_one(platform: Platform, context: BrowserContext, picture: Picture) -> None:
    speak(context, platform.public_url, picture.language)
    page = context.new_page()
    path = take(page, picture)
    page.close()
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
