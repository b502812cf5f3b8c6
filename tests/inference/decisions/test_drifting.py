"""Drift of policies that decide, from their decisions and the feedback on them."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone
from msgspec import to_builtins

from audit.keys.keyring import keyring
from inference.decisions import drifting
from inference.decisions.evaluation.drift import distribution_of
from inference.metrics import decisions as metrics
from inference.models import Decision, DecisionPolicy, PolicyDrift
from inference.models.decisions.decision import Content, aad
from infrastructure.metrics import registry
from tenants.models import Person, Tenant
from tests.console.evaluations.policy_reported import policy_reported, scored_rows

pytestmark = pytest.mark.django_db
Inputs = Callable[[float], dict[str, Any]]


@pytest.fixture
def policy(acme: Tenant) -> DecisionPolicy:
    """A policy whose first version was evaluated, and decides."""
    version = policy_reported(acme).version
    assert version.report
    version.report |= {"rows": 2000, "distributions": _distributions(2000)}
    version.save(update_fields=["report"])
    DecisionPolicy.objects.filter(pk=version.policy_id).update(champion=1)
    version.policy.refresh_from_db()
    return version.policy


def _distributions(count: int) -> dict[str, Any]:
    rows, scores = scored_rows(count)
    columns: dict[str, list[Any]] = {"score": scores}
    for name in ("amount", "merchant", "country", "abroad"):
        columns[f"input.{name}"] = [row.input.get(name) for row in rows]
    return {name: to_builtins(distribution_of(values)) for name, values in columns.items()}


def usual(score: float) -> dict[str, Any]:
    return {"amount": 200 * score, "merchant": "Tea", "abroad": False}


def decide(
    policy: DecisionPolicy, count: int, *, inputs: Inputs = usual, labelled: bool = False,
    shift: float = 0.0,
) -> None:  # fmt: skip
    """Puts decisions on record whose scores are spread as in the evaluation.

    With `labelled` the positives come as often as the scores say, plus `shift`.
    """
    chance, version = random.Random(7), policy.versions.get()
    person = Person.objects.of(policy.tenant_id, "customer-1")
    cipher = keyring.of_subject_now(policy.tenant_id, person.pk)
    for number in range(count):
        score = chance.random()
        positive = chance.random() < score + shift
        row = uuid4()
        content = Content(inputs(score)).encrypted(cipher, aad(policy.tenant_id, row))
        Decision.objects.create(
            id=row, tenant=policy.tenant, person=person, version=version,
            policy_name=policy.name, version_number=1, outcome="approve", score=score,
            raw_score=score, review_at=0.3, block_at=0.8, source="model", deadline_ms=2000,
            latency_ms=5, data_key_id=cipher.key_id, ciphertext=content,
            feedback=("positive" if positive else "negative") if labelled else "",
            created_at=timezone.now() - timedelta(seconds=number),
        )  # fmt: skip


def test_decisions_as_in_the_evaluation_have_not_moved(policy: DecisionPolicy) -> None:
    decide(policy, 220, labelled=True)
    row = drifting.measure(policy)
    assert row.score_psi is not None
    assert row.score_psi < 0.25
    assert set(row.input_psi) == {"amount", "merchant", "country", "abroad"}
    assert row.input_psi["merchant"] == 0
    assert (row.rows, row.labelled) == (220, 220)
    assert row.calibration_error is not None
    assert row.calibration_error < 0.1


def test_a_new_kind_of_input_and_wrong_scores_are_seen(policy: DecisionPolicy) -> None:
    moved = {"merchant": "Casino"}
    decide(policy, 220, inputs=lambda p: usual(p) | moved, labelled=True, shift=0.4)
    drifting.measure_all()
    row = PolicyDrift.objects.get()
    assert row.worst_input
    assert row.worst_input[0] == "merchant"
    assert row.worst_input[1] > 0.25
    assert row.calibration_error is not None
    assert row.calibration_error > 0.1
    assert row.rate is not None
    assert row.mean_score is not None
    assert row.rate > row.mean_score
    metrics.forget()
    metrics.read(connection.connection)
    samples = registry().get_sample_value
    assert samples("forebay_policy_input_psi") == pytest.approx(row.worst_input[1])
    assert samples("forebay_policy_calibration_error") == pytest.approx(row.calibration_error)


def test_few_decisions_say_nothing_and_a_day_has_one_row(policy: DecisionPolicy) -> None:
    decide(policy, 20, labelled=True)
    drifting.measure(policy)
    row = drifting.measure(policy)
    assert PolicyDrift.objects.count() == 1
    assert (row.rows, row.score_psi, row.input_psi) == (20, None, {})
    assert (row.labelled, row.calibration_error) == (20, None)


@pytest.mark.parametrize("report", [None, {"rows": 60, "distributions": {"score": {}}}])
def test_without_an_evaluation_of_many_rows_there_is_no_reference(
    policy: DecisionPolicy, report: dict[str, Any] | None
) -> None:
    policy.versions.update(report=report)
    decide(policy, 220)
    row = drifting.measure(policy)
    assert (row.rows, row.score_psi, row.input_psi) == (220, None, {})
