"""The choices in the form of a job: versions of models and data sets, adapters, task sets."""

from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from inference.jobs.parameters import ADAPTER, PATHS, TASKS
from inference.models import (
    DataSetFormat,
    DataSetVersion,
    JobKind,
    ModelVersion,
    TaskSet,
    VersionKind,
)

MOST_OFFERED = 200  # versions of models, of data sets
_TEXTS = (DataSetFormat.TEXTS, DataSetFormat.MARKDOWN)
_FORMS: dict[str, tuple[str, ...]] = {
    JobKind.FINE_TUNE: (DataSetFormat.CHATS,),
    JobKind.PRETRAIN: _TEXTS,
    JobKind.DISTIL: (*_TEXTS, DataSetFormat.CHATS),
    JobKind.PREPARE: (*_TEXTS, DataSetFormat.CHATS),
    JobKind.SCORE: _TEXTS,
}


class VersionField(forms.ModelChoiceField):  # type: ignore[type-arg]  # no generic at run time
    """A choice among versions: of models, or of data sets with what is in them."""

    def label_from_instance(self, row: Any) -> str:
        if isinstance(row, DataSetVersion):
            return _("%(name)s (%(form)s, %(rows)s rows)") % {
                "name": row,
                "form": row.get_form_display(),
                "rows": f"{row.rows:,}",
            }
        if isinstance(row, TaskSet):
            return f"{row.name}@{row.number} ({row.get_kind_display()})"
        form = f"{row.get_format_display()} {row.dtype}".strip()
        return f"{row} ({row.get_kind_display()}, {form})"


def bases(tenant_id: UUID) -> Any:
    rows = ModelVersion.objects.visible_to(tenant_id).ready()
    rows = rows.exclude(kind__in=(VersionKind.ADAPTER, VersionKind.CALIBRATOR))
    return ModelVersion.objects.filter(pk__in=_newest(rows)).order_by("name", "-number")


def data_sets(tenant_id: UUID, kind: str) -> Any:
    fitting = Q(form__in=_FORMS[kind], rows__gt=0)
    rows = DataSetVersion.objects.ready().filter(fitting, tenant_id=tenant_id)
    chosen = DataSetVersion.objects.filter(pk__in=_newest(rows)).select_related("data_set")
    return chosen.order_by("data_set__name", "-number")


def named_rows(tenant_id: UUID, kind: str) -> Any:
    """Returns what a parameter of the kind can name: adapters, or task sets; None without one."""
    if PATHS.get(kind) == ADAPTER:
        rows = ModelVersion.objects.of(tenant_id).ready().filter(kind=VersionKind.ADAPTER)
        return ModelVersion.objects.filter(pk__in=_newest(rows)).order_by("name", "-number")
    if PATHS.get(kind) == TASKS:
        sets = TaskSet.objects.filter(tenant_id=tenant_id).defer("ciphertext")
        return sets.order_by("name", "-number")
    return None


def _newest(rows: Any) -> list[UUID]:
    return list(rows.order_by("-created_at").values_list("pk", flat=True)[:MOST_OFFERED])
