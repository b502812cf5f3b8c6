"""Schemathesis over every operation: nothing fails, and no answer is other than described.

Each example starts from the same rows: what it does is undone. A quick run tries each operation
once, the one with a right request and the next with a wrong one, the other way round the next day.
FOREBAY_SCHEMATHESIS_EXAMPLES asks for so many of both.
"""

import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from inference.decisions.spec import packed
from inference.models import (
    Assistant,
    DecisionPolicy,
    Engine,
    EvaluationGate,
    Model,
    ModelVersion,
    Pool,
    PromptTemplate,
    Replacement,
)
from inference.models.decisions.policy_version import Written
from inference.registry.versions import proposed
from inference.templating.content import Content
from inference.templating.variables import Variable
from tenants import model_access
from tenants.models import CacheRule, Link, Member, Price, Quota, Refusal, Team, Tenant, User
from tenants.models.link import Purpose
from tenants.models.quotas.quota_raise import QuotaRaise
from tests.console.api.conftest import API, Enter, issued, operator_key
from tests.console.evaluations.reported import reported
from tests.inference.assistants.rows import an_assistant
from tests.inference.decisions.specs import payments

EXAMPLES = int(os.environ.get("FOREBAY_SCHEMATHESIS_EXAMPLES", "1"))
TODAY = datetime.now(UTC).toordinal()
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


@pytest.fixture
def places(alice: Member, bob: Member, operator: User) -> dict[str, str]:
    """Path parameters that lead to something."""
    tenant = alice.tenant
    team = Team.form(tenant, "search", by="test")
    team.add(bob, by="test")
    quota = Quota.set(tenant, unit="tokens", window="day", limit=5, by="test")
    ends = timezone.now() + timedelta(days=1)
    asked = QuotaRaise.ask(quota, 5, "more", ends, user=bob.user, by=bob.actor)
    Link.issue(Purpose.INVITATION, by="test", email="x@acme.example", tenant=tenant)
    moments = dict.fromkeys(("minute", "first_at", "last_at", "frees_at"), timezone.now())
    refusal = Refusal.objects.create(
        tenant=tenant, actor="key:x", tier="rate", limit=1, used=1, **moments
    )
    pool = Pool.add(Model.add("large", by="test"), "large", by="test")
    url = "http://127.0.0.1:9/v1"
    engine = Engine.add(pool, "large", by="test", kind="vllm", url=url)
    replaced = Engine.add(pool, "larger", by="test", kind="vllm", url=url)
    replacement = Replacement.begin(replaced, *proposed(replaced, {}), by="test")
    evaluation = reported(tenant)
    gate = EvaluationGate.add(
        pool,
        task_set_name="capitals",
        sha256="0" * 64,
        metric="accuracy",
        bound="absolute",
        limit=0.0,
        by="test",
    )
    fields = {"kind": "base", "state": "ready", "created_by": "test"}
    version = ModelVersion.objects.create(tenant=tenant, name="own", number=1, **fields)
    prompt = Content(prompt="Greet {{who}}", variables=[Variable("who")])
    return {
        "replacement": str(replacement.pk),
        "served_model": str(pool.model_id),
        "pool": str(pool.pk),
        "engine": str(engine.pk),
        "tenant": "acme",
        "tier": "vip",
        "member": str(bob.pk),
        "team": str(team.pk),
        "quota": str(quota.pk),
        "quota_raise": str(asked.pk),
        "invitation": str(Link.objects.get().pk),
        "refusal": f"ref_{refusal.pk.hex}",
        "model": str(model_access.restrict(tenant, "large", by="test").pk),
        "assistant": str(_assistant(tenant).pk),
        "template": str(PromptTemplate.create(tenant, "greeting", prompt, by="test").pk),
        "policy": str(_policy(tenant).pk),
        "number": "1",
        "task_set": str(evaluation.task_set_id),
        "evaluation": str(evaluation.pk),
        "gate": str(gate.pk),
        "model_version": str(version.pk),
        "model_file": "1",
        "rule": str(CacheRule.set(tenant, on=True, by="test").pk),
        "price": str(Price.set("large", 1, 1, 1, by="test").pk),
        "key": str(issued(tenant, ["inference"])[0].pk),
        "operator_key": str(operator_key(operator)[0].pk),
    }


def _policy(tenant: Tenant) -> DecisionPolicy:
    written = Written(packed(payments()), "deepseek-r1")
    return DecisionPolicy.create(tenant, "payments", written, by="test")


def _assistant(tenant: Tenant) -> Assistant:
    return an_assistant(tenant, issued(tenant, ["inference"])[0])


@pytest.fixture
def _one_connection() -> Iterator[None]:
    """As Django's own test client: a request neither begins nor ends the test's connection."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.usefixtures("_one_connection")
@pytest.mark.timeout(0 if EXAMPLES > 10 else 300)
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous")
@pytest.mark.slow(seconds=25)
def test_no_answer_is_other_than_described(
    places: dict[str, str], alice: Member, operator: User, enter: Enter
) -> None:
    _key, text = issued(alice.tenant, requests_per_minute=1_000_000)  # none is refused for haste
    program = {"Authorization": f"Bearer {text}"}
    session = enter(operator).client.cookies["forebay_session"].value
    in_person = {"Cookie": f"forebay_session={session}"}
    _operators_key, text = operator_key(operator, requests_per_minute=0)
    automated = {"Authorization": f"Bearer {text}"}
    schema = schemathesis.openapi.from_wsgi(f"{API}schema/", get_wsgi_application())
    found: list[str] = []
    for number, result in enumerate(schema.get_all_operations()):
        assert isinstance(result, Ok), result.err()
        operation: Any = result.ok()
        kinds = {kind for one in operation.definition.raw["security"] for kind in one}
        for mode in _modes(number):
            by_operator = automated if "operatorKey" in kinds and number % 2 else in_person
            headers = program if "apiKey" in kinds else by_operator
            found += _tried(operation, mode, headers, places, number)
    assert found == []


def _modes(number: int) -> list[GenerationMode]:
    modes = list(GenerationMode)
    return modes if EXAMPLES > 1 else [modes[(number + TODAY) % len(modes)]]


def _is_wrong_in_body(case: Any) -> bool:
    body = case.meta.components.get(ParameterLocation.BODY) if case.meta else None
    return body is not None and body.mode is GenerationMode.NEGATIVE


def _tried(
    operation: Any, mode: GenerationMode, headers: dict[str, str], places: Any, number: int
) -> list[str]:
    dice = random.Random(number)

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        looked_at = CHECKS
        if dice.random() < 0.8:
            known = {n: places[n] for n in case.path_parameters or {} if n in places}
            if known and not _is_wrong_in_body(case):  # what was wrong may be right now
                looked_at = [c for c in CHECKS if c is not checks.negative_data_rejection]
            case.path_parameters = {**(case.path_parameters or {}), **known}
        if dice.random() < 0.5 and operation.method in ("patch", "delete"):
            case.headers = {**(case.headers or {}), "If-Match": "*"}
        with transaction.atomic():
            case.call_and_validate(headers=headers, checks=looked_at)
            transaction.set_rollback(True)

    try:
        ask()
    except BaseExceptionGroup as several:
        return [f"{operation.label} ({mode}): {one}" for one in several.exceptions]
    except Exception as problem:
        return [f"{operation.label} ({mode}): {problem!r} {problem}"]
    return []
