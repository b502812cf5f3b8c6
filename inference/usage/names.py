"""Names of the bare ids in roll-ups, by one query for each kind."""

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
    """The dimensions that usage is grouped and filtered by."""

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
    """Returns a name for every id, with the tenant's name over all tenants (None)."""
    if dimension == Dimension.MODEL:
        return {model: Name(str(model)) for model in ids}
    unique_ids = set(ids)
    by_id = {row.pk: _name(row, tenant) for row in _rows(dimension, unique_ids - {NOBODY}, tenant)}
    return {id_: by_id.get(id_) or _unknown(dimension, id_) for id_ in unique_ids}


def _rows(dimension: Dimension, ids: set[Id], tenant: Tenant | None) -> QuerySet[Any]:
    if dimension == Dimension.TENANT:
        return Tenant.objects.filter(pk__in=ids)
    rows: dict[Dimension, QuerySet[Any]] = {
        Dimension.TEAM: Team.objects.select_related("tenant"),
        Dimension.MEMBER: Member.objects.select_related("tenant", "user"),
        Dimension.KEY: ApiKey.objects.select_related("tenant"),
    }
    matching = rows[dimension].filter(pk__in=ids)
    return matching.filter(tenant=tenant) if tenant else matching


def _name(row: Tenant | Team | Member | ApiKey, tenant: Tenant | None) -> Name:
    text = row.user.email if isinstance(row, Member) else row.name
    if tenant is None and not isinstance(row, Tenant):
        text = f"{text} · {row.tenant.name}"
    return Name(text, former=isinstance(row, ApiKey) and row.revoked_at is not None)


def _unknown(dimension: Dimension, id_: Id) -> Name:
    if id_ == NOBODY:
        return Name(str(_NONE[dimension]))
    return Name(_("former %(id)s") % {"id": str(id_)[:8]}, former=True)
