"""`forebay policies`: a decision policy written, sent to review, promoted and stopped."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from inference import engines
from inference.decisions.spec import as_json
from inference.models import DecisionPolicyVersion
from inference.queue.client import client as redis
from tenants.key_scopes import Scope
from tenants.models import ApiKey, Tenant
from tests.config.command.operating.conftest import Forebay
from tests.inference.decisions.specs import payments


@pytest.fixture(autouse=True)
def _platform(
    transactional_db: None,
    live_server: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> Iterator[None]:
    """A tenant's key; the model of the policy is served."""
    settings.ENGINES = {"deepseek-r1": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    engines.forget()
    for name in redis().scan_iter("api:*"):
        redis().delete(name)
    tenant = Tenant.open("acme", by="test")
    scopes = [Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE]
    _key, secret = ApiKey.issue(tenant, "ci", scopes=scopes, by="test")
    monkeypatch.setenv("FOREBAY_URL", live_server.url)
    monkeypatch.setenv("FOREBAY_API_KEY", secret)
    monkeypatch.delenv("FOREBAY_OPERATOR_KEY", raising=False)
    yield
    engines.forget()


def test_a_policy_is_written_reviewed_promoted_and_stopped(
    forebay: Forebay, tmp_path: Path
) -> None:
    spec = tmp_path / "payments.json"
    spec.write_text(json.dumps(as_json(payments())))
    write = f"policies write acme payments @{spec}"
    assert forebay(f"{write} --dry-run").out == "policy payments: would get a version\n"
    assert forebay(write).out == "policy payments: created\n"
    assert forebay(write).out == "version payments@2: written\n"
    assert forebay("policies submit acme payments 1").out == "policy payments: sent to review\n"
    DecisionPolicyVersion.objects.update(state="approved")
    assert forebay("policies promote acme payments 1").out == "policy payments: promoted\n"
    assert forebay("policies promote acme payments 1").out == "policy payments: unchanged\n"
    forebay("policies challenge acme payments 2 --share 0.2")
    (row,) = forebay("policies list acme --json").data
    assert (row["champion"], row["challenger"], row["challenger_share"]) == (1, 2, 0.2)
    forebay("policies promote acme payments 2")
    assert forebay("policies roll-back acme payments").out == "policy payments: rolled back\n"
    forebay("policies shadow acme payments 2")
    assert forebay("policies show acme payments --json").data["shadow"] == 2
    assert "approved" in forebay("policies versions acme payments").out
    assert forebay("policies version acme payments 1 --json").data["spec"]["model"]
    assert forebay("policies stop acme payments").out == "policy payments: stopped\n"
    assert forebay("policies show acme nothing").status == 1


def test_a_wrong_spec_is_refused_with_the_field(forebay: Forebay) -> None:
    ended = forebay("policies write acme payments", '{"threshold": 0.7}')
    assert ended.status == 1
    assert "threshold" in ended.err
