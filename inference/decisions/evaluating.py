"""An evaluation of a policy: its rows before the model is asked, and what comes of the scores.

Rows come from a file. Scores end in a report, a calibration, or the weights of a stack.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference.decisions import calibration, scoring, stacking
from inference.decisions.calibration import Unfit
from inference.decisions.evaluation import labelled_file, report
from inference.decisions.evaluation.labelled_file import BadFile, Row
from inference.decisions.evaluation.report import MODEL, POLICY, TREE, Labelled
from inference.decisions.inputs import InputCheck
from inference.decisions.policies import spec_of
from inference.decisions.spec import PolicySpec, Stack
from inference.errors import BadRequest
from inference.models import DecisionPolicyVersion, PolicyEvaluation, PolicyPurpose
from tenants.models import ApiKey, Member

packed = msgspec.msgpack.encode
unpacked = msgspec.msgpack.Decoder(list[Row]).decode
LABEL = "label"


class File(NamedTuple):
    """A file as it is uploaded. `label` and `group` name columns; "": none."""

    data: bytes
    label: str = LABEL
    group: str = ""


def begin(
    version: DecisionPolicyVersion,
    file: File,
    purpose: str,
    *,
    by: str,
    caller: ApiKey | Member,
) -> PolicyEvaluation:
    """Queue an evaluation by the rows of a file. Raises ValidationError, which names its lines."""
    spec = spec_of(version)
    rows = rows_of(spec, file)
    _refuse_unfit(spec, rows, purpose)
    content, count = packed(rows), len(rows)
    return PolicyEvaluation.create(version, content, count, purpose, by=by, caller=caller)


def rows_of(spec: PolicySpec, file: File) -> list[Row]:
    """Returns the rows, each a whole input as the policy decides on it. Raises ValidationError."""
    check = InputCheck(spec)

    def problem(row: dict[str, Any]) -> str:
        try:
            check.checked(row)
        except BadRequest as wrong:
            return f"{wrong.message}."
        return ""

    types = {name: schema.get("type", "string") for name, schema in spec.inputs.items()}
    try:
        rows = labelled_file.rows_in(file.data, file.label, file.group, types=types, check=problem)
    except BadFile as wrong:
        raise ValidationError({"content": str(wrong)}) from None
    return [msgspec.structs.replace(row, input=check.with_defaults(row.input)) for row in rows]


def _refuse_unfit(spec: PolicySpec, rows: Sequence[Row], purpose: str) -> None:
    """Refuse before any engine is asked what could come to nothing."""
    positives = sum(row.label for row in rows)
    if positives in (0, len(rows)):
        raise ValidationError({"content": _("The file needs rows of both outcomes.")})
    if purpose == PolicyPurpose.STACK and spec.tree is None:
        raise ValidationError({"purpose": _("This version has no tree to combine its model with.")})
    least = calibration.LEAST_ROWS
    if purpose == PolicyPurpose.ISOTONIC:
        least = calibration.LEAST_FOR_ISOTONIC
    if purpose != PolicyPurpose.REPORT and len(rows) < least:
        raise ValidationError({"content": _("A fit like this needs at least %d rows.") % least})


def report_of(
    spec: PolicySpec, rows: Sequence[Row], scores: Sequence[float], about: dict[str, Any]
) -> report.Report:
    """Returns the report of the model's raw scores. Raises NoFigures."""
    sides = {POLICY: _decided(spec, rows, scores), MODEL: list(scores)}
    if spec.tree:
        sides[TREE] = _of_tree(spec, rows)
    groups = [row.group for row in rows] if any(row.group for row in rows) else []
    labelled = Labelled([row.label for row in rows], groups)
    inputs = {name: [row.input.get(name) for row in rows] for name in spec.inputs}
    named = {name: schema.get("enum", ()) for name, schema in spec.inputs.items()}
    return report.build(about, labelled, sides, spec.thresholds, inputs, named)


def fitted(
    spec: PolicySpec, rows: Sequence[Row], scores: Sequence[float], purpose: str, at: datetime
) -> PolicySpec:
    """Returns the spec with what the rows teach. Raises Unfit."""
    labels = [row.label for row in rows]
    if purpose == PolicyPurpose.STACK:
        try:
            weights = stacking.fit(scores, _of_tree(spec, rows), labels)
        except ValueError as problem:
            raise Unfit(str(problem)) from None
        spec = msgspec.structs.replace(spec, stack=Stack(*weights))
    method = PolicyPurpose.PLATT if purpose == PolicyPurpose.STACK else purpose
    new = calibration.fit(
        str(method), _combined(spec, rows, scores), [label == 1 for label in labels],
        model=spec.model, model_version=spec.model_version, at=at,
    )  # fmt: skip
    return msgspec.structs.replace(spec, calibration=new)


def _decided(spec: PolicySpec, rows: Sequence[Row], scores: Sequence[float]) -> list[float]:
    return [scoring.calibrated(p, spec) for p in _combined(spec, rows, scores)]


def _combined(spec: PolicySpec, rows: Sequence[Row], scores: Sequence[float]) -> list[float]:
    """Returns the raw scores of the model, with the tree's where they are stacked."""
    if spec.stack is None:
        return list(scores)
    pairs = zip(scores, _of_tree(spec, rows), strict=True)
    return [scoring.combined(model, tree, spec) or 0.0 for model, tree in pairs]


def _of_tree(spec: PolicySpec, rows: Sequence[Row]) -> list[float]:
    return [scoring.tree_score(spec, row.input) or 0.0 for row in rows]
