"""An assistant with a version, whose texts hold the tenant's secret."""

from typing import Any

import msgspec
from django.db import transaction

from inference.assistants.faults import converted
from inference.assistants.sample import SAMPLE
from inference.assistants.spec import packed
from inference.models import Assistant
from inference.models.assistants.assistant_version import BuildState, Written
from tenants.models import ApiKey, Tenant


def create(tenant: Tenant, name: str, secret: str, caller: ApiKey, by: str) -> Assistant:
    greeting: Any = {"en": secret}
    spec = msgspec.structs.replace(converted(SAMPLE), greeting=greeting)
    with transaction.atomic():  # the jobs process sees nothing that it would build
        written = Written(packed(spec), secret, 16)
        assistant = Assistant.create(tenant, name, written, by=by, caller=caller)
        assistant.versions.update(due_at=None, build=BuildState.FAILED)
    return assistant
