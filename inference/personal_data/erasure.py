"""Erases a person's requests and chats, with the files of both, by the pseudonym in the trail.

It erases open requests, stored events, cached answers, conversations, their files, and batches, and
notifies the recipients of the person's texts.
"""

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.erasure.erasers import Eraser, ErasureTurn, Evidence, register, some
from audit.erasure.own_erasers import key_ids
from audit.models import DeletionRequest, DeletionState, Event
from inference import classes
from inference.cache import stored_answers
from inference.data_sets import purging
from inference.models import (
    Attachment,
    AttachmentPiece,
    Checkpoint,
    Completion,
    Conversation,
    ConversationFolder,
    Message,
    Preset,
    Usage,
)
from inference.models.run_checkpoint import CheckpointQuerySet
from inference.personal_data import (
    action_calls,
    data_sets,
    decisions,
    dialogues,
    evaluations,
    files,
    jobs,
    recipients,
    stored_responses,
)
from inference.queue import fair_queue
from inference.queue.client import client
from inference.record import settle_unrun
from inference.record.outcome import Outcome
from inference.stream import frames
from inference.stream.writer import KEPT_S

ON_THE_WAY_S = 15  # a recorded request reaches the queue within it
WATCH_S = 2.0  # every web process checks credentials within it
BATCH = 500
ROWS, CHATS = 10_000, 500  # in one transaction
ERASED = "erased"


# Requests in progress ----------------------------------------------------------------------------
def _open(tenant_id: UUID, subject_id: UUID) -> QuerySet[Completion]:
    requests = received(tenant_id, subject_id).values("request_id")
    return Completion.objects.open().filter(tenant_id=tenant_id, id__in=requests)


def received(tenant_id: UUID, subject_id: UUID) -> QuerySet[Event]:
    events = Event.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    return events.filter(action=Action.COMPLETION_RECEIVED)


def _end_requests(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """End open requests. Running ones are told to end, and are gone at a later call."""
    if _just_begun(tenant_id, subject_id):
        return {"cancelled": 0}
    ended = sum([_end(completion) for completion in _open(tenant_id, subject_id)])
    _checkpoints(tenant_id, subject_id).left_over().delete()
    return {"cancelled": ended}


def _checkpoints(tenant_id: UUID, subject_id: UUID) -> CheckpointQuerySet:
    requests = received(tenant_id, subject_id).values("request_id")
    return Checkpoint.objects.filter(tenant_id=tenant_id, completion_id__in=requests)


def _just_begun(tenant_id: UUID, subject_id: UUID) -> bool:
    """Returns whether web processes may still end their streams (intake/access/revocation.py)."""
    since = datetime.now(UTC) - timedelta(seconds=WATCH_S)
    requests = DeletionRequest.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    return requests.filter(state=DeletionState.RUNNING, started_at__gt=since).exists()


def _end(completion: Completion) -> bool:
    """Returns whether it is over now."""
    script = client().register_script(fair_queue.CANCEL.text)
    where = script(keys=[fair_queue.prefix(completion.queue)], args=[str(completion.id)])
    age_s = time.time() - completion.created_at.timestamp()
    if where == b"running" or (where == b"gone" and age_s < ON_THE_WAY_S):
        return False
    outcome = Outcome(state="cancelled", status=499, finish_reason="cancelled", error_code=ERASED)
    settle_unrun.end(completion, outcome)
    return True


def _requests_left(tenant_id: UUID, subject_id: UUID) -> int:
    return _open(tenant_id, subject_id).count() + _checkpoints(tenant_id, subject_id).count()


# Events stored for resuming ----------------------------------------------------------------------
def _histories(tenant_id: UUID, subject_id: UUID) -> list[str]:
    oldest = timedelta(seconds=classes.longest_deadline_s() + KEPT_S + 60)
    recent = received(tenant_id, subject_id).filter(at__gte=datetime.now(UTC) - oldest)
    ids = recent.values_list("request_id", flat=True)
    return [frames.history(each.bytes) for each in ids if each]


def _purge_events(tenant_id: UUID, subject_id: UUID) -> Evidence:
    names = _histories(tenant_id, subject_id)
    deleted = sum(client().unlink(*names[n : n + BATCH]) for n in range(0, len(names), BATCH))
    return {"streams": deleted}


def _events_left(tenant_id: UUID, subject_id: UUID) -> int:
    names = _histories(tenant_id, subject_id)
    return sum(client().exists(*names[n : n + BATCH]) for n in range(0, len(names), BATCH))


def _purge_answers(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Delete cached answers. Without their key no copy can be read."""
    return {"kept_answers": stored_answers.purge_subject(tenant_id, subject_id)}


# Sessions ----------------------------------------------------------------------------------------
def _in_sessions(tenant_id: UUID, subject_id: UUID) -> QuerySet[Usage]:
    requests = received(tenant_id, subject_id).values("request_id")
    rows = Usage.objects.filter(tenant_id=tenant_id, session__isnull=False)
    return rows.filter(completion_id__in=requests)


def _erase_sessions(tenant_id: UUID, subject_id: UUID) -> Evidence:
    """Usage stays, but no longer tells which requests were of one session."""
    rows = some(_in_sessions(tenant_id, subject_id), ROWS)
    return {"sessions": rows.update(session=None)}


def _sessions_left(tenant_id: UUID, subject_id: UUID) -> int:
    return _in_sessions(tenant_id, subject_id).count()


# Conversations -----------------------------------------------------------------------------------
def _of_person(tenant_id: UUID, subject_id: UUID) -> Q:
    ciphertext = Q(data_key_id__in=key_ids(tenant_id, subject_id))
    return Q(ciphertext | Q(member__subject_id=subject_id), tenant_id=tenant_id)


def _conversations(tenant_id: UUID, subject_id: UUID) -> QuerySet[Conversation]:
    return Conversation.objects.filter(_of_person(tenant_id, subject_id))


def _folders(tenant_id: UUID, subject_id: UUID) -> QuerySet[ConversationFolder]:
    return ConversationFolder.objects.filter(_of_person(tenant_id, subject_id))


def _attachments(tenant_id: UUID, subject_id: UUID) -> QuerySet[Attachment]:
    """Returns their files, also those that were not sent yet."""
    ciphertext = Q(data_key_id__in=key_ids(tenant_id, subject_id))
    of_member = Q(member__subject_id=subject_id)
    return Attachment.objects.filter(ciphertext | of_member, tenant_id=tenant_id)


def _presets(tenant_id: UUID, subject_id: UUID) -> QuerySet[Preset]:
    """Returns their own. Those for others are the tenant's texts, under its key."""
    ciphertext = Q(data_key_id__in=key_ids(tenant_id, subject_id))
    return Preset.objects.filter(ciphertext | Q(member__subject_id=subject_id), tenant_id=tenant_id)


def _erase_conversations(tenant_id: UUID, subject_id: UUID) -> Evidence:
    _all, files = some(_attachments(tenant_id, subject_id), CHATS).delete()
    _all, by_table = some(_conversations(tenant_id, subject_id), CHATS).delete()
    folders, _by_table = _folders(tenant_id, subject_id).delete()
    return {
        "conversations": by_table.get("inference.Conversation", 0),
        "messages": by_table.get("inference.Message", 0),
        "folders": folders,
        "attachments": files.get("inference.Attachment", 0),
        "presets": _presets(tenant_id, subject_id).delete()[0],
    }


def _conversations_left(tenant_id: UUID, subject_id: UUID) -> int:
    keys = {"tenant_id": tenant_id, "data_key_id__in": key_ids(tenant_id, subject_id)}
    rows = (
        _conversations(tenant_id, subject_id),
        _attachments(tenant_id, subject_id),
        _presets(tenant_id, subject_id),
        _folders(tenant_id, subject_id),
        Message.objects.filter(**keys),
        AttachmentPiece.objects.filter(**keys),
    )
    return sum(each.count() for each in rows)


def register_erasers() -> None:
    content = ErasureTurn.CONTENT
    requests = _("Requests in progress, also those that wait in line")
    ends_work, brief = partial(Eraser, stops_processing=True), partial(Eraser, is_brief=True)
    register(ends_work("requests", requests, ErasureTurn.RUNNING, _end_requests, _requests_left))
    events = _("Resumable streams")
    register(brief("streams", events, content, _purge_events, _events_left))
    answers = _("Answer cache")
    register(brief("kept_answers", answers, content, _purge_answers, stored_answers.left_of))
    chats = _("Conversations")
    of_chats = _erase_conversations, _conversations_left
    register(Eraser("conversations", chats, content, *of_chats, portion=CHATS))
    talks = _("Dialogues with assistants")
    of_talks, portion = (dialogues.erase, dialogues.remaining), dialogues.ROWS
    register(Eraser("dialogues", talks, content, *of_talks, portion=portion))
    calls, of_calls = _("Calls of actions"), (action_calls.erase, action_calls.remaining)
    register(Eraser("action_calls", calls, content, *of_calls, portion=action_calls.ROWS))
    responses = _("Stored responses")
    of_responses = stored_responses.erase, stored_responses.remaining
    register(Eraser("responses", responses, content, *of_responses, portion=stored_responses.ROWS))
    sessions = _("Sessions of clients in usage")
    of_sessions = _erase_sessions, _sessions_left
    register(Eraser("sessions", sessions, content, *of_sessions, portion=ROWS))
    batches = _("Files and batches")
    register(Eraser("files", batches, content, files.erase, files.remaining, portion=files.ROWS))
    trained = _("Jobs and their checkpoints")
    register(Eraser("jobs", trained, content, jobs.erase, jobs.remaining))
    sets = _("Data sets, and marks on models that were trained on them")
    register(Eraser("data_sets", sets, content, data_sets.erase, purging.remaining))
    reports = _("Evaluations without a report")
    register(Eraser("evaluations", reports, content, evaluations.erase, evaluations.remaining))
    about = _("Decisions about the person")
    of_decisions = decisions.erase, decisions.remaining
    register(Eraser("decisions", about, content, *of_decisions, portion=decisions.BATCH))
    notices, turn = _("Recipients: services that had answered"), ErasureTurn.RECIPIENTS
    register(Eraser("recipients", notices, turn, recipients.notify, recipients.not_notified))
