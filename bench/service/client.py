"""Dialogues over HTTP, as a program of a customer holds them."""

import json
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

PATIENCE_S = 120.0
ATTEMPTS = 6


class Client:
    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url.rstrip("/"), key

    def begin(self, assistant: str, person: str, language: str) -> str:
        body = {"assistant": assistant, "person": person, "language": language}
        answer = self._post("/v1/dialogues", body)
        return str(answer["id"])

    def say(self, dialogue: str, text: str) -> dict[str, Any]:
        """Returns the answer to a message: sent again under its id, it counts once."""
        body = {"text": text, "id": str(uuid.uuid4())}
        return self._post(f"/v1/dialogues/{dialogue}/messages", body)

    def close(self, dialogue: str, *, resolved: bool) -> None:
        body = {"resolved": resolved, "satisfaction": 5 if resolved else 2}
        self._post(f"/v1/dialogues/{dialogue}/close", body)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        data = json.dumps(body).encode()
        for attempt in range(ATTEMPTS):
            request = urllib.request.Request(self._url + path, data, headers)
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                    answer: dict[str, Any] = json.load(response)
                    return answer
            except urllib.error.HTTPError as refusal:
                if refusal.code not in (429, 503) or attempt == ATTEMPTS - 1:
                    raise RuntimeError(f"{path}: {refusal.code} {refusal.read(500)!r}") from None
                time.sleep(min(5.0, float(refusal.headers.get("retry-after") or 1)))
        raise AssertionError
