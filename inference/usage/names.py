"""From the bare ids of roll-ups to the names that people know. One query for each kind."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inference.models.rollup import NOBODY
from tenants.models import ApiKey, Member, Team, Tenant


class Dimension(StrEnum):
    """What usage is grouped and narrowed by."""

    TENANT = "tenant"
    TEAM = "team"
    MEMBER = "member"
    KEY = "key"
    MODEL = "model"

    @property
    def column(self) -> str:
        return {"model": "model", "key": "api_key_id"}.get(self, f"{self}_id")


@dataclass(frozen=True, slots=True)
class Name:
    text: str
    former: bool = False  # revoked, removed, dissolved


Id = UUID | str
_NONE: dict[Dimension, Promise] = {
    Dimension.TEAM: gettext_lazy("no team"),
    Dimension.MEMBER: gettext_lazy("no member"),
    Dimension.KEY: gettext_lazy("no key"),
}


def names(dimension: Dimension, ids: Iterable[Id], tenant: Tenant | None) -> dict[Id, Name]:
    """Every id gets a name. Over all tenants (None) it tells whose."""
    if dimension == Dimension.MODEL:
        return {model: Name(str(model)) for model in ids}
    wanted = set(ids)
    known = {row.pk: _name(row, tenant) for row in _rows(dimension, wanted - {NOBODY}, tenant)}
    return {id_: known.get(id_) or _unknown(dimension, id_) for id_ in wanted}


def _rows(dimension: Dimension, ids: set[Id], tenant: Tenant | None) -> QuerySet[Any]:
    if dimension == Dimension.TENANT:
        return Tenant.objects.filter(pk__in=ids)
    rows: dict[Dimension, QuerySet[Any]] = {
        Dimension.TEAM: Team.objects.select_related("tenant"),
        Dimension.MEMBER: Member.objects.select_related("tenant", "user"),
        Dimension.KEY: ApiKey.objects.select_related("tenant"),
    }
    found = rows[dimension].filter(pk__in=ids)
    return found.filter(tenant=tenant) if tenant else found


def _name(row: Tenant | Team | Member | ApiKey, tenant: Tenant | None) -> Name:
    text = row.user.email if isinstance(row, Member) else row.name
    if tenant is None and not isinstance(row, Tenant):
        text = f"{text} · {row.tenant.name}"
    return Name(text, former=isinstance(row, ApiKey) and row.revoked_at is not None)


def _unknown(dimension: Dimension, id_: Id) -> Name:
    if id_ == NOBODY:
        return Name(str(_NONE[dimension]))
    return Name(_("former %(id)s") % {"id": str(id_)[:8]}, former=True)
