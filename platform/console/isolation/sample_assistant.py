"""An assistant with a version, whose texts hold the tenant's secret."""

from typing import Any

import msgspec

from inference.assistants.faults import converted
from inference.assistants.sample import SAMPLE
from inference.assistants.spec import packed
from inference.models import Assistant
from inference.models.assistants.assistant_version import Written
from tenants.models import ApiKey, Tenant


def create(tenant: Tenant, name: str, secret: str, caller: ApiKey, by: str) -> Assistant:
    greeting: Any = {"en": secret}
    spec = msgspec.structs.replace(converted(SAMPLE), greeting=greeting)
    return Assistant.create(tenant, name, Written(packed(spec), secret, 16), by=by, caller=caller)
