"""Files of `/v1/files` that a body names: the caller's own alone."""

from typing import cast
from uuid import UUID

from django.utils.translation import gettext as _

from console.api.resource import Resource
from inference.models import File


def own_file(resource: Resource, field: str, name: str) -> File:
    """Returns a whole file of the caller's key, or of the member. Raises Problem."""
    files, who = File.objects.whole().filter(tenant=resource.url_tenant), resource.who
    if who.key:
        files = File.objects.of_key(who.key.pk) & files
    else:
        files = files.filter(subject_id__in=[m.subject_id for m in [who.member] if m])
    text = _("There is no such file of yours.")
    return cast(File, resource.named(files, field, text, pk__in=_ids(name)))


def _ids(name: str) -> list[UUID]:
    try:
        return [UUID(name.removeprefix("file-"))]
    except ValueError:
        return []
