"""The demo of customer service: an assistant that answers from Forebay's own pages."""

import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from config.demo import sentence_engine
from config.demo.furnishing import Furnishing, Page, spec_of
from config.demo.http_api import Unready
from config.environment import PROJECT
from inference.assistants.spec import AssistantSpec
from inference.engines import is_open_to, served
from inference.registry import following
from tenants.models import ApiKey, Tenant

AUTHOR, REVIEWER = "command:demo", "command:demo-review"
NAME = "demo-service"
# Of docs/: some 100 passages, which two idle cores embed in half a minute.
PAGES = (
    *("api/dialogues.md", "api/webhooks.md", "api/decisions.md", "api/decisions.zh-CN.md"),
    *("scenarios/customer-service.md", "scenarios/knowledge.md"),
)
QUESTIONS = (
    ("en", "How do I verify each request of a webhook?"),
    ("en", "What does a vector tell about my text?"),
    ("zh", "同一笔交易会决策两次吗？"),
)
_ASSISTANT = Path(__file__).with_name("customer_service.toml")


class Api(Protocol):
    url: str

    def post(self, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        """Raises Unready."""


@dataclass(slots=True)
class ServiceDemo:
    """Makes the assistant with a key of its own, which is revoked at the end."""

    tenant: Tenant
    model: str
    api: Api
    tell: Callable[[str], None] = print

    @classmethod
    def of(cls, tenant: str, model: str | None, api: Api) -> "ServiceDemo":
        """Raises Unready, ValidationError."""
        row = Tenant.objects.filter(name=tenant).first()
        if row is None:
            raise Unready(f"there is no tenant {tenant}: name one with --tenant")
        following.load_once()
        return cls(row, model or model_of(row) or sentence_engine.add(row, by=AUTHOR), api)

    def run(self) -> None:
        """Raises Unready, ValidationError."""
        began = time.monotonic()
        key, text = ApiKey.issue(self.tenant, NAME, by=AUTHOR)
        try:
            self._furnish(key)
            for language, question in QUESTIONS:
                self._ask(text, language, question)
        finally:
            key.revoke(by=AUTHOR)
        self.tell(f"{time.monotonic() - began:.0f} s. See {self._page} in the console, and ask:")
        self.tell(self._curl())

    def _furnish(self, key: ApiKey) -> None:
        """Have the version reviewed by a second author of the demo; yours take two people."""
        furnishing = Furnishing(self.tenant, key, AUTHOR, REVIEWER, self.tell)
        pages = own_pages()
        self.tell(f"The model {self.model} reads {len(pages)} of Forebay's pages.")
        base = furnishing.knowledge(NAME, self.model, pages)
        furnishing.assistant(NAME, assistant_spec(self.model, str(base.pk)))

    def _ask(self, key: str, language: str, question: str) -> None:
        body = {"assistant": NAME, "person": f"{NAME} visitor", "language": language}
        dialogue = self.api.post("/v1/dialogues", key, body)["id"]
        turn = self.api.post(f"/v1/dialogues/{dialogue}/messages", key, {"text": question})
        answer = turn["answer"]
        self.tell(f"\n> {question}\n{answer['text'] if answer else turn['dialogue']['status']}\n")

    @property
    def _page(self) -> str:
        return f"/console/t/{self.tenant.name}/assistants/"

    def _curl(self) -> str:
        return (
            f"  curl {self.api.url}/v1/dialogues -H 'authorization: Bearer YOUR_API_KEY' "
            f"-H 'content-type: application/json' "
            f'-d \'{{"assistant": "{NAME}", "person": "me"}}\''
        )


def model_of(tenant: Tenant) -> str | None:
    """Returns the tenant's first model that makes embeddings and nothing else; None without one.

    Of a model that makes texts too nobody knows it before it was asked.
    """
    alone = (
        name
        for name, engine in served().items()
        if engine.capabilities.embeddings and not engine.capabilities.text
    )
    return next((name for name in alone if is_open_to(tenant.pk, name)), None)


def own_pages() -> dict[str, Page]:
    """Returns Forebay's pages about assistants and decisions, by name."""
    docs = PROJECT / "docs"
    address = "https://forebay.example/docs/"
    return {name: Page((docs / name).read_bytes(), address + name) for name in PAGES}


def assistant_spec(model: str, knowledge: str) -> AssistantSpec:
    texts = tomllib.loads(_ASSISTANT.read_text("utf-8"))
    rules: dict[str, Any] = {
        "question": {"kind": "knowledge"},
        "start": {"kind": "answer", "reply": texts["start"]["reply"]},
        "contact": {"kind": "hand_over"},
    }
    intents = [
        {
            "name": name,
            "title": texts[name]["title"],
            "examples": {"en": texts[name]["en"], "zh": texts[name]["zh"]},
            "rule": rule,
            "length": "short",
        }
        for name, rule in rules.items()
    ]
    return spec_of(
        {
            "languages": ["en", "zh"],
            "tone": "friendly",
            "embedding_model": model,
            "knowledge": knowledge,
            "greeting": texts["greeting"],
            "intents": intents,
            "unsure": "knowledge",
        }
    )
