"""Measures the drift of policies that decide, from their latest decisions and their feedback.

A person's input is decrypted here, counted into a bin, and forgotten.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from django.utils import timezone

from audit.keys.keyring import Unreadable
from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.decisions.evaluation.drift import Distribution, stability_index
from inference.decisions.evaluation.probabilities import calibration_error
from inference.models import (
    Decision,
    DecisionFeedback,
    DecisionPolicy,
    DecisionPolicyVersion,
    PolicyDrift,
)

log = logging.getLogger(__name__)
FEWEST, MOST = 200, 1000  # decisions that an index is made of; fewer move by chance alone
MOST_LABELLED = 5000
SCORE, INPUT = "score", "input."


class _Calibrated(NamedTuple):
    labelled: int
    calibration_error: float | None = None
    mean_score: float | None = None
    rate: float | None = None


def measure_all() -> None:
    """Measure each policy that has a champion, and write its row of today."""
    for policy in DecisionPolicy.objects.exclude(champion=None).select_related("tenant"):
        try:
            measure(policy)
        except MasterKeyUnavailable as problem:
            log.warning("drift of policy %s: %s", policy.pk, problem)


def measure(policy: DecisionPolicy) -> PolicyDrift:
    """Raises MasterKeyUnavailable."""
    assert policy.champion is not None
    version = policy.versions.get(number=policy.champion)
    decided = Decision.objects.filter(version=version, fallback_reason="").exclude(score=None)
    recent = list(decided.order_by("-created_at")[:MOST])
    scores = [decision.score for decision in recent]
    labelled = decided.exclude(feedback="").order_by("-created_at")[:MOST_LABELLED]
    row, _new = PolicyDrift.objects.update_or_create(
        policy=policy,
        day=timezone.now().date(),
        defaults={
            "tenant": policy.tenant,
            "version_number": version.number,
            "rows": len(recent),
            "score_psi": _index(_reference(version).get(SCORE), scores),
            "input_psi": _of_inputs(version, recent),
            **_calibrated(labelled)._asdict(),
            "measured_at": timezone.now(),
        },
    )
    return row


def _of_inputs(version: DecisionPolicyVersion, recent: Sequence[Decision]) -> dict[str, float]:
    """Raises MasterKeyUnavailable."""
    references = {
        name.removeprefix(INPUT): reference
        for name, reference in _reference(version).items()
        if name.startswith(INPUT)
    }
    inputs = list(_inputs(recent)) if references and len(recent) >= FEWEST else []
    indexes = {
        name: _index(reference, [each.get(name) for each in inputs])
        for name, reference in references.items()
    }
    return {name: index for name, index in indexes.items() if index is not None}


def _inputs(decisions: Iterable[Decision]) -> Iterable[dict[str, Any]]:
    for decision in decisions:
        try:
            yield decision.content.input
        except Unreadable:
            continue  # its person has been erased


def _reference(version: DecisionPolicyVersion) -> dict[str, Distribution]:
    """Returns the distributions of the version's evaluation; {} without one, or of few rows."""
    report = version.report or {}
    distributions = report.get("distributions", {}) if report.get("rows", 0) >= FEWEST else {}
    return msgspec.convert(distributions, dict[str, Distribution])


def _index(reference: Distribution | None, values: Sequence[Any]) -> float | None:
    if reference is None or len(values) < FEWEST:
        return None
    return round(stability_index(reference, values), 4)


def _calibrated(labelled: Iterable[Decision]) -> _Calibrated:
    rows = [(row.score or 0.0, int(row.feedback == DecisionFeedback.POSITIVE)) for row in labelled]
    if len(rows) < FEWEST:
        return _Calibrated(len(rows))
    scores, labels = [score for score, _label in rows], [label for _score, label in rows]
    return _Calibrated(
        len(rows),
        calibration_error=round(calibration_error(scores, labels), 4),
        mean_score=round(sum(scores) / len(scores), 4),
        rate=round(sum(labels) / len(labels), 4),
    )
