from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pytest_django.fixtures import Settings

from config.tls.authority import Authority
from inference.actions import definitions
from inference.models import WebhookAction
from tenants.models import Tenant
from tests.inference.actions.webhook_server import Service, serving

ARGUMENTS = {
    "type": "object",
    "properties": {"order": {"type": "string", "pattern": "^A-[0-9]+$", "maxLength": 20}},
    "required": ["order"],
    "additionalProperties": False,
}
ANSWER = {"type": "object", "properties": {"state": {"type": "string"}}, "required": ["state"]}


@dataclass(frozen=True)
class Dialogue:
    """The facts of a dialogue that a call needs."""

    tenant_id: UUID
    id: UUID = field(default_factory=uuid4)
    subject_id: UUID = field(default_factory=uuid4)
    language: str = "en"
    actor: str = "test"


@pytest.fixture
def service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> Iterator[Service]:
    settings.ACTION_HOSTS = ["localhost"]
    authority = Authority.make(tmp_path / "tls")
    monkeypatch.setenv("FOREBAY_TLS_CA", str(tmp_path / "tls" / "ca.crt"))
    with serving(authority) as running:
        yield running


def new_action(
    tenant: Tenant, url: str, *, name: str = "order_state", moves_money: bool = False
) -> tuple[WebhookAction, str]:
    return definitions.create(
        tenant,
        name=name,
        description={"en": "Looks up an order", "zh": "查询订单"},
        url=url,
        arguments=ARGUMENTS,
        answer=ANSWER,
        moves_money=moves_money,
        timeout_s=2,
        on_success={"en": "Order {{order}}: {{state}}.", "zh": "订单 {{order}}：{{state}}。"},
        on_failure={"en": "There is no order {{order}}."},
        by="test",
    )


@pytest.fixture
def dialogue(acme: Tenant) -> Dialogue:
    return Dialogue(acme.pk)
