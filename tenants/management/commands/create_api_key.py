from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from tenants.management.commands._json_command import Answer, JsonCommand
from tenants.management.options import (
    add_limit_options,
    days,
    set_options,
    set_quotas,
    tenant_named,
)
from tenants.models import ApiKey, Team, Tenant
from tenants.models.api_key import OFFERED
from tenants.models.tier import LIMITS

BY = "command:create_api_key"
LISTS = ("scopes", "allowed_models", "allowed_networks")


class Command(JsonCommand):
    help = "Makes an API key for a tenant. Its text is shown once and kept nowhere."
    sentence = "API key {name} of {tenant}, shown only now:\n{api_key}"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("tenant", help="the tenant's name")
        parser.add_argument("--name", required=True, help="what the key is for")
        parser.add_argument("--days", type=days, metavar="N", help="expires after N days")
        parser.add_argument("--team", metavar="NAME", help="a team of the tenant")
        repeatable: dict[str, Any] = {"action": "append"}
        parser.add_argument(
            "--scope",
            dest="scopes",
            choices=[scope.value for scope in OFFERED],
            help="what the key is for; repeatable; inference by default",
            **repeatable,
        )
        parser.add_argument(
            "--model",
            dest="allowed_models",
            metavar="MODEL",
            help="the only models it may use; repeatable",
            **repeatable,
        )
        parser.add_argument(
            "--network",
            dest="allowed_networks",
            metavar="CIDR",
            help="the only addresses it may come from; repeatable",
            **repeatable,
        )
        parser.add_argument(
            "--local-only",
            action="store_true",
            default=None,
            help="nothing that it asks leaves this installation",
        )
        add_limit_options(parser)

    def answer(self, **options: Any) -> Answer:
        tenant = tenant_named(options["tenant"])
        settings = set_options(options, (*LIMITS, *LISTS, "local_only"))
        if options["team"]:
            settings["team"] = _team(tenant, options["team"])
        with transaction.atomic():
            key, text = ApiKey.issue(
                tenant, options["name"], by=BY, days=options["days"], **settings
            )
            set_quotas(options["quotas"], tenant, by=BY, api_key=key)
        return {"tenant": tenant.name, "name": key.name, "id": str(key.id), "api_key": text}


def _team(tenant: Tenant, name: str) -> Team:
    team = tenant.teams.filter(name=name).first()
    if team is None:
        raise CommandError(f"there is no team named {name!r} in {tenant.name}")
    return team
