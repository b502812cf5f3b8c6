"""Fills a platform with a demo of the product, and with requests of three tenants."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from itertools import cycle
from threading import Event, Thread
from typing import Any

from bench.servers.forebay import UNLIMITED, Forebay

MODEL = "smollm2-135m"
QUESTIONS = (
    "Name three rivers of Europe.",
    "What is a forebay?",
    "Translate to French: the delivery is late.",
    "Summarise in one sentence: turbines turn the flow of water into electricity.",
    "Draft a subject line for a mail about a meeting on Thursday.",
)
# Most tokens of an answer, and the seconds that the tenant's program pauses after one.
PACES = {"acme": (64, 1.0), "globex": (32, 2.0), "initech": (16, 4.0)}


class Platform(Forebay):
    """A platform of three tenants, whose API keys are `keys`; acme has an owner."""

    def new_key(self) -> str:
        self.url = f"http://127.0.0.1:{self.port}"
        owner = ("--tier", "vip", "--admin", "alice@acme.example")
        self.owner_link = str(
            self._json("create_tenant", "acme", *UNLIMITED, *owner)["admin"]["link"]
        )
        for tenant in list(PACES)[1:]:
            self._json("create_tenant", tenant, *UNLIMITED)
        self.keys = {tenant: self._key(tenant) for tenant in PACES}
        return self.keys["acme"]

    def _key(self, tenant: str) -> str:
        return str(self._json("create_api_key", tenant, "--name", "website")["api_key"])

    def _json(self, *arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.manage(*arguments, "--json"))
        return answer

    @property
    def public_url(self) -> str:
        return self.owner_link.partition("/welcome/")[0]

    @property
    def operator_link(self) -> str:
        words = self.child.log.read_text().split()
        return next(word for word in words if "/welcome/" in word)

    def show_demo(self) -> None:
        command = [sys.executable, "-m", "config.command", "demo", "fraud", "--tenant", "acme"]
        subprocess.run(command, env={**self.env, "FOREBAY_URL": self.url}, check=True)


class Traffic:
    """One program for each tenant, which asks as long as the context lasts."""

    def __init__(self, platform: Platform) -> None:
        self._platform, self._end = platform, Event()
        self._programs = [Thread(target=self._ask, args=[tenant]) for tenant in PACES]

    def __enter__(self) -> None:
        for program in self._programs:
            program.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for program in self._programs:
            program.join()

    def _ask(self, tenant: str) -> None:
        most_tokens, pause_s = PACES[tenant]
        for question in cycle(QUESTIONS):
            if self._end.wait(pause_s):
                return
            self._post(self._platform.keys[tenant], question, most_tokens)

    def _post(self, key: str, question: str, most_tokens: int) -> None:
        messages = [{"role": "user", "content": question}]
        body = {"model": MODEL, "messages": messages, "max_tokens": most_tokens, "stream": True}
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        address = f"{self._platform.url}/v1/chat/completions"
        request = urllib.request.Request(  # noqa: S310 (our own address)
            address, json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310 (as above)
                answer.read()
        except urllib.error.HTTPError as refusal:  # it is in the picture, too
            print(f"A request was answered {refusal.code}.", file=sys.stderr)
