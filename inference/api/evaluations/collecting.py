"""Reads the answers of an evaluation's requests, and writes its report."""

from uuid import UUID

import msgspec

from audit.keys.keyring import Unreadable, keyring
from audit.models import Payload
from audit.search import texts
from inference.evaluation import report, results
from inference.evaluation.content import Content
from inference.evaluation.results import SideResults
from inference.models import Completion, Evaluation, State, Usage
from inference.queue.fair_queue import CANCEL, run_blocking
from inference.record import settle_unrun
from inference.record.outcome import Outcome

CANCELLED = Outcome(
    state="cancelled", status=499, finish_reason="cancelled", error_code="cancelled"
)


def collect(evaluation: Evaluation, content: Content) -> None:
    """End the evaluation if its requests are over; else look again later."""
    ids = [completion_id for _side, _model, completion_id in evaluation.sides]
    rows = {row.pk: row for row in Completion.objects.filter(pk__in=[i for i in ids if i])}
    states = [rows[i].state for i in ids if i in rows]
    if len(states) < len(ids) and any(i and i not in rows for i in ids):
        evaluation.fail("answer_gone")
    elif State.FAILED in states or State.CANCELLED in states:
        evaluation.fail(_error_code(list(rows)))
    elif len(states) < len(ids) or State.OPEN in states:
        evaluation.look_again()
    else:
        _report(evaluation, content)


def end_requests(evaluation: Evaluation) -> None:
    """Cancel what an ended evaluation still has under way. Raises redis.RedisError."""
    ids = [i for i in (evaluation.completion_id, evaluation.against_completion_id) if i]
    for completion in Completion.objects.open().filter(pk__in=ids):
        where = run_blocking(CANCEL, completion.queue, str(completion.pk))
        if where == b"queued":
            settle_unrun.end(completion, CANCELLED)
    evaluation.rest()


def _error_code(ids: list[UUID]) -> str:
    codes = Usage.objects.filter(completion_id__in=ids).exclude(error_code="")
    return codes.values_list("error_code", flat=True).first() or "cancelled"


def _report(evaluation: Evaluation, content: Content) -> None:
    try:
        sides = [_answer(evaluation, i) for _side, _model, i in evaluation.sides if i]
    except (Unreadable, msgspec.DecodeError, Payload.DoesNotExist):
        evaluation.fail("answer_gone")
        return
    evaluation.succeed(report.build(_about(evaluation), content, *sides))


def _answer(evaluation: Evaluation, completion_id: UUID) -> SideResults:
    """Raises Payload.DoesNotExist, Unreadable, msgspec.DecodeError."""
    payload = Payload.objects.get(request_id=completion_id, field="response")
    aad = texts.aad(evaluation.tenant_id, completion_id, "response")
    cipher = keyring.by_id_now(payload.data_key_id)
    return results.from_json(cipher.decrypt(bytes(payload.ciphertext), aad))


def _about(evaluation: Evaluation) -> report.Report:
    task_set = {
        "name": evaluation.task_set_name,
        "version": evaluation.task_set_number,
        "sha256": evaluation.sha256,
        "kind": evaluation.kind,
        "options": evaluation.task_set.options if evaluation.task_set else {},
    }
    created_at = evaluation.created_at.isoformat()
    return {"evaluation": str(evaluation.pk), "created_at": created_at, "task_set": task_set}
