"""The platform's API over HTTP, as a client asks it."""

import json
import os
import urllib.error
import urllib.request
from typing import Any

from django.conf import settings

PATIENCE_S = 60.0


class Unready(Exception):
    """The platform cannot show it. The message is a sentence for people."""


class HttpApi:
    def __init__(self) -> None:
        self.url = (os.environ.get("FOREBAY_URL") or settings.PUBLIC_URL).rstrip("/")

    def post(self, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        """Raises Unready."""
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 (the operator names the address)
            self.url + path, json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 (as above)
                fields: dict[str, Any] = json.load(answer)
                return fields
        except urllib.error.HTTPError as refusal:
            raise Unready(f"{path} answered {refusal.code}: {refusal.read(500)!r}") from None
        except OSError as problem:
            raise Unready(f"{self.url} does not answer ({problem}): set FOREBAY_URL") from None
