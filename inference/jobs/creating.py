"""Creates jobs, whatever front end asks: base, data, limits and quotas are checked before."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from audit.actions import Action
from audit.keys.keyring import keyring
from audit.trail.record import act
from inference.batch import file_store
from inference.engines import is_open_to
from inference.jobs import bases, parameters, texts
from inference.jobs.kinds import KINDS
from inference.jobs.refusals import JobRefused, NoRoom
from inference.models import DataSetVersion, File, FilePurpose, Job, JobKind
from inference.models.job import (
    TooManyUnderWay,
    lock_number_under_way,
    refuse_more_under_way,
)
from tenants.caller import SESSION
from tenants.models import Quota

SUFFIX = 64  # characters at most


@dataclass(frozen=True, slots=True)
class JobOwner:
    """The creator of a job: their pseudonym, the payer of its GPU time, and what they may use."""

    tenant_id: UUID
    subject_id: UUID
    actor: str
    api_key_id: UUID | None = None
    member_id: UUID | None = None
    team_id: UUID | None = None
    client_net: str | None = None
    may_use: Callable[[str], bool] = field(default=lambda _model: True)

    def can_use(self, model: str) -> bool:
        """Returns whether the model is open to the tenant, and to the creator there."""
        return is_open_to(self.tenant_id, model) and self.may_use(model)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job as it is asked for. `base` is a name (inference/jobs/bases.py)."""

    kind: str
    base: str = ""
    training_file: File | None = None
    validation_file: File | None = None
    data_set_version: DataSetVersion | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    suffix: str = ""
    metadata: Mapping[str, str] | None = None
    seed: int | None = None
    pool: str = ""


def create(owner: JobOwner, wanted: Wanted, pk: UUID | None = None) -> Job:
    """Create a job in the owner's scope and transaction. The driver takes it up.

    With a `pk` it can be done again after a commit that was cut off: it returns the job that has
    it.

    Raises JobRefused, Barred.
    """
    kind = _kind(wanted)
    lock_number_under_way(owner.tenant_id)  # waits for the commit of an earlier attempt
    files = filter(None, (wanted.training_file, wanted.validation_file))
    are_there = all(file_store.lock_if_whole(file) for file in files)
    if pk and (job := Job.objects.filter(pk=pk).first()):
        return job
    if not are_there:
        raise JobRefused("there is no such file", code="file_not_found")
    _check_limits(owner)
    base = bases.base_version(owner.tenant_id, wanted.base, owner.can_use) if wanted.base else None
    place = bases.place(wanted.base, owner.can_use, wanted.pool)
    _check_processes(wanted.parameters.get("processes"), place.most_processes)
    _check_quotas(owner, place.model)
    cipher = keyring.of_subject_now(owner.tenant_id, owner.subject_id)
    job = Job(
        pk=pk or uuid4(),
        tenant_id=owner.tenant_id,
        api_key_id=owner.api_key_id,
        member_id=owner.member_id,
        team_id=owner.team_id,
        subject_id=owner.subject_id,
        data_key_id=cipher.key_id,
        actor=owner.actor,
        kind=kind,
        model=place.model,
        pool=place.pool,
        base=str(base) if base else "",
        base_version_id=base.pk if base else None,
        parameters=parameters.checked(owner.tenant_id, kind, wanted.parameters),
        seed=secrets.randbelow(2**31) if wanted.seed is None else wanted.seed,
        due_at=timezone.now(),
        **_data(wanted),
    )
    own = {"suffix": wanted.suffix, "metadata": wanted.metadata, "model": wanted.base}
    texts.encrypt(job, cipher, {name: value for name, value in own.items() if value})
    job.save(force_insert=True)
    _record(job, owner)
    return job


def _kind(wanted: Wanted) -> JobKind:
    """Returns the kind, whose needs are there. Raises JobRefused."""
    if wanted.kind not in KINDS:
        raise JobRefused(f"`kind` must be one of {', '.join(KINDS)}", param="kind")
    kind = KINDS[wanted.kind]
    has_data = bool(wanted.training_file or wanted.data_set_version)
    if wanted.training_file and wanted.data_set_version:
        raise JobRefused("name a file or a data set, not both", param="training_file")
    if wanted.validation_file and not wanted.training_file:
        text = "a validation file stands beside a training file"
        raise JobRefused(text, param="validation_file")
    if kind.needs_base and not wanted.base:
        raise JobRefused(f"a job of kind {wanted.kind} needs a base model", param="model")
    if kind.needs_data and not has_data:
        text = f"a job of kind {wanted.kind} needs a training file or a data set"
        raise JobRefused(text, param="training_file")
    for file, name in (
        (wanted.training_file, "training_file"),
        (wanted.validation_file, "validation_file"),
    ):
        if file and file.purpose != FilePurpose.FINE_TUNE:
            raise JobRefused("the file's purpose must be fine-tune", param=name)
    if len(wanted.suffix) > SUFFIX:
        raise JobRefused(f"`suffix` has at most {SUFFIX} characters", param="suffix")
    return JobKind(wanted.kind)


def _check_limits(owner: JobOwner) -> None:
    try:
        refuse_more_under_way(owner.tenant_id)
    except TooManyUnderWay as problem:
        raise NoRoom(str(problem), code="too_many_jobs") from None


def _check_processes(count: Any, most: int) -> None:
    """Refuse more processes than the pool has room for: each loads the model. Raises JobRefused."""
    if type(count) in (int, float) and count > most:
        text = f"`processes` is at most {most} in this pool: one for each GPU of an engine"
        raise JobRefused(text, param="parameters")


def _check_quotas(owner: JobOwner, model: str) -> None:
    """Refuse a job that no quota would let begin. Raises NoRoom."""
    rows = Quota.objects.filter(tenant_id=owner.tenant_id, unit__in=("gpu_seconds", "cost"))
    rows = rows.exclude(window=SESSION)  # jobs have none
    for quota in rows.filter(model__in=("", model)).select_related("tenant"):
        counts = quota.api_key_id in (None, owner.api_key_id)
        counts = counts and quota.member_id in (None, owner.member_id)
        counts = counts and quota.team_id in (None, owner.team_id)
        if counts and quota.balance().remaining <= 0:
            raise NoRoom(f"the quota of {quota} is used up", code="insufficient_quota")


def _data(wanted: Wanted) -> dict[str, Any]:
    files = [file for file in (wanted.training_file, wanted.validation_file) if file]
    version = wanted.data_set_version
    return {
        "training_file_id": wanted.training_file and wanted.training_file.pk,
        "validation_file_id": wanted.validation_file and wanted.validation_file.pk,
        "data_set_version_id": version and version.pk,
        "data_subjects": sorted({str(file.subject_id) for file in files}),
    }


def _record(job: Job, owner: JobOwner) -> None:
    act(
        Action.JOB_CREATE,
        actor=owner.actor,
        tenant_id=job.tenant_id,
        subject_id=job.subject_id,
        client_net=owner.client_net,
        detail={"job": job.public_id, "kind": str(job.kind), "base": job.base},
    )
