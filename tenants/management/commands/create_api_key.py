from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.management.commands._json_command import Answer, JsonCommand
from tenants.models import ApiKey, Tenant

BY = "command:create_api_key"


class Command(JsonCommand):
    help = "Makes an API key for a tenant. Its text is shown once and kept nowhere."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("tenant", help="the tenant's name")
        parser.add_argument("--name", required=True, help="what the key is for")
        parser.add_argument("--days", type=_days, metavar="N", help="expires after N days")

    def answer(self, **options: Any) -> Answer:
        tenant = Tenant.objects.filter(name=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"there is no tenant named {options['tenant']!r}")
        key, text = ApiKey.issue(tenant, options["name"], by=BY, days=options["days"])
        return {"tenant": tenant.name, "name": key.name, "id": str(key.id), "api_key": text}

    def text(self, answer: Answer) -> str:
        return (
            f"API key {answer['name']} of {answer['tenant']}, shown only now:\n{answer['api_key']}"
        )


def _days(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 3650):
        raise ArgumentTypeError("must be a whole number from 1 to 3650")
    return int(text)
