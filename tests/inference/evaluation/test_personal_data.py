"""What an erasure, a retention and an export do to a person's evaluations."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from inference.models import Evaluation, PolicyEvaluation, TaskSet
from inference.personal_data import evaluations
from tenants.models import ApiKey, Tenant
from tests.console.evaluations.policy_reported import SPEC, policy_version
from tests.console.evaluations.reported import reported, task_set

pytestmark = pytest.mark.django_db


def test_an_erasure_leaves_the_figures_alone(acme: Tenant, globex: Tenant) -> None:
    row = reported(acme)
    fields = {"tenant": acme, "task_set_number": 1, "sha256": "0" * 64, "kind": "choices"}
    begun = {**fields, "task_set_name": "capitals", "model": "mock", "total": 1}
    Evaluation.objects.create(**begun, subject_id=row.subject_id, created_by="test")
    other = Evaluation.objects.create(**begun, subject_id=uuid4(), created_by="test")
    assert evaluations.remaining(acme.id, row.subject_id) == 1
    assert evaluations.erase(globex.id, row.subject_id) == {
        "evaluations": 0,
        "policy_evaluations": 0,
    }
    assert evaluations.erase(acme.id, row.subject_id) == {"evaluations": 1, "policy_evaluations": 0}
    assert evaluations.remaining(acme.id, row.subject_id) == 0
    assert set(Evaluation.objects.values_list("pk", flat=True)) == {row.pk, other.pk}


def test_old_reports_go_with_their_retention_but_those_on_hold(acme: Tenant) -> None:
    old, held, young = (reported(acme) for _ in range(3))
    before = timezone.now() - timedelta(days=10)
    rows = Evaluation.objects.filter(pk__in=[old.pk, held.pk])
    rows.update(created_at=before - timedelta(days=1))
    Evaluation.objects.filter(pk=held.pk).update(subject_id=young.subject_id)
    count = evaluations.erase_old(acme.id, before, frozenset({young.subject_id}))
    assert count == 1
    assert set(Evaluation.objects.values_list("pk", flat=True)) == {held.pk, young.pk}


def test_a_person_takes_their_evaluations_along(acme: Tenant) -> None:
    row = reported(acme)
    (exported,) = evaluations.exported(acme.id, row.subject_id)
    assert (exported["model"], exported["state"]) == ("support", "succeeded")
    assert exported["report"]["figures"]


def test_a_task_sets_texts_are_unreadable_without_the_tenants_key(acme: Tenant) -> None:
    row = TaskSet.objects.get(pk=task_set(acme).pk)
    assert b"sky" not in bytes(row.ciphertext)
    assert row.content.items[0].prompt == "The sky of day 0 is"


def test_rows_of_an_evaluation_that_never_ends_go_with_its_retention(acme: Tenant) -> None:
    version = policy_version(acme, "payments", SPEC)
    key, _text = ApiKey.issue(acme, "lab", by="test")
    endless, young = (
        PolicyEvaluation.create(version, b"rows", 1, by="test", caller=key) for _ in range(2)
    )
    before = timezone.now() - timedelta(days=10)
    old = PolicyEvaluation.objects.filter(pk=endless.pk)
    old.update(created_at=before - timedelta(days=1), state="running")
    assert evaluations.erase_old(acme.id, before, frozenset()) == 1
    assert PolicyEvaluation.objects.get().pk == young.pk
