"""Decisions over HTTP, as a client of the platform asks for them."""

import json
import os
import urllib.error
import urllib.request
from typing import Any

from config.demo.fraud import Unready
from config.demo.payment_inputs import Input

PATIENCE_S = 30.0
USUAL_URL = "http://127.0.0.1:8000"


class HttpDecisions:
    def __init__(self) -> None:
        named = os.environ.get("FOREBAY_URL") or os.environ.get("FOREBAY_PUBLIC_URL")
        self._url = (named or USUAL_URL).rstrip("/")

    def decide(self, key: str, policy: str, person: str, values: Input) -> dict[str, Any]:
        body = {"policy": policy, "person": person, "input": values}
        return self._post("/v1/decisions", key, body)

    def feed_back(self, key: str, decision: str, feedback: str) -> None:
        self._post(f"/v1/decisions/{decision}/outcome", key, {"feedback": feedback})

    def _post(self, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        """Raises Unready."""
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 (the operator names the address)
            self._url + path, json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
                fields: dict[str, Any] = json.load(answer)
                return fields
        except urllib.error.HTTPError as refusal:
            raise Unready(f"{path} answered {refusal.code}: {refusal.read(500)!r}") from None
        except OSError as problem:
            raise Unready(f"{self._url} does not answer ({problem}): set FOREBAY_URL") from None
