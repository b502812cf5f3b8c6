"""Executes approved deletion requests: store by store, each in a transaction with its evidence.

A large store goes in portions, a transaction each.

A worker holds the request's row while it works on it. After a crash the next round continues with
the first store without evidence. A request is done when every store reports that nothing remains.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit.actions import Action
from audit.erasure import certificate, deletion, erasers
from audit.erasure.deletion import is_restricted, restricted_until
from audit.erasure.erasers import Eraser, ErasureTurn
from audit.models import DeletionRequest, DeletionState, ErasureStep
from audit.retention import legal_hold
from infrastructure.postgres.queries import try_lock

log = logging.getLogger(__name__)
BY = "system"
QUIET = timedelta(seconds=5)  # the longest that caches and running requests may know a subject
ROUND_S = 20.0  # then this worker's other tasks have their turn
SLOWEST = timedelta(minutes=5)  # between attempts at a store that fails
State = DeletionState


def work() -> None:
    """Runs one round: the clock, then as much erasing as fits into ROUND_S.

    One round runs at a time, so that erasure never takes all of a worker's threads.
    """
    with try_lock("audit.deletion") as acquired:
        if not acquired:
            return
        run_clock()
        until = time.monotonic() + ROUND_S
        waiting = list(_approved().order_by("requested_at").values_list("pk", flat=True))
        while waiting:  # one store of each request in turn, so that no request delays the others
            waiting = [pk for pk in waiting if time.monotonic() < until and advance(pk)]


def advance(pk: UUID) -> bool:
    """Erases one store of one request, or a portion. Returns True if more can follow at once."""
    store = ""
    try:
        with transaction.atomic():
            # Another worker may have it.
            request = _approved().select_for_update(skip_locked=True).filter(pk=pk).first()
            if request is None or not _may_proceed(request):
                return False
            step = _next_step(request)
            if step is None:
                return _finish_if_clean(request)
            store = step.store
            return _erase(request, step)
    except Exception as problem:
        log.exception("deletion request %s: store %s failed", pk, store)
        _record_failure(pk, store, problem)
        return False


# The clock ---------------------------------------------------------------------------------------
def run_clock() -> None:
    """Holds, resumes and approves requests whose time has come, and alerts about late ones."""
    now = timezone.now()
    open_ones = DeletionRequest.objects.open()
    long_ago = now + deletion.DUE - deletion.silence()  # the time under a hold does not count
    silent = Q(state=State.REQUESTED, by_subject=True, due_at__lte=long_ago)
    for request in open_ones.filter(state=State.REQUESTED):
        _apply_to(request, _hold_if_required)
    for request in open_ones.filter(silent):
        _apply_to(request, lambda one: deletion.approve(one, by=deletion.SILENT))
    for request in open_ones.filter(state=State.HELD):
        _apply_to(request, _resume_if_free)
    for request in nearly_late(now):
        log.error("deletion request %s is overdue since %s", request.id, request.due_at)
        _apply_to(request, deletion.mark_late)


def nearly_late(now: datetime) -> list[DeletionRequest]:
    """Returns requests that are nearly due, not held, and without an alert so far.

    A restriction is fulfilled as soon as it begins, and due again when retention has ended.
    """
    rows = DeletionRequest.objects.open().exclude(state=State.HELD).filter(alerted_at=None)
    rows = rows.filter(due_at__lte=now + deletion.DUE - deletion.ALERT)
    return [
        request
        for request in rows
        if not deletion.restricts(request) or now >= restricted_until(request) + deletion.ALERT
    ]


def _apply_to(request: DeletionRequest, change: Callable[[DeletionRequest], None]) -> None:
    try:
        with transaction.atomic():
            change(request)
    except deletion.DeletionRefused:  # a person decided at the same moment
        pass


def _hold_if_required(request: DeletionRequest) -> None:
    """Holds a request whose legal hold came later; silence does not approve it meanwhile."""
    if active_hold := legal_hold.in_force(request.tenant_id, request.subject_id):
        deletion.lock(request)
        if request.state == State.REQUESTED:
            deletion.hold(request, active_hold)


def _resume_if_free(request: DeletionRequest) -> None:
    deletion.lock(request)
    free = legal_hold.in_force(request.tenant_id, request.subject_id) is None
    if request.state == State.HELD and free:
        deletion.resume(request)


# One step ----------------------------------------------------------------------------------------
def _approved() -> QuerySet[DeletionRequest]:
    return DeletionRequest.objects.filter(state__in=(State.APPROVED, State.RUNNING))


def _may_proceed(request: DeletionRequest) -> bool:
    """Returns True if no hold is in force; a new one waits until this transaction ends."""
    try:
        legal_hold.refuse_if_held(request.tenant_id, request.subject_id)
    except legal_hold.OnHold as held:
        deletion.hold(request, held.hold)
        return False
    return True


def _next_step(request: DeletionRequest) -> ErasureStep | None:
    if request.started_at is None:
        _begin(request)
    _sync_steps(request)
    known = erasers.in_order()
    if is_restricted(request):
        known = [store for store in known if store.stops_processing]
    stores = {store.name: store for store in known}
    order = {name: n for n, name in enumerate(stores)}
    steps = [step for step in request.steps.filter(finished_at=None) if step.store in stores]
    turn = min((stores[step.store].turn for step in steps), default=ErasureTurn.IDENTITY)
    if turn <= ErasureTurn.KEYS:  # nothing is erased before its tombstone is on disk
        steps = [step for step in steps if stores[step.store].turn == turn]
    due = [step for step in steps if _is_due(step)]
    return min(due, key=lambda step: order[step.store], default=None)


def _begin(request: DeletionRequest) -> None:
    """Starts a request. The subject cannot sign in now (tenants/authentication/restriction.py)."""
    request.state, request.started_at = State.RUNNING, timezone.now()
    if is_restricted(request):  # a restriction is fulfilled as soon as it begins
        request.alerted_at = None
    request.save(update_fields=["state", "started_at", "alerted_at"])


def _sync_steps(request: DeletionRequest) -> None:
    """Adds steps for stores that an upgrade introduced, and closes those of removed stores."""
    owner = {"tenant_id": request.tenant_id, "request": request}
    names = [store.name for store in erasers.in_order()]
    known = set(request.steps.values_list("store", flat=True))
    steps = [ErasureStep(store=name, **owner) for name in names if name not in known]
    ErasureStep.objects.bulk_create(steps, ignore_conflicts=True)
    for step in request.steps.filter(finished_at=None).exclude(store__in=names):
        step.evidence, step.problem = {**_without_tries(step), "store": "gone"}, ""
        step.finished_at = timezone.now()
        step.save()


def _is_due(step: ErasureStep) -> bool:
    tried_at = step.evidence.get("tried_at")
    if not tried_at:
        return True
    pause = min(timedelta(seconds=2 ** min(step.attempts, 10)), SLOWEST)
    return timezone.now() >= datetime.fromisoformat(tried_at) + pause


def _erase(request: DeletionRequest, step: ErasureStep) -> bool:
    store = erasers.find(step.store)
    assert store
    subject = request.tenant_id, request.subject_id
    if store.turn == ErasureTurn.IDENTITY and not _others_finished(request, store):
        return False
    evidence = store.erase(*subject)
    step.evidence = erasers.merge_evidence(_without_tries(step), evidence)
    if store.is_portion(evidence):
        step.save()
        return True
    step.attempts += 1
    step.save()
    _conclude(step, store.verify(*subject))
    if "key_ids_sha256" in evidence:
        keys, digest = evidence["keys"], evidence["key_ids_sha256"]
        deletion.record(Action.KEY_ERASE, request, BY, keys=keys, sha256=digest)
    return True


def _conclude(step: ErasureStep, remaining: int) -> None:
    if remaining:
        step.problem = f"{remaining} left"
        step.evidence["tried_at"] = timezone.now().isoformat()
    else:
        step.problem, step.finished_at = "", timezone.now()
    step.save()


def _others_finished(request: DeletionRequest, store: Eraser) -> bool:
    """Returns True if all other stores are empty and no running request can refill them."""
    others = request.steps.filter(finished_at=None).exclude(store=store.name)
    assert request.started_at
    return not others.exists() and timezone.now() >= request.started_at + QUIET


def _without_tries(step: ErasureStep) -> erasers.Evidence:
    return {name: value for name, value in step.evidence.items() if name != "tried_at"}


def _record_failure(pk: UUID, store: str, problem: Exception) -> None:
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
    """Checks all stores once more, and reopens those in which data has reappeared."""
    if is_restricted(request) or request.steps.filter(finished_at=None).exists():
        return False  # until its time, or until a store that failed is due again
    subject = request.tenant_id, request.subject_id
    remaining = {store.name: store.verify(*subject) for store in erasers.in_order()}
    if reappeared := [name for name, n in remaining.items() if n]:
        log.warning("deletion request %s: data reappeared in %s", request.id, ", ".join(reappeared))
        return request.steps.filter(store__in=reappeared).update(finished_at=None) > 0
    _finish(request, remaining)
    return False


def _finish(request: DeletionRequest, remaining: dict[str, int]) -> None:
    """Closes the request, and clears the free text of this and the person's earlier requests."""
    request.state, request.finished_at = State.DONE, timezone.now()
    request.certificate = certificate.issue(request, remaining)
    request.reason = request.answer = ""
    request.save(update_fields=["state", "finished_at", "certificate", "reason", "answer"])
    subject = {"tenant_id": request.tenant_id, "subject_id": request.subject_id}
    requests = DeletionRequest.objects.filter(**subject)
    for other in requests.open():
        _finish_with(request, other)
    requests.update(reason="", answer="")
    _record_end(request)


def _finish_with(request: DeletionRequest, other: DeletionRequest) -> None:
    """Closes the person's other open request, for which nothing remains to be done."""
    other.steps.filter(finished_at=None).update(finished_at=request.finished_at, problem="")
    other.state, other.finished_at, other.held_at = State.DONE, request.finished_at, None
    other.certificate = request.certificate
    other.save(update_fields=["state", "finished_at", "held_at", "certificate"])
    _record_end(other)


def _record_end(request: DeletionRequest) -> None:
    assert request.certificate
    digest = certificate.sha256_of(request.certificate)
    deletion.record(Action.DELETION_FINISH, request, BY, sha256=digest)
