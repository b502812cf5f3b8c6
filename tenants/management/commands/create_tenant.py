from typing import Any

from django.core.management.base import CommandParser
from django.core.validators import validate_email
from django.db import transaction

from tenants.management.commands._json_command import Answer, JsonCommand
from tenants.management.options import add_limit_options, days, set_options, set_quotas
from tenants.models import Link, Tenant, Tier
from tenants.models.link import Purpose
from tenants.models.tenant import CHANGEABLE
from tenants.roles import Profile, Role

BY = "command:create_tenant"


class Command(JsonCommand):
    help = "Opens a tenant, and invites its first owner when --admin names one."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="a-z, 0-9 and dashes")
        parser.add_argument("--tier", choices=Tier.values, default=Tier.STANDARD)
        parser.add_argument("--admin", metavar="EMAIL", help="gets an invitation link as owner")
        parser.add_argument("--profile", choices=Profile.values, help="security profile")
        parser.add_argument(
            "--local-only", action="store_true", default=None, help="no hosted models"
        )
        parser.add_argument("--retention-days", type=days, metavar="N", help="at least 184")
        parser.add_argument("--time-zone", metavar="ZONE", help="as Europe/Berlin; UTC by default")
        parser.add_argument(
            "--browser-origin",
            action="append",
            dest="allowed_origins",
            metavar="ORIGIN",
            help="a web page that may use its keys, as https://app.example.com; again for more",
        )
        add_limit_options(parser)

    def answer(self, **options: Any) -> Answer:
        with transaction.atomic():
            tenant = Tenant.open(options["name"], by=BY, **set_options(options, CHANGEABLE))
            set_quotas(options["quotas"], tenant, by=BY)
            admin = _invite(tenant, options["admin"]) if options["admin"] else None
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


def _invite(tenant: Tenant, email: str) -> dict[str, str]:
    validate_email(email)
    link = Link.issue(Purpose.INVITATION, by=BY, email=email, tenant=tenant, role=Role.OWNER)
    return {"email": email.lower(), "link": link}
