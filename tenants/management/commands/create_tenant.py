from typing import Any

from django.core.management.base import CommandParser
from django.core.validators import validate_email
from django.db import transaction

from tenants.management.commands._json_command import Answer, JsonCommand
from tenants.models import Link, Tenant
from tenants.models.link import Purpose
from tenants.models.tenant import Tier
from tenants.roles import Role

BY = "command:create_tenant"
LIMITS = ("requests_per_minute", "burst", "max_concurrency")


class Command(JsonCommand):
    help = "Opens a tenant, and invites its first owner when --admin names one."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="a-z, 0-9 and dashes")
        parser.add_argument("--tier", choices=Tier.values, default=Tier.STANDARD)
        parser.add_argument("--admin", metavar="EMAIL", help="gets an invitation link as owner")
        parser.add_argument("--requests-per-minute", type=int, metavar="N", help="0: no limit")
        parser.add_argument("--burst", type=int, metavar="N", help="0: no limit")
        parser.add_argument("--max-concurrency", type=int, metavar="N", help="0: no limit")

    def answer(self, **options: Any) -> Answer:
        limits = {name: options[name] for name in LIMITS if options[name] is not None}
        with transaction.atomic():
            tenant = Tenant.open(options["name"], by=BY, tier=options["tier"], **limits)
            admin = _invited(tenant, options["admin"]) if options["admin"] else None
        return {
            "tenant": {"id": str(tenant.id), "name": tenant.name, "tier": tenant.tier},
            "admin": admin,
        }

    def text(self, answer: Answer) -> str:
        tenant, admin = answer["tenant"], answer["admin"]
        lines = [f"Tenant {tenant['name']} ({tenant['tier']}) is open."]
        if admin:
            lines += [f"{admin['email']} becomes its owner with this link:", admin["link"]]
        lines.append(f"Next: manage.py create_api_key {tenant['name']} --name first")
        return "\n".join(lines)


def _invited(tenant: Tenant, email: str) -> dict[str, str]:
    validate_email(email)
    link = Link.issue(Purpose.INVITATION, by=BY, email=email, tenant=tenant, role=Role.OWNER)
    return {"email": email.lower(), "link": link}
