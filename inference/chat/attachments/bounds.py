"""Bounds of files that were not sent yet, for each person and each tenant.

A row says how large its file is. It is made under a lock for the tenant, so that two uploads at the
same time cannot exceed a bound together.
"""

from datetime import timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, Sum

from inference.chat.attachments.words import refused
from inference.models import Attachment
from infrastructure.postgres.queries import lock
from tenants.models import Member

UNSENT_FOR = timedelta(hours=24)
PER_MESSAGE = 10


class Bound(NamedTuple):
    files: int
    bytes: int


OF_PERSON = Bound(30, 200_000_000)
OF_TENANT = Bound(2_000, 5_000_000_000)


def check(member: Member, name: str, size: int) -> None:
    """Check that a file may be uploaded, in the transaction that stores it. Raises ChatRefused."""
    if not size:
        raise refused("empty", name=name)
    if size > settings.ATTACHMENT_BYTES:
        most = _megabytes(settings.ATTACHMENT_BYTES)
        raise refused("too_large", name=name, size=_megabytes(size), most=most)
    lock(f"attachments:{member.tenant_id}")
    unsent = Attachment.objects.unsent().filter(tenant_id=member.tenant_id)
    for rows, bound, code in (
        (unsent.filter(member=member), OF_PERSON, "person_full"),
        (unsent, OF_TENANT, "tenant_full"),
    ):
        taken = rows.aggregate(files=Count("*"), bytes=Sum("size", default=0))
        if taken["files"] >= bound.files or taken["bytes"] + size > bound.bytes:
            raise refused(code, files=bound.files, most=_megabytes(bound.bytes))


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:,.1f}".removesuffix(".0")
