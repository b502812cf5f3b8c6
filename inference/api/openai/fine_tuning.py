"""`/v1/fine_tuning/jobs`: fine-tuning with a file of chats (OpenAI, Fine-tuning)."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.utils import timezone

from audit.actions import Action
from audit.keys.keyring import Barred
from audit.models import Event
from audit.trail.truncated_address import network
from inference.api.http import lists
from inference.api.http.callers import address_counted_caller, counted_caller
from inference.api.http.request import Request
from inference.api.openai import creation_key, files, fine_tuning_shapes, stored_objects
from inference.api.openai.fine_tuning_fields import checked, hyperparameters, trainer_parameters
from inference.api.ownership import own, readable, repeatable_in_scope
from inference.errors import (
    ApiError,
    BadRequest,
    Conflict,
    LimitReached,
    NotFound,
    OutOfQuota,
    Unavailable,
)
from inference.jobs import creating
from inference.jobs.creating import JobOwner, Wanted
from inference.jobs.refusals import JobRefused, NoPool, NoRoom
from inference.models import File, Job, JobKind
from inference.models.job import WrongState
from inference.validation import requests
from tenants.caller import Caller
from tenants.key_scopes import Scope

PREFIX = "ftjob-"
BOUNDS = PREFIX, 20, 100  # of a list
SCOPE = Scope.INFERENCE


async def create(request: Request) -> None:
    caller = await counted_caller(request, SCOPE)
    body = checked(requests.parsed(await request.body()))
    if await creation_key.answered_by_key(request, caller, body, _earlier):
        return
    training = await _file(request, caller, body["training_file"], "training_file")
    validation = None
    if name := body.get("validation_file"):
        validation = await _file(request, caller, name, "validation_file")
    wanted = Wanted(
        kind=JobKind.FINE_TUNE,
        base=body["model"],
        training_file=training,
        validation_file=validation,
        parameters=trainer_parameters(hyperparameters(body)),
        suffix=body.get("suffix") or "",
        metadata=body.get("metadata"),
        seed=body.get("seed"),
    )
    owner = owner_of(caller, request.call.client_ip)
    create = partial(_create, owner, wanted)
    await creation_key.answer_created(request, caller, body, create, _earlier)


async def listed(request: Request) -> None:
    caller = await address_counted_caller(request, SCOPE)
    page = lists.query(request)
    listing = partial(lists.listed, caller, _jobs(), fine_tuning_shapes.job, page, BOUNDS)
    await request.answer_json(await repeatable_in_scope(caller.tenant_id, listing))


async def retrieve(request: Request, job_id: str) -> None:
    caller = await address_counted_caller(request, SCOPE)
    job = await _own(request, caller, job_id)
    await request.answer_json(
        await repeatable_in_scope(caller.tenant_id, fine_tuning_shapes.job, job)
    )


async def cancel(request: Request, job_id: str) -> None:
    await _act(request, job_id, Job.cancel, Action.JOB_CANCEL)


async def pause(request: Request, job_id: str) -> None:
    await _act(request, job_id, Job.pause, Action.JOB_PAUSE)


async def resume(request: Request, job_id: str) -> None:
    await _act(request, job_id, Job.resume, Action.JOB_RESUME)


async def events(request: Request, job_id: str) -> None:
    caller = await address_counted_caller(request, SCOPE)
    job = await _own(request, caller, job_id)
    page = lists.query(request)
    await request.answer_json(
        await repeatable_in_scope(caller.tenant_id, fine_tuning_shapes.events, job, page)
    )


async def checkpoints(request: Request, job_id: str) -> None:
    caller = await address_counted_caller(request, SCOPE)
    job = await _own(request, caller, job_id)
    page = lists.query(request)
    await request.answer_json(
        await repeatable_in_scope(caller.tenant_id, fine_tuning_shapes.checkpoints, job, page)
    )


def owner_of(caller: Caller, client_ip: str) -> JobOwner:
    return JobOwner(
        tenant_id=caller.tenant_id,
        subject_id=caller.subject_id,
        actor=caller.actor,
        api_key_id=caller.api_key_id,
        member_id=caller.member_id or caller.maker_id,
        team_id=caller.team_id,
        client_net=network(client_ip),
        may_use=caller.may_use,
    )


def _jobs() -> Any:
    return Job.objects.filter(kind=JobKind.FINE_TUNE)


async def _file(request: Request, caller: Caller, file_id: str, param: str) -> File:
    return await files.own_file(request.call, caller, file_id, param)


async def _own(request: Request, caller: Caller, job_id: str) -> Job:
    pk, code = stored_objects.parsed_id(job_id, PREFIX), "fine_tuning_job_not_found"
    refusal = NotFound("there is no such fine-tuning job", code=code)
    return await own(request.call, caller, _jobs(), pk, refusal, code)


Verb = Callable[..., None]


async def _act(request: Request, job_id: str, verb: Verb, action: Action) -> None:
    caller = await address_counted_caller(request, SCOPE)
    job = await _own(request, caller, job_id)
    act = _Act(job, verb, action, caller.actor)
    await request.answer_json(await repeatable_in_scope(caller.tenant_id, act))


class _Act:
    """Pauses, resumes or cancels a job once. The trail tells whether a commit that was cut off has
    done so.
    """

    def __init__(self, job: Job, verb: Verb, action: Action, by: str) -> None:
        self._job, self._verb, self._action, self._by = job, verb, action, by
        self._began_at: datetime | None = None

    def __call__(self) -> dict[str, Any]:
        if self._began_at and self._is_done(self._began_at):
            return fine_tuning_shapes.job(self._job)
        self._began_at = self._began_at or timezone.now()
        try:
            self._verb(self._job, by=self._by)
        except WrongState as problem:
            raise Conflict(f"{problem}: it is too late, or too early, for this") from None
        return fine_tuning_shapes.job(self._job)

    def _is_done(self, began_at: datetime) -> bool:
        self._job = Job.objects.select_for_update().get(pk=self._job.pk)  # waits for its commit
        acts = Event.objects.filter(tenant_id=self._job.tenant_id, action=self._action)
        mine = acts.filter(actor=self._by, at__gte=began_at)
        return mine.filter(detail__job=self._job.public_id).exists()


def _earlier(caller: Caller, pk: UUID) -> dict[str, Any] | None:
    job = readable(_jobs(), caller).filter(pk=pk).first()
    return fine_tuning_shapes.job(job) if job else None


def _create(owner: JobOwner, wanted: Wanted, pk: UUID) -> dict[str, Any]:
    try:
        return fine_tuning_shapes.job(creating.create(owner, wanted, pk))
    except Barred as problem:
        raise stored_objects.storing_error(problem) from None
    except JobRefused as refusal:
        raise _as_error(refusal) from None


def _as_error(refusal: JobRefused) -> ApiError:
    if isinstance(refusal, NoPool):
        return Unavailable(refusal.message, code=refusal.code, retry_after=60)
    if isinstance(refusal, NoRoom):
        kind = OutOfQuota if refusal.code == "insufficient_quota" else LimitReached
        return kind(refusal.message, code=refusal.code, retry_after=60)
    return BadRequest(refusal.message, code=refusal.code, param=refusal.param or None)
