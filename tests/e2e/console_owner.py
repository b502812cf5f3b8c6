"""Reports of models that the console shows, and the person who sees them there."""

import json
import re

import httpx

from tests.e2e.conftest import Platform

PASSWORD = "a sluice before the turbines"  # noqa: S105  # of a platform that ends with the tests
PERSON = {"name": "Ada", "email": "ada@forebay.example", "password": PASSWORD, "again": PASSWORD}


class Owner:
    """The first person of a platform, who owns the tenant `demo`."""

    def __init__(self, platform: Platform) -> None:
        link = json.loads(platform.manage("first_run", "--json"))["operator_link"]
        path = httpx.URL(link).raw_path.decode()
        self._browser = httpx.Client(base_url=platform.url, timeout=60)
        self._send(path, path, **PERSON)

    def __enter__(self) -> "Owner":
        return self

    def __exit__(self, *_problem: object) -> None:
        self._browser.close()

    def report_file(self, evaluation: str, form: str) -> bytes:
        """Returns what the page of an evaluation has for download."""
        page = f"/console/t/demo/evaluations/{evaluation}/"
        return self._send(page, f"{page}file/", form=form).content

    def _send(self, page: str, path: str, **fields: str) -> httpx.Response:
        """Send a form that is on a page."""
        shown = self._browser.get(page, follow_redirects=True)
        token = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', shown.text)[0]
        data = {**fields, "csrfmiddlewaretoken": token}
        answer = self._browser.post(path, data=data, headers={"referer": str(shown.url)})
        assert answer.status_code < 400, answer.text[:2000]
        return answer
