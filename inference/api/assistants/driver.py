"""Builds versions of assistants of all tenants, one after the other.

It has no state: a version whose process died is due again, and is built from its beginning.
"""

import asyncio
import logging

from django.db import DatabaseError

from audit.keys.keyring import Unreadable
from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.api.assistants.building import build
from inference.intake.context import Context
from inference.models import AssistantVersion

log = logging.getLogger(__name__)
AT_ONCE = 20


def build_due() -> None:
    """Build what is due. Two of these at once do no harm."""
    rows = AssistantVersion.objects.due().select_related("assistant", "tenant", "api_key", "member")
    for version in rows.order_by("due_at")[:AT_ONCE]:
        try:
            if version.begin_build():
                asyncio.run(_build(version))
        except Unreadable:
            version.fail_build("spec_gone")
        except (DatabaseError, MasterKeyUnavailable) as problem:
            log.warning("build of an assistant %s: %s", version.pk, problem)


async def _build(version: AssistantVersion) -> None:
    async with Context.opened() as context:
        await build(context, version)
