"""Executes approved deletion requests: store by store, each in a transaction with its evidence.

Whoever holds the request's row works on it, nobody else. Killed anywhere, the next round goes on
with the store that has no evidence yet. A request is done when every store says that nothing is
left.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from audit.actions import Action
from audit.erasure import certificate, deletion, erasers
from audit.erasure.deletion import is_restricted, restricted_until
from audit.erasure.erasers import Eraser, Turn
from audit.models import DeletionRequest, DeletionState, ErasureStep
from audit.retention import legal_hold
from audit.trail.record import act

log = logging.getLogger(__name__)
BY = "system"
QUIET = timedelta(seconds=5)  # caches and requests on their way may know a subject for so long
ROUND_S = 20.0  # then others have their turn in this worker
SLOWEST = timedelta(minutes=5)  # between attempts at a store that fails
State = DeletionState


def work() -> None:
    """One round: the clock, then as much erasing as fits into ROUND_S."""
    with _alone() as mine:
        if not mine:
            return
        wind_the_clock()
        until, waiting = time.monotonic() + ROUND_S, _waiting()
        while waiting:  # store by store in turn: none keeps the others waiting
            waiting = [pk for pk in waiting if time.monotonic() < until and advance(pk)]


def advance(pk: UUID) -> bool:
    """One store of one request. True when another one can follow at once."""
    store = ""
    try:
        with transaction.atomic():
            request = _taken(pk)
            if request is None or not _may_go_on(request):
                return False
            step = _next_step(request)
            if step is None:
                return _finish_if_clean(request)
            store = step.store
            return _done(request, step)
    except Exception as problem:
        log.exception("deletion request %s: store %s failed", pk, store)
        _failed(pk, store, problem)
        return False


# The clock ---------------------------------------------------------------------------------------
def wind_the_clock() -> None:
    now = timezone.now()
    open_ones = DeletionRequest.objects.open()
    long_ago = now + deletion.DUE - deletion.silence()  # the time under a hold does not count
    silent = Q(state=State.REQUESTED, by_subject=True, due_at__lte=long_ago)
    for request in open_ones.filter(state=State.REQUESTED):
        _each(request, _hold_if_kept)
    for request in open_ones.filter(silent):
        _each(request, lambda one: deletion.approve(one, by=deletion.SILENT))
    for request in open_ones.filter(state=State.HELD):
        _each(request, _resume_if_free)
    for request in late_ones(now):
        log.error("deletion request %s is overdue since %s", request.id, request.due_at)
        _each(request, deletion.mark_late)


def late_ones(now: datetime) -> list[DeletionRequest]:
    """Nearly due, not held, not alerted yet. A restriction is kept as soon as it has begun, and
    due again when retention has ended.
    """
    found = DeletionRequest.objects.open().exclude(state=State.HELD).filter(alerted_at=None)
    nearly = found.filter(due_at__lte=now + deletion.DUE - deletion.ALERT)
    return [one for one in nearly if not _is_kept(one, now)]


def _is_kept(request: DeletionRequest, now: datetime) -> bool:
    return deletion.restricts(request) and now < restricted_until(request) + deletion.ALERT


def _each(request: DeletionRequest, verb: object) -> None:
    assert callable(verb)
    try:
        with transaction.atomic():
            verb(request)
    except deletion.DeletionRefused:  # a person was first
        pass


def _hold_if_kept(request: DeletionRequest) -> None:
    """A hold that came after the request stops its clock, and silence means nothing meanwhile."""
    if kept_by := legal_hold.in_force(request.tenant_id, request.subject_id):
        deletion.locked(request)
        if request.state == State.REQUESTED:
            deletion.hold(request, kept_by)


def _resume_if_free(request: DeletionRequest) -> None:
    deletion.locked(request)
    free = legal_hold.in_force(request.tenant_id, request.subject_id) is None
    if request.state == State.HELD and free:
        deletion.resume(request)


# One step ----------------------------------------------------------------------------------------
def _waiting() -> list[UUID]:
    found = DeletionRequest.objects.filter(state__in=(State.APPROVED, State.RUNNING))
    return list(found.order_by("requested_at").values_list("pk", flat=True))


def _taken(pk: UUID) -> DeletionRequest | None:
    """None while another worker has it."""
    rows = DeletionRequest.objects.select_for_update(skip_locked=True)
    return rows.filter(pk=pk, state__in=(State.APPROVED, State.RUNNING)).first()


def _may_go_on(request: DeletionRequest) -> bool:
    """No new hold comes into force before this transaction ends."""
    try:
        legal_hold.refuse_if_held(request.tenant_id, request.subject_id)
    except legal_hold.OnHold as held:
        deletion.hold(request, held.hold)
        return False
    return True


def _next_step(request: DeletionRequest) -> ErasureStep | None:
    if request.started_at is None:
        _begin(request)
    _keep_up(request)
    stores = {store.name: store for store in _stores(request)}
    order = {name: n for n, name in enumerate(stores)}
    steps = [step for step in request.steps.filter(finished_at=None) if step.store in stores]
    turn = min((stores[step.store].turn for step in steps), default=Turn.WHO)
    if turn <= Turn.KEYS:  # nothing goes before its tombstone is on disk
        steps = [step for step in steps if stores[step.store].turn == turn]
    due = [step for step in steps if _is_due(step)]
    return min(due, key=lambda step: order[step.store], default=None)


def _begin(request: DeletionRequest) -> None:
    """From now on authentication refuses the subject (tenants/authentication/restriction.py)."""
    request.state, request.started_at = State.RUNNING, timezone.now()
    if is_restricted(request):  # kept as soon as it has begun
        request.alerted_at = None
    request.save(update_fields=["state", "started_at", "alerted_at"])


def _keep_up(request: DeletionRequest) -> None:
    """An upgrade may have brought stores meanwhile, and done away with others."""
    same = {"tenant_id": request.tenant_id, "request": request}
    names = [store.name for store in erasers.in_order()]
    there = set(request.steps.values_list("store", flat=True))
    steps = [ErasureStep(store=name, **same) for name in names if name not in there]
    ErasureStep.objects.bulk_create(steps, ignore_conflicts=True)
    for step in request.steps.filter(finished_at=None).exclude(store__in=names):
        step.evidence, step.problem = {**_without_tries(step), "store": "gone"}, ""
        step.finished_at = timezone.now()
        step.save()


def _stores(request: DeletionRequest) -> list[Eraser]:
    """While data is restricted, only what processes it is stopped."""
    known = erasers.in_order()
    return [s for s in known if s.stops_processing] if is_restricted(request) else known


def _is_due(step: ErasureStep) -> bool:
    tried_at = step.evidence.get("tried_at")
    if not tried_at:
        return True
    pause = min(timedelta(seconds=2 ** min(step.attempts, 10)), SLOWEST)
    return timezone.now() >= datetime.fromisoformat(tried_at) + pause


def _done(request: DeletionRequest, step: ErasureStep) -> bool:
    store = erasers.find(step.store)
    assert store
    who = request.tenant_id, request.subject_id
    if store.turn == Turn.WHO and not _only_left(request, store):
        return False
    found = store.erase(*who)
    step.evidence = erasers.added(_without_tries(step), found)
    step.attempts += 1
    step.save()
    _conclude(step, store.verify(*who))
    if "key_ids_sha256" in found:
        _record_keys(request, found)
    return True


def _conclude(step: ErasureStep, left: int) -> None:
    if left:
        step.problem = f"{left} left"
        step.evidence["tried_at"] = timezone.now().isoformat()
    else:
        step.problem, step.finished_at = "", timezone.now()
    step.save()


def _only_left(request: DeletionRequest, store: Eraser) -> bool:
    """What leads to all the rest goes when all the rest is gone, and nothing comes in any more."""
    others = request.steps.filter(finished_at=None).exclude(store=store.name)
    assert request.started_at
    return not others.exists() and timezone.now() >= request.started_at + QUIET


def _record_keys(request: DeletionRequest, found: erasers.Evidence) -> None:
    detail = {"request": str(request.id), "keys": found["keys"], "sha256": found["key_ids_sha256"]}
    act(
        Action.KEY_ERASE,
        actor=BY,
        tenant_id=request.tenant_id,
        subject_id=request.subject_id,
        detail=detail,
    )


def _without_tries(step: ErasureStep) -> erasers.Evidence:
    return {name: value for name, value in step.evidence.items() if name != "tried_at"}


def _failed(pk: UUID, store: str, problem: Exception) -> None:
    with transaction.atomic():
        steps = ErasureStep.objects.select_for_update(of=("self",))
        step = steps.filter(request_id=pk, store=store, finished_at=None).first()
        if step:
            step.attempts += 1
            step.problem = f"{type(problem).__name__}: {problem}"[:500]
            step.evidence["tried_at"] = timezone.now().isoformat()
            step.save()


# The end -----------------------------------------------------------------------------------------
def _finish_if_clean(request: DeletionRequest) -> bool:
    """Looks through all stores once more: what came back meanwhile is gone through again."""
    if is_restricted(request) or request.steps.filter(finished_at=None).exists():
        return False  # until its time, or until a store that failed is due again
    left = {s.name: s.verify(request.tenant_id, request.subject_id) for s in erasers.in_order()}
    if again := [name for name, n in left.items() if n]:
        log.warning("deletion request %s: data reappeared in %s", request.id, ", ".join(again))
        return request.steps.filter(store__in=again).update(finished_at=None) > 0
    _finish(request, left)
    return False


def _finish(request: DeletionRequest, left: dict[str, int]) -> None:
    """What people wrote into this request, and into earlier ones of theirs, goes as well."""
    request.state, request.finished_at = State.DONE, timezone.now()
    request.certificate = certificate.issue(request, left)
    request.reason = request.answer = ""
    request.save(update_fields=["state", "finished_at", "certificate", "reason", "answer"])
    whose = {"tenant_id": request.tenant_id, "subject_id": request.subject_id}
    theirs = DeletionRequest.objects.filter(**whose)
    for other in theirs.open():
        _finish_with(request, other)
    theirs.update(reason="", answer="")
    _record_end(request)


def _finish_with(request: DeletionRequest, other: DeletionRequest) -> None:
    """A restriction beside the erasure, or the other way round: there is nothing left for it."""
    other.steps.filter(finished_at=None).update(finished_at=request.finished_at, problem="")
    other.state, other.finished_at, other.held_at = State.DONE, request.finished_at, None
    other.certificate = request.certificate
    other.save(update_fields=["state", "finished_at", "held_at", "certificate"])
    _record_end(other)


def _record_end(request: DeletionRequest) -> None:
    assert request.certificate
    detail = {"request": str(request.id), "sha256": certificate.sha256_of(request.certificate)}
    act(
        Action.DELETION_FINISH,
        actor=BY,
        tenant_id=request.tenant_id,
        subject_id=request.subject_id,
        detail=detail,
    )


@contextmanager
def _alone() -> Iterator[bool]:
    """One round at a time, so that it never takes all of a worker's threads."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(hashtextextended('audit.deletion', 0))")
        mine = bool(cursor.fetchone()[0])
        try:
            yield mine
        finally:
            if mine:
                cursor.execute("select pg_advisory_unlock(hashtextextended('audit.deletion', 0))")
