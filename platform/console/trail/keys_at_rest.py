"""Page of master keys: the tenants' keys under each, and the progress of rotations."""

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import render

from audit.keys.master_keys import MasterKeys, platform_secret
from audit.keys.master_keys.errors import MasterKeyUnavailable
from audit.models import DataKey, KeyRotation
from console.authorization import ConsoleRequest, operators_only
from console.paging import page
from console.trail.actors import Actors
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class MasterKey:
    name: str
    keys: int  # keys of tenants under it
    current: bool
    known: bool


@dataclass(frozen=True, slots=True)
class RotationRow:
    rotation: KeyRotation
    tenant: str  # "" for the master key's
    by: str
    percent: int


@operators_only
def keys_at_rest(request: ConsoleRequest) -> HttpResponse:
    shown = page(KeyRotation.objects.all(), "started_at", request.GET.get("cursor", ""))
    masters, problem = _masters()
    context = {
        "masters": masters,
        "problem": problem,
        "subject_keys": DataKey.objects.exclude(subject_id=None).count(),
        "page": shown,
        "exchanges": _exchanges(shown.rows),
        "all_current": all(each.current for each in masters),
        "secret_left": not problem and _is_secret_left(),
    }
    return render(request, "console/keys_at_rest.html", context)


def _masters() -> tuple[list[MasterKey], str]:
    """Returns the master keys in use and the current one, or none and why they are unknown."""
    master_keys: MasterKeys = settings.MASTER_KEYS
    tenants = DataKey.objects.filter(subject_id=None)
    counts = dict(tenants.values_list("wrapped_by").annotate(Count("id")).order_by())
    try:
        current = master_keys.current_id()
        names = [current, *sorted(counts.keys() - {current})]
        return [
            MasterKey(_short(name), counts.get(name, 0), name == current, master_keys.knows(name))
            for name in names
        ], ""
    except MasterKeyUnavailable as problem:
        return [], str(problem)


def _is_secret_left() -> bool:
    """Returns whether the platform's secret still needs an older master key."""
    try:
        current = settings.MASTER_KEYS.current_id()
        return not platform_secret.is_under(settings.FOREBAY_HOME, current)
    except (MasterKeyUnavailable, OSError):
        return True


def _exchanges(rotations: list[KeyRotation]) -> list[RotationRow]:
    tenants = Tenant.objects.filter(id__in={each.tenant_id for each in rotations})
    names: dict[UUID | None, str] = dict(tenants.values_list("id", "name"))
    people = Actors.among([each.actor for each in rotations], None)
    return [
        RotationRow(
            each,
            names.get(each.tenant_id, _short(each.tenant_id)),
            people.name(each.actor),
            _percent(each),
        )
        for each in rotations
    ]


def _percent(rotation: KeyRotation) -> int:
    if rotation.finished_at or not rotation.total:
        return 100
    return min(99, 100 * rotation.done // rotation.total)


def _short(name: UUID | None) -> str:
    return name.hex[:12] if name else ""
