"""Prepares a new database for the first person at the console."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from infrastructure import private_file
from tenants import secret_keys
from tenants.management.commands._json_command import Answer, JsonCommand
from tenants.models import ApiKey, Link, Tenant, User
from tenants.models.link import Purpose
from tenants.roles import Role

BY = "command:first_run"
DEMO = "demo"
LOCK = 0x464F5245  # "FORE": simultaneous starts take turns


class Command(JsonCommand):
    help = "Prepares the first sign-in and the demo tenant. Run at every start, after migrate."

    def answer(self, **options: Any) -> Answer:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("select pg_advisory_xact_lock(%s)", [LOCK])
            is_empty = not (Tenant.objects.exists() or User.objects.exists())
            if is_empty and os.environ.get("FOREBAY_DEMO", "1") != "0":
                _open_demo()
            demo = Tenant.objects.filter(name=DEMO).first()
            return {
                "operator_link": _operator_link(demo),
                "demo_tenant": demo.name if demo else None,
                "demo_api_key": _demo_api_key(demo) if demo else None,
            }

    def text(self, answer: Answer) -> str:
        facts = {
            "Set the operator's password": answer["operator_link"],
            "Demo tenant": answer["demo_tenant"],
            "Its API key": answer["demo_api_key"],
        }
        lines = [f"{name}: {value}" for name, value in facts.items() if value]
        return "\n".join(lines) or "Nothing to do: an operator exists."


def _open_demo() -> None:
    _, text = ApiKey.issue(Tenant.open(DEMO, by=BY), DEMO, by=BY)
    path = _demo_key_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    private_file.replace(path, text)


def _operator_link(demo: Tenant | None) -> str | None:
    """Makes a link for the first operator, who also owns the demo tenant, for the chat."""
    if User.objects.filter(is_operator=True).exists():
        return None
    return Link.issue(Purpose.FIRST_RUN, by=BY, tenant=demo, role=Role.OWNER)


def _demo_api_key(demo: Tenant) -> str | None:
    """Returns the key, or None if it was revoked or its text was not stored."""
    try:
        text = _demo_key_file().read_text().strip()
    except OSError:
        return None
    live = ApiKey.objects.live().filter(tenant=demo, digest=secret_keys.digest(text)).exists()
    return text if live else None


def _demo_key_file() -> Path:
    return Path(settings.FOREBAY_HOME) / "secrets" / "demo_api_key"
