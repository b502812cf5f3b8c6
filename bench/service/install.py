"""Puts the shop's handbook, actions and assistant onto a running platform.

    python -m bench.service.install TENANT EMBEDDING_MODEL CHAT_MODEL WEBHOOK_URL

It runs in a process of its own, with the environment of that platform, and prints JSON.
"""

import json
import os
import sys
from typing import Any

import django

from bench.service import assistant, injections

NAME = "bench-service"


def main(tenant_name: str, model: str, chat_model: str, url: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "system")
    django.setup()
    from config.demo.furnishing import Furnishing, Page, spec_of
    from inference.registry import following
    from tenants.models import ApiKey, Tenant

    following.load_once()
    tenant = Tenant.objects.get(name=tenant_name)
    key, text = ApiKey.issue(tenant, NAME, by="command:bench")
    furnishing = Furnishing(tenant, key, "command:bench", "command:bench-review", _say)
    pages = {
        name: Page(content, assistant.HANDBOOK_URL + name)
        for name, content in injections.pages().items()
    }
    base = furnishing.knowledge(NAME, model, pages)
    secrets = {row["name"]: furnishing.action(row) for row in assistant.actions(url)}
    fields = assistant.spec(model, str(base.pk), chat_model)
    version = furnishing.assistant(NAME, spec_of(fields))
    answer: dict[str, Any] = {
        "key": text, "secrets": secrets, "assistant": NAME, "version": version.number,
        "examples": version.figures,
    }  # fmt: skip
    print(json.dumps(answer))


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
