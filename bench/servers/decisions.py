"""A decision policy on a running platform.

    python -m bench.servers.decisions TENANT MODEL DEADLINE_MS

It runs in a process of its own, with the environment of that platform.
"""

import os
import subprocess
import sys
from typing import Any

import django
from django.db import transaction

from bench.servers.child import REPOSITORY
from bench.servers.forebay import Forebay

POLICY = "payments"
INPUTS: dict[str, Any] = {
    "amount": {"type": "number", "minimum": 0, "maximum": 1_000_000},
    "merchant": {"type": "string", "maxLength": 80},
    "abroad": {"type": "boolean"},
}
SPEC: dict[str, Any] = {
    "input_schema": {"type": "object", "properties": INPUTS, "required": [*INPUTS]},
    "template": "You judge card payments. Fraud is rare.\n\nAmount: {{amount}}\n"
    "Merchant: {{merchant}}\nAbroad: {{abroad}}\n\nIs it fraud? Answer yes or no.",
    "thresholds": {"review": 0.95, "block": 0.98},
    "fallback": {"kind": "outcome", "outcome": "review"},
}
DEADLINE_MS = 2_000


def install(forebay: Forebay, tenant: str, model: str, deadline_ms: int = DEADLINE_MS) -> None:
    """Write the policy, and let it decide."""
    command = [sys.executable, "-m", "bench.servers.decisions", tenant, model, str(deadline_ms)]
    subprocess.run(command, cwd=REPOSITORY, env=forebay.env | forebay.running(), check=True)


def main(tenant_name: str, model: str, deadline_ms: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "system")
    django.setup()
    from inference.decisions import policies
    from inference.decisions.spec import of_json
    from inference.registry import following
    from tenants.models import Tenant

    following.load_once()
    tenant = Tenant.objects.get(name=tenant_name)
    spec = of_json(SPEC | {"model": model, "deadline_ms": int(deadline_ms)})
    policy = policies.create(tenant, POLICY, spec, by="member:1")
    version = policy.versions.get()
    key = tenant.api_keys.first()
    assert key
    with transaction.atomic():  # no process of the platform tries it meanwhile
        version.submit(by="member:1", caller=key)
        version.pass_trial({})
    version.approve(by="member:2")
    policies.promote(version, by="member:2")


if __name__ == "__main__":
    main(*sys.argv[1:])
