"""Requests that go on while hosts come and go, and what became of each."""

import threading
import time
from dataclasses import dataclass, field

import httpx

from tests.e2e.ask import body

# Requests with other than one usage row, two events and one answer at most.
ODD = """
    select c.id, c.state, used, events, answers from inference_completion c
    cross join lateral (
        select count(*) as n, json_agg(u) as used from inference_usage u
        where u.completion_id = c.id) u
    cross join lateral (
        select count(*) filter (where e.action like 'completion:%') as n,
               json_agg(json_build_array(e.at, e.action, e.status, e.error_code, e.tokens_out)
                        order by e.id) as events
        from audit_event e where e.request_id = c.id) e
    cross join lateral (
        select count(*) as answers from audit_payload p
        where p.request_id = c.id and p.field = 'response') p
    where u.n <> 1 or e.n <> 2 or answers > 1"""


@dataclass
class Load:
    """`clients` at once, every second one a stream, each with one request after the other."""

    url: str
    key: str
    clients: int = 6
    tokens: int = 20
    ended: list[tuple[float, str]] = field(default_factory=list)  # when, and how

    def __enter__(self) -> "Load":
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(bool(n % 2),)) for n in range(self.clients)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, stream: bool) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        while not self._over.is_set():
            url = self.url  # another one from time to time, as a load balancer says
            with httpx.Client(base_url=url, headers=headers, timeout=90) as asking:
                while url == self.url and not self._over.is_set():
                    self.ended.append((time.monotonic(), self._one(asking, stream)))
                    time.sleep(0.02)

    def _one(self, asking: httpx.Client, stream: bool) -> str:
        """ "whole", "refused", "error" (a stream's last event), or what was wrong."""
        sent = body(max_tokens=self.tokens, stream=stream)
        try:
            answer = asking.post("/v1/chat/completions", json=sent)
        except httpx.HTTPError as problem:
            return f"broken off: {type(problem).__name__}"
        if answer.status_code != 200:
            told = answer.status_code >= 500 and "error" in answer.json()
            return "refused" if told else f"{answer.status_code} {answer.text}"
        if stream and '"error"' in answer.text:
            return "error"
        return "whole" if not stream or "[DONE]" in answer.text else f"half: {answer.text[-200:]}"

    def whole_since(self, moment: float) -> list[float]:
        return sorted(at for at, how in self.ended if how == "whole" and at > moment)

    def count(self, how: str) -> int:
        return sum(1 for _, ended in self.ended if ended == how)

    @property
    def odd(self) -> list[str]:
        return [how for _, how in self.ended if how not in ("whole", "refused", "error")]
