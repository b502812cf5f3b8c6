"""Decisions over HTTP, as a client of the platform asks for them."""

from typing import Any

from config.demo.http_api import HttpApi
from config.demo.payment_inputs import Input


class HttpDecisions:
    def __init__(self) -> None:
        self._api = HttpApi()

    def decide(self, key: str, policy: str, person: str, values: Input) -> dict[str, Any]:
        body = {"policy": policy, "person": person, "input": values}
        return self._api.post("/v1/decisions", key, body)

    def feed_back(self, key: str, decision: str, feedback: str) -> None:
        self._api.post(f"/v1/decisions/{decision}/outcome", key, {"feedback": feedback})
