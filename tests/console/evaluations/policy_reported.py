"""An evaluation of a decision policy with a report, as a driver writes it, without an engine."""

import random
from functools import cache
from typing import Any
from uuid import uuid4

from inference.decisions import evaluating
from inference.decisions.evaluation.labelled_file import Row
from inference.decisions.spec import PolicySpec, packed
from inference.models import DecisionPolicy, DecisionPolicyVersion, PolicyEvaluation
from inference.models.decisions.policy_version import Written
from tenants.models import Tenant
from tests.inference.decisions.specs import payments, stump

SPEC = payments(tree=stump())


def policy_version(tenant: Tenant, name: str, spec: PolicySpec) -> DecisionPolicyVersion:
    """Makes one without a look at the models that are served."""
    written = Written(packed(spec), spec.model, spec.model_version)
    return DecisionPolicy.create(tenant, name, written, by="member:1").versions.get()


def policy_reported(tenant: Tenant, name: str = "payments", **fields: Any) -> PolicyEvaluation:
    version = policy_version(tenant, name, SPEC)
    evaluation = PolicyEvaluation.objects.create(
        tenant=tenant, version=version, subject_id=uuid4(), created_by="test", total=60, **fields
    )
    report = {**_report(), "policy": name, "version": 1}
    version.note_report(report, by="test")
    evaluation.succeed(report)
    return evaluation


@cache  # its intervals take a second
def _report() -> dict[str, Any]:
    return evaluating.report_of(SPEC, *scored_rows(60), {})


def scored_rows(count: int) -> tuple[list[Row], list[float]]:
    """Returns rows and raw scores that know something of what happened."""
    chance = random.Random(1)
    scores = [chance.random() for _ in range(count)]
    rows = [
        Row({"amount": 200 * score, "merchant": "Tea", "abroad": False}, label, f"card-{at % 9}")
        for at, score in enumerate(scores)
        for label in (int(chance.random() < score),)
    ]
    return rows, scores
